//! `POST /oauth/token` (RFC 6749 §3.2): one file for each grant.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use bailiwick_engine::tokens::{Issued, TokenRefusal};
use bailiwick_oauth::{
    error::ErrorCode,
    token_request::{GrantRequest, TokenRequest},
    token_response::TokenResponse,
};
use bailiwick_web::entrance::Entrance;
use http::StatusCode;

use crate::{
    clients::{ClientDoor, Visit},
    failure::{self, Failure, Why},
};

mod client_credentials;

/// Where alerts say that somebody knocked.
const AT: &str = "token endpoint";

pub(crate) async fn token(State(door): State<Arc<ClientDoor>>, message: Request) -> Response {
    let (mut visit, body) = match door.admit(message, AT).await {
        Ok(admitted) => admitted,
        Err(answer) => return answer,
    };
    match answer(&mut visit, &body).await {
        Ok(response) => response,
        Err(failure) => visit.refuse(failure).await,
    }
}

async fn answer(visit: &mut Visit<'_>, body: &[u8]) -> Result<Response, Failure> {
    visit.check_head()?;
    let asked = TokenRequest::parse(body).map_err(|error| Failure::of(Why::Form, error))?;
    let client = visit.authenticate(&asked.client).await?;
    let issued = match asked.grant {
        GrantRequest::ClientCredentials(asked) => client_credentials::issue(visit, client, asked).await?,
    };
    Ok(respond(visit.entrance(), &issued))
}

fn respond(entrance: &Entrance, issued: &Issued) -> Response {
    let answer = TokenResponse::new(issued.token.expose().clone(), issued.scheme, issued.expires_in_s, &issued.scopes);
    failure::answer(entrance, StatusCode::OK, &serde_json::to_string(&answer).unwrap_or_default())
}

/// The engine's refusals; its client has proved who it is by then.
fn of_engine(refusal: TokenRefusal) -> Failure {
    let (why, code) = match &refusal {
        TokenRefusal::Client(_) => (Why::Client, ErrorCode::InvalidClient),
        TokenRefusal::Grant(_) => (Why::Grant, ErrorCode::InvalidGrant),
        TokenRefusal::Target(_) => (Why::Target, ErrorCode::InvalidTarget),
        TokenRefusal::Scope(_) => (Why::Scope, ErrorCode::InvalidScope),
        TokenRefusal::Proof(_) => (Why::Proof, ErrorCode::InvalidDpopProof),
        TokenRefusal::Request(_) => (Why::Form, ErrorCode::InvalidRequest),
        TokenRefusal::Unavailable(cause) => {
            tracing::error!(error = cause, "no token can be issued");
            let description = "the broker cannot record a token now\nhint: try again shortly";
            return Failure::new(Why::Unavailable, ErrorCode::TemporarilyUnavailable, description);
        }
    };
    Failure::new(why, code, &refusal.to_string())
}

#[cfg(test)]
mod tests;
