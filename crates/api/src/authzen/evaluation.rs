//! `POST /access/v1/evaluation`: one decision (AuthZEN 1.0 §6). A deny is a 200.

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};

use super::{AUTHZEN_BODY_BYTES_MAX, Shared, message, question};

pub(super) async fn evaluation(State(authzen): State<Shared>, message: Request) -> Response {
    let (parts, body) = message.into_parts();
    let caller = match authzen.admit(&parts).await {
        Ok(caller) => caller,
        Err(refused) => return refused.into_response(),
    };
    let asked =
        question::body(&parts, body, AUTHZEN_BODY_BYTES_MAX).await.and_then(|bytes| message::evaluation(&bytes));
    let asked = match asked {
        Ok(asked) => asked,
        Err(problem) => return problem.into_response(),
    };
    let spent = caller.spent.clone();
    match question::answer(authzen.entrance.broker(), &caller, &asked, spent).await {
        Ok(answer) => Json(answer).into_response(),
        Err(problem) => problem.into_response(),
    }
}
