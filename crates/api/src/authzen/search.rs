//! `POST /access/v1/search/{subject,resource,action}`: everything that would be allowed in one place of a question
//! (AuthZEN 1.0 §8), page by page. Every result is the decision that `/access/v1/evaluation` would give.

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use bailiwick_engine::{
    caller::Caller,
    search::{self as decisions, Search},
};
use bailiwick_web::problem::Problem;
use serde_json::{Value, json};

use self::{candidates::Candidates, page::Binding};
use super::{
    Authzen, Shared,
    message::search::{Kind, SEARCH_BODY_BYTES_MAX, Sought},
    question,
};

mod candidates;
mod page;

pub(super) async fn subjects(State(authzen): State<Shared>, message: Request) -> Response {
    served(&authzen, Kind::Subject, message).await
}

pub(super) async fn resources(State(authzen): State<Shared>, message: Request) -> Response {
    served(&authzen, Kind::Resource, message).await
}

pub(super) async fn actions(State(authzen): State<Shared>, message: Request) -> Response {
    served(&authzen, Kind::Action, message).await
}

async fn served(authzen: &Authzen, kind: Kind, message: Request) -> Response {
    let (parts, body) = message.into_parts();
    let caller = match authzen.admit(&parts).await {
        Ok(caller) => caller,
        Err(refused) => return refused.into_response(),
    };
    let sought =
        match question::body(&parts, body, SEARCH_BODY_BYTES_MAX).await.and_then(|bytes| Sought::parse(kind, &bytes)) {
            Ok(sought) => sought,
            Err(problem) => return problem.into_response(),
        };
    match found(authzen, &caller, sought).await {
        Ok(answer) => Json(answer).into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn found(authzen: &Authzen, caller: &Caller, sought: Sought) -> Result<Value, Problem> {
    let (broker, nonces) = (authzen.entrance.broker(), authzen.entrance.nonces());
    let live = broker.live();
    let asked = sought.as_json().to_string();
    let by = caller.chain.current();
    let binding = Binding::new(&by.to_string(), sought.kind, &asked, &live);
    let from = match &sought.page.token {
        Some(token) => page::position(nonces, &binding, token)?,
        None => 0,
    };
    let (kind, results_max) = (sought.kind.as_str(), sought.page.limit);
    let mut candidates = Candidates::of(&live, sought);
    let mut question_at = |at| candidates.question(broker, at);
    let search = Search { kind, asked, from, results_max, question_at: &mut question_at };
    let found = decisions::search(broker, by, search, caller.spent.clone()).await;
    let found = found.map_err(|denied| Problem::from(denied.as_ref()))?;
    let results: Vec<Value> = found.allowed.iter().filter_map(|at| candidates.result(*at)).collect();
    let next_token = found.next.map(|at| page::token(nonces, &binding, at)).unwrap_or_default();
    let count = results.len();
    let page = if from == 0 && found.next.is_none() {
        json!({ "next_token": next_token, "count": count, "total": count })
    } else {
        json!({ "next_token": next_token, "count": count })
    };
    let context = json!({ "evaluation_id": found.id.to_string(), "bundle": found.bundle.to_string() });
    Ok(json!({ "results": results, "page": page, "context": context }))
}
