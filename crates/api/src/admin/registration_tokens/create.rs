//! `POST /api/v1/registration-tokens`: lets so many clients register by themselves, on terms that are fixed now.

use axum::{Json, extract::State};
use bailiwick_engine::registration::{self, INITIAL_TOKEN_S};
use bailiwick_model::{
    agent::Environment,
    name::{AgentName, RoleName, SystemName},
    registration::Terms,
};
use bailiwick_web::{json::StrictJson, problem::Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{RegistrationTokenView, Shared};
use crate::{Operator, openapi::Refusals};

/// The terms of a new initial access token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "NewRegistrationToken")]
pub(crate) struct NewRegistrationToken {
    /// How the names of its clients begin; the rest is made by chance. 40 bytes at most.
    #[schema(value_type = String, example = "ci")]
    name_prefix: AgentName,
    /// Who answers for them.
    owner: String,
    /// What they are for.
    purpose: String,
    /// Where they run: `development`, `staging` or `production`.
    #[schema(value_type = String, example = "staging")]
    environment: Environment,
    /// A role of the active bundle.
    #[schema(value_type = String, example = "support")]
    role: RoleName,
    /// Systems that they may ask tokens for; empty means all that the role can reach.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    systems: Vec<SystemName>,
    /// Days that each of them lives: 1 to 366, 1 if left out.
    lifetime_days: Option<u32>,
    /// How many may register: 1 if left out.
    uses_max: Option<u64>,
    /// Seconds that the token is good: a day if left out.
    ttl_s: Option<u64>,
}

/// A new initial access token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "MadeRegistrationToken")]
pub(crate) struct Made {
    /// What clients present; told this once, and kept as a digest.
    token: String,
    #[serde(flatten)]
    about: RegistrationTokenView,
}

/// Makes an initial access token.
#[utoipa::path(
    post,
    path = "/api/v1/registration-tokens",
    tag = "agents",
    request_body = NewRegistrationToken,
    responses((status = 201, body = Made), Refusals)
)]
pub(super) async fn create(
    State(admin): State<Shared>,
    operator: Operator,
    StrictJson(body): StrictJson<NewRegistrationToken>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let NewRegistrationToken {
        name_prefix,
        owner,
        purpose,
        environment,
        role,
        systems,
        lifetime_days,
        uses_max,
        ttl_s,
    } = body;
    let lifetime_days = lifetime_days.unwrap_or(1);
    let terms = Terms { name_prefix, owner, purpose, environment, role, systems, lifetime_days };
    let (uses_max, ttl_s) = (uses_max.unwrap_or(1), ttl_s.unwrap_or(INITIAL_TOKEN_S));
    let made = registration::make_token(&admin.broker, &operator.principal(), terms, uses_max, ttl_s).await?;
    let (secret, token) = made;
    let made = Made { token: secret.expose().clone(), about: RegistrationTokenView::of(token) };
    Ok((StatusCode::CREATED, Json(made)))
}
