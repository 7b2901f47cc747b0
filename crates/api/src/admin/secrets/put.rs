//! `PUT /api/v1/secrets/{system}/{name}`: seals an upstream credential into the vault.

use axum::extract::{Path, State};
use bailiwick_engine::secrets;
use bailiwick_model::secret::Secret;
use bailiwick_web::{json::StrictJson, problem::Problem};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Shared, named};
use crate::{Operator, extract::parsed, openapi::Refusals};

/// A credential.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "SecretValue")]
pub(crate) struct SecretValue {
    /// The value itself: one line.
    #[schema(format = Password)]
    value: String,
}

/// Keeps a credential; replaces one of the same name.
#[utoipa::path(
    put,
    path = "/api/v1/secrets/{system}/{name}",
    tag = "secrets",
    params(
        ("system" = String, Path, description = "the system that it is for"),
        ("name" = String, Path, description = "its name within the system"),
    ),
    request_body = SecretValue,
    responses((status = 204), Refusals)
)]
pub(super) async fn put(
    State(admin): State<Shared>,
    operator: Operator,
    Path((system, name)): Path<(String, String)>,
    StrictJson(body): StrictJson<SecretValue>,
) -> Result<StatusCode, Problem> {
    let value = Secret::new(body.value.into_bytes());
    secrets::put(&admin.broker, &operator.principal(), named(&system, &name)?, &value).await?;
    admin.upstreams.secret_changed(&parsed(&system)?);
    Ok(StatusCode::NO_CONTENT)
}
