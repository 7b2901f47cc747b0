//! What a hardening profile's suite would try at the authorization code flow of the running program, as data; the names are
//! in spirit those of the public suites for FAPI 2.0, the checks are ours. A user signed in at a real browser answers.

use bailiwick_testkit_broker::{
    broker::Agent,
    http_client::{HttpAnswer, HttpClient, Revision, send},
    person::{Person, Visit},
    tools::{Need, ready},
};
use reqwest::Url;
use serde_json::{Value, json};

use crate::world::Depot;

const REDIRECT: &str = "http://127.0.0.1:51234/cb";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A name, the parameters that replace the honest ones (`null` leaves one out, an array sends it twice), and the error.
type Case = (&'static str, fn(&Scene<'_>) -> Value, &'static str);

const PUSHED: &[Case] = &[
    ("par-ensure-pkce-required", |_| json!({ "code_challenge": null }), "invalid_request"),
    ("par-ensure-plain-pkce-rejected", |_| json!({ "code_challenge_method": "plain" }), "invalid_request"),
    ("par-ensure-pkce-method-is-said", |_| json!({ "code_challenge_method": null }), "invalid_request"),
    ("par-ensure-pkce-challenge-is-a-hash", |_| json!({ "code_challenge": VERIFIER.repeat(2) }), "invalid_request"),
    ("par-with-request-uri", |_| json!({ "request_uri": "urn:ietf:params:oauth:request_uri:x" }), "invalid_request"),
    ("par-with-request-object", |_| json!({ "request": "e30.e30." }), "request_not_supported"),
    ("ensure-redirect-uri-in-authorization-request", |_| json!({ "redirect_uri": null }), "invalid_request"),
    ("ensure-registered-redirect-uri", |_| json!({ "redirect_uri": "https://evil.example/cb" }), "invalid_request"),
    ("redirect-uri-with-longer-path", |_| json!({ "redirect_uri": format!("{REDIRECT}/x") }), "invalid_request"),
    ("redirect-uri-with-query", |_| json!({ "redirect_uri": format!("{REDIRECT}?x=1") }), "invalid_request"),
    (
        "redirect-uri-with-dot-segments",
        |_| json!({ "redirect_uri": "http://127.0.0.1:51234/x/../cb" }),
        "invalid_request",
    ),
    ("redirect-uri-with-user", |_| json!({ "redirect_uri": "http://127.0.0.1@evil.example/cb" }), "invalid_request"),
    ("redirect-uri-by-name", |_| json!({ "redirect_uri": "http://localhost:51234/cb" }), "invalid_request"),
    ("redirect-uri-of-a-script", |_| json!({ "redirect_uri": "javascript:alert(1)" }), "invalid_request"),
    ("response-type-token", |_| json!({ "response_type": "token" }), "unsupported_response_type"),
    ("response-type-hybrid", |_| json!({ "response_type": "code id_token" }), "unsupported_response_type"),
    ("response-type-missing", |_| json!({ "response_type": null }), "invalid_request"),
    ("response-mode-fragment", |_| json!({ "response_mode": "fragment" }), "invalid_request"),
    ("resource-missing", |_| json!({ "resource": null }), "invalid_target"),
    ("resource-of-another-server", |_| json!({ "resource": "https://other.example/mcp" }), "invalid_target"),
    ("resource-with-fragment", |scene| json!({ "resource": format!("{}#x", scene.resource()) }), "invalid_target"),
    ("scope-unknown", |_| json!({ "scope": "everything" }), "invalid_scope"),
    ("client-id-of-another", |_| json!({ "client_id": "other-1" }), "invalid_client"),
    ("client-secret", |_| json!({ "client_secret": "x" }), "invalid_client"),
    (
        "dpop-jkt-of-another-key",
        |_| json!({ "dpop_jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" }),
        "invalid_dpop_proof",
    ),
    ("state-twice", |_| json!({ "state": ["a", "b"] }), "invalid_request"),
    ("redirect-uri-twice", |_| json!({ "redirect_uri": [REDIRECT, "https://evil.example/cb"] }), "invalid_request"),
    ("client-assertion-twice", |_| json!({ "client_assertion": ["a", "b"] }), "invalid_request"),
    (
        "client-assertion-of-another-type",
        |_| json!({ "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer" }),
        "invalid_request",
    ),
    ("prompt-none-and-more", |_| json!({ "prompt": "none login" }), "invalid_request"),
];

const REDEEMED: &[Case] = &[
    ("ensure-code-verifier-is-sent", |_| json!({ "code_verifier": null }), "invalid_request"),
    ("ensure-code-verifier-fits", |_| json!({ "code_verifier": VERIFIER.replace('d', "e") }), "invalid_grant"),
    ("ensure-challenge-is-no-verifier", |_| json!({ "code_verifier": CHALLENGE }), "invalid_grant"),
    ("ensure-redirect-uri-is-sent", |_| json!({ "redirect_uri": null }), "invalid_request"),
    ("ensure-redirect-uri-is-the-same", |_| json!({ "redirect_uri": "http://127.0.0.1:51235/cb" }), "invalid_grant"),
    ("ensure-resource-is-the-same", |scene| json!({ "resource": scene.url("/mcp") }), "invalid_target"),
    ("ensure-code-is-ours", |_| json!({ "code": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }), "invalid_grant"),
    ("ensure-code-is-sent", |_| json!({ "code": null }), "invalid_request"),
    ("ensure-code-is-sent-once", |_| json!({ "code": ["a", "b"] }), "invalid_request"),
];

/// The code flow of a client at a depot's broker.
pub(crate) struct Scene<'a> {
    pub(crate) depot: &'a Depot,
    pub(crate) http: reqwest::Client,
}

impl Scene<'_> {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.depot.broker.url())
    }

    fn resource(&self) -> String {
        self.url("/mcp/depot")
    }

    /// Posts the honest fields with some changed, from an address of its own.
    pub(crate) async fn post(&self, client: &HttpClient<'_>, path: &str, honest: Value, changes: &Value) -> HttpAnswer {
        let mut fields = honest.as_object().unwrap().clone();
        fields.insert("client_assertion_type".to_owned(), ASSERTION_TYPE.into());
        fields.insert("client_assertion".to_owned(), client.assertion().into());
        fields.extend(changes.as_object().unwrap().clone());
        let mut form: Vec<(String, String)> = Vec::new();
        for (name, value) in fields {
            match value {
                Value::Null => {}
                Value::Array(values) => {
                    form.extend(values.iter().map(|value| (name.clone(), value.as_str().unwrap().to_owned())));
                }
                value => form.push((name, value.as_str().unwrap().to_owned())),
            }
        }
        let [a, b, c, ..] = *uuid::Uuid::new_v4().as_bytes();
        let ask = self.http.post(self.url(path)).header("x-forwarded-for", format!("10.{a}.{b}.{c}"));
        send(ask.form(&form).header("dpop", client.proof("POST", &self.url(path), None))).await
    }

    pub(crate) async fn push(&self, client: &HttpClient<'_>, changes: &Value) -> HttpAnswer {
        let honest = json!({
            "response_type": "code", "redirect_uri": REDIRECT, "resource": self.resource(), "scope": "depot:write",
            "code_challenge_method": "S256", "code_challenge": CHALLENGE, "state": "s",
        });
        self.post(client, "/oauth/par", honest, changes).await
    }

    pub(crate) async fn redeem(&self, client: &HttpClient<'_>, code: &str, changes: &Value) -> HttpAnswer {
        let honest = json!({
            "grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "code_verifier": VERIFIER,
        });
        self.post(client, "/oauth/token", honest, changes).await
    }

    pub(crate) async fn renew(&self, client: &HttpClient<'_>, token: &str, changes: &Value) -> HttpAnswer {
        let honest = json!({ "grant_type": "refresh_token", "refresh_token": token });
        self.post(client, "/oauth/token", honest, changes).await
    }

    /// What a client sends its user to.
    async fn pushed(&self, client: &HttpClient<'_>, agent: &Agent) -> Url {
        let pushed = self.push(client, &json!({})).await;
        let told = pushed.message_or_body();
        let request_uri = told["request_uri"].as_str().unwrap_or_else(|| panic!("{}", pushed.body));
        self.authorize(&[("client_id", &agent.name), ("request_uri", request_uri)])
    }

    pub(crate) fn authorize(&self, parameters: &[(&str, &str)]) -> Url {
        Url::parse_with_params(&self.url("/oauth/authorize"), parameters).unwrap()
    }

    pub(crate) async fn code(&self, person: &Person, client: &HttpClient<'_>, agent: &Agent) -> String {
        let visit = person.answer(&self.pushed(client, agent).await, REDIRECT, "allow").await;
        visit.parameter("code").unwrap_or_else(|| panic!("{visit:?}"))
    }
}

fn error(answer: &HttpAnswer) -> String {
    answer.message_or_body()["error"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_code_flow_holds_what_a_hardening_profile_asks_of_it() {
    let Some(tools) = ready(&[Need::Broker, Need::Browser]) else { return };
    let mut depot = Depot::stdio(&tools);
    depot.broker.kill();
    depot.broker.edit("bailiwick.toml", &[("[listen]", "[listen]\ntrusted_proxies = [\"127.0.0.0/8\"]")]);
    depot.broker.write("roles/support.toml", "purpose = \"Answer\"\nallow = [\"depot:read\", \"depot:write\"]\n");
    depot.broker.serve_verified();
    depot.broker.publish();
    let register = |name: &str| depot.broker.register(name, "support", &["--redirect-uri", "http://127.0.0.1/cb"]);
    let [agent, other] = ["agent-1", "other-1"].map(register);
    let client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    let stranger = HttpClient::connect(&depot.broker, &other, "depot", Revision::Stateless).await;
    let person = Person::sign_in(&tools, &depot.broker, "ada");
    let scene = Scene { depot: &depot, http: reqwest::Client::new() };

    let mut wrong = Vec::new();
    let mut check = |name: &str, answer: &HttpAnswer, expected: &str| {
        if error(answer) != expected {
            wrong.push(format!("{name} is {expected}, and not {} {}", answer.status, answer.body));
        }
    };
    for (name, changes, expected) in PUSHED {
        check(name, &scene.push(&client, &changes(&scene)).await, expected);
    }

    // What nobody pushed, or another client did, or was answered before: a page, and nobody is sent anywhere.
    let (theirs, mine) = (scene.pushed(&stranger, &other).await, scene.pushed(&client, &agent).await);
    let of_another = theirs.query_pairs().find(|(name, _)| name == "request_uri").unwrap().1.into_owned();
    assert!(person.answer(&mine, REDIRECT, "refuse").await.parameter("error").is_some_and(|e| e == "access_denied"));
    let made_up = "urn:ietf:params:oauth:request_uri:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let plain = [("response_type", "code"), ("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
    let evil = ("redirect_uri", "https://evil.example/cb");
    for (name, url) in [
        ("par-attempt-reuse-request_uri", mine),
        (
            "par-request-uri-of-another-client",
            scene.authorize(&[("client_id", "agent-1"), ("request_uri", &of_another)]),
        ),
        ("par-request-uri-made-up", scene.authorize(&[("client_id", "agent-1"), ("request_uri", made_up)])),
        (
            "par-request-uri-elsewhere",
            scene.authorize(&[("client_id", "agent-1"), ("request_uri", "https://evil.example/r")]),
        ),
        ("par-request-uri-without-client", scene.authorize(&[("request_uri", &of_another)])),
        ("unregistered-redirect-uri", scene.authorize(&[&plain[..], &[("client_id", "agent-1"), evil]].concat())),
        ("unknown-client", scene.authorize(&[&plain[..], &[("client_id", "nobody"), evil]].concat())),
    ] {
        let visit = person.answer(&url, "https://evil.example", "allow").await;
        assert!(matches!(&visit, Visit::Page { status, .. } if status.is_client_error()), "{name}: {visit:?}");
    }
    let got = scene.http.get(scene.url("/oauth/par")).send().await.unwrap();
    assert_eq!(got.status(), 405, "par-attempt-invalid-http-method");

    for (name, changes, expected) in REDEEMED {
        let code = scene.code(&person, &client, &agent).await;
        check(name, &scene.redeem(&client, &code, &changes(&scene)).await, expected);
    }
    let code = scene.code(&person, &client, &agent).await;
    let answer = scene.redeem(&stranger, &code, &json!({})).await;
    check("ensure-authorization-code-is-bound-to-client", &answer, "invalid_grant");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    refresh_is_held_to_its_client_and_key(&scene, &person, [&client, &stranger], &agent).await;
}

/// The part about refresh tokens: bound, narrowed and never widened, good once.
async fn refresh_is_held_to_its_client_and_key(
    scene: &Scene<'_>,
    person: &Person,
    [client, stranger]: [&HttpClient<'_>; 2],
    agent: &Agent,
) {
    let code = scene.code(person, client, agent).await;
    let granted = scene.redeem(client, &code, &json!({})).await.message_or_body();
    assert_eq!(granted["token_type"].as_str().unwrap().to_lowercase(), "dpop", "ensure-holder-of-key-required");
    let token = granted["refresh_token"].as_str().unwrap();
    let refused = [
        ("refresh-token-by-another-client", stranger, json!({}), "invalid_grant"),
        ("refresh-token-for-more", client, json!({ "scope": "depot:write depot:read" }), "invalid_scope"),
        (
            "refresh-token-for-another-resource",
            client,
            json!({ "resource": "https://other.example" }),
            "invalid_target",
        ),
        ("refresh-token-changed", client, json!({ "refresh_token": format!("{token}x") }), "invalid_grant"),
        ("refresh-token-missing", client, json!({ "refresh_token": null }), "invalid_request"),
    ];
    for (name, by, changes, expected) in refused {
        let answer = scene.renew(by, token, &changes).await;
        assert_eq!(error(&answer), expected, "{name}: {}", answer.body);
    }
    let renewed = scene.renew(client, token, &json!({})).await;
    let next =
        renewed.message_or_body()["refresh_token"].as_str().unwrap_or_else(|| panic!("{}", renewed.body)).to_owned();
    assert_eq!(error(&scene.renew(client, token, &json!({})).await), "invalid_grant", "refresh-token-reuse");
    assert_eq!(error(&scene.renew(client, &next, &json!({})).await), "invalid_grant", "its family ended with it");

    // A code that comes again ends what came of it (RFC 6749 §4.1.2).
    let code = scene.code(person, client, agent).await;
    let granted = scene.redeem(client, &code, &json!({})).await.message_or_body();
    assert_eq!(
        error(&scene.redeem(client, &code, &json!({})).await),
        "invalid_grant",
        "attempt-reuse-authorization-code"
    );
    let token = granted["refresh_token"].as_str().unwrap();
    assert_eq!(error(&scene.renew(client, token, &json!({})).await), "invalid_grant", "what came of it has ended");
}
