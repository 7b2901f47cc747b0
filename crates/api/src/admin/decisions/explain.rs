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
    /// Whether the same question under the cited bundle gives the same decision now; absent without question or bundle.
    reproduced: Option<bool>,
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
    let history::Explained { evaluation, evaluated, reproduced } = explained;
    Ok(Json(Explanation {
        decision: evaluated.decision.as_str().to_owned(),
        question: evaluation.and_then(|question| serde_json::to_value(question).ok()),
        reproduced: reproduced.map(|again| again.decision == evaluated.decision),
        evaluated: serde_json::to_value(&evaluated).unwrap_or_default(),
    }))
}
