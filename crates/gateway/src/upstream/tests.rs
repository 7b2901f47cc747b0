//! What all tests of the upstream side share, and those of the permit itself.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bailiwick_engine::connections::NoToken;
use bailiwick_model::{
    name::SecretName,
    operation::{ActionClass, DeclaredEffect, Resource},
    principal::Principal,
    secret::Secret,
};
use bailiwick_pdp::catalogue::{OauthClient, Upstream};
use serde_json::{Value, json};

use super::*;

pub(super) const SECRET: &str = "s3cr3t-\"value\"";

/// Knows one secret, `files/api-key`, and can lose it.
pub(super) struct OneSecret(pub(super) std::sync::Mutex<String>);

#[async_trait]
impl Secrets for OneSecret {
    async fn reveal(&self, name: &SecretName) -> Result<Secret<String>, SecretUnavailable> {
        let value = self.0.lock().unwrap().clone();
        if name.as_str() == "files/api-key" && !value.is_empty() {
            Ok(Secret::new(value))
        } else {
            Err(SecretUnavailable("no such secret".into()))
        }
    }

    async fn own_token(
        &self,
        _: &SystemName,
        _: (&OauthClient, Digest),
        _: Option<&Secret<String>>,
    ) -> Result<Secret<String>, NoToken> {
        Err(NoToken::Unavailable)
    }

    async fn account_token(
        &self,
        _: &SystemName,
        _: &UserId,
        _: Option<&Secret<String>>,
    ) -> Result<Secret<String>, NoToken> {
        Err(NoToken::NotConnected)
    }
}

pub(super) fn system() -> SystemName {
    "files".parse().unwrap()
}

pub(super) fn pool_with(target: Target, limits: PoolLimits) -> Pool {
    let pool = Pool::new(Arc::new(OneSecret(std::sync::Mutex::new(SECRET.into()))), limits).unwrap();
    pool.configure([(system(), target)]);
    pool
}

pub(super) fn pool(target: Target) -> Pool {
    pool_with(target, PoolLimits::default())
}

/// The scripted server, with one declared variable and one secret.
pub(super) fn scripted(arguments: &[&str]) -> Target {
    let mut program: PathBuf = std::env::current_exe().unwrap();
    program.pop();
    program.pop();
    program.push("examples/scripted_server");
    assert!(program.exists(), "build the fixture first: cargo build -p bailiwick-gateway --example scripted_server");
    let upstream = Upstream::Stdio {
        command: program.to_str().unwrap().to_owned(),
        args: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        env: BTreeMap::from([("LOG".to_owned(), "1".to_owned())]),
        secret_env: BTreeMap::from([("API_KEY".to_owned(), "files/api-key".parse().unwrap())]),
        shared: false,
    };
    target(upstream)
}

pub(super) fn target(upstream: Upstream) -> Target {
    Target {
        upstream,
        call_timeout: Duration::from_secs(10),
        verify_every: Duration::from_secs(60),
        revision: None,
        directory: None,
        limits: ProcessLimits::default(),
    }
}

pub(super) fn shared(mut target: Target) -> Target {
    if let Upstream::Stdio { shared, .. } = &mut target.upstream {
        *shared = true;
    }
    target
}

pub(super) fn message(method: &str, params: &str) -> Forward {
    Forward {
        id: Id::parse("\"mine\"").unwrap(),
        method: method.to_owned(),
        params: Some(params.to_owned().into()),
        revision: Revision::V2025_11_25,
        client: ClientCapabilities::default(),
        headers: Vec::new(),
        definition: None,
    }
}

pub(super) fn tool(name: &str, arguments: Value) -> Forward {
    message("tools/call", &json!({ "name": name, "arguments": arguments }).to_string())
}

pub(super) async fn forward(pool: &Pool, message: Forward) -> Result<Reply, UpstreamError> {
    forward_as(pool, "agent:a", message).await
}

pub(super) async fn forward_as(pool: &Pool, holder: &str, message: Forward) -> Result<Reply, UpstreamError> {
    let system = system();
    let caller = CallerKey { holder: holder.to_owned(), user: None, capabilities: message.client.clone() };
    let forwarded = pool.forward(&system, &caller, message);
    tokio::time::timeout(Duration::from_secs(30), forwarded).await.expect("a forward never takes so long")
}

/// The result of a call that gives one at once.
pub(super) async fn result(pool: &Pool, message: Forward) -> Value {
    match forward(pool, message).await {
        Ok(Reply::Result(raw)) => serde_json::from_slice(&raw).unwrap(),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn failure(pool: &Pool, message: Forward) -> UpstreamError {
    forward(pool, message).await.expect_err("must fail")
}

pub(super) async fn stream(pool: &Pool, message: Forward) -> Exchange {
    match forward(pool, message).await {
        Ok(Reply::Stream(stream)) => stream,
        other => panic!("{other:?}"),
    }
}

/// Waits until something holds.
pub(super) async fn eventually<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    for _ in 0..200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it never held");
}

fn operation(action: &str) -> Operation {
    Operation {
        action: action.parse().unwrap(),
        class: ActionClass::Read,
        tags: Vec::new(),
        resource: Resource::System { system: system() },
        input: BTreeMap::new(),
        effect: DeclaredEffect::UNKNOWN,
        facts_touched: Vec::new(),
        facts_completed: Vec::new(),
        arguments: None,
    }
}

#[test]
fn only_the_very_call_that_was_permitted_passes() {
    let check = |action: &str, method: &str, params: &str| {
        matches_permit(&system(), &[operation(action)], &message(method, params)).is_ok()
    };
    assert!(check("files.read", "tools/call", r#"{"name":"read"}"#));
    assert!(check("files.read", "tools/call", r#"{"n\u0061me":"re\u0061d"}"#));
    assert!(check("files:resources/read", "resources/read", r#"{"uri":"a://b"}"#));
    assert!(check("files:resources/subscribe", "resources/unsubscribe", r#"{"uri":"a://b"}"#));
    for (action, method, params) in [
        ("files.read", "tools/call", r#"{"name":"delete"}"#),
        ("files.read", "tools/call", "{}"),
        ("files.read", "tools/call", r#"{"name":7}"#),
        ("files.read", "prompts/get", r#"{"name":"read"}"#),
        ("crm.read", "tools/call", r#"{"name":"read"}"#),
        ("files:resources/read", "prompts/get", "{}"),
        ("files:resources/read", "initialize", "{}"),
    ] {
        assert!(!check(action, method, params), "{action} {method} {params}");
    }
    let none = matches_permit(&system(), &[], &message("resources/read", "{}"));
    assert_eq!(none, Err(UpstreamError::NotPermitted));
    // What a mapping asks for behind the call's own operation is no permit to send it.
    let two = [operation("files.read"), operation("files.delete")];
    assert_eq!(matches_permit(&system(), &two, &tool("read", json!({}))), Ok(()));
    assert!(matches_permit(&system(), &two, &tool("delete", json!({}))).is_err());
}

#[test]
fn capabilities_have_one_spelling_and_a_bound() {
    let relayed = |raw: &str| ClientCapabilities::relayed(raw).0;
    assert_eq!(
        relayed(r#"{ "sampling": {}, "elicitation":{"url":{}}, "tasks":{}, "roots": true }"#),
        r#"{"elicitation":{"url":{}},"sampling":{}}"#
    );
    assert_eq!(relayed("nonsense"), "{}");
    assert_eq!(relayed(&json!({ "sampling": { "x": "y".repeat(CAPABILITIES_BYTES_MAX) } }).to_string()), "{}");
}

#[test]
fn a_holder_is_the_whole_chain() {
    let user = Principal::User("usr-1".parse().unwrap());
    let agent = Principal::Agent("a".parse().unwrap());
    let chain = DelegationChain::new(vec![user, agent.clone()]).unwrap();
    assert_eq!(holder(&chain), "user:usr-1 > agent:a");
    assert_ne!(holder(&chain), holder(&DelegationChain::of(agent)));
}
