//! Something that whoever sits at the browser must know, as a page: what happened, and the next step.

use askama::Template;
use axum::response::{IntoResponse, Response};
use bailiwick_engine::refusal::Refusal;
use bailiwick_oauth::error::OAuthError;
use bailiwick_web::problem::Problem;
use http::StatusCode;

/// A page with one message.
#[derive(Debug, Template)]
#[template(path = "consent/notice.html")]
pub(crate) struct Notice {
    status: StatusCode,
    title: String,
    hint: Option<String>,
}

impl Notice {
    pub(crate) fn new(status: StatusCode, title: impl Into<String>) -> Self {
        Self { status, title: title.into(), hint: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Refusal> for Notice {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid { message, hint } => Self { status: StatusCode::BAD_REQUEST, title: message, hint },
            Refusal::Missing(what) => {
                Self::new(StatusCode::NOT_FOUND, format!("{what} is not there")).with_hint(START_AGAIN)
            }
            Refusal::Conflict(why) => Self::new(StatusCode::CONFLICT, why).with_hint(START_AGAIN),
            Refusal::Denied(_) => Self::new(StatusCode::FORBIDDEN, "this is not allowed"),
            Refusal::Unavailable(cause) => {
                tracing::error!(error = cause, "a page cannot be answered");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "the broker cannot do this now")
                    .with_hint("try again shortly")
            }
        }
    }
}

impl From<OAuthError> for Notice {
    fn from(error: OAuthError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("the application sent a request that cannot be answered: {error}"))
            .with_hint("nothing was sent to it; tell the people who made it")
    }
}

impl From<Problem> for Notice {
    fn from(problem: Problem) -> Self {
        let Some(hint) = problem.hint() else { return Self::new(problem.status(), problem.detail()) };
        Self::new(problem.status(), problem.detail()).with_hint(hint)
    }
}

impl IntoResponse for Notice {
    fn into_response(self) -> Response {
        let page = self.render().ok().and_then(super::page::respond);
        let Some(mut response) = page else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
        *response.status_mut() = self.status;
        response
    }
}

const START_AGAIN: &str = "start again from the application that sent you here";
