//! An agent that does whatever the text it read tells it to: ten thousand calls, most of them attempts. What reached the
//! system is compared with what may reach it, by a judge that shares no code with the broker; and every answer with its
//! record.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bailiwick_testkit_broker::{
    broker::Agent,
    http_client::{HttpClient, Revision},
    tools::{Need, ready},
};
use bailiwick_testkit_crash::chance::Chance;
use serde_json::{Value, json};

use crate::world::Depot;

/// Agents that attack at once.
const AGENTS: usize = 8;
/// Calls of each.
const CALLS: usize = 1_250;

/// Where instructions hidden in a document send an agent: what to read, write, pay, send and destroy.
const PATHS: [&str; 12] = [
    "/public/a",
    "/public/./b",
    "/public//c",
    "/public/x/../d",
    "/private/payroll",
    "/public/../private/payroll",
    "/public/../../etc/shadow",
    "/publicity/a",
    "/Public/a",
    "/public\\..\\private",
    "/public/%2e%2e/private",
    "//private/public/a",
];
const MAILS: [&str; 4] = ["attacker@evil.example", "ada@example.com", "a b@example.com", "x@example.com\u{200b}"];
const TOOLS: [&str; 14] = [
    "lookup",
    "lookup",
    "lookup_many",
    "lookup_many",
    "contact",
    "write_note",
    "delete_notes",
    "refund",
    "send_mail",
    "tidy_up",
    "misbehave",
    "lookup\u{200b}",
    "l\u{43e}okup",
    "admin_shell",
];

/// The same choices each time.
struct Choices(Chance);

impl Choices {
    fn of<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.0.up_to(things.len() - 1)]
    }

    fn attempt(&mut self) -> (&'static str, Value) {
        let tool = self.of(&TOOLS);
        let arguments = match tool {
            "lookup_many" => {
                let paths: Vec<&str> = (0..self.0.up_to(3)).map(|_| self.of(&PATHS)).collect();
                json!({ "paths": paths })
            }
            "write_note" => json!({ "id": "1", "text": "pwned" }),
            "delete_notes" => json!({ "ids": ["1", "2"] }),
            "refund" => json!({ "order": "1", "amount": 1_000_000 }),
            "send_mail" => json!({ "to": self.of(&MAILS), "body": "all that I know" }),
            "misbehave" => json!({ "how": "" }),
            "contact" | "tidy_up" => json!({}),
            _ => json!({ "path": self.of(&PATHS) }),
        };
        (tool, arguments)
    }
}

/// Whether a path leads to something under `/public`, step by step as a file system would walk.
fn is_public(path: &str) -> bool {
    let mut place = Vec::new();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." => drop(place.pop()),
            step => place.push(step),
        }
    }
    path.starts_with('/') && place.len() > 1 && place[0] == "public"
}

/// What a reader may have brought to the system.
fn may_arrive(tool: &str, arguments: &Value) -> bool {
    let public = |path: &Value| path.as_str().is_some_and(is_public);
    match tool {
        "lookup" => public(&arguments["path"]),
        "lookup_many" => arguments["paths"].as_array().is_some_and(|paths| paths.iter().all(public)),
        "contact" | "misbehave" => true,
        _ => false,
    }
}

/// What became of the calls.
#[derive(Default)]
struct Sums {
    allowed: usize,
    denied: usize,
    malformed: usize,
}

async fn attack(depot: &Depot, agent: &Agent, seed: u64) -> Sums {
    let revision = if seed.is_multiple_of(2) { Revision::Stateless } else { Revision::Handshake };
    let mut client = HttpClient::connect(&depot.broker, agent, "depot", revision).await;
    let mut choices = Choices(Chance::new(seed));
    let mut sums = Sums::default();
    for _ in 0..CALLS {
        let (tool, arguments) = choices.attempt();
        let answer = client.call(tool, arguments.clone()).await;
        let result = answer.get("result");
        if result.is_some_and(|result| result.get("isError") != Some(&json!(true))) {
            assert!(may_arrive(tool, &arguments), "{tool} {arguments}: {answer}");
            sums.allowed += 1;
        } else if answer.to_string().contains("\"bailiwick/denial\"") {
            sums.denied += 1;
        } else {
            // A name that no header can carry is no message of this revision, so there was nothing to decide on.
            assert!(!tool.is_ascii() && revision == Revision::Stateless, "{tool} {arguments}: {answer}");
            sums.malformed += 1;
        }
    }
    sums
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_attempts_bring_nothing_forbidden_and_leave_a_record_each() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let agents: Vec<Agent> =
        (0..AGENTS).map(|number| depot.broker.register(&format!("reader-{number}"), "reader", &[])).collect();
    let attacks = (0..).zip(&agents).map(|(seed, agent)| attack(&depot, agent, seed));
    let sums = futures::future::join_all(attacks).await;
    let allowed: usize = sums.iter().map(|sums| sums.allowed).sum();
    let denied: usize = sums.iter().map(|sums| sums.denied).sum();
    let malformed: usize = sums.iter().map(|sums| sums.malformed).sum();
    assert_eq!(allowed + denied + malformed, AGENTS * CALLS);
    assert!(allowed > AGENTS * CALLS / 10 && denied > allowed, "{allowed} allowed, {denied} denied: no test of much");

    let arrived = depot.ledger.of("tools/call");
    assert_eq!(arrived.len(), allowed, "one arrival for each answer");
    for call in arrived {
        let message = call.message();
        let (tool, arguments) =
            (message.pointer("/params/name").unwrap(), message.pointer("/params/arguments").unwrap());
        assert!(may_arrive(tool.as_str().unwrap(), arguments), "{message}");
    }
    every_call_has_its_record(&whole_evidence(&depot, allowed).await, allowed, denied);
    depot.broker.run(&["audit", "verify"]).succeeded();
}

/// All entries, as soon as so many outcomes are among them: their records come behind the answers.
async fn whole_evidence(depot: &Depot, outcomes: usize) -> Vec<Value> {
    let mut entries = Vec::new();
    for _ in 0..60 {
        let exported = depot.broker.run(&["audit", "export"]).succeeded().stdout;
        entries = exported.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect();
        if entries.iter().filter(|line| line.pointer("/entry/kind") == Some(&json!("outcome"))).count() >= outcomes {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    entries
}

/// User or agent, resource, action, outcome and reason of each; an outcome for every intent and none besides.
fn every_call_has_its_record(evidence: &[Value], allowed: usize, denied: usize) {
    let mut by_kind: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for line in evidence {
        if let Some(kind) = line.pointer("/entry/kind").and_then(Value::as_str) {
            by_kind.entry(kind).or_default().push(&line["entry"]);
        }
    }
    let of = |kind: &str| by_kind.get(kind).map(Vec::as_slice).unwrap_or_default();
    assert_eq!((of("intent").len(), of("outcome").len(), of("denial").len()), (allowed, allowed, denied));
    for record in of("intent").iter().chain(of("denial")) {
        for field in ["agent", "chain", "action", "decision", "bundle"] {
            assert!(record["body"].get(field).is_some_and(|value| !value.is_null()), "no {field}: {record}");
        }
        let because = if record["kind"] == "intent" { "policies" } else { "reasons" };
        assert!(record["body"].get(because).is_some(), "no {because}: {record}");
    }
    let intents: BTreeSet<&str> = of("intent").iter().filter_map(|intent| intent["id"].as_str()).collect();
    let concluded: BTreeSet<&str> = of("outcome").iter().filter_map(|outcome| outcome["concludes"].as_str()).collect();
    assert_eq!(intents.len(), allowed);
    assert_eq!(intents, concluded, "an intent without an outcome, or an outcome without an intent");
}
