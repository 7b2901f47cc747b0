//! `POST /api/v1/agents/{name}/keys`: adds a key; both work until the older one is removed or expires.

use axum::{Json, extract::State};
use bailiwick_engine::agents;
use bailiwick_model::{agent::Authenticator, jwk::SigningAlgorithm, name::AgentName};
use bailiwick_web::{json::StrictJson, problem::Problem};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{AgentView, Shared, attestation, public_keys};
use crate::{Operator, extract::Named, openapi::Refusals};

/// A further key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "NewKey")]
pub(crate) struct NewKey {
    /// A public JWK, a JWK set of one key, or a public key in PEM.
    #[schema(value_type = Object)]
    key: serde_json::Value,
    /// What it signs by, where its form does not say it: `RS256` for an RSA key in PEM.
    #[schema(value_type = Option<String>, example = "RS256")]
    key_algorithm: Option<SigningAlgorithm>,
    /// What the maker of its device says of it: certificates in PEM, the one of this very key first.
    attestation: Option<String>,
}

/// Adds a key to an agent.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{name}/keys",
    tag = "agents",
    params(("name" = String, Path, description = "the agent's name")),
    request_body = NewKey,
    responses((status = 201, body = AgentView), Refusals)
)]
pub(super) async fn add_key(
    State(admin): State<Shared>,
    operator: Operator,
    Named(name): Named<AgentName>,
    StrictJson(body): StrictJson<NewKey>,
) -> Result<(StatusCode, Json<AgentView>), Problem> {
    let mut keys = public_keys(&body.key, body.key_algorithm)?.into_iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "key_count", "exactly one key can be added at a time"));
    };
    let attestation = body.attestation.as_deref().map(attestation).transpose()?;
    let (by, key) = (operator.principal(), Authenticator::Key(key));
    let agent = agents::add_attested(&admin.broker, &by, &name, key, attestation).await?;
    Ok((StatusCode::CREATED, Json(AgentView::of(&agent, &admin.broker))))
}
