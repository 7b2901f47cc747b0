//! What the suite measured, read from its files, as tables for people and for
//! the book.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use serde::Deserialize;

use super::client::LeftOut;
use crate::outcome::Failure;

const PAGE: &str = "docs/conformance.md";
const BEGIN: &str = "<!-- measured by `cargo xtask conformance`: do not edit -->\n";
const END: &str = "<!-- end of what was measured -->\n";

#[derive(Deserialize)]
struct Check {
    id: String,
    status: String,
}

/// The sums of one run, and the checks by name.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) warnings: u64,
    /// Scenario and check that failed or warned.
    missed: BTreeSet<(String, String)>,
    /// Scenario and check that passed.
    met: BTreeSet<(String, String)>,
}

impl Measured {
    /// Reads the `checks.json` of every scenario of a run.
    pub(super) fn read(results: &Path) -> Result<Self, Failure> {
        let mut measured = Self::default();
        for entry in fs::read_dir(results)? {
            let folder = entry?;
            let file = folder.path().join("checks.json");
            if !file.exists() {
                continue;
            }
            let scenario = scenario(&folder.file_name().to_string_lossy());
            let checks: Vec<Check> = serde_json::from_str(&fs::read_to_string(&file)?)
                .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
            checks.into_iter().for_each(|check| measured.add(&scenario, check));
        }
        Ok(measured)
    }

    fn add(&mut self, scenario: &str, check: Check) {
        let Check { id, status } = check;
        let name = (scenario.to_owned(), id);
        match status.as_str() {
            "SUCCESS" => {
                self.passed += 1;
                self.met.insert(name);
            }
            "FAILURE" => {
                self.failed += 1;
                self.missed.insert(name);
            }
            "WARNING" => {
                self.warnings += 1;
                self.missed.insert(name);
            }
            // What does not apply here, and notes.
            _ => {}
        }
    }
}

/// `server-tools-list-2026-11-22T08-24-45-772Z` gives `tools-list`.
fn scenario(folder: &str) -> String {
    let name = folder.strip_prefix("server-").unwrap_or(folder);
    let end = name.len().saturating_sub("-2026-11-22T08-24-45-772Z".len());
    name.get(..end).unwrap_or(name).to_owned()
}

/// The place of our upstream client.
pub(super) const CLIENT: &str = "our client";

/// One line of a table.
pub(super) struct Row {
    pub(super) place: &'static str,
    pub(super) revision: &'static str,
    /// In client mode each scenario is a run of its own.
    pub(super) scenario: Option<&'static str>,
    pub(super) measured: Measured,
    /// How many have to pass.
    pub(super) expected: u64,
}

impl Row {
    pub(super) const fn is_as_expected(&self) -> bool {
        self.measured.passed == self.expected && self.measured.failed == 0 && self.measured.warnings == 0
    }

    /// What is wrong with a row that is not as expected.
    pub(super) fn complaint(&self) -> String {
        let Self { place, revision, scenario, measured, expected } = self;
        let Measured { passed, failed, warnings, missed, .. } = measured;
        let scenario = scenario.map(|scenario| format!(", {scenario}")).unwrap_or_default();
        let missed: Vec<&str> = missed.iter().map(|(_, check)| check.as_str()).collect();
        format!(
            "{revision}, {place}{scenario}: {passed} checks passed where {expected} have to, {failed} failed and \
             {warnings} warned: {}",
            missed.join(", ")
        )
    }
}

/// All tables as Markdown.
pub(super) fn tables(rows: &[Row], left_out: &[LeftOut]) -> String {
    let mut text = String::from("| revision | where | passed | failed | warnings |\n|---|---|---:|---:|---:|\n");
    for Row { place, revision, measured: Measured { passed, failed, warnings, .. }, .. } in
        rows.iter().filter(|row| row.scenario.is_none())
    {
        let _ = writeln!(text, "| {revision} | {place} | {passed} | {failed} | {warnings} |");
    }
    text.push_str(&differences(rows));
    let played = rows.iter().filter_map(|row| Some((row.scenario?, row)));
    let mut lines = String::new();
    for (scenario, Row { revision, measured: Measured { passed, failed, warnings, .. }, .. }) in played {
        let _ = writeln!(lines, "| {revision} | `{scenario}` | {passed} | {failed} | {warnings} |");
    }
    if !lines.is_empty() {
        text.push_str("\nClient mode, our upstream client before the suite's servers:\n\n");
        text.push_str("| revision | scenario | passed | failed | warnings |\n|---|---|---:|---:|---:|\n");
        text.push_str(&lines);
    }
    if !left_out.is_empty() {
        text.push_str("\nClient scenarios that are not played:\n\n");
        text.push_str("| revision | scenarios | how many | why |\n|---|---|---:|---|\n");
        for LeftOut { revision, prefix, count, why } in left_out {
            let more = if prefix.ends_with('/') { "…" } else { "" };
            let _ = writeln!(text, "| {revision} | `{prefix}{more}` | {count} | {why} |");
        }
    }
    text
}

/// Which checks pass directly and not through the gateway.
fn differences(rows: &[Row]) -> String {
    let mut text = String::new();
    for through in rows.iter().filter(|row| row.place == "through the gateway" && row.scenario.is_none()) {
        let Some(direct) = rows.iter().find(|row| row.place == "direct" && row.revision == through.revision) else {
            continue;
        };
        let lost = direct.measured.met.difference(&through.measured.met);
        let mut lines = String::new();
        for name @ (scenario, check) in lost {
            let how = if through.measured.missed.contains(name) { "does not pass" } else { "is not reached" };
            let _ = writeln!(lines, "| `{scenario}` | `{check}` | {how} |");
        }
        if !lines.is_empty() {
            let _ = write!(text, "\nPass directly but not through the gateway, {}:\n\n", through.revision);
            let _ = write!(text, "| scenario | check | through the gateway |\n|---|---|---|\n{lines}");
        }
    }
    text
}

/// Puts the tables into the book, between its marks. Whether they stood there already.
pub(super) fn write(root: &Path, rows: &[Row], left_out: &[LeftOut]) -> Result<bool, Failure> {
    let page = root.join(PAGE);
    let before = fs::read_to_string(&page)?;
    let after = replaced(&before, &tables(rows, left_out));
    let after = after.ok_or_else(|| Failure::new(format!("{PAGE} has lost its marks")))?;
    if after != before {
        fs::write(&page, &after)?;
    }
    Ok(after == before)
}

fn replaced(page: &str, measured: &str) -> Option<String> {
    let (head, rest) = page.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n{measured}\n{END}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(place: &'static str, checks: &[(&str, &str)]) -> Row {
        let mut measured = Measured::default();
        for (id, status) in checks {
            measured.add("ping", Check { id: (*id).to_owned(), status: (*status).to_owned() });
        }
        Row { place, revision: "2025-11-25", scenario: None, measured, expected: 3 }
    }

    #[test]
    fn folders_tell_their_scenario() {
        assert_eq!(scenario("server-tools-list-2026-11-22T08-24-45-772Z"), "tools-list");
        assert_eq!(scenario("server-server-stateless-2026-11-22T08-24-45-772Z"), "server-stateless");
        assert_eq!(scenario("odd"), "");
    }

    #[test]
    fn what_was_measured_stands_between_the_marks_and_names_what_was_lost() {
        let direct = row("direct", &[("a", "SUCCESS"), ("b", "SUCCESS"), ("c", "SUCCESS"), ("d", "INFO")]);
        let through = row("through the gateway", &[("a", "SUCCESS"), ("b", "FAILURE"), ("d", "SUCCESS")]);
        let rows = [direct, through];
        let page = format!("head\n{BEGIN}old\n{END}tail\n");
        let lost = differences(&rows);
        assert!(lost.contains("| `ping` | `b` | does not pass |\n| `ping` | `c` | is not reached |\n"), "{lost}");
        assert!(!lost.contains("`a`") && !lost.contains("`d`"), "{lost}");
        let told = replaced(&page, &tables(&rows, &[])).unwrap();
        assert!(told.starts_with(&format!("head\n{BEGIN}")) && told.ends_with(&format!("{END}tail\n")), "{told}");
        assert!(told.contains("| 2025-11-25 | direct | 3 | 0 | 0 |") && !told.contains("old"), "{told}");
        assert_eq!(replaced("no marks", "x"), None);
        assert!(rows[0].is_as_expected() && !rows[1].is_as_expected());
        assert!(rows[1].complaint().contains("2 checks passed where 3 have to, 1 failed and 0 warned: b"));
    }

    #[test]
    fn more_than_expected_is_no_less_wrong_and_neither_is_a_warning() {
        let check = |checks: &[(&str, &str)], expected| assert_eq!(row("direct", checks).is_as_expected(), expected);
        let three = [("a", "SUCCESS"), ("b", "SUCCESS"), ("c", "SUCCESS")];
        check(&three, true);
        check(&[three.as_slice(), &[("d", "SUCCESS")]].concat(), false);
        check(&[three.as_slice(), &[("d", "WARNING")]].concat(), false);
        check(&[three.as_slice(), &[("d", "SKIPPED")]].concat(), true);
    }

    #[test]
    fn the_clients_scenarios_have_a_table_of_their_own() {
        let client = Row { scenario: Some("sse-retry"), ..row(CLIENT, &[("a", "SUCCESS")]) };
        let left = LeftOut { revision: "2025-11-25", prefix: "auth/", count: 20, why: "no OAuth" };
        let told = tables(&[client], &[left]);
        assert!(told.contains("\n| 2025-11-25 | `sse-retry` | 1 | 0 | 0 |\n"), "{told}");
        assert!(told.contains("\n| 2025-11-25 | `auth/…` | 20 | no OAuth |\n"), "{told}");
        assert!(!told.contains("our client |"), "{told}");
    }
}
