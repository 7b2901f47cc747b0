//! Credentials by which directories provision over SCIM. One endpoint per operation, small enough for one file.

use axum::{Json, extract::State};
use bailiwick_engine::directory;
use bailiwick_model::{directory::ProvisioningToken, name::WorkloadName};
use bailiwick_web::{json::StrictJson, problem::Problem};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Shared;
use crate::{Operator, extract::Named, openapi::Refusals};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

/// A credential, without its token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "ProvisioningToken")]
pub(crate) struct TokenView {
    /// Its name, which the evidence shows.
    name: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl TokenView {
    fn of(token: &ProvisioningToken) -> Self {
        let ProvisioningToken { name, token: _, created_at, expires_at } = token;
        Self { name: name.to_string(), created_at: *created_at, expires_at: *expires_at }
    }
}

/// Credentials.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "ProvisioningTokens")]
pub(crate) struct Tokens {
    tokens: Vec<TokenView>,
}

/// A credential to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "NewProvisioningToken")]
pub(crate) struct NewToken {
    /// Its name, which the evidence shows: lower-case letters, digits and `-`.
    #[schema(value_type = String)]
    name: WorkloadName,
    /// Days that it lives; 180 unless it says otherwise, 366 at most.
    days: Option<u16>,
}

/// A credential that was just made. The token is told here and nowhere else.
#[derive(Serialize, ToSchema)]
#[schema(title = "MadeProvisioningToken")]
pub(crate) struct MadeToken {
    #[serde(flatten)]
    kept: TokenView,
    /// What to give to the directory.
    token: String,
    /// Where the directory finds the interface.
    base_url: String,
}

/// Lists the credentials of directories.
#[utoipa::path(get, path = "/api/v1/scim/tokens", tag = "users", responses((status = 200, body = Tokens), Refusals))]
async fn list(State(admin): State<Shared>) -> Result<Json<Tokens>, Problem> {
    let tokens = directory::credentials(&admin.broker).await?;
    Ok(Json(Tokens { tokens: tokens.iter().map(TokenView::of).collect() }))
}

/// Makes a credential for a directory.
#[utoipa::path(
    post,
    path = "/api/v1/scim/tokens",
    tag = "users",
    request_body = NewToken,
    responses((status = 201, body = MadeToken), Refusals)
)]
async fn create(
    State(admin): State<Shared>,
    operator: Operator,
    StrictJson(NewToken { name, days }): StrictJson<NewToken>,
) -> Result<(StatusCode, Json<MadeToken>), Problem> {
    let made = directory::create_credential(&admin.broker, &operator.principal(), name, days).await?;
    let base_url = bailiwick_engine::tokens::Audience::Provisioning.resource(&admin.broker.settings().issuer);
    let made = MadeToken { kept: TokenView::of(&made.kept), token: made.token.expose().clone(), base_url };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Ends a credential at once.
#[utoipa::path(
    post,
    path = "/api/v1/scim/tokens/{name}/revoke",
    tag = "users",
    params(("name" = String, Path, description = "the credential's name")),
    responses((status = 204), Refusals)
)]
async fn revoke(
    State(admin): State<Shared>,
    operator: Operator,
    Named(name): Named<WorkloadName>,
) -> Result<StatusCode, Problem> {
    directory::revoke(&admin.broker, &operator.principal(), &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
