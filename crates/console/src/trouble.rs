//! What a page says when something was not done: what, and what to do next.

use askama::Template;
use axum::response::{IntoResponse, Response};
use bailiwick_engine::refusal::Refusal;
use bailiwick_oauth::error::OAuthError;
use bailiwick_web::{problem::Problem, session::NotSignedIn};
use http::StatusCode;

use crate::page::page;

/// Why something was not done.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A message that is no answer to what was asked: over, used before, or never asked.
    Stale,
    /// The passkey does not prove what it has to.
    NotProven,
    /// `public_url` has no name that passkeys could be kept for.
    NoName,
    /// The link is unknown, over, or used.
    Link,
    /// What a use case, the session or the message's form says.
    Problem(Problem),
    /// Nobody is signed in.
    NotSignedIn(NotSignedIn),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Problem(Problem::from(refusal))
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<NotSignedIn> for Trouble {
    fn from(not: NotSignedIn) -> Self {
        Self::NotSignedIn(not)
    }
}

impl From<OAuthError> for Trouble {
    fn from(_: OAuthError) -> Self {
        Self::Problem(Problem::new(StatusCode::BAD_REQUEST, "body_malformed", "the form is not well-formed"))
    }
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage {
    detail: String,
    hint: &'static str,
    way: &'static str,
    way_name: &'static str,
}

impl Trouble {
    fn told(self) -> Result<(StatusCode, String, &'static str), NotSignedIn> {
        Ok(match self {
            Self::Stale => (
                StatusCode::BAD_REQUEST,
                "This page was open for too long, or its form was sent before.".to_owned(),
                "Begin again.",
            ),
            Self::NotProven => (
                StatusCode::FORBIDDEN,
                "This passkey does not sign anybody in here.".to_owned(),
                "Use a passkey that you added to this broker. If you have lost yours, ask whoever runs it for a \
                 one-time link.",
            ),
            Self::NoName => (
                StatusCode::NOT_IMPLEMENTED,
                "Passkeys are kept for names, and this broker is reached by an address.".to_owned(),
                "Whoever runs it sets `public_url` to a name.",
            ),
            Self::Link => (
                StatusCode::NOT_FOUND,
                "This link is over, was used before, or never was one.".to_owned(),
                "Ask whoever runs this broker for another one: `bailiwick users invite`.",
            ),
            Self::NotSignedIn(not @ NotSignedIn::Elsewhere(_)) => return Err(not),
            Self::NotSignedIn(NotSignedIn::Over(problem) | NotSignedIn::Unknown(problem)) | Self::Problem(problem) => {
                (problem.status(), sentence(problem.detail()), "Open the page again, and check what you sent.")
            }
        })
    }
}

/// Details are fragments; a page speaks in sentences.
fn sentence(detail: &str) -> String {
    let mut chars = detail.chars();
    chars.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), chars.as_str()))
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let (status, detail, hint) = match self.told() {
            Ok(told) => told,
            Err(elsewhere) => return elsewhere.into_response(),
        };
        let (way, way_name) = ("/account", "To your account");
        page(status, &TroublePage { detail, hint, way, way_name })
    }
}
