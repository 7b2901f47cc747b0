//! A disk that fails under a running broker: no space, read-only, I/O errors of writes and of syncs. No record, no call.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bailiwick_testkit_broker::{
    broker::Broker,
    http_client::{HttpAnswer, HttpClient, Revision},
    tools::{Need, ready},
};
use bailiwick_testkit_crash::strace::{self, Fate, Fault, attached, faulty};
use serde_json::json;

use crate::world::Depot;

const WITHIN: Duration = Duration::from_secs(20);

/// What fails, how, which of these calls, and whether the broker may go on when it is over.
const CASES: [(&str, &str, &str, bool); 6] = [
    ("pwrite64", "ENOSPC", "1+", true),
    ("pwrite64", "EDQUOT", "1+", false),
    ("pwrite64", "EROFS", "1+", false),
    ("pwrite64", "EIO", "1+", false),
    ("fsync", "ENOSPC", "1+", false),
    // Once: the next sync would succeed without what this one dropped.
    ("fsync", "EIO", "1", false),
];

/// Faults of the calls on the database, until this is dropped.
struct Failing(Child);

impl Failing {
    fn begin(depot: &Depot, call: &str, error: &'static str, when: &str) -> Self {
        let process = depot.broker.server_id().unwrap();
        let data = depot.broker.home().join("data");
        let files = ["bailiwick.db", "bailiwick.db-wal"].map(|name| data.join(name));
        let fault = Fault::new(call, Fate::Error(error), when);
        let paths: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
        let mut tracer = attached(process, &[fault], &paths);
        let tracer = Self(tracer.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let begun = Instant::now();
        // Every thread has to be followed: the one that writes is not the first.
        while !is_followed(process, tracer.0.id()) {
            assert!(begun.elapsed() < WITHIN, "strace does not attach");
            std::thread::sleep(Duration::from_millis(10));
        }
        tracer
    }
}

fn is_followed(process: u32, by: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.flatten().all(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.is_empty() || status.lines().any(|line| line == format!("TracerPid:\t{by}"))
    })
}

impl Drop for Failing {
    fn drop(&mut self) {
        // Interrupted, it lets go of the broker; killed, it could take it along.
        drop(Command::new("kill").args(["-INT", &self.0.id().to_string()]).status());
        drop(self.0.wait());
    }
}

async fn look(client: &mut HttpClient<'_>) -> HttpAnswer {
    client.ask("tools/call", json!({ "name": "lookup", "arguments": { "path": "/public/a" } })).await
}

fn is_answered(answer: &HttpAnswer) -> bool {
    answer.messages().iter().any(|message| {
        message.pointer("/result/content/0/text").is_some_and(|text| text.to_string().contains("lookup {"))
    })
}

async fn until(depot: &Depot, ready: bool, case: &str) {
    let begun = Instant::now();
    while depot.broker.is_ready() != ready {
        assert!(begun.elapsed() < WITHIN, "{case}: readiness is not {ready}\n{}", depot.broker.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Nothing is forwarded, nothing is changed, and the broker says why.
async fn is_refused(depot: &Depot, client: &mut HttpClient<'_>, case: &str) {
    let before = depot.ledger.acts();
    for _ in 0..5 {
        let answer = look(client).await;
        assert!(answer.body.contains("evidence_unavailable"), "{case}: {} {}", answer.status, answer.body);
    }
    assert_eq!(depot.ledger.acts(), before, "{case}: no record, no call");
    until(depot, false, case).await;
    let doctor = depot.broker.run(&["doctor"]);
    assert_eq!(doctor.code, 8, "{case}: {}", doctor.stdout);
    assert!(doctor.stdout.contains("its store does not answer"), "{case}: {}", doctor.stdout);
    let suspended = depot.broker.run(&["agents", "suspend", "clerk-1", "--reason", "a test"]);
    assert_ne!(suspended.code, 0, "{case}: no record, no change");
}

/// The disk is well again, and the broker still does nothing: it cannot know what was lost.
async fn asks_for_a_restart(depot: &Depot, client: &mut HttpClient<'_>, case: &str) {
    let before = depot.ledger.acts();
    let answer = look(client).await;
    assert!(answer.body.contains("evidence_unavailable"), "{case}, after: {}", answer.body);
    assert!(!depot.broker.is_ready(), "{case}: it goes on with a disk that lost something");
    let told = depot.broker.run(&["doctor"]).stdout;
    assert!(told.contains("check the disk, then restart"), "{case}: {told}");
    assert_eq!(depot.ledger.acts(), before, "{case}");
}

/// Every call that was answered or reached the upstream has its records. Intents may be more: a commit whose sync failed
/// was refused, and can still be on the disk.
fn keeps_its_word(depot: &Depot, answered: usize, case: &str) {
    let evidence = depot.broker.evidence();
    let of_kind = |kind: &str| evidence.iter().filter(|line| line["entry"]["kind"] == kind).count();
    let (acts, intents, outcomes) = (depot.ledger.acts(), of_kind("intent"), of_kind("outcome"));
    assert_eq!(acts, answered, "{case}: what reached the upstream was answered");
    assert!(intents >= acts, "{case}: {acts} calls reached the upstream, and {intents} have their intent");
    assert_eq!(intents, outcomes, "{case}: every intent is closed");
    depot.broker.run(&["audit", "verify"]).succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_disk_refuses_every_call_and_the_broker_says_so() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    if !strace::ready() {
        return;
    }
    let mut depot = Depot::stdio(&tools);
    let clerk = depot.broker.register("clerk-1", "clerk", &[]);
    let mut answered = 0;
    for (call, error, when, goes_on) in CASES {
        let case = format!("{error} of {call}, {when}");
        let mut client = HttpClient::connect(&depot.broker, &clerk, "depot", Revision::Stateless).await;
        let answer = look(&mut client).await;
        assert!(is_answered(&answer), "{case}, before: {}", answer.body);

        let failing = Failing::begin(&depot, call, error, when);
        is_refused(&depot, &mut client, &case).await;
        drop(failing);

        if goes_on {
            until(&depot, true, &case).await;
        } else {
            asks_for_a_restart(&depot, &mut client, &case).await;
            depot.broker.kill();
            depot.broker.serve_verified();
            client = HttpClient::connect(&depot.broker, &clerk, "depot", Revision::Stateless).await;
        }
        // Suspending it was refused, so it still may.
        let answer = look(&mut client).await;
        assert!(is_answered(&answer), "{case}, at last: {}", answer.body);
        answered += 2;
        depot.broker.kill();
        depot.broker.serve_verified();
        keeps_its_word(&depot, answered, &case);
    }
}

#[test]
fn a_start_without_space_ends_with_the_next_step_and_changes_nothing() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    if !strace::ready() {
        return;
    }
    for error in ["ENOSPC", "EROFS", "EIO"] {
        let mut broker = Broker::started(&tools);
        let entries =
            |broker: &Broker| -> Vec<_> { broker.evidence().into_iter().map(|line| line["entry"].clone()).collect() };
        let evidence = entries(&broker);
        broker.kill();
        let data = broker.home().join("data");
        let database = || fs::read(data.join("bailiwick.db")).unwrap();
        let before = database();
        let files = ["bailiwick.db", "bailiwick.db-wal"].map(|name| data.join(name));
        let paths: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
        let faults = [Fault::new("pwrite64", Fate::Error(error), "1+")];
        let told = broker.scratch().join("told");
        assert!(!broker.serve_traced(|command| faulty(command, &told, &faults, &paths)), "{error}: it serves");
        assert!(broker.has_ended() && broker.log().contains("is its disk full"), "{error}: {}", broker.log());
        broker.kill();
        assert!(database() == before, "{error}: the database was changed");
        broker.serve();
        broker.run(&["audit", "verify"]).succeeded();
        assert!(entries(&broker).starts_with(&evidence), "{error}: evidence is gone");
    }
}
