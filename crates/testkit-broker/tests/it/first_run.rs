//! What a newcomer types: the demo, the README, the first pages of the book.

use bailiwick_testkit_broker::{
    broker::Broker,
    documents, ports,
    tools::{Need, ready},
};

#[test]
fn the_demo_tells_its_story_without_a_question() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(tools.broker());
    // No configuration, no network tools, no Node.js: nothing but the binary.
    command.args(["demo", "--no-input"]).env_clear().env("HOME", folder.path()).current_dir(folder.path());
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    for word in ["allowed", "denied", "task", "approv", "safe mode", "suspended", "verif", "bailiwick init"] {
        assert!(told.to_lowercase().contains(word), "the demo does not tell of `{word}`:\n{told}");
    }
    assert!(!told.contains('\u{1b}'), "no colours where nobody looks");
}

#[test]
fn the_commands_of_the_readme_work() {
    let Some(tools) = ready(&[Need::Broker, Need::Node]) else { return };
    documents::run(&tools, "README.md");
}

#[test]
fn the_commands_of_getting_started_work() {
    let Some(tools) = ready(&[Need::Broker, Need::Node]) else { return };
    documents::run(&tools, "docs/getting-started.md");
}

#[test]
fn the_commands_of_the_authzen_page_work() {
    let Some(tools) = ready(&[Need::Broker, Need::Node]) else { return };
    documents::run(&tools, "docs/authzen.md");
}

#[test]
fn doctor_finds_a_healthy_installation_healthy_and_a_broken_one_broken() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let broker = Broker::started(&tools);
    broker.run(&["doctor"]).succeeded();
    let keys = broker.home().join("keys");
    for key in std::fs::read_dir(keys).unwrap() {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(key.unwrap().path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let answer = broker.run(&["doctor"]).ended_with(8);
    assert!(answer.stdout.contains("FAIL"), "{}", answer.stdout);
}

#[test]
fn nothing_listens_beyond_loopback_without_tls_or_a_proxy() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let broker = Broker::init(&tools);
    let answer = broker.run(&["serve", "--listen", &format!("0.0.0.0:{}", ports::free_port())]);
    assert_ne!(answer.code, 0);
    assert!(answer.stderr.contains("hint:"), "{}", answer.stderr);
}

#[test]
fn an_installation_is_never_overwritten() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let broker = Broker::init(&tools);
    let before = broker.read("bailiwick.toml");
    let place = broker.home().to_string_lossy().into_owned();
    broker.run(&["init", "--dir", &place, "--no-input"]).ended_with(1);
    assert_eq!(broker.read("bailiwick.toml"), before);
}

#[test]
fn an_unknown_key_is_an_error_with_a_suggestion() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let broker = Broker::init(&tools);
    broker.edit("bailiwick.toml", &[("[store]", "[stor]")]);
    let answer = broker.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_ne!(answer.code, 0);
    assert!(answer.stderr.contains("`stor`") && answer.stderr.contains("store"), "{}", answer.stderr);
}
