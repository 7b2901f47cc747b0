//! A job that has no key of ours: its platform signs a token for it, by a library of others, and the broker knows the agent by
//! the ids in it.

use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use bailiwick_keys::agent_key::AgentKey;
use bailiwick_model::jwk::SigningAlgorithm;
use bailiwick_testkit_broker::{
    broker::Agent,
    http_client::{HttpAnswer, HttpClient},
    stdio_client::{StdioClient, succeeded},
    tools::{Need, Tools, ready},
};
use bailiwick_testkit_engine::issuer::changed;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::Depot;

/// The platform: another process, on `jose`.
struct Platform {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    issuer: String,
}

impl Platform {
    fn start(tools: &Tools) -> Self {
        let plan = json!({ "library": tools.client_modules().join("jose/dist/webapi/index.js") });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/platform.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(plan.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        let mut platform = Self { child, input, output, issuer: String::new() };
        platform.issuer = platform.heard()["issuer"].as_str().unwrap().to_owned();
        platform
    }

    fn heard(&mut self) -> Value {
        serde_json::from_str(&self.output.next().unwrap().unwrap()).unwrap()
    }

    /// What it signs for a job of `octo/app`, with some claims replaced, or removed by `null`.
    fn token(&mut self, audience: &str, changes: &Value) -> String {
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({
            "sub": "repo:octo/app:environment:production", "aud": audience, "jti": Uuid::new_v4().to_string(),
            "iat": now, "nbf": now - 5, "exp": now + 300, "repository": "octo/app", "repository_id": "74",
            "repository_owner": "octo", "repository_owner_id": "65", "environment": "production",
            "ref": "refs/heads/main", "job_workflow_ref": "octo/app/.github/workflows/deploy.yml@refs/heads/main",
        });
        writeln!(self.input, "{}", changed(claims, changes)).unwrap();
        self.heard()["token"].as_str().unwrap().to_owned()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bundle's word on the platform: `claims` are those of the agent `deploy-bot`.
fn trust(platform: &Platform, claims: &str) -> String {
    format!(
        "issuer = \"{}\"\nkeys = {{ discovery = \"openid-configuration\" }}\nalgorithms = [\"RS256\"]\n\
         [[workload.agents]]\nagent = \"deploy-bot\"\nclaims = {claims}\n",
        platform.issuer
    )
}

const CLAIMS: &str = r#"{ repository_id = "74", environment = "production" }"#;

/// The agent, which has no key here: its own, of this one job, is what it binds its tokens to.
fn register(depot: &Depot, platform: &Platform) -> Agent {
    let of = format!("workload={}", platform.issuer);
    let words = ["agents", "register", "deploy-bot", "--owner", "owner@example.com", "--purpose", "deploy", "--role"];
    depot.broker.run(&[&words[..], &["clerk", "--certificate", &of]].concat()).succeeded();
    let key = AgentKey::generate(SigningAlgorithm::ES256).unwrap();
    Agent { name: "deploy-bot".to_owned(), key_file: depot.broker.scratch().join("none"), key }
}

async fn present(client: &mut HttpClient<'_>, token: &str) -> HttpAnswer {
    let answer = client.ask_token_with(token).await;
    if client.learn_nonce(&answer) { client.ask_token_with(token).await } else { answer }
}

fn error(answer: &HttpAnswer) -> Value {
    answer.message_or_body()["error"].clone()
}

/// Without a key of ours, and without a secret anywhere, from a job's token to a call that reaches the system.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_known_by_its_platforms_ids() {
    let Some(tools) = ready(&[Need::Broker, Need::Clients]) else { return };
    let mut depot = Depot::stdio(&tools);
    let mut platform = Platform::start(&tools);
    let (us, none) = (depot.broker.url(), json!({}));

    // By names alone nobody is known: the refusal says which id to take.
    depot.broker.write("issuers/ci.toml", &trust(&platform, r#"{ repository = "octo/app" }"#));
    let refused = depot.broker.run(&["policy", "publish"]).ended_with(5);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("names alone") && said.contains("repository_id"), "{said}");
    depot.broker.write("issuers/ci.toml", &trust(&platform, CLAIMS));
    depot.broker.publish();
    let agent = register(&depot, &platform);
    let mut client = HttpClient::without_token(&depot.broker, &agent, "depot");

    // Keys of this machine are fetched only once the operator names its network.
    let early = present(&mut client, &platform.token(&us, &none)).await;
    assert_eq!(error(&early), "temporarily_unavailable", "{}", early.body);
    let configuration = depot.broker.read("bailiwick.toml");
    depot.broker.kill();
    depot.broker.write("bailiwick.toml", &format!("{configuration}\n[fetch]\nallow = [\"127.0.0.0/8\"]\n"));
    depot.broker.serve_verified();

    let token = platform.token(&us, &none);
    let granted = present(&mut client, &token).await.message_or_body();
    assert_eq!(granted["token_type"], "DPoP", "{granted}");
    assert_eq!(error(&present(&mut client, &token).await), "invalid_client", "good once");
    granted["access_token"].as_str().unwrap().clone_into(&mut client.token);
    succeeded(&client.call("lookup", json!({ "path": "/public/a" })).await);

    // Everybody else on the platform is nobody, whatever their names.
    for changes in [
        json!({ "repository_id": "75" }),
        json!({ "repository_id": "75", "sub": "repo:octo/app:environment:production" }),
        json!({ "environment": "test" }),
        json!({ "aud": "https://github.com/octo" }),
        json!({ "aud": [us.as_str(), "https://other.example"] }),
        json!({ "exp": jiff::Timestamp::now().as_second() + 86_400 }),
        json!({ "iss": us.as_str() }),
    ] {
        let token = platform.token(&us, &changes);
        let answer = present(&mut client, &token).await;
        assert_eq!(error(&answer), "invalid_client", "{changes}: {}", answer.body);
        assert!(!answer.body.contains("repository_id") && !answer.body.contains("deploy-bot"), "{}", answer.body);
    }
    assert_eq!(depot.ledger.acts(), 1, "only the lookup reached the upstream");
    assert!(depot.broker.log().contains("repository_id"), "the operator learns which claim did not fit");

    let evidence = depot.broker.evidence();
    let issued = evidence.iter().map(|one| &one["entry"]).find(|entry| entry["kind"] == "token_issued").unwrap();
    assert_eq!(issued["body"]["method"], "workload_identity", "{issued}");
    let shown = depot.broker.run(&["agents", "show", "deploy-bot", "--output", "json"]).succeeded().json();
    let known = &shown["certificates"][0];
    assert_eq!((&known["kind"], &known["value"]), (&json!("workload_issuer"), &json!(platform.issuer)), "{shown}");

    // The same by our own commands, from a file as a platform leaves it.
    let file = depot.broker.scratch().join("token");
    let path = file.to_string_lossy().into_owned();
    let who = ["--agent", "deploy-bot", "--identity-token", &path];
    let resource = format!("{us}/mcp/depot");
    std::fs::write(&file, format!("{}\n", platform.token(&us, &none))).unwrap();
    let words = [&["token", "--resource", &resource, "--proof-for", "POST", &resource][..], &who].concat();
    assert!(depot.broker.run(&words).succeeded().stdout.contains("Authorization: DPoP "));
    let again = depot.broker.run(&words).ended_with(3);
    assert!(again.stderr.contains("invalid_client"), "{}", again.stderr);
    std::fs::write(&file, platform.token(&us, &none)).unwrap();
    let command = depot.broker.command(&[&["bridge", "depot", "--url", &us][..], &who].concat());
    let mut bridge = StdioClient::start(command.into()).await;
    succeeded(&bridge.call("lookup", json!({ "path": "/public/b" })).await);

    // Trust that is taken back is gone on the next call, without a restart.
    depot.broker.write("issuers/ci.toml", &trust(&platform, r#"{ repository_id = "99" }"#));
    depot.broker.publish();
    let late = present(&mut client, &platform.token(&us, &none)).await;
    assert_eq!(error(&late), "invalid_client", "{}", late.body);
}
