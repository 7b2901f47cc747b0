//! Two domains: one knows the user and vouches for them, the other has the systems. An agent that both know gets from one to
//! the other, and the evidence of both tells the same.

use std::{collections::BTreeSet, process::Command, sync::Arc};

use bailiwick_engine::{
    agents::{self, Registration},
    grants, refresh, users,
};
use bailiwick_fetch::{FetchRules, Fetcher};
use bailiwick_keys::agent_key::{AgentKey, ProofSubject};
use bailiwick_model::{
    agent::{Authenticator, Environment, KeyProtection},
    confirmation::Confirmation,
    grant::{Grant, GrantKind, GrantStatus},
    id::GrantId,
    name::UserId,
    principal::{DelegationChain, Principal},
};
use bailiwick_ports::new_id;
use bailiwick_testkit_broker::{
    broker::Agent,
    http_client::{HttpAnswer, HttpClient, Revision, send},
    stdio_client::{codes, succeeded},
    tools::{Need, Tools, ready},
};
use bailiwick_testkit_engine::{
    bundle,
    clock::TestClock,
    world::{World, operator, part},
};
use bailiwick_web::{address::DeclaredProxies, entrance::Entrance, listener};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{clients::read_json, world::Depot};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
const REFRESH: &str = "urn:ietf:params:oauth:token-type:refresh_token";

const STAFF: &str = r#"
@id("staff-reads")
permit (principal in Bailiwick::Group::"staff", action in Bailiwick::Action::"depot:read", resource);
"#;

/// The domain that knows the user: there, Ada allowed the agent `assistant` to act for her.
struct Home {
    world: World,
    issuer: String,
    refresh_token: String,
}

impl Home {
    /// Serves it, and lists the agent for the other domain.
    async fn new(there: &str, key: &AgentKey) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let world = World::at(&issuer, TestClock::at(jiff::Timestamp::now())).await;
        let target = format!(
            "issuer = \"{there}\"\n[[id_jag_target]]\nagent = \"assistant\"\nclient_id = \"partner-7\"\n\
             resources = [\"{there}/mcp/depot\"]\nscopes = [\"depot:read\", \"depot:write\"]\n"
        );
        world.publish(bundle::with_files(&[("issuers/there.toml", &target)])).await;
        let entrance = Entrance::new(Arc::clone(&world.broker), world.nonces(), DeclaredProxies::default()).unwrap();
        let entrance = Arc::new(entrance);
        let fetcher = Fetcher::new(FetchRules::default()).unwrap();
        let router = listener::around(&entrance, bailiwick_authz_server::router(Arc::clone(&entrance), fetcher));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let mut home = Self { world, issuer, refresh_token: String::new() };
        home.let_assistant_act(key).await;
        home
    }

    async fn let_assistant_act(&mut self, key: &AgentKey) {
        let broker = &self.world.broker;
        let ask = Registration {
            name: "assistant".parse().unwrap(),
            owner: "team@home.example".to_owned(),
            purpose: "help Ada".to_owned(),
            environment: Environment::Production,
            role: "reader".parse().unwrap(),
            authenticators: vec![Authenticator::Key(key.public().clone())],
            systems: Vec::new(),
            scopes: Vec::new(),
            redirect_uris: Vec::new(),
            bearer_tokens_allowed: false,
            task_required: false,
            token_ttl_s: None,
            lifetime_days: None,
            review_days: None,
            attestation: None,
            key_protection: KeyProtection::Any,
        };
        agents::register(broker, &operator(), ask).await.unwrap();
        let ada: UserId = "h-ada".parse().unwrap();
        users::add(broker, &operator(), ada.clone(), "Ada", None, BTreeSet::new()).await.unwrap();
        let now = broker.now();
        let grant = Grant {
            id: new_id!(GrantId, now, broker.entropy()),
            kind: GrantKind::AuthorizationCode,
            chain: DelegationChain::new(vec![Principal::User(ada), Principal::Agent("assistant".parse().unwrap())])
                .unwrap(),
            parent: None,
            subject: None,
            resources: BTreeSet::from([format!("{}/mcp/files", self.issuer)]),
            scopes: BTreeSet::from(["files:read".parse().unwrap()]),
            details: None,
            task: None,
            authentication: None,
            vouched: None,
            status: GrantStatus::Active,
            created_at: now,
            expires_at: now + jiff::SignedDuration::from_hours(1),
        };
        let grant = grants::give(broker, &operator(), grant, Vec::new()).await.unwrap();
        let refresh_token =
            refresh::first(broker, &grant, Some(Confirmation::Key(key.public().thumbprint))).await.unwrap();
        self.refresh_token = refresh_token.expose().clone();
    }

    /// Asks it to vouch for Ada.
    async fn vouch(&self, there: &str, scope: &str, key: &AgentKey) -> HttpAnswer {
        let form = [
            ("grant_type", EXCHANGE),
            ("requested_token_type", ID_JAG),
            ("subject_token", self.refresh_token.as_str()),
            ("subject_token_type", REFRESH),
            ("audience", there),
            ("scope", scope),
        ];
        ask(&self.issuer, "assistant", key, &form).await
    }
}

/// Asks a token endpoint with a proof, once more if it wants its nonce.
async fn ask(issuer: &str, client: &str, key: &AgentKey, form: &[(&str, &str)]) -> HttpAnswer {
    let (endpoint, now) = (format!("{issuer}/oauth/token"), jiff::Timestamp::now);
    let mut nonce = None;
    loop {
        let id = || Uuid::new_v4().to_string();
        let assertion = key.sign_client_assertion(issuer, &client.parse().unwrap(), now(), &id()).unwrap();
        let subject = ProofSubject { method: "POST", uri: &endpoint, nonce: nonce.as_deref(), access_token: None };
        let proof = key.sign_dpop(&subject, now(), &id()).unwrap();
        let mut whole = form.to_vec();
        whole.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
        whole.push(("client_assertion", &assertion));
        let answer = send(reqwest::Client::new().post(&endpoint).form(&whole).header("dpop", proof)).await;
        if nonce.is_some() || !answer.body.contains("use_dpop_nonce") {
            return answer;
        }
        nonce = answer.header("dpop-nonce");
    }
}

fn json_of(answer: &HttpAnswer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {} {}", answer.status, answer.body))
}

/// The domain that has the systems, an agent that both know, and the domain that knows the user, which is trusted here.
async fn domains(tools: &Tools) -> (Depot, Agent, Home) {
    let depot = Depot::stdio(tools);
    let agent = depot.broker.register("partner-7", "clerk", &[]);
    let home = Home::new(&depot.broker.url(), &agent.key).await;
    let trust = format!(
        "issuer = \"{}\"\nkeys = {{ discovery = \"oauth-authorization-server\" }}\nalgorithms = [\"ES256\"]\n\
         [id_jag]\nsubjects = {{ h-ada = \"ada\" }}\nscopes = [\"depot:read\"]\n",
        home.issuer
    );
    depot.broker.write("issuers/home.toml", &trust);
    depot.broker.write("policies/users/staff.cedar", STAFF);
    depot.broker.publish();
    depot.broker.run(&["users", "add", "ada", "--name", "Ada", "--group", "staff"]).succeeded();
    (depot, agent, home)
}

/// Keys of this machine are fetched only once the operator names its network.
fn open_to_this_machine(depot: &mut Depot) {
    let configuration = depot.broker.read("bailiwick.toml");
    depot.broker.kill();
    depot.broker.write("bailiwick.toml", &format!("{configuration}\n[fetch]\nallow = [\"127.0.0.0/8\"]\n"));
    depot.broker.serve_verified();
}

/// The MCP SDK's own provider of enterprise-managed authorization redeems what the user's domain vouches for.
#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_sdk_redeems_what_another_domain_vouches_for() {
    let Some(tools) = ready(&[Need::Broker, Need::Clients]) else { return };
    let (mut depot, agent, home) = domains(&tools).await;
    open_to_this_machine(&mut depot);
    let vouched = json_of(&home.vouch(&depot.broker.url(), "depot:read", &agent.key).await);
    let plan = json!({
        "library": tools.client_modules().join("@modelcontextprotocol/client/dist/index.mjs"),
        "url": format!("{}/mcp/depot", depot.broker.url()), "issuer": depot.broker.url(), "client": agent.name,
        "key": agent.key_file, "algorithm": "ES256", "dpop": true, "assertion": vouched["access_token"],
        "calls": [["lookup", { "path": "/public/a" }], ["write_note", { "id": "n", "text": "x" }]],
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/mcp_typescript_sdk.mjs");
    let told = tokio::task::spawn_blocking(move || read_json(Command::new("node").arg(script).arg(plan.to_string())));
    let told = told.await.unwrap();
    assert_eq!(told["token_type"].as_str().unwrap().to_lowercase(), "dpop", "{told}");
    assert_eq!(told["calls"][0]["content"][0]["text"], r#"lookup {"path":"/public/a"}"#, "{told}");
    assert_eq!(told["calls"][1]["isError"], true, "reads only: {told}");
    assert_eq!(depot.ledger.acts(), 1);
    let evidence = depot.broker.evidence();
    let intent = evidence.iter().find(|line| line["entry"]["kind"] == "intent").unwrap();
    assert!(intent.to_string().contains("user:ada"), "{intent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_one_broker_is_vouched_for_at_another() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let (mut depot, agent, home) = domains(&tools).await;
    let there = depot.broker.url();

    let vouched = json_of(&home.vouch(&there, "depot:read", &agent.key).await);
    assert_eq!((&vouched["issued_token_type"], &vouched["token_type"]), (&json!(ID_JAG), &json!("N_A")), "{vouched}");
    let assertion = vouched["access_token"].as_str().unwrap().to_owned();
    let form = [("grant_type", JWT_BEARER), ("assertion", assertion.as_str())];
    let early = ask(&there, "partner-7", &agent.key, &form).await;
    assert_eq!(json_of(&early)["error"], "temporarily_unavailable", "{}", early.body);
    open_to_this_machine(&mut depot);

    let granted = json_of(&ask(&there, "partner-7", &agent.key, &form).await);
    assert_eq!((&granted["token_type"], &granted["scope"]), (&json!("DPoP"), &json!("depot:read")), "{granted}");
    assert!(granted.get("refresh_token").is_none());
    let token = granted["access_token"].as_str().unwrap().to_owned();
    assert_eq!(part(&token, 1)["sub"], "user:ada");
    let again = json_of(&ask(&there, "partner-7", &agent.key, &form).await);
    assert_eq!(again["error"], "invalid_grant", "good once: {again}");

    // The agent acts for Ada: both are decided on, and the token reads only.
    let mut client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    client.token = token;
    succeeded(&client.call("lookup", json!({ "path": "/public/a" })).await);
    let denied = client.call("write_note", json!({ "id": "n", "text": "x" })).await;
    assert!(!codes(&denied).is_empty(), "{denied}");
    assert_eq!(depot.ledger.acts(), 1, "only the lookup reached the upstream");

    // Both sides tell the same, by one id.
    let issued = home.world.events("token_issued").await;
    let issued = issued.iter().find(|event| event.body["grant"] == "id_jag".into()).unwrap();
    assert_eq!(issued.body["chain"], vec!["user:h-ada", "agent:assistant"].into());
    let evidence = depot.broker.evidence();
    let entry = |kind: &str| {
        let found = evidence.iter().find(|one| one["entry"]["kind"] == kind).cloned();
        found.unwrap_or_else(|| panic!("no {kind} in {evidence:#?}"))["entry"].clone()
    };
    let given = entry("grant_changed");
    assert_eq!(given["body"]["vouched_by"], home.issuer);
    assert_eq!(given["body"]["assertion"], issued.id);
    assert_eq!(given["body"]["chain"], json!(["user:ada", "agent:partner-7"]));
    let intent = entry("intent")["id"].as_str().unwrap().to_owned();
    let chain = depot.broker.run(&["audit", "chain", &intent, "--output", "json"]).succeeded().json();
    assert!(chain.to_string().contains("user:ada"), "{chain}");
    let listed = depot.broker.run(&["grants", "list", "--output", "json"]).succeeded().json();
    assert_eq!(listed["grants"][0]["vouched_by"], home.issuer, "{listed}");
    depot.broker.run(&["audit", "verify"]).succeeded();

    // Trust that is withdrawn ends what came of it on the next call.
    std::fs::remove_file(depot.broker.home().join("issuers/home.toml")).unwrap();
    depot.broker.publish();
    let body = client.message("tools/call", json!({ "name": "lookup", "arguments": { "path": "/public/a" } }));
    assert_eq!(client.post(body).await.status, 401);
    let vouched = json_of(&home.vouch(&there, "depot:read", &agent.key).await);
    let form = [("grant_type", JWT_BEARER), ("assertion", vouched["access_token"].as_str().unwrap())];
    let refused = json_of(&ask(&there, "partner-7", &agent.key, &form).await);
    assert_eq!(refused["error"], "invalid_grant", "{refused}");
    assert_eq!(depot.ledger.acts(), 1);
}
