//! `POST /access/v1/evaluations`: several decisions in one message (AuthZEN 1.0 §7), with defaults and the three ways
//! to stop early.

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use bailiwick_engine::caller::Caller;
use bailiwick_web::{json, problem::Problem};
use http::StatusCode;
use serde::Deserialize;

use super::{
    Authzen, EVALUATIONS_MAX, Shared,
    question::{self, Answer, Asked},
};

#[derive(Deserialize)]
struct Batch {
    #[serde(flatten)]
    defaults: Asked,
    #[serde(default)]
    evaluations: Vec<Asked>,
    #[serde(default)]
    options: Options,
}

#[derive(Default, Deserialize)]
struct Options {
    #[serde(default)]
    evaluations_semantic: Semantic,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Semantic {
    #[default]
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

impl Semantic {
    fn stops_at(self, answer: &Answer) -> bool {
        match self {
            Self::ExecuteAll => false,
            Self::DenyOnFirstDeny => !answer.is_allowed(),
            Self::PermitOnFirstPermit => answer.is_allowed(),
        }
    }
}

pub(super) async fn evaluations(State(authzen): State<Shared>, message: Request) -> Response {
    let (parts, body) = message.into_parts();
    let caller = match authzen.admit(&parts).await {
        Ok(caller) => caller,
        Err(refused) => return refused.into_response(),
    };
    let batch = match question::body(&parts, body).await.and_then(|bytes| json::read(&bytes)) {
        Ok(batch) => batch,
        Err(problem) => return problem.into_response(),
    };
    answer(&authzen, &caller, batch).await.unwrap_or_else(|problem| problem.into_response())
}

async fn answer(authzen: &Authzen, caller: &Caller, batch: Batch) -> Result<Response, Problem> {
    let Batch { defaults, evaluations, options } = batch;
    let broker = authzen.entrance.broker();
    let mut spent = caller.spent.clone();
    if evaluations.is_empty() {
        let answer = question::answer(broker, caller, defaults.complete(None)?, spent).await?;
        return Ok(Json(answer).into_response());
    }
    if evaluations.len() > EVALUATIONS_MAX {
        let detail = format!("at most {EVALUATIONS_MAX} evaluations can be asked for at a time");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "evaluations_count", detail));
    }
    let questions: Vec<_> =
        evaluations.into_iter().map(|asked| asked.complete(Some(&defaults))).collect::<Result<_, _>>()?;
    let mut answers = Vec::new();
    for question in questions {
        // The proof is used up with the first answer.
        let answer = question::answer(broker, caller, question, std::mem::take(&mut spent)).await?;
        let stop = options.evaluations_semantic.stops_at(&answer);
        answers.push(answer);
        if stop {
            break;
        }
    }
    Ok(Json(serde_json::json!({ "evaluations": answers })).into_response())
}
