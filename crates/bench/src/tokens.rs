//! Tokens per second of processor time: `client_credentials` with `private_key_jwt`, answered by an ES256 JWT, here with
//! a durable record of each, and by the npm package `oidc-provider` with its memory.

use std::{
    process::{Command, Stdio},
    sync::Arc,
};

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
    wire::Connection,
};

const TABLE: &str = "tokens";
const CONNECTIONS: usize = 16;
const ASSERTIONS_PER_S: f64 = 8_000.0;
/// Where `cargo xtask bench` put the peer's packages.
const PEER: &str = "BAILIWICK_BENCH_NODE";
const PEER_NAME: &str = "oidc-provider";
/// Form fields that are the same for all; the assertion and the resource follow.
const FORM: &str = "grant_type=client_credentials\
    &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";

/// Where tokens come from, and by whose key.
struct Endpoint {
    agent: Arc<Agent>,
    issuer: String,
    /// Path of the token endpoint.
    path: &'static str,
    resource: String,
}

impl Endpoint {
    fn form(&self) -> String {
        let name = self.agent.name.parse().expect("an agent's name");
        let jti = Uuid::new_v4().to_string();
        let assertion = self.agent.key.sign_client_assertion(&self.issuer, &name, Timestamp::now(), &jti);
        let resource = self.resource.replace(':', "%3A").replace('/', "%2F");
        format!("{FORM}&resource={resource}&client_assertion={}", assertion.expect("a signature"))
    }
}

struct Client {
    connection: Connection,
    endpoint: Arc<Endpoint>,
    ready: Vec<String>,
}

impl Client {
    async fn open(endpoint: &Arc<Endpoint>) -> Self {
        let url = format!("{}{}", endpoint.issuer, endpoint.path);
        Self { connection: Connection::open(&url).await, endpoint: Arc::clone(endpoint), ready: Vec::new() }
    }

    async fn token(&mut self) -> String {
        let form = self.ready.pop().unwrap_or_else(|| self.endpoint.form());
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = self.connection.post(&headers, form.into()).await;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let token = body.get("access_token").and_then(Value::as_str);
        token.unwrap_or_else(|| panic!("no token: {} {}", answer.status, answer.text())).to_owned()
    }
}

impl Asks for Client {
    async fn ask(&mut self) {
        let token = self.token().await;
        assert_eq!(token.split('.').count(), 3, "not a JWT: {token}");
    }

    fn prepare(&mut self, questions: usize) {
        self.ready = (0..questions).map(|_| self.endpoint.form()).collect();
    }
}

/// A bearer token of an agent that may have one.
pub(crate) async fn bearer(broker: &Broker, agent: &Agent, path: &str) -> String {
    let copy = Agent { name: agent.name.clone(), key_file: agent.key_file.clone(), key: reloaded(agent) };
    let resource = format!("{}{path}", broker.url());
    let endpoint = Endpoint { agent: Arc::new(copy), issuer: broker.url(), path: "/oauth/token", resource };
    Client::open(&Arc::new(endpoint)).await.token().await
}

fn reloaded(agent: &Agent) -> bailiwick_keys::agent_key::AgentKey {
    bailiwick_keys::agent_key::AgentKey::load(&agent.key_file).expect("the agent's key")
}

pub(crate) async fn measure(plan: &Plan) {
    let site = Site::new();
    let agent = Arc::new(site.broker.register("loader-1", ROLE, &["--danger-allow-bearer-tokens"]));
    let resource = format!("{}/mcp/depot", site.broker.url());
    let ours = Endpoint {
        agent: Arc::clone(&agent),
        issuer: site.broker.url(),
        path: "/oauth/token",
        resource: resource.clone(),
    };
    let mut subjects = vec![("bailiwick", site.broker.server_id().expect("it runs"), clients(ours).await)];
    let peer = peer(&agent, &resource);
    match &peer {
        Ok((running, url)) => {
            let theirs = Endpoint { agent, issuer: url.clone(), path: "/token", resource };
            subjects.push((PEER_NAME, running.id(), clients(theirs).await));
        }
        Err(why) => missing(TABLE, PEER_NAME, why),
    }
    for _ in 0..plan.rounds {
        let mut ours = None;
        for (name, process, clients) in &mut subjects {
            let (answers, per_cpu_s) = round(clients, *process, plan).await;
            tell(TABLE, name, "rate", answers.rate());
            tell(TABLE, name, "p50_ms", answers.percentile_ms(50));
            tell(TABLE, name, "per_cpu_s", per_cpu_s);
            match ours {
                None => ours = Some(per_cpu_s),
                Some(ours) => tell(TABLE, "bailiwick", "ratio", ours / per_cpu_s),
            }
        }
    }
}

async fn clients(endpoint: Endpoint) -> Vec<Client> {
    let endpoint = Arc::new(endpoint);
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::open(&endpoint).await);
    }
    clients
}

async fn round(clients: &mut Vec<Client>, process: u32, plan: &Plan) -> (Answers, f64) {
    let each = (ASSERTIONS_PER_S * plan.round.as_secs_f64()) as usize / CONNECTIONS;
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
