//! Clients that were made for Cerbos and for OPA ask this broker instead, unchanged: policy lies outside of agents, and
//! whoever asks for it today need not be written anew.

use std::process::Command;

use bailiwick_testkit_broker::tools::{Need, ready};
use serde_json::{Value, json};

use crate::{clients::read_json, world::Depot};

#[test]
fn what_asks_cerbos_or_opa_today_can_ask_the_broker() {
    let Some(tools) = ready(&[Need::Broker, Need::Node]) else { return };
    let depot = Depot::stdio(&tools);
    let gate = depot.broker.register("gate", "reader", &["--scope", "access:evaluate", "--danger-allow-bearer-tokens"]);
    depot.broker.register("reader-1", "reader", &[]);
    let url = depot.broker.url();
    let asked = |token: &str, agent: &str| -> Value {
        let calls =
            json!([["depot.lookup", "/public/a"], ["depot.lookup", "/private/a"], ["depot.write_note", "/public/a"]]);
        let plan = json!({ "url": url, "token": token, "agent": agent, "calls": calls });
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/policy_clients.mjs");
        read_json(Command::new("node").arg(script).arg(tools.node_modules()).arg(plan.to_string()))
    };
    let key = gate.key_file.to_string_lossy().into_owned();
    let resource = format!("{url}/access/v1");
    let token = ["token", "--agent", "gate", "--key", &key, "--resource", &resource];
    let token = depot.broker.run(&token).succeeded().stdout.trim().to_owned();

    let told = asked(&token, "reader-1");
    for (number, expected) in [(0, true), (1, false), (2, false)] {
        for client in ["cerbos", "opa", "opaDocument"] {
            assert_eq!(told[number][client], expected, "{client} {number}: {told}");
        }
    }
    assert!(told[1]["reasons"].to_string().contains("only-public-items"), "{told}");
    // The policy changes, and nobody else.
    depot.broker.run(&["agents", "suspend", "reader-1", "--reason", "a test"]).succeeded();
    let told = asked(&token, "reader-1");
    assert!(["cerbos", "opa", "opaDocument"].iter().all(|client| told[0][client] == false), "{told}");
    assert_eq!(depot.ledger.acts(), 0, "asking does not act");
}
