//! The authorization endpoint and its pages through their real router and layers: honest visits, and every trick.

use std::collections::BTreeSet;

use axum::body::Body;
use bailiwick_engine::{
    agents::{self, Registration},
    authorization,
    authorization::apart,
    grants, sessions, users,
};
use bailiwick_fetch::FetchRules;
use bailiwick_model::{
    agent::{Authenticator, Environment, KeyProtection},
    grant::{Authentication, Grant, GrantKind, GrantStatus},
    id::GrantId,
    name::{AgentName, UserId},
    principal::{DelegationChain, Principal},
};
use bailiwick_oauth::{
    apart_request::Asked,
    authorization_request::{AuthorizationQuery, AuthorizationRequest},
};
use bailiwick_ports::chance::Clock as _;
use bailiwick_testkit_engine::world::{ISSUER, World, operator};
use bailiwick_web::{address::DeclaredProxies, listener, session};
use http::{HeaderMap, Request};
use jiff::SignedDuration;
use tower::ServiceExt as _;

use super::*;

mod documents;

const CALLBACK: &str = "https://client.example/cb";
const RESOURCE: &str = "https://broker.test/mcp/files";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

type Pairs = Vec<(&'static str, String)>;

struct Scene {
    world: World,
    entrance: Arc<Entrance>,
    router: Router,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn location(&self) -> &str {
        self.headers.get("location").unwrap_or_else(|| panic!("{} {}", self.status, self.text)).to_str().unwrap()
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let url: url::Url = self.location().parse().unwrap();
        url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }

    /// The value of a hidden field of the page's form.
    fn field(&self, name: &str) -> String {
        let (_, rest) =
            self.text.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("{}", self.text));
        rest.split_once('"').unwrap().0.to_owned()
    }

    /// A page for a person, that nobody keeps, frames or adds to.
    #[track_caller]
    fn is_page(&self, status: u16) {
        assert_eq!((self.status, self.headers.get("location")), (status, None), "{}", self.text);
        assert_eq!(self.headers["content-type"], "text/html; charset=utf-8");
        assert_eq!(self.headers["cache-control"], "no-store");
        let policy = self.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe") && !self.text.contains("<script"), "{policy}");
    }
}

impl Scene {
    async fn new() -> Self {
        let mut world = World::new().await;
        world.enlist("support", "reader").await;
        for user in ["ada", "bob"] {
            users::add(&world.broker, &operator(), user.parse().unwrap(), user, None, BTreeSet::new()).await.unwrap();
        }
        for agent in ["reader", "gate"] {
            let uris = vec![CALLBACK.parse().unwrap(), "http://127.0.0.1/cb".parse().unwrap()];
            agents::set_redirect_uris(&world.broker, &operator(), &agent.parse().unwrap(), uris).await.unwrap();
        }
        let entrance = Entrance::new(Arc::clone(&world.broker), world.nonces(), DeclaredProxies::default());
        let entrance = Arc::new(entrance.unwrap());
        let fetcher = Fetcher::new(FetchRules::default()).unwrap();
        let router = listener::around(&entrance, router(Arc::clone(&entrance), fetcher));
        Self { world, entrance, router }
    }

    /// The cookie of a user who signed in just now.
    async fn signed_in(&self, user: &str) -> String {
        let authentication =
            Authentication { at: self.world.clock.now(), methods: BTreeSet::from(["hwk".to_owned()]), acr: None };
        let user: UserId = user.parse().unwrap();
        let opened = sessions::open(&self.world.broker, &user, authentication).await.unwrap();
        let cookie = session::set_cookie(&self.entrance, &opened).unwrap();
        cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    async fn send(&self, message: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(message).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Answer { status, headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn get(&self, target: &str, cookie: Option<&str>) -> Answer {
        let target = target.strip_prefix(ISSUER).unwrap_or(target);
        let mut message = Request::get(target).header("host", "broker.test");
        if let Some(cookie) = cookie {
            message = message.header("cookie", cookie);
        }
        self.send(message.body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, cookie: &str, origin: Option<&str>, form: &[(&str, &str)]) -> Answer {
        let mut message = Request::post(path)
            .header("host", "broker.test")
            .header("cookie", cookie)
            .header("content-type", "application/x-www-form-urlencoded");
        if let Some(origin) = origin {
            message = message.header("origin", origin);
        }
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.send(message.body(Body::from(body)).unwrap()).await
    }

    async fn authorize(&self, pairs: &Pairs, cookie: Option<&str>) -> Answer {
        self.get(&format!("{AUTHORIZATION_PATH}?{}", query(pairs)), cookie).await
    }

    /// The page on which a user is asked.
    async fn asked(&self, pairs: &Pairs, cookie: &str) -> Answer {
        let sent = self.authorize(pairs, Some(cookie)).await;
        assert_eq!(sent.status, 303, "{}", sent.text);
        let page = self.get(sent.location(), Some(cookie)).await;
        page.is_page(200);
        page
    }

    async fn decide(&self, page: &Answer, cookie: &str, decision: &str) -> Answer {
        let (request, token) = (page.field("request"), page.field("form_token"));
        let form = [("request", &*request), ("form_token", &*token), ("lasting", "day"), ("decision", decision)];
        self.post(CONSENT_PATH, cookie, Some(ISSUER), &form).await
    }

    /// A grant of a user to `reader`.
    async fn given(&self, user: &str, number: u8) -> GrantId {
        let now = self.world.clock.now();
        let by = Principal::User(user.parse().unwrap());
        let grant = Grant {
            id: GrantId::new(1, [number; 10]),
            kind: GrantKind::AuthorizationCode,
            chain: DelegationChain::new(vec![by.clone(), Principal::Agent("reader".parse().unwrap())]).unwrap(),
            parent: None,
            subject: None,
            resources: BTreeSet::from([RESOURCE.to_owned()]),
            scopes: BTreeSet::from(["files:read".parse().unwrap()]),
            details: None,
            task: None,
            authentication: None,
            vouched: None,
            status: GrantStatus::Active,
            created_at: now,
            expires_at: now + SignedDuration::from_hours(1),
        };
        grants::give(&self.world.broker, &by, grant, Vec::new()).await.unwrap().id
    }
}

fn query(pairs: &Pairs) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn honest(agent: &str) -> Pairs {
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

fn with(name: &'static str, value: &str) -> Pairs {
    let mut pairs = honest("reader");
    pairs.retain(|(known, _)| *known != name);
    pairs.push((name, value.to_owned()));
    pairs
}

fn request(pairs: &Pairs) -> AuthorizationRequest {
    match AuthorizationQuery::parse(query(pairs).as_bytes()).unwrap() {
        AuthorizationQuery::Plain(addressee) => addressee.read().unwrap(),
        AuthorizationQuery::Pushed { .. } => panic!("nothing was pushed"),
    }
}

#[tokio::test]
async fn a_user_is_asked_in_words_and_says_yes() {
    let scene = Scene::new().await;
    let ada = scene.signed_in("ada").await;
    let page = scene.asked(&honest("reader"), &ada).await;
    for words in ["reader", "Project files", "look things up, and change nothing", "team@broker.test", "tests"] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    assert!(page.text.contains("read_text_file") && !page.text.contains("write_file"), "what reading covers");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'self' https://client.example;"), "{policy}");
    assert_eq!(page.headers["referrer-policy"], "same-origin", "or the form's origin would be `null`");
    let answer = scene.decide(&page, &ada, "allow").await;
    assert_eq!(answer.status, 303);
    assert!(answer.location().starts_with(CALLBACK));
    assert_eq!(answer.parameter("state").as_deref(), Some("xyz"));
    assert_eq!(answer.parameter("iss").as_deref(), Some(ISSUER));
    assert_eq!(answer.parameter("code").unwrap().len(), 64);
    assert_eq!(scene.decide(&page, &ada, "allow").await.status, 404, "once");
}

#[tokio::test]
async fn a_user_is_told_each_tool_and_what_its_arguments_may_be() {
    let scene = Scene::new().await;
    let ada = scene.signed_in("ada").await;
    let details = r#"[{"type":"bailiwick_tool","actions":["files.read_text_file"],
        "arguments":{"path":{"one_of":["/data/<b>a","/data/\u202eb"]}}}]"#;
    let mut asked = with("authorization_details", details);
    asked.retain(|(name, _)| *name != "scope");
    let page = scene.asked(&asked, &ada).await;
    for words in ["read_text_file", "look things up, and change nothing", "<code>path</code> is one of"] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    assert!(page.text.contains("/data/&#60;b&#62;a") && !page.text.contains("<b>a"), "{}", page.text);
    assert!(page.text.contains('\u{fffd}') && !page.text.contains('\u{202e}'), "nothing turns the text round");
    assert!(!page.text.contains("actions today"), "and no class of them");
    assert_eq!(scene.decide(&page, &ada, "allow").await.status, 303);
    let unfit = scene.authorize(&with("authorization_details", "[{}]"), Some(&ada)).await;
    assert_eq!(unfit.parameter("error").as_deref(), Some("invalid_authorization_details"));
}

/// A request of `support`, which may ask, that waits for a user: told by the back channel, or of a device.
async fn apart_asked(scene: &Scene, user: Option<&str>) -> apart::Waiting {
    let broker = &scene.world.broker;
    let ask = apart::AskApart {
        kind: if user.is_some() { GrantKind::Ciba } else { GrantKind::DeviceCode },
        user: user.map(|user| user.parse().unwrap()),
        asked: Asked {
            resource: RESOURCE.to_owned(),
            scopes: BTreeSet::from(["files:read".parse().unwrap()]),
            details: None,
            acr_values: BTreeSet::new(),
        },
        binding_message: user.map(|_| "Order 4711".to_owned()),
        confirmation: None,
        from: Some("203.0.113.7".parse().unwrap()),
        waits_s: None,
    };
    apart::ask(broker, &broker.agent(&"support".parse().unwrap()).unwrap(), ask, Vec::new()).await.unwrap()
}

#[tokio::test]
async fn a_user_types_in_the_code_of_a_device_and_answers() {
    let scene = Scene::new().await;
    let waiting = apart_asked(&scene, None).await;
    let code = waiting.user_code.unwrap().expose().clone();
    let away = scene.get("/device", None).await;
    assert_eq!((away.status, away.parameter("return_to").as_deref()), (303, Some("/device")));
    let ada = scene.signed_in("ada").await;
    let page = scene.get(&format!("/device?user_code={code}"), Some(&ada)).await;
    page.is_page(200);
    assert!(page.text.contains(&code) && page.text.contains("My device shows this code"), "it is confirmed, not taken");
    assert!(page.text.contains("Did somebody send you this code"));
    let token = page.field("form_token");
    let enter = async |cookie: &str, token: &str, code: &str| {
        scene.post("/device", cookie, Some(ISSUER), &[("user_code", code), ("form_token", token)]).await
    };
    assert_eq!(enter(&ada, "x", &code).await.status, 403, "a form of our own alone");
    let wrong = enter(&ada, &token, "BBBBBBBB").await;
    assert!(wrong.text.contains("No device waits with this code"), "{}", wrong.text);
    let found = enter(&ada, &token, &code).await;
    assert_eq!(found.status, 303, "{}", found.text);
    let place = found.location().to_owned();
    let asked = scene.get(&place, Some(&ada)).await;
    asked.is_page(200);
    for words in ["support", "203.0.113.7", "look things up, and change nothing", "only if you began it yourself"] {
        assert!(asked.text.contains(words), "{words}: {}", asked.text);
    }
    let bob = scene.signed_in("bob").await;
    assert_eq!(scene.get(&place, Some(&bob)).await.status, 404, "it is hers");
    let form = [("form_token", &*asked.field("form_token")), ("lasting", "day"), ("decision", "allow")]
        .map(|(n, v)| (n, v.to_owned()));
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let path = place.strip_prefix(ISSUER).unwrap();
    assert_eq!(scene.post(path, &ada, Some("https://evil.test"), &form).await.status, 403);
    let done = scene.post(path, &ada, Some(ISSUER), &form).await;
    assert!(done.text.contains("support may act for you"), "{}", done.text);
    let given = scene.get("/account/grants", Some(&ada)).await;
    given.is_page(200);
    let withdraw = [("request", given.field("request")), ("form_token", given.field("form_token"))];
    let withdraw: Vec<(&str, &str)> = withdraw.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let by = async |cookie: &str, origin: &str| {
        scene.post("/account/requests/withdraw", cookie, Some(origin), &withdraw).await.status
    };
    assert_eq!(by(&ada, "https://evil.test").await, 403);
    assert_eq!(by(&bob, ISSUER).await, 403, "a form of hers alone");
    assert_eq!(by(&ada, ISSUER).await, 303);
    assert_eq!(by(&ada, ISSUER).await, 404, "once");
    assert!(scene.get("/account/grants", Some(&ada)).await.text.contains("No agent acts for you"));
    assert_eq!(scene.post(path, &ada, Some(ISSUER), &form).await.status, 404, "once");
    let token = scene.get("/device", Some(&bob)).await.field("form_token");
    let wrong = async || enter(&bob, &token, "BBBBBBBB").await.status;
    let all = tokio::join!(wrong(), wrong(), wrong(), wrong(), wrong(), wrong(), wrong(), wrong());
    let looked_at = <[u16; 8]>::from(all).iter().filter(|status| **status == 200).count();
    assert_eq!(looked_at, 5, "as many at once as one after the other");
    let late = enter(&bob, &token, &code).await;
    assert_eq!(late.status, 429, "codes are not guessed");
}

#[tokio::test]
async fn a_user_sees_who_waits_and_proves_anew_who_they_are() {
    let scene = Scene::new().await;
    let ada = scene.signed_in("ada").await;
    scene.world.clock.advance(1);
    apart_asked(&scene, Some("ada")).await;
    let list = scene.get("/account/requests", Some(&ada)).await;
    list.is_page(200);
    let at = list.text.find("/account/requests/ask_").expect("it is listed");
    let place: String = list.text[at..].chars().take_while(|letter| *letter != '"').collect();
    let again = scene.get(&place, Some(&ada)).await;
    assert_eq!(
        (again.status, again.parameter("step_up").as_deref()),
        (303, Some("1")),
        "an open session is not enough"
    );
    let fresh = scene.signed_in("ada").await;
    let page = scene.get(&place, Some(&fresh)).await;
    page.is_page(200);
    assert!(
        page.text.contains("Order 4711") && page.text.contains("Refuse if it does not show the same"),
        "{}",
        page.text
    );
    let token = page.field("form_token");
    let form = [("form_token", &*token), ("lasting", "session"), ("decision", "refuse")];
    assert!(scene.post(&place, &fresh, Some(ISSUER), &form).await.text.contains("support may not act for you"));
    let list = scene.get("/account/requests", Some(&fresh)).await;
    assert!(list.text.contains("No agent waits"), "{}", list.text);
    let bob = scene.signed_in("bob").await;
    assert!(!scene.get("/account/requests", Some(&bob)).await.text.contains("ask_"));
}

#[tokio::test]
async fn a_user_says_no() {
    let scene = Scene::new().await;
    let ada = scene.signed_in("ada").await;
    let page = scene.asked(&honest("reader"), &ada).await;
    let answer = scene.decide(&page, &ada, "refuse").await;
    assert_eq!((answer.parameter("error").as_deref(), answer.parameter("code")), (Some("access_denied"), None));
    assert_eq!(answer.parameter("iss").as_deref(), Some(ISSUER));
    assert_eq!(scene.decide(&page, &ada, "allow").await.status, 404, "no is no");
}

#[tokio::test]
async fn somebody_signs_in_first_and_comes_back() {
    let scene = Scene::new().await;
    let sent = scene.authorize(&honest("reader"), None).await;
    assert_eq!(sent.status, 303);
    let place = sent.parameter("return_to").unwrap();
    assert!(place.starts_with("/oauth/authorize?client_id=reader&"), "{place}");
    let silent = scene.authorize(&with("prompt", "none"), None).await;
    assert_eq!(silent.parameter("error").as_deref(), Some("login_required"));
    let elsewhere = Request::get(place.as_str()).header("host", "localhost:8080").body(Body::empty()).unwrap();
    let sent = scene.send(elsewhere).await;
    assert_eq!(sent.location(), format!("{ISSUER}{place}"), "sessions are kept for one name");
}

#[tokio::test]
async fn errors_are_shown_until_the_redirect_uri_is_known_to_be_the_clients() {
    let scene = Scene::new().await;
    let ada = scene.signed_in("ada").await;
    let twice = |name: &'static str| [honest("reader"), vec![(name, "other".to_owned())]].concat();
    for pairs in [
        with("client_id", "nobody"),
        with("client_id", "scripted"),
        with("client_id", "<b>"),
        with("redirect_uri", "https://evil.example/cb"),
        with("redirect_uri", "https://client.example/cb?x=1"),
        with("redirect_uri", "https://client.example/cb#x"),
        with("redirect_uri", "https://client.example/cb/"),
        with("redirect_uri", "http://localhost/cb"),
        with("redirect_uri", "javascript:alert(1)"),
        with("redirect_uri", "<script>alert(1)</script>"),
        with("state", &"x".repeat(513)),
        with("request_uri", "https://client.example/request"),
        twice("client_id"),
        twice("redirect_uri"),
        twice("state"),
        twice("scope"),
        twice("code_challenge"),
        honest("reader").into_iter().filter(|(name, _)| *name != "redirect_uri").collect(),
    ] {
        scene.authorize(&pairs, Some(&ada)).await.is_page(400);
    }
    agents::suspend(&scene.world.broker, &operator(), &"reader".parse().unwrap(), "test").await.unwrap();
    scene.authorize(&honest("reader"), Some(&ada)).await.is_page(409);
}

#[tokio::test]
async fn other_errors_go_back_with_their_issuer() {
    let scene = Scene::new().await;
    let ada = scene.signed_in("ada").await;
    for (name, value, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("response_mode", "fragment", "invalid_request"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("resource", "https://evil.example/mcp", "invalid_target"),
        ("resource", "https://broker.test/access/v1", "invalid_target"),
        ("resource", "https://broker.test/mcp/payroll", "invalid_target"),
        ("scope", "files:write", "invalid_scope"),
        ("scope", "payroll:read", "invalid_scope"),
        ("prompt", "none login", "invalid_request"),
        ("prompt", "none", "consent_required"),
        ("acr_values", "urn:gold", "unmet_authentication_requirements"),
        ("request", "e30.e30.", "request_not_supported"),
    ] {
        let answer = scene.authorize(&with(name, value), Some(&ada)).await;
        assert_eq!((answer.status, answer.parameter("error").as_deref()), (303, Some(error)), "{name}={value}");
        assert!(answer.location().starts_with(&format!("{CALLBACK}?")));
        assert_eq!(answer.parameter("state").as_deref(), Some("xyz"));
        assert_eq!(answer.parameter("iss").as_deref(), Some(ISSUER));
    }
}

#[tokio::test]
async fn an_answer_is_its_users_own_form() {
    let scene = Scene::new().await;
    let (ada, bob) = (scene.signed_in("ada").await, scene.signed_in("bob").await);
    let page = scene.asked(&honest("reader"), &ada).await;
    let (request, token) = (page.field("request"), page.field("form_token"));
    let of_bob = scene.asked(&honest("reader"), &bob).await.field("form_token");
    let send = async |cookie: &str, origin: Option<&str>, token: &str| {
        let form = [("request", &*request), ("form_token", token), ("lasting", "month"), ("decision", "allow")];
        scene.post(CONSENT_PATH, cookie, origin, &form).await.status
    };
    assert_eq!(send(&ada, Some(ISSUER), "").await, 403);
    assert_eq!(send(&ada, Some(ISSUER), &of_bob).await, 403);
    assert_eq!(send(&ada, None, &token).await, 403);
    assert_eq!(send(&ada, Some("null"), &token).await, 403);
    assert_eq!(send(&ada, Some("https://evil.example"), &token).await, 403);
    assert_eq!(send("", Some(ISSUER), &token).await, 401);
    assert_eq!(send(&bob, Some(ISSUER), &of_bob).await, 404, "it is not his to answer");
    assert_eq!(scene.get(&format!("{CONSENT_PATH}?request={request}"), Some(&bob)).await.status, 404);
    for (lasting, decision) in [("forever", "allow"), ("day", "maybe")] {
        let form = [("request", &*request), ("form_token", &*token), ("lasting", lasting), ("decision", decision)];
        assert_eq!(scene.post(CONSENT_PATH, &ada, Some(ISSUER), &form).await.status, 422);
    }
    assert_eq!(send(&ada, Some(ISSUER), &token).await, 303);
}

#[tokio::test]
async fn what_an_agent_is_called_cannot_become_markup() {
    let scene = Scene::new().await;
    let ada = scene.signed_in("ada").await;
    let ask = Registration {
        name: "sly".parse().unwrap(),
        owner: "\"><img src=x onerror=alert(1)>".to_owned(),
        purpose: "<script>alert(1)</script> </dl><form action=https://evil.example>".to_owned(),
        environment: Environment::Production,
        role: "reader".parse().unwrap(),
        authenticators: vec![Authenticator::Key(scene.world.key("gate").public().clone())],
        systems: Vec::new(),
        scopes: Vec::new(),
        redirect_uris: vec![CALLBACK.parse().unwrap()],
        bearer_tokens_allowed: false,
        task_required: false,
        token_ttl_s: None,
        lifetime_days: None,
        review_days: None,
        attestation: None,
        key_protection: KeyProtection::Any,
    };
    agents::register(&scene.world.broker, &operator(), ask).await.unwrap();
    let page = scene.asked(&honest("sly"), &ada).await;
    assert!(!page.text.contains("<img") && page.text.matches("<form").count() == 1, "{}", page.text);
}

#[tokio::test]
async fn a_pushed_request_opens_once_and_for_its_client() {
    let scene = Scene::new().await;
    let ada = scene.signed_in("ada").await;
    let broker = &scene.world.broker;
    let push = async || authorization::push(broker, request(&honest("reader")), Vec::new()).await.unwrap();
    let named = |agent: &str, uri: &str| vec![("client_id", agent.to_owned()), ("request_uri", uri.to_owned())];
    let uri = push().await;
    scene.authorize(&named("gate", &uri), Some(&ada)).await.is_page(400);
    let asked = scene.asked(&named("reader", &uri), &ada).await;
    assert!(asked.text.contains("reader"));
    scene.authorize(&named("reader", &uri), Some(&ada)).await.is_page(400);
    scene.authorize(&named("reader", "urn:ietf:params:oauth:request_uri:x"), Some(&ada)).await.is_page(400);

    let sent = scene.authorize(&named("reader", &push().await), None).await;
    let place = sent.parameter("return_to").unwrap();
    assert!(place.starts_with("/oauth/consent?request="), "what was pushed waits for its user to sign in: {place}");
    let bob = scene.signed_in("bob").await;
    scene.get(&place, Some(&bob)).await.is_page(200);
    scene.get(&place, Some(&ada)).await.is_page(404);
}

#[tokio::test]
async fn users_see_what_they_allowed_and_take_it_back() {
    let scene = Scene::new().await;
    let (ada, bob) = (scene.signed_in("ada").await, scene.signed_in("bob").await);
    let (of_ada, of_bob) = (scene.given("ada", 1).await, scene.given("bob", 2).await);
    let page = scene.get(GIVEN_PATH, Some(&ada)).await;
    page.is_page(200);
    assert!(page.text.contains(&of_ada.to_string()) && !page.text.contains(&of_bob.to_string()));
    assert!(page.text.contains("Project files"));
    let token = page.field("form_token");
    let withdraw = async |grant: GrantId, origin: Option<&str>, token: &str| {
        let form = [("grant", &*grant.to_string()), ("form_token", token)];
        scene.post(WITHDRAW_PATH, &ada, origin, &form).await.status
    };
    let active = || scene.world.broker.live().grants.size();
    assert_eq!(withdraw(of_bob, Some(ISSUER), &token).await, 404);
    assert_eq!(withdraw(of_ada, Some("https://evil.example"), &token).await, 403);
    assert_eq!(withdraw(of_ada, Some(ISSUER), "").await, 403);
    assert_eq!(active(), 2);
    assert_eq!(withdraw(of_ada, Some(ISSUER), &token).await, 303);
    assert_eq!(active(), 1);
    assert!(scene.get(GIVEN_PATH, Some(&ada)).await.text.contains("No agent acts for you"));
    assert_eq!(scene.get(GIVEN_PATH, None).await.status, 303, "to sign in");
    assert!(scene.get(GIVEN_PATH, Some(&bob)).await.text.contains(&of_bob.to_string()));
}

#[tokio::test]
async fn what_a_user_allowed_once_is_not_asked_again() {
    let scene = Scene::new().await;
    let ada = scene.signed_in("ada").await;
    scene.given("ada", 1).await;
    let silent = scene.authorize(&with("prompt", "none"), Some(&ada)).await;
    assert!(silent.parameter("code").is_some(), "{}", silent.location());
    assert!(scene.authorize(&honest("reader"), Some(&ada)).await.parameter("code").is_some());
    scene.asked(&with("prompt", "consent"), &ada).await;
    let reader: AgentName = "reader".parse().unwrap();
    assert_eq!(authorization::given(&scene.world.broker, &"ada".parse().unwrap())[0].agent, reader);
}
