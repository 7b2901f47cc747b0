//! Agents that come for one job and go: hundreds at once, none left behind, nobody else disturbed. And however an agent
//! ends, measured to the last call that was allowed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bailiwick_testkit_broker::{
    broker::{Agent, Broker},
    http_client::{HttpAnswer, HttpClient, Revision, send},
    stdio_client::succeeded,
    tools::{Need, ready},
};
use futures::{
    future::join_all,
    stream::{self, StreamExt as _},
};
use serde_json::{Value, json};

use crate::world::Depot;

/// Jobs at the same time, unless the variable says how many.
const JOBS: usize = 100;
/// How many are registered at the same time: each by a process of its own.
const AT_THE_DESK: usize = 4;
/// Messages that are under way at the same time, of all jobs.
const AT_ONCE: usize = 32;
/// Workers that call with one agent's token at the same time.
const WORKERS: usize = 4;
/// Calls of one worker at most, so that an end that ends nothing fails instead of running for ever.
const CALLS_MAX: usize = 10_000;

fn jobs() -> usize {
    std::env::var("BAILIWICK_JOBS").map_or(JOBS, |jobs| jobs.parse().unwrap())
}

fn lookup() -> Value {
    json!({ "name": "lookup", "arguments": { "path": "/public/a" } })
}

fn was_allowed(answer: &HttpAnswer) -> bool {
    answer.status == 200
        && answer.messages().iter().any(|told| told["result"].is_object() && told["result"]["isError"] != true)
}

async fn deregister(client: &HttpClient<'_>, url: &str) -> HttpAnswer {
    let assertion = client.assertion();
    let form = [
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion.as_str()),
    ];
    send(reqwest::Client::new().post(format!("{url}/oauth/deregister")).form(&form)).await
}

/// Calls until `done`; every call must succeed. Counts them.
async fn go_on(mut client: HttpClient<'_>, done: &AtomicBool) -> usize {
    let mut calls = 0;
    while !done.load(Ordering::SeqCst) {
        let answer = client.ask("tools/call", lookup()).await;
        assert!(was_allowed(&answer), "a bystander was disturbed: {} {}", answer.status, answer.body);
        calls += 1;
    }
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_come_work_and_go_and_nothing_of_them_is_left() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let mut depot = Depot::stdio(&tools);
    let (broker, url) = (&depot.broker, depot.broker.url());
    let steady = broker.register("steady", "reader", &[]);
    let bystander = HttpClient::connect(broker, &steady, "depot", Revision::Stateless).await;
    let numbers: Vec<usize> = (0..jobs()).collect();
    let done = AtomicBool::new(false);
    let all_jobs = async {
        let agents: Vec<Agent> = tokio::task::block_in_place(|| {
            std::thread::scope(|scope| {
                let share = numbers.len().div_ceil(AT_THE_DESK);
                let desks = numbers.chunks(share).map(|numbers| {
                    let register = |number: &usize| {
                        broker.register_new(&format!("job-{number}"), "reader", &["--lifetime-days", "1"])
                    };
                    scope.spawn(move || numbers.iter().map(register).collect::<Vec<_>>())
                });
                let desks: Vec<_> = desks.collect();
                desks.into_iter().flat_map(|desk| desk.join().unwrap()).collect()
            })
        });
        // All of them have a token before the first of them works, and all have worked before the first of them goes.
        let clients: Vec<_> = stream::iter(&agents)
            .map(|agent| HttpClient::connect(broker, agent, "depot", Revision::Stateless))
            .buffered(AT_ONCE)
            .collect()
            .await;
        let worked: Vec<_> = stream::iter(clients)
            .map(async |mut client| {
                succeeded(&client.call("lookup", json!({ "path": "/public/a" })).await);
                client
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        let gone: Vec<_> = stream::iter(worked)
            .map(async |mut client| {
                let answer = deregister(&client, &url).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                let late = client.ask("tools/call", lookup()).await;
                assert!(!was_allowed(&late), "a job called after its end");
                assert!(!client.ask_token().await.status.is_success(), "and got a token");
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        done.store(true, Ordering::SeqCst);
        gone.len()
    };
    let (undisturbed, gone) = tokio::join!(go_on(bystander, &done), all_jobs);
    assert_eq!(gone, numbers.len());
    assert!(undisturbed > 0);

    nothing_is_left(broker, numbers.len());
    let retired = broker.evidence().iter().filter(|line| line["entry"]["body"]["change"] == "retired").count();
    assert_eq!(retired, numbers.len(), "each end is evidence");
    depot.broker.kill();
    depot.broker.serve();
    nothing_is_left(&depot.broker, numbers.len());
}

/// Every job is retired without a key, and no grant, token or task but that of `steady` stands.
fn nothing_is_left(broker: &Broker, jobs: usize) {
    let listed = broker.run(&["agents", "list", "--output", "json"]).succeeded().json();
    let of_jobs: Vec<&Value> =
        listed["agents"].as_array().unwrap().iter().filter(|agent| agent["name"] != "steady").collect();
    assert_eq!(of_jobs.len(), jobs);
    for job in of_jobs {
        assert_eq!((job["state"].as_str(), job["keys"].as_array().map(Vec::len)), (Some("retired"), Some(0)), "{job}");
    }
    let grants = broker.run(&["grants", "list", "--output", "json"]).succeeded().json();
    assert_eq!(grants["grants"], json!([]));
    let tokens = broker.run(&["tokens", "list", "--output", "json"]).succeeded().json();
    let standing: Vec<&Value> =
        tokens["tokens"].as_array().unwrap().iter().filter(|one| one["state"] == "active").collect();
    assert!(standing.iter().all(|token| token["client"] == "steady"), "{standing:?}");
    let tasks = broker.run(&["tasks", "list", "--output", "json"]).succeeded().json();
    assert_eq!(tasks["tasks"], json!([]));
}

/// Calls until it is refused. Counts what was allowed, and of that what began after the answer.
async fn work(mut worker: HttpClient<'_>, answered: Arc<AtomicBool>) -> [usize; 2] {
    let mut counts = [0, 0];
    for _ in 0..CALLS_MAX {
        let late = answered.load(Ordering::SeqCst);
        let allowed = was_allowed(&worker.ask("tools/call", lookup()).await);
        counts[0] += usize::from(allowed);
        counts[1] += usize::from(allowed && late);
        if late && !allowed {
            return counts;
        }
    }
    panic!("it was never refused: {counts:?}");
}

/// How an agent comes to its end.
#[derive(Debug, Clone, Copy)]
enum End {
    Retired,
    OwnerLeft,
    Deregistered,
}

#[tokio::test(flavor = "multi_thread")]
async fn however_an_agent_ends_no_call_is_allowed_after_the_answer() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let (broker, url) = (&depot.broker, depot.broker.url());
    let steady = broker.register("steady", "reader", &[]);
    for (end, name) in [(End::Retired, "ends-1"), (End::OwnerLeft, "ends-2"), (End::Deregistered, "ends-3")] {
        let agent = broker.register(name, "reader", &[]);
        broker.run(&["agents", "owner", name, "leaver"]).succeeded();
        let bystander = HttpClient::connect(broker, &steady, "depot", Revision::Stateless).await;
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            workers.push(HttpClient::connect(broker, &agent, "depot", Revision::Stateless).await);
        }
        let last = HttpClient::connect(broker, &agent, "depot", Revision::Stateless).await;
        let (answered, done) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
        let (before, key) = (depot.ledger.acts(), agent.key_file.to_string_lossy().into_owned());
        let ended = async {
            while depot.ledger.acts() < before + 20 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let command = match end {
                End::Retired => vec!["agents", "retire", name, "--reason", "done"],
                End::OwnerLeft => vec!["agents", "owner-left", "leaver", "--hours", "0", "--reason", "left"],
                End::Deregistered => vec!["deregister", "--agent", name, "--key", &key],
            };
            let ended = tokio::process::Command::from(broker.command(&command)).output().await.unwrap();
            assert!(ended.status.success(), "{end:?}: {}", String::from_utf8_lossy(&ended.stderr));
            answered.store(true, Ordering::SeqCst);
        };
        let calls = async {
            let counts = join_all(workers.into_iter().map(|worker| work(worker, Arc::clone(&answered)))).await;
            done.store(true, Ordering::SeqCst);
            counts
        };
        let (counts, (), undisturbed) = tokio::join!(calls, ended, go_on(bystander, &done));
        let [allowed, late]: [usize; 2] = [0, 1].map(|at| counts.iter().map(|count| count[at]).sum());
        assert!(allowed > 0 && undisturbed > 0, "{end:?}: {counts:?}, {undisturbed}");
        assert_eq!(late, 0, "{end:?}: allowed although it began after the answer: {counts:?}");
        // One that was stopped has no word any more: whoever has its key must not be able to end it for good.
        assert_eq!(deregister(&last, &url).await.status, 401, "{end:?}");
    }
}
