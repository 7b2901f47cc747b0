//! `POST /access/v1/evaluations`: several decisions in one message (AuthZEN 1.0 §7), with defaults and the three ways
//! to stop early. One that cannot be read is denied alone.

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use bailiwick_engine::caller::Caller;
use bailiwick_web::problem::Problem;

use super::{
    AUTHZEN_BODY_BYTES_MAX, Authzen, Shared,
    message::{Evaluations, Semantic},
    question::{self, Answer},
};

fn stops(semantic: Semantic, answer: &Answer) -> bool {
    match semantic {
        Semantic::ExecuteAll => false,
        Semantic::DenyOnFirstDeny => !answer.is_allowed(),
        Semantic::PermitOnFirstPermit => answer.is_allowed(),
    }
}

pub(super) async fn evaluations(State(authzen): State<Shared>, message: Request) -> Response {
    let (parts, body) = message.into_parts();
    let caller = match authzen.admit(&parts).await {
        Ok(caller) => caller,
        Err(refused) => return refused.into_response(),
    };
    let asked =
        match question::body(&parts, body, AUTHZEN_BODY_BYTES_MAX).await.and_then(|bytes| Evaluations::parse(&bytes)) {
            Ok(asked) => asked,
            Err(problem) => return problem.into_response(),
        };
    answer(&authzen, &caller, asked).await.unwrap_or_else(|problem| problem.into_response())
}

async fn answer(authzen: &Authzen, caller: &Caller, asked: Evaluations) -> Result<Response, Problem> {
    let broker = authzen.entrance.broker();
    let mut spent = caller.spent.clone();
    let (semantic, evaluations) = match asked {
        Evaluations::One(one) => {
            return Ok(Json(question::answer(broker, caller, &one, spent).await?).into_response());
        }
        Evaluations::Several(semantic, evaluations) => (semantic, evaluations),
    };
    let mut answers = Vec::new();
    for evaluation in evaluations {
        // The proof is used up with the first answer.
        let spent = std::mem::take(&mut spent);
        let answer = match evaluation {
            Ok(evaluation) => question::answer(broker, caller, &evaluation, spent).await?,
            Err(detail) => question::unreadable(broker, caller, detail, spent).await?,
        };
        let stop = stops(semantic, &answer);
        answers.push(answer);
        if stop {
            break;
        }
    }
    Ok(Json(serde_json::json!({ "evaluations": answers })).into_response())
}
