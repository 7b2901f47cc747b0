//! Who administrates: the account at the other end of the local socket. The
//! server reads it from the kernel and puts it into the extensions of each
//! request; nothing that a client sends can.

use axum::{
    extract::{FromRequestParts, Request},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use bailiwick_model::{name::OperatorName, principal::Principal};
use bailiwick_web::problem::Problem;
use http::{StatusCode, request::Parts};

/// The operator at the other end of the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator(pub OperatorName);

impl Operator {
    /// As evidence names it.
    pub fn principal(&self) -> Principal {
        Principal::Operator(self.0.clone())
    }
}

fn refused() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "operator_unknown", "only an operator at the local socket may do this")
        .with_hint("run the command on the broker's own machine, as the account that it runs as")
}

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(refused)
    }
}

/// Refuses whatever comes without an operator, whichever route it is for.
pub(crate) async fn required(message: Request, next: Next) -> Response {
    if message.extensions().get::<Operator>().is_some() { next.run(message).await } else { refused().into_response() }
}
