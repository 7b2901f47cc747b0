//! Whoever copies the database of a broker that holds everything finds no credential in it: nothing that was handed out
//! stands there, and nothing that stands there opens anything, whatever it is presented as.

use std::{
    cell::Cell,
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use bailiwick_testkit_broker::{
    broker::Agent,
    http_client::{HttpAnswer, HttpClient, Revision, send},
    person::{Person, Visit},
    tools::{Need, Tools, ready},
};
use reqwest::{Client, RequestBuilder, StatusCode, Url, redirect::Policy};
use serde_json::{Value, json};

use crate::{
    clients::read_json,
    custody::hold_nothing,
    pipelines::{Job, new_key},
    world::Depot,
};

const REDIRECT: &str = "http://127.0.0.1:51234/cb";
const CREDENTIAL: &str = "upstream-credential-31f0c9aa7d";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const CIBA: &str = "urn:openid:params:grant-type:ciba";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const SUPPORT: &str = "purpose = \"Answer\"\nallow = [\"depot:read\", \"depot:write\"]\ndelegates_to = [\"writer\"]\n";
const WRITER: &str = "purpose = \"Write\"\nallow = [\"depot.write_note\"]\n";

/// A broker that holds everything, with the keys of two of its clients: the thief of this story even has those.
struct Scene {
    depot: Depot,
    person: Person,
    http: Client,
    attempts: Cell<u32>,
}

impl Scene {
    fn new(tools: &Tools) -> Self {
        let mut depot = Depot::stdio(tools);
        let broker = &mut depot.broker;
        broker.kill();
        // From a declared proxy each attempt comes from an address of its own, so that no throttle stands in for a check.
        broker.edit("bailiwick.toml", &[("[listen]", "[listen]\ntrusted_proxies = [\"127.0.0.0/8\"]")]);
        broker.write("roles/support.toml", SUPPORT);
        broker.write("roles/writer.toml", WRITER);
        broker.serve_verified();
        broker.publish();
        broker.run_fed(&["secrets", "put", "depot/token"], CREDENTIAL).succeeded();
        let person = Person::sign_in(tools, broker, "ada");
        let http = Client::builder().redirect(Policy::none()).build().unwrap();
        Self { depot, person, http, attempts: Cell::new(0) }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.depot.broker.url())
    }

    fn sent_from_anywhere(&self, ask: RequestBuilder) -> RequestBuilder {
        let count = self.attempts.get() + 1;
        self.attempts.set(count);
        let [_, a, b, c] = count.to_be_bytes();
        ask.header("x-forwarded-for", format!("10.{a}.{b}.{c}"))
    }

    /// A form of a client that proves who it is.
    fn form(&self, client: &HttpClient<'_>, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let assertion = client.assertion();
        let mut all = vec![("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &assertion)];
        all.extend(fields);
        let proof = client.proof("POST", &self.url(path), None);
        self.sent_from_anywhere(self.http.post(self.url(path)).form(&all)).header("dpop", proof)
    }

    async fn push(&self, client: &HttpClient<'_>) -> String {
        let resource = self.url("/mcp/depot");
        let asked = [
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("resource", &resource),
            ("scope", "depot:write"),
            ("code_challenge_method", "S256"),
            ("code_challenge", CHALLENGE),
        ];
        let answer = send(self.form(client, "/oauth/par", &asked)).await;
        answer.message_or_body()["request_uri"].as_str().unwrap_or_else(|| panic!("{}", answer.body)).to_owned()
    }

    fn authorize(&self, agent: &Agent, request_uri: &str) -> Url {
        Url::parse_with_params(
            &self.url("/oauth/authorize"),
            [("client_id", agent.name.as_str()), ("request_uri", request_uri)],
        )
        .unwrap()
    }

    async fn code(&self, client: &HttpClient<'_>, agent: &Agent) -> String {
        let url = self.authorize(agent, &self.push(client).await);
        let visit = self.person.answer(&url, REDIRECT, "allow").await;
        visit.parameter("code").unwrap_or_else(|| panic!("{visit:?}"))
    }

    fn redeem(&self, client: &HttpClient<'_>, code: &str) -> RequestBuilder {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        self.form(client, "/oauth/token", &fields)
    }

    /// Asks a user apart from the client: by the back channel, or with a code for a device.
    async fn ask_apart(&self, client: &HttpClient<'_>, path: &str, more: &[(&str, &str)]) -> Value {
        let resource = self.url("/mcp/depot");
        let fields = [&[("resource", resource.as_str())], more].concat();
        send(self.form(client, path, &fields)).await.message_or_body()
    }

    fn poll(&self, client: &HttpClient<'_>, grant: &str, name: &str, held: &str) -> RequestBuilder {
        self.form(client, "/oauth/token", &[("grant_type", grant), (name, held)])
    }

    fn renew(&self, client: &HttpClient<'_>, token: &str) -> RequestBuilder {
        self.form(client, "/oauth/token", &[("grant_type", "refresh_token"), ("refresh_token", token)])
    }

    /// Presents a value as everything that it could be. Whoever is let in is told by the door's name.
    async fn present(&self, value: &str, cast: &mut Cast<'_>) -> Option<&'static str> {
        let cookie = self.person.cookie.split('=').next().unwrap().to_owned();
        let reads = |path: &str| self.sent_from_anywhere(self.http.get(self.url(path)));
        // Some cannot be spelled in a header or a path: then they cannot be presented there either.
        let page = send(reads("/account").header("cookie", format!("{cookie}={value}"))).await;
        if page.status == StatusCode::OK {
            return Some("a session");
        }
        let link = send(reads(&format!("/setup/{}", value.replace('/', "%2F")))).await;
        if link.status == StatusCode::OK {
            return Some("a one-time link");
        }
        let client = &mut cast.client;
        for presented in [value.to_owned(), format!("bwr_{value}")] {
            let answer = send(self.renew(client, &presented)).await;
            client.learn_nonce_of(&answer.headers);
            if answer.status == StatusCode::OK {
                return Some("a refresh token");
            }
            looked_at(&answer);
        }
        let answer = send(self.redeem(client, value)).await;
        if answer.status == StatusCode::OK {
            return Some("a code");
        }
        looked_at(&answer);
        for (grant, name) in [(DEVICE, "device_code"), (CIBA, "auth_req_id")] {
            let answer = send(self.poll(client, grant, name, value)).await;
            let error = answer.message_or_body()["error"].clone();
            // Whatever else is said of it, it is known.
            if error != "invalid_grant" && error != "invalid_request" {
                return Some("a request for consent");
            }
        }
        for request_uri in [value.to_owned(), format!("urn:ietf:params:oauth:request_uri:{value}")] {
            let url = self.authorize(cast.agent, &request_uri);
            if !matches!(self.person.answer(&url, REDIRECT, "refuse").await, Visit::Page { .. }) {
                return Some("a pushed request");
            }
        }
        let answer = send(self.form(&cast.watcher, "/oauth/introspect", &[("token", value)])).await;
        cast.watcher.learn_nonce_of(&answer.headers);
        if answer.message_or_body()["active"] != json!(false) {
            return Some("an access token");
        }
        for presented in [value.to_owned(), format!("bwp_{value}")] {
            let directory = send(reads("/scim/v2/Users").bearer_auth(presented)).await;
            if directory.status == StatusCode::OK {
                return Some("a directory's credential");
            }
        }
        for presented in [value.to_owned(), format!("bwi_{value}")] {
            let ask = self.sent_from_anywhere(self.http.post(self.url("/oauth/register")).bearer_auth(presented));
            if send(ask.json(&new_key().0)).await.status == StatusCode::CREATED {
                return Some("an initial access token");
            }
        }
        for presented in [value.to_owned(), format!("bwm_{value}")] {
            let ask = self.sent_from_anywhere(self.http.get(&cast.registered).bearer_auth(presented));
            if send(ask).await.status == StatusCode::OK {
                return Some("a registration access token");
            }
        }
        let bearer = self.http.post(self.url("/mcp/depot")).header("authorization", format!("Bearer {value}"));
        let bearer = send(bearer.header("content-type", "application/json").body("{}")).await;
        (bearer.status != StatusCode::UNAUTHORIZED && bearer.status != StatusCode::BAD_REQUEST)
            .then_some("a bearer token")
    }
}

/// It was refused for what it is, not for who sent it or how often.
fn looked_at(answer: &HttpAnswer) {
    let error = answer.message_or_body()["error"].as_str().unwrap_or_default().to_owned();
    assert!(matches!(error.as_str(), "invalid_grant" | "invalid_request"), "{} {}", answer.status, answer.body);
}

struct Cast<'a> {
    agent: &'a Agent,
    client: HttpClient<'a>,
    watcher: HttpClient<'a>,
    /// Where the client that registered by itself keeps its registration.
    registered: String,
}

/// Every file of the data folder, copied while the server runs.
fn steal(depot: &Depot) -> PathBuf {
    let loot = depot.broker.scratch().join("stolen");
    fs::create_dir(&loot).unwrap();
    for entry in fs::read_dir(depot.broker.home().join("data")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, loot.join(path.file_name().unwrap())).unwrap();
        }
    }
    loot
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_a_stolen_database_is_a_credential() {
    let Some(tools) = ready(&[Need::Broker, Need::Browser, Need::Python]) else { return };
    let scene = Scene::new(&tools);
    let broker = &scene.depot.broker;
    let agent =
        broker.register("agent-1", "support", &["--redirect-uri", "http://127.0.0.1/cb", "--scope", "user:ask"]);
    let watcher = broker.register("watcher-1", "reader", &["--scope", "token:introspect"]);
    broker.register("peer-1", "writer", &[]);
    let client = HttpClient::connect(broker, &agent, "depot", Revision::Stateless).await;
    let handed = HttpClient::hand_over(broker, &agent, "peer-1", "depot:write").await;
    let mut watcher = HttpClient::connect(broker, &watcher, "depot", Revision::Stateless).await;
    watcher.take_token().await;

    // Something of every kind: used, and waiting to be used.
    let redeemed = scene.code(&client, &agent).await;
    let granted = send(scene.redeem(&client, &redeemed)).await.message_or_body();
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{granted}")).to_owned();
    let (used, of_user) = (text(&granted["refresh_token"]), text(&granted["access_token"]));
    let renewed = send(scene.renew(&client, &used)).await.message_or_body();
    let refresh = text(&renewed["refresh_token"]);
    let code = scene.code(&client, &agent).await;
    let request_uri = scene.push(&client).await;
    let link = broker.run(&["users", "invite", "bob"]).succeeded().stdout.trim().to_owned();
    let invitation = link.rsplit('/').next().unwrap().to_owned();
    let provisioning = broker.run(&["scim", "token", "create", "okta"]).succeeded().stdout;
    let provisioning = provisioning.lines().next().unwrap().to_owned();
    let terms = ["registration-tokens", "create", "--owner", "ci", "--purpose", "build", "--role", "reader"];
    let made = broker.run(&[&terms[..], &["--max-uses", "2", "--output", "json"]].concat()).succeeded().json();
    let initial = made["token"].as_str().unwrap().to_owned();
    let job = Job::register(&broker.url(), &initial).await;
    let session = scene.person.cookie.split_once('=').unwrap().1.to_owned();
    let random = request_uri.rsplit(':').next().unwrap().to_owned();
    let device = scene.ask_apart(&client, "/oauth/device_authorization", &[("scope", "depot:write")]).await;
    let told = [("scope", "openid depot:write"), ("login_hint", "ada")];
    let backchannel = scene.ask_apart(&client, "/oauth/bc-authorize", &told).await;
    let held = |from: &Value, name: &str| from[name].as_str().unwrap_or_else(|| panic!("{from}")).to_owned();
    let (device_code, user_code) = (held(&device, "device_code"), held(&device, "user_code"));
    let auth_req_id = held(&backchannel, "auth_req_id");
    let handed_out = [
        ("an upstream's credential", CREDENTIAL.to_owned()),
        ("an access token", client.token.clone()),
        ("a user's access token", of_user),
        ("a hand-over", handed),
        ("a code that was redeemed", redeemed),
        ("a code", code.clone()),
        ("a pushed request", random),
        ("a used refresh token", used),
        ("a refresh token", refresh.clone()),
        ("a session", session),
        ("a one-time link", invitation.clone()),
        ("a device's code", device_code.clone()),
        ("a code that a user types in", user_code.replace('-', "")),
        ("the same as it is shown", user_code),
        ("a request by the back channel", auth_req_id.clone()),
        ("a directory's credential", provisioning.clone()),
        ("an initial access token", initial.clone()),
        ("a registration access token", job.access.clone()),
    ];
    let loot = steal(&scene.depot);
    // Neither whole, nor the part of it that nobody can guess.
    let mut needles: Vec<(&str, String)> = handed_out.to_vec();
    for (what, secret) in &handed_out {
        let unguessable = secret.rsplit('.').next().unwrap();
        let prefixes = ["bwr_", "bwp_", "bwi_", "bwm_"];
        let bare = prefixes.iter().find_map(|prefix| unguessable.strip_prefix(prefix)).unwrap_or(unguessable);
        needles.push((what, bare.to_owned()));
    }
    hold_nothing(&loot, &needles);

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/stolen_database.py");
    let found = read_json(Command::new(tools.python("current", "python")).arg(script).arg(loot.join("bailiwick.db")));
    let found: BTreeSet<String> = serde_json::from_value(found).unwrap();
    assert!(found.len() > 100, "the thief finds values to try: {}", found.len());
    let mut cast = Cast { agent: &agent, client, watcher, registered: job.uri.clone() };
    for value in &found {
        let let_in = scene.present(value, &mut cast).await;
        assert_eq!(let_in, None, "`{value}` is in the database, and opens something");
    }

    // The instrument would have noticed: each of them still opens what it is for.
    assert_eq!(scene.present(scene.person.cookie.split_once('=').unwrap().1, &mut cast).await, Some("a session"));
    assert_eq!(scene.present(&invitation, &mut cast).await, Some("a one-time link"));
    assert_eq!(scene.present(&refresh, &mut cast).await, Some("a refresh token"));
    assert_eq!(scene.present(&code, &mut cast).await, Some("a code"));
    assert_eq!(scene.present(&device_code, &mut cast).await, Some("a request for consent"));
    assert_eq!(scene.present(&auth_req_id, &mut cast).await, Some("a request for consent"));
    assert_eq!(scene.present(&provisioning, &mut cast).await, Some("a directory's credential"));
    assert_eq!(scene.present(&initial, &mut cast).await, Some("an initial access token"));
    assert_eq!(scene.present(&job.access, &mut cast).await, Some("a registration access token"));
    let token = cast.client.token.clone();
    assert_eq!(scene.present(&token, &mut cast).await, Some("an access token"));
}
