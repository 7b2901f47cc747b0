//! A system that holds its own users: each connects an account in a real browser, agents work there as the user whom they
//! act for and never see a token, and what is disconnected is over at once.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bailiwick_testkit_broker::{
    broker::{Agent, Broker},
    http_client::{HttpClient, Revision, send},
    person::Person,
    tools::{Need, Tools, ready},
};
use reqwest::Url;
use serde_json::{Value, json};

const REDIRECT: &str = "http://127.0.0.1:51234/cb";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// Access tokens there live so long, so that some are renewed while calls run.
const TTL_S: u64 = 6;

const TOOLS: &str = r#"
[my_contacts]
class = "read"
effect = { records = 1, reversible = true }

[echo_headers]
class = "read"
effect = { records = 0, reversible = true }
"#;

const USERS: &str = r#"
@id("sales")
permit (principal in Bailiwick::Group::"sales", action in Bailiwick::Action::"crm:read", resource);
"#;

/// The system and its authorization server, as one program that ends with this.
struct Crm {
    program: Child,
    issuer: String,
    url: String,
    log: std::path::PathBuf,
}

impl Drop for Crm {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

impl Crm {
    fn start(tools: &Tools, broker: &Broker) -> Self {
        let log = broker.scratch().join("crm.log");
        let pages = broker.url().replace("127.0.0.1", "localhost");
        let plan = json!({
            "provider": tools.provider_modules().join("oidc-provider/lib/index.js"),
            "sdk": tools.node_modules().join("@modelcontextprotocol/sdk"),
            "client": "bailiwick", "jwks": format!("{}/oauth/jwks", broker.url()),
            "redirect": format!("{pages}/account/connections/callback/crm"),
            "ttl": TTL_S, "log": log,
        });
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/upstreams/accounts.mjs");
        let mut command = Command::new(tools.provider_modules().join(".bin/node"));
        command.arg(script).arg(plan.to_string()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut program = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the system does not start: {line}"));
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        Self { program, issuer: text("issuer"), url: text("mcp"), log }
    }

    /// What reached it.
    fn seen(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The calls of tools: account and token of each.
    fn calls(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let calls = self.seen().into_iter().filter(|seen| seen["method"] == "tools/call");
        calls.map(|seen| (text(&seen["account"]), text(&seen["token"]))).collect()
    }
}

struct Scene {
    crm: Crm,
    broker: Broker,
    agent: Agent,
}

impl Scene {
    fn new(tools: &Tools) -> Self {
        let mut broker = Broker::init(tools);
        let crm = Crm::start(tools, &broker);
        let config = format!("{}\n[fetch]\nallow = [\"127.0.0.0/8\"]\n", broker.read("bailiwick.toml"));
        broker.write("bailiwick.toml", &config);
        let client = format!(
            "issuer = \"{0}\"\ntoken_endpoint = \"{0}/token\"\nclient_id = \"bailiwick\"\nscopes = \
             [\"contacts.read\"]\n",
            crm.issuer
        );
        let file = format!(
            "[upstream]\nurl = \"{}\"\nverify_every_s = 5\n[upstream.client_credentials]\n{client}[upstream.accounts]\n\
             {client}authorization_endpoint = \"{1}/auth\"\nrevocation_endpoint = \"{1}/token/revocation\"\n",
            crm.url, crm.issuer
        );
        broker.write("systems/crm.toml", &file);
        // Our own keys, by which the server knows us, are there once the broker runs.
        broker.serve();
        broker.run(&["systems", "discover", "crm"]).succeeded();
        broker.classify("crm", TOOLS);
        broker.write("roles/support.toml", "purpose = \"Answer\"\nallow = [\"crm:read\"]\n");
        broker.write("policies/users/sales.cedar", USERS);
        broker.publish();
        broker.wait_until_verified();
        for user in ["ada", "bob"] {
            broker.run(&["users", "add", user, "--name", user, "--group", "sales"]).succeeded();
        }
        let agent = broker.register("support", "support", &["--redirect-uri", REDIRECT]);
        Self { crm, broker, agent }
    }

    /// A user signs in here, and connects the account that they have there.
    fn connected(&self, tools: &Tools, user: &str) -> Person {
        let page = format!("{}/account/connections", self.broker.url().replace("127.0.0.1", "localhost"));
        let (person, told) = Person::sign_in_and(
            tools,
            &self.broker,
            user,
            &[
                json!(["goto", page]),
                json!(["text"]),
                json!(["unlabelled"]),
                json!(["overflow", 320]),
                json!(["send", "form[action='/account/connections/connect'] button"]),
                json!(["url"]),
                json!(["fill", "#login", format!("{user}@crm")]),
                json!(["send", "#go"]),
                json!(["url"]),
                json!(["text"]),
            ],
        );
        let text = |index: usize| told[index].as_str().unwrap_or_else(|| panic!("{told:?}"));
        assert!(text(1).contains("not connected"), "{told:?}");
        assert_eq!((&told[2], &told[3]), (&json!([]), &json!(false)));
        assert!(text(5).starts_with(&format!("{}/interaction/", self.crm.issuer)), "{told:?}");
        assert_eq!(text(8), page, "nothing of the answer stays in the address: {told:?}");
        assert!(text(9).contains("for contacts.read"), "{told:?}");
        person
    }

    /// The agent's client for a user who allowed it.
    async fn acting_for(&self, person: &Person) -> HttpClient<'_> {
        let mut client = HttpClient::connect(&self.broker, &self.agent, "crm", Revision::Stateless).await;
        let (issuer, resource) = (self.broker.url(), format!("{}/mcp/crm", self.broker.url()));
        let asked = [
            ("response_type", "code"),
            ("client_id", "support"),
            ("redirect_uri", REDIRECT),
            ("resource", &resource),
            ("scope", "crm:read"),
            ("code_challenge_method", "S256"),
            ("code_challenge", CHALLENGE),
        ];
        let url = Url::parse_with_params(&format!("{issuer}/oauth/authorize"), asked).unwrap();
        let visit = person.answer(&url, REDIRECT, "allow").await;
        let code = visit.parameter("code").unwrap_or_else(|| panic!("{visit:?}"));
        let endpoint = format!("{issuer}/oauth/token");
        let http = reqwest::Client::new();
        for last in [false, true] {
            let assertion = client.assertion();
            let form = [
                ("grant_type", "authorization_code"),
                ("code", &*code),
                ("redirect_uri", REDIRECT),
                ("code_verifier", VERIFIER),
                ("client_assertion_type", ASSERTION_TYPE),
                ("client_assertion", &assertion),
            ];
            let proof = client.proof("POST", &endpoint, None);
            let answer = send(http.post(&endpoint).form(&form).header("dpop", proof)).await;
            if last || !client.learn_nonce(&answer) {
                let token = answer.message_or_body()["access_token"].as_str().map(str::to_owned);
                client.token = token.unwrap_or_else(|| panic!("{} {}", answer.status, answer.body));
                return client;
            }
        }
        unreachable!("the last round returns")
    }
}

fn text(message: &Value) -> String {
    message["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{message}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_work_in_their_users_accounts_and_see_no_token() {
    let Some(tools) = ready(&[Need::Broker, Need::Node, Need::Provider, Need::Browser]) else { return };
    let scene = Scene::new(&tools);
    let (ada, bob) = (scene.connected(&tools, "ada"), scene.connected(&tools, "bob"));
    let mut for_ada = scene.acting_for(&ada).await;
    let mut for_bob = scene.acting_for(&bob).await;
    let mut alone = HttpClient::connect(&scene.broker, &scene.agent, "crm", Revision::Stateless).await;

    // Each gets their own, over tokens that end and are renewed while calls run.
    let start = Instant::now();
    let mut rounds = 0;
    while start.elapsed() < Duration::from_secs(2 * TTL_S + 2) {
        let (of_ada, of_bob) =
            tokio::join!(for_ada.call("my_contacts", json!({})), for_bob.call("my_contacts", json!({})));
        assert_eq!(text(&of_ada), json!({"account": "ada@crm", "contacts": ["Ann", "Alan"]}).to_string(), "{of_ada}");
        assert_eq!(text(&of_bob), json!({"account": "bob@crm", "contacts": ["Beth"]}).to_string(), "{of_bob}");
        rounds += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let calls = scene.crm.calls();
    assert_eq!(calls.len(), 2 * rounds, "each call reached it once");
    let tokens: BTreeSet<_> = calls.iter().filter(|(account, _)| account == "ada@crm").collect();
    assert!(tokens.len() >= 2, "renewed while calls ran: {} in {rounds} rounds", tokens.len());

    // A system that echoes what it was sent tells the agent nothing.
    let echoed = for_ada.ask("tools/call", json!({"name": "echo_headers", "arguments": {}})).await;
    assert_eq!(text(&echoed.message()), "authorization: Bearer ****");
    let all: BTreeSet<String> = scene.crm.calls().into_iter().map(|(_, token)| token).collect();
    assert!(!all.iter().any(|token| echoed.body.contains(token)), "{}", echoed.body);

    // Nobody's agent, and an agent of somebody without an account, get neither's.
    let before = scene.crm.calls().len();
    let refused = alone.call("my_contacts", json!({})).await;
    assert_eq!(refused["result"]["_meta"]["bailiwick/failure"]["code"], "user_required", "{refused}");

    let listed = scene.broker.run(&["users", "connections", "ada", "--output", "json"]).succeeded();
    let connection = listed.json()["connections"][0].clone();
    assert_eq!((&connection["system"], &connection["works"]), (&json!("crm"), &json!(true)));

    // Disconnected by its user: over at the very next call, and taken back there.
    let page = format!("{}/account/connections", scene.broker.url().replace("127.0.0.1", "localhost"));
    let ended = ada.post_form(&page, &format!("{page}/end"), &[("system", "crm")]).await;
    assert_eq!(ended.status(), 303);
    let refused = for_ada.call("my_contacts", json!({})).await;
    let failure = &refused["result"]["_meta"]["bailiwick/failure"];
    assert_eq!(failure["code"], "connection_required", "{refused}");
    assert!(failure["connect_url"].as_str().unwrap().ends_with("/account/connections"), "{refused}");
    assert!(text(&refused).contains("/account/connections"), "{refused}");
    assert_eq!(scene.crm.calls().len(), before, "nothing was sent in any name");
    for_bob.call("my_contacts", json!({})).await["result"]["content"].as_array().unwrap();
    taken_back(&scene.crm, "ada@crm").await;

    let looks = scene.crm.seen().into_iter().filter(|seen| seen["account"] == "");
    let looks: BTreeSet<String> = looks.map(|seen| seen["token"].as_str().unwrap().to_owned()).collect();
    assert!(looks.len() >= 2, "its own token was renewed as well");

    // By an operator, for the other one.
    scene.broker.run(&["users", "connections", "bob", "--end", "crm"]).succeeded();
    let refused = for_bob.call("my_contacts", json!({})).await;
    assert_eq!(refused["result"]["_meta"]["bailiwick/failure"]["code"], "connection_required", "{refused}");

    taken_back(&scene.crm, "bob@crm").await;

    holds_no_token(&scene, &all.union(&looks).cloned().collect(), &listed.stdout);
}

/// Waits until the refresh token of an account was taken back where it came from.
async fn taken_back(crm: &Crm, account: &str) {
    let start = Instant::now();
    while !crm.seen().iter().any(|seen| seen["taken_back"] == account) {
        assert!(start.elapsed() < Duration::from_secs(60), "the token was not taken back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Neither what lies on the disk, nor the log, nor the evidence, nor what an operator is told holds a token.
fn holds_no_token(scene: &Scene, tokens: &BTreeSet<String>, told: &str) {
    let evidence = serde_json::to_string(&scene.broker.whole_log()).unwrap();
    let log = scene.broker.log();
    let mut places = vec![("evidence", evidence.into_bytes()), ("log", log.into_bytes()), ("listed", told.into())];
    let mut folders = vec![scene.broker.home()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => folders.push(entry.path()),
                kind if kind.is_file() => places.push(("a file", fs::read(entry.path()).unwrap())),
                _ => {}
            }
        }
    }
    for (place, bytes) in &places {
        let found = tokens.iter().any(|token| bytes.windows(token.len()).any(|window| window == token.as_bytes()));
        assert!(!found, "a token in {place}");
    }
    assert!(tokens.iter().all(|token| token.len() > 20), "they are tokens");
    for seen in scene.crm.seen().iter().filter(|seen| seen["taken_back"].is_null()) {
        assert_eq!(seen["url"], "/mcp", "no token in any address");
        // Whose token is good no more is nobody.
        let known = !seen["session"].is_null() && !seen["account"].is_null();
        assert!(!known || seen["session"] == seen["account"], "no mixed session: {seen}");
    }
}
