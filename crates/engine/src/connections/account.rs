//! This broker as a client of a system's authorization server: proves who it is, asks, and seals what it gets.

use std::collections::BTreeSet;

use bailiwick_model::{
    connection::Connection,
    id::{ConnectionId, TokenId},
    name::Scope,
    secret::Secret,
};
use bailiwick_oauth::{
    client_assertion::ASSERTION_TYPE,
    foreign_grant::{self, GivenTokens, NotGiven},
};
use bailiwick_pdp::catalogue::{Accounts, ClientAuthentication, OauthClient};
use bailiwick_ports::{
    connections::{Answered, FormPosts},
    new_id,
    vault::VaultError,
};
use serde_json::{Value, json};

use crate::{broker::Broker, refusal::Refusal, secrets};

/// What a form holds.
pub(super) type Fields = Vec<(&'static str, Secret<String>)>;

/// A field that is no secret.
pub(super) fn plain(name: &'static str, value: &str) -> (&'static str, Secret<String>) {
    (name, Secret::new(value.to_owned()))
}

/// Why there are no tokens.
#[derive(Debug)]
pub(super) enum Failed {
    /// The server answered, and gave none.
    NotGiven(NotGiven),
    /// Nothing was asked, or no answer came. Says why, without a secret.
    NotAsked(String),
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotGiven(why) => why.fmt(f),
            Self::NotAsked(why) => f.write_str(why),
        }
    }
}

/// Asks the token endpoint.
pub(super) async fn ask(
    broker: &Broker,
    posts: &dyn FormPosts,
    client: &OauthClient,
    mut form: Fields,
) -> Result<GivenTokens, Failed> {
    if let Some(resource) = &client.resource {
        form.push(plain("resource", resource));
    }
    let answered = post(broker, posts, client, &client.token_endpoint, form).await.map_err(Failed::NotAsked)?;
    foreign_grant::read(answered.status, answered.body.expose()).map_err(Failed::NotGiven)
}

/// The same for a user's account. What is wider than `at_most` is not taken, and taken back; none of those is whatever the
/// server gives.
pub(super) async fn ask_for_user(
    broker: &Broker,
    posts: &dyn FormPosts,
    accounts: &Accounts,
    form: Fields,
    at_most: &BTreeSet<Scope>,
) -> Result<GivenTokens, Failed> {
    let given = ask(broker, posts, &accounts.client, form).await?;
    if is_wider(&given, at_most) {
        // What nobody asked for is not kept, and need not live.
        for token in [given.refresh.as_ref(), Some(&given.access)].into_iter().flatten() {
            drop(revoke(broker, posts, accounts, token).await);
        }
        return Err(WIDER);
    }
    Ok(given)
}

/// More was given than was asked for, or nothing that can be told.
pub(super) const WIDER: Failed =
    Failed::NotGiven(NotGiven::Unfit("it gives more than was asked for, or nothing of it"));

/// Whether a server gave more than it was asked for. An empty list says nothing, and is no bound for later.
pub(super) fn is_wider(given: &GivenTokens, at_most: &BTreeSet<Scope>) -> bool {
    !at_most.is_empty() && given.scopes.as_ref().is_some_and(|given| given.is_empty() || !given.is_subset(at_most))
}

/// Asks the server to take a token back (RFC 7009). `false` asks to try again later.
pub(super) async fn revoke(
    broker: &Broker,
    posts: &dyn FormPosts,
    accounts: &Accounts,
    token: &Secret<String>,
) -> Result<bool, String> {
    let Some(endpoint) = &accounts.revocation_endpoint else { return Ok(true) };
    let answered = post(broker, posts, &accounts.client, endpoint, vec![("token", token.clone())]).await?;
    Ok(foreign_grant::is_taken_back(answered.status, answered.body.expose()))
}

/// Posts a form as our client there.
async fn post(
    broker: &Broker,
    posts: &dyn FormPosts,
    client: &OauthClient,
    endpoint: &url::Url,
    mut form: Fields,
) -> Result<Answered, String> {
    let mut authorization = None;
    match &client.authentication {
        ClientAuthentication::None => form.push(plain("client_id", &client.client_id)),
        ClientAuthentication::SecretBasic(name) => {
            authorization = Some(foreign_grant::basic(&client.client_id, &secret(broker, name).await?));
        }
        ClientAuthentication::SecretPost(name) => {
            form.push(plain("client_id", &client.client_id));
            form.push(("client_secret", secret(broker, name).await?));
        }
        ClientAuthentication::PrivateKeyJwt => {
            form.push(plain("client_id", &client.client_id));
            form.push(plain("client_assertion_type", ASSERTION_TYPE));
            form.push(("client_assertion", assertion(broker, client)?));
        }
    }
    posts.post(endpoint, &form, authorization.as_ref()).await.map_err(|error| error.to_string())
}

async fn secret(broker: &Broker, name: &bailiwick_model::name::SecretName) -> Result<Secret<String>, String> {
    let opened = secrets::open_for_upstream(broker, name).await;
    let opened = opened.map_err(|_| format!("secret `{name}` is not to be had from the vault"))?;
    let text = std::str::from_utf8(opened.expose()).map_err(|_| format!("secret `{name}` is not text"))?;
    Ok(Secret::new(text.to_owned()))
}

/// Signed by our own token key, which the server finds at our `jwks_uri`. Its type is no access token's.
fn assertion(broker: &Broker, client: &OauthClient) -> Result<Secret<String>, String> {
    let (signer, now) = (broker.token_signer(), broker.now());
    let key = signer.current();
    let jti = new_id!(TokenId, now, broker.entropy()).to_string();
    let input = foreign_grant::assertion(&client.client_id, &client.issuer, &jti, &key, now);
    let signature = signer.sign_as(&key.kid, input.as_bytes()).map_err(|error| error.to_string())?;
    Ok(Secret::new(input.assemble(&signature)))
}

/// The tokens of a connection, in the clear.
pub(super) struct Tokens {
    pub(super) access: Secret<String>,
    pub(super) refresh: Option<Secret<String>>,
}

fn subject(connection: &Connection) -> String {
    format!("user:{}", connection.user)
}

/// Every connection and version is sealed for itself: what was copied to another row, or put back from an older one, does
/// not open.
fn purpose(connection: &Connection) -> String {
    format!("connected-account:{}:{}:{}:{}", connection.system, connection.id, connection.version, connection.binding)
}

/// Seals tokens for the connection as it stands, version included.
pub(super) async fn seal(broker: &Broker, connection: &mut Connection, tokens: &Tokens) -> Result<(), Refusal> {
    let refresh = tokens.refresh.as_ref().map(|token| token.expose().as_str());
    let text = Secret::new(json!({ "access": tokens.access.expose(), "refresh": refresh }).to_string());
    let purpose = purpose(connection);
    connection.sealed = broker.ports.vault.seal(&subject(connection), &purpose, text.expose().as_bytes()).await?;
    Ok(())
}

/// Why what was sealed is not had.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotOpened {
    /// The vault does not open it.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// It opens, and holds something else.
    #[error("connection `{0}` does not hold tokens")]
    Unfit(ConnectionId),
}

impl NotOpened {
    /// Whether it will not open later either: its key is gone, or it was altered.
    pub(super) const fn is_for_good(&self) -> bool {
        !matches!(self, Self::Vault(VaultError::Unavailable(_)))
    }
}

/// Opens what [`seal`] made.
pub(super) async fn open(broker: &Broker, connection: &Connection) -> Result<Tokens, NotOpened> {
    let opened = broker.ports.vault.open(&subject(connection), &purpose(connection), &connection.sealed).await?;
    let unfit = || NotOpened::Unfit(connection.id);
    let value: Value = serde_json::from_slice(opened.expose()).map_err(|_| unfit())?;
    let token = |name: &str| value.get(name).and_then(Value::as_str).map(|token| Secret::new(token.to_owned()));
    Ok(Tokens { access: token("access").ok_or_else(unfit)?, refresh: token("refresh") })
}
