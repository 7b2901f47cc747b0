//! Initial access tokens: on which terms clients may register by themselves. One file per endpoint; this one holds what
//! they share.

use bailiwick_model::registration::{RegistrationToken, Terms};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Shared;

mod create;
mod list;
mod remove;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list::list, create::create)).routes(routes!(remove::remove))
}

/// An initial access token, without what it opens.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "RegistrationToken")]
pub(super) struct RegistrationTokenView {
    /// Its id, which opens nothing.
    id: String,
    /// How the names of its clients begin.
    name_prefix: String,
    /// Who answers for them.
    owner: String,
    /// What they are for.
    purpose: String,
    /// Where they run.
    environment: String,
    /// Their role.
    role: String,
    /// Systems that they may ask tokens for; empty means all that the role can reach.
    systems: Vec<String>,
    /// Days that each of them lives.
    lifetime_days: u32,
    /// How many registered by it.
    uses: u64,
    /// How many may.
    uses_max: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// From when on it is refused.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl RegistrationTokenView {
    fn of(token: RegistrationToken) -> Self {
        let RegistrationToken { id, digest: _, terms, uses, uses_max, created_at, expires_at } = token;
        let Terms { name_prefix, owner, purpose, environment, role, systems, lifetime_days } = terms;
        Self {
            id: id.to_string(),
            name_prefix: name_prefix.to_string(),
            owner,
            purpose,
            environment: environment.to_string(),
            role: role.to_string(),
            systems: systems.iter().map(ToString::to_string).collect(),
            lifetime_days,
            uses,
            uses_max,
            created_at,
            expires_at,
        }
    }
}
