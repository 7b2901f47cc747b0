//! Access tokens that were issued and have not expired. One file per endpoint; this one holds what they share. No token
//! itself is here, nor anywhere else.

use bailiwick_engine::{broker::Broker, inventory};
use bailiwick_ports::{store::IssuedToken, token_rows::ListedToken};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Shared;

mod list;
mod revoke;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list::list)).routes(routes!(revoke::revoke))
}

/// An access token, by its identifiers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "AccessToken")]
pub(super) struct TokenView {
    /// Its `jti`: `tok_…`.
    id: String,
    /// Its client.
    client: String,
    /// Why it was issued: the kind of its grant, `client_credentials` where its client acts for itself.
    #[schema(example = "client_credentials")]
    reason: String,
    /// The grant that it was issued from.
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<String>,
    /// What it is for.
    audience: String,
    /// The task that it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    /// The key that it is bound to; none is a bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmation: Option<String>,
    /// The key that its client asked for it with.
    credential: String,
    /// `active`, `revoked`, or `ended` with its grant, task or agent.
    state: String,
    /// When it was issued.
    #[schema(value_type = String, format = DateTime)]
    issued_at: Timestamp,
    /// When it ends by itself.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl TokenView {
    fn of(listed: &ListedToken, broker: &Broker) -> Self {
        let ListedToken { token, kind, revoked } = listed;
        let IssuedToken { id, client, audience, grant, task, confirmation, credential, issued_at, expires_at } = token;
        let state = match (revoked, inventory::stands(broker, listed)) {
            (true, _) => "revoked",
            (false, true) => "active",
            (false, false) => "ended",
        };
        Self {
            id: id.to_string(),
            client: client.to_string(),
            reason: kind.map_or("client_credentials", |kind| kind.as_str()).to_owned(),
            grant: grant.map(|grant| grant.to_string()),
            audience: audience.clone(),
            task: task.map(|task| task.to_string()),
            confirmation: confirmation.map(|key| key.to_string()),
            credential: credential.to_string(),
            state: state.to_owned(),
            issued_at: *issued_at,
            expires_at: *expires_at,
        }
    }
}
