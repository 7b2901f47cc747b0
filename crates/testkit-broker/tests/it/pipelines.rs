//! Agents that come for one job and go: hundreds at once, none left behind, nobody else disturbed. And however an agent
//! ends, measured to the last call that was allowed.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bailiwick_keys::agent_key::AgentKey;
use bailiwick_model::jwk::SigningAlgorithm;
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
/// Messages that are under way at the same time, of all jobs.
const AT_ONCE: usize = 32;
/// Workers that call with one agent's token at the same time.
const WORKERS: usize = 4;
/// Between two calls of one worker: nobody has to be measured at full speed.
const PACE: Duration = Duration::from_millis(5);
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

/// Metadata with a key that was just made, and the key.
pub(crate) fn new_key() -> (Value, AgentKey) {
    let key = AgentKey::generate(SigningAlgorithm::ES256).unwrap();
    let jwk: Value = serde_json::from_str(key.public_jwk()).unwrap();
    (json!({ "jwks": { "keys": [jwk] } }), key)
}

/// A client that registered by itself, and what manages its registration.
pub(crate) struct Job {
    agent: Agent,
    pub(crate) uri: String,
    pub(crate) access: String,
}

impl Job {
    pub(crate) async fn ask(url: &str, token: &str, metadata: &Value) -> HttpAnswer {
        send(reqwest::Client::new().post(format!("{url}/oauth/register")).bearer_auth(token).json(metadata)).await
    }

    pub(crate) async fn register(url: &str, token: &str) -> Self {
        let (metadata, key) = new_key();
        let answer = Self::ask(url, token, &metadata).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let told = answer.message_or_body();
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        let agent = Agent { name: text("client_id"), key_file: PathBuf::new(), key };
        Self { agent, uri: text("registration_client_uri"), access: text("registration_access_token") }
    }

    /// RFC 7592 §2.3.
    async fn delete(&self) {
        let answer = send(reqwest::Client::new().delete(&self.uri).bearer_auth(&self.access)).await;
        assert_eq!(answer.status, 204, "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_come_work_and_go_and_nothing_of_them_is_left() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let mut depot = Depot::stdio(&tools);
    let (broker, url) = (&depot.broker, depot.broker.url());
    let steady = broker.register("steady", "reader", &[]);
    let bystander = HttpClient::connect(broker, &steady, "depot", Revision::Stateless).await;
    let number = jobs();
    let uses = number.to_string();
    let words =
        ["registration-tokens", "create", "--owner", "build team", "--purpose", "Build and test", "--role", "reader"];
    let words =
        [&words[..], &["--name-prefix", "job", "--max-uses", &uses, "--ttl", "1h", "--output", "json"]].concat();
    let made = broker.run(&words).succeeded().json();
    let done = AtomicBool::new(false);
    let all_jobs = async {
        let jobs: Vec<Job> = stream::iter(0..number)
            .map(|_| Job::register(&url, made["token"].as_str().unwrap()))
            .buffered(AT_ONCE)
            .collect()
            .await;
        // All of them have a token before the first of them works, and all have worked before the first of them goes.
        let clients: Vec<_> = stream::iter(&jobs)
            .map(|job| HttpClient::connect(broker, &job.agent, "depot", Revision::Stateless))
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
        // By its own key or by what manages its registration: either is the end.
        let gone: Vec<_> = stream::iter(worked.into_iter().zip(&jobs).enumerate())
            .map(async |(number, (mut client, job))| {
                match number % 2 {
                    0 => assert_eq!(deregister(&client, &url).await.status, 200),
                    _ => job.delete().await,
                }
                let late = client.ask("tools/call", lookup()).await;
                assert!(!was_allowed(&late), "a job called after its end");
                // Each failure counts against the address, which all jobs share here: a few are enough.
                assert!(number >= 3 || !client.ask_token().await.status.is_success(), "and got a token");
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        done.store(true, Ordering::SeqCst);
        gone.len()
    };
    let (undisturbed, gone) = tokio::join!(go_on(bystander, &done), all_jobs);
    assert_eq!(gone, number);
    assert!(undisturbed > 0);

    nothing_is_left(broker, number);
    let again = Job::ask(&url, made["token"].as_str().unwrap(), &json!({ "jwks": { "keys": [] } })).await;
    assert_eq!(again.status, 400, "no key");
    let again = Job::ask(&url, made["token"].as_str().unwrap(), &new_key().0).await;
    assert_eq!(again.status, 401, "the token is used up");
    let retired = broker.whole_log().iter().filter(|line| line["entry"]["body"]["change"] == "retired").count();
    assert_eq!(retired, number, "each end is evidence");
    depot.broker.kill();
    depot.broker.serve();
    nothing_is_left(&depot.broker, number);
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
        tokio::time::sleep(PACE).await;
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

/// Seconds before the review is missed at which the broker of the story starts.
const BEFORE_THE_REVIEW_S: i64 = 20;

/// A day passes in seconds: nobody looked at one of two agents in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_missed_review_stops_the_agent_and_nobody_else() {
    let Some(tools) = ready(&[Need::Broker, Need::Clock]) else { return };
    let mut depot = Depot::stdio(&tools);
    // Without a budget, which the calls of half a minute would use up.
    depot.broker.write("roles/tireless.toml", "purpose = \"Read on and on\"\nallow = [\"depot:read\"]\n");
    depot.broker.publish();
    let forgotten = depot.broker.register("forgotten", "tireless", &["--review-days", "1"]);
    let steady = depot.broker.register("steady", "tireless", &["--review-days", "90"]);
    depot.broker.kill();
    let ahead = 24 * 60 * 60 - BEFORE_THE_REVIEW_S;
    depot.broker.serve_ahead(ahead);
    depot.broker.wait_until_verified();
    let broker = &depot.broker;
    let client = async |agent| {
        let mut client = HttpClient::idle(broker, agent, "depot");
        client.ahead = jiff::SignedDuration::from_secs(ahead);
        client.take_token().await;
        client
    };
    let (mut late, bystander, worker) = (client(&forgotten).await, client(&steady).await, client(&forgotten).await);
    assert!(was_allowed(&late.ask("tools/call", lookup()).await), "until then it works");
    let (missed, done) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
    let stopped = async {
        loop {
            let recorded = broker.evidence().iter().any(|line| {
                line["entry"]["kind"] == "agent_changed"
                    && line["entry"]["body"]["agent"] == "forgotten"
                    && line["entry"]["body"]["change"] == "suspended"
            });
            if recorded {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        missed.store(true, Ordering::SeqCst);
    };
    let calls = async {
        let counts = work(worker, Arc::clone(&missed)).await;
        done.store(true, Ordering::SeqCst);
        counts
    };
    let ([allowed, after], (), undisturbed) = tokio::join!(calls, stopped, go_on(bystander, &done));
    assert!(allowed > 0 && undisturbed > 0, "{allowed}, {undisturbed}");
    assert_eq!(after, 0, "allowed after it was suspended");
    assert!(!was_allowed(&late.ask("tools/call", lookup()).await), "its token still lives, and opens nothing");
    assert!(!late.ask_token().await.status.is_success());
    let findings = broker.run(&["agents", "findings", "--output", "json"]).succeeded().json();
    assert!(findings.to_string().contains("forgotten"), "{findings}");

    // Somebody looks at it after all.
    broker.run(&["agents", "review", "forgotten", "--reason", "looked at late", "--days", "30"]).succeeded();
    broker.run(&["agents", "resume", "forgotten", "--reason", "it is needed"]).succeeded();
    let mut back = client(&forgotten).await;
    assert!(was_allowed(&back.ask("tools/call", lookup()).await));
}
