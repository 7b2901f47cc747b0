//! `GET /api/v1/tokens`: a page of unexpired access tokens, the oldest first.

use axum::{Json, extract::State};
use bailiwick_engine::inventory;
use bailiwick_model::{
    id::{GrantId, TokenId},
    name::AgentName,
};
use bailiwick_web::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Shared, TokenView};
use crate::{extract::StrictQuery, openapi::Refusals};

/// Tokens of a page unless the query says otherwise.
const TOKENS_PER_PAGE: usize = 100;

/// Which tokens.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Only those of this client.
    #[param(value_type = Option<String>)]
    client: Option<AgentName>,
    /// Only those of this grant.
    #[param(value_type = Option<String>)]
    grant: Option<GrantId>,
    /// Only those after this one: the last of the page before.
    #[param(value_type = Option<String>)]
    after: Option<TokenId>,
    /// At most so many: 1 to 1000, 100 if left out.
    limit: Option<usize>,
}

/// A page of tokens, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "AccessTokens")]
pub(crate) struct Tokens {
    tokens: Vec<TokenView>,
}

/// Lists access tokens that have not expired.
#[utoipa::path(
    get,
    path = "/api/v1/tokens",
    tag = "tokens",
    params(Filter),
    responses((status = 200, body = Tokens), Refusals)
)]
pub(super) async fn list(
    State(admin): State<Shared>,
    StrictQuery(filter): StrictQuery<Filter>,
) -> Result<Json<Tokens>, Problem> {
    let Filter { client, grant, after, limit } = filter;
    let limit = limit.unwrap_or(TOKENS_PER_PAGE);
    let found = inventory::tokens(&admin.broker, client, grant, after, limit).await?;
    Ok(Json(Tokens { tokens: found.iter().map(|token| TokenView::of(token, &admin.broker)).collect() }))
}
