//! `POST /api/v1/explain/{id}`: why a recorded decision came out as it did, and whether it would again under the bundle
//! that it cites. Opens sealed values, so it is recorded, and it is no `GET`.

use axum::{Json, extract::State};
use bailiwick_engine::history;
use bailiwick_model::id::EvaluationId;
use bailiwick_web::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use crate::{Operator, extract::Named, openapi::Refusals};

/// A decision, opened.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Explanation")]
pub(crate) struct Explanation {
    /// `allow`, `ask` or `deny`.
    decision: String,
    /// What was asked; absent where the call was denied before there was a question.
    #[schema(value_type = Option<Object>)]
    question: Option<serde_json::Value>,
    /// What was answered.
    #[schema(value_type = Object)]
    evaluated: serde_json::Value,
    /// The bundle that decided, by its digest.
    bundle: String,
    /// The policies that came nearest to permitting it or stood in the way, and which of their conditions decided on
    /// which values.
    #[schema(value_type = Vec<Object>)]
    examined: serde_json::Value,
    /// Whether the same question under the cited bundle gives the same decision by the same policies now; absent without
    /// question or bundle, and where a budget, a used proof or a hook that cannot fulfil an obligation denied after policy
    /// had decided.
    reproduced: Option<bool>,
    /// That later reason.
    overruled_by: Option<String>,
    /// The bundle that is active now, where it is another one.
    active_bundle: Option<String>,
    /// What that one would decide on the same question.
    active_decision: Option<String>,
}

/// Explains a recorded decision.
#[utoipa::path(
    post,
    path = "/api/v1/explain/{id}",
    tag = "decisions",
    params(("id" = String, Path, description = "the evaluation's id: `eval_…`")),
    responses((status = 200, body = Explanation), Refusals)
)]
pub(super) async fn explain(
    State(admin): State<Shared>,
    operator: Operator,
    Named(id): Named<EvaluationId>,
) -> Result<Json<Explanation>, Problem> {
    let explained = history::explain(&admin.broker, &operator.principal(), &id.to_string()).await?;
    Ok(Json(Explanation {
        decision: explained.evaluated.decision.as_str().to_owned(),
        bundle: explained.evaluated.bundle.to_string(),
        examined: serde_json::to_value(explained.examined()).unwrap_or_default(),
        reproduced: explained.is_reproduced(),
        overruled_by: explained.overruled_by.map(|code| code.as_str().to_owned()),
        active_bundle: explained.today.as_ref().map(|today| today.bundle.to_string()),
        active_decision: explained.today.as_ref().map(|today| today.decision.as_str().to_owned()),
        evaluated: serde_json::to_value(&explained.evaluated).unwrap_or_default(),
        question: explained.evaluation.and_then(|question| serde_json::to_value(question).ok()),
    }))
}
