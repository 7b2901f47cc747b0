//! Attempts to get around the evidence and around what changed meanwhile.

use std::time::Duration;

use bailiwick_audit_log::{
    event::{AuditEvent, Canonical},
    leaf,
};
use bailiwick_engine::bundles;
use bailiwick_ports::store::EntryFilter;
use serde_json::{Value, json};

use crate::bench::{Bench, Caller, STATELESS, operator, read, soon};

async fn events(bench: &Bench, kind: &str) -> Vec<AuditEvent> {
    let filter = EntryFilter { kind: Some(kind.to_owned()), limit: 1_000, ..EntryFilter::default() };
    let entries = bench.broker.store().entries(filter).await.unwrap();
    entries.iter().map(|entry| leaf::decode(&entry.leaf).unwrap().event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_was_used_hides_no_attempt_and_tells_nothing() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let proof = worker.proof("POST");
    let send = async |tool: &str| {
        let params = json!({ "name": tool, "arguments": { "path": "/a" }, "_meta": {
            "io.modelcontextprotocol/protocolVersion": STATELESS, "io.modelcontextprotocol/clientCapabilities": {} } });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let builder = worker.with_proof(bench.http.post(&worker.url), &proof);
        let builder = builder.header("mcp-protocol-version", STATELESS).header("mcp-method", "tools/call");
        read(builder.header("mcp-name", tool).body(body.to_string())).await
    };
    assert_eq!(send("read_note").await.status, 200);
    // Denied by policy as well: which of the two it is stays untold, and every attempt is in the evidence.
    for attempt in 1..=3 {
        let answer = send("delete_note").await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(!answer.text.contains("no_permit"), "{answer:?}");
        let denials = events(&bench, "denial").await;
        assert_eq!(denials.len(), attempt, "{denials:?}");
        let reasons = Some(&Canonical::from(vec!["replayed".to_owned()]));
        assert!(denials.iter().all(|denial| denial.body.get("reasons") == reasons), "{denials:?}");
    }
    assert_eq!(send("read_note").await.status, 401);
    assert_eq!(events(&bench, "denial").await.len(), 4);
    assert_eq!(bench.seen.acts(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_goes_on_elsewhere_has_not_succeeded() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    for text in ["now", "later"] {
        let answer = worker.tool("write_note", json!({ "path": "/a", "text": text, "times": 1 })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    bench.broker.drained().await;
    let outcomes = events(&bench, "outcome").await;
    let statuses: Vec<_> = outcomes.iter().map(|outcome| outcome.body.get("status").cloned()).collect();
    assert_eq!(statuses, [Some("succeeded".into()), Some("unfinished".into())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_agent_cannot_take_all_the_room() {
    const MAX: usize = 256;
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let other = bench.agent("other", "worker", "/mcp/notes", None).await;
    let may = async |who: &Caller| read(who.permissions()).await.status;
    assert_eq!(may(&worker).await, 200);
    let slow = || worker.stateless("tools/call", json!({ "name": "slow", "arguments": {} }));
    let mut open = Vec::new();
    for _ in 0..MAX {
        open.push(tokio::spawn(slow().send()));
    }
    soon("all of them reach the upstream", || bench.seen.acts() == MAX).await;
    let answer = read(slow()).await;
    assert_eq!(answer.status, 429, "{answer:?}");
    let listen = worker.stateless("subscriptions/listen", json!({ "notifications": {} }));
    assert_eq!(read(listen).await.status, 429);
    assert_eq!(may(&worker).await, 429);
    assert_eq!(bench.seen.acts(), MAX);
    assert_eq!(may(&other).await, 200);
    assert_eq!(other.tool("read_note", json!({ "path": "/a" })).await.status, 200);
    for call in open {
        call.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_published_while_a_call_runs_holds_for_it() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let running = tokio::spawn(read(worker.stateless("tools/call", json!({ "name": "slow", "arguments": {} }))));
    soon("the call reaches the upstream", || bench.seen.acts() == 1).await;
    let active = bench.broker.live().policy.as_ref().unwrap().revision();
    let files = bench.broker.store().bundle(active).await.unwrap().unwrap().files;
    let mut changed: std::collections::BTreeMap<_, _> =
        files.iter().map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).collect();
    let role = b"purpose = \"Keep notes\"\nallow = [\"notes:write\"]\n".to_vec();
    changed.insert("roles/worker.toml".to_owned(), role);
    let changed = bailiwick_model::bundle::BundleFiles::new(changed).unwrap();
    bundles::publish(&bench.broker, &operator(), changed, false).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(10), running).await.expect("it is cut off").unwrap();
    let last = answer.message();
    let denial = &last["result"]["_meta"]["bailiwick/denial"];
    assert_eq!(denial["may_have_acted"], Value::Bool(true), "{last}");
    soon("the upstream is told", || bench.seen.abandoned.load(std::sync::atomic::Ordering::SeqCst) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_runs_is_cut_off_by_a_policy_that_obliges_to_more() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let running = tokio::spawn(read(worker.stateless("tools/call", json!({ "name": "slow", "arguments": {} }))));
    soon("the call reaches the upstream", || bench.seen.acts() == 1).await;
    let mut files = bench.files();
    let policies = files.get_mut("policies/organisation/notes.cedar").unwrap();
    policies.extend_from_slice(
        br#"
@id("slow-masked") @obligation("mask=pii")
permit (principal in Bailiwick::Role::"worker", action == Bailiwick::Action::"notes.slow", resource);
"#,
    );
    bench.publish(files).await;
    // Otherwise it would bring its answer unmasked.
    bench.seen.finish.store(true, std::sync::atomic::Ordering::SeqCst);
    let answer = tokio::time::timeout(Duration::from_secs(10), running).await.expect("it is cut off").unwrap();
    let last = answer.message();
    let denial = &last["result"]["_meta"]["bailiwick/denial"];
    assert_eq!(denial["may_have_acted"], Value::Bool(true), "{last}");
    assert!(!answer.text.contains("at last"), "{answer:?}");
}
