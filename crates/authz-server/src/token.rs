//! `POST /oauth/token` (RFC 6749 §3.2): one file for each grant.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use bailiwick_engine::{tokens::Issued, vouching::VouchedFor};
use bailiwick_model::{grant::GrantKind, secret::Secret};
use bailiwick_oauth::{
    authorization_details,
    client_authentication::ClientAuthentication,
    token_request::{GrantRequest, TokenRequest},
    token_response::TokenResponse,
};
use bailiwick_web::entrance::Entrance;
use http::StatusCode;
use serde_json::Value;

use crate::{
    clients::{ClientDoor, Visit},
    failure::{self, Failure, Why},
};

mod apart;
mod authorization_code;
mod client_credentials;
mod jwt_bearer;
mod refresh_token;
mod token_exchange;
mod vouch;

/// Where alerts say that somebody knocked.
const AT: &str = "token endpoint";

pub(crate) async fn token(State(door): State<Arc<ClientDoor>>, message: Request) -> Response {
    door.open(message, AT, answer).await
}

async fn answer(visit: &mut Visit<'_>, body: &[u8]) -> Result<Response, Failure> {
    visit.check_head()?;
    let asked = TokenRequest::parse(body).map_err(|error| Failure::of(Why::Form, error))?;
    let client = match (&asked.client, &asked.grant) {
        // All that a client without a key can do: what it redeems is bound to it.
        (ClientAuthentication::Public { url }, GrantRequest::AuthorizationCode(_) | GrantRequest::RefreshToken(_)) => {
            visit.public(url).await?
        }
        (sent, _) => visit.authenticate(sent).await?,
    };
    let granted = match asked.grant {
        GrantRequest::ClientCredentials(asked) => client_credentials::issue(visit, client, asked).await?.into(),
        GrantRequest::AuthorizationCode(asked) => authorization_code::issue(visit, client, asked).await?,
        GrantRequest::RefreshToken(asked) => refresh_token::renew(visit, client, asked).await?,
        GrantRequest::JwtBearer(asked) => jwt_bearer::issue(visit, client, asked).await?.into(),
        GrantRequest::Vouch(asked) => {
            let VouchedFor { assertion, expires_in_s, scopes } = vouch::issue(visit, client, asked).await?;
            let answer = TokenResponse::vouching(assertion.expose().clone(), expires_in_s, &scopes);
            return Ok(respond(visit.entrance(), &answer));
        }
        GrantRequest::DeviceCode(held) => apart::poll(visit, client, (GrantKind::DeviceCode, held)).await?,
        GrantRequest::Ciba(held) => apart::poll(visit, client, (GrantKind::Ciba, held)).await?,
        GrantRequest::TokenExchange(asked) => {
            let issued = token_exchange::issue(visit, client, asked).await?;
            return Ok(respond(visit.entrance(), &response(visit.entrance(), &issued).exchanged()));
        }
    };
    let answer = response(visit.entrance(), &granted.issued)
        .renewed_by(granted.refresh_token.map(|token| token.expose().clone()))
        .of_user(granted.id_token);
    Ok(respond(visit.entrance(), &answer))
}

/// What a client gets.
struct Granted {
    issued: Issued,
    /// What renews it, where a user agreed to it.
    refresh_token: Option<Secret<String>>,
    /// Who agreed, where it was asked for.
    id_token: Option<String>,
}

impl From<Issued> for Granted {
    fn from(issued: Issued) -> Self {
        Self { issued, refresh_token: None, id_token: None }
    }
}

fn response(entrance: &Entrance, issued: &Issued) -> TokenResponse {
    let Issued { token, expires_in_s, scopes, details: _, task: _, scheme } = issued;
    TokenResponse::new(token.expose().clone(), *scheme, *expires_in_s, scopes)
        .detailed(granted_details(entrance, issued))
}

/// What was granted of tools and arguments, and the task that was made (RFC 9396 §7). A task is named by `identifier`.
fn granted_details(entrance: &Entrance, issued: &Issued) -> Option<Value> {
    let tools = issued.task.as_ref().map(|task| &task.tools).or(issued.details.as_ref())?;
    let mut granted = authorization_details::to_value(entrance.issuer(), tools);
    if let (Some(task), Some(granted)) = (&issued.task, granted.as_array_mut()) {
        let expires_in = task.expires_at.duration_since(task.created_at).as_secs();
        granted.push(serde_json::json!({
            "type": authorization_details::TASK,
            "identifier": task.id.to_string(),
            "purpose": task.purpose,
            "expires_in": expires_in,
        }));
    }
    Some(granted)
}

fn respond(entrance: &Entrance, answer: &TokenResponse) -> Response {
    failure::answer(entrance, StatusCode::OK, &serde_json::to_string(answer).unwrap_or_default())
}

#[cfg(test)]
pub(crate) mod tests;
