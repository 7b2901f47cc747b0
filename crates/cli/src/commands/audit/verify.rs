//! `bailiwick audit verify`: whether the evidence is what it claims to be, by public keys alone. Asks no broker.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
};

use bailiwick_audit_log::{
    checkpoint::VerifierKey,
    verify::{Finding, Verifier},
};
use bailiwick_server::{config::Config, wiring::log_key_file};
use serde_json::{Value, json};

use crate::{
    arguments::Arguments,
    exit::{Exit, Failure},
    output::{Output, table, text},
};

/// Bytes of a file's first line that are looked at to tell an extract from an export.
const EXTRACT_LINE_BYTES_MAX: u64 = 1_024 * 1_024;

/// What an auditor brings along and believes.
pub(super) struct Trust {
    keys: Vec<VerifierKey>,
    checkpoints: Vec<String>,
}

impl Trust {
    /// Reads the log's key, the installation's own unless `key` names another, and kept checkpoints.
    pub(super) fn read(arguments: &Arguments, key: Option<&Path>, checkpoints: &[PathBuf]) -> Result<Self, Failure> {
        let kept = checkpoints
            .iter()
            .map(|file| std::fs::read_to_string(file).map_err(|error| Failure::file(file, &error)))
            .collect::<Result<_, _>>()?;
        Ok(Self { keys: keys(arguments, key)?, checkpoints: kept })
    }

    /// Verifies an export.
    pub(super) fn verify(self, file: &Path, output: &Output) -> Result<Verified, Failure> {
        refuse_extract(file)?;
        let mut verifier = Verifier::new(self.keys);
        for note in &self.checkpoints {
            verifier.anchor(note);
        }
        feed(verifier, file, output)
    }
}

/// An extract holds entries without their bytes: there is nothing in it to verify, which is no finding.
fn refuse_extract(file: &Path) -> Result<(), Failure> {
    let mut first = String::new();
    let opened = std::fs::File::open(file).map_err(|error| Failure::file(file, &error))?;
    BufReader::new(opened.take(EXTRACT_LINE_BYTES_MAX)).read_line(&mut first).unwrap_or_default();
    let line: Value = serde_json::from_str(&first).unwrap_or_default();
    if line.get("entry").is_some() && line.get("type").is_none() {
        return Err(Failure::new(format!("`{}` is an extract, which cannot be verified", file.display()))
            .hint("export everything: `bailiwick audit export --to FILE`, without filters"));
    }
    Ok(())
}

/// The keys to believe: the ones given, else the installation's own.
fn keys(arguments: &Arguments, file: Option<&Path>) -> Result<Vec<VerifierKey>, Failure> {
    let own;
    let file = match file {
        Some(file) => file,
        None => {
            let config = Config::read(&arguments.config, None).map_err(|_| {
                Failure::new("no key to believe: there is neither `--key FILE` nor an installation here")
                    .hint("ask whoever runs the broker for its `keys/log.vkey`, on another way than the export came")
            })?;
            own = log_key_file(&config);
            &own
        }
    };
    let text = std::fs::read_to_string(file).map_err(|error| Failure::file(file, &error))?;
    let keys: Result<Vec<VerifierKey>, _> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::parse).collect();
    match keys {
        Ok(keys) if !keys.is_empty() => Ok(keys),
        Ok(_) => Err(Failure::new(format!("`{}` holds no key", file.display()))),
        Err(error) => Err(Failure::file(file, &error)),
    }
}

/// What a verification found.
pub(crate) struct Verified {
    /// What is wrong; empty means nothing is.
    pub(crate) findings: Vec<Finding>,
    /// Further findings that were only counted.
    pub(crate) omitted: u64,
    /// Entries.
    pub(crate) entries: u64,
    /// Of them under a checkpoint.
    pub(crate) signed: u64,
    /// Checkpoints.
    pub(crate) checkpoints: u64,
    /// Permitted calls.
    pub(crate) intents: u64,
    /// Of them those that policy alone does not allow: they went through under an observation.
    pub(crate) observed: u64,
    /// Denied calls.
    pub(crate) denials: u64,
    /// Intents without an outcome yet.
    pub(crate) open_intents: usize,
}

fn feed(mut verifier: Verifier, file: &Path, output: &Output) -> Result<Verified, Failure> {
    let opened = std::fs::File::open(file).map_err(|error| Failure::file(file, &error))?;
    let bytes = opened.metadata().map(|metadata| metadata.len()).unwrap_or(0);
    let bar = output.progress(bytes, "verifying");
    let (mut intents, mut observed, mut denials) = (0, 0, 0);
    for (number, line) in BufReader::new(opened).lines().enumerate() {
        let line = line.map_err(|error| Failure::file(file, &error))?;
        bar.inc(line.len() as u64 + 1);
        verifier.line(number as u64 + 1, &line);
        // The verifier makes sure that the readable part says what the bytes say.
        let permitted = line.contains("\"kind\":\"intent\"");
        let unenforced = ["\"observed\":\"would_deny\"", "\"observed\":\"would_ask\""];
        intents += u64::from(permitted);
        observed += u64::from(permitted && unenforced.iter().any(|mark| line.contains(mark)));
        denials += u64::from(line.contains("\"kind\":\"denial\""));
    }
    bar.finish_and_clear();
    let report = verifier.finish();
    Ok(Verified {
        findings: report.findings,
        omitted: report.findings_omitted,
        entries: report.entries,
        signed: report.signed,
        checkpoints: report.checkpoints,
        intents,
        observed,
        denials,
        open_intents: report.open_intents.len(),
    })
}

/// Verifies an export with the key in the file `key`.
pub(crate) fn verify_export(file: &Path, key: &Path) -> Result<Verified, Failure> {
    let text = std::fs::read_to_string(key).map_err(|error| Failure::file(key, &error))?;
    let key: VerifierKey = text.trim().parse().map_err(|error| Failure::new(format!("{error}")))?;
    feed(Verifier::new(vec![key]), file, &Output::new(crate::output::Format::Json, true))
}

/// Prints the verdict.
pub(super) fn told(verified: &Verified, output: &Output) -> Exit {
    let findings: Vec<Value> = verified
        .findings
        .iter()
        .map(|finding| json!({"code": finding.code(), "message": finding.to_string()}))
        .collect();
    let sound = findings.is_empty() && verified.omitted == 0;
    let document = json!({
        "verified": sound, "entries": verified.entries, "signed": verified.signed, "checkpoints": verified.checkpoints,
        "intents": verified.intents, "observed": verified.observed, "denials": verified.denials, "open_intents": verified.open_intents,
        "findings": findings, "findings_omitted": verified.omitted,
    });
    output.document(&document, |_| {
        let observed = match verified.observed {
            0 => String::new(),
            count => format!(", {count} only because they were observed"),
        };
        let summary = format!(
            "{} entries, {} of them under {} signed checkpoints; {} calls permitted ({} without an outcome{observed}), {} denied",
            verified.entries,
            verified.signed,
            verified.checkpoints,
            verified.intents,
            verified.open_intents,
            verified.denials,
        );
        if sound {
            return format!("verified: {summary}");
        }
        let rows = findings.iter().map(|finding| [text(finding, "/code"), text(finding, "/message")]);
        format!("NOT verified: {summary}\n\n{}", table(["what", "where"], rows))
    });
    if sound { Exit::Done } else { Exit::IntegrityFailed }
}
