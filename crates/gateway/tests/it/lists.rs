//! Lists as each caller may see them.

use serde_json::{Value, json};

use crate::bench::{Bench, Caller, read};

fn names(message: &Value, member: &str) -> Vec<String> {
    let items = message["result"][member].as_array().unwrap_or_else(|| panic!("no {member} in {message}"));
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

async fn list(caller: &Caller, method: &str) -> Value {
    caller.call(method, json!({})).await.message()
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_are_those_that_the_caller_could_call_or_ask_for() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let message = list(&worker, "tools/list").await;
    let shown = names(&message, "tools");
    assert!(shown.contains(&"read_note".to_owned()) && shown.contains(&"write_note".to_owned()), "{shown:?}");
    assert!(!shown.contains(&"delete_note".to_owned()) && !shown.contains(&"new_tool".to_owned()), "{shown:?}");
    assert_eq!(message["result"]["cacheScope"], "private");
    assert_eq!(message["result"]["tools"][0]["vendor"]["x"], 1, "members that nobody here knows stay");
    let hidden = &message["result"]["_meta"]["bailiwick/hidden"];
    assert_eq!(hidden["count"], 2);
    let codes: Vec<_> = hidden["reasons"].as_array().unwrap().iter().map(|reason| reason["code"].clone()).collect();
    assert!(codes.contains(&json!("no_permit")) && codes.contains(&json!("unknown_tool")), "{codes:?}");

    let reader = bench.agent("reader", "worker", "/mcp/notes", Some(&["notes:read"])).await;
    let shown = names(&list(&reader, "tools/list").await, "tools");
    assert!(shown.contains(&"read_note".to_owned()), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_comes_as_a_stream_to_who_names_streams_first() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let plain = read(worker.stateless("tools/list", json!({}))).await;
    let mut first = worker.stateless("tools/list", json!({})).build().unwrap();
    first.headers_mut().insert("accept", "text/event-stream, application/json".parse().unwrap());
    let streamed = read(reqwest::RequestBuilder::from_parts(reqwest::Client::new(), first)).await;
    assert_eq!(streamed.headers["content-type"], "text/event-stream");
    assert_eq!((streamed.events().len(), streamed.message()), (1, plain.message()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_never_silently_empty() {
    let bench = Bench::new().await;
    let mut idle = bench.agent("idler", "idle", "/mcp/notes", None).await;
    let message = list(&idle, "tools/list").await;
    assert_eq!(names(&message, "tools"), Vec::<String>::new());
    assert_eq!(message["result"]["_meta"]["bailiwick/hidden"]["count"], 10);
    let discovered = list(&idle, "server/discover").await;
    let instructions = discovered["result"]["instructions"].as_str().unwrap();
    assert!(instructions.starts_with("All 9 tools of this system are hidden from you"), "{instructions}");
    assert!(instructions.ends_with("Be brief."), "{instructions}");
    let message = idle.open_session(json!({})).await.message();
    assert!(message["result"]["instructions"].as_str().unwrap().starts_with("All 9 tools"));
    for (method, member) in [("prompts/list", "prompts"), ("resources/list", "resources")] {
        let message = list(&idle, method).await;
        assert_eq!(names(&message, member), Vec::<String>::new());
        assert_eq!(message["result"]["_meta"]["bailiwick/hidden"]["count"], 1, "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_and_resources_are_shown_to_who_could_read_them() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    assert_eq!(names(&list(&worker, "prompts/list").await, "prompts"), ["summarise"]);
    assert_eq!(names(&list(&worker, "resources/list").await, "resources"), ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_changed_is_hidden_and_named() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    // Even before the broker looked for itself: what the list says now is what is compared.
    bench.seen.changed.store(true, std::sync::atomic::Ordering::SeqCst);
    let message = list(&worker, "tools/list").await;
    assert!(!names(&message, "tools").contains(&"read_note".to_owned()));
    assert!(!message.to_string().contains("Ignore all rules"));
    assert_eq!(message["result"]["_meta"]["bailiwick/hidden"]["quarantined"], json!(["read_note"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_revisions_see_the_same_list_in_their_own_form() {
    for stateless_upstream in [false, true] {
        let bench = Bench::with(stateless_upstream).await;
        let mut worker = bench.worker().await;
        let new = list(&worker, "tools/list").await;
        let opened = worker.open_session(json!({})).await.message();
        assert_eq!(opened["result"]["protocolVersion"], "2025-11-25");
        assert_eq!(opened["result"]["serverInfo"]["name"], "notes");
        let old = worker.in_session(3, "tools/list", json!({})).await.message();
        assert_eq!(names(&new, "tools"), names(&old, "tools"));
        assert!(old["result"].get("cacheScope").is_none() && old["result"].get("resultType").is_none());
        let discovered = list(&worker, "server/discover").await;
        assert_eq!(discovered["result"]["supportedVersions"][0], "2026-07-28");
        assert_eq!(discovered["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "notes");
    }
}
