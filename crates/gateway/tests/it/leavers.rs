//! Somebody leaves: the directory says so over SCIM while their agent works, measured to the last call that was allowed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use bailiwick_engine::directory;
use bailiwick_model::{grant::Authentication, name::UserId, principal::Principal};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    bench::{Bench, Caller, operator},
    users::{FOR_USERS, consent_of, done},
};

/// Agents that work for each user at the same time.
const WORKERS: usize = 3;
/// Calls of one worker at most, so that a message that does nothing fails instead of running for ever.
const CALLS_MAX: usize = 5_000;

/// When a call was sent, and whether it was done.
type Made = (Instant, bool);

struct Directory<'a> {
    bench: &'a Bench,
    token: String,
}

impl Directory<'_> {
    async fn send(&self, method: reqwest::Method, path: &str, body: Value) -> Value {
        let url = format!("{}/scim/v2{path}", self.bench.issuer);
        let message = self.bench.http.request(method, url).bearer_auth(&self.token);
        let answer =
            message.header("content-type", "application/scim+json").body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null)
    }

    async fn user(&self, name: &str) -> UserId {
        let body = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name });
        let made = self.send(reqwest::Method::POST, "/Users", body).await;
        made["id"].as_str().unwrap().parse().unwrap()
    }
}

/// Calls until it is told to stop, or is refused.
async fn work(caller: Caller, stop: Arc<AtomicBool>) -> Vec<Made> {
    let mut made = Vec::new();
    while made.len() < CALLS_MAX && !stop.load(Ordering::SeqCst) {
        let began = Instant::now();
        let answer = caller.tool("read_note", json!({ "path": "/a" })).await;
        let fine = answer.status == 200 && done(&answer);
        made.push((began, fine));
        if !fine {
            break;
        }
    }
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaver_loses_the_last_call_with_the_message_that_says_so() {
    let bench = Bench::new().await;
    let mut files = bench.files();
    files.insert("policies/users/writers.cedar".to_owned(), FOR_USERS.as_bytes().to_vec());
    bench.publish(files).await;
    let made = directory::create_credential(&bench.broker, &operator(), "okta".parse().unwrap(), None).await.unwrap();
    let directory = Directory { bench: &bench, token: made.token.expose().clone() };
    let (ada, bob) = (directory.user("ada").await, directory.user("bob").await);
    let members = json!([{ "value": ada.as_str() }, { "value": bob.as_str() }]);
    let group = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "writers", "members": members,
    });
    directory.send(reqwest::Method::POST, "/Groups", group).await;

    let (stop, mut of_ada, mut of_bob) = (Arc::new(AtomicBool::new(false)), Vec::new(), Vec::new());
    for number in 0..WORKERS {
        for (user, work_of) in [(&ada, &mut of_ada), (&bob, &mut of_bob)] {
            let name = format!("worker-{number}-{}", if user == &ada { "a" } else { "b" });
            let mut caller = bench.agent(&name, "worker", "/mcp/notes", None).await;
            let proof = Authentication { at: Timestamp::now(), methods: Default::default(), acr: None };
            consent_of(&bench, user, &mut caller, (&["notes:read"], proof)).await;
            work_of.push(tokio::spawn(work(caller, Arc::clone(&stop))));
        }
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let off = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "Replace", "path": "active", "value": "False" }],
    });
    let told = Instant::now();
    directory.send(reqwest::Method::PATCH, &format!("/Users/{ada}"), off).await;
    let gone = Instant::now();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    stop.store(true, Ordering::SeqCst);

    let mut last = None;
    for work in of_ada {
        let made = work.await.unwrap();
        assert!(made.len() > 1, "it worked before");
        assert!(made.last().is_some_and(|(_, fine)| !fine), "and was stopped");
        last = last.max(made.iter().filter(|(_, fine)| *fine).map(|(began, _)| *began).max());
    }
    let last = last.unwrap();
    assert!(last < gone, "a call that was sent after the directory had its answer was allowed");
    println!(
        "last allowed call: {:?} after the message, whose answer took {:?}",
        last.saturating_duration_since(told),
        gone - told
    );
    for work in of_bob {
        let made = work.await.unwrap();
        assert!(made.len() > 1 && made.iter().all(|(_, fine)| *fine), "nobody else is concerned");
    }
    let live = bench.broker.live();
    let ada = Principal::User(ada);
    assert!(live.grants.values().all(|grant| !grant.chain.principals().contains(&ada)), "nothing is left");
}
