//! `POST /v1/data/bailiwick/authz`: the same question as an OPA client asks it (Open Policy Agent, REST API, Data). The
//! input is an AuthZEN evaluation; `…/allow` answers with a boolean alone.

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use bailiwick_model::limits::ARGUMENT_VALUES_MAX;
use bailiwick_pdp::authzen::{Evaluation, Misread, object};
use bailiwick_web::problem::Problem;
use serde_json::json;

use super::{
    AUTHZEN_BODY_BYTES_MAX, Authzen, Shared, message,
    question::{self, Answer},
};

/// The document: `allow`, without obligations, beside everything that AuthZEN's answer says.
pub(super) const DOCUMENT_PATH: &str = "/v1/data/bailiwick/authz";
/// The same `allow` alone.
pub(super) const ALLOW_PATH: &str = "/v1/data/bailiwick/authz/allow";

pub(super) async fn document(State(authzen): State<Shared>, message: Request) -> Response {
    answered(&authzen, message).await.map_or_else(
        |refused| refused,
        |answer| {
            // Who reads `allow` alone knows no obligations; the answer beside it tells of them.
            let (allow, decision_id) = (answer.is_allowed_without_more(), answer.id().to_owned());
            Json(json!({ "decision_id": decision_id, "result": { "allow": allow, "answer": answer } })).into_response()
        },
    )
}

pub(super) async fn allow(State(authzen): State<Shared>, message: Request) -> Response {
    answered(&authzen, message).await.map_or_else(
        |refused| refused,
        |answer| {
            Json(json!({ "decision_id": answer.id(), "result": answer.is_allowed_without_more() })).into_response()
        },
    )
}

async fn answered(authzen: &Authzen, message: Request) -> Result<Answer, Response> {
    let (parts, body) = message.into_parts();
    let caller = authzen.admit(&parts).await.map_err(|refused| refused.into_response())?;
    let of_problem = |problem: Problem| problem.into_response();
    let bytes = question::body(&parts, body, AUTHZEN_BODY_BYTES_MAX).await.map_err(of_problem)?;
    let asked = input(&bytes).map_err(of_problem)?;
    question::answer(authzen.entrance.broker(), &caller, &asked, caller.spent.clone()).await.map_err(of_problem)
}

/// Reads `{"input": <evaluation>}`.
fn input(bytes: &[u8]) -> Result<Evaluation, Problem> {
    let whole = message::members(bytes, ARGUMENT_VALUES_MAX)?;
    let input = object(&whole, "input").and_then(|input| input.ok_or_else(|| Misread::Missing("input".to_owned())));
    input.and_then(|input| Evaluation::of(input, None)).map_err(|misread| message::refused(&misread))
}
