//! Reads and checks the catalogue of a bundle, file by file.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::{
    agent::Environment,
    bundle::BundleFiles,
    limits::TEXT_BYTES_MAX,
    name::{SystemName, ToolName},
};

use super::{
    Catalogue, Risk, System, Tool,
    file::{LockFile, SystemFile},
    lock::{self, Definitions},
    records, step_up_check, tool_check, upstream_check,
};
use crate::{
    finding::{Finding, line_of},
    strict_toml,
};

/// Where the catalogue lies in a bundle.
const FOLDER: &str = "systems";

pub(super) fn read(files: &BundleFiles) -> (Catalogue, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut catalogue = Catalogue::default();
    for (path, bytes) in files.under(FOLDER) {
        let name = path.strip_prefix("systems/").unwrap_or(path);
        if let Some(name) = name.strip_suffix(".tools.json") {
            if files.file(&format!("{FOLDER}/{name}.toml")).is_none() {
                let message = format!("there is no `{FOLDER}/{name}.toml` for these definitions");
                findings.push(Finding::error("system-missing", path, message));
            }
        } else if let Some(name) = name.strip_suffix(".toml") {
            match name.parse::<SystemName>() {
                Ok(name) => {
                    let mut reader = Reader { file: path, name, findings: &mut findings };
                    let lock_path = format!("{FOLDER}/{}.tools.json", reader.name);
                    let definitions = reader.definitions(&lock_path, files.file(&lock_path));
                    catalogue
                        .systems
                        .extend(reader.system(bytes, definitions).map(|system| (system.name.clone(), system)));
                }
                Err(error) => findings.push(Finding::error("system-name", path, error.to_string())),
            }
        } else {
            let finding = Finding::error("file-unknown", path, "no such file belongs into `systems`");
            findings.push(finding.with_help("a system is `<name>.toml` and `<name>.tools.json`"));
        }
    }
    check_namespaces(&catalogue, &mut findings);
    (catalogue, findings)
}

/// `crm_mail` has the namespace `CrmMail`.
pub(super) fn namespace(name: &SystemName) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    name.as_str().split('_').map(capital).collect()
}

fn check_namespaces(catalogue: &Catalogue, findings: &mut Vec<Finding>) {
    let mut seen: BTreeMap<&str, &SystemName> = BTreeMap::new();
    for system in catalogue.systems() {
        let file = format!("{FOLDER}/{}.toml", system.name);
        if records::RESERVED_NAMESPACES.contains(&system.namespace.as_str()) {
            let message =
                format!("the record namespace `{}` of system `{}` is reserved", system.namespace, system.name);
            findings
                .push(Finding::error("namespace-reserved", file, message).with_help("give the system another name"));
        } else if let Some(other) = seen.insert(&system.namespace, &system.name) {
            let message = format!(
                "systems `{other}` and `{}` have the same record namespace `{}`",
                system.name, system.namespace
            );
            findings.push(Finding::error("namespace-taken", file, message).with_help("give one of them another name"));
        }
    }
}

/// Reads one system.
struct Reader<'a> {
    file: &'a str,
    name: SystemName,
    findings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    fn definitions(&mut self, path: &str, bytes: Option<&[u8]>) -> Definitions {
        let Some(bytes) = bytes else {
            let finding =
                Finding::warning("system-without-definitions", self.file, "no tool of this system is pinned yet");
            self.findings.push(finding.with_help(format!("run `bailiwick systems discover {}`", self.name)));
            return Definitions::default();
        };
        let lock = match serde_json::from_slice::<LockFile>(bytes) {
            Ok(lock) => lock,
            Err(error) => {
                let finding =
                    Finding::error("definitions-invalid", path, format!("it is not a file of definitions: {error}"));
                self.findings.push(finding.at((error.line() > 0).then(|| error.line())));
                return Definitions::default();
            }
        };
        lock::definitions(path, lock, self.findings)
    }

    fn system(&mut self, bytes: &[u8], definitions: Definitions) -> Option<System> {
        let parsed = strict_toml::parse::<SystemFile>(self.file, bytes);
        let file = parsed.map_err(|finding| self.findings.push(finding)).ok()?;
        let text = strict_toml::text(self.file, bytes).unwrap_or_default();
        self.check_title(file.title.as_deref());
        let minimum = self.minimum(text, &file);
        let SystemFile { title, environment, risk, domains, step_up, minimum: _, upstream, tools: entries } = file;
        let step_up = step_up.and_then(|entry| {
            let line = line_of(text, entry.span().start);
            let read = step_up_check::read(entry.into_inner());
            let refused = |(message, help): (String, &str)| {
                let finding = Finding::error("step-up-invalid", self.file, message).at(line);
                self.findings.push(finding.with_help(help));
            };
            read.map_err(refused).ok()
        });
        let upstream_line = line_of(text, upstream.span().start);
        let upstream =
            upstream_check::upstream(self.file, upstream_line, &self.name, upstream.into_inner(), self.findings);

        let mut entries_by_tool = BTreeMap::new();
        for (name, entry) in entries {
            let line = line_of(text, name.span().start);
            match name.get_ref().parse::<ToolName>() {
                Ok(name) if !definitions.tools.contains_key(&name) => {
                    self.note_unpinned(&name, line, &definitions);
                }
                Ok(name) => {
                    entries_by_tool.insert(name, (line, entry));
                }
                Err(error) => self.findings.push(Finding::error("tool-name", self.file, error.to_string()).at(line)),
            }
        }
        let mut tools = BTreeMap::new();
        for (name, definition) in definitions.tools {
            let entry = entries_by_tool.remove(&name);
            let tool = tool_check::tool(self.file, &self.name, name, definition, entry, self.findings);
            tools.insert(tool.name.clone(), tool);
        }
        self.note_unclassified(&tools);
        let record_types = records::collect(self.file, tools.values(), self.findings);
        let upstream = upstream?;
        Some(System {
            title: title.unwrap_or_else(|| self.name.to_string()),
            namespace: namespace(&self.name),
            name: self.name.clone(),
            // What nobody judged is judged as the worst.
            environment: environment.unwrap_or(Environment::Production),
            risk: risk.unwrap_or(Risk::High),
            step_up,
            domains: domains.into_iter().collect(),
            minimum,
            upstream: upstream.upstream,
            call_timeout_s: upstream.call_timeout_s,
            verify_every_s: upstream.verify_every_s,
            tools,
            records: record_types,
            pinned: definitions.pinned,
        })
    }

    fn check_title(&mut self, title: Option<&str>) {
        if title.is_some_and(|title| title.len() > TEXT_BYTES_MAX || crate::normalise::plain(title).is_err()) {
            let message =
                format!("the title is empty, over {TEXT_BYTES_MAX} bytes, or has characters that cannot be seen");
            self.findings.push(Finding::error("title-invalid", self.file, message));
        }
    }

    fn minimum(&mut self, text: &str, file: &SystemFile) -> BTreeSet<bailiwick_model::name::Scope> {
        let mut minimum = BTreeSet::new();
        for scope in &file.minimum {
            let own = scope.get_ref().as_str().strip_prefix(self.name.as_str());
            if own.is_some_and(|rest| rest.starts_with([':', '.'])) {
                minimum.insert(scope.get_ref().clone());
            } else {
                let message = format!("`{}` is not a permission on `{}`", scope.get_ref(), self.name);
                let help = format!("write `{0}:<class>` or `{0}.<tool>`", self.name);
                let line = line_of(text, scope.span().start);
                self.findings.push(Finding::error("minimum-foreign", self.file, message).at(line).with_help(help));
            }
        }
        minimum
    }

    fn note_unclassified(&mut self, tools: &BTreeMap<ToolName, Tool>) {
        let names: Vec<String> =
            tools.values().filter(|tool| !tool.classified).map(|tool| format!("`{}`", tool.name)).collect();
        if !names.is_empty() {
            let message = format!("nobody classified {}: judged as writes with every tag", names.join(", "));
            let finding = Finding::warning("tool-unclassified", self.file, message);
            self.findings
                .push(finding.with_help(format!("run `bailiwick systems discover {}` for a proposal", self.name)));
        }
    }

    fn note_unpinned(&mut self, name: &ToolName, line: usize, definitions: &Definitions) {
        let message = format!("tool `{name}` has no pinned definition, so nobody can call it");
        let known = definitions.tools.keys().map(ToolName::as_str);
        let help = match strict_toml::did_you_mean(name.as_str(), known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("run `bailiwick systems discover {}`, or remove the entry", self.name),
        };
        self.findings.push(Finding::warning("tool-unpinned", self.file, message).at(line).with_help(help));
    }
}
