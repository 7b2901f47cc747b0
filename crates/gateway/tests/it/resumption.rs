//! Streams that break and are taken up again (2025-11-25), and everybody who
//! tries that with another's.

use std::{sync::atomic::Ordering, time::Duration};

use bailiwick_engine::agents;
use serde_json::{Value, json};

use crate::bench::{Answered, Bench, Caller, Events, HANDSHAKE, operator, read, soon};

/// A call of a client that wants a stream in any case.
fn streamed(caller: &Caller, id: u64, tool: &str) -> reqwest::RequestBuilder {
    streamed_with(caller, id, tool, json!({}))
}

fn streamed_with(caller: &Caller, id: u64, tool: &str, arguments: Value) -> reqwest::RequestBuilder {
    let params = json!({ "name": tool, "arguments": arguments, "_meta": { "progressToken": "mine" } });
    let body = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
    let mut request = caller.post().header("mcp-protocol-version", HANDSHAKE).body(body.to_string()).build().unwrap();
    request.headers_mut().insert("accept", "text/event-stream, application/json".parse().unwrap());
    reqwest::RequestBuilder::from_parts(reqwest::Client::builder().no_proxy().build().unwrap(), request)
}

/// Opens a slow call, reads some of its progress, and loses the connection. Gives the id of the last event and its
/// progress.
async fn broken(caller: &Caller, id: u64) -> (String, u64) {
    let mut events = Events::open(streamed(caller, id, "slow")).await;
    events.next().await.unwrap();
    let seen = events.next().await.unwrap();
    assert_eq!(events.retry.as_deref(), Some("1000"));
    (events.last_id.clone().unwrap(), seen["params"]["progress"].as_u64().unwrap())
}

async fn session(bench: &Bench) -> Caller {
    let mut worker = bench.worker().await;
    worker.open_session(json!({})).await;
    worker
}

async fn recorded(bench: &Bench, status: &str) -> usize {
    bench.broker.drained().await;
    let filter = bailiwick_ports::store::EntryFilter { limit: 1_000, ..Default::default() };
    let entries = bench.broker.store().entries(filter).await.unwrap();
    entries.iter().filter(|entry| String::from_utf8_lossy(&entry.leaf).contains(status)).count()
}

fn is_refused(answer: &Answered) {
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.message()["id"], Value::Null);
    for told in ["at last", "still at it", "Ann"] {
        assert!(!answer.text.contains(told), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_where_it_broke_and_its_call_is_sent_once() {
    let bench = Bench::new().await;
    let worker = session(&bench).await;
    let (last_id, progress) = broken(&worker, 5).await;
    // Its client comes back in the middle, breaks off again, and comes back for the end.
    let mut again = Events::open(worker.take_up(&last_id)).await;
    assert_eq!(again.next().await.unwrap()["params"]["progress"], progress + 1, "nothing is lost, nothing told twice");
    let last_id = again.last_id.clone().unwrap();
    drop(again);
    bench.seen.finish.store(true, Ordering::SeqCst);
    let mut rest = Events::open(worker.take_up(&last_id)).await;
    let mut expected = progress + 2;
    let answer = loop {
        let event = rest.next().await.unwrap();
        if event["method"] == Value::Null {
            break event;
        }
        assert_eq!(event["params"]["progress"], expected);
        expected += 1;
    };
    assert_eq!((&answer["id"], &answer["result"]["content"][0]["text"]), (&json!(5), &json!("at last")));
    assert_eq!(rest.next().await, None);
    // The end can be read once more: nobody knows whether it arrived. The call was sent once, and ended once.
    let mut twice = Events::open(worker.take_up(&last_id)).await;
    while let Some(event) = twice.next().await {
        assert!(event["method"] != Value::Null || event == answer, "{event}");
    }
    assert_eq!((bench.seen.acts(), bench.seen.abandoned.load(Ordering::SeqCst)), (1, 0));
    assert_eq!((recorded(&bench, "succeeded").await, recorded(&bench, "cancelled").await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_again_was_masked_before() {
    let bench = Bench::new().await;
    let worker = session(&bench).await;
    let first = read(streamed(&worker, 5, "find_contacts")).await;
    let opened = first.text.lines().next().unwrap().strip_prefix("id: ").unwrap();
    assert!(first.text.starts_with(&format!("id: {opened}\nretry: 1000\ndata:\n\n")), "{}", first.text);
    assert_eq!(first.message()["result"]["structuredContent"]["contacts"][0]["name"], "Ann");
    assert!(!first.text.contains("a@b.c"), "{}", first.text);
    let again = read(worker.take_up(opened)).await;
    assert_eq!(again.message(), first.message());
    assert!(!again.text.contains("a@b.c"), "{}", again.text);
    assert_eq!(bench.seen.acts(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_takes_a_stream_up_nor_guesses_one() {
    let bench = Bench::new().await;
    let mut worker = session(&bench).await;
    let (last_id, _) = broken(&worker, 5).await;
    let (stream, number) = last_id.split_once('.').unwrap();
    // Another agent, in its own session and in this one.
    let mut thief = bench.agent("thief", "worker", "/mcp/notes", None).await;
    thief.open_session(json!({})).await;
    is_refused(&read(thief.take_up(&last_id)).await);
    thief.session = worker.session.clone();
    assert_eq!(read(thief.take_up(&last_id)).await.status, 404, "another's session is none");
    // The same agent with a token that another key proves, in the same session.
    let mut other_key = bench.other_key(&worker).await;
    other_key.session = worker.session.clone();
    assert_eq!(other_key.in_session(9, "ping", json!({})).await.message()["result"], json!({}), "it works as such");
    is_refused(&read(other_key.take_up(&last_id)).await);
    // Another endpoint's token, no token, no session.
    let url = format!("{}/mcp/notes", worker.url.trim_end_matches("/mcp/notes"));
    let bare = bench.http.get(url).header("last-event-id", &last_id);
    assert_eq!(read(bare.header("mcp-session-id", worker.session.clone().unwrap())).await.status, 401);
    let own = worker.session.take();
    assert_eq!(read(worker.take_up(&last_id)).await.status, 400);
    // Another session of the same agent.
    worker.open_session(json!({})).await;
    is_refused(&read(worker.take_up(&last_id)).await);
    worker.session = own;
    // Ids that were never given.
    for forged in [
        format!("{stream}.{}", u64::MAX),
        format!("{stream}.1000000"),
        format!("{stream}.0{number}"),
        format!("{}.{number}", "A".repeat(22)),
        stream.to_owned(),
        number.to_owned(),
        "0".to_owned(),
        "x".repeat(4_000),
    ] {
        is_refused(&read(worker.take_up(&forged)).await);
    }
    is_refused(&read(worker.take_up(&last_id).header("last-event-id", &last_id)).await);
    assert_eq!(bench.seen.acts(), 1, "nothing of all that reached the upstream");
    // Whoever is entitled still gets it.
    assert!(Events::open(worker.take_up(&last_id)).await.next().await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_with_less_than_the_call_was_made_with_gets_nothing() {
    let bench = Bench::new().await;
    let mut worker = session(&bench).await;
    let check = async |worker: &mut Caller, own: &String, other: &String, last_id: &str, what: &str| {
        worker.token.clone_from(other);
        assert_eq!(
            worker.in_session(9, "ping", json!({})).await.message()["result"],
            json!({}),
            "{what}: it works as such"
        );
        is_refused(&read(worker.take_up(last_id)).await);
        // That ends nothing for whoever is entitled.
        worker.token.clone_from(own);
        assert_eq!(read(worker.take_up(last_id)).await.status, 200, "{what}");
    };
    let own = worker.token.clone();
    let last_id = opened(&read(streamed(&worker, 5, "find_contacts")).await);
    let [reading, other_reading] =
        [bench.task(&worker, "notes.read_note").await, bench.task(&worker, "notes.find_contacts").await];
    for (what, scopes, task) in [
        ("a token that only writes", Some(&["notes:write"][..]), None),
        ("a token that only reads", Some(&["notes:read"][..]), None),
        ("a token of a task without the tool", None, Some(reading)),
        ("a token of a task with the tool", None, Some(other_reading)),
    ] {
        let other = bench.another_token(&worker, scopes, task).await;
        check(&mut worker, &own, &other, &last_id, what).await;
    }
    // A new token that says the same is as good.
    worker.token = bench.another_token(&worker, None, None).await;
    assert_eq!(read(worker.take_up(&last_id)).await.status, 200);
    // From elsewhere, and back.
    bench.elsewhere.store(true, Ordering::SeqCst);
    is_refused(&read(worker.take_up(&last_id)).await);
    bench.elsewhere.store(false, Ordering::SeqCst);
    assert_eq!(read(worker.take_up(&last_id)).await.status, 200);
    // What was called in a task is told in that task alone.
    let own = bench.another_token(&worker, None, Some(other_reading)).await;
    worker.token.clone_from(&own);
    let last_id = opened(&read(streamed(&worker, 6, "find_contacts")).await);
    let other_task = bench.task(&worker, "notes.find_contacts").await;
    for (what, task) in [("another task", Some(other_task)), ("no task", None)] {
        let other = bench.another_token(&worker, None, task).await;
        check(&mut worker, &own, &other, &last_id, what).await;
    }
    assert_eq!(bench.seen.acts(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_takes_a_stream_up_once() {
    let bench = Bench::new().await;
    let worker = session(&bench).await;
    let (last_id, _) = broken(&worker, 5).await;
    let proof = worker.proof("GET");
    let get = || worker.with_proof(bench.http.get(&worker.url), &proof).header("last-event-id", &last_id);
    drop(Events::open(get()).await);
    assert_eq!(read(get()).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_answer_is_gone_with_the_permission() {
    let bench = Bench::new().await;
    bench.seen.finish.store(true, Ordering::SeqCst);
    let worker = session(&bench).await;
    let first = read(streamed(&worker, 5, "find_contacts")).await;
    let opened = first.text.lines().next().unwrap().strip_prefix("id: ").unwrap().to_owned();
    assert_eq!(read(worker.take_up(&opened)).await.message(), first.message());
    // The policy of now forbids the call: what it brought is not handed out any more, not even when it is back.
    let before = bench.broker.live().policy.clone().unwrap();
    let mut files = bench.files();
    files.insert("roles/worker.toml".to_owned(), b"purpose = \"Keep notes\"\nallow = []\n".to_vec());
    files.insert("policies/organisation/notes.cedar".to_owned(), Vec::new());
    bench.publish(files).await;
    assert_ne!(bench.broker.live().policy.clone().unwrap().revision(), before.revision());
    is_refused(&read(worker.take_up(&opened)).await);
    bench.publish(bench.files()).await;
    is_refused(&read(worker.take_up(&opened)).await);
    assert_eq!(bench.seen.acts(), 1);
}

/// The id of the event that opens a stream which was read to its end.
fn opened(answer: &Answered) -> String {
    answer.text.lines().next().unwrap().strip_prefix("id: ").unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_before_a_mask_is_not_told_again_after_it() {
    let bench = Bench::new().await;
    let worker = session(&bench).await;
    let mut unmasked = bench.files();
    unmasked.insert("policies/organisation/notes.cedar".to_owned(), Vec::new());
    bench.publish(unmasked.clone()).await;
    let first = read(streamed(&worker, 5, "find_contacts")).await;
    assert!(first.text.contains("a@b.c"), "{}", first.text);
    // A policy that obliges to no more changes nothing.
    unmasked.insert("roles/other.toml".to_owned(), b"purpose = \"Do nothing\"\nallow = []\n".to_vec());
    bench.publish(unmasked).await;
    assert_eq!(read(worker.take_up(&opened(&first))).await.message(), first.message());
    bench.publish(bench.files()).await;
    let refused = read(worker.take_up(&opened(&first))).await;
    assert!(!refused.text.contains("a@b.c"), "{}", refused.text);
    is_refused(&refused);
    // Which fields a mask covers is the catalogue's word, and that can grow with any bundle.
    let masked = read(streamed(&worker, 6, "find_contacts")).await;
    assert!(masked.text.contains("Ann"), "{}", masked.text);
    let mut more = bench.files();
    let system = String::from_utf8(more["systems/notes.toml"].clone()).unwrap();
    let system = system.replace("[\"contacts.*.email\"]", "[\"contacts.*.email\", \"contacts.*.name\"]");
    more.insert("systems/notes.toml".to_owned(), system.into_bytes());
    bench.publish(more).await;
    is_refused(&read(worker.take_up(&opened(&masked))).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_session_and_with_its_agent() {
    let bench = Bench::new().await;
    let worker = session(&bench).await;
    let (last_id, _) = broken(&worker, 5).await;
    assert_eq!(read(worker.delete()).await.status, 200);
    assert_eq!(read(worker.take_up(&last_id)).await.status, 404);
    soon("the upstream hears of it", || bench.seen.abandoned.load(Ordering::SeqCst) == 1).await;

    let mut other = bench.agent("other", "worker", "/mcp/notes", None).await;
    other.open_session(json!({})).await;
    let (last_id, _) = broken(&other, 5).await;
    agents::suspend(&bench.broker, &operator(), &other.name, "lost").await.unwrap();
    let refused = read(other.take_up(&last_id)).await;
    assert!((400..500).contains(&refused.status) && !refused.text.contains("still at it"), "{refused:?}");
    soon("the upstream hears of it", || bench.seen.abandoned.load(Ordering::SeqCst) == 2).await;
    assert_eq!(bench.seen.acts(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_come_back_in_time_cancels() {
    let bench = Bench::patient(false, Duration::from_millis(50)).await;
    let worker = session(&bench).await;
    let (last_id, _) = broken(&worker, 5).await;
    soon("the upstream hears of it", || bench.seen.abandoned.load(Ordering::SeqCst) == 1).await;
    is_refused(&read(worker.take_up(&last_id)).await);
    assert_eq!(recorded(&bench, "cancelled").await, 1);
    // An answer that nobody came for is not kept either.
    let first = read(streamed(&worker, 6, "find_contacts")).await;
    let opened = first.text.lines().next().unwrap().strip_prefix("id: ").unwrap().to_owned();
    tokio::time::sleep(Duration::from_millis(100)).await;
    is_refused(&read(worker.take_up(&opened)).await);
    assert_eq!(bench.seen.acts(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_can_be_taken_up_for_nothing() {
    let bench = Bench::new().await;
    let worker = session(&bench).await;
    let (last_id, _) = broken(&worker, 5).await;
    let note = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 5 } });
    assert_eq!(worker.raw(note.to_string()).await.status, 202);
    soon("the upstream hears of it", || bench.seen.abandoned.load(Ordering::SeqCst) == 1).await;
    let mut rest = Events::open(worker.take_up(&last_id)).await;
    while let Some(event) = rest.next().await {
        assert_eq!(event["method"], "notifications/progress", "no answer: {event}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_one_reader() {
    let bench = Bench::new().await;
    let worker = session(&bench).await;
    let (last_id, _) = broken(&worker, 5).await;
    let mut first = Events::open(worker.take_up(&last_id)).await;
    first.next().await.unwrap();
    let mut second = Events::open(worker.take_up(&last_id)).await;
    while first.next().await.is_some() {}
    assert!(second.next().await.is_some());
    assert_eq!(bench.seen.acts(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_streams_costs_its_sender_alone() {
    let bench = Bench::new().await;
    let worker = session(&bench).await;
    // What has ended makes room, the oldest first.
    let mut ids = Vec::new();
    for id in 0..66 {
        let answer = read(streamed(&worker, id, "find_contacts")).await;
        ids.push(answer.text.lines().next().unwrap().strip_prefix("id: ").unwrap().to_owned());
    }
    is_refused(&read(worker.take_up(&ids[0])).await);
    is_refused(&read(worker.take_up(&ids[1])).await);
    assert_eq!(read(worker.take_up(&ids[2])).await.status, 200);
    // What runs does not: the next ones are served, and cannot be taken up again.
    let mut other = bench.agent("other", "worker", "/mcp/notes", None).await;
    other.open_session(json!({})).await;
    let mut open = Vec::new();
    for id in 0..65 {
        let mut events = Events::open(streamed(&other, id, "slow")).await;
        events.next().await.unwrap();
        open.push(events);
    }
    assert!(open[63].last_id.is_some());
    assert_eq!((&open[64].last_id, &open[64].retry), (&None, &None));
    // Streams taken up count like calls under way: together there is an end to them.
    let last_id = ids[65].clone();
    assert_eq!(read(worker.take_up(&last_id)).await.status, 200, "nobody else notices");
    let ended = bench.seen.abandoned.load(Ordering::SeqCst);
    drop(open.pop());
    soon("who cannot come back cancels", || bench.seen.abandoned.load(Ordering::SeqCst) == ended + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_sends_counts_as_what_is_kept() {
    let bench = Bench::new().await;
    let worker = session(&bench).await;
    // Short as text, and large in memory.
    let many = json!({ "pad": vec![0; 60_000] });
    let mut events = Events::open(streamed_with(&worker, 0, "slow", many)).await;
    events.next().await.unwrap();
    assert_eq!((&events.last_id, &events.retry), (&None, &None), "served, and not to be taken up again");
    // Eight mebibytes for one agent, of which each call takes almost one.
    let mut open = Vec::new();
    for id in 1..=12 {
        let large = json!({ "pad": "x".repeat(1_000_000) });
        let mut events = Events::open(streamed_with(&worker, id, "slow", large)).await;
        events.next().await.unwrap();
        open.push(events);
    }
    assert_eq!(open.iter().filter(|events| events.last_id.is_some()).count(), 8);
    // Nobody else pays for it.
    let mut other = bench.agent("other", "worker", "/mcp/notes", None).await;
    other.open_session(json!({})).await;
    broken(&other, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_knows_of_resumption_is_offered_it() {
    let bench = Bench::new().await;
    let worker = session(&bench).await;
    let plain = |text: &str| assert!(!text.contains("id: ") && !text.contains("retry: "), "{text}");
    for revision in [None, Some("2025-06-18"), Some("2025-03-26")] {
        let mut request = streamed(&worker, 7, "find_contacts").build().unwrap();
        request.headers_mut().remove("mcp-protocol-version");
        if let Some(revision) = revision {
            request.headers_mut().insert("mcp-protocol-version", revision.parse().unwrap());
        }
        plain(&bench.http.execute(request).await.unwrap().text().await.unwrap());
    }
    let mut request =
        worker.stateless("tools/call", json!({ "name": "find_contacts", "arguments": {} })).build().unwrap();
    request.headers_mut().insert("accept", "text/event-stream, application/json".parse().unwrap());
    plain(&bench.http.execute(request).await.unwrap().text().await.unwrap());
    // Who takes JSON as well gets it where that is enough.
    let params = json!({ "name": "find_contacts", "arguments": {} });
    let call = json!({ "jsonrpc": "2.0", "id": 8, "method": "tools/call", "params": params });
    let answer = read(worker.post().header("mcp-protocol-version", HANDSHAKE).body(call.to_string())).await;
    assert_eq!(answer.headers["content-type"], "application/json");
}
