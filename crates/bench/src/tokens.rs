//! Tokens, tokens bound to a key, and answers about tokens, per second of processor time: each by `private_key_jwt`, here
//! with a durable record of each, and by the npm package `oidc-provider` with its memory.

use std::{
    process::{Command, Stdio},
    sync::Arc,
};

use bailiwick_keys::agent_key::{AgentKey, ProofSubject};
use bailiwick_testkit_broker::broker::{Agent, Broker};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    figure::{missing, number, tell},
    load::{Answers, Asks, closed},
    plan::Plan,
    process::{Running, cpu_s, installed},
    site::{ROLE, Site},
    wire::{Answer, Connection},
};

const CONNECTIONS: usize = 16;
const QUESTIONS_PER_S: f64 = 8_000.0;
/// Where `cargo xtask bench` put the peer's packages.
const PEER: &str = "BAILIWICK_BENCH_NODE";
const PEER_NAME: &str = "oidc-provider";
/// Form fields that are the same for all; the assertion and what is asked follow.
const FORM: &str = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";

/// What is asked for: a table of each.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// A bearer token.
    Token,
    /// A token bound to a key, with a proof under the server's nonce.
    BoundToken,
    /// Whether a token holds.
    Introspection,
}

impl Ask {
    const ALL: [Self; 3] = [Self::Token, Self::BoundToken, Self::Introspection];

    const fn table(self) -> &'static str {
        match self {
            Self::Token => "tokens",
            Self::BoundToken => "bound",
            Self::Introspection => "introspection",
        }
    }
}

/// Who answers, to whose key.
#[derive(Clone)]
struct Server {
    agent: Arc<Agent>,
    issuer: String,
    /// Path of the token endpoint.
    tokens: &'static str,
    /// Path of the introspection endpoint.
    introspection: &'static str,
    resource: String,
    /// What the peer issues tokens for that it can be asked about: it keeps no JWT.
    introspected: String,
}

impl Server {
    fn ours(agent: &Arc<Agent>, issuer: String, resource: &str) -> Self {
        let (tokens, introspection) = ("/oauth/token", "/oauth/introspect");
        let (resource, introspected) = (resource.to_owned(), resource.to_owned());
        Self { agent: Arc::clone(agent), issuer, tokens, introspection, resource, introspected }
    }

    fn peer(agent: &Arc<Agent>, issuer: String, resource: &str) -> Self {
        let (tokens, introspection) = ("/token", "/token/introspection");
        let introspected = format!("{resource}-opaque");
        Self { agent: Arc::clone(agent), issuer, tokens, introspection, resource: resource.to_owned(), introspected }
    }

    const fn path(&self, ask: Ask) -> &'static str {
        match ask {
            Ask::Token | Ask::BoundToken => self.tokens,
            Ask::Introspection => self.introspection,
        }
    }

    fn form(&self, what: &str) -> String {
        let name = self.agent.name.parse().expect("an agent's name");
        let jti = Uuid::new_v4().to_string();
        let assertion = self.agent.key.sign_client_assertion(&self.issuer, &name, Timestamp::now(), &jti);
        format!("{FORM}&{what}&client_assertion={}", assertion.expect("a signature"))
    }

    fn token_form(&self, resource: &str) -> String {
        let resource = resource.replace(':', "%3A").replace('/', "%2F");
        self.form(&format!("grant_type=client_credentials&resource={resource}"))
    }
}

/// A message that is ready to be sent.
struct Ready {
    form: String,
    proof: Option<String>,
}

struct Client {
    connection: Connection,
    server: Arc<Server>,
    ask: Ask,
    /// The token that is asked about.
    known: String,
    nonce: Option<String>,
    ready: Vec<Ready>,
}

impl Client {
    async fn open(server: &Arc<Server>, ask: Ask) -> Self {
        let known = match ask {
            Ask::Token | Ask::BoundToken => String::new(),
            Ask::Introspection => token(server, &server.introspected).await,
        };
        let connection = Connection::open(&format!("{}{}", server.issuer, server.path(ask))).await;
        Self { connection, server: Arc::clone(server), ask, known, nonce: None, ready: Vec::new() }
    }

    fn message(&self) -> Ready {
        let Server { issuer, resource, agent, tokens, .. } = &*self.server;
        match self.ask {
            Ask::Token => Ready { form: self.server.token_form(resource), proof: None },
            Ask::Introspection => Ready { form: self.server.form(&format!("token={}", self.known)), proof: None },
            Ask::BoundToken => {
                let uri = format!("{issuer}{tokens}");
                let nonce = self.nonce.as_deref();
                let subject = ProofSubject { method: "POST", uri: &uri, nonce, access_token: None };
                let proof = agent.key.sign_dpop(&subject, Timestamp::now(), &Uuid::new_v4().to_string());
                Ready { form: self.server.token_form(resource), proof: Some(proof.expect("a signature")) }
            }
        }
    }

    async fn send(&mut self, Ready { form, proof }: Ready) -> Answer {
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
        headers.extend(proof.as_deref().map(|proof| ("dpop", proof)));
        let answer = self.connection.post(&headers, form.into()).await;
        if let Some(nonce) = answer.header("dpop-nonce") {
            self.nonce = Some(nonce);
        }
        answer
    }

    /// Has the nonce of now before a round, which is shorter than a nonce is good for.
    async fn learn(&mut self) {
        if self.ask == Ask::BoundToken {
            self.nonce = None;
            let message = self.message();
            let answer = self.send(message).await;
            assert!(self.nonce.is_some(), "no nonce: {} {}", answer.status, answer.text());
        }
    }
}

impl Asks for Client {
    async fn ask(&mut self) {
        let message = self.ready.pop().unwrap_or_else(|| self.message());
        let answer = self.send(message).await;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let kind = body.get("token_type").and_then(Value::as_str).unwrap_or_default();
        let is_jwt =
            || body.get("access_token").and_then(Value::as_str).is_some_and(|token| token.split('.').count() == 3);
        let as_expected = match self.ask {
            Ask::Token => is_jwt() && kind.eq_ignore_ascii_case("bearer"),
            Ask::BoundToken => is_jwt() && kind.eq_ignore_ascii_case("dpop"),
            Ask::Introspection => body.get("active") == Some(&Value::Bool(true)),
        };
        assert!(as_expected, "not as asked for: {} {}", answer.status, answer.text());
    }

    fn prepare(&mut self, questions: usize) {
        self.ready = (0..questions).map(|_| self.message()).collect();
    }
}

/// One bearer token.
async fn token(server: &Server, resource: &str) -> String {
    let mut connection = Connection::open(&format!("{}{}", server.issuer, server.tokens)).await;
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let answer = connection.post(&headers, server.token_form(resource).into()).await;
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let token = body.get("access_token").and_then(Value::as_str);
    token.unwrap_or_else(|| panic!("no token: {} {}", answer.status, answer.text())).to_owned()
}

/// A bearer token of an agent that may have one.
pub(crate) async fn bearer(broker: &Broker, agent: &Agent, path: &str) -> String {
    let key = AgentKey::load(&agent.key_file).expect("the agent's key");
    let copy = Arc::new(Agent { name: agent.name.clone(), key_file: agent.key_file.clone(), key });
    let resource = format!("{}{path}", broker.url());
    token(&Server::ours(&copy, broker.url(), &resource), &resource).await
}

pub(crate) async fn measure(plan: &Plan) {
    let site = Site::new();
    let flags = ["--danger-allow-bearer-tokens", "--scope", "token:introspect"];
    let agent = Arc::new(site.broker.register("loader-1", ROLE, &flags));
    let resource = format!("{}/mcp/depot", site.broker.url());
    let peer = peer(&agent, &resource);
    for ask in Ask::ALL {
        let table = ask.table();
        let ours = Server::ours(&agent, site.broker.url(), &resource);
        let mut subjects = vec![("bailiwick", site.broker.server_id().expect("it runs"), clients(ours, ask).await)];
        match &peer {
            Ok((running, url)) => {
                let theirs = Server::peer(&agent, url.clone(), &resource);
                subjects.push((PEER_NAME, running.id(), clients(theirs, ask).await));
            }
            Err(why) => missing(table, PEER_NAME, why),
        }
        for _ in 0..plan.rounds {
            let mut ours = None;
            for (name, process, clients) in &mut subjects {
                let (answers, per_cpu_s) = round(clients, *process, plan).await;
                tell(table, name, "rate", answers.rate());
                tell(table, name, "p50_ms", answers.percentile_ms(50));
                tell(table, name, "per_cpu_s", per_cpu_s);
                match ours {
                    None => ours = Some(per_cpu_s),
                    Some(ours) => tell(table, "bailiwick", "ratio", ours / per_cpu_s),
                }
            }
        }
    }
}

async fn clients(server: Server, ask: Ask) -> Vec<Client> {
    let server = Arc::new(server);
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::open(&server, ask).await);
    }
    clients
}

async fn round(clients: &mut Vec<Client>, process: u32, plan: &Plan) -> (Answers, f64) {
    for client in clients.iter_mut() {
        client.learn().await;
    }
    let each = (QUESTIONS_PER_S * plan.round.as_secs_f64()) as usize / CONNECTIONS;
    clients.iter_mut().for_each(|client| client.prepare(each));
    let before = cpu_s(process);
    let (back, answers) = closed(std::mem::take(clients), plan.round).await;
    // The kernel counts in hundredths of a second: a brief round may seem to have cost nothing.
    let used = (cpu_s(process) - before).max(0.01);
    *clients = back;
    let per_cpu_s = number(answers.count()) / used;
    (answers, per_cpu_s)
}

fn peer(agent: &Agent, resource: &str) -> Result<(Running, String), String> {
    let folder = installed(PEER).ok_or("it is not installed")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/oidc-provider.mjs");
    let mut command = Command::new(folder.join("node_modules/node/bin/node"));
    command.arg(script).args([&agent.name, agent.key.public_jwk(), resource]);
    command.env("NODE_ENV", "production").env("PEER_MODULES", folder.join("node_modules")).stderr(Stdio::null());
    Running::telling(&mut command).map_err(|error| error.to_string())
}
