//! Each budget, just within and just beyond.

use super::*;

fn complaints(path: &str, text: &str) -> Vec<(bool, String)> {
    let file = TextFile { path: path.to_owned(), text: text.to_owned() };
    check(&file).into_iter().map(|finding| (finding.fails, finding.message)).collect()
}

fn check_one(path: &str, text: &str, fails: bool, part: &str) {
    let found = complaints(path, text);
    assert!(
        found.iter().any(|(level, message)| *level == fails && message.contains(part)),
        "expected `{part}` in {found:?}"
    );
}

fn lines(count: usize) -> String {
    format!("//! Docs.\n{}", "// a line\n".repeat(count - 1))
}

fn function(lines: usize) -> String {
    format!("//! Docs.\nfn long() {{\n{}}}\n", "    let _ = 1;\n".repeat(lines - 2))
}

fn inline_tests(lines: usize) -> String {
    format!("//! Docs.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "    // a line\n".repeat(lines - 3))
}

#[test]
fn a_short_file_is_fine() {
    assert_eq!(complaints("crates/x/src/a.rs", "//! Docs.\n\npub struct Thing;\n"), []);
}

#[test]
fn files_have_a_budget_that_their_tests_do_not_use_up() {
    assert_eq!(complaints("src/a.rs", &lines(FILE_LINES_WARN)), []);
    check_one("src/a.rs", &lines(FILE_LINES_WARN + 1), false, "the file has 401 lines");
    check_one("src/a.rs", &lines(FILE_LINES_MAX + 1), true, "600 is the most");
    assert_eq!(complaints("src/a/tests.rs", &lines(FILE_LINES_MAX + 1)), []);
    let mixed = format!("{}{}", lines(FILE_LINES_WARN - 1), inline_tests(100).replace("//! Docs.", "// Tests."));
    assert_eq!(complaints("src/a.rs", &mixed), []);
}

#[test]
fn functions_have_a_budget() {
    assert_eq!(complaints("src/a.rs", &function(FUNCTION_LINES_WARN)), []);
    check_one("src/a.rs", &function(FUNCTION_LINES_WARN + 1), false, "`long` has 61 lines");
    check_one("src/a.rs", &function(FUNCTION_LINES_MAX + 1), true, "`long` has 81 lines");
}

#[test]
fn long_inline_tests_move_out() {
    assert_eq!(complaints("src/a.rs", &inline_tests(INLINE_TEST_LINES_MAX)), []);
    check_one("src/a.rs", &inline_tests(INLINE_TEST_LINES_MAX + 1), true, "151 lines of inline tests");
}

#[test]
fn lib_holds_docs_modules_and_reexports_only() {
    assert_eq!(complaints("crates/x/src/lib.rs", "//! Docs.\nmod a;\npub use a::B;\n"), []);
    check_one("crates/x/src/lib.rs", "//! Docs.\npub struct B;\n", true, "lib.rs holds");
    check_one("crates/x/src/lib.rs", "//! Docs.\nmod a {}\n", true, "lib.rs holds");
}

#[test]
fn every_file_says_what_it_is_for() {
    check_one("src/a.rs", "use std::fmt;\n", true, "start with `//!`");
}

#[test]
fn empty_names_are_refused() {
    check_one("src/utils.rs", "//! Docs.\n", true, "`utils` says nothing");
    check_one("src/a.rs", "//! Docs.\nstruct Request;\n", true, "`Request` alone");
    check_one("src/a.rs", "//! Docs.\nstruct KeyManager;\n", true, "adds nothing");
    check_one("src/a.rs", "//! Docs.\nfn get_key() {}\n", true, "no `get_`");
    check_one("src/a.rs", "//! Docs.\nimpl A {\n    fn get_key() {}\n}\n", true, "no `get_`");
    let given = "//! Docs.\nimpl T for A {\n    fn get_key() {}\n}\n";
    assert_eq!(complaints("src/a.rs", given), [], "a trait of others gives its own names");
}

#[test]
fn what_does_not_parse_is_a_finding() {
    check_one("src/a.rs", "//! Docs.\nfn {\n", true, "does not parse");
}
