//! The issuer's signing keys. One endpoint per operation, small enough for one file.

use axum::{Json, extract::State};
use bailiwick_engine::{broker::Broker, token_keys};
use bailiwick_model::jwk::PublicKey;
use bailiwick_ports::signer::TokenKeyState;
use bailiwick_web::{json::StrictJson, problem::Problem};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Shared;
use crate::{Operator, openapi::Refusals};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(rotate)).routes(routes!(replace))
}

/// A published key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "SigningKey")]
pub(crate) struct KeyView {
    /// Its `kid`, as in the header of what it signed.
    kid: String,
    /// `current` signs, `next` will, `retired` did and stays published until its last token has ended.
    #[schema(example = "current")]
    state: &'static str,
    /// Since when it is in that state.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
}

impl KeyView {
    fn of((key, state): &(PublicKey, TokenKeyState)) -> Self {
        let (state, since) = match *state {
            TokenKeyState::Next { since } => ("next", since),
            TokenKeyState::Current { since } => ("current", since),
            TokenKeyState::Retired { since } => ("retired", since),
        };
        Self { kid: key.kid.clone(), state, since }
    }
}

/// The published keys, the one that signs first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "SigningKeys")]
pub(crate) struct Keys {
    keys: Vec<KeyView>,
}

impl Keys {
    fn of(broker: &Broker) -> Json<Self> {
        Json(Self { keys: token_keys::list(broker).iter().map(KeyView::of).collect() })
    }
}

/// Why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "KeyChange")]
pub(crate) struct KeyChange {
    /// Why, in one line; required.
    #[serde(default)]
    reason: String,
}

/// Lists the keys that sign tokens, did, or will.
#[utoipa::path(get, path = "/api/v1/keys", tag = "keys", responses((status = 200, body = Keys), Refusals))]
async fn list(State(admin): State<Shared>) -> Json<Keys> {
    Keys::of(&admin.broker)
}

/// Publishes a next key now; it signs ten minutes later, and every token works on.
#[utoipa::path(
    post,
    path = "/api/v1/keys/rotate",
    tag = "keys",
    request_body = KeyChange,
    responses((status = 200, body = Keys), Refusals)
)]
async fn rotate(
    State(admin): State<Shared>,
    operator: Operator,
    StrictJson(KeyChange { reason }): StrictJson<KeyChange>,
) -> Result<Json<Keys>, Problem> {
    token_keys::rotate(&admin.broker, &operator.principal(), &reason).await?;
    Ok(Keys::of(&admin.broker))
}

/// After a compromise: a new key signs at once, the others are destroyed, and every token issued so far is refused.
#[utoipa::path(
    post,
    path = "/api/v1/keys/replace",
    tag = "keys",
    request_body = KeyChange,
    responses((status = 200, body = Keys), Refusals)
)]
async fn replace(
    State(admin): State<Shared>,
    operator: Operator,
    StrictJson(KeyChange { reason }): StrictJson<KeyChange>,
) -> Result<Json<Keys>, Problem> {
    token_keys::replace(&admin.broker, &operator.principal(), &reason).await?;
    Ok(Keys::of(&admin.broker))
}
