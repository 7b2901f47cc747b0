//! OAuth clients that others wrote, unchanged, through every flow that each of them has, for a user who signed in at a real
//! browser: what one of them cannot do here, its users cannot either.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use bailiwick_testkit_broker::{
    broker::Agent,
    person::Person,
    tools::{Need, Tools, ready},
};
use serde_json::{Value, json};

use crate::{
    clients::{python, read_json},
    world::Depot,
};

const SUPPORT: &str = r#"
purpose = "Answer customers"
allow = ["depot:read", "depot:write"]
delegates_to = ["writer"]
"#;

const WRITER: &str = r#"
purpose = "Write drafts"
allow = ["depot.write_note"]
"#;

const USERS: &str = r#"
@id("sales")
permit (
    principal in Bailiwick::Group::"sales",
    action in [Bailiwick::Action::"depot:read", Bailiwick::Action::"depot:write"],
    resource
);
"#;

/// Where clients have their users sent back to; nobody listens there, whoever plays the browser reads the URL.
const REDIRECT: &str = "http://127.0.0.1:51234/cb";
/// The same without its port, which clients on their users' machines choose as they like (RFC 8252 §7.3).
const REGISTERED: &str = "http://127.0.0.1/cb";

/// A depot, and a user of it who is signed in.
struct Scene {
    tools: Tools,
    depot: Depot,
    /// As the browser sends it.
    cookie: String,
}

impl Scene {
    fn new(tools: Tools) -> Self {
        let depot = Depot::stdio(&tools);
        let broker = &depot.broker;
        broker.write("roles/support.toml", SUPPORT);
        broker.write("roles/writer.toml", WRITER);
        broker.write("policies/users/sales.cedar", USERS);
        broker.publish();
        broker.run(&["users", "add", "ada", "--name", "Ada", "--group", "sales"]).succeeded();
        let cookie = Person::sign_in(&tools, broker, "ada").cookie;
        Self { tools, depot, cookie }
    }

    fn resource(&self) -> String {
        format!("{}/mcp/depot", self.depot.broker.url())
    }

    /// What every plan of a client that acts for the user holds.
    fn plan(&self, more: &Value) -> Value {
        let mut plan = json!({
            "issuer": self.depot.broker.url(), "resource": self.resource(), "scope": "depot:write",
            "cookie": self.cookie, "redirect": REDIRECT,
        });
        plan.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        plan
    }

    /// Registers an agent that asks users, one that it delegates to, and one that asks about tokens.
    fn cast(&self, client: &str, flags: &[&str]) -> Value {
        let register = |what: &str, role: &str, more: &[&str]| {
            let flags = [flags, more].concat();
            let Agent { name, key_file, key } = self.depot.broker.register(&format!("{client}-{what}"), role, &flags);
            json!({ "name": name, "key": key_file, "kid": key.public().kid })
        };
        json!({
            "agent": register("agent", "support", &["--redirect-uri", REGISTERED]),
            "peer": register("peer", "writer", &[]),
            "watcher": register("watcher", "reader", &["--scope", "token:introspect"]),
        })
    }
}

/// What must have come of every flow, whoever drove it. `bound` says whether its tokens belong to a key.
fn check(told: &Value, cast: &Value, resource: &str, bound: bool) {
    let name = |who: &str| cast[who]["name"].clone();
    let kind = if bound { "dpop" } else { "bearer" };
    for step in ["issued", "user", "renewed", "exchanged"] {
        let (token, known) = (&told[step], &told[step]["known"]);
        assert_eq!(token["token_type"].as_str().unwrap().to_lowercase(), kind, "{step}: {token}");
        assert_eq!((&known["active"], &known["aud"]), (&json!(true), &json!(resource)), "{step}: {known}");
        assert_eq!(known["cnf"]["jkt"].is_string(), bound, "{step}: {known}");
    }
    let of = |step: &str, claim: &str| told[step]["known"][claim].clone();
    assert_eq!([of("issued", "sub"), of("issued", "client_id")], [name("agent"), name("agent")]);
    assert_eq!(told["asked"], 200, "the user was asked: {told}");
    for step in ["user", "renewed"] {
        assert_eq!([of(step, "sub"), of(step, "client_id")], [json!("user:ada"), name("agent")], "{step}");
        assert_eq!(told[step]["scope"], "depot:write", "{step}");
    }
    assert_ne!(told["user"]["refresh_token"], told["renewed"]["refresh_token"], "each is good once");
    assert_eq!((&told["copy"], &told["ended"]), (&json!("invalid_grant"), &json!({ "active": false })));
    assert_eq!(told["exchanged"]["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    assert_eq!([of("exchanged", "sub"), of("exchanged", "client_id")], [name("agent"), name("peer")]);
    assert_eq!(of("exchanged", "act")["sub"], name("peer"), "{told}");
    assert_eq!(told["revoked"], json!({ "active": false }));
}

#[test]
fn openid_client_and_authlib_drive_every_flow() {
    let Some(tools) = ready(&[Need::Broker, Need::Clients, Need::Browser]) else { return };
    let scene = Scene::new(tools);
    let script = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name);

    let cast = scene.cast("openid", &[]);
    let plan = scene.plan(&cast);
    let mut plan_of_node = plan.clone();
    plan_of_node["library"] = json!(scene.tools.client_modules().join("openid-client/build/index.js"));
    let told = read_json(Command::new("node").arg(script("openid_client.mjs")).arg(plan_of_node.to_string()));
    check(&told, &cast, &scene.resource(), true);

    let cast = scene.cast("authlib", &["--danger-allow-bearer-tokens"]);
    let plan = scene.plan(&cast);
    let mut run = Command::new(scene.tools.python("oauth", "python"));
    let told = read_json(run.arg(script("authlib_client.py")).arg(plan.to_string()));
    check(&told, &cast, &scene.resource(), false);
}

/// A key pair as clients of others come with one: RSA, in PEM.
struct RsaPair {
    private: PathBuf,
    public: PathBuf,
}

fn rsa_pair(folder: &Path) -> RsaPair {
    let pair = RsaPair { private: folder.join("rsa.pem"), public: folder.join("rsa.pub.pem") };
    let make = "const { generateKeyPairSync } = require('node:crypto'); const { writeFileSync } = require('node:fs');\
        const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });\
        writeFileSync(process.argv[1], privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });\
        writeFileSync(process.argv[2], publicKey.export({ type: 'spki', format: 'pem' }));";
    let made = Command::new("node").args(["-e", make]).args([&pair.private, &pair.public]).status().unwrap();
    assert!(made.success());
    pair
}

/// Registers an agent under a public key of others.
fn register_rsa(depot: &Depot, name: &str, public: &Path, flags: &[&str]) {
    let public = public.to_string_lossy();
    let mut words = vec!["agents", "register", name, "--owner", "owner@example.com", "--purpose", "a test"];
    words.extend(["--role", "reader", "--public-key", &public]);
    words.extend(flags);
    depot.broker.run(&words).succeeded();
}

fn typescript(scene: &Scene, plan: &Value) -> Value {
    let output = run_typescript(scene, plan);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the client failed:\n{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("no JSON ({error}):\n{said}"))
}

fn run_typescript(scene: &Scene, plan: &Value) -> Output {
    let mut plan = plan.clone();
    plan["library"] = json!(scene.tools.client_modules().join("@modelcontextprotocol/client/dist/index.mjs"));
    plan["calls"] = json!([["lookup", { "path": "/public/a" }], ["lookup", { "path": "/private/a" }]]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/mcp_typescript_sdk.mjs");
    Command::new("node").arg(script).arg(plan.to_string()).stdin(Stdio::null()).output().unwrap()
}

fn check_calls(told: &Value) {
    assert_eq!(told["calls"][0]["content"][0]["text"], r#"lookup {"path":"/public/a"}"#, "{told}");
    assert_eq!(told["calls"][1]["isError"], true, "{told}");
}

/// By an RSA key and RS256, which is what both SDKs sign by unless told otherwise.
#[test]
fn the_mcp_sdks_authenticate_by_what_they_take_by_themselves() {
    let Some(tools) = ready(&[Need::Broker, Need::Clients, Need::Python, Need::Browser]) else { return };
    let mut scene = Scene::new(tools);
    let (issuer, url) = (scene.depot.broker.url(), scene.resource());
    let depot = &scene.depot;
    let pair = rsa_pair(depot.broker.scratch());
    let flags = ["--danger-allow-bearer-tokens", "--key-algorithm", "RS256"];
    register_rsa(depot, "sdk-1", &pair.public, &flags);
    let machine = |client: &str, dpop: bool| {
        let (key, algorithm) = (&pair.private, "RS256");
        json!({ "url": url, "issuer": issuer, "client": client, "key": key, "algorithm": algorithm, "dpop": dpop })
    };
    let told = typescript(&scene, &machine("sdk-1", false));
    check_calls(&told);
    assert_eq!(told["token_type"].as_str().unwrap().to_lowercase(), "bearer", "{told}");
    let oauth = json!({ "issuer": issuer, "client": "sdk-1", "key": pair.private, "algorithm": null });
    let steps =
        json!([["call_tool", "lookup", { "path": "/public/a" }], ["call_tool", "lookup", { "path": "/private/a" }]]);
    let told = python(&scene.tools, &json!({ "http": { "url": url, "oauth": oauth }, "mode": "auto", "steps": steps }));
    check_calls(&json!({ "calls": told }));

    // Without a word, an RSA key is for PS256 and verifies nothing else; a client that signs so binds its tokens too.
    let other = rsa_pair(&depot.broker.home());
    register_rsa(depot, "sdk-2", &other.public, &[]);
    let mut plan = machine("sdk-2", true);
    (plan["key"], plan["algorithm"]) = (json!(other.private), json!("PS256"));
    let told = typescript(&scene, &plan);
    check_calls(&told);
    assert_eq!(told["token_type"].as_str().unwrap().to_lowercase(), "dpop", "{told}");
    assert_eq!(depot.ledger.acts(), 3, "one allowed call of each");

    // An operator who wants none of it: the key stops working, no other comes in, and nobody is told that it would.
    scene.depot.broker.kill();
    let only = "[keys]\nagent_algorithms = [\"ES256\", \"PS256\"]";
    scene.depot.broker.edit("bailiwick.toml", &[("[keys]", only)]);
    scene.depot.broker.serve_verified();
    let refused = run_typescript(&scene, &machine("sdk-1", false));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("invalid_client"), "{said}");
    check_calls(&typescript(&scene, &plan));
    let third = rsa_pair(&scene.depot.broker.home().join("data"));
    let words = ["agents", "register", "sdk-3", "--owner", "o@example.com", "--purpose", "a test", "--role", "reader"];
    let public = third.public.to_string_lossy();
    let flags = ["--public-key", &public, "--key-algorithm", "RS256"];
    let refused = scene.depot.broker.run(&[&words[..], &flags].concat());
    assert!(refused.code != 0 && refused.stderr.contains("agent_algorithms"), "{refused:?}");
    assert_eq!(scene.depot.ledger.acts(), 4);
}

/// The code flow by the SDKs' own providers, discovery included; then calls for the user.
#[test]
fn the_mcp_sdks_call_for_a_user() {
    let Some(tools) = ready(&[Need::Broker, Need::Clients, Need::Python, Need::Browser]) else { return };
    let scene = Scene::new(tools);
    let (issuer, url) = (scene.depot.broker.url(), scene.resource());
    let flags = ["--redirect-uri", REGISTERED];
    let agent = scene.depot.broker.register("ts-1", "support", &flags);
    let plan = json!({
        "url": url, "client": agent.name, "key": agent.key_file, "algorithm": "ES256", "dpop": true,
    });
    let told = typescript(&scene, &scene.plan(&plan));
    check_calls(&told);
    assert_eq!((&told["asked"], &told["renewed"]), (&json!(200), &json!("AUTHORIZED")), "{told}");
    assert_eq!((&told["rotated"], &told["again"]["isError"].as_bool()), (&json!(true), &None), "{told}");
    assert_eq!(told["token_type"].as_str().unwrap().to_lowercase(), "dpop", "{told}");

    let agent =
        scene.depot.broker.register("py-1", "support", &[&flags[..], &["--danger-allow-bearer-tokens"]].concat());
    let oauth = scene.plan(&json!({ "client": agent.name, "key": agent.key_file }));
    let steps =
        json!([["call_tool", "lookup", { "path": "/public/a" }], ["call_tool", "lookup", { "path": "/private/a" }]]);
    let told = python(&scene.tools, &json!({ "http": { "url": url, "oauth": oauth }, "mode": "auto", "steps": steps }));
    check_calls(&json!({ "calls": told }));

    let intents: Vec<Value> =
        scene.depot.broker.evidence().into_iter().filter(|one| one["entry"]["kind"] == "intent").collect();
    assert!(
        !intents.is_empty() && intents.iter().all(|one| one.to_string().contains("user:ada")),
        "{issuer}: {intents:?}"
    );
}
