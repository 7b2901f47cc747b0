//! Abuse cases of sessions: whatever a browser is tricked into, nobody is signed in who did not sign in here.

use std::collections::BTreeSet;

use axum::{Router, body::Body, extract::State, routing::get};
use bailiwick_engine::users;
use bailiwick_model::grant::Authentication;
use bailiwick_ports::chance::Clock as _;
use bailiwick_testkit_engine::world::{ISSUER, World, operator};
use http::Request;
use tower::ServiceExt as _;

use super::*;
use crate::address::DeclaredProxies;

struct Scene {
    world: World,
    entrance: Arc<Entrance>,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let proxies = DeclaredProxies::default();
        let entrance = Arc::new(Entrance::new(Arc::clone(&world.broker), world.nonces(), proxies).unwrap());
        let id = "u-1".parse().unwrap();
        users::add(&world.broker, &operator(), id, "Ada", None, BTreeSet::new()).await.unwrap();
        Self { world, entrance }
    }

    fn ada() -> UserId {
        "u-1".parse().unwrap()
    }

    async fn sign_in(&self) -> Opened {
        let methods = BTreeSet::from(["hwk".to_owned(), "user".to_owned()]);
        let authentication = Authentication { at: self.world.clock.now(), methods, acr: None };
        sessions::open(&self.world.broker, &Self::ada(), authentication).await.unwrap()
    }

    async fn who(&self, cookie: &str) -> Option<SignedIn> {
        find(&self.entrance, &headers(&[("cookie", cookie)])).await.unwrap()
    }

    async fn is_open(&self, opened: &Opened) -> bool {
        self.who(&of(opened)).await.is_some()
    }

    /// What a page says that needs somebody.
    async fn ask(&self, method: &str, cookie: Option<&str>) -> Response {
        let page = |State(_): State<Arc<Entrance>>, signed_in: SignedIn| async move { signed_in.user().to_string() };
        let router = Router::new().route("/account", get(page).post(page)).with_state(Arc::clone(&self.entrance));
        let mut message = Request::builder().method(method).uri("/account?tab=a&b");
        if let Some(cookie) = cookie {
            message = message.header("cookie", cookie);
        }
        router.oneshot(message.body(Body::empty()).unwrap()).await.unwrap()
    }
}

fn of(opened: &Opened) -> String {
    format!("__Host-bailiwick={}", opened.token.expose())
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
}

#[tokio::test]
async fn a_session_is_found_by_its_token_alone() {
    let scene = Scene::new().await;
    let opened = scene.sign_in().await;
    let found = scene.who(&of(&opened)).await.unwrap();
    assert_eq!((found.user(), found.session.id), (&Scene::ada(), opened.session.id));
    assert!(scene.who(&format!("theme=dark; {}; x=y", of(&opened))).await.is_some());
    assert_ne!(opened.token.expose(), scene.sign_in().await.token.expose());
    let token = opened.token.expose();
    let digest = URL_SAFE_NO_PAD.encode(opened.session.token.as_bytes());
    for stranger in [
        String::new(),
        "__Host-bailiwick=".to_owned(),
        format!("__Host-bailiwick={}", "A".repeat(TOKEN_CHARS)),
        format!("__Host-bailiwick={}", &token[1..]),
        format!("__Host-bailiwick={token}="),
        // What lies in the database opens nothing.
        format!("__Host-bailiwick={digest}"),
        format!("__Host-bailiwick={}", opened.session.id),
        // A name that a plain connection or another host could set.
        format!("bailiwick={token}"),
        format!("bailiwick-80={token}"),
        format!("__host-bailiwick={token}"),
        // Two of a name: one of them was put there.
        format!("{}; __Host-bailiwick=planted", of(&opened)),
    ] {
        assert!(scene.who(&stranger).await.is_none(), "{stranger}");
    }
}

#[tokio::test]
async fn a_session_of_another_broker_opens_nothing() {
    let (here, there) = (Scene::new().await, Scene::new().await);
    let theirs = there.sign_in().await;
    assert!(there.is_open(&theirs).await);
    assert!(!here.is_open(&theirs).await);
}

#[tokio::test]
async fn a_token_that_a_browser_brought_is_never_taken_over() {
    let scene = Scene::new().await;
    let planted = format!("__Host-bailiwick={}", "F".repeat(TOKEN_CHARS));
    assert!(scene.who(&planted).await.is_none());
    let opened = scene.sign_in().await;
    assert_ne!(of(&opened), planted);
    assert!(scene.who(&planted).await.is_none(), "signing in opens a token of its own only");
}

#[tokio::test]
async fn a_session_ends_idle_and_at_its_end() {
    let scene = Scene::new().await;
    let (idle_s, life_s) = (sessions::IDLE_MAX.as_secs(), LIFE_MAX.as_secs());
    let opened = scene.sign_in().await;
    scene.world.clock.advance(idle_s - 1);
    assert!(scene.is_open(&opened).await, "a visit");
    scene.world.clock.advance(idle_s - 1);
    assert!(scene.is_open(&opened).await, "the visit before has moved the idle end");
    scene.world.clock.advance(idle_s);
    assert!(!scene.is_open(&opened).await);
    let busy = scene.sign_in().await;
    for _ in 0..life_s / 600 - 1 {
        scene.world.clock.advance(600);
        assert!(scene.is_open(&busy).await);
    }
    scene.world.clock.advance(600);
    assert!(!scene.is_open(&busy).await, "no visit moves the end");
}

#[tokio::test]
async fn whoever_signs_out_is_suspended_or_left_has_no_session() {
    let scene = Scene::new().await;
    let (broker, by) = (&scene.world.broker, operator());
    let (first, second) = (scene.sign_in().await, scene.sign_in().await);
    sessions::close(broker, &Principal::User(Scene::ada()), &first.session).await.unwrap();
    assert!(!scene.is_open(&first).await);
    assert!(scene.is_open(&second).await, "another browser is not concerned");
    users::suspend(broker, &by, &Scene::ada(), "holiday").await.unwrap();
    assert!(!scene.is_open(&second).await);
    let authentication = Authentication { at: scene.world.clock.now(), methods: BTreeSet::new(), acr: None };
    assert!(sessions::open(broker, &Scene::ada(), authentication).await.is_err());
    users::resume(broker, &by, &Scene::ada()).await.unwrap();
    assert!(!scene.is_open(&second).await, "a session does not come back");
    let third = scene.sign_in().await;
    assert!(scene.is_open(&third).await);
    users::leave(broker, &by, &Scene::ada(), "gone").await.unwrap();
    assert!(!scene.is_open(&third).await);
    let changes: Vec<_> = scene.world.events("session_changed").await;
    assert_eq!(changes.len(), 4, "three that signed in, one that signed out");
    let told = format!("{changes:?}");
    for opened in [&first, &second, &third] {
        assert!(!told.contains(opened.token.expose()), "no token is evidence");
    }
}

#[tokio::test]
async fn only_a_form_of_this_session_and_of_this_broker_counts() {
    let scene = Scene::new().await;
    let mine = scene.who(&of(&scene.sign_in().await)).await.unwrap();
    let other = scene.who(&of(&scene.sign_in().await)).await.unwrap();
    let check = |origin: Option<&str>, token: Option<&str>, expected: bool| {
        let headers = origin.map_or_else(HeaderMap::new, |origin| headers(&[("origin", origin)]));
        let outcome = mine.check_form(&scene.entrance, &headers, token);
        assert_eq!(outcome.is_ok(), expected, "{origin:?} {token:?}");
    };
    let token = mine.form_token();
    check(Some(ISSUER), Some(token), true);
    check(Some(ISSUER), None, false);
    check(Some(ISSUER), Some(""), false);
    check(Some(ISSUER), Some(other.form_token()), false);
    check(Some(ISSUER), Some(&token[1..]), false);
    check(None, Some(token), false);
    for origin in [
        "null",
        "https://evil.example",
        "http://broker.test",
        "https://broker.test.evil.example",
        "http://localhost:3000",
    ] {
        check(Some(origin), Some(token), false);
    }
    let mut twice = headers(&[("origin", ISSUER)]);
    twice.append(header::ORIGIN, HeaderValue::from_static(ISSUER));
    assert!(mine.check_form(&scene.entrance, &twice, Some(token)).is_err());
}

#[tokio::test]
async fn everybody_else_is_sent_to_sign_in_and_a_form_is_not_sent_again() {
    let scene = Scene::new().await;
    let opened = scene.sign_in().await;
    assert_eq!(scene.ask("GET", Some(&of(&opened))).await.status(), StatusCode::OK);
    let sent = scene.ask("GET", None).await;
    assert_eq!(sent.status(), StatusCode::SEE_OTHER);
    let location = sent.headers()[header::LOCATION].to_str().unwrap();
    assert_eq!(location, "https://broker.test/sign-in?return_to=%2Faccount%3Ftab%3Da%26b");
    assert_eq!(scene.ask("POST", None).await.status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn only_a_path_of_this_broker_is_a_place_to_come_back_to() {
    let long = format!("/{}", "x".repeat(RETURN_TO_CHARS_MAX));
    for place in ["/", "/account", "/authorize?client_id=a&x=%2F", "/a//b", "/a@b"] {
        assert_eq!(return_to(place), Some(place));
    }
    for place in [
        "",
        "account",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "https://evil.example",
        "/ä",
        "/a b",
        &long,
    ] {
        assert_eq!(return_to(place), None, "{place:?}");
    }
}

#[tokio::test]
async fn the_cookie_is_for_this_host_and_no_script() {
    let scene = Scene::new().await;
    let opened = scene.sign_in().await;
    let line = set_cookie(&scene.entrance, &opened).unwrap();
    let expected = format!("{}; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax; Secure", of(&opened));
    assert_eq!(line.to_str().unwrap(), expected);
    assert!(line.is_sensitive());
    let gone = clear_cookie(&scene.entrance).unwrap();
    assert_eq!(gone.to_str().unwrap(), "__Host-bailiwick=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure");
}
