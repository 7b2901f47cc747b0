//! What a page says when something was not done: what, and what to do next.

use askama::Template;
use axum::response::{IntoResponse, Response};
use bailiwick_engine::refusal::Refusal;
use bailiwick_oauth::error::OAuthError;
use bailiwick_web::{problem::Problem, session::NotSignedIn};
use http::StatusCode;

use crate::{federated::Failure, page::page};

/// Why something was not done.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A message that is no answer to what was asked: over, used before, or never asked.
    Stale,
    /// The passkey does not prove what it has to.
    NotProven,
    /// `public_url` has no name that passkeys could be kept for.
    NoName,
    /// Too many visits of one address; so many seconds until the next.
    TooMany(u32),
    /// It was not opened as a page.
    NoVisit,
    /// No provider has this name.
    NoProvider,
    /// The provider said no, or its user did.
    ProviderRefused,
    /// The provider cannot be reached, or is not to be believed.
    Provider(Failure),
    /// The account is nobody's here, or not of those whom the operator lets in.
    NotAdmitted,
    /// Whose account it is may not sign in any more.
    Stopped,
    /// Passkeys change by proof of another one, or by a one-time link.
    PasskeyFirst,
    /// The link is unknown, over, or used.
    Link,
    /// What a use case, the session or the message's form says.
    Problem(Problem),
    /// Nobody is signed in.
    NotSignedIn(NotSignedIn),
}

impl Trouble {
    /// A failure of ours that nobody at a browser can do anything about.
    pub(crate) fn status(status: StatusCode) -> Self {
        Self::Problem(Problem::new(status, "internal", "this could not be done"))
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Provider(failure)
    }
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
            Self::TooMany(seconds) => (
                StatusCode::TOO_MANY_REQUESTS,
                format!("This page was asked for too often from where you are. It opens again in {seconds} seconds."),
                "Wait a moment, then open it again.",
            ),
            Self::NoVisit => (
                StatusCode::FORBIDDEN,
                "This page shows itself only where somebody opens it.".to_owned(),
                "Open it in a tab of its own.",
            ),
            Self::NoProvider => (
                StatusCode::NOT_FOUND,
                "There is no such way to sign in here.".to_owned(),
                "Choose one on the sign-in page.",
            ),
            Self::ProviderRefused => (
                StatusCode::FORBIDDEN,
                "You were not signed in: the provider said no, or you did.".to_owned(),
                "Try again, or sign in with a passkey.",
            ),
            Self::Provider(Failure::Unreachable) => (
                StatusCode::BAD_GATEWAY,
                "The provider cannot be reached now, or does not answer as it should.".to_owned(),
                "Try again shortly, or sign in with a passkey. Whoever runs this broker sees the cause in its log.",
            ),
            Self::Provider(Failure::Unready) => (
                StatusCode::BAD_GATEWAY,
                "This broker could not prove to the provider who it is.".to_owned(),
                "Sign in with a passkey, and tell whoever runs this broker: its log has the cause.",
            ),
            Self::Provider(Failure::Unfit) => (
                StatusCode::FORBIDDEN,
                "What the provider answered does not prove who you are, so nobody was signed in.".to_owned(),
                "Try again. If it stays so, tell whoever runs this broker: its log has the cause.",
            ),
            Self::NotAdmitted => (
                StatusCode::FORBIDDEN,
                "Your account there signs nobody in here.".to_owned(),
                "Ask whoever runs this broker to let you in, or sign in with a passkey that you have here.",
            ),
            Self::Stopped => (
                StatusCode::FORBIDDEN,
                "Your account there belongs to somebody who may not sign in here any more.".to_owned(),
                "If that is wrong, ask whoever runs this broker.",
            ),
            Self::PasskeyFirst => (
                StatusCode::FORBIDDEN,
                "Passkeys are added and removed only by somebody who signed in with one.".to_owned(),
                "Sign out, and sign in with a passkey. If you have none here, ask whoever runs this broker for a one-time \
                 link: `bailiwick users invite`.",
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
