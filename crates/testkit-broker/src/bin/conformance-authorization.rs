//! The broker as the authorization server that the conformance suite looks at. The suite's client has no key, and no
//! user: a door before the broker adds an assertion and a proof to its token requests, and whoever reads a URL for
//! "your browser" hands it over here, where a user who signed in at a real browser opens it and agrees.
//!
//! The first line that it writes is the issuer to use, with the client `suite-1`; each line that it reads is a URL to open.
//! It ends, and the broker with it, when its standard input does.
#![expect(clippy::panic, clippy::expect_used, reason = "a harness that fails says with what, and the suite counts it")]

use std::{
    env,
    io::{self, BufRead as _, Write as _},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, Response, header},
};
use bailiwick_keys::agent_key::ProofSubject;
use bailiwick_testkit_broker::{
    broker::{Agent, Broker},
    person::{Person, Visit},
    tools::{Need, ready},
};
use jiff::Timestamp;
use reqwest::{Client, Url, redirect::Policy};
use tokio::net::TcpListener;
use uuid::Uuid;

const CLIENT: &str = "suite-1";
const SYSTEM: &str = "suite";
const CALLBACK: &str = "http://127.0.0.1/callback";
const ROLE: &str = "purpose = \"Run the conformance suite\"\nallow = [\"suite:read\"]\n";
/// The suite asks whether clients can be known by a document, and plays none.
const CLIENTS: &str = "urls = [\"https://conformance-test.local/client-metadata.json\"]\nowner = \"it@example.com\"\n\
                       purpose = \"Run the conformance suite\"\nenvironment = \"development\"\nrole = \"suite-runner\"\n";
const CLASS: &str = "[lookup]\nclass = \"read\"\neffect = { records = 0, reversible = true }\n";
/// The longest message that passes the door.
const MESSAGE_BYTES_MAX: usize = 1_024 * 1_024;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

struct Door {
    http: Client,
    /// Where the broker listens.
    broker: String,
    /// What clients call it: where this door listens.
    issuer: String,
    agent: Agent,
    nonce: Mutex<Option<String>>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(tools) = ready(&[Need::Broker, Need::Browser]) else { return ExitCode::FAILURE };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let issuer = format!("http://{}", listener.local_addr().expect("a listener has an address"));
    let mut broker = Broker::init(&tools);
    let settings = broker.read("bailiwick.toml");
    broker.write("bailiwick.toml", &format!("public_url = \"{issuer}\"\n{settings}"));
    let fixture = env::current_exe().expect("a program").with_file_name("fixture-upstream");
    let scratch = |name: &str| broker.scratch().join(name).to_string_lossy().into_owned();
    std::fs::create_dir(scratch("control")).expect("a folder");
    let (ledger, control) = (scratch("ledger"), scratch("control"));
    broker.add_stdio(SYSTEM, &[&fixture.to_string_lossy(), "--ledger", &ledger, "--control", &control], &[]);
    broker.classify(SYSTEM, CLASS);
    broker.write("roles/suite-runner.toml", ROLE);
    broker.write("clients/suite.toml", CLIENTS);
    broker.publish();
    broker.serve_verified();
    let agent = broker.register(CLIENT, "suite-runner", &["--redirect-uri", CALLBACK]);
    let http = Client::builder().redirect(Policy::none()).build().expect("a client");
    let door = Door { http, broker: broker.url(), issuer: issuer.clone(), agent, nonce: Mutex::default() };
    let router = Router::new().fallback(pass).with_state(Arc::new(door));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let person = tokio::task::block_in_place(|| Person::sign_in(&tools, &broker, "ada"));
    if writeln!(io::stdout(), "{issuer}").and_then(|()| io::stdout().flush()).is_err() {
        return ExitCode::FAILURE;
    }
    let (lines, mut asked) = tokio::sync::mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        io::stdin().lock().lines().map_while(Result::ok).all(|line| lines.blocking_send(line).is_ok())
    });
    while let Some(line) = asked.recv().await {
        let url = Url::parse(line.trim()).expect("a URL to open");
        let redirect = url.query_pairs().find(|(name, _)| name == "redirect_uri").map(|(_, uri)| uri.into_owned());
        match person.answer(&url, &redirect.expect("a redirect URI"), "allow").await {
            // The browser goes on to the client, which waits there.
            Visit::SentBack { url, .. } => drop(reqwest::get(url).await),
            Visit::Page { status, text } => panic!("the user was not sent back: {status}\n{text}"),
        }
    }
    ExitCode::SUCCESS
}

async fn pass(State(door): State<Arc<Door>>, message: Request) -> Response<Body> {
    let (parts, body) = message.into_parts();
    let body = to_bytes(body, MESSAGE_BYTES_MAX).await.unwrap_or_default();
    let url = format!("{}{}", door.broker, parts.uri);
    let is_token_request = parts.method == Method::POST && parts.uri.path() == "/oauth/token";
    let mut answer = door.send(&parts.method, &url, &parts.headers, &body, is_token_request).await;
    if is_token_request && answer.status() == reqwest::StatusCode::BAD_REQUEST {
        // The first proof has no nonce yet.
        answer = door.send(&parts.method, &url, &parts.headers, &body, true).await;
    }
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    let body = answer.bytes().await.unwrap_or_default();
    response.body(Body::from(body)).expect("an answer that came can be passed on")
}

impl Door {
    async fn send(
        &self,
        method: &Method,
        url: &str,
        headers: &HeaderMap,
        body: &Bytes,
        signed: bool,
    ) -> reqwest::Response {
        let mut headers = headers.clone();
        for name in [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
            headers.remove(name);
        }
        let ask = self.http.request(method.clone(), url).headers(headers);
        let ask = if signed { self.sign(ask, body) } else { ask.body(body.clone()) };
        let answer = ask.send().await.expect("the broker answers");
        if let Some(nonce) = answer.headers().get("dpop-nonce").and_then(|nonce| nonce.to_str().ok()) {
            *self.nonce.lock().unwrap_or_else(PoisonError::into_inner) = Some(nonce.to_owned());
        }
        answer
    }

    /// What the suite's client cannot do: prove who it is, and that it holds a key.
    fn sign(&self, ask: reqwest::RequestBuilder, body: &Bytes) -> reqwest::RequestBuilder {
        let (key, now, jti) = (&self.agent.key, Timestamp::now(), || Uuid::new_v4().to_string());
        let name = CLIENT.parse().expect("an agent's name");
        let assertion = key.sign_client_assertion(&self.issuer, &name, now, &jti()).expect("a signature");
        let nonce = self.nonce.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let endpoint = format!("{}/oauth/token", self.issuer);
        let subject = ProofSubject { method: "POST", uri: &endpoint, nonce: nonce.as_deref(), access_token: None };
        let proof = key.sign_dpop(&subject, now, &jti()).expect("a signature");
        let kind = ASSERTION_TYPE.replace(':', "%3A");
        let form = String::from_utf8_lossy(body);
        ask.header("dpop", proof).body(format!("{form}&client_assertion_type={kind}&client_assertion={assertion}"))
    }
}
