//! Rules that compile and are mistakes all the same, seeded one at a time into a sound bundle: each is found under its
//! own word, at its place. And nothing is found where nothing is wrong.
#![expect(clippy::disallowed_methods, reason = "the crate is pure, its tests read the scenarios from disk")]

use std::{collections::BTreeMap, path::Path};

use bailiwick_model::bundle::BundleFiles;
use bailiwick_pdp::{finding::Finding, lint, scenario, snapshot::Snapshot};
use serde::Deserialize;

/// Where the lint has to point.
const POINTER: char = '▸';
const RULES: &str = "policies/organisation/rules.cedar";

/// File, line and column.
type Place = (String, usize, usize);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seeds {
    systems: String,
    files: BTreeMap<String, String>,
    seeds: Vec<Seed>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seed {
    name: String,
    /// What is added at the end of the rules …
    add: Option<String>,
    /// … or in which file what is replaced with what.
    file: Option<String>,
    replace: Option<String>,
    with: Option<String>,
    code: String,
}

impl Seeds {
    fn read() -> Self {
        toml::from_str(include_str!("seeded_lint.toml")).unwrap()
    }

    fn bundle(&self, files: &BTreeMap<String, String>) -> BundleFiles {
        let systems = scenario::bundle("systems.toml", self.systems.as_bytes()).unwrap();
        let systems = systems.iter().map(|(path, bytes)| (path.to_owned(), bytes.to_vec()));
        let files = files.iter().map(|(path, text)| (path.clone(), text.clone().into_bytes()));
        BundleFiles::new(systems.chain(files).collect()).unwrap()
    }

    /// The files with one mistake, and the file, line and column that it stands at.
    fn seeded(&self, seed: &Seed) -> (BTreeMap<String, String>, Place) {
        let mut files = self.files.clone();
        let path = seed.file.as_deref().unwrap_or(RULES);
        let text = files.get_mut(path).unwrap();
        match (&seed.add, &seed.replace, &seed.with) {
            (Some(add), None, None) => text.push_str(add),
            (None, Some(from), Some(to)) => {
                assert_eq!(text.matches(from).count(), 1, "{}: `{from}` must stand once", seed.name);
                *text = text.replacen(from, to, 1);
            }
            _ => panic!("{}: either `add`, or `file`, `replace` and `with`", seed.name),
        }
        let at = text.find(POINTER).unwrap_or_else(|| panic!("{}: there is no `{POINTER}`", seed.name));
        let before = &text[..at];
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let place = (path.to_owned(), before.matches('\n').count() + 1, column);
        *text = text.replace(POINTER, "");
        (files, place)
    }
}

fn found(files: &BundleFiles) -> Vec<Finding> {
    match Snapshot::compile(files) {
        Ok(snapshot) => lint(&snapshot),
        Err(findings) => findings,
    }
}

#[test]
fn the_sound_bundle_has_nothing() {
    let seeds = Seeds::read();
    let findings = found(&seeds.bundle(&seeds.files));
    assert!(findings.is_empty(), "{}", told(&findings));
}

#[test]
fn every_seeded_mistake_is_found_at_its_place() {
    let seeds = Seeds::read();
    assert!(seeds.seeds.len() >= 30, "{} seeds", seeds.seeds.len());
    let mut missed = Vec::new();
    for seed in &seeds.seeds {
        let (files, place) = seeds.seeded(seed);
        let findings = found(&seeds.bundle(&files));
        let (file, line, column) = &place;
        let hit = |finding: &&Finding| {
            let there =
                (&finding.file, finding.line, finding.column) == (file, Some(*line), u32::try_from(*column).ok());
            finding.code == seed.code && there && finding.help.is_some()
        };
        if !findings.iter().any(|finding| hit(&finding)) {
            missed.push(format!("{}: wanted {} at {place:?}, got\n{}", seed.name, seed.code, told(&findings)));
        }
    }
    assert!(missed.is_empty(), "{} of {} missed:\n\n{}", missed.len(), seeds.seeds.len(), missed.join("\n\n"));
}

#[test]
fn no_scenario_of_the_repository_is_found_suspicious() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut linted = 0;
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let bundle = scenario::bundle("scenario.toml", &std::fs::read(&path).unwrap()).unwrap();
            let mut findings = lint(&Snapshot::compile(&bundle).unwrap());
            // Some scenarios are about tools that nobody classified and mappings that nobody took up: there it is right.
            findings.retain(|finding| !matches!(finding.code, "tool-unclassified" | "authzen-declared"));
            assert!(findings.is_empty(), "{}:\n{}", path.display(), told(&findings));
            linted += 1;
        }
    }
    assert!(linted >= 15, "{linted}");
}

fn told(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
