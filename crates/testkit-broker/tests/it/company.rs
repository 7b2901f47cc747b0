//! A company's people in a real browser: they sign in by an OpenID provider that others wrote, let an agent act for them, prove
//! anew who they are, sign out; and who left gets no further than the company's own page.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    process::{Child, ChildStdout, Command, Stdio},
};

use bailiwick_testkit_broker::{
    broker::Broker,
    browser::browse,
    http_client::{HttpClient, Revision, send},
    tools::{Need, Tools, ready},
};
use serde_json::{Value, json};

use crate::world::Depot;

const SUPPORT: &str = r#"
purpose = "Answer customers"
allow = ["depot:read", "depot:write"]
"#;

const USERS: &str = r#"
@id("sales")
permit (
    principal in Bailiwick::Group::"sales",
    action in [Bailiwick::Action::"depot:read", Bailiwick::Action::"depot:write"],
    resource
);
"#;

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// The npm package `oidc-provider`, which ends with the story.
struct Company {
    process: Child,
    issuer: String,
    /// It says more later on, and ends where nobody would hear that.
    _says: BufReader<ChildStdout>,
}

impl Company {
    /// As a provider of this broker, whose pages are at `origin`.
    fn start(tools: &Tools, broker: &Broker, origin: &str) -> Self {
        let modules = tools.provider_modules();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/oidc_provider.mjs");
        let mut process = Command::new(modules.join(".bin/node"))
            .arg(script)
            .arg(modules.join("oidc-provider/lib/index.js"))
            .args(["bailiwick", &format!("{origin}/sign-in/oidc/company/callback")])
            .arg(format!("{}/oauth/jwks", broker.url()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (mut issuer, mut says) = (String::new(), BufReader::new(process.stdout.take().unwrap()));
        says.read_line(&mut issuer).unwrap();
        Self { process, issuer: issuer.trim().to_owned(), _says: says }
    }
}

impl Drop for Company {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Where the agent's users come back to: a page that says so, for as long as the story lasts.
fn landing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/cb", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            drop(stream.read(&mut [0; 4_096]));
            let page =
                "<!doctype html><html lang=en><title>Back</title><link rel=icon href=data:,><main>back</main></html>";
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\n", page.len());
            drop(write!(stream, "{head}connection: close\r\n\r\n{page}"));
        }
    });
    url
}

/// A depot of a company whose people sign in by its provider, and whose directory tells who they are.
struct Scene {
    tools: Tools,
    depot: Depot,
    company: Company,
    /// Of the pages.
    origin: String,
    http: reqwest::Client,
    /// The directory's credential.
    token: String,
}

impl Scene {
    fn open() -> Option<Self> {
        let tools = ready(&[Need::Broker, Need::Browser, Need::Provider])?;
        let mut depot = Depot::stdio(&tools);
        let broker = &mut depot.broker;
        broker.write("roles/support.toml", SUPPORT);
        broker.write("policies/users/sales.cedar", USERS);
        broker.publish();
        broker.kill();
        let origin = broker.url().replace("127.0.0.1", "localhost");
        let company = Company::start(&tools, broker, &origin);
        let rules = format!(
            "\n[fetch]\nallow = [\"127.0.0.0/8\"]\n\n[[sign_in.oidc]]\nname = \"company\"\ntitle = \"Our company\"\n\
             issuer = \"{}\"\nclient_id = \"bailiwick\"\nlink = \"user_name\"\n",
            company.issuer
        );
        let config = broker.read("bailiwick.toml");
        broker.write("bailiwick.toml", &format!("{config}{rules}"));
        broker.serve_verified();
        let token = broker.run(&["scim", "token", "create", "directory"]).succeeded().stdout.trim().to_owned();
        Some(Self { tools, depot, company, origin, http: reqwest::Client::new(), token })
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// What the company's directory tells, and the answer.
    async fn directory(&self, method: reqwest::Method, path: &str, body: &Value) -> Value {
        let url = format!("{}/scim/v2{path}", self.depot.broker.url());
        let ask = self.http.request(method, url).bearer_auth(&self.token);
        let ask = ask.header("content-type", "application/scim+json").body(body.to_string());
        let answer = send(ask).await;
        assert!(answer.status.is_success(), "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap_or_default()
    }

    /// From the broker's sign-in page to wherever that leads, as somebody of the company.
    fn sign_in(login: &str) -> Vec<Value> {
        vec![
            json!(["send", "a.button"]),
            json!(["fill", "input[name=login]", login]),
            json!(["send", "button[type=submit]"]),
            // The provider asks whether the broker may know.
            json!(["send", "button[type=submit]"]),
        ]
    }

    /// What somebody is told who signs in at the company and is not let in here.
    fn turned_away(&self, login: &str) -> String {
        let mut steps = vec![json!(["goto", self.at("/sign-in")])];
        steps.extend(Self::sign_in(login));
        steps.extend([json!(["text"]), json!(["goto", self.at("/account")]), json!(["url"])]);
        let told = browse(&self.tools, &json!(steps));
        assert_eq!((&told[4], &told[7]), (&json!(403), &json!(self.at("/sign-in?return_to=%2Faccount"))), "{told:?}");
        told[5].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_with_their_company() {
    let Some(scene) = Scene::open() else { return };
    let (broker, back) = (&scene.depot.broker, landing());
    let ada = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ada", "displayName": "Ada L." });
    let ada = scene.directory(reqwest::Method::POST, "/Users", &ada).await;
    let ada = ada["id"].as_str().unwrap_or_else(|| panic!("{ada}"));
    let sales = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "sales", "members": [{ "value": ada }],
    });
    scene.directory(reqwest::Method::POST, "/Groups", &sales).await;
    let agent = broker.register("helper", "support", &["--redirect-uri", &back]);
    let resource = format!("{}/mcp/depot", broker.url());
    let asked = reqwest::Url::parse_with_params(
        &format!("{}/oauth/authorize", broker.url()),
        [
            ("response_type", "code"),
            ("client_id", &agent.name),
            ("redirect_uri", &back),
            ("resource", &resource),
            ("scope", "depot:write"),
            ("state", "s"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ],
    )
    .unwrap();

    // The agent's request comes first: who is not signed in does that on the way, without a script.
    let mut steps = vec![
        json!(["script", false]),
        json!(["goto", asked.as_str()]),
        json!(["text"]),
        json!(["unlabelled"]),
        json!(["overflow", 320]),
    ];
    steps.extend(Scene::sign_in("ada"));
    steps.extend([
        json!(["text"]),
        json!(["send", "button[value=allow]"]),
        json!(["url"]),
        json!(["goto", scene.at("/account")]),
        json!(["text"]),
        json!(["cookies"]),
        // Whoever has to prove anew who they are does so at the company, which asks for the password again.
        json!(["goto", scene.at("/sign-in?step_up=1&return_to=%2Faccount")]),
        json!(["text"]),
    ]);
    steps.extend(Scene::sign_in("ada").drain(..3));
    steps.extend([
        json!(["url"]),
        json!(["send", "form[action='/sign-out'] button"]),
        json!(["goto", scene.at("/account")]),
        json!(["url"]),
    ]);
    let told = browse(&scene.tools, &json!(steps));
    let text = |index: usize| told[index].as_str().unwrap_or_else(|| panic!("{index}: {told:?}"));
    assert!(text(2).contains("Sign in with Our company"), "{told:?}");
    assert_eq!((&told[3], &told[4]), (&json!([]), &json!(false)), "{told:?}");
    assert!(text(9).contains("helper"), "{told:?}");
    let sent = reqwest::Url::parse(text(11)).unwrap();
    let said = |name: &str| sent.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    assert_eq!((said("iss"), said("state")), (Some(broker.url()), Some("s".to_owned())), "{sent}");
    assert!(text(13).contains("Ada L.") && text(13).contains("another provider"), "{told:?}");
    assert!(!text(13).contains("an administrator"), "{told:?}");
    assert!(text(16).contains("Confirm with Our company"), "{told:?}");
    assert_eq!((text(20), text(23)), (&*scene.at("/account"), &*scene.at("/sign-in?return_to=%2Faccount")), "{told:?}");

    // What she allowed holds, whether she is signed in or not, until she leaves.
    let client = HttpClient::connect(broker, &agent, "depot", Revision::Stateless).await;
    let url = format!("{}/oauth/token", broker.url());
    let assertion = client.assertion();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &said("code").unwrap()),
        ("redirect_uri", &back),
        ("code_verifier", VERIFIER),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &assertion),
    ];
    let redeemed = send(scene.http.post(&url).form(&form).header("dpop", client.proof("POST", &url, None))).await;
    assert_eq!(redeemed.status, 200, "{}", redeemed.body);
    let grants = || broker.run(&["grants", "list", "--output", "json"]).succeeded().json()["grants"].clone();
    assert!(grants().to_string().contains(&format!("user:{ada}")), "{}", grants());
    let account = broker.run(&["users", "accounts", ada, "--output", "json"]).succeeded().json()["accounts"][0].clone();
    assert_eq!(
        [&account["issuer"], &account["subject"], &account["linked_by"]],
        [&json!(scene.company.issuer), &json!("ada"), &json!("match")]
    );
    let events = broker.run(&["audit", "tail", "--kind", "session_changed", "--output", "json"]).succeeded().stdout;
    assert!(events.contains("fed") && events.contains("signed_out"), "{events}");

    assert!(scene.turned_away("mallory").contains("signs nobody in here"), "in no directory");
    scene.directory(reqwest::Method::DELETE, &format!("/Users/{ada}"), &Value::Null).await;
    assert!(scene.turned_away("ada").contains("may not sign in here any more"), "she left");
    assert!(!grants().to_string().contains(ada), "{}", grants());
    let session = told[14][0]["value"].as_str().unwrap();
    for secret in [&*scene.token, session, &said("code").unwrap()] {
        assert!(!broker.log().contains(secret) && !events.contains(secret), "no credential is told anywhere");
    }
}
