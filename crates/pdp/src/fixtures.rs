//! Tool definitions shaped like those of real servers, for the tests of this crate.

use std::collections::BTreeMap;

use bailiwick_model::bundle::BundleFiles;
use serde_json::Value;

use crate::{catalogue::Catalogue, definition, finding::Finding};

pub(crate) const FILES: (&str, &str, &str) =
    ("files", include_str!("../fixtures/files.toml"), include_str!("../fixtures/files.tools.json"));
pub(crate) const MEMORY: (&str, &str, &str) =
    ("memory", include_str!("../fixtures/memory.toml"), include_str!("../fixtures/memory.tools.json"));
pub(crate) const MAIL: (&str, &str, &str) =
    ("mail", include_str!("../fixtures/mail.toml"), include_str!("../fixtures/mail.tools.json"));
pub(crate) const DATABASE_TOOLS: &str = include_str!("../fixtures/database.tools.json");
pub(crate) const GIT_TOOLS: &str = include_str!("../fixtures/git.tools.json");

/// A system's file with a pin in each tool's table that has none.
pub(crate) fn pinned(toml: &str, tools_json: &str) -> String {
    let lock: Value = serde_json::from_str(tools_json).unwrap();
    let mut text = String::new();
    for line in toml.lines() {
        text.push_str(line);
        text.push('\n');
        let name = line.strip_prefix("[tools.").and_then(|rest| rest.strip_suffix(']'));
        if let Some(name) = name.map(|name| name.trim_matches('"')) {
            let whole = lock["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == name);
            if let Some(whole) = whole {
                text.push_str(&format!("definition = \"{}\"\n", definition::digest(whole)));
            }
        }
    }
    text
}

/// A bundle of systems: name, TOML without pins, definitions.
pub(crate) fn bundle(systems: &[(&str, &str, &str)]) -> BundleFiles {
    let mut files = BTreeMap::new();
    for (name, toml, tools_json) in systems {
        files.insert(format!("systems/{name}.toml"), pinned(toml, tools_json).into_bytes());
        files.insert(format!("systems/{name}.tools.json"), tools_json.as_bytes().to_vec());
    }
    BundleFiles::new(files).unwrap()
}

/// The catalogue of such a bundle, which must be free of errors.
pub(crate) fn catalogue(systems: &[(&str, &str, &str)]) -> Catalogue {
    let (catalogue, findings) = Catalogue::read(&bundle(systems));
    let errors: Vec<&Finding> = findings.iter().filter(|f| f.severity == crate::Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    catalogue
}
