//! Every command's help, as a whole: the first documentation that anybody reads.

use crate::installation::Installation;

#[test]
fn the_whole_help_is_as_it_was_read_last() {
    let here = Installation::none();
    let commands: &[&[&str]] = &[
        &["--help"],
        &["init", "--help"],
        &["bridge", "--help"],
        &["token", "--help"],
        &["check", "--help"],
        &["agents", "--help"],
        &["agents", "register", "--help"],
        &["systems", "add", "--help"],
        &["tasks", "create", "--help"],
        &["policy", "--help"],
        &["policy", "publish", "--help"],
        &["safe-mode", "enter", "--help"],
        &["observe", "--help"],
        &["observe", "start", "--help"],
        &["secrets", "put", "--help"],
        &["audit", "--help"],
        &["audit", "tail", "--help"],
        &["audit", "verify", "--help"],
        &["audit", "export", "--help"],
    ];
    let told = here.session(commands);
    insta::assert_snapshot!(told);
}

#[test]
fn no_line_of_help_is_wider_than_a_terminal() {
    let here = Installation::none();
    // Usage lines are one line by their nature.
    let wide = |page: &str| {
        page.lines().find(|line| line.chars().count() > 100 && !line.starts_with("Usage:")).map(str::to_owned)
    };
    let verbs = ["agents", "users", "systems", "tasks", "policy", "safe-mode", "observe", "secrets", "audit"];
    for verb in verbs.into_iter().chain(["grants", "tokens"]) {
        let page = here.told(&[verb, "--help"]);
        assert_eq!(wide(&page), None, "{verb}");
        let inner = page.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        let inner = inner.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
        let mut seen = 0;
        for name in inner {
            seen += 1;
            assert_eq!(wide(&here.told(&[verb, name, "--help"])), None, "{verb} {name}");
        }
        assert!(seen > 1, "no command under {verb}");
    }
}

#[test]
fn the_book_names_every_command_and_its_exit_codes() {
    let here = Installation::none();
    let book = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/commands.md")).unwrap();
    let names = |page: &str| {
        let listed = page.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        let listed = listed.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
        listed.map(str::to_owned).collect::<Vec<_>>()
    };
    let page = here.told(&["--help"]);
    let mut seen = 0;
    for verb in names(&page) {
        let inner = names(&here.told(&[&verb, "--help"]));
        let whole: Vec<String> = match inner.is_empty() {
            true => vec![verb.clone()],
            false => inner.iter().map(|name| format!("{verb} {name}")).collect(),
        };
        for command in whole {
            seen += 1;
            assert!(book.contains(&format!("`{command}")), "docs/commands.md does not name `{command}`");
        }
    }
    assert!(seen > 30, "only {seen} commands were found");
    for code in 0..=8 {
        assert!(book.contains(&format!("| {code} | ")), "docs/commands.md does not name exit code {code}");
    }
}
