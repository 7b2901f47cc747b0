//! Users who are asked apart from the client, in a real browser with a virtual authenticator: from a device whose code they
//! type in, by `bailiwick token --device` and by a client of others; by the back channel; refused, taken back, and stopped.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use bailiwick_testkit_broker::{
    broker::Agent,
    browser::Browser,
    http_client::{HttpAnswer, HttpClient, Revision, send},
    tools::{Need, Tools, ready},
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::Depot;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const CIBA: &str = "urn:openid:params:grant-type:ciba";
const SUPPORT: &str = "purpose = \"Answer customers\"\nallow = [\"depot:read\", \"depot:write\"]\n";
const USERS: &str = r#"
@id("sales")
permit (
    principal in Bailiwick::Group::"sales",
    action in [Bailiwick::Action::"depot:read", Bailiwick::Action::"depot:write"],
    resource
);
"#;

/// A depot, and an agent that may ask users.
struct Scene {
    tools: Tools,
    depot: Depot,
    agent: Agent,
}

/// A user at her browser.
struct Ada {
    browser: Browser,
    /// Where the pages are.
    origin: String,
}

/// A client that waits for her.
struct Waiting {
    child: Child,
    /// What it says that she has to know.
    prompt: Value,
}

impl Waiting {
    /// Starts a client; its first line, on stderr or stdout, is what its user has to know.
    fn start(mut command: Command, on_stderr: bool) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        // Byte by byte, so that nothing of what comes later is taken.
        let read = |stream: &mut dyn std::io::Read, line: &mut String| {
            BufReader::with_capacity(1, stream).read_line(line).unwrap();
        };
        match on_stderr {
            true => read(child.stderr.as_mut().unwrap(), &mut line),
            false => read(child.stdout.as_mut().unwrap(), &mut line),
        }
        let prompt = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Self { child, prompt }
    }

    fn text(&self, name: &str) -> String {
        self.prompt[name].as_str().unwrap_or_else(|| panic!("{}", self.prompt)).to_owned()
    }

    fn ends(self) -> Output {
        self.child.wait_with_output().unwrap()
    }

    fn tells(self) -> Value {
        let Output { status, stdout, stderr } = self.ends();
        let said = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{status}: {said}");
        serde_json::from_slice(&stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
    }
}

impl Scene {
    fn new(tools: Tools) -> (Self, Ada) {
        let depot = Depot::stdio(&tools);
        let broker = &depot.broker;
        broker.write("roles/support.toml", SUPPORT);
        broker.write("policies/users/sales.cedar", USERS);
        broker.publish();
        broker.run(&["users", "add", "ada", "--name", "Ada", "--group", "sales"]).succeeded();
        let agent = broker.register("night-job", "support", &["--scope", "user:ask"]);
        let link = broker.run(&["users", "invite", "ada"]).succeeded().stdout.trim().to_owned();
        let origin = link.split_once("/setup/").unwrap().0.to_owned();
        let mut browser = Browser::open(&tools);
        browser.step(&json!(["goto", link]));
        assert_eq!(browser.step(&json!(["send", "form[data-passkey] button"])), 200);
        (Self { tools, depot, agent }, Ada { browser, origin })
    }

    fn resource(&self) -> String {
        format!("{}/mcp/depot", self.depot.broker.url())
    }

    fn command_line(&self) -> Waiting {
        let (resource, key) = (self.resource(), self.agent.key_file.to_string_lossy().into_owned());
        let words = ["token", "--device", "--agent", "night-job", "--key", &key, "--resource", &resource];
        let bound = ["--scope", "depot:read", "--proof-for", "POST", &resource, "--output", "json"];
        Waiting::start(self.depot.broker.command(&[&words[..], &bound[..]].concat()), true)
    }

    fn openid_client(&self, more: &Value) -> Waiting {
        let agent = json!({ "name": "night-job", "key": self.agent.key_file, "kid": self.agent.key.public().kid });
        let mut plan = json!({
            "library": self.tools.client_modules().join("openid-client/build/index.js"),
            "issuer": self.depot.broker.url(), "resource": self.resource(), "agent": agent,
        });
        plan.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/openid_client_apart.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(plan.to_string());
        Waiting::start(command, false)
    }

    async fn client(&self) -> HttpClient<'_> {
        HttpClient::connect(&self.depot.broker, &self.agent, "depot", Revision::Stateless).await
    }

    async fn form(&self, client: &mut HttpClient<'_>, path: &str, fields: &[(&str, &str)]) -> HttpAnswer {
        let url = format!("{}{path}", self.depot.broker.url());
        loop {
            let assertion = client.assertion();
            let mut all = vec![("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &assertion)];
            all.extend(fields);
            let proof = client.proof("POST", &url, None);
            let answer = send(reqwest::Client::new().post(&url).form(&all).header("dpop", proof)).await;
            if !client.learn_nonce(&answer) {
                return answer;
            }
        }
    }

    /// Asks by the back channel; gives the `auth_req_id`.
    async fn asks(&self, client: &mut HttpClient<'_>) -> String {
        let resource = self.resource();
        let fields = [("scope", "openid depot:read"), ("login_hint", "ada"), ("resource", resource.as_str())];
        let answer = self.form(client, "/oauth/bc-authorize", &fields).await;
        answer.message_or_body()["auth_req_id"].as_str().unwrap_or_else(|| panic!("{}", answer.body)).to_owned()
    }

    async fn polls(&self, client: &mut HttpClient<'_>, id: &str) -> Value {
        self.form(client, "/oauth/token", &[("grant_type", CIBA), ("auth_req_id", id)]).await.message_or_body()
    }
}

impl Ada {
    /// Her page can be used without eyes, and on whatever screen.
    fn is_plain(&mut self) {
        assert_eq!(self.browser.step(&json!(["unlabelled"])), json!([]));
        assert_eq!(self.browser.step(&json!(["overflow", 320])), false);
    }

    /// She types a code in, proves anew who she is, and sees what is asked.
    fn types(&mut self, page: &str, code: &str) -> String {
        assert!(page.starts_with(&self.origin), "{page}");
        assert_eq!(self.browser.step(&json!(["goto", page])), 200);
        self.is_plain();
        self.browser.step(&json!(["fill", "#user_code", code]));
        self.browser.step(&json!(["send", "form[action='/device'] button"]));
        self.proves()
    }

    /// A session that was open before is not enough.
    fn proves(&mut self) -> String {
        let at = self.browser.step(&json!(["url"]));
        assert!(at.as_str().unwrap().contains("/sign-in?"), "{at}");
        assert_eq!(self.browser.step(&json!(["send", "form[data-passkey] button"])), 200);
        let at = self.browser.step(&json!(["url"]));
        assert!(at.as_str().unwrap().contains("/account/requests/ask_"), "{at}");
        self.is_plain();
        self.browser.text()
    }

    fn says(&mut self, decision: &str) -> String {
        assert_eq!(self.browser.step(&json!(["send", format!("button[value={decision}]")])), 200);
        self.browser.text()
    }

    /// Opens the only request that waits for her.
    fn opens(&mut self) -> String {
        let page = format!("{}/account/requests", self.origin);
        self.browser.step(&json!(["goto", page]));
        self.is_plain();
        self.browser.step(&json!(["send", "a[href^='/account/requests/ask_']"]));
        self.proves()
    }

    /// Takes back what she allowed, by the form of this address.
    fn withdraws(&mut self, action: &str) -> String {
        let page = format!("{}/account/grants", self.origin);
        self.browser.step(&json!(["goto", page]));
        self.is_plain();
        self.browser.step(&json!(["send", format!("form[action='{action}'] button")]));
        self.browser.text()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_types_in_the_code_of_a_command_and_it_acts_for_them() {
    let Some(tools) = ready(&[Need::Broker, Need::Browser]) else { return };
    let (mut scene, mut ada) = Scene::new(tools);
    let waiting = scene.command_line();
    let asked = ada.types(&waiting.text("verification_uri"), &waiting.text("user_code").to_lowercase());
    for words in ["night-job", "Allow this only if you began it yourself", "127.0.0.1", "look things up"] {
        assert!(asked.contains(words), "{words}: {asked}");
    }
    // Neither the request nor whoever waits is lost with a server that ends.
    scene.depot.broker.kill();
    scene.depot.broker.serve_verified();
    assert!(ada.says("allow").contains("night-job may act for you"));
    let told = waiting.tells();
    let mut client = scene.client().await;
    let own = client.token.clone();
    client.token = told["authorization"].as_str().unwrap().strip_prefix("DPoP ").unwrap().to_owned();
    let found = client.call("lookup", json!({ "path": "/public/a" })).await;
    assert_eq!(found["result"]["content"][0]["text"], r#"lookup {"path":"/public/a"}"#, "{found}");
    assert!(told["refresh_token"].is_string() && told["dpop"].is_string());
    let before = scene.depot.ledger.acts();
    let given = ada.withdraws("/account/grants/withdraw");
    assert!(given.contains("No agent acts for you"), "{given}");
    let late = client.ask("tools/call", json!({ "name": "lookup", "arguments": { "path": "/public/a" } })).await;
    assert_eq!((late.status, scene.depot.ledger.acts()), (StatusCode::UNAUTHORIZED, before), "{}", late.body);
    assert_ne!(own, client.token);

    // And she refuses the next one.
    let waiting = scene.command_line();
    ada.types(&waiting.text("verification_uri_complete"), &waiting.text("user_code"));
    assert!(ada.says("refuse").contains("night-job may not act for you"));
    let ended = waiting.ends();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!((ended.status.code(), ended.stdout.len()), (Some(3), 0), "{said}");
    assert!(said.contains("the user refused") && said.contains("hint: "), "{said}");
}

#[test]
fn openid_client_asks_from_a_device_and_by_the_back_channel() {
    let Some(tools) = ready(&[Need::Broker, Need::Clients, Need::Browser]) else { return };
    let (scene, mut ada) = Scene::new(tools);
    let waiting = scene.openid_client(&json!({ "by": "device", "scope": "depot:read" }));
    ada.types(&waiting.text("verification_uri"), &waiting.text("user_code"));
    ada.says("allow");
    let told = waiting.tells();
    assert_eq!((&told["scope"], &told["token_type"]), (&json!("depot:read"), &json!("dpop")), "{told}");
    assert!(told["id_token"].is_null(), "a device asks by plain OAuth");

    let by = json!({
        "by": "backchannel", "scope": "openid depot:read", "login_hint": "ada", "binding_message": "Order 4711",
    });
    let waiting = scene.openid_client(&by);
    let asked = ada.opens();
    assert!(asked.contains("Order 4711") && asked.contains("Refuse if it does not show the same"), "{asked}");
    ada.says("allow");
    let told = waiting.tells();
    assert_eq!((&told["scope"], &told["token_type"]), (&json!("depot:read"), &json!("dpop")), "{told}");
    // Its signature, issuer, audience and times were verified by the library.
    let claims = &told["claims"];
    assert_eq!((&claims["sub"], &claims["aud"]), (&json!("user:ada"), &json!("night-job")), "{told}");
    assert!(claims["auth_time"].is_number() && claims["amr"].as_array().is_some_and(|by| !by.is_empty()), "{told}");

    let waiting = scene.openid_client(&by);
    ada.opens();
    ada.says("refuse");
    assert_eq!(waiting.tells(), json!({ "error": "access_denied" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_allowed_is_nothing_once_they_or_the_agent_are_stopped() {
    let Some(tools) = ready(&[Need::Broker, Need::Browser]) else { return };
    let (scene, mut ada) = Scene::new(tools);
    // Taken back before the agent came for it.
    {
        let mut client = scene.client().await;
        let id = scene.asks(&mut client).await;
        assert_eq!(scene.polls(&mut client, &id).await["error"], "authorization_pending");
        ada.opens();
        ada.says("allow");
        let given = ada.withdraws("/account/requests/withdraw");
        assert!(given.contains("No agent acts for you"), "{given}");
        let error = scene.polls(&mut client, &id).await["error"].clone();
        // It was asked a moment ago, or longer ago on a slow machine.
        assert!(error == "access_denied" || error == "slow_down", "{error}");
    }
    // Stopped between the answer and the question, and going on later.
    for (stop, go_on) in [(["agents", "suspend"], ["agents", "resume"]), (["users", "suspend"], ["users", "resume"])] {
        let mut client = scene.client().await;
        let id = scene.asks(&mut client).await;
        ada.opens();
        assert!(ada.says("allow").contains("may act for you"));
        let whom = if stop[0] == "agents" { "night-job" } else { "ada" };
        scene.depot.broker.run(&[&stop[..], &[whom, "--reason", "a story"]].concat()).succeeded();
        assert_eq!(scene.polls(&mut client, &id).await["error"], "invalid_grant");
        scene.depot.broker.run(&[&go_on[..], &[whom]].concat()).succeeded();
        assert_eq!(scene.polls(&mut client, &id).await["error"], "access_denied", "it does not come back");
    }
}
