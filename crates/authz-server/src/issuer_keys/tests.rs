//! How often an issuer is asked for its keys, and what is made of its answers. It is a real server on this machine.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use axum::{Router, extract::State, response::IntoResponse as _};
use bailiwick_fetch::FetchRules;
use bailiwick_model::bundle::BundleFiles;
use bailiwick_pdp::Snapshot;
use bailiwick_testkit_engine::issuer::ForeignIssuer;
use http::{HeaderName, StatusCode, header};
use serde_json::json;

use super::*;

/// What the server answers, and how often it was asked.
#[derive(Default)]
struct Answers {
    status: u16,
    location: Option<String>,
    body: String,
    asked: AtomicUsize,
}

#[derive(Clone)]
struct Server {
    address: SocketAddr,
    answers: Arc<Mutex<Answers>>,
}

async fn answer(State(server): State<Server>) -> axum::response::Response {
    let answers = server.answers.lock().unwrap();
    answers.asked.fetch_add(1, Ordering::Relaxed);
    let location: Vec<(HeaderName, String)> =
        answers.location.iter().map(|to| (header::LOCATION, to.clone())).collect();
    let headers: http::HeaderMap = location.into_iter().map(|(name, to)| (name, to.parse().unwrap())).collect();
    (StatusCode::from_u16(answers.status).unwrap(), headers, answers.body.clone()).into_response()
}

impl Server {
    async fn start(body: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answers = Answers { status: 200, body: body.to_owned(), ..Answers::default() };
        let server = Self { address: listener.local_addr().unwrap(), answers: Arc::new(Mutex::new(answers)) };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        server
    }

    fn answers(&self, status: u16, body: &str) {
        let mut answers = self.answers.lock().unwrap();
        (answers.status, answers.body) = (status, body.to_owned());
    }

    fn asked(&self) -> usize {
        self.answers.lock().unwrap().asked.load(Ordering::Relaxed)
    }

    /// An issuer whose keys are here.
    fn issuer(&self, keys: &str) -> Issuer {
        let keys = keys.replace("HERE", &format!("http://{}", self.address));
        let text =
            format!("issuer = \"http://{}\"\nkeys = {keys}\n[id_jag]\nsubjects = {{ a = \"ada\" }}\n", self.address);
        let files = BundleFiles::new([("issuers/a.toml".to_owned(), text.into_bytes())].into()).unwrap();
        Snapshot::compile(&files).unwrap().issuers().iter().next().unwrap().clone()
    }

    fn at_jwks(&self) -> Issuer {
        self.issuer("{ jwks_uri = \"HERE/keys\" }")
    }
}

fn keys() -> IssuerKeys {
    let rules = FetchRules { allowed: vec!["127.0.0.0/8".parse().unwrap()], roots: Vec::new() };
    IssuerKeys::new(Fetcher::new(rules).unwrap())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn kid(issuer: &ForeignIssuer) -> String {
    let set: serde_json::Value = serde_json::from_str(&issuer.jwks()).unwrap();
    set["keys"][0]["kid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_crowd_asks_once() {
    let foreign = ForeignIssuer::new("x");
    let server = Server::start(&foreign.jwks()).await;
    let (keys, issuer, kid) = (Arc::new(keys()), server.at_jwks(), kid(&foreign));
    let crowd = (0..50).map(|_| {
        let (keys, issuer, kid) = (Arc::clone(&keys), issuer.clone(), kid.clone());
        tokio::spawn(async move { keys.of(&issuer, Some(&kid), at(0)).await.unwrap().len() })
    });
    for one in crowd.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), 1);
    }
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn unknown_names_of_keys_do_not_hammer_the_issuer() {
    let foreign = ForeignIssuer::new("x");
    let server = Server::start(&foreign.jwks()).await;
    let (keys, issuer) = (keys(), server.at_jwks());
    for second in 0..ASK_EVERY_S {
        for name in ["a", "b", "../c"] {
            let found = keys.of(&issuer, Some(&format!("{name}{second}")), at(second)).await.unwrap();
            assert!(found.named(Some(name)).is_none());
        }
        assert!(keys.of(&issuer, Some(&kid(&foreign)), at(second)).await.is_ok(), "others are served meanwhile");
    }
    assert_eq!(server.asked(), 1);
    keys.of(&issuer, Some("d"), at(ASK_EVERY_S)).await.unwrap();
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn a_new_key_is_found_and_a_withdrawn_one_forgotten() {
    let (old, new) = (ForeignIssuer::new("x"), ForeignIssuer::new("x"));
    let server = Server::start(&old.jwks()).await;
    let (keys, issuer) = (keys(), server.at_jwks());
    let has =
        async |kid: &str, second| keys.of(&issuer, Some(kid), at(second)).await.unwrap().named(Some(kid)).is_some();
    assert!(has(&kid(&old), 0).await);
    server.answers(200, &new.jwks());
    assert!(!has(&kid(&new), 1).await, "asked a moment ago");
    assert!(has(&kid(&new), ASK_EVERY_S).await);
    assert!(!has(&kid(&old), ASK_EVERY_S + 1).await);
    server.answers(200, &old.jwks());
    assert!(has(&kid(&new), ASK_EVERY_S + FRESH_S - 1).await);
    assert!(!has(&kid(&new), ASK_EVERY_S + FRESH_S).await, "withdrawn, and nobody named another");
}

#[tokio::test]
async fn a_failure_is_no_answer() {
    let foreign = ForeignIssuer::new("x");
    let server = Server::start("").await;
    let (keys, issuer, kid) = (keys(), server.at_jwks(), kid(&foreign));
    server.answers(500, &foreign.jwks());
    assert!(matches!(keys.of(&issuer, Some(&kid), at(0)).await, Err(KeysError::Status(500))));
    server.answers(200, &foreign.jwks());
    assert!(matches!(keys.of(&issuer, Some(&kid), at(1)).await, Err(KeysError::Waiting)));
    assert_eq!(server.asked(), 1);
    assert!(keys.of(&issuer, Some(&kid), at(ASK_EVERY_S)).await.is_ok());
    // What was known stays good for an hour, and is asked for meanwhile.
    server.answers(503, "");
    let last = ASK_EVERY_S + STALE_S_MAX - 1;
    for second in [ASK_EVERY_S + FRESH_S, last] {
        assert!(keys.of(&issuer, Some(&kid), at(second)).await.is_ok(), "{second}");
    }
    assert_eq!(server.asked(), 4);
    assert!(keys.of(&issuer, Some(&kid), at(last + ASK_EVERY_S)).await.is_err());
}

#[tokio::test]
async fn an_answer_that_leads_elsewhere_or_grows_is_none() {
    let foreign = ForeignIssuer::new("x");
    let server = Server::start(&foreign.jwks()).await;
    server.answers.lock().unwrap().location = Some("http://169.254.169.254/latest/meta-data".to_owned());
    server.answers(302, &foreign.jwks());
    assert!(matches!(keys().of(&server.at_jwks(), None, at(0)).await, Err(KeysError::Status(302))));
    let long = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(KEY_SET_BYTES_MAX));
    server.answers(200, &long);
    assert!(matches!(keys().of(&server.at_jwks(), None, at(0)).await, Err(KeysError::Fetch(_))));
    for body in ["", "[]", "{\"keys\":{}}", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}"] {
        server.answers(200, body);
        assert!(matches!(keys().of(&server.at_jwks(), None, at(0)).await, Err(KeysError::Keys(_))), "{body}");
    }
    let inside = server.issuer("{ jwks_uri = \"https://169.254.169.254/keys\" }");
    assert!(matches!(keys().of(&inside, None, at(0)).await, Err(KeysError::Fetch(FetchError::Address(_)))));
}

#[tokio::test]
async fn discovery_must_be_of_the_issuer_itself() {
    let foreign = ForeignIssuer::new("x");
    let server = Server::start("").await;
    let issuer = server.issuer("{ discovery = \"openid-configuration\" }");
    let document = |issuer: &str| json!({"issuer": issuer, "jwks_uri": format!("http://{}/keys", server.address)});
    let name = format!("http://{}", server.address);
    server.answers(200, &document(&format!("{name}/")).to_string());
    assert!(matches!(keys().of(&issuer, None, at(0)).await, Err(KeysError::Discovery(DiscoveryError::Issuer))));
    // One server answers both questions with one document, which is a key set too.
    let mut both = document(&name);
    both["keys"] = serde_json::from_str::<serde_json::Value>(&foreign.jwks()).unwrap()["keys"].clone();
    server.answers(200, &both.to_string());
    assert_eq!(keys().of(&issuer, Some(&kid(&foreign)), at(0)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn another_configuration_starts_anew() {
    let (one, other) = (ForeignIssuer::new("x"), ForeignIssuer::new("x"));
    let (first, second) = (Server::start(&one.jwks()).await, Server::start(&other.jwks()).await);
    let keys = keys();
    assert!(keys.of(&first.at_jwks(), Some(&kid(&one)), at(0)).await.is_ok());
    let moved = Issuer { keys: second.at_jwks().keys, ..first.at_jwks() };
    let found = keys.of(&moved, Some(&kid(&one)), at(1)).await.unwrap();
    assert!(found.named(Some(&kid(&one))).is_none() && found.named(Some(&kid(&other))).is_some());
}
