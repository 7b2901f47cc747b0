//! Secrets stay where they belong: an upstream's credential reaches that upstream and nobody else, and whoever
//! steals the database, or a backup of it, holds nothing that works and nothing that tells.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bailiwick_testkit_broker::{
    broker::Broker,
    fixture::protocol::Speaks,
    http_client::{HttpClient, Revision},
    stdio_client::succeeded,
    tools::{Need, ready},
};
use serde_json::json;

use crate::world::Depot;

const CREDENTIAL: &str = "upstream-credential-8c1f03d2";
const NEXT_CREDENTIAL: &str = "upstream-credential-d7702be4";
const PROMPT: &str = "prompt-of-a-person-5512";
const ARGUMENT: &str = "argument-of-a-call-90ab";
/// How long a new credential may take to be used, on a busy machine.
const USED_WITHIN: Duration = Duration::from_secs(20);

/// The depot behind a URL, reached with a credential from the vault.
async fn depot() -> Option<Depot> {
    let tools = ready(&[Need::Broker])?;
    let depot = Depot::http(&tools, Speaks::Both).await;
    depot.broker.run_fed(&["secrets", "put", "depot/token"], CREDENTIAL).succeeded();
    let mut file: toml::Table = depot.broker.read("systems/depot.toml").parse().unwrap();
    let credential = toml::toml! { header = "authorization" prefix = "Bearer " secret = "depot/token" };
    file["upstream"].as_table_mut().unwrap().insert("credential".to_owned(), credential.into());
    depot.broker.write("systems/depot.toml", &file.to_string());
    depot.broker.publish();
    depot.broker.wait_until_verified();
    Some(depot)
}

/// Every file under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}

/// No file under `folder` holds one of these in the clear.
#[track_caller]
pub(crate) fn hold_nothing(folder: &Path, needles: &[(&str, String)]) {
    let files = files(folder);
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        let bytes = fs::read(&file).unwrap();
        for (what, needle) in needles {
            let found = bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
            assert!(!found, "{} holds {what} in the clear", file.display());
        }
    }
}

/// The longest line of a PEM file: enough of the key to know it again.
fn body_of(pem: &Path) -> String {
    let text = fs::read_to_string(pem).unwrap();
    text.lines().filter(|line| !line.starts_with('-')).max_by_key(|line| line.len()).unwrap().to_owned()
}

fn export(broker: &Broker) -> String {
    broker.run(&["audit", "export", "--to", "-"]).succeeded().stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_reaches_its_upstream_and_nobody_else() {
    let Some(depot) = depot().await else { return };
    let clerk = depot.broker.register("clerk-1", "clerk", &[]);
    let mut client = HttpClient::connect(&depot.broker, &clerk, "depot", Revision::Stateless).await;
    let answer = client.call("lookup", json!({ "path": "/public/a" })).await;
    succeeded(&answer);
    let calls = depot.ledger.of("tools/call");
    let sent = |name: &str| calls.last().unwrap().headers.get(name).cloned();
    assert_eq!(sent("authorization"), Some(format!("Bearer {CREDENTIAL}")));
    assert_eq!(sent("dpop"), None, "what the agent proves itself with is not for upstreams");
    assert!(!depot.ledger.received().iter().any(|one| one.headers.values().any(|value| value.contains(&client.token))));

    // An upstream that tells what it was sent tells nobody.
    let echoed = client.call("write_note", json!({ "id": "1", "text": CREDENTIAL })).await;
    assert!(!answer.to_string().contains(CREDENTIAL) && !echoed.to_string().contains(CREDENTIAL), "{echoed}");
    for (place, text) in [
        ("the log", depot.broker.log()),
        ("the evidence", export(&depot.broker)),
        ("the list of secrets", depot.broker.run(&["secrets", "list", "--output", "json"]).succeeded().stdout),
        ("the system", depot.broker.run(&["systems", "show", "depot", "--output", "json"]).succeeded().stdout),
    ] {
        assert!(!text.contains(CREDENTIAL), "{place} tells the credential");
    }

    // A new one is used without a restart.
    depot.broker.run_fed(&["secrets", "put", "depot/token"], NEXT_CREDENTIAL).succeeded();
    let start = Instant::now();
    loop {
        drop(client.call("lookup", json!({ "path": "/public/a" })).await);
        let last = depot.ledger.of("tools/call").pop().unwrap();
        if last.headers.get("authorization") == Some(&format!("Bearer {NEXT_CREDENTIAL}")) {
            break;
        }
        assert!(start.elapsed() < USED_WITHIN, "the old credential is still used");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_gets_no_other_systems_credential() {
    let Some(depot) = depot().await else { return };
    depot.broker.run_fed(&["secrets", "put", "bank/token"], "of the bank").succeeded();
    depot.broker.edit("systems/depot.toml", &[("depot/token", "bank/token")]);
    let refused = depot.broker.run(&["policy", "publish"]).ended_with(5);
    assert!(refused.stderr.contains("secret-foreign"), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_database_yields_nothing() {
    let Some(mut depot) = depot().await else { return };
    let clerk = depot.broker.register("clerk-1", "clerk", &[]);
    let prompt = depot.broker.scratch().join("prompt.txt");
    fs::write(&prompt, PROMPT).unwrap();
    let prompt = prompt.to_string_lossy().into_owned();
    let words = ["tasks", "create", "--agent", "clerk-1", "--purpose", "a test", "--prompt", &prompt];
    depot.broker.run(&[&words[..], &["--tool", "depot.write_note"]].concat()).succeeded();
    let mut client = HttpClient::connect(&depot.broker, &clerk, "depot", Revision::Stateless).await;
    let told = succeeded(&client.call("write_note", json!({ "id": "1", "text": ARGUMENT })).await);
    assert!(told.contains(ARGUMENT), "the result holds what was sent: {told}");

    // While the server runs, and from a backup.
    let loot = depot.broker.scratch().join("loot");
    fs::create_dir(&loot).unwrap();
    let backup = loot.join("backup.db").to_string_lossy().into_owned();
    depot.broker.run(&["backup", &backup]).succeeded();
    for file in files(&depot.broker.home().join("data")) {
        fs::copy(&file, loot.join(file.file_name().unwrap())).unwrap();
    }
    let keys = depot.broker.home().join("keys");
    let mut needles = vec![
        ("an upstream's credential", CREDENTIAL.to_owned()),
        ("a prompt", PROMPT.to_owned()),
        ("an argument or a result", ARGUMENT.to_owned()),
        ("an access token", client.token.clone()),
        ("a token's signature", client.token.rsplit('.').next().unwrap().to_owned()),
        ("an agent's key", body_of(&clerk.key_file)),
        ("the checkpoint key", body_of(&keys.join("checkpoint.pem"))),
    ];
    for file in files(&keys.join("tokens")).iter().filter(|file| file.extension().is_some_and(|kind| kind == "pem")) {
        needles.push(("a token key", body_of(file)));
    }
    hold_nothing(&loot, &needles);
    assert!(!export(&depot.broker).contains(ARGUMENT), "nor does an export");

    // Nor does it serve a thief who has a broker and keys of their own.
    depot.broker.kill();
    let tools = ready(&[Need::Broker]).unwrap();
    let thief = Broker::init(&tools);
    for file in files(&thief.home().join("data")) {
        fs::remove_file(file).unwrap();
    }
    fs::copy(&backup, thief.home().join("data/bailiwick.db")).unwrap();
    let id = last_intent(&depot.broker);
    let opened = thief.run(&["audit", "show", &id, "--open"]);
    assert_ne!(opened.code, 0, "{}", opened.stdout);
    assert!(!opened.stdout.contains(ARGUMENT), "{}", opened.stdout);
}

/// The newest call.
fn last_intent(broker: &Broker) -> String {
    let evidence = broker.evidence();
    let intent = evidence.iter().rev().find(|line| line["entry"]["kind"] == "intent").unwrap();
    intent["entry"]["id"].as_str().unwrap().to_owned()
}
