//! Consent apart from the client: devices and the back channel over the real router, from the request to a decided call, and
//! every way to get what somebody else was asked for.

use bailiwick_engine::{
    authorization::{Lasting, Visitor, apart},
    directory::{self, Profile},
    lifecycle, users,
};
use bailiwick_model::{
    directory::DirectoryEntry, id::ConsentRequestId, limits::CONSENT_REQUESTS_PER_CLIENT_AND_USER_MAX,
};

use super::{
    exchange::{cast, token},
    *,
};
use crate::clients::{PER_ADDRESS, QUESTIONS};

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
pub(super) const CIBA: &str = "urn:openid:params:grant-type:ciba";
const READ: &str =
    r#"[{"type":"bailiwick_tool","actions":["files.read_text_file"],"arguments":{"path":{"under":"/data"}}}]"#;

type Pairs = Vec<(&'static str, String)>;
type Sent<'a> = &'a [(&'static str, &'a str)];

/// A scene with two users, in which by their registrations `support` may ask users and `other` may not.
async fn asking() -> Scene {
    let scene = cast().await;
    let broker = &scene.world.broker;
    for user in ["u-ada", "u-bob"] {
        let groups = ["sales".to_owned()].into();
        users::add(broker, &operator(), user.parse().unwrap(), user, None, groups).await.unwrap();
    }
    scene
}

impl Scene {
    async fn ask_at(&self, path: &str, agent: &str, pairs: &[(&'static str, &str)]) -> Answer {
        let mut form: Pairs = vec![
            ("client_assertion_type", TYPE.to_owned()),
            ("client_assertion", self.world.assertion(agent)),
            ("resource", RESOURCE.to_owned()),
        ];
        form.extend(pairs.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let url = format!("{ISSUER}{path}");
        let proof = self.world.proof(agent, "POST", &url, None);
        let message = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        self.send(message.header("dpop", proof), &form).await
    }

    async fn backchannel(&self, agent: &str, pairs: &[(&'static str, &str)]) -> Answer {
        let mut all = vec![("scope", "openid files:read"), ("login_hint", "u-ada")];
        all.retain(|(name, _)| pairs.iter().all(|(other, _)| name != other));
        all.extend(pairs.iter().copied().filter(|(_, value)| !value.is_empty()));
        self.ask_at("/oauth/bc-authorize", agent, &all).await
    }

    async fn device(&self, agent: &str) -> Answer {
        self.ask_at("/oauth/device_authorization", agent, &[("scope", "files:read")]).await
    }

    async fn poll(&self, agent: &str, grant: &str, held: &str) -> Answer {
        let mut form = with(self.form(agent), "grant_type", grant);
        form.retain(|(name, _)| *name != "resource");
        form.push((if grant == CIBA { "auth_req_id" } else { "device_code" }, held.to_owned()));
        self.ask(&form, Some(self.proof(agent))).await
    }

    /// Somebody who proved just now who they are.
    pub(super) fn present(&self, user: &str) -> Visitor {
        let now = self.world.clock.now();
        let authentication = bailiwick_model::grant::Authentication {
            at: now,
            methods: ["hwk".to_owned()].into(),
            acr: Some("phr".parse().unwrap()),
        };
        Visitor {
            user: user.parse().unwrap(),
            authentication,
            session_ends_at: now + jiff::SignedDuration::from_hours(12),
        }
    }

    async fn only(&self, user: &str) -> ConsentRequestId {
        let waiting = apart::waiting(&self.world.broker, &user.parse().unwrap()).await.unwrap();
        assert_eq!(waiting.len(), 1);
        waiting[0].id
    }

    pub(super) async fn answered(&self, user: &str, lasting: Option<Lasting>) {
        let id = self.only(user).await;
        apart::answer(&self.world.broker, &self.present(user), id, lasting).await.unwrap();
    }
}

fn held(answer: &Answer, name: &str) -> String {
    assert_eq!(answer.status, 200, "{:?}", answer.json);
    answer.json[name].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_user_is_asked_by_the_back_channel_and_says_yes() {
    let scene = asking().await;
    let asked = scene
        .backchannel(
            "support",
            &[("binding_message", "Order 4711"), ("authorization_details", READ), ("scope", "openid")],
        )
        .await;
    let id = held(&asked, "auth_req_id");
    assert_eq!((asked.json["expires_in"].as_u64(), asked.json["interval"].as_u64()), (Some(300), Some(5)));
    refused(&scene.poll("support", CIBA, &id).await, 400, "authorization_pending");
    assert!(scene.world.events("token_refused").await.is_empty(), "waiting refuses nobody");
    let request = scene.only("u-ada").await;
    let seen = apart::open(&scene.world.broker, &scene.present("u-ada"), request).await.unwrap().unwrap();
    assert_eq!(seen.request.asked.binding_message.as_deref(), Some("Order 4711"));
    assert_eq!(seen.question.systems.len(), 1);
    scene.answered("u-ada", Some(Lasting::Day)).await;

    let answer = scene.poll("support", CIBA, &id).await;
    let one = token(&answer);
    assert!(answer.json["refresh_token"].is_string());
    assert_eq!(answer.json["authorization_details"][0]["arguments"]["path"], json!({"under": "/data"}));
    let id_token = answer.json["id_token"].as_str().unwrap();
    assert_eq!(part(id_token, 0)["typ"], "JWT");
    let claims = part(id_token, 1);
    assert_eq!(
        (&claims["sub"], &claims["aud"], &claims["acr"]),
        (&json!("user:u-ada"), &json!("support"), &json!("phr"))
    );
    assert_eq!(claims["auth_time"], scene.world.clock.now().as_second());
    assert_eq!(scene.call("support", &one, "read_text_file", "/data/a").await, Ok(()));
    assert!(scene.call("support", &one, "read_text_file", "/etc/a").await.is_err());
    refused(&scene.poll("support", CIBA, &id).await, 400, "invalid_grant");

    // Who was named before can be named by that token; nobody else can use it.
    let again = scene.backchannel("support", &[("login_hint", ""), ("id_token_hint", id_token)]).await;
    assert_eq!(again.status, 200, "{:?}", again.json);
    let others = scene.backchannel("writer", &[("login_hint", ""), ("id_token_hint", id_token)]).await;
    refused(&others, 400, "unknown_user_id");
    assert_eq!(scene.verified("support", id_token).await.err(), Some(401), "an ID token opens nothing");
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_as_such() {
    let mut scene = asking().await;
    refused(&scene.backchannel("other", &[]).await, 400, "unauthorized_client");
    refused(&scene.device("other").await, 400, "unauthorized_client");
    for (name, value, error) in [
        ("login_hint", "u-nobody", "unknown_user_id"),
        ("login_hint", "", "invalid_request"),
        ("id_token_hint", "x", "invalid_request"),
        ("scope", "files:read", "invalid_scope"),
        ("scope", "openid files:delete_all", "invalid_scope"),
        ("binding_message", "Click https://evil.test/?a=<b>", "invalid_binding_message"),
        ("requested_expiry", "0", "invalid_request"),
        ("acr_values", "made-up", "unmet_authentication_requirements"),
        ("login_hint_token", "x", "invalid_request"),
        ("request", "e30.e30.x", "request_not_supported"),
        ("authorization_details", "[{}]", "invalid_authorization_details"),
    ] {
        scene.router = endpoint(&scene.world);
        refused(&scene.backchannel("support", &[(name, value)]).await, 400, error);
    }
    users::suspend(&scene.world.broker, &operator(), &"u-ada".parse().unwrap(), "test").await.unwrap();
    refused(&scene.backchannel("support", &[]).await, 400, "unknown_user_id");
}

#[tokio::test]
async fn a_user_is_not_flooded_and_no_client_is_in_anothers_way() {
    let scene = asking().await;
    for _ in 0..CONSENT_REQUESTS_PER_CLIENT_AND_USER_MAX {
        assert_eq!(scene.backchannel("support", &[]).await.status, 200);
    }
    // From the address of all the others, and more often than anybody may fail.
    let tries = QUESTIONS.burst as usize - CONSENT_REQUESTS_PER_CLIENT_AND_USER_MAX - 1;
    assert!(tries > PER_ADDRESS.burst as usize);
    for _ in 0..tries {
        refused(&scene.backchannel("support", &[]).await, 400, "access_denied");
    }
    assert!(scene.world.events("token_refused").await.is_empty(), "it is nobody's failure");
    assert_eq!(scene.backchannel("support", &[("login_hint", "u-bob")]).await.status, 200, "another user has room");
    refused(&scene.backchannel("support", &[("login_hint", "u-bob")]).await, 429, "temporarily_unavailable");
    assert_eq!(scene.backchannel("writer", &[]).await.status, 200, "nobody else is concerned");
    scene.world.clock.advance(301);
    assert_eq!(scene.backchannel("support", &[]).await.status, 200, "what nobody answered is over");
}

#[tokio::test]
async fn an_address_names_who_is_here_now() {
    let mut scene = asking().await;
    let broker = Arc::clone(&scene.world.broker);
    let by = operator();
    for (id, email) in
        [("u-1", "cy@example.com"), ("u-2", "cy@example.com"), ("u-3", "di@example.com"), ("u-4", "di@example.com")]
    {
        users::add(&broker, &by, id.parse().unwrap(), id, Some(email), BTreeSet::new()).await.unwrap();
    }
    users::leave(&broker, &by, &"u-1".parse().unwrap(), "test").await.unwrap();
    let hint = async |scene: &Scene, hint: &str| {
        scene.backchannel("support", &[("login_hint", hint), ("scope", "openid")]).await
    };
    assert_eq!(hint(&scene, "cy@example.com").await.status, 200, "whoever left is in nobody's way");
    assert_eq!(scene.only("u-2").await, apart::waiting(&broker, &"u-2".parse().unwrap()).await.unwrap()[0].id);
    users::suspend(&broker, &by, &"u-3".parse().unwrap(), "test").await.unwrap();
    assert_eq!(hint(&scene, "di@example.com").await.status, 200);
    scene.only("u-4").await;
    users::resume(&broker, &by, &"u-3".parse().unwrap()).await.unwrap();
    // Nobody, somebody who left, somebody suspended, and more than one are told alike.
    users::suspend(&broker, &by, &"u-ada".parse().unwrap(), "test").await.unwrap();
    let mut told = BTreeSet::new();
    for unknown in ["di@example.com", "u-1", "u-ada", "nobody@example.com", "u-nobody", "DI@example.com"] {
        scene.router = endpoint(&scene.world);
        let answer = hint(&scene, unknown).await;
        refused(&answer, 400, "unknown_user_id");
        told.insert(answer.json.to_string());
    }
    assert_eq!(told.len(), 1, "{told:?}");
    // Whoever may not ask learns nothing, and whoever guesses is stopped.
    for hint in ["u-bob", "u-nobody"] {
        let answer = scene.backchannel("other", &[("login_hint", hint)]).await;
        told.insert(answer.json.to_string());
        refused(&answer, 400, "unauthorized_client");
    }
    assert_eq!(told.len(), 2, "{told:?}");
    scene.router = endpoint(&scene.world);
    for _ in 0..PER_CLIENT.burst {
        refused(&hint(&scene, "u-nobody").await, 400, "unknown_user_id");
    }
    refused(&hint(&scene, "u-bob").await, 429, "temporarily_unavailable");
}

#[tokio::test]
async fn a_user_proves_as_well_as_the_client_wants() {
    let scene = asking().await;
    let id = held(&scene.backchannel("support", &[("acr_values", "phr")]).await, "auth_req_id");
    let request = scene.only("u-ada").await;
    let mut weak = scene.present("u-ada");
    weak.authentication.acr = None;
    let broker = &scene.world.broker;
    assert!(apart::open(broker, &weak, request).await.unwrap().is_none(), "a better proof is asked for");
    assert!(apart::answer(broker, &weak, request, Some(Lasting::Day)).await.is_err());
    refused(&scene.poll("support", CIBA, &id).await, 400, "authorization_pending");
    scene.answered("u-ada", Some(Lasting::Day)).await;
    let answer = scene.poll("support", CIBA, &id).await;
    assert_eq!(part(answer.json["id_token"].as_str().unwrap(), 1)["acr"], "phr");
    scene.backchannel("support", &[("acr_values", "phr")]).await;
    let request = scene.only("u-ada").await;
    apart::answer(broker, &weak, request, None).await.expect("no needs no better proof");
}

#[tokio::test]
async fn what_was_allowed_is_taken_back_before_its_client_comes() {
    let scene = asking().await;
    let id = held(&scene.backchannel("support", &[]).await, "auth_req_id");
    let request = scene.only("u-ada").await;
    let broker = &scene.world.broker;
    let (ada, bob): (UserId, UserId) = ("u-ada".parse().unwrap(), "u-bob".parse().unwrap());
    assert!(apart::withdraw(broker, &ada, request).await.is_err(), "what waits is refused where it is shown");
    scene.answered("u-ada", Some(Lasting::Day)).await;
    assert_eq!(apart::unfetched(broker, &ada).await.unwrap().len(), 1);
    assert!(apart::unfetched(broker, &bob).await.unwrap().is_empty());
    assert!(apart::withdraw(broker, &bob, request).await.is_err());
    apart::withdraw(broker, &ada, request).await.unwrap();
    assert!(apart::unfetched(broker, &ada).await.unwrap().is_empty());
    refused(&scene.poll("support", CIBA, &id).await, 400, "access_denied");
    refused(&scene.poll("support", CIBA, &id).await, 400, "slow_down");
    assert!(broker.live().grants.is_empty());
    assert!(apart::withdraw(broker, &ada, request).await.is_err(), "once");
}

#[tokio::test]
async fn who_asks_too_often_waits_longer_and_no_answer_comes_late() {
    let scene = asking().await;
    let id = held(&scene.backchannel("support", &[("requested_expiry", "60")]).await, "auth_req_id");
    for (after_s, expected) in [
        (0, "authorization_pending"),
        (4, "slow_down"),
        (9, "slow_down"),
        (15, "authorization_pending"),
        (15, "authorization_pending"),
        (18, "expired_token"),
    ] {
        scene.world.clock.advance(after_s);
        refused(&scene.poll("support", CIBA, &id).await, 400, expected);
    }
    let late = apart::waiting(&scene.world.broker, &"u-ada".parse().unwrap()).await.unwrap();
    assert!(late.is_empty());
}

#[tokio::test]
async fn a_device_shows_a_code_that_one_user_types_in() {
    let scene = asking().await;
    let asked = scene.device("support").await;
    let (device_code, user_code) = (held(&asked, "device_code"), held(&asked, "user_code"));
    assert_eq!(user_code.len(), 9);
    assert!(user_code.bytes().all(|letter| b"BCDFGHJKLMNPQRSTVWXZ-".contains(&letter)), "{user_code}");
    let page = held(&asked, "verification_uri");
    assert_eq!(held(&asked, "verification_uri_complete"), format!("{page}?user_code={user_code}"));
    refused(&scene.poll("support", DEVICE, &device_code).await, 400, "authorization_pending");
    let broker = &scene.world.broker;
    let (ada, bob) = (scene.present("u-ada"), scene.present("u-bob"));
    for wrong in ["BBBB-BBBB", "", "AAAA-AAAA", "BCDF"] {
        assert!(apart::by_code(broker, &ada, wrong).await.is_err(), "{wrong}");
    }
    let request = apart::by_code(broker, &ada, &user_code.to_lowercase().replace('-', " ")).await.unwrap();
    assert!(apart::by_code(broker, &bob, &user_code).await.is_err(), "it is the first one's who typed it in");
    assert!(apart::open(broker, &bob, request).await.is_err());
    assert!(apart::answer(broker, &bob, request, Some(Lasting::Day)).await.is_err());
    scene.answered("u-ada", Some(Lasting::Day)).await;
    assert!(apart::answer(broker, &ada, request, None).await.is_err(), "answered once");
    for (agent, grant, held) in
        [("writer", DEVICE, &device_code), ("support", CIBA, &device_code), ("support", DEVICE, &user_code)]
    {
        refused(&scene.poll(agent, grant, held).await, 400, "invalid_grant");
    }
    let answer = scene.poll("support", DEVICE, &device_code).await;
    let one = token(&answer);
    assert!(answer.json.get("id_token").is_none());
    assert_eq!(part(&one, 1)["sub"], "user:u-ada");
    refused(&scene.poll("support", DEVICE, &device_code).await, 400, "invalid_grant");
}

#[tokio::test]
async fn no_is_no_and_nobody_gets_in_who_ended_meanwhile() {
    let mut scene = asking().await;
    let id = held(&scene.backchannel("support", &[]).await, "auth_req_id");
    scene.answered("u-ada", None).await;
    refused(&scene.poll("support", CIBA, &id).await, 400, "access_denied");

    // Asked, or allowed as well, and then the user or the agent is stopped, and goes on.
    for (allowed, user_is_stopped) in [(true, true), (true, false), (false, true), (false, false)] {
        scene.router = endpoint(&scene.world);
        let id = held(&scene.backchannel("support", &[]).await, "auth_req_id");
        if allowed {
            scene.answered("u-ada", Some(Lasting::Day)).await;
        }
        let broker = &scene.world.broker;
        let (user, agent) = ("u-ada".parse().unwrap(), "support".parse().unwrap());
        if user_is_stopped {
            users::suspend(broker, &operator(), &user, "test").await.unwrap();
            refused(&scene.poll("support", CIBA, &id).await, 400, "invalid_grant");
            users::resume(broker, &operator(), &user).await.unwrap();
        } else {
            agents::suspend(broker, &operator(), &agent, "test").await.unwrap();
            refused(&scene.poll("support", CIBA, &id).await, 400, "invalid_grant");
            agents::resume(broker, &operator(), &agent, "test").await.unwrap();
        }
        assert!(apart::waiting(broker, &user).await.unwrap().is_empty(), "it does not come back with them");
        refused(&scene.poll("support", CIBA, &id).await, 400, "access_denied");
        assert!(broker.live().grants.is_empty());
    }
    // And so it is with whoever is done.
    let device = scene.device("support").await;
    let code = held(&device, "user_code");
    let broker = &scene.world.broker;
    agents::deregister(broker, &"support".parse().unwrap(), None).await.unwrap();
    assert!(apart::by_code(broker, &scene.present("u-ada"), &code).await.is_err(), "nobody waits with this code");
}

/// It was allowed the agent of the old job, and would be a grant of the new one.
#[tokio::test]
async fn another_job_ends_what_users_were_asked_for_the_old_one() {
    let scene = asking().await;
    let broker = &scene.world.broker;
    let stale = broker.agent(&"support".parse().unwrap()).unwrap();
    let allowed = held(&scene.backchannel("support", &[]).await, "auth_req_id");
    scene.answered("u-ada", Some(Lasting::Day)).await;
    held(&scene.backchannel("support", &[]).await, "auth_req_id");
    assert!(broker.live().grants.is_empty(), "it ends with no grant to end as well");
    lifecycle::reassign(broker, &operator(), &stale.name, "reader".parse().unwrap(), "moved").await.unwrap();
    let user = "u-ada".parse().unwrap();
    assert!(apart::waiting(broker, &user).await.unwrap().is_empty());
    assert!(apart::unfetched(broker, &user).await.unwrap().is_empty());
    refused(&scene.poll("support", CIBA, &allowed).await, 400, "invalid_grant");

    // One that was under way when the role changed can neither be allowed nor fetched; no is no all the same.
    let ask = apart::AskApart {
        kind: GrantKind::Ciba,
        user: Some(user),
        asked: bailiwick_oauth::apart_request::Asked {
            resource: RESOURCE.to_owned(),
            scopes: BTreeSet::from(["files:read".parse().unwrap()]),
            details: None,
            acr_values: BTreeSet::new(),
        },
        binding_message: None,
        confirmation: None,
        from: None,
        waits_s: None,
    };
    let late = apart::ask(broker, &stale, ask, Vec::new()).await.unwrap();
    refused(&scene.poll("support", CIBA, late.secret.expose()).await, 400, "invalid_grant");
    let request = scene.only("u-ada").await;
    assert!(apart::answer(broker, &scene.present("u-ada"), request, Some(Lasting::Day)).await.is_err());
    scene.answered("u-ada", None).await;
}

/// As identity providers tell us: nobody is removed, they are only active no more.
#[tokio::test]
async fn a_directory_that_stops_somebody_ends_what_they_were_asked() {
    let scene = asking().await;
    let broker = &scene.world.broker;
    let by = Principal::Workload("idp".parse().unwrap());
    let profile = |active| Profile {
        name: "Cy".to_owned(),
        email: Some("cy@example.com".to_owned()),
        entry: DirectoryEntry { user_name: "cy".to_owned(), active, ..DirectoryEntry::default() },
    };
    let user = directory::create_user(broker, &by, profile(true)).await.unwrap();
    let id = user.id.to_string();
    let ask = async || held(&scene.backchannel("support", &[("login_hint", "cy@example.com")]).await, "auth_req_id");
    let allowed = ask().await;
    scene.answered(&id, Some(Lasting::Day)).await;
    let waiting = ask().await;
    let user = directory::change_user(broker, &by, (&user.id, user.version), profile(false)).await.unwrap();
    for held in [&allowed, &waiting] {
        refused(&scene.poll("support", CIBA, held).await, 400, "invalid_grant");
    }
    refused(&scene.backchannel("support", &[("login_hint", "cy@example.com")]).await, 400, "unknown_user_id");
    directory::change_user(broker, &by, (&user.id, user.version), profile(true)).await.unwrap();
    for held in [&allowed, &waiting] {
        refused(&scene.poll("support", CIBA, held).await, 400, "access_denied");
    }
}

/// What the suite for FAPI-CIBA asks of a server in poll mode, case by case, by what its names say.
#[tokio::test]
async fn the_back_channel_refuses_what_the_suite_for_ciba_sends() {
    let mut scene = asking().await;
    let long = "x".repeat(65);
    let several = [("id_token_hint", "e30.e30.x")];
    let cases: [(&str, Sent<'_>, &str); 10] = [
        ("authorization request with no hint", &[("login_hint", "")], "invalid_request"),
        ("authorization request with multiple hints", &several, "invalid_request"),
        ("login hint token", &[("login_hint", ""), ("login_hint_token", "e30.e30.x")], "invalid_request"),
        ("id token hint that is none of ours", &[("login_hint", ""), several[0]], "unknown_user_id"),
        (
            "potentially bad binding message",
            &[("binding_message", "1234 \u{1F44D}\u{1F3FF} \u{5B57}")],
            "invalid_binding_message",
        ),
        ("long binding message", &[("binding_message", &long)], "invalid_binding_message"),
        ("request object", &[("request", "e30.e30.x")], "request_not_supported"),
        ("unsigned request object", &[("request", "eyJhbGciOiJub25lIn0.e30.")], "request_not_supported"),
        ("scope without openid", &[("scope", "files:read")], "invalid_scope"),
        ("negative requested expiry", &[("requested_expiry", "-1")], "invalid_request"),
    ];
    for (name, sent, error) in cases {
        scene.router = endpoint(&scene.world);
        let answer = scene.backchannel("support", sent).await;
        assert_eq!((answer.status, answer.json["error"].as_str()), (400, Some(error)), "{name}: {:?}", answer.json);
        assert!(answer.json.get("auth_req_id").is_none(), "{name}");
    }
    assert!(apart::waiting(&scene.world.broker, &"u-ada".parse().unwrap()).await.unwrap().is_empty());

    // `auth-req-id-expired`, `user-rejects-authentication`, `multiple-call-to-token-endpoint`, and the client of another.
    scene.router = endpoint(&scene.world);
    let id = held(&scene.backchannel("support", &[("requested_expiry", "30")]).await, "auth_req_id");
    refused(&scene.poll("writer", CIBA, &id).await, 400, "invalid_grant");
    scene.answered("u-ada", Some(Lasting::Session)).await;
    scene.world.clock.advance(31);
    refused(&scene.poll("support", CIBA, &id).await, 400, "expired_token");
    scene.world.clock.advance(600);
    let next = held(&scene.backchannel("support", &[]).await, "auth_req_id");
    refused(&scene.poll("support", CIBA, &id).await, 400, "invalid_grant");
    scene.answered("u-ada", None).await;
    refused(&scene.poll("support", CIBA, &next).await, 400, "access_denied");
    let last = held(&scene.backchannel("support", &[]).await, "auth_req_id");
    for error in ["authorization_pending", "slow_down", "slow_down"] {
        refused(&scene.poll("support", CIBA, &last).await, 400, error);
    }
}

#[tokio::test]
async fn a_session_that_was_left_open_answers_nothing() {
    let scene = asking().await;
    let old = scene.present("u-ada");
    scene.world.clock.advance(1);
    let id = held(&scene.backchannel("support", &[]).await, "auth_req_id");
    let request = scene.only("u-ada").await;
    let broker = &scene.world.broker;
    assert!(apart::open(broker, &old, request).await.unwrap().is_none(), "a fresh proof is asked for");
    assert!(apart::answer(broker, &old, request, Some(Lasting::Day)).await.is_err());
    refused(&scene.poll("support", CIBA, &id).await, 400, "authorization_pending");
}

#[tokio::test]
async fn the_key_that_asked_is_the_key_that_gets() {
    let scene = asking().await;
    let id = held(&scene.backchannel("support", &[]).await, "auth_req_id");
    scene.answered("u-ada", Some(Lasting::Day)).await;
    let mut form = with(scene.form("support"), "grant_type", CIBA);
    form.push(("auth_req_id", id.clone()));
    refused(&scene.ask(&form, Some(scene.proof("writer"))).await, 400, "invalid_grant");
    assert_eq!(scene.poll("support", CIBA, &id).await.status, 200, "and it is not used up by whoever is not it");

    // Whoever reads a question that came too early cannot ask it again when there is an answer, nor make its client wait.
    let id = held(&scene.backchannel("support", &[]).await, "auth_req_id");
    let mut form = with(scene.form("support"), "grant_type", CIBA);
    form.push(("auth_req_id", id.clone()));
    let proof = scene.proof("support");
    refused(&scene.ask(&form, Some(proof.clone())).await, 400, "authorization_pending");
    refused(&scene.ask(&form, Some(proof.clone())).await, 401, "invalid_client");
    scene.world.clock.advance(6);
    refused(&scene.poll("support", CIBA, &id).await, 400, "authorization_pending");
    scene.answered("u-ada", Some(Lasting::Day)).await;
    refused(&scene.ask(&form, Some(scene.proof("support"))).await, 400, "invalid_grant");
    let mut fresh = with(scene.form("support"), "grant_type", CIBA);
    fresh.push(("auth_req_id", id.clone()));
    refused(&scene.ask(&fresh, Some(proof)).await, 400, "invalid_grant");
    assert_eq!(scene.poll("support", CIBA, &id).await.status, 200);
}
