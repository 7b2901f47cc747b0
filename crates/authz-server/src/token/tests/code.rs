//! Codes and pushed requests: honest flows, and every way to get a token that is not one's own.

use bailiwick_engine::{
    authorization::{self, Came, Lasting, Next, Opened, Visitor},
    grants, users,
};
use bailiwick_model::{
    grant::{Authentication, Grant},
    principal::Principal,
};
use bailiwick_oauth::authorization_request::{AuthorizationQuery, AuthorizationRequest};
use jiff::SignedDuration;

use super::*;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const CALLBACK: &str = "https://client.example/cb";
const PAR_URL: &str = "https://broker.test/oauth/par";

pub(super) type Pairs = Vec<(&'static str, String)>;

/// A scene with two users, in which `reader` and `gate` may ask them.
pub(super) async fn scene() -> Scene {
    let scene = Scene::new().await;
    let broker = &scene.world.broker;
    for user in ["ada", "bob"] {
        users::add(broker, &operator(), user.parse().unwrap(), user, None, Default::default()).await.unwrap();
    }
    for agent in ["reader", "gate", "scripted"] {
        let uris = vec![CALLBACK.parse().unwrap(), "http://127.0.0.1/cb".parse().unwrap()];
        agents::set_redirect_uris(broker, &operator(), &agent.parse().unwrap(), uris).await.unwrap();
    }
    scene
}

pub(super) fn asked(agent: &str) -> Pairs {
    [
        ("client_id", agent),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("resource", RESOURCE),
        ("scope", "files:read"),
        ("state", "xyz"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec()
}

fn request(pairs: &Pairs) -> AuthorizationRequest {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    match AuthorizationQuery::parse(query.as_bytes()).unwrap() {
        AuthorizationQuery::Plain(addressee) => addressee.read().unwrap(),
        AuthorizationQuery::Pushed { .. } => panic!("nothing was pushed"),
    }
}

fn parameter(location: &str, name: &str) -> Option<String> {
    let url: url::Url = location.parse().unwrap();
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

impl Scene {
    pub(super) fn visitor(&self, user: &str) -> Visitor {
        let now = self.world.clock.now();
        Visitor {
            user: user.parse().unwrap(),
            authentication: Authentication { at: now, methods: ["hwk".to_owned()].into(), acr: None },
            session_ends_at: now + SignedDuration::from_hours(12),
        }
    }

    async fn arrive(&self, pairs: &Pairs, visitor: Option<&Visitor>) -> Next {
        authorization::arrive(&self.world.broker, request(pairs), Came::Plain, visitor).await.unwrap()
    }

    /// The code that `ada` gives.
    pub(super) async fn code(&self, pairs: &Pairs) -> String {
        let visitor = self.visitor("ada");
        let location = match self.arrive(pairs, Some(&visitor)).await {
            Next::Ask(handle) => {
                let broker = &self.world.broker;
                authorization::allow(broker, handle.expose(), &visitor, Lasting::Day).await.unwrap()
            }
            Next::Answer(location) => location,
            Next::SignIn(_) => panic!("ada is signed in"),
        };
        assert_eq!(parameter(&location, "iss").as_deref(), Some(ISSUER));
        assert_eq!(parameter(&location, "state").as_deref(), Some("xyz"));
        parameter(&location, "code").unwrap_or_else(|| panic!("{location}"))
    }

    pub(super) fn redemption(&self, agent: &str, code: &str) -> Pairs {
        vec![
            ("grant_type", "authorization_code".to_owned()),
            ("client_assertion_type", TYPE.to_owned()),
            ("client_assertion", self.world.assertion(agent)),
            ("code", code.to_owned()),
            ("code_verifier", VERIFIER.to_owned()),
            ("redirect_uri", CALLBACK.to_owned()),
        ]
    }

    pub(super) async fn redeem(&self, agent: &str, code: &str) -> Answer {
        self.ask(&self.redemption(agent, code), Some(self.proof(agent))).await
    }

    pub(super) async fn push(&self, agent: &str, pairs: &Pairs, proof: Option<String>) -> Answer {
        let mut form = pairs.clone();
        form.push(("client_assertion_type", TYPE.to_owned()));
        form.push(("client_assertion", self.world.assertion(agent)));
        let message = Request::post("/oauth/par").header("content-type", "application/x-www-form-urlencoded");
        let message = match proof {
            Some(proof) => message.header("dpop", proof),
            None => message,
        };
        self.send(message, &form).await
    }

    fn grants(&self) -> Vec<Arc<Grant>> {
        self.world.broker.live().grants.values().cloned().collect()
    }
}

#[tokio::test]
async fn a_consent_becomes_a_grant_and_a_token_for_its_user() {
    let scene = scene().await;
    let code = scene.code(&asked("reader")).await;
    assert!(scene.grants().is_empty(), "nothing was given before the code is redeemed");
    let answer = scene.redeem("reader", &code).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json);
    assert_eq!((&answer.json["token_type"], &answer.json["scope"]), (&json!("DPoP"), &json!("files:read")));
    assert!(answer.json["refresh_token"].is_string());
    let claims = part(answer.json["access_token"].as_str().unwrap(), 1);
    assert_eq!(
        (&claims["sub"], &claims["client_id"], &claims["aud"]),
        (&json!("user:ada"), &json!("reader"), &json!(RESOURCE))
    );
    let [grant] = &scene.grants()[..] else { panic!("one grant") };
    assert_eq!(claims["bailiwick_grant"], grant.id.to_string());
    let chain: Vec<String> = grant.chain.principals().iter().map(ToString::to_string).collect();
    assert_eq!(chain, ["user:ada", "agent:reader"]);
    assert_eq!(grant.expires_at, scene.world.clock.now() + SignedDuration::from_hours(24));
    assert!(grant.authentication.is_some());
    assert_eq!(scene.world.events("token_issued").await.len(), 1);
}

#[tokio::test]
async fn what_a_code_is_bound_to() {
    let other = "w".repeat(43);
    for (name, value, error) in [
        ("code_verifier", other.as_str(), "invalid_grant"),
        ("code_verifier", CHALLENGE, "invalid_grant"),
        ("redirect_uri", "https://client.example/other", "invalid_grant"),
        ("redirect_uri", "http://127.0.0.1/cb", "invalid_grant"),
        ("resource", "https://broker.test/mcp", "invalid_target"),
        ("code", "0000", "invalid_grant"),
    ] {
        let scene = scene().await;
        let code = scene.code(&asked("reader")).await;
        let form = with(scene.redemption("reader", &code), name, value);
        refused(&scene.ask(&form, Some(scene.proof("reader"))).await, 400, error);
        assert!(scene.grants().is_empty(), "{name}={value}");
        if name != "code" {
            refused(&scene.redeem("reader", &code).await, 400, "invalid_grant");
        }
    }
    let scene = scene().await;
    let code = scene.code(&asked("reader")).await;
    refused(&scene.redeem("gate", &code).await, 400, "invalid_grant");
    refused(&scene.redeem("reader", &code).await, 400, "invalid_grant");
    let late = scene.code(&asked("reader")).await;
    scene.world.clock.advance(i64::from(authorization::CODE_LIVES_S));
    refused(&scene.redeem("reader", &late).await, 400, "invalid_grant");
    assert!(scene.grants().is_empty() && scene.world.events("token_issued").await.is_empty());
}

#[tokio::test]
async fn a_code_that_comes_twice_ends_what_came_of_it() {
    let scene = scene().await;
    let code = scene.code(&asked("reader")).await;
    let first = scene.redeem("reader", &code).await;
    assert_eq!(first.status, 200, "{:?}", first.json);
    refused(&scene.redeem("gate", &code).await, 400, "invalid_grant");
    assert!(scene.grants().is_empty(), "whoever else has the code, its grant is over");
    let ended = scene.world.events("grant_changed").await;
    assert_eq!(ended.last().unwrap().body["change"], "ended".into());
}

#[tokio::test]
async fn a_proof_without_a_nonce_does_not_use_the_code_up() {
    let scene = scene().await;
    let code = scene.code(&asked("reader")).await;
    let subject = ProofSubject { method: "POST", uri: TOKEN_URL, nonce: None, access_token: None };
    let proof = scene.world.key("reader").sign_dpop(&subject, scene.world.clock.now(), "first").unwrap();
    refused(&scene.ask(&scene.redemption("reader", &code), Some(proof)).await, 400, "use_dpop_nonce");
    refused(&scene.ask(&scene.redemption("reader", &code), None).await, 400, "invalid_dpop_proof");
    assert_eq!(scene.redeem("reader", &code).await.status, 200);
}

#[tokio::test]
async fn a_code_may_be_bound_to_a_key() {
    let scene = scene().await;
    let key = scene.world.key("gate").public().thumbprint.to_string();
    let bound = with(asked("reader"), "dpop_jkt", &key);
    let code = scene.code(&bound).await;
    refused(&scene.redeem("reader", &code).await, 400, "invalid_grant");
    let code = scene.code(&bound).await;
    let answer = scene.ask(&scene.redemption("reader", &code), Some(scene.proof("gate"))).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json);
}

#[tokio::test]
async fn a_user_who_is_stopped_meanwhile_allows_nothing() {
    let scene = scene().await;
    let (broker, ada) = (&scene.world.broker, "ada".parse().unwrap());
    let code = scene.code(&asked("reader")).await;
    users::suspend(broker, &operator(), &ada, "test").await.unwrap();
    refused(&scene.redeem("reader", &code).await, 400, "invalid_grant");
    users::resume(broker, &operator(), &ada).await.unwrap();
    let code = scene.code(&asked("reader")).await;
    agents::suspend(broker, &operator(), &"reader".parse().unwrap(), "test").await.unwrap();
    refused(&scene.redeem("reader", &code).await, 400, "invalid_grant");
    assert!(scene.grants().is_empty());
}

#[tokio::test]
async fn what_was_allowed_before_is_not_asked_again_and_ends_with_it() {
    let scene = scene().await;
    let (broker, ada) = (&scene.world.broker, scene.visitor("ada"));
    let silent = with(asked("reader"), "prompt", "none");
    let answer = |next: Next| match next {
        Next::Answer(location) => location,
        other => panic!("{other:?}"),
    };
    let error = |location: &str| parameter(location, "error");
    let nobody = answer(scene.arrive(&silent, None).await);
    assert_eq!(error(&nobody).as_deref(), Some("login_required"));
    assert_eq!(parameter(&nobody, "iss").as_deref(), Some(ISSUER));
    let never = answer(scene.arrive(&silent, Some(&ada)).await);
    assert_eq!(error(&never).as_deref(), Some("consent_required"));

    let first = scene.redeem("reader", &scene.code(&asked("reader")).await).await;
    assert_eq!(first.status, 200, "{:?}", first.json);
    let [standing] = &scene.grants()[..] else { panic!("one grant") };
    let again = answer(scene.arrive(&silent, Some(&ada)).await);
    let code = parameter(&again, "code").unwrap();
    assert_eq!(scene.redeem("reader", &code).await.status, 200);
    assert!(scene.grants().iter().any(|grant| grant.parent == Some(standing.id)));

    let asks =
        async |pairs: &Pairs, visitor: &Visitor| matches!(scene.arrive(pairs, Some(visitor)).await, Next::Ask(_));
    assert!(asks(&with(asked("reader"), "prompt", "consent"), &ada).await);
    assert!(asks(&with(asked("reader"), "resource", "https://broker.test/mcp"), &ada).await, "more than was allowed");
    assert!(asks(&asked("gate"), &ada).await, "another agent");
    assert!(asks(&asked("reader"), &scene.visitor("bob")).await, "another user");
    grants::end(broker, &Principal::User("ada".parse().unwrap()), standing.id, "test").await.unwrap();
    assert!(scene.grants().is_empty());
    assert_eq!(error(&answer(scene.arrive(&silent, Some(&ada)).await)).as_deref(), Some("consent_required"));
}

#[tokio::test]
async fn a_fresh_proof_of_who_the_user_is() {
    let scene = scene().await;
    let ada = scene.visitor("ada");
    scene.world.clock.advance(300);
    for (name, value) in [("prompt", "login"), ("max_age", "0"), ("max_age", "299")] {
        let Next::SignIn(Some(handle)) = scene.arrive(&with(asked("reader"), name, value), Some(&ada)).await else {
            panic!("{name}={value}")
        };
        let opened = authorization::open(&scene.world.broker, handle.expose(), &ada).await.unwrap();
        assert!(matches!(opened, Opened::SignIn));
        assert!(authorization::allow(&scene.world.broker, handle.expose(), &ada, Lasting::Day).await.is_err());
        let anew = scene.visitor("ada");
        let opened = authorization::open(&scene.world.broker, handle.expose(), &anew).await.unwrap();
        assert!(matches!(opened, Opened::Question(_)));
        let silent = with(with(asked("reader"), "max_age", "10"), "prompt", "none");
        let Next::Answer(location) = scene.arrive(&silent, Some(&ada)).await else { panic!("nobody may be asked") };
        assert_eq!(parameter(&location, "error").as_deref(), Some("login_required"));
    }
    assert!(matches!(scene.arrive(&with(asked("reader"), "max_age", "301"), Some(&ada)).await, Next::Ask(_)));
}

#[tokio::test]
async fn a_question_is_one_users_and_answered_once() {
    let scene = scene().await;
    let (broker, ada, bob) = (&scene.world.broker, scene.visitor("ada"), scene.visitor("bob"));
    let ask = async || match scene.arrive(&asked("reader"), Some(&ada)).await {
        Next::Ask(handle) => handle,
        other => panic!("{other:?}"),
    };
    let handle = ask().await;
    assert!(authorization::open(broker, handle.expose(), &bob).await.is_err());
    assert!(authorization::allow(broker, handle.expose(), &bob, Lasting::Day).await.is_err());
    let location = authorization::refuse(broker, handle.expose(), &ada).await.unwrap();
    assert_eq!(parameter(&location, "error").as_deref(), Some("access_denied"));
    assert!(location.starts_with(CALLBACK) && parameter(&location, "code").is_none());
    assert!(authorization::allow(broker, handle.expose(), &ada, Lasting::Day).await.is_err());
    assert!(scene.grants().is_empty());

    let handle = ask().await;
    let Opened::Question(question) = authorization::open(broker, handle.expose(), &ada).await.unwrap() else {
        panic!("it is to be put")
    };
    assert_eq!((question.agent.as_str(), question.systems[0].title.as_str()), ("reader", "Project files"));
    scene.world.clock.advance(601);
    assert!(authorization::allow(broker, handle.expose(), &scene.visitor("ada"), Lasting::Day).await.is_err());
}

#[tokio::test]
async fn a_request_is_pushed_for_one_client_and_one_use() {
    let scene = scene().await;
    let broker = &scene.world.broker;
    let (reader, gate) = ("reader".parse().unwrap(), "gate".parse().unwrap());
    let pushed = scene.push("reader", &asked("reader"), None).await;
    assert_eq!((pushed.status, &pushed.json["expires_in"]), (201, &json!(90)), "{:?}", pushed.json);
    let uri = pushed.json["request_uri"].as_str().unwrap();
    assert!(authorization::pushed(broker, &gate, uri).is_none(), "of another client");
    assert_eq!(authorization::pushed(broker, &reader, uri).unwrap(), request(&asked("reader")));
    assert!(authorization::pushed(broker, &reader, uri).is_none(), "once");
    let pushed = scene.push("reader", &asked("reader"), None).await;
    scene.world.clock.advance(i64::from(authorization::PUSHED_LIVES_S));
    assert!(authorization::pushed(broker, &reader, pushed.json["request_uri"].as_str().unwrap()).is_none(), "in time");

    let proof = scene.world.proof("gate", "POST", PAR_URL, None);
    let pushed = scene.push("reader", &asked("reader"), Some(proof)).await;
    let bound = authorization::pushed(broker, &reader, pushed.json["request_uri"].as_str().unwrap()).unwrap();
    assert_eq!(bound.confirmation, Some(scene.world.key("gate").public().thumbprint), "the proof binds the code");
}

#[tokio::test]
async fn what_is_pushed_is_checked_at_once() {
    let with = |name, value: &str| super::with(asked("reader"), name, value);
    let key = "0".repeat(43);
    for (pairs, status, error) in [
        (with("client_id", "gate"), 401, "invalid_client"),
        (with("redirect_uri", "https://evil.example/cb"), 400, "invalid_request"),
        (with("code_challenge_method", "plain"), 400, "invalid_request"),
        (with("response_type", "token"), 400, "unsupported_response_type"),
        (with("request_uri", "urn:ietf:params:oauth:request_uri:x"), 400, "invalid_request"),
        (with("request", "x.y.z"), 400, "request_not_supported"),
        (with("resource", "https://broker.test/access/v1"), 400, "invalid_target"),
        (with("resource", "https://evil.example/mcp"), 400, "invalid_target"),
        (with("scope", "files:write"), 400, "invalid_scope"),
        (with("acr_values", "urn:x"), 400, "unmet_authentication_requirements"),
        (with("dpop_jkt", &key), 400, "invalid_dpop_proof"),
        ([asked("reader"), vec![("state", "abc".to_owned())]].concat(), 400, "invalid_request"),
    ] {
        let scene = scene().await;
        let proof = pairs.iter().any(|(name, _)| *name == "dpop_jkt");
        let proof = proof.then(|| scene.world.proof("reader", "POST", PAR_URL, None));
        refused(&scene.push("reader", &pairs, proof).await, status, error);
    }
    let scene = scene().await;
    agents::set_redirect_uris(&scene.world.broker, &operator(), &"gate".parse().unwrap(), Vec::new()).await.unwrap();
    refused(&scene.push("gate", &asked("gate"), None).await, 400, "unauthorized_client");
    let replayed = scene.world.assertion("reader");
    let mut form = asked("reader");
    form.extend([("client_assertion_type", TYPE.to_owned()), ("client_assertion", replayed)]);
    let send = async || {
        let message = Request::post("/oauth/par").header("content-type", "application/x-www-form-urlencoded");
        scene.send(message, &form).await
    };
    assert_eq!(send().await.status, 201);
    refused(&send().await, 401, "invalid_client");
}

#[tokio::test]
async fn a_token_says_how_its_user_proved_who_they_are_and_keeps_saying_it() {
    let scene = scene().await;
    let pairs = super::with(asked("reader"), "acr_values", "urn:other phr");
    let mut visitor = scene.visitor("ada");
    let weak = scene.arrive(&pairs, Some(&visitor)).await;
    assert!(matches!(weak, Next::SignIn(Some(_))), "a session without the class is not enough: {weak:?}");
    visitor.authentication.acr = Some("phr".parse().unwrap());
    let broker = &scene.world.broker;
    let Next::Ask(handle) = scene.arrive(&pairs, Some(&visitor)).await else { panic!("ada proved enough") };
    let other = scene.visitor("ada");
    let opened = authorization::open(broker, handle.expose(), &other).await.unwrap();
    assert!(matches!(opened, Opened::SignIn), "nor is it when the page is opened");
    assert!(authorization::allow(broker, handle.expose(), &other, Lasting::Day).await.is_err(), "or the form is sent");
    let location = authorization::allow(broker, handle.expose(), &visitor, Lasting::Day).await.unwrap();
    let proved_at = visitor.authentication.at.as_second();
    scene.world.clock.advance(30);
    let first = scene.redeem("reader", &parameter(&location, "code").unwrap()).await;
    assert_eq!(first.status, 200, "{}", first.json);
    scene.world.clock.advance(30);
    let renewed = scene.renew("reader", first.json["refresh_token"].as_str().unwrap()).await;
    for answer in [&first, &renewed] {
        let claims = part(answer.json["access_token"].as_str().unwrap(), 1);
        let said = ["auth_time", "acr", "amr"].map(|name| claims[name].clone());
        assert_eq!(said, [json!(proved_at), json!("phr"), json!(["hwk"])], "{claims}");
    }
    let silent = super::with(super::with(asked("reader"), "acr_values", "phr"), "prompt", "none");
    let Next::Answer(location) = scene.arrive(&silent, Some(&scene.visitor("ada"))).await else {
        panic!("nobody is asked")
    };
    assert_eq!(parameter(&location, "error").as_deref(), Some("login_required"));
}
