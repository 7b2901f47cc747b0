//! `POST /api/v1/policy/suggest/{id}`: from one recorded denial to the narrowest grant that would turn it, or to why no
//! grant may. Opens sealed arguments, so it is recorded. Changes nothing.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use bailiwick_engine::suggest;
use bailiwick_model::{decision::Reason, id::EvaluationId};
use bailiwick_pdp::suggest::{Proposal, TaskProposal};
use bailiwick_web::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Shared, json,
    suggest::{ChangeView, LineView, files},
};
use crate::{Operator, extract::Named, openapi::Refusals};

/// What would turn a denial.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "GrantProposal")]
pub(crate) struct GrantProposal {
    /// What the active bundle says of the call now.
    #[schema(value_type = Vec<Object>)]
    reasons: Vec<serde_json::Value>,
    /// Those that no grant may turn; if there is one, nothing is proposed.
    #[schema(value_type = Vec<Object>)]
    stands: Vec<serde_json::Value>,
    /// Files that change.
    files: BTreeMap<String, ChangeView>,
    /// Permits of exactly this call, one for each agent that lacks one.
    lines: Vec<LineView>,
    /// A task to make, as `POST /api/v1/tasks` takes it once it has a `purpose`.
    #[schema(value_type = Option<Object>)]
    task: Option<serde_json::Value>,
    /// Scopes that the agent's token would need.
    scopes: Vec<String>,
    /// `allow`, `ask` or `deny`: what the decision would be with all of this in place.
    then: Option<String>,
}

/// Proposes a grant from a denial.
#[utoipa::path(
    post,
    path = "/api/v1/policy/suggest/{id}",
    tag = "policy",
    params(("id" = String, Path, description = "the denial's id: `eval_…`")),
    responses((status = 200, body = GrantProposal), Refusals)
)]
pub(super) async fn grant(
    State(admin): State<Shared>,
    operator: Operator,
    Named(id): Named<EvaluationId>,
) -> Result<Json<GrantProposal>, Problem> {
    let proposal = suggest::for_denial(&admin.broker, &operator.principal(), id).await?;
    let Proposal { reasons, stands, files: changed, lines, task, scopes, then } = proposal;
    let shown = |reasons: Vec<Reason>| json(reasons);
    let task = task.map(|TaskProposal { agent, tools }| serde_json::json!({"agent": agent, "tools": tools}));
    Ok(Json(GrantProposal {
        reasons: shown(reasons),
        stands: shown(stands),
        files: files(changed),
        lines: lines.into_iter().map(Into::into).collect(),
        task,
        scopes: scopes.iter().map(ToString::to_string).collect(),
        then: then.map(|decision| decision.as_str().to_owned()),
    }))
}
