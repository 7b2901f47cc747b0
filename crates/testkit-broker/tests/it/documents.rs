//! A client that nobody registered: the MCP SDK, which is known by the URL of a document that its maker publishes.

use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use bailiwick_testkit_broker::{
    broker::Broker,
    person::Person,
    tools::{Need, ready},
};
use serde_json::{Value, json};

use crate::{clients::read_json, world::Depot};

const REDIRECT: &str = "http://127.0.0.1:51234/cb";
const PATH: &str = "/oauth/client.json";

const SUPPORT: &str = r#"
purpose = "Answer customers"
allow = ["depot:read", "depot:write"]
"#;

const USERS: &str = r#"
@id("sales")
permit (principal in Bailiwick::Group::"sales", action in Bailiwick::Action::"depot:read", resource);
"#;

/// Whoever publishes the document, as a process of its own behind the certificate of the TLS stories.
struct Publisher {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    origin: String,
}

impl Publisher {
    fn start(folder: &Path) -> Self {
        let files = [("chain.pem", include_str!("tls/chain.pem")), ("key.pem", include_str!("tls/key.pem"))];
        let [certificate, key] = files.map(|(name, text)| {
            std::fs::write(folder.join(name), text).unwrap();
            folder.join(name)
        });
        let plan = json!({ "certificate": certificate, "key": key });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/publisher.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(plan.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        let mut publisher = Self { child, input, output, origin: String::new() };
        publisher.origin = publisher.heard()["origin"].as_str().unwrap().to_owned();
        publisher
    }

    fn heard(&mut self) -> Value {
        serde_json::from_str(&self.output.next().unwrap().unwrap()).unwrap()
    }

    fn url(&self) -> String {
        format!("{}{PATH}", self.origin)
    }

    /// Publishes an answer; tells how often anybody asked before.
    fn publish(&mut self, status: u16, headers: &Value, body: &str) -> u64 {
        let line = json!({ "path": PATH, "status": status, "headers": headers, "body": body });
        writeln!(self.input, "{line}").unwrap();
        self.heard()["asked"].as_u64().unwrap()
    }

    fn document(&self, redirect_uri: &str) -> String {
        let document = json!({
            "client_id": self.url(), "client_name": "The Official One", "redirect_uris": [redirect_uri],
            "token_endpoint_auth_method": "none", "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
        });
        document.to_string()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn trust(broker: &Broker, publisher: &Publisher) {
    let rule = format!(
        "urls = [\"{}/oauth/\"]\nowner = \"it@example.com\"\npurpose = \"Assistants of our people\"\n\
         environment = \"development\"\nrole = \"support\"\nsystems = [\"depot\"]\n",
        publisher.origin
    );
    broker.write("clients/assistants.toml", &rule);
    broker.publish();
}

/// The agent that the client became.
fn agent(broker: &Broker) -> Value {
    let listed = broker.run(&["agents", "list", "--output", "json"]).succeeded().json();
    let agents = listed["agents"].as_array().unwrap();
    agents.iter().find(|agent| agent["name"].as_str().unwrap().starts_with("url-localhost")).unwrap().clone()
}

/// What the authorization endpoint says to the user's browser.
async fn authorize(broker: &Broker, cookie: &str, client: &str) -> (u16, String) {
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let resource = format!("{}/mcp/depot", broker.url());
    let query = [
        ("client_id", client),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
        ("resource", &resource),
    ];
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    // People's pages, and their sessions, have one name.
    let pages = broker.url().replace("127.0.0.1", "localhost");
    let ask = http.get(format!("{pages}/oauth/authorize")).query(&query).header("cookie", cookie);
    let answer = ask.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// From a URL that nobody registered to calls for a user, by the SDK alone; then everything that ends it.
#[tokio::test(flavor = "multi_thread")]
async fn the_mcp_sdk_is_known_by_its_document() {
    let Some(tools) = ready(&[Need::Broker, Need::Clients, Need::Browser]) else { return };
    let mut depot = Depot::stdio(&tools);
    let mut publisher = Publisher::start(depot.broker.scratch());
    let client = publisher.url();
    let configuration = depot.broker.read("bailiwick.toml");
    depot.broker.kill();
    depot.broker.write("tls/publisher.pem", include_str!("tls/authority.pem"));
    let fetch = "[fetch]\nallow = [\"127.0.0.0/8\", \"::1/128\"]\nroots = \"tls/publisher.pem\"\n";
    depot.broker.write("bailiwick.toml", &format!("{configuration}\n{fetch}"));
    depot.broker.serve_verified();
    let broker = &depot.broker;
    broker.write("roles/support.toml", SUPPORT);
    broker.write("policies/users/sales.cedar", USERS);
    trust(broker, &publisher);
    broker.run(&["users", "add", "ada", "--name", "Ada", "--group", "sales"]).succeeded();
    let cookie = Person::sign_in(&tools, broker, "ada").cookie;

    // Nothing there yet, and then everything that must not be believed; none of it makes an agent or is remembered.
    let good = publisher.document("http://127.0.0.1/cb");
    let none = json!({});
    let other = good.replace(PATH, "/oauth/other.json");
    for (status, headers, body) in [
        (404, none.clone(), String::new()),
        (500, none.clone(), good.clone()),
        (302, json!({ "location": client.clone() }), good.clone()),
        (301, json!({ "location": "http://127.0.0.1:1/" }), String::new()),
        (200, json!({ "content-type": "text/html" }), good.clone()),
        (200, none.clone(), other),
        (200, none.clone(), good.replacen('{', "{\"client_id\":\"x\",", 1)),
        (200, none.clone(), good.replace("\"none\"", "\"client_secret_post\"")),
        (200, none.clone(), good.replacen('{', "{\"client_secret\":\"x\",", 1)),
        (200, none.clone(), good.replace("The Official One", &"x".repeat(6_000))),
    ] {
        publisher.publish(status, &headers, &body);
        let (answered, page) = authorize(broker, &cookie, &client).await;
        assert_eq!(answered, 502, "{status} {headers} {body}\n{page}");
    }
    let listed = broker.run(&["agents", "list", "--output", "json"]).succeeded().json();
    assert!(!listed.to_string().contains("url-localhost"), "{listed}");

    // A stranger makes nobody fetch anything; a user does, once for as long as the document is good.
    let before = publisher.publish(200, &json!({ "cache-control": "max-age=600" }), &good);
    let (answered, _) = authorize(broker, "none=0", &client).await;
    assert_eq!((answered, publisher.publish(200, &none, &good)), (303, before));
    publisher.publish(200, &json!({ "cache-control": "max-age=600" }), &good);
    let crowd = (0..8).map(|_| authorize(broker, &cookie, &client));
    assert!(futures::future::join_all(crowd).await.iter().all(|(status, _)| *status == 303));
    assert_eq!(authorize(broker, &cookie, &client).await.0, 303);
    assert_eq!(publisher.publish(200, &none, &good), before + 1, "one asks for all, and it is kept while it is fresh");

    // Like every agent it starts read-only, and asking for more is refused until an operator says otherwise.
    let name = agent(broker)["name"].as_str().unwrap().to_owned();
    broker.run(&["agents", "promote", &name, "--reason", "a test"]).succeeded();

    // The SDK, from nothing but an endpoint and the URL of its document.
    let plan = json!({
        "library": tools.client_modules().join("@modelcontextprotocol/client/dist/index.mjs"),
        "url": format!("{}/mcp/depot", broker.url()), "issuer": broker.url(), "document": client, "dpop": true,
        "cookie": cookie, "redirect": REDIRECT,
        "calls": [["lookup", { "path": "/public/a" }], ["lookup", { "path": "/private/a" }]],
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/mcp_typescript_sdk.mjs");
    let told = read_json(Command::new("node").arg(script).arg(plan.to_string()));
    assert_eq!(told["token_type"].as_str().unwrap().to_lowercase(), "dpop", "{told}");
    assert_eq!(told["calls"][0]["content"][0]["text"], r#"lookup {"path":"/public/a"}"#, "{told}");
    assert_eq!((&told["calls"][1]["isError"], &told["renewed"]), (&json!(true), &json!("AUTHORIZED")), "{told}");

    let agent = agent(broker);
    assert_eq!((&agent["owner"], &agent["role"]), (&json!("it@example.com"), &json!("support")), "{agent}");
    let known = &agent["certificates"][0];
    assert_eq!(
        [&known["method"], &known["kind"], &known["value"]],
        [&json!("none"), &json!("client_document"), &json!(client)]
    );
    let refused = authorize(broker, &cookie, &name).await;
    assert_eq!(refused.0, 400, "by its name it would come past its document: {}", refused.1);

    // Without its rule it is nobody: what the user allowed holds no more.
    let grants = || broker.run(&["grants", "list", "--output", "json"]).succeeded().json();
    assert_ne!(grants()["grants"], json!([]));
    std::fs::remove_file(broker.home().join("clients/assistants.toml")).unwrap();
    broker.publish();
    assert_eq!(authorize(broker, &cookie, &client).await.0, 400);
}
