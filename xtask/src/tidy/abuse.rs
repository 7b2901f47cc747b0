//! `docs/abuse.md` claims tests and fuzz targets by name: they must be there, and no target unnamed.

use std::collections::BTreeSet;

use super::{Finding, TextFile};

const PAGE: &str = "docs/abuse.md";
const TARGETS: &str = "crates/fuzz/fuzz_targets/";

/// Checks the page against the code.
pub(super) fn check(files: &[TextFile]) -> Vec<Finding> {
    let Some(page) = files.iter().find(|file| file.path == PAGE) else {
        return vec![Finding::error(PAGE, 0, "this page says what was tried against the program")];
    };
    let (attacks, fuzzing) = page.text.split_once("## Fuzzing").unwrap_or((&page.text, ""));
    let tests: Vec<&str> =
        files.iter().filter(|file| file.path.starts_with("crates/")).map(|file| file.text.as_str()).collect();
    let there = |name: &str| tests.iter().any(|text| text.contains(&format!("fn {name}(")));
    let claimed = last_cells(attacks).flat_map(quoted).filter(|name| name.contains('_'));
    let gone = claimed.filter(|name| !there(name)).map(|name| format!("there is no test `{name}`"));

    let named: BTreeSet<&str> = first_cells(fuzzing).flat_map(quoted).collect();
    let targets: BTreeSet<&str> =
        files.iter().filter_map(|file| file.path.strip_prefix(TARGETS)?.strip_suffix(".rs")).collect();
    let wrong =
        named.symmetric_difference(&targets).map(|name| format!("fuzz target `{name}` is only here or only there"));
    gone.chain(wrong).map(|message| Finding::error(PAGE, 0, message)).collect()
}

fn rows(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
}

fn last_cells(text: &str) -> impl Iterator<Item = &str> {
    rows(text).filter_map(|row| row.rsplit(" | ").next())
}

fn first_cells(text: &str) -> impl Iterator<Item = &str> {
    rows(text).filter_map(|row| row.split(" | ").next())
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_nowhere_are_found() {
        let file = |path: &str, text: &str| TextFile { path: path.to_owned(), text: text.to_owned() };
        let page =
            "| a | b | test |\n|---|---|---|\n| `x` | y | `it_holds`, `it_is_gone` |\n## Fuzzing\n| `one` | x |\n";
        let files = [
            file(PAGE, page),
            file("crates/a/tests/it.rs", "fn it_holds() {}"),
            file("crates/fuzz/fuzz_targets/two.rs", ""),
        ];
        let found: Vec<String> = check(&files).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        for name in ["it_is_gone", "`one`", "`two`"] {
            assert!(found.iter().any(|finding| finding.contains(name)), "{name}: {found:?}");
        }
    }
}
