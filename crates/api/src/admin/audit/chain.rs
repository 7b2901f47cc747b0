//! `GET /api/v1/audit/chains/{id}`: from one call back to whoever started it.

use axum::{
    Json,
    extract::{Path, State},
};
use bailiwick_engine::lineage::{self, Given, Hop, Lineage, Token};
use bailiwick_web::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use crate::openapi::Refusals;

/// A recorded call with everybody on whose authority it was made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Chain")]
pub(crate) struct ChainView {
    /// Its evaluation.
    id: String,
    /// What was attempted.
    action: String,
    /// What was decided.
    decision: Option<String>,
    /// When.
    at: String,
    /// The bundle that decided.
    bundle: Option<String>,
    /// Who made the call first, who started it all last.
    hops: Vec<HopView>,
}

/// One principal of the chain.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Hop")]
pub(crate) struct HopView {
    /// Who.
    principal: String,
    /// For whom; `null` is for itself.
    on_behalf_of: Option<String>,
    /// The token that the call was made with, or that handed the work over.
    token: Option<TokenView>,
    /// The grant that the token was issued from; `null` is an agent acting for itself.
    grant: Option<GivenView>,
}

/// A token as the evidence of its issue has it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "IssuedToken")]
pub(crate) struct TokenView {
    /// Its id.
    id: String,
    /// When it was issued; `null` is no evidence of it.
    issued_at: Option<String>,
    /// Its scopes.
    scopes: Vec<String>,
    /// The task that it is bound to.
    task: Option<String>,
    /// Whom it handed the work over to, if it did.
    handed_to: Option<String>,
}

/// A grant as the evidence of its giving has it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "GivenGrant")]
pub(crate) struct GivenView {
    /// Its id.
    id: String,
    /// How it came to be; `null` is no evidence of it.
    kind: Option<String>,
    /// When it was given.
    at: Option<String>,
    /// What of policy let the work be handed over, as of then.
    delegated_by: Option<String>,
    /// In which bundle.
    bundle: Option<String>,
}

impl From<Lineage> for ChainView {
    fn from(lineage: Lineage) -> Self {
        let Lineage { id, action, decision, at, bundle, hops } = lineage;
        let hops = hops.into_iter().map(HopView::from).collect();
        Self { id, action, decision, at: at.to_string(), bundle, hops }
    }
}

impl From<Hop> for HopView {
    fn from(hop: Hop) -> Self {
        let Hop { principal, on_behalf_of, token, grant } = hop;
        let token = token.map(|Token { id, issued_at, scopes, task, handed_to }| TokenView {
            id,
            issued_at: issued_at.map(|at| at.to_string()),
            scopes,
            task,
            handed_to,
        });
        let grant = grant.map(|Given { id, kind, at, delegated_by, bundle }| GivenView {
            id,
            kind,
            at: at.map(|at| at.to_string()),
            delegated_by,
            bundle,
        });
        Self { principal, on_behalf_of, token, grant }
    }
}

/// Shows on whose authority a call was made, hop by hop.
#[utoipa::path(
    get,
    path = "/api/v1/audit/chains/{id}",
    tag = "audit",
    params(("id" = String, Path, description = "the call's evaluation: `eval_…`")),
    responses((status = 200, body = ChainView), Refusals)
)]
pub(super) async fn chain(State(admin): State<Shared>, Path(id): Path<String>) -> Result<Json<ChainView>, Problem> {
    Ok(Json(lineage::of(&admin.broker, &id).await?.into()))
}
