//! A server that holds its own users: it takes the token of one user at a time, keeps a session per token, and echoes what
//! it is sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use axum::{Router, body::Body, extract::State, http::HeaderMap, http::Method, http::Response, routing::any};
use bailiwick_engine::connections::NoToken;
use bailiwick_model::{
    digest::Digest,
    name::{SecretName, SystemName, UserId},
    principal::{DelegationChain, Principal},
    secret::Secret,
};
use bailiwick_pdp::catalogue::{
    Accounts, ClientAuthentication, HttpCredential, InjectedCredential, OauthClient, Upstream,
};
use serde_json::{Value, json};

use crate::upstream::{tests::*, *};

const OWN_LOOKS: &str = "service-key-for-looks";

/// What the server takes, and what it saw.
#[derive(Default)]
struct Server {
    /// Whose token each is that it takes.
    takes: Mutex<BTreeMap<String, String>>,
    /// Whose each session is.
    sessions: Mutex<BTreeMap<String, String>>,
    /// Of every call of a tool: the bearer token.
    calls: Mutex<Vec<String>>,
    /// Messages that came in a session of another account.
    mixed: Mutex<Vec<String>>,
}

async fn serve(State(server): State<Arc<Server>>, method: Method, headers: HeaderMap, body: String) -> Response<Body> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let respond = |status: u16, session: Option<&str>, body: String| {
        let response = Response::builder().status(status).header("content-type", "application/json");
        let response = session.into_iter().fold(response, |response, id| response.header("mcp-session-id", id));
        response.body(Body::from(body)).unwrap()
    };
    let token = header("authorization").trim_start_matches("Bearer ").to_owned();
    let account = server.takes.lock().unwrap().get(&token).cloned();
    let Some(account) = account else { return respond(401, None, String::new()) };
    if method != Method::POST {
        return respond(405, None, String::new());
    }
    let message: Value = serde_json::from_str(&body).unwrap();
    let session = header("mcp-session-id");
    if !session.is_empty() && server.sessions.lock().unwrap().get(&session) != Some(&account) {
        server.mixed.lock().unwrap().push(body);
        return respond(403, None, String::new());
    }
    let result = |session, result| {
        respond(200, session, json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string())
    };
    match message["method"].as_str().unwrap() {
        "initialize" => {
            let mut sessions = server.sessions.lock().unwrap();
            let id = format!("session-{}", sessions.len());
            sessions.insert(id.clone(), account);
            result(Some(&id), json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}}))
        }
        "notifications/initialized" => respond(202, None, String::new()),
        "tools/list" => result(None, json!({"tools": [{"name": "echo"}]})),
        "tools/call" => {
            server.calls.lock().unwrap().push(token.clone());
            result(None, json!({"account": account, "header": header("authorization")}))
        }
        _ => respond(
            404,
            None,
            json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": ""}}).to_string(),
        ),
    }
}

/// The vault's side: the token of each user, and what takes its place once it is refused.
#[derive(Default)]
struct Wallet {
    now: Mutex<BTreeMap<String, String>>,
    next: Mutex<BTreeMap<String, String>>,
    asked: Mutex<Vec<(String, Option<String>)>>,
    /// The broker's own tokens, each good until it is refused.
    own: Mutex<Vec<String>>,
    /// What the broker's own tokens were bound to.
    bound: Mutex<BTreeSet<Digest>>,
}

#[async_trait]
impl Secrets for Wallet {
    async fn reveal(&self, _: &SecretName) -> Result<Secret<String>, SecretUnavailable> {
        Ok(Secret::new(OWN_LOOKS.to_owned()))
    }

    async fn own_token(
        &self,
        system: &SystemName,
        (client, binding): (&OauthClient, Digest),
        refused: Option<&Secret<String>>,
    ) -> Result<Secret<String>, NoToken> {
        assert_eq!((system.as_str(), client.client_id.as_str()), ("files", "bailiwick"));
        self.bound.lock().unwrap().insert(binding);
        let mut own = self.own.lock().unwrap();
        if refused.is_some_and(|refused| own.first().is_some_and(|token| token == refused.expose())) {
            own.remove(0);
        }
        own.first().cloned().map(Secret::new).ok_or(NoToken::Unavailable)
    }

    async fn account_token(
        &self,
        system: &SystemName,
        user: &UserId,
        refused: Option<&Secret<String>>,
    ) -> Result<Secret<String>, NoToken> {
        assert_eq!(system.as_str(), "files");
        self.asked.lock().unwrap().push((user.to_string(), refused.map(|token| token.expose().clone())));
        let mut now = self.now.lock().unwrap();
        if refused.is_some() {
            let next = self.next.lock().unwrap().remove(user.as_str()).ok_or(NoToken::NotConnected)?;
            now.insert(user.to_string(), next);
        }
        now.get(user.as_str()).cloned().map(Secret::new).ok_or(NoToken::NotConnected)
    }
}

fn client() -> OauthClient {
    OauthClient {
        issuer: "https://login.test".to_owned(),
        token_endpoint: "https://login.test/token".parse().unwrap(),
        client_id: "bailiwick".to_owned(),
        authentication: ClientAuthentication::None,
        scopes: [].into(),
        resource: None,
    }
}

struct Scene {
    server: Arc<Server>,
    wallet: Arc<Wallet>,
    pool: Pool,
}

impl Scene {
    async fn new() -> Self {
        let accounts = Accounts {
            client: client(),
            authorization_endpoint: "https://login.test/authorize".parse().unwrap(),
            revocation_endpoint: None,
        };
        let header = InjectedCredential {
            header: "authorization".into(),
            prefix: "Bearer ".into(),
            secret: "files/looks".parse().unwrap(),
        };
        Self::with(HttpCredential::Header(header), Some(Box::new(accounts))).await
    }

    async fn with(credential: HttpCredential, accounts: Option<Box<Accounts>>) -> Self {
        let (server, wallet) = (Arc::new(Server::default()), Arc::new(Wallet::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: reqwest::Url = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
        let router = Router::new().route("/mcp", any(serve)).with_state(Arc::clone(&server));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let pool = Pool::new(Arc::clone(&wallet) as Arc<dyn Secrets>, PoolLimits::default()).unwrap();
        let upstream = Upstream::Http { url, credential: Some(credential), accounts };
        pool.configure([(system(), target(upstream))]);
        let scene = Self { server, wallet, pool };
        scene.takes(OWN_LOOKS, "nobody");
        scene
    }

    fn takes(&self, token: &str, account: &str) {
        self.server.takes.lock().unwrap().insert(token.to_owned(), account.to_owned());
    }

    fn connect(&self, user: &str, token: &str) {
        self.takes(token, user);
        self.wallet.now.lock().unwrap().insert(user.to_owned(), token.to_owned());
    }

    async fn call(&self, user: Option<&str>, agent: &str) -> Result<Value, UpstreamError> {
        let agent = Principal::Agent(agent.parse().unwrap());
        let chain = user.map(|user| Principal::User(user.parse().unwrap())).into_iter().chain([agent]).collect();
        let message = tool("echo", json!({}));
        let caller = CallerKey::new(&DelegationChain::new(chain).unwrap(), ClientCapabilities::default());
        match self.pool.forward(&system(), &caller, message).await? {
            Reply::Result(raw) => Ok(serde_json::from_slice(&raw).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    fn calls(&self) -> Vec<String> {
        self.server.calls.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_call_is_made_with_its_own_users_account_and_no_session_is_shared() {
    let scene = Scene::new().await;
    scene.connect("ada", "token-of-ada");
    scene.connect("bob", "token-of-bob");
    for (user, agent) in [("ada", "one"), ("bob", "one"), ("ada", "two"), ("ada", "one"), ("bob", "one")] {
        let told = scene.call(Some(user), agent).await.unwrap();
        assert_eq!((&told["account"], &told["header"]), (&json!(user), &json!("Bearer ****")), "echoed, and masked");
    }
    let of = |user: &str| format!("token-of-{user}");
    assert_eq!(scene.calls(), ["ada", "bob", "ada", "ada", "bob"].map(of));
    assert_eq!(*scene.server.mixed.lock().unwrap(), Vec::<String>::new());
    let sessions = scene.server.sessions.lock().unwrap();
    // One per chain, and one of the broker's own looks, with which nobody calls.
    let owned = |account: &str| sessions.values().filter(|owner| *owner == account).count();
    assert_eq!((owned("ada"), owned("bob")), (2, 1));
}

#[tokio::test]
async fn without_an_account_nothing_is_sent_in_any_name() {
    let scene = Scene::new().await;
    scene.connect("ada", "token-of-ada");
    assert_eq!(scene.call(Some("bob"), "one").await, Err(UpstreamError::NotConnected));
    assert_eq!(scene.call(None, "one").await, Err(UpstreamError::NoUser));
    assert_eq!(scene.calls(), Vec::<String>::new(), "neither with ada's nor with the broker's own");
    assert!(!UpstreamError::NotConnected.reached_upstream() && !UpstreamError::NoUser.reached_upstream());
    scene.call(Some("ada"), "one").await.unwrap();
    scene.wallet.now.lock().unwrap().remove("ada");
    assert_eq!(scene.call(Some("ada"), "one").await, Err(UpstreamError::NotConnected), "though its session is open");
    assert_eq!(scene.calls().len(), 1);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_then_its_user_connects_again() {
    let scene = Scene::new().await;
    scene.connect("ada", "first-token");
    scene.call(Some("ada"), "one").await.unwrap();
    scene.server.takes.lock().unwrap().remove("first-token");
    scene.wallet.next.lock().unwrap().insert("ada".to_owned(), "second-token".to_owned());
    scene.takes("second-token", "ada");
    scene.call(Some("ada"), "one").await.unwrap();
    assert_eq!(scene.calls(), ["first-token", "second-token"]);
    let asked = |refused: Option<&str>| ("ada".to_owned(), refused.map(str::to_owned));
    assert_eq!(*scene.wallet.asked.lock().unwrap(), [asked(None), asked(None), asked(Some("first-token"))]);
    // The next one is refused as well, and so is whoever comes with it.
    scene.server.takes.lock().unwrap().remove("second-token");
    scene.wallet.next.lock().unwrap().insert("ada".to_owned(), "third-token".to_owned());
    assert_eq!(scene.call(Some("ada"), "one").await, Err(UpstreamError::NotConnected));
    assert_eq!(scene.calls().len(), 2);
}

#[tokio::test]
async fn a_renewed_token_goes_on_in_the_session_and_neither_is_told() {
    let scene = Scene::new().await;
    scene.connect("ada", "first-token");
    scene.call(Some("ada"), "one").await.unwrap();
    scene.connect("ada", "second-token");
    assert_eq!(scene.call(Some("ada"), "one").await.unwrap()["header"], "Bearer ****");
    assert_eq!(scene.calls(), ["first-token", "second-token"]);
    let sessions = scene.server.sessions.lock().unwrap().values().filter(|owner| *owner == "ada").count();
    assert_eq!(sessions, 1, "the session goes on");
    scene.pool.close_user(&"ada".parse().unwrap(), Some(&system()));
    scene.call(Some("ada"), "one").await.unwrap();
    let sessions = scene.server.sessions.lock().unwrap().values().filter(|owner| *owner == "ada").count();
    assert_eq!(sessions, 2, "a closed one does not");
}

#[tokio::test]
async fn a_system_without_users_is_called_with_the_brokers_own_token_which_is_renewed() {
    let scene = Scene::with(HttpCredential::Token(Box::new(client())), None).await;
    assert_eq!(scene.call(None, "one").await, Err(UpstreamError::NotRenewed), "none is to be had");
    *scene.wallet.own.lock().unwrap() = ["own-first", "own-second", "own-third"].map(str::to_owned).to_vec();
    scene.takes("own-first", "broker");
    assert_eq!(scene.call(None, "one").await.unwrap()["header"], "Bearer ****");
    assert_eq!(scene.call(Some("ada"), "one").await.unwrap()["account"], "broker", "users have no accounts there");
    scene.server.takes.lock().unwrap().remove("own-first");
    scene.takes("own-second", "broker");
    scene.call(None, "one").await.unwrap();
    scene.server.takes.lock().unwrap().remove("own-second");
    assert_eq!(scene.call(None, "one").await, Err(UpstreamError::CredentialRefused(401)), "renewed once, and no more");
    assert_eq!(scene.calls(), ["own-first", "own-first", "own-second"]);
}

#[tokio::test]
async fn what_a_proposal_was_tried_out_with_is_not_what_the_system_is_called_with() {
    let scene = Scene::with(HttpCredential::Token(Box::new(client())), None).await;
    *scene.wallet.own.lock().unwrap() = vec!["own-first".to_owned()];
    scene.takes("own-first", "broker");
    scene.call(None, "one").await.unwrap();
    assert_eq!(scene.wallet.bound.lock().unwrap().len(), 1);
    let same = scene.pool.inner.system(&system()).unwrap().target.clone();
    // Whether it offers anything is not what is asked here.
    drop(scene.pool.try_out(&system(), same).await);
    assert_eq!(scene.wallet.bound.lock().unwrap().len(), 2, "the very same, and a token of its own");
}

#[tokio::test]
async fn where_there_are_accounts_the_brokers_own_token_is_for_looks_alone() {
    let accounts = Accounts {
        client: client(),
        authorization_endpoint: "https://login.test/authorize".parse().unwrap(),
        revocation_endpoint: None,
    };
    let scene = Scene::with(HttpCredential::Token(Box::new(client())), Some(Box::new(accounts))).await;
    *scene.wallet.own.lock().unwrap() = vec!["own-first".to_owned()];
    scene.takes("own-first", "broker");
    assert_eq!(scene.call(None, "one").await, Err(UpstreamError::NoUser));
    assert_eq!(scene.call(Some("ada"), "one").await, Err(UpstreamError::NotConnected));
    scene.connect("ada", "token-of-ada");
    assert_eq!(scene.call(Some("ada"), "one").await.unwrap()["account"], "ada");
    assert_eq!(scene.calls(), ["token-of-ada"]);
    let sessions = scene.server.sessions.lock().unwrap();
    assert!(sessions.values().any(|owner| owner == "broker"), "it looked");
}
