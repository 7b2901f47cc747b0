//! `POST /api/v1/tokens/{id}/revoke`: ends one access token, on the very next call.

use axum::{Json, extract::State};
use bailiwick_engine::inventory;
use bailiwick_model::id::TokenId;
use bailiwick_web::problem::Problem;

use super::{Shared, TokenView};
use crate::{Operator, extract::Named, openapi::Refusals};

/// Revokes an access token.
#[utoipa::path(
    post,
    path = "/api/v1/tokens/{id}/revoke",
    tag = "tokens",
    params(("id" = String, Path, description = "the token's `jti`")),
    responses((status = 200, body = TokenView), Refusals)
)]
pub(super) async fn revoke(
    State(admin): State<Shared>,
    operator: Operator,
    Named(id): Named<TokenId>,
) -> Result<Json<TokenView>, Problem> {
    let token = inventory::revoke_token(&admin.broker, &operator.principal(), id).await?;
    Ok(Json(TokenView::of(&token, &admin.broker)))
}
