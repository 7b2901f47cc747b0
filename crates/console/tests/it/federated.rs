//! Signing in with another provider: a scripted one that says whatever a test wants it to, so that every lie is told once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use axum::{
    Router,
    extract::State,
    routing::{get, post},
};
use bailiwick_console::federated::{ClientAuthentication, GroupRules, ProviderRules, Providers};
use bailiwick_engine::{
    directory::{self, Profile},
    grants,
    identities::{self, Admission, Authority},
    passkeys, secrets, users,
};
use bailiwick_fetch::{FetchRules, Fetcher};
use bailiwick_model::{
    authentication::Authentication,
    digest::Digest,
    directory::DirectoryEntry,
    grant::{Grant, GrantKind, GrantStatus},
    id::GrantId,
    jwk::SigningAlgorithm,
    name::UserId,
    principal::{DelegationChain, Principal},
    secret::Secret,
    user::ADMINISTRATORS,
};
use bailiwick_ports::chance::Clock as _;
use bailiwick_testkit_engine::{
    issuer::{ForeignIssuer, changed},
    world::{DIRECTORY_USERS_MAX, ISSUER, operator, part},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use url::Url;

use crate::{
    browser::{Browser, Page, Scene, ada},
    device::Device,
};

const CLIENT: &str = "bailiwick-at-idp";
const BEGIN: &str = "/sign-in/oidc/idp?return_to=%2Faccount";
const CALLBACK: &str = "/sign-in/oidc/idp/callback";

/// What the provider says.
#[derive(Default)]
struct Script {
    metadata: Value,
    claims: Value,
    header: Value,
    /// Instead of a token that it signs.
    token: Option<String>,
    status: Option<StatusCode>,
    /// What discovery answers instead.
    down: Option<StatusCode>,
    /// How often somebody asked about a user.
    asked_about: u32,
    /// What the sign-in was asked with.
    nonce: String,
    /// What came to the token endpoint last.
    form: BTreeMap<String, String>,
    headers: HeaderMap,
}

struct Idp {
    issuer: String,
    signs: Mutex<ForeignIssuer>,
    script: Mutex<Script>,
    /// Seconds since 1970, by the broker's clock.
    now: AtomicI64,
}

impl Idp {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let script = Script { metadata: json!({}), claims: json!({}), header: json!({}), ..Script::default() };
        let idp = Arc::new(Self {
            signs: Mutex::new(ForeignIssuer::new(&issuer)),
            issuer,
            script: Mutex::new(script),
            now: AtomicI64::new(0),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(Self::configuration))
            .route("/jwks", get(|State(idp): State<Arc<Self>>| async move { idp.signs.lock().unwrap().jwks() }))
            .route("/token", post(Self::token))
            .route("/userinfo", get(Self::user_info).post(Self::user_info))
            .with_state(Arc::clone(&idp));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        idp
    }

    async fn user_info(State(idp): State<Arc<Self>>) -> String {
        idp.says(|script| script.asked_about += 1);
        json!({ "sub": "00u1", "email": "ada@example.com", "email_verified": true }).to_string()
    }

    async fn configuration(State(idp): State<Arc<Self>>) -> (StatusCode, String) {
        let at = |path: &str| format!("{}{path}", idp.issuer);
        let honest = json!({
            "issuer": idp.issuer, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
            "jwks_uri": at("/jwks"), "userinfo_endpoint": at("/userinfo"), "authorization_response_iss_parameter_supported": true,
        });
        let script = idp.script.lock().unwrap();
        (script.down.unwrap_or(StatusCode::OK), changed(honest, &script.metadata).to_string())
    }

    async fn token(State(idp): State<Arc<Self>>, headers: HeaderMap, body: String) -> (StatusCode, String) {
        let mut script = idp.script.lock().unwrap();
        script.form = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        script.headers = headers;
        let claims = json!({
            "iss": idp.issuer, "aud": CLIENT, "sub": "00u1", "iat": idp.now(), "exp": idp.now() + 300,
            "email": "ada@example.com", "email_verified": true, "preferred_username": "ada", "name": "Ada", "tid": "t-1",
            "nonce": script.nonce,
        });
        let token = idp.signs.lock().unwrap().sign(&script.header, &changed(claims, &script.claims));
        let token = script.token.clone().unwrap_or(token);
        let answer = json!({ "access_token": "at", "token_type": "Bearer", "id_token": token }).to_string();
        (script.status.unwrap_or(StatusCode::OK), answer)
    }

    fn now(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    fn says(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }
}

struct Story {
    scene: Scene,
    idp: Arc<Idp>,
}

impl Story {
    async fn new(change: impl FnOnce(&mut ProviderRules)) -> Self {
        let idp = Idp::start().await;
        let mut rules = ProviderRules {
            name: "idp".to_owned(),
            title: "Example <b>".to_owned(),
            issuer: idp.issuer.clone(),
            client_id: CLIENT.to_owned(),
            authentication: ClientAuthentication::OwnKey { audience: None },
            scopes: vec!["email".to_owned()],
            algorithms: vec![SigningAlgorithm::ES256],
            require: BTreeMap::new(),
            acr: BTreeMap::new(),
            amr: BTreeMap::new(),
            groups: None,
            admission: Admission { create: false, authority: Some(Authority::Email) },
        };
        change(&mut rules);
        let other =
            ProviderRules { name: "other".to_owned(), issuer: "https://other.example".to_owned(), ..rules.clone() };
        let allowed = FetchRules { allowed: vec!["127.0.0.0/8".parse().unwrap()], roots: Vec::new() };
        let providers = Providers::new(vec![rules, other], &Fetcher::new(allowed).unwrap());
        let scene = Scene::with(providers).await;
        idp.now.store(scene.world.clock.now().as_second(), Ordering::SeqCst);
        Self { scene, idp }
    }

    /// Somebody whom a directory provisioned.
    async fn provisioned(&self, user_name: &str) -> UserId {
        let entry = DirectoryEntry { user_name: user_name.to_owned(), active: true, ..DirectoryEntry::default() };
        let profile = Profile { name: "Ada".to_owned(), email: Some(format!("{user_name}@example.com")), entry };
        let broker = &self.scene.world.broker;
        directory::create_user(broker, &operator(), profile).await.unwrap().id.clone()
    }

    /// Begins a sign-in: what the browser is sent with. The provider will say the nonce that it was asked with.
    async fn begin(&self, browser: &mut Browser) -> BTreeMap<String, String> {
        let page = browser.get(BEGIN).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
        let url: Url = page.location().parse().unwrap();
        assert!(url.as_str().starts_with(&format!("{}/authorize?", self.idp.issuer)), "{url}");
        let asked: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        self.idp.says(|script| script.nonce.clone_from(&asked["nonce"]));
        asked
    }

    fn answer(&self, asked: &BTreeMap<String, String>, changes: &[(&str, Option<&str>)]) -> String {
        let mut answer: BTreeMap<&str, &str> =
            [("code", "c-1"), ("state", asked["state"].as_str()), ("iss", self.idp.issuer.as_str())].into();
        for (name, value) in changes {
            match value {
                Some(value) => drop(answer.insert(name, value)),
                None => drop(answer.remove(name)),
            }
        }
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(answer).finish()
    }

    /// Signs in, and says what came of it.
    async fn sign_in(&self, browser: &mut Browser) -> Page {
        let asked = self.begin(browser).await;
        browser.get(&format!("{CALLBACK}?{}", self.answer(&asked, &[]))).await
    }
}

#[tokio::test]
async fn an_account_of_a_provider_signs_its_user_in() {
    let story = Story::new(|rules| rules.acr = [("urn:gold".parse().unwrap(), "gold".parse().unwrap())].into()).await;
    let (ada, mut browser) = (story.provisioned("ada").await, story.scene.browser());
    let page = browser.get("/sign-in").await;
    assert!(
        page.text.contains("Sign in with Example &#60;b&#62;") && page.text.contains("/sign-in/oidc/idp?return_to=")
    );
    let asked = story.begin(&mut browser).await;
    assert!(browser.cookie.as_ref().unwrap().starts_with("__Host-bailiwick-oidc="));
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("scope", "openid email"),
        ("code_challenge_method", "S256"),
        ("redirect_uri", "https://broker.test/sign-in/oidc/idp/callback"),
        ("acr_values", "urn:gold"),
    ] {
        assert_eq!(asked[name], value);
    }
    story.idp.says(|script| {
        script.claims["acr"] = "urn:gold".into();
        script.claims["auth_time"] = (story.idp.now() - 20).into();
    });
    let page = browser.get(&format!("{CALLBACK}?{}", story.answer(&asked, &[]))).await;
    assert_eq!((page.status, page.location()), (StatusCode::SEE_OTHER, "/account"), "{}", page.text);
    assert!(browser.is_signed_in().await);
    {
        let script = story.idp.script.lock().unwrap();
        let verifier = Digest::of(script.form["code_verifier"].as_bytes());
        assert_eq!(URL_SAFE_NO_PAD.encode(verifier.as_bytes()), asked["code_challenge"], "PKCE binds the code to us");
        let assertion = &script.form["client_assertion"];
        let (head, claims) = (part(assertion, 0), part(assertion, 1));
        assert_eq!(head["kid"], story.scene.world.broker.token_signer().current().kid);
        assert_eq!(
            (&claims["iss"], &claims["sub"], &claims["aud"]),
            (&json!(CLIENT), &json!(CLIENT), &json!(story.idp.issuer))
        );
    }
    let events = format!("{:?}", story.scene.world.events("session_changed").await);
    assert!(events.contains("fed") && events.contains(ada.as_str()) && !events.contains("c-1"), "{events}");
    let session = bailiwick_engine::sessions::of_user(&story.scene.world.broker, &ada).await.unwrap().remove(0);
    assert_eq!(session.authentication.at.as_second(), story.idp.now() - 20);
    assert_eq!(session.authentication.acr.map(|acr| acr.to_string()).as_deref(), Some("gold"));
    // From now on issuer and subject name them, whatever address they have there.
    story.idp.says(|script| script.claims = json!({ "email": "somebody.else@example.com", "acr": "phr" }));
    let mut again = story.scene.browser();
    story.scene.world.clock.advance(2);
    assert_eq!(story.sign_in(&mut again).await.status, StatusCode::SEE_OTHER);
    let session = bailiwick_engine::sessions::of_user(&story.scene.world.broker, &ada).await.unwrap().remove(0);
    assert_eq!(session.authentication.acr, None, "a class that the operator does not believe it about is none");
    let age_s = story.scene.world.clock.now().as_second() - session.authentication.at.as_second();
    assert!(age_s >= 12 * 3_600, "and no time is long ago");
}

#[tokio::test]
async fn nobody_is_let_in_whom_the_operator_did_not_mean() {
    let story = Story::new(|_| {}).await;
    let broker = &story.scene.world.broker;
    let mut browser = story.scene.browser();
    let refused = story.sign_in(&mut browser).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.text.contains("signs nobody in here"), "{}", refused.text);
    // A user of this broker's own, and an administrator, are led to by no address.
    users::add(broker, &operator(), "u-own".parse().unwrap(), "Own", Some("ada@example.com"), Default::default())
        .await
        .unwrap();
    assert_eq!(story.sign_in(&mut browser).await.status, StatusCode::FORBIDDEN);
    let boss = story.provisioned("boss").await;
    users::set_administrator(broker, &operator(), &boss, true).await.unwrap();
    story.idp.says(|script| script.claims = json!({ "email": "boss@example.com", "sub": "00boss" }));
    assert_eq!(story.sign_in(&mut browser).await.status, StatusCode::FORBIDDEN);
    // An address that the provider does not vouch for is none.
    let bob = story.provisioned("bob").await;
    for vouched in [json!(false), json!("true"), Value::Null] {
        story.idp.says(|script| script.claims = json!({ "email": "bob@example.com", "email_verified": vouched }));
        assert_eq!(story.sign_in(&mut browser).await.status, StatusCode::FORBIDDEN);
    }
    story.idp.says(|script| script.claims = json!({ "email": "BOB@example.com", "sub": "00bob" }));
    assert_eq!(story.sign_in(&mut story.scene.browser()).await.status, StatusCode::SEE_OTHER);
    // An address that was given to somebody else leads nowhere.
    story.idp.says(|script| script.claims = json!({ "email": "bob@example.com", "sub": "00carol" }));
    assert_eq!(story.sign_in(&mut browser).await.status, StatusCode::FORBIDDEN);
    // An operator's word lets an administrator in; and no one who was stopped, or left.
    identities::add(broker, &operator(), &boss, &story.idp.issuer, "00boss").await.unwrap();
    assert!(
        identities::add(broker, &operator(), &ada(), &story.idp.issuer, "00boss").await.is_err(),
        "one account, one user"
    );
    story.idp.says(|script| script.claims = json!({ "sub": "00boss" }));
    assert_eq!(story.sign_in(&mut story.scene.browser()).await.status, StatusCode::SEE_OTHER);
    users::suspend(broker, &operator(), &boss, "away").await.unwrap();
    assert_eq!(story.sign_in(&mut browser).await.status, StatusCode::FORBIDDEN);
    story.idp.says(|script| script.claims = json!({ "sub": "00bob" }));
    users::leave(broker, &operator(), &bob, "gone").await.unwrap();
    assert_eq!(story.sign_in(&mut browser).await.status, StatusCode::FORBIDDEN);
    assert!(!browser.is_signed_in().await);
}

#[tokio::test]
async fn an_account_that_an_operator_took_away_leads_to_nobody() {
    let story = Story::new(|rules| rules.admission.create = true).await;
    let broker = &story.scene.world.broker;
    let (ada, mut browser) = (story.provisioned("ada").await, story.scene.browser());
    assert_eq!(story.sign_in(&mut browser).await.status, StatusCode::SEE_OTHER);
    identities::remove(broker, &operator(), &ada, &story.idp.issuer, "00u1").await.unwrap();
    assert!(!browser.is_signed_in().await);
    let known = broker.live().users.size();
    // Neither to its user again, nor to somebody new; and no other account there takes its place by the same address.
    for says in [
        json!({}),
        json!({ "email": null, "preferred_username": null }),
        json!({ "email": "new@example.com", "preferred_username": "new" }),
        json!({ "sub": "00u2" }),
    ] {
        story.idp.says(|script| script.claims = says.clone());
        assert_eq!(story.sign_in(&mut browser).await.status, StatusCode::FORBIDDEN, "{says}");
    }
    assert_eq!(broker.live().users.size(), known);
    story.idp.says(|script| script.claims = json!({}));
    identities::add(broker, &operator(), &ada, &story.idp.issuer, "00u1").await.unwrap();
    assert_eq!(story.sign_in(&mut browser).await.status, StatusCode::SEE_OTHER, "an operator may give it again");
}

#[tokio::test]
async fn who_is_made_known_administers_nothing_and_has_what_is_required() {
    let story = Story::new(|rules| {
        rules.admission = Admission { create: true, authority: None };
        rules.require = BTreeMap::from([("tid".to_owned(), "t-1".to_owned())]);
        rules.authentication = ClientAuthentication::Secret("sign_in/idp".parse().unwrap());
    })
    .await;
    let mut browser = story.scene.browser();
    let broker = &story.scene.world.broker;
    assert_eq!(story.sign_in(&mut browser).await.status, StatusCode::BAD_GATEWAY, "no secret, no proof");
    let secret = Secret::new("s:ä%".as_bytes().to_vec());
    secrets::put(broker, &operator(), "sign_in/idp".parse().unwrap(), &secret).await.unwrap();
    assert!(secrets::open_for_upstream(broker, &"sign_in/idp".parse().unwrap()).await.is_err());
    assert!(secrets::open_for_sign_in(broker, &"crm/idp".parse().unwrap()).await.is_err());
    for other in [json!({ "tid": "t-2" }), json!({ "tid": null }), json!({ "tid": 1 })] {
        story.idp.says(|script| script.claims = other);
        assert_eq!(story.sign_in(&mut browser).await.status, StatusCode::FORBIDDEN);
    }
    let before = story.scene.world.broker.live().users.size();
    story.idp.says(|script| {
        script.claims = json!({ "groups": ["bailiwick:administrators"], "name": "Eve\u{7}\nroot", "roles": ["admin"] });
    });
    for _ in 0..2 {
        assert_eq!(story.sign_in(&mut story.scene.browser()).await.status, StatusCode::SEE_OTHER);
    }
    let live = story.scene.world.broker.live();
    assert_eq!(live.users.size(), before + 1, "once");
    let made = live.users.values().find(|user| user.name.starts_with("Eve")).unwrap();
    assert!(made.groups.is_empty() && !made.name.contains(char::is_control) && made.id.as_str().starts_with("usr-"));
    let basic = story.idp.script.lock().unwrap().headers[header::AUTHORIZATION].to_str().unwrap().to_owned();
    let expected = base64::engine::general_purpose::STANDARD.encode(format!("{CLIENT}:s%3A%C3%A4%25"));
    assert_eq!(basic, format!("Basic {expected}"));
}

#[tokio::test]
async fn an_answer_counts_once_in_its_browser_from_its_provider() {
    let story = Story::new(|_| {}).await;
    story.provisioned("ada").await;
    for changes in [
        vec![("iss", Some("https://evil.example"))],
        vec![("iss", None)],
        vec![("state", Some("AAAA"))],
        vec![("state", None)],
        vec![("code", None)],
        vec![("error", Some("access_denied"))],
    ] {
        let mut browser = story.scene.browser();
        let asked = story.begin(&mut browser).await;
        let page = browser.get(&format!("{CALLBACK}?{}", story.answer(&asked, &changes))).await;
        assert!(page.status.is_client_error(), "{changes:?}: {}", page.status);
        assert!(!browser.is_signed_in().await);
        let later = browser.get(&format!("{CALLBACK}?{}", story.answer(&asked, &[]))).await;
        let gone = !changes.iter().any(|(name, _)| *name == "state");
        assert_eq!(later.status == StatusCode::BAD_REQUEST, gone, "{changes:?}: an answer is looked at once");
    }
    // Of another browser, of none, of another provider, twice the same parameter, and twice the same answer.
    let (mut victim, mut attacker) = (story.scene.browser(), story.scene.browser());
    let asked = story.begin(&mut attacker).await;
    let url = format!("{CALLBACK}?{}", story.answer(&asked, &[]));
    drop(story.begin(&mut victim).await);
    assert_eq!(victim.get(&url).await.status, StatusCode::BAD_REQUEST, "a code of another session");
    assert_eq!(attacker.get(&url).await.status, StatusCode::BAD_REQUEST, "and it is used up");
    let asked = story.begin(&mut attacker).await;
    let url = format!("{CALLBACK}?{}", story.answer(&asked, &[]));
    attacker.cookie = None;
    assert_eq!(attacker.get(&url).await.status, StatusCode::BAD_REQUEST);
    let asked = story.begin(&mut attacker).await;
    let elsewhere = format!("/sign-in/oidc/other/callback?{}", story.answer(&asked, &[]));
    assert_eq!(attacker.get(&elsewhere).await.status, StatusCode::BAD_REQUEST, "mixed up");
    let asked = story.begin(&mut attacker).await;
    let twice = format!("{CALLBACK}?{}&code=c-2", story.answer(&asked, &[]));
    assert_eq!(attacker.get(&twice).await.status, StatusCode::BAD_REQUEST);
    let mut honest = story.scene.browser();
    let asked = story.begin(&mut honest).await;
    let (url, binding) = (format!("{CALLBACK}?{}", story.answer(&asked, &[])), honest.cookie.clone());
    assert_eq!(honest.get(&url).await.status, StatusCode::SEE_OTHER);
    honest.cookie = binding;
    assert_eq!(honest.get(&url).await.status, StatusCode::BAD_REQUEST, "replayed");
    let asked = story.begin(&mut honest).await;
    story.scene.world.clock.advance(601);
    assert_eq!(
        honest.get(&format!("{CALLBACK}?{}", story.answer(&asked, &[]))).await.status,
        StatusCode::BAD_REQUEST,
        "too late"
    );
}

#[tokio::test]
async fn a_lie_of_a_provider_signs_nobody_in() {
    let story = Story::new(|_| {}).await;
    story.provisioned("ada").await;
    let stranger = ForeignIssuer::new(&story.idp.issuer);
    for claims in [
        json!({ "iss": "https://evil.example" }),
        json!({ "aud": "another-client" }),
        json!({ "aud": [CLIENT, "another-client"] }),
        json!({ "aud": [CLIENT, "another-client"], "azp": "another-client" }),
        json!({ "nonce": "of-another-sign-in" }),
        json!({ "exp": story.idp.now() - 3_600 }),
        json!({ "iat": story.idp.now() - 3_600 }),
        json!({ "sub": null }),
        json!({ "sub": "" }),
    ] {
        story.idp.says(|script| script.claims = claims.clone());
        let mut browser = story.scene.browser();
        assert_eq!(story.sign_in(&mut browser).await.status, StatusCode::FORBIDDEN, "{claims}");
        assert!(!browser.is_signed_in().await);
    }
    let honest = |nonce: &str| {
        json!({
            "iss": story.idp.issuer, "aud": CLIENT, "sub": "00u1", "iat": story.idp.now(), "exp": story.idp.now() + 300,
            "email": "ada@example.com", "email_verified": true, "nonce": nonce,
        })
    };
    let unsigned = |header: Value, claims: Value| {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        format!("{}.{}.", part(&header), part(&claims))
    };
    story.idp.says(|script| script.claims = json!({}));
    for forge in ["none", "hs256", "stranger", "no nonce", "no token", "not one"] {
        let mut browser = story.scene.browser();
        let asked = story.begin(&mut browser).await;
        let claims = honest(&asked["nonce"]);
        let token = match forge {
            "none" => unsigned(json!({ "alg": "none" }), claims),
            "hs256" => {
                let token = unsigned(json!({ "alg": "HS256" }), claims);
                format!(
                    "{token}{}",
                    URL_SAFE_NO_PAD.encode(Digest::of(story.idp.signs.lock().unwrap().jwks().as_bytes()).as_bytes())
                )
            }
            "stranger" => stranger.sign(&json!({}), &claims),
            "no nonce" => story.idp.signs.lock().unwrap().sign(&json!({}), &changed(claims, &json!({ "nonce": null }))),
            "no token" => String::new(),
            _ => "a.b".to_owned(),
        };
        story.idp.says(|script| script.token = Some(token));
        let page = browser.get(&format!("{CALLBACK}?{}", story.answer(&asked, &[]))).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{forge}");
        assert!(!browser.is_signed_in().await, "{forge}");
        story.idp.says(|script| (script.token, script.claims) = (None, json!({})));
    }
    story.idp.says(|script| script.status = Some(StatusCode::BAD_REQUEST));
    assert_eq!(story.sign_in(&mut story.scene.browser()).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_provider_that_calls_itself_another_is_not_gone_to() {
    for metadata in [
        json!({ "issuer": "https://evil.example" }),
        json!({ "issuer": null }),
        json!({ "authorization_endpoint": "http://evil.example/authorize" }),
        json!({ "authorization_endpoint": "javascript:alert(1)" }),
        json!({ "token_endpoint": null }),
        json!({ "jwks_uri": null }),
    ] {
        let story = Story::new(|_| {}).await;
        story.idp.says(|script| script.metadata = metadata.clone());
        let page = story.scene.browser().get(BEGIN).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{metadata}");
    }
    let story = Story::new(|_| {}).await;
    assert_eq!(story.scene.browser().get("/sign-in/oidc/unknown").await.status, StatusCode::NOT_FOUND);
    let elsewhere = story.scene.browser().get("/sign-in/oidc/idp?return_to=%2F%2Fevil.example").await;
    assert_eq!(elsewhere.status, StatusCode::SEE_OTHER, "where it leads to afterwards is ours");
    // Inside is not fetched from, where the operator did not name it: `other` does not even resolve.
    assert_eq!(story.scene.browser().get("/sign-in/oidc/other").await.status, StatusCode::BAD_GATEWAY);
    assert!(ISSUER.starts_with("https://"));
}

#[tokio::test]
async fn whoever_asks_for_the_page_again_and_again_waits() {
    let story = Story::new(|_| {}).await;
    let mut browser = story.scene.browser();
    // What another site has a browser fetch counts for nobody, and keeps nothing.
    for says in [("sec-fetch-dest", "image"), ("sec-fetch-dest", "iframe"), ("sec-purpose", "prefetch")] {
        let mut embedded = Browser { says: vec![says], ..browser.clone() };
        for path in ["/sign-in", BEGIN].repeat(40) {
            let page = embedded.get(path).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{says:?}");
            assert!(!page.headers.contains_key(header::SET_COOKIE));
        }
    }
    // Where it sends a browser is counted apart.
    browser.at = Some("2001:db8:0:1::1".parse().unwrap());
    let mut sent = Browser { says: vec![("sec-fetch-site", "cross-site")], ..browser.clone() };
    for _ in 0..60 {
        assert_eq!(sent.get("/sign-in").await.status, StatusCode::OK);
    }
    assert_eq!(sent.get("/sign-in").await.status, StatusCode::TOO_MANY_REQUESTS);
    browser.says = vec![("sec-fetch-dest", "document")];
    // All addresses of one household are one.
    let mut last = StatusCode::OK;
    for host in 0..61 {
        browser.at = Some(format!("2001:db8:0:1::{host:x}").parse().unwrap());
        last = browser.get("/sign-in").await.status;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(browser.get(BEGIN).await.status, StatusCode::TOO_MANY_REQUESTS);
    let mut other = Browser { at: Some("2001:db8:0:2::1".parse().unwrap()), ..browser.clone() };
    assert_eq!(other.get("/sign-in").await.status, StatusCode::OK);
    story.scene.world.clock.advance(4);
    assert_eq!(browser.get("/sign-in").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_account_of_a_provider_gains_no_passkey() {
    // Not even one whose provider is believed to resist phishing.
    let story = Story::new(|rules| rules.acr = [("urn:gold".parse().unwrap(), "phr".parse().unwrap())].into()).await;
    let (ada, mut browser) = (story.provisioned("ada").await, story.scene.browser());
    let broker = &story.scene.world.broker;
    let (mut own, mut device) = (story.scene.browser(), Device::new(1));
    let link = story.scene.link(&ada).await;
    let page = own.get(&link).await;
    let answer = device.create(&page.options());
    let fields = [("ceremony", &*page.ceremony()), ("credential", &answer), ("name", "Laptop")];
    assert_eq!(own.post(&link, &fields).await.status, StatusCode::SEE_OTHER);
    assert_eq!(own.get("/account/passkeys/new").await.status, StatusCode::OK, "a one-time link is an operator's word");
    assert_eq!(own.sign_in(&mut device).await, StatusCode::SEE_OTHER);
    let page = own.get("/account/passkeys/new").await;
    assert_eq!(page.status, StatusCode::OK, "and a passkey is a proof of our own");
    let now = story.idp.now();
    story.idp.says(|script| script.claims = json!({ "acr": "urn:gold", "auth_time": now }));
    assert_eq!(story.sign_in(&mut browser).await.status, StatusCode::SEE_OTHER);
    let told = browser.get("/account/passkeys/new").await;
    assert_eq!(told.status, StatusCode::FORBIDDEN);
    assert!(told.text.contains("signed in with one") && told.text.contains("bailiwick users invite"), "{}", told.text);
    let account = browser.get("/account").await;
    let credential = URL_SAFE_NO_PAD.encode(&passkeys::of_user(broker, &ada).await.unwrap()[0].credential);
    let mut another = Device::new(2);
    let (ceremony, answer) = (page.ceremony(), another.create(&page.options()));
    let token = account.form_token();
    let fields = [("form_token", &*token), ("ceremony", &ceremony), ("credential", &answer), ("name", "Mine")];
    assert_eq!(browser.post("/account/passkeys", &fields).await.status, StatusCode::FORBIDDEN);
    let fields = [("form_token", &*token), ("passkey", &credential)];
    assert_eq!(browser.post("/account/passkeys/remove", &fields).await.status, StatusCode::FORBIDDEN);
    let kept = passkeys::of_user(broker, &ada).await.unwrap();
    assert_eq!(kept.iter().map(|passkey| passkey.name.as_str()).collect::<Vec<_>>(), ["Laptop"]);
}

#[tokio::test]
async fn who_becomes_an_administrator_is_led_to_by_no_match() {
    let story = Story::new(|_| {}).await;
    let broker = &story.scene.world.broker;
    let (ada, mut browser) = (story.provisioned("ada").await, story.scene.browser());
    assert_eq!(story.sign_in(&mut browser).await.status, StatusCode::SEE_OTHER);
    assert!(browser.is_signed_in().await);
    users::set_administrator(broker, &operator(), &ada, true).await.unwrap();
    assert!(!browser.is_signed_in().await, "nor is who signed in by it before");
    assert_eq!(story.sign_in(&mut browser).await.status, StatusCode::FORBIDDEN);
    assert!(broker.store().identities(&ada).await.unwrap().is_empty());
    // What an operator says of the same account is another matter, and stays.
    identities::add(broker, &operator(), &ada, &story.idp.issuer, "00u1").await.unwrap();
    let mut again = story.scene.browser();
    assert_eq!(story.sign_in(&mut again).await.status, StatusCode::SEE_OTHER);
    users::set_administrator(broker, &operator(), &ada, false).await.unwrap();
    users::set_administrator(broker, &operator(), &ada, true).await.unwrap();
    assert!(again.is_signed_in().await);
    identities::remove(broker, &operator(), &ada, &story.idp.issuer, "00u1").await.unwrap();
    assert!(!again.is_signed_in().await, "and ends with the account that an operator takes away");
    assert_eq!(story.sign_in(&mut again).await.status, StatusCode::FORBIDDEN);
    assert!(identities::remove(broker, &operator(), &ada, &story.idp.issuer, "00u1").await.is_err());
}

/// What a user allowed an agent in a session of one method.
fn granted(number: u8, user: &UserId, method: &str, now: jiff::Timestamp) -> Grant {
    let chain = vec![Principal::User(user.clone()), Principal::Agent("bot".parse().unwrap())];
    Grant {
        id: GrantId::from_bytes([number; 16]),
        kind: GrantKind::AuthorizationCode,
        chain: DelegationChain::new(chain).unwrap(),
        parent: None,
        subject: None,
        resources: [format!("{ISSUER}/mcp/files")].into(),
        scopes: ["files:read".parse().unwrap()].into(),
        details: None,
        task: None,
        authentication: Some(Authentication { at: now, methods: [method.to_owned()].into(), acr: None }),
        vouched: None,
        status: GrantStatus::Active,
        created_at: now,
        expires_at: now + jiff::SignedDuration::from_hours(1),
    }
}

#[tokio::test]
async fn what_was_granted_by_an_account_ends_with_it() {
    let story = Story::new(|_| {}).await;
    let broker = &story.scene.world.broker;
    let now = story.scene.world.clock.now();
    for (number, name) in [(1, "ada"), (3, "bob")] {
        let user = story.provisioned(name).await;
        story.idp.says(|script| {
            script.claims = json!({ "sub": name, "email": format!("{name}@example.com"), "preferred_username": name });
        });
        assert_eq!(story.sign_in(&mut story.scene.browser()).await.status, StatusCode::SEE_OTHER);
        let (theirs, own) = (granted(number, &user, "fed", now), granted(number + 1, &user, "hwk", now));
        for grant in [&theirs, &own] {
            grants::give(broker, &operator(), grant.clone(), Vec::new()).await.unwrap();
        }
        if name == "ada" {
            identities::remove(broker, &operator(), &user, &story.idp.issuer, name).await.unwrap();
        } else {
            users::set_administrator(broker, &operator(), &user, true).await.unwrap();
        }
        let live = broker.live();
        assert!(!live.grants.contains_key(&theirs.id), "{name}: given on the word of the provider");
        assert!(live.grants.contains_key(&own.id), "{name}: given on a passkey of their own");
        let kept = broker.store().grant(theirs.id).await.unwrap().unwrap();
        assert!(matches!(kept.status, GrantStatus::Ended { .. }), "{name}: {kept:?}");
    }
}

#[tokio::test]
async fn who_left_does_not_come_back_as_somebody_new() {
    let story = Story::new(|rules| rules.admission = Admission { create: true, authority: None }).await;
    let broker = &story.scene.world.broker;
    let mut browser = story.scene.browser();
    assert_eq!(story.sign_in(&mut browser).await.status, StatusCode::SEE_OTHER);
    let made = broker.live().users.values().find(|user| user.id.as_str().starts_with("usr-")).unwrap().id.clone();
    users::leave(broker, &operator(), &made, "gone").await.unwrap();
    let known = broker.live().users.size();
    let told = story.sign_in(&mut browser).await;
    assert_eq!(told.status, StatusCode::FORBIDDEN);
    assert!(told.text.contains("may not sign in here any more"), "{}", told.text);
    // Nor under another account of theirs, nor if they had never signed in, nor as the double of somebody who is there.
    story.idp.says(|script| script.claims = json!({ "sub": "00u2", "preferred_username": null }));
    assert!(story.sign_in(&mut browser).await.text.contains("may not sign in here any more"));
    let bob = story.provisioned("bob").await;
    story.idp.says(|script| {
        script.claims = json!({ "sub": "00bob", "preferred_username": "BOB", "email": "b@example.com" });
    });
    assert!(story.sign_in(&mut browser).await.text.contains("signs nobody in here"));
    users::leave(broker, &operator(), &bob, "gone").await.unwrap();
    assert!(story.sign_in(&mut browser).await.text.contains("may not sign in here any more"));
    story.idp.says(|script| script.claims = json!({ "sub": "00u-1", "preferred_username": "u-1", "email": null }));
    assert!(story.sign_in(&mut browser).await.text.contains("signs nobody in here"));
    assert_eq!(broker.live().users.size(), known + 1, "bob alone was added, by the directory");
    assert!(!browser.is_signed_in().await);
    // An operator may give the account of a leaver to whom they are now.
    story.idp.says(|script| script.claims = json!({}));
    let back = "u-back".parse().unwrap();
    users::add(broker, &operator(), "u-back".parse().unwrap(), "Ada", None, Default::default()).await.unwrap();
    identities::add(broker, &operator(), &back, &story.idp.issuer, "00u1").await.unwrap();
    assert_eq!(story.sign_in(&mut browser).await.status, StatusCode::SEE_OTHER);
    assert_eq!(broker.store().identities(&back).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_step_up_asks_the_provider_anew_and_checks_that_it_did() {
    let story = Story::new(|_| {}).await;
    story.provisioned("ada").await;
    let began = story.idp.now();
    for (authenticated_at, expected) in [
        (Value::Null, StatusCode::FORBIDDEN),
        (json!(began - 3_600), StatusCode::FORBIDDEN),
        (json!(began + 3_600), StatusCode::FORBIDDEN),
        (json!("now"), StatusCode::FORBIDDEN),
        (json!(began), StatusCode::SEE_OTHER),
    ] {
        let mut browser = story.scene.browser();
        let page = browser.get(&format!("{BEGIN}&step_up=1")).await;
        let url: Url = page.location().parse().unwrap();
        let asked: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!((&*asked["prompt"], &*asked["max_age"]), ("login", "0"));
        story.idp.says(|script| {
            script.nonce.clone_from(&asked["nonce"]);
            script.claims = json!({ "auth_time": authenticated_at });
        });
        let page = browser.get(&format!("{CALLBACK}?{}", story.answer(&asked, &[]))).await;
        assert_eq!(page.status, expected, "{authenticated_at}");
    }
    let asked = story.begin(&mut story.scene.browser()).await;
    assert!(!asked.contains_key("prompt") && !asked.contains_key("max_age"), "not where nothing asks for it");
}

#[tokio::test]
async fn a_provider_turns_its_keys_over_and_is_down_at_times() {
    let story = Story::new(|_| {}).await;
    story.provisioned("ada").await;
    assert_eq!(story.sign_in(&mut story.scene.browser()).await.status, StatusCode::SEE_OTHER);
    let before = std::mem::replace(&mut *story.idp.signs.lock().unwrap(), ForeignIssuer::new(&story.idp.issuer));
    assert_eq!(story.sign_in(&mut story.scene.browser()).await.status, StatusCode::SEE_OTHER, "by the new key at once");
    let mut browser = story.scene.browser();
    let asked = story.begin(&mut browser).await;
    let claims = json!({
        "iss": story.idp.issuer, "aud": CLIENT, "sub": "00u1", "iat": story.idp.now(), "exp": story.idp.now() + 300,
        "nonce": asked["nonce"],
    });
    story.idp.says(|script| script.token = Some(before.sign(&json!({}), &claims)));
    let page = browser.get(&format!("{CALLBACK}?{}", story.answer(&asked, &[]))).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "and by the old one no more");
    story.idp.says(|script| (script.token, script.status) = (None, Some(StatusCode::SERVICE_UNAVAILABLE)));
    let page = story.sign_in(&mut story.scene.browser()).await;
    assert_eq!(page.status, StatusCode::BAD_GATEWAY);
    // What it says of itself is asked for again after a while, and a failure is not kept.
    story.idp.says(|script| (script.status, script.down) = (None, Some(StatusCode::INTERNAL_SERVER_ERROR)));
    story.scene.world.clock.advance(301);
    let page = story.scene.browser().get(BEGIN).await;
    assert_eq!(page.status, StatusCode::BAD_GATEWAY);
    assert!(
        page.text.contains("cannot be reached now") && page.text.contains("sign in with a passkey"),
        "{}",
        page.text
    );
    assert_eq!(story.scene.browser().get("/sign-in").await.status, StatusCode::OK, "passkeys work all the same");
    story.idp.says(|script| script.down = None);
    story.idp.now.store(story.scene.world.clock.now().as_second(), Ordering::SeqCst);
    assert_eq!(story.sign_in(&mut story.scene.browser()).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn nothing_but_the_id_token_says_who_it_is_and_nothing_leads_away() {
    let story = Story::new(|_| {}).await;
    story.provisioned("ada").await;
    story.idp.says(|script| script.claims = json!({ "email": null, "email_verified": null }));
    assert_eq!(story.sign_in(&mut story.scene.browser()).await.status, StatusCode::FORBIDDEN);
    assert_eq!(story.idp.script.lock().unwrap().asked_about, 0, "what it would say beside the token is not asked");
    story.idp.says(|script| script.claims = json!({}));
    for (wish, place) in [
        ("%2F%2Fevil.example", "/account"),
        ("https%3A%2F%2Fevil.example", "/account"),
        ("%2F%5Cevil.example", "/account"),
        ("%2Faccount%3Fx%3D1", "/account?x=1"),
    ] {
        let mut browser = story.scene.browser();
        let page = browser.get(&format!("/sign-in/oidc/idp?return_to={wish}")).await;
        let url: Url = page.location().parse().unwrap();
        let asked: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        story.idp.says(|script| script.nonce.clone_from(&asked["nonce"]));
        let page = browser.get(&format!("{CALLBACK}?{}", story.answer(&asked, &[]))).await;
        assert_eq!((page.status, page.location()), (StatusCode::SEE_OTHER, place), "{wish}");
    }
    // What an ID token may be signed with is the operator's word, not the token's.
    let pinned = Story::new(|rules| rules.algorithms = vec![SigningAlgorithm::RS256]).await;
    pinned.provisioned("ada").await;
    assert_eq!(pinned.sign_in(&mut pinned.scene.browser()).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn groups_and_methods_of_a_provider_count_as_the_operator_says() {
    let story = Story::new(|rules| {
        rules.admission = Admission { create: true, authority: Some(Authority::UserName) };
        rules.require = BTreeMap::from([("tid".to_owned(), "t-1".to_owned())]);
        rules.amr = [("mfa".to_owned(), "gold".parse().unwrap())].into();
        let map = [("g-1", "sales"), ("g-2", "sales"), ("g-3", "audit"), ("root", ADMINISTRATORS)];
        let map = map.map(|(theirs, ours)| (theirs.to_owned(), ours.to_owned())).into();
        rules.groups = Some(GroupRules { claim: "groups".to_owned(), map });
    })
    .await;
    let broker = &story.scene.world.broker;
    let groups = |id: &UserId| broker.live().users[id].groups.iter().cloned().collect::<Vec<_>>();
    let mut made = None;
    for (says, expected) in [
        (json!({ "groups": ["g-2", "g-3", "root", "anything"] }), vec!["audit", "sales"]),
        (json!({ "groups": ["g-1"], "amr": ["pwd", "mfa"] }), vec!["sales", "team"]),
        (json!({ "groups": null, "amr": "mfa" }), vec!["team"]),
    ] {
        story.idp.says(|script| script.claims = says.clone());
        story.scene.world.clock.advance(2);
        assert_eq!(story.sign_in(&mut story.scene.browser()).await.status, StatusCode::SEE_OTHER, "{says}");
        let live = broker.live();
        let user = live.users.values().find(|user| user.id.as_str().starts_with("usr-")).unwrap();
        assert_eq!(groups(&user.id), expected, "{says}");
        let session = bailiwick_engine::sessions::of_user(broker, &user.id).await.unwrap().remove(0);
        let class = session.authentication.acr.map(|acr| acr.to_string());
        assert_eq!(class.as_deref(), says.get("amr").map(|_| "gold"), "{says}");
        if made.is_none() {
            // What an operator gave beside it stays.
            let all = ["audit", "sales", "team"].map(str::to_owned).into();
            users::set_groups(broker, &operator(), &user.id, all).await.unwrap();
        }
        made = Some(user.id.clone());
    }
    // Whoever lacks what is required has none of them either, whatever is said of groups besides.
    let made = made.unwrap();
    for (says, status, expected) in [
        (json!({ "groups": ["g-1"] }), StatusCode::SEE_OTHER, vec!["sales", "team"]),
        (json!({ "groups": ["g-1"], "tid": "t-2" }), StatusCode::FORBIDDEN, vec!["team"]),
    ] {
        story.idp.says(|script| script.claims = says.clone());
        assert_eq!(story.sign_in(&mut story.scene.browser()).await.status, status, "{says}");
        assert_eq!(groups(&made), expected, "{says}");
    }
    // Whom a directory provisioned has theirs from the directory.
    let bob = story.provisioned("bob").await;
    story.idp.says(|script| {
        script.claims = json!({ "sub": "00bob", "preferred_username": "bob", "email": null, "groups": ["g-1"] });
    });
    assert_eq!(story.sign_in(&mut story.scene.browser()).await.status, StatusCode::SEE_OTHER);
    assert!(groups(&bob).is_empty());
}

#[tokio::test]
async fn a_provider_makes_so_many_known_and_no_more() {
    let story = Story::new(|rules| rules.admission = Admission { create: true, authority: None }).await;
    let broker = &story.scene.world.broker;
    for number in broker.live().users.size()..DIRECTORY_USERS_MAX - 1 {
        story.provisioned(&format!("u{number}")).await;
    }
    for (subject, expected) in
        [("a", StatusCode::SEE_OTHER), ("b", StatusCode::FORBIDDEN), ("a", StatusCode::SEE_OTHER)]
    {
        story.idp.says(|script| {
            script.claims = json!({ "sub": subject, "email": null, "preferred_username": null });
        });
        assert_eq!(story.sign_in(&mut story.scene.browser()).await.status, expected, "{subject}");
    }
    assert_eq!(broker.live().users.size(), DIRECTORY_USERS_MAX);
}

#[tokio::test]
async fn another_site_begins_no_sign_in() {
    let story = Story::new(|_| {}).await;
    for (site, place) in [
        ("cross-site", "https://broker.test/sign-in?return_to=%2Faccount"),
        ("same-site", "https://broker.test/sign-in?return_to=%2Faccount"),
        ("same-origin", "/authorize?"),
        ("none", "/authorize?"),
    ] {
        let mut browser = Browser { says: vec![("sec-fetch-site", site)], ..story.scene.browser() };
        let page = browser.get(BEGIN).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER);
        assert!(page.location().contains(place), "{site}: {}", page.location());
    }
}
