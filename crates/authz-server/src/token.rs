//! `POST /oauth/token` (RFC 6749 §3.2): one file for each grant.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use bailiwick_engine::tokens::Issued;
use bailiwick_model::secret::Secret;
use bailiwick_oauth::{
    token_request::{GrantRequest, TokenRequest},
    token_response::TokenResponse,
};
use bailiwick_web::entrance::Entrance;
use http::StatusCode;

use crate::{
    clients::{ClientDoor, Visit},
    failure::{self, Failure, Why},
};

mod authorization_code;
mod client_credentials;
mod refresh_token;
mod token_exchange;

/// Where alerts say that somebody knocked.
const AT: &str = "token endpoint";

pub(crate) async fn token(State(door): State<Arc<ClientDoor>>, message: Request) -> Response {
    door.open(message, AT, answer).await
}

async fn answer(visit: &mut Visit<'_>, body: &[u8]) -> Result<Response, Failure> {
    visit.check_head()?;
    let asked = TokenRequest::parse(body).map_err(|error| Failure::of(Why::Form, error))?;
    let client = visit.authenticate(&asked.client).await?;
    let granted = match asked.grant {
        GrantRequest::ClientCredentials(asked) => client_credentials::issue(visit, client, asked).await?.into(),
        GrantRequest::AuthorizationCode(asked) => authorization_code::issue(visit, client, asked).await?,
        GrantRequest::RefreshToken(asked) => refresh_token::renew(visit, client, asked).await?,
        GrantRequest::TokenExchange(asked) => {
            let issued = token_exchange::issue(visit, client, asked).await?;
            return Ok(respond(visit.entrance(), &response(&issued).exchanged()));
        }
    };
    let answer = response(&granted.issued).renewed_by(granted.refresh_token.map(|token| token.expose().clone()));
    Ok(respond(visit.entrance(), &answer))
}

/// What a client gets.
struct Granted {
    issued: Issued,
    /// What renews it, where a user agreed to it.
    refresh_token: Option<Secret<String>>,
}

impl From<Issued> for Granted {
    fn from(issued: Issued) -> Self {
        Self { issued, refresh_token: None }
    }
}

fn response(issued: &Issued) -> TokenResponse {
    TokenResponse::new(issued.token.expose().clone(), issued.scheme, issued.expires_in_s, &issued.scopes)
}

fn respond(entrance: &Entrance, answer: &TokenResponse) -> Response {
    failure::answer(entrance, StatusCode::OK, &serde_json::to_string(answer).unwrap_or_default())
}

#[cfg(test)]
pub(crate) mod tests;
