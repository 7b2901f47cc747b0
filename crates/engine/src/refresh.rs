//! Refresh tokens: access is renewed while its grant lasts, without asking its user again. Each is good once; who presents
//! one a second time has a copy, so its grant ends. The store knows digests alone.

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    confirmation::Confirmation,
    digest::Digest,
    grant::{Grant, GrantKind},
    id::GrantId,
    jwk::Thumbprint,
    name::{AgentName, Scope},
    principal::Principal,
    secret::Secret,
};
use bailiwick_oauth::authorization_details::AuthorizationDetails;
use bailiwick_ports::{
    chance::random,
    store::{Spent, StoreError},
    token_rows::{RefreshToken, Rotation},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use std::{collections::BTreeSet, sync::Arc};

use crate::{
    broker::Broker,
    evidence::Draft,
    grants,
    tokens::{self, Audience, Issued, TokenAsk, TokenRefusal},
};

/// What each begins with, so that a scanner for lost secrets knows it.
pub const PREFIX: &str = "bwr_";
/// Random bytes of each.
const RANDOM_BYTES: usize = 32;
/// Why a grant ended whose refresh token came a second time.
const REUSED: &str = "a refresh token was used again";

/// A client wants to renew its access. It is authenticated and its proof is verified.
#[derive(Debug)]
pub struct RefreshAsk {
    /// The client.
    pub agent: AgentName,
    /// The credential that authenticated it.
    pub credential: Thumbprint,
    /// What it presents.
    pub refresh_token: Secret<String>,
    /// What the access token is for; `None` is the one resource of the grant.
    pub audience: Option<Audience>,
    /// The scopes asked for, at most those granted; `None` is all of them.
    pub scopes: Option<BTreeSet<Scope>>,
    /// The tools and arguments asked for, at most those granted; `None` is all of them.
    pub details: Option<AuthorizationDetails>,
    /// What was proved: a key, or the certificate of the connection.
    pub confirmation: Option<Confirmation>,
    /// The assertion's and the proof's identifiers.
    pub spent: Vec<Spent>,
}

/// Why access was not renewed.
#[derive(Debug, thiserror::Error)]
pub enum NotRenewed {
    /// It was refused; a refresh token that still stands was not used up.
    #[error(transparent)]
    Refused(#[from] TokenRefusal),
    /// It was used before: its grant has ended with all that came from it.
    #[error("the refresh token was used before, so everything that was issued from its grant has ended")]
    Reused,
}

/// Whether a grant of this kind comes with a refresh token: only one that a user agreed to, whom it would be a burden to
/// ask again. Whoever can ask anew by itself does (RFC 6749 §4.4.3).
pub const fn comes_with(kind: GrantKind) -> bool {
    match kind {
        GrantKind::AuthorizationCode | GrantKind::DeviceCode | GrantKind::Ciba => true,
        GrantKind::TokenExchange | GrantKind::JwtBearer => false,
    }
}

/// Gives the first refresh token of a grant, bound to its client and to the key that was proved, if one was. A grant has
/// one line of them.
pub async fn first(
    broker: &Broker,
    grant: &Grant,
    confirmation: Option<Confirmation>,
) -> Result<Secret<String>, TokenRefusal> {
    if !comes_with(grant.kind) {
        return Err(TokenRefusal::Grant("no refresh token comes with this kind of grant".to_owned()));
    }
    let (secret, row) = make(broker, grant, 0, confirmation, broker.now());
    let entry = Draft::event(broker, EventKind::GrantChanged)
        .field("change", "refresh token given")
        .field("grant", grant.id.to_string())
        .field_if("agent", grant.client().map(ToString::to_string))
        .field_if("confirmation", confirmation.map(|key| key.to_string()))
        .public(broker);
    match broker.store().first_refresh_token(row, entry).await {
        Ok(_) => Ok(secret),
        Err(StoreError::Missing(_)) => Err(ended()),
        Err(error) => Err(TokenRefusal::Unavailable(error.to_string())),
    }
}

/// Renews access: an access token, and the refresh token that takes the place of the one presented.
pub async fn renew(broker: &Broker, ask: RefreshAsk) -> Result<(Issued, Secret<String>), NotRenewed> {
    let (row, grant) = presented(broker, &ask).await?;
    // Whoever took it without the key gets nothing, and takes nothing from its owner.
    if let Some(bound) = row.confirmation
        && ask.confirmation != Some(bound)
    {
        return Err(other_holder(bound).into());
    }
    if row.used_at.is_some() {
        return Err(reused(broker, &ask.agent, grant.id, ask.spent).await);
    }
    let audience = ask.audience.or_else(|| sole_audience(broker, &grant)).ok_or_else(|| {
        TokenRefusal::Target("`resource` is missing, and the grant is for several\nhint: name one of them".to_owned())
    })?;
    let (secret, next) = make(broker, &grant, row.number + 1, row.confirmation, broker.now());
    let used = row.digest.to_string();
    let rotation = Rotation { used: row.digest, next };
    let token = TokenAsk {
        agent: ask.agent.clone(),
        credential: ask.credential,
        grant: Some(grant.id),
        audience,
        scopes: ask.scopes,
        details: ask.details,
        task: None,
        confirmation: ask.confirmation,
        spent: ask.spent.clone(),
    };
    let prepared = tokens::prepare(broker, token, Some(rotation.next.number)).await?;
    let (row, spent, entry) = (prepared.row.clone(), prepared.spent.clone(), prepared.entry.clone());
    match broker.store().rotate_refresh_token(rotation, row, spent, entry).await {
        Ok(_) => Ok((prepared.issued(broker), secret)),
        // Two came at once: one of them is a copy.
        Err(StoreError::Conflict(digest)) if digest == used => {
            Err(reused(broker, &ask.agent, grant.id, ask.spent).await)
        }
        Err(StoreError::Missing(_)) => Err(ended().into()),
        Err(error) => Err(tokens::not_written(error).into()),
    }
}

/// The refresh token that somebody holds; `None` if it is none of ours.
pub(crate) async fn find(broker: &Broker, presented: &Secret<String>) -> Result<Option<RefreshToken>, StoreError> {
    match digest(presented.expose()) {
        Some(digest) => broker.store().refresh_token(digest).await,
        None => Ok(None),
    }
}

/// The refresh token that was presented, with its active grant, which is the caller's own.
async fn presented(broker: &Broker, ask: &RefreshAsk) -> Result<(RefreshToken, Arc<Grant>), TokenRefusal> {
    let row = find(broker, &ask.refresh_token).await.map_err(|error| TokenRefusal::Unavailable(error.to_string()))?;
    let row = row.ok_or_else(ended)?;
    let grant = broker.live().grants.get(&row.grant).cloned().ok_or_else(ended)?;
    match grant.client() == Some(&ask.agent) {
        true => Ok((row, grant)),
        false => Err(ended()),
    }
}

/// A copy is about: nobody can tell who holds it, so nobody may go on with it. A message that merely came twice is no copy:
/// its assertion was used before.
async fn reused(broker: &Broker, client: &AgentName, grant: GrantId, spent: Vec<Spent>) -> NotRenewed {
    let entry = Draft::event(broker, EventKind::GrantChanged)
        .field("change", "refresh token used again")
        .field("grant", grant.to_string())
        .field("agent", client.as_str())
        .public(broker);
    if let Err(error) = broker.store().append(entry, spent).await {
        return tokens::not_written(error).into();
    }
    let _changing = broker.changing().await;
    let by = Principal::Agent(client.clone());
    match grants::end_those(broker, &by, REUSED, |one| one.id == grant).await {
        Ok(_) => NotRenewed::Reused,
        Err(refusal) => TokenRefusal::Unavailable(refusal.to_string()).into(),
    }
}

fn make(
    broker: &Broker,
    grant: &Grant,
    number: u64,
    confirmation: Option<Confirmation>,
    now: Timestamp,
) -> (Secret<String>, RefreshToken) {
    let bytes = Secret::new(random::<RANDOM_BYTES>(broker.entropy()));
    let text = Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes.expose())));
    let row = RefreshToken {
        digest: Digest::of(text.expose().as_bytes()),
        grant: grant.id,
        number,
        confirmation,
        issued_at: now,
        used_at: None,
        expires_at: grant.expires_at,
    };
    (text, row)
}

/// The digest of what has the form of a refresh token.
fn digest(text: &str) -> Option<Digest> {
    let encoded = text.strip_prefix(PREFIX)?;
    let decoded = Secret::new(URL_SAFE_NO_PAD.decode(encoded).ok()?);
    (decoded.expose().len() == RANDOM_BYTES).then(|| Digest::of(text.as_bytes()))
}

fn sole_audience(broker: &Broker, grant: &Grant) -> Option<Audience> {
    let resource = grant.resources.first().filter(|_| grant.resources.len() == 1)?;
    Audience::of_resource(&broker.settings().issuer, resource)
}

/// Whoever presents it does not prove what it is bound to.
fn other_holder(bound: Confirmation) -> TokenRefusal {
    match bound {
        Confirmation::Key(_) => TokenRefusal::Proof(
            "the refresh token is bound to a key\nhint: send a DPoP proof by the key that it was given with".to_owned(),
        ),
        Confirmation::Certificate(_) => TokenRefusal::Grant(
            "the refresh token is bound to a certificate\nhint: use a connection with the certificate that it was given on"
                .to_owned(),
        ),
    }
}

/// One answer for what never was, what is another's and what has ended.
fn ended() -> TokenRefusal {
    TokenRefusal::Grant("the refresh token is none of this client's, or its grant has ended".to_owned())
}
