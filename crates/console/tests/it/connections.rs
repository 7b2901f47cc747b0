//! Connected accounts, from the page to the store: an authorization server in memory that checks what real ones check, and
//! every way to get at an account that is not one's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use axum::{Router, body::Body};
use bailiwick_engine::{
    connections::{self, NoToken},
    sessions, users,
};
use bailiwick_model::{
    connection::Connection,
    grant::Authentication,
    name::{SystemName, UserId},
    secret::Secret,
};
use bailiwick_oauth::pkce::{CodeChallenge, CodeVerifier};
use bailiwick_ports::{
    chance::Clock as _,
    connections::{Answered, FormPosts, NoAnswer},
};
use bailiwick_testkit_engine::{
    bundle,
    world::{ISSUER, World, operator, part},
};
use bailiwick_web::{address::DeclaredProxies, entrance::Entrance, session};
use http::{Request, StatusCode, header};
use serde_json::json;
use tower::ServiceExt as _;
use url::{Url, form_urlencoded};

const CRM: &str = r#"title = "CRM <b>"
[upstream]
url = "https://crm.test/mcp"
[upstream.accounts]
issuer = "https://login.crm.test"
authorization_endpoint = "https://login.crm.test/authorize"
token_endpoint = "https://login.crm.test/token"
revocation_endpoint = "https://login.crm.test/revoke"
client_id = "bailiwick"
scopes = ["contacts.read"]
"#;

/// How the server misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mood {
    #[default]
    Honest,
    Away,
    Broken,
    Wider,
    Nothing,
    NotBearer,
    ClientUnknown,
}

/// Lives ten minutes per access token; refresh tokens rotate, and one that comes twice ends what came of it.
#[derive(Default)]
struct Login {
    mood: Mutex<Mood>,
    codes: Mutex<BTreeMap<String, (CodeChallenge, String)>>,
    refresh: Mutex<BTreeSet<String>>,
    revoked: Mutex<Vec<String>>,
    asked: Mutex<Vec<BTreeMap<String, String>>>,
    given: Mutex<u32>,
}

impl Login {
    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// What a user who signs in there brings back: `code` and `state`.
    fn consent(&self, at: &Url, account: &str) -> (String, String) {
        assert_eq!(at.as_str().split('?').next(), Some("https://login.crm.test/authorize"));
        let of = |name: &str| at.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
        assert_eq!((of("response_type"), of("code_challenge_method")), ("code".to_owned(), "S256".to_owned()));
        assert_eq!((of("client_id"), of("resource")), ("bailiwick".to_owned(), "https://crm.test/mcp".to_owned()));
        let code = format!("code-of-{account}-{}", self.codes.lock().unwrap().len());
        let challenge = CodeChallenge::parse(&of("code_challenge")).unwrap();
        self.codes.lock().unwrap().insert(code.clone(), (challenge, of("redirect_uri")));
        (code, of("state"))
    }

    fn tokens(&self, scope: &str, kind: &str) -> String {
        let mut given = self.given.lock().unwrap();
        *given += 1;
        let refresh = format!("refresh-token-{given}");
        self.refresh.lock().unwrap().insert(refresh.clone());
        json!({"access_token": format!("access-token-{given}"), "refresh_token": refresh, "expires_in": 600,
            "token_type": kind, "scope": scope})
        .to_string()
    }

    fn answer(&self, url: &Url, fields: &BTreeMap<String, String>) -> (u16, String) {
        let of = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let error = |error: &str| (400, json!({"error": error, "error_description": "<b>"}).to_string());
        // Our assertion: for this server alone, of a type that is no access token.
        assert_eq!(part(&of("client_assertion"), 1)["aud"], "https://login.crm.test");
        assert_eq!(part(&of("client_assertion"), 0)["typ"], "client-authentication+jwt");
        if url.path() == "/revoke" {
            if *self.mood.lock().unwrap() == Mood::ClientUnknown {
                return (401, json!({"error": "invalid_client"}).to_string());
            }
            self.revoked.lock().unwrap().push(of("token"));
            return (200, String::new());
        }
        let (scope, kind) = match *self.mood.lock().unwrap() {
            Mood::ClientUnknown => return (401, json!({"error": "invalid_client"}).to_string()),
            Mood::Wider => ("contacts.read contacts.write", "Bearer"),
            Mood::Nothing => ("", "Bearer"),
            Mood::NotBearer => ("contacts.read", "DPoP"),
            _ => ("contacts.read", "Bearer"),
        };
        match of("grant_type").as_str() {
            "authorization_code" => {
                let Some((challenge, redirect)) = self.codes.lock().unwrap().remove(&of("code")) else {
                    return error("invalid_grant");
                };
                let verifier = CodeVerifier::parse(of("code_verifier")).unwrap();
                if !challenge.is_met_by(&verifier) || redirect != of("redirect_uri") {
                    return error("invalid_grant");
                }
            }
            "client_credentials" => assert!(of("scope").starts_with("contacts.read")),
            "refresh_token" if self.refresh.lock().unwrap().remove(&of("refresh_token")) => {}
            _ => return error("invalid_grant"),
        }
        (200, self.tokens(scope, kind))
    }
}

#[async_trait]
impl FormPosts for Login {
    async fn post(
        &self,
        url: &Url,
        form: &[(&'static str, Secret<String>)],
        _: Option<&Secret<String>>,
    ) -> Result<Answered, NoAnswer> {
        // Others get their turn, as they do while a real server answers.
        tokio::task::yield_now().await;
        let fields: BTreeMap<_, _> =
            form.iter().map(|(name, value)| ((*name).to_owned(), value.expose().clone())).collect();
        self.asked.lock().unwrap().push(fields.clone());
        let mood = *self.mood.lock().unwrap();
        let (status, body) = match mood {
            Mood::Away => return Err(NoAnswer("no answer within 5 s".to_owned())),
            Mood::Broken => (503, "<html>".to_owned()),
            _ => self.answer(url, &fields),
        };
        Ok(Answered { status, body: Secret::new(body.into_bytes()) })
    }
}

struct Scene {
    world: World,
    login: Arc<Login>,
    entrance: Arc<Entrance>,
    router: Router,
}

struct Page {
    status: StatusCode,
    location: Option<String>,
    policy: String,
    text: String,
}

fn crm() -> SystemName {
    "crm".parse().unwrap()
}

fn user(id: &str) -> UserId {
    id.parse().unwrap()
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        world.publish(bundle::with_files(&[("systems/crm.toml", CRM)])).await;
        for id in ["ada", "bob"] {
            users::add(&world.broker, &operator(), user(id), id, None, BTreeSet::new()).await.unwrap();
        }
        let entrance = Entrance::new(Arc::clone(&world.broker), world.nonces(), DeclaredProxies::default());
        let entrance = Arc::new(entrance.unwrap());
        let login = Arc::new(Login::default());
        let posts = Arc::clone(&login) as Arc<dyn FormPosts>;
        let router = bailiwick_console::connections::router(Arc::clone(&entrance), posts);
        Self { world, login, entrance, router }
    }

    async fn signed_in(&self, id: &str) -> String {
        let authentication =
            Authentication { at: self.world.clock.now(), methods: BTreeSet::from(["hwk".to_owned()]), acr: None };
        let opened = sessions::open(&self.world.broker, &user(id), authentication).await.unwrap();
        let cookie = session::set_cookie(&self.entrance, &opened).unwrap();
        cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    async fn send(&self, message: http::request::Builder, cookie: &str, body: String) -> Page {
        let message = message.header(header::COOKIE, cookie).header(header::ORIGIN, ISSUER);
        let answer = self.router.clone().oneshot(message.body(Body::from(body)).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let header = |name| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let (location, policy) =
            (header(header::LOCATION), header(header::CONTENT_SECURITY_POLICY).unwrap_or_default());
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        Page { status: parts.status, location, policy, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn get(&self, cookie: &str, path: &str) -> Page {
        self.send(Request::get(path), cookie, String::new()).await
    }

    async fn post(&self, cookie: &str, verb: &str) -> Page {
        let page = self.get(cookie, "/account/connections").await;
        let (_, rest) = page.text.split_once("name=\"form_token\" value=\"").unwrap_or_else(|| panic!("{}", page.text));
        let token = rest.split('"').next().unwrap();
        let form = [("form_token", token), ("system", "crm")];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.send(Request::post(format!("/account/connections/{verb}")), cookie, body).await
    }

    /// Where a browser is sent to connect.
    async fn begin(&self, cookie: &str) -> Url {
        let page = self.post(cookie, "connect").await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
        page.location.unwrap().parse().unwrap()
    }

    async fn back(&self, cookie: &str, system: &str, pairs: &[(&str, &str)]) -> Page {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.get(cookie, &format!("/account/connections/callback/{system}?{query}")).await
    }

    async fn connect(&self, cookie: &str, account: &str) {
        let (code, state) = self.login.consent(&self.begin(cookie).await, account);
        let page = self.back(cookie, "crm", &[("code", &code), ("state", &state)]).await;
        assert_eq!((page.status, page.location.as_deref()), (StatusCode::SEE_OTHER, Some("/account/connections")));
    }

    async fn connection(&self, id: &str) -> Option<Connection> {
        self.world.broker.store().connection(&user(id), &crm()).await.unwrap()
    }

    async fn token(&self, id: &str, refused: Option<&str>) -> Result<String, NoToken> {
        let posts = Arc::clone(&self.login) as Arc<dyn FormPosts>;
        let refused = refused.map(|token| Secret::new(token.to_owned()));
        let token = connections::token(&self.world.broker, &posts, &user(id), &crm(), refused.as_ref()).await;
        token.map(|token| token.expose().clone())
    }

    async fn take_back(&self) -> usize {
        connections::take_back(&self.world.broker, self.login.as_ref()).await.unwrap()
    }

    fn asked(&self) -> usize {
        self.login.asked.lock().unwrap().len()
    }
}

#[tokio::test]
async fn a_user_connects_sees_and_ends_an_account_of_their_own() {
    let scene = Scene::new().await;
    let (ada, bob) = (scene.signed_in("ada").await, scene.signed_in("bob").await);
    let page = scene.get(&ada, "/account/connections").await;
    assert!(page.text.contains("not connected") && page.text.contains("CRM &#60;b&#62;"), "{}", page.text);
    assert!(page.policy.contains("frame-ancestors 'none'") && !page.policy.contains("form-action"), "{}", page.policy);
    scene.connect(&ada, "ada").await;
    let page = scene.get(&ada, "/account/connections").await;
    assert!(page.text.contains("for contacts.read") && page.text.contains("Disconnect"), "{}", page.text);
    assert!(scene.get(&bob, "/account/connections").await.text.contains("not connected"));
    assert_eq!(scene.token("ada", None).await.unwrap(), "access-token-1");
    assert_eq!(scene.token("bob", None).await, Err(NoToken::NotConnected), "nobody else's");

    assert_eq!(scene.post(&bob, "end").await.status, StatusCode::NOT_FOUND, "of one's own alone");
    assert_eq!(scene.post(&ada, "end").await.status, StatusCode::SEE_OTHER);
    assert_eq!(scene.token("ada", None).await, Err(NoToken::NotConnected), "from the very next call on");
    assert_eq!(scene.take_back().await, 0);
    assert_eq!(*scene.login.revoked.lock().unwrap(), ["refresh-token-1", "access-token-1"]);
    assert_eq!(scene.world.broker.store().ended_connections().await.unwrap(), []);

    let told = format!("{:?}", scene.world.events("secret_changed").await);
    assert!(told.contains("connected") && told.contains("ended") && told.contains("contacts.read"), "{told}");
    assert!(!told.contains("access-token") && !told.contains("refresh-token") && !told.contains("code-of"), "{told}");
}

#[tokio::test]
async fn what_one_browser_began_no_other_finishes() {
    let scene = Scene::new().await;
    let (ada, mallory, elsewhere) =
        (scene.signed_in("ada").await, scene.signed_in("bob").await, scene.signed_in("ada").await);
    let (code, state) = scene.login.consent(&scene.begin(&mallory).await, "mallory");
    let (own_code, own_state) = scene.login.consent(&scene.begin(&ada).await, "ada");
    let bad = StatusCode::BAD_REQUEST;
    // Her account into Ada's place: with her own state, with Ada's, without one, twice.
    for (cookie, pairs, status) in [
        (&ada, vec![("code", &*code), ("state", &*state)], bad),
        (&elsewhere, vec![("code", &code), ("state", &own_state)], bad),
        (&ada, vec![("code", &code)], bad),
        (&ada, vec![("code", &code), ("state", "")], bad),
        (&ada, vec![("code", &code), ("code", &own_code), ("state", &own_state)], bad),
    ] {
        let page = scene.back(cookie, "crm", &pairs).await;
        assert_eq!(page.status, status, "{pairs:?}: {}", page.text);
    }
    // Her code in Ada's own attempt: it is bound to what her browser made up.
    let injected = scene.back(&ada, "crm", &[("code", &code), ("state", &own_state)]).await;
    assert_eq!(injected.status, StatusCode::CONFLICT, "{}", injected.text);
    assert!(injected.text.contains("invalid_grant") && !injected.text.contains("<b>"), "{}", injected.text);
    let again = scene.back(&ada, "crm", &[("code", &own_code), ("state", &own_state)]).await;
    assert_eq!(again.status, bad, "an attempt is used up");
    assert_eq!(scene.back("x=y", "crm", &[("code", &own_code), ("state", &own_state)]).await.status, bad, "signed out");
    assert!(scene.connection("ada").await.is_none() && scene.connection("bob").await.is_none());
}

#[tokio::test]
async fn an_answer_of_another_server_or_too_late_is_not_redeemed() {
    let scene = Scene::new().await;
    let ada = scene.signed_in("ada").await;
    let attempt = async || scene.login.consent(&scene.begin(&ada).await, "ada");
    let (code, state) = attempt().await;
    let elsewhere = scene.back(&ada, "files", &[("code", &code), ("state", &state)]).await;
    assert_eq!(elsewhere.status, StatusCode::BAD_REQUEST, "the place of another system");
    let (code, state) = attempt().await;
    let other = [("code", &*code), ("state", &*state), ("iss", "https://evil.test")];
    assert_eq!(scene.back(&ada, "crm", &other).await.status, StatusCode::CONFLICT, "another issuer");
    let (code, state) = attempt().await;
    scene.world.clock.advance(601);
    let late = scene.back(&ada, "crm", &[("code", &code), ("state", &state)]).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST);
    assert!(scene.post(&ada, "connect").await.location.unwrap().contains("step_up=1"), "an old proof");
    let ada = scene.signed_in("ada").await;
    let (code, state) = scene.login.consent(&scene.begin(&ada).await, "ada");
    let moved = CRM.replace("https://login.crm.test/token", "https://evil.test/token");
    scene.world.publish(bundle::with_files(&[("systems/crm.toml", &moved)])).await;
    let moved = scene.back(&ada, "crm", &[("code", &code), ("state", &state)]).await;
    assert_eq!(moved.status, StatusCode::CONFLICT, "the way there was changed meanwhile");
    let (_, state) = scene.login.consent(&scene.begin(&ada).await, "ada");
    let refused = scene.back(&ada, "crm", &[("error", "access_denied<script>"), ("state", &state)]).await;
    assert!(refused.text.contains("another error") && !refused.text.contains("<script>access"), "{}", refused.text);
    assert_eq!(scene.asked(), 0, "nothing was redeemed anywhere");
    let many = async {
        for _ in 0..8 {
            scene.begin(&ada).await;
        }
    };
    many.await;
    assert_eq!(scene.post(&ada, "connect").await.status, StatusCode::SERVICE_UNAVAILABLE, "so many at once");
}

#[tokio::test]
async fn what_an_evil_server_gives_is_not_kept() {
    let scene = Scene::new().await;
    let ada = scene.signed_in("ada").await;
    for (mood, status) in [
        (Mood::Wider, StatusCode::CONFLICT),
        (Mood::Nothing, StatusCode::CONFLICT),
        (Mood::NotBearer, StatusCode::CONFLICT),
        (Mood::ClientUnknown, StatusCode::CONFLICT),
        (Mood::Broken, StatusCode::CONFLICT),
        (Mood::Away, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let (code, state) = scene.login.consent(&scene.begin(&ada).await, "ada");
        scene.login.is(mood);
        let page = scene.back(&ada, "crm", &[("code", &code), ("state", &state)]).await;
        assert_eq!(page.status, status, "{mood:?}: {}", page.text);
        assert!(!page.text.contains("access-token"), "{mood:?}");
        scene.login.is(Mood::Honest);
    }
    assert!(scene.connection("ada").await.is_none());
    let back = ["refresh-token-1", "access-token-1", "refresh-token-2", "access-token-2"];
    assert_eq!(*scene.login.revoked.lock().unwrap(), back, "what was too wide, or said nothing of it");
}

#[tokio::test]
async fn a_token_is_renewed_once_however_many_calls_need_it() {
    let scene = Scene::new().await;
    let ada = scene.signed_in("ada").await;
    scene.connect(&ada, "ada").await;
    scene.world.clock.advance(560);
    assert_eq!(scene.token("ada", None).await.unwrap(), "access-token-1", "forty seconds are enough");
    scene.world.clock.advance(15);
    let calls = (0..20).map(|_| scene.token("ada", None));
    for token in futures(calls).await {
        assert_eq!(token.unwrap(), "access-token-2");
    }
    assert_eq!(scene.asked(), 2, "one code, one renewal");
    let connection = scene.connection("ada").await.unwrap();
    assert_eq!(
        (connection.version, connection.expires_at),
        (2, connection.renewed_at.checked_add(jiff::SignedDuration::from_secs(600)).ok())
    );
    // Refused though it has not ended: renewed, but by the first who says so alone.
    let calls = (0..5).map(|_| scene.token("ada", Some("access-token-2")));
    for token in futures(calls).await {
        assert_eq!(token.unwrap(), "access-token-3");
    }
    assert_eq!(scene.token("ada", Some("access-token-1")).await.unwrap(), "access-token-3", "an old one says nothing");
    assert_eq!(scene.asked(), 3);
}

/// All of them at once.
async fn futures<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|context| {
        for (one, done) in all.iter_mut().filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(output) = one.as_mut().poll(context) {
                *done = Some(output);
            }
        }
        if all.iter().all(|(_, done)| done.is_some()) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    all.into_iter().map(|(_, done)| done.unwrap()).collect()
}

#[tokio::test]
async fn a_server_that_is_away_ends_nothing_and_one_that_refuses_does() {
    let scene = Scene::new().await;
    let ada = scene.signed_in("ada").await;
    scene.connect(&ada, "ada").await;
    scene.world.clock.advance(580);
    scene.login.is(Mood::Away);
    let before = scene.asked();
    for token in futures((0..10).map(|_| scene.token("ada", None))).await {
        assert_eq!(token.unwrap(), "access-token-1");
    }
    assert_eq!(scene.asked(), before + 1, "whoever waited behind it does not wait for the same");
    for mood in [Mood::Away, Mood::Broken, Mood::ClientUnknown] {
        scene.login.is(mood);
        assert_eq!(scene.token("ada", None).await.unwrap(), "access-token-1", "{mood:?}: it has not ended yet");
        assert_eq!(scene.token("ada", Some("access-token-1")).await, Err(NoToken::Unavailable), "{mood:?}");
    }
    scene.world.clock.advance(30);
    assert_eq!(scene.token("ada", None).await, Err(NoToken::Unavailable), "it has");
    scene.login.is(Mood::Honest);
    assert_eq!(scene.token("ada", None).await.unwrap(), "access-token-2");
    scene.login.refresh.lock().unwrap().clear();
    assert_eq!(scene.token("ada", Some("access-token-2")).await, Err(NoToken::NotConnected));
    assert!(scene.connection("ada").await.is_none(), "its user connects again");
    let ada = scene.signed_in("ada").await;
    scene.connect(&ada, "ada").await;
    scene.login.is(Mood::Wider);
    assert_eq!(scene.token("ada", Some("access-token-3")).await, Err(NoToken::NotConnected), "more than its user gave");
}

#[tokio::test]
async fn who_stops_loses_their_accounts_at_once_and_for_good() {
    let scene = Scene::new().await;
    let (ada, bob) = (scene.signed_in("ada").await, scene.signed_in("bob").await);
    scene.connect(&ada, "ada").await;
    scene.connect(&bob, "bob").await;
    let broker = &scene.world.broker;
    users::suspend(broker, &operator(), &user("ada"), "away").await.unwrap();
    assert_eq!(scene.token("ada", None).await, Err(NoToken::NotConnected));
    assert_eq!(scene.token("bob", None).await.unwrap(), "access-token-2", "nobody else does");
    scene.login.is(Mood::Away);
    assert_eq!(scene.take_back().await, 1, "asked again later");
    scene.login.is(Mood::ClientUnknown);
    assert_eq!(scene.take_back().await, 1, "who refuses us took nothing back");
    users::resume(broker, &operator(), &user("ada")).await.unwrap();
    assert_eq!(scene.token("ada", None).await, Err(NoToken::NotConnected), "not without its user");
    scene.login.is(Mood::Honest);
    assert_eq!(scene.take_back().await, 0);
    assert_eq!(*scene.login.revoked.lock().unwrap(), ["refresh-token-1", "access-token-1"]);
    users::leave(broker, &operator(), &user("bob"), "left").await.unwrap();
    scene.login.is(Mood::Away);
    scene.world.clock.advance(3_601);
    assert_eq!(scene.take_back().await, 0, "erased after an hour, whatever its server says");
    assert_eq!(broker.store().ended_connections().await.unwrap(), []);
}

#[tokio::test]
async fn a_connection_is_good_for_the_very_place_that_it_was_made_for() {
    let scene = Scene::new().await;
    let ada = scene.signed_in("ada").await;
    scene.connect(&ada, "ada").await;
    let before = scene.asked();
    for (from, to) in [
        ("https://login.crm.test/token", "https://evil.test/token"),
        ("https://crm.test/mcp", "https://evil.test/mcp"),
        ("client_id = \"bailiwick\"", "client_id = \"other\""),
        ("https://login.crm.test\"", "https://evil.test\""),
    ] {
        let changed = CRM.replace(from, to);
        assert_ne!(changed, CRM);
        scene.world.publish(bundle::with_files(&[("systems/crm.toml", &changed)])).await;
        assert_eq!(scene.token("ada", Some("access-token-1")).await, Err(NoToken::NotConnected), "{to}");
        assert!(scene.get(&ada, "/account/connections").await.text.contains("no longer usable"), "{to}");
    }
    connections::end(&scene.world.broker, &operator(), &user("ada"), &crm()).await.unwrap();
    assert_eq!(scene.take_back().await, 0, "only who gave them hears of them");
    assert_eq!(scene.asked(), before);
}

/// A session that is open with the account before does not go on with the next: whoever holds it is told.
#[tokio::test]
async fn who_connects_again_has_what_is_open_in_their_name_closed() {
    let scene = Scene::new().await;
    let ada = scene.signed_in("ada").await;
    scene.connect(&ada, "ada").await;
    let mut ends = connections::ends(&scene.world.broker);
    scene.connect(&ada, "another").await;
    assert_eq!(ends.try_recv().unwrap(), (user("ada"), crm()));
}

/// What an operator takes out of the bundle, no user's account allows any more.
#[tokio::test]
async fn a_connection_allows_no_more_than_users_are_asked_for_today() {
    let scene = Scene::new().await;
    let ada = scene.signed_in("ada").await;
    let asks = async |scopes: &str| {
        let changed = CRM.replace("[\"contacts.read\"]", scopes);
        scene.world.publish(bundle::with_files(&[("systems/crm.toml", &changed)])).await;
    };
    scene.connect(&ada, "ada").await;
    asks("[\"contacts.read\", \"contacts.write\"]").await;
    assert_eq!(scene.token("ada", None).await.unwrap(), "access-token-1", "less than what is asked for today");
    asks("[\"contacts.list\"]").await;
    let before = scene.asked();
    assert_eq!(scene.token("ada", None).await, Err(NoToken::NotConnected));
    assert_eq!(scene.token("ada", Some("access-token-1")).await, Err(NoToken::NotConnected));
    assert!(scene.get(&ada, "/account/connections").await.text.contains("no longer usable"));
    assert_eq!(scene.asked(), before, "nor is it renewed");
    asks("[]").await;
    assert_eq!(scene.token("ada", None).await.unwrap(), "access-token-1", "whatever the server gives");
    let (code, state) = scene.login.consent(&scene.begin(&ada).await, "ada");
    asks("[\"contacts.read\"]").await;
    let page = scene.back(&ada, "crm", &[("code", &code), ("state", &state)]).await;
    assert_eq!(page.status, StatusCode::CONFLICT, "other scopes were asked for");
}

/// What was copied to another user's row, to another version or to another place does not open.
#[tokio::test]
async fn sealed_tokens_open_nowhere_else() {
    let scene = Scene::new().await;
    let (ada, bob) = (scene.signed_in("ada").await, scene.signed_in("bob").await);
    scene.connect(&ada, "ada").await;
    scene.connect(&bob, "bob").await;
    let (of_ada, of_bob) = (scene.connection("ada").await.unwrap(), scene.connection("bob").await.unwrap());
    let sealed = String::from_utf8_lossy(&of_ada.sealed);
    assert!(!sealed.contains("token") && of_ada.sealed.len() > 40);
    let store = scene.world.broker.store();
    let entry = || {
        bailiwick_engine::evidence::Draft::event(&scene.world.broker, bailiwick_audit_log::event::EventKind::Alert)
            .public(&scene.world.broker)
    };
    let crossed = Connection { version: 2, sealed: of_ada.sealed.clone(), ..of_bob };
    store.renew_connection(crossed, entry()).await.unwrap();
    assert_eq!(scene.token("bob", None).await, Err(NoToken::Unavailable), "another user's");
    let older = Connection { version: 2, ..of_ada };
    store.renew_connection(older, entry()).await.unwrap();
    assert_eq!(scene.token("ada", None).await, Err(NoToken::Unavailable), "an older version's");
}

/// A caller that goes away while a server answers takes no refresh token along.
#[tokio::test]
async fn a_renewal_whose_caller_went_away_is_kept() {
    let scene = Scene::new().await;
    let ada = scene.signed_in("ada").await;
    scene.connect(&ada, "ada").await;
    scene.world.clock.advance(590);
    let mut call = Box::pin(scene.token("ada", None));
    let asked = scene.asked();
    while scene.asked() == asked {
        let waits = std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context).is_pending()));
        assert!(waits.await, "it waits for the server");
        tokio::task::yield_now().await;
    }
    drop(call);
    assert_eq!(scene.token("ada", None).await.unwrap(), "access-token-2");
    assert_eq!((scene.asked(), scene.connection("ada").await.unwrap().version), (asked + 1, 2));
}

mod own;
