//! Strict TOML: unknown keys are errors with file, line and "did you mean".
//! Knows no file format in particular.

use serde::de::DeserializeOwned;

use crate::finding::Finding;

/// Bytes of one TOML file of a bundle.
pub(crate) const TOML_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// Reads one file. The type must deny unknown fields.
pub(crate) fn parse<T: DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T, Finding> {
    if bytes.len() > TOML_BYTES_MAX {
        return Err(Finding::error("file-too-large", file, format!("a file holds at most {TOML_BYTES_MAX} bytes")));
    }
    let text = text(file, bytes)?;
    toml::from_str(text).map_err(|error| {
        let message = error.message().lines().next().unwrap_or("it is not TOML");
        let mut finding = Finding::error("toml-invalid", file, message.trim_end_matches('.'));
        if let Some(span) = error.span() {
            finding = finding.at_byte(text, span.start);
        }
        if let Some((unknown, known)) = unknown_name(message) {
            finding.code = "key-unknown";
            finding.message = format!("unknown key or word `{unknown}`");
            finding.help = Some(match did_you_mean(unknown, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known are {}", known.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")),
            });
        }
        finding
    })
}

/// A file's bytes as text.
pub(crate) fn text<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, Finding> {
    std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
        Finding::error("not-utf8", file, "it is not UTF-8 text").at(line)
    })
}

/// The nearest of `known`, if one is near enough to be a slip of the finger.
pub(crate) fn did_you_mean<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(written, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(written.len()) / 3 + 1)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The unknown name of serde's message, and the names it knows: both stand in backticks.
fn unknown_name(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))?;
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    let known: Vec<&str> = quoted.collect();
    (!known.is_empty()).then_some((unknown, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only the error matters here")]
        purpose: Option<String>,
    }

    fn refusal(text: &str) -> String {
        parse::<Sample>("roles/a.toml", text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn says_where_and_what_was_meant() {
        assert_eq!(
            refusal("\n\npurposse = \"x\"\n"),
            "error[key-unknown] roles/a.toml:3:1: unknown key or word `purposse`\nhint: did you mean `purpose`?"
        );
        assert_eq!(
            refusal("zebra = 1"),
            "error[key-unknown] roles/a.toml:1:1: unknown key or word `zebra`\nhint: known are `purpose`"
        );
        assert!(refusal("purpose = ").starts_with("error[toml-invalid] roles/a.toml:1:"));
        assert!(
            refusal("purpose = 1\n").starts_with("error[toml-invalid] roles/a.toml:1:11: invalid type: integer `1`")
        );
    }

    #[test]
    fn refuses_what_is_no_text() {
        let finding = parse::<Sample>("a.toml", b"\n\xff").unwrap_err();
        assert_eq!((finding.code, finding.line), ("not-utf8", Some(2)));
    }
}
