//! `POST /oauth/register` (RFC 7591), and below it each client's own registration (RFC 7592): by an initial access token
//! that an operator made, and then by the token that came with the registration.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State},
    response::{IntoResponse as _, Response},
};
use bailiwick_engine::registration::{self, NotRegistered, Registered};
use bailiwick_oauth::{
    client_registration::{ClientInformation, ClientMetadata},
    error::{ErrorCode, OAuthError},
    metadata::REGISTRATION_PATH,
};
use bailiwick_web::entrance::Entrance;
use http::StatusCode;

use crate::{
    clients::{ClientDoor, Visit},
    failure::{self, Failure, Why},
};

/// Where alerts say that somebody knocked.
const AT: &str = "registration endpoint";

pub(crate) async fn register(State(door): State<Arc<ClientDoor>>, message: Request) -> Response {
    door.open(message, AT, async |visit: &mut Visit<'_>, body: &[u8]| {
        let token = visit.bearer()?;
        visit.check_json()?;
        let metadata = ClientMetadata::parse(body).map_err(of_metadata)?;
        let registered = registration::register(visit.entrance().broker(), &token, metadata).await;
        Ok(told(visit.entrance(), StatusCode::CREATED, &registered.map_err(of_engine)?))
    })
    .await
}

pub(crate) async fn read(
    State(door): State<Arc<ClientDoor>>,
    Path(client): Path<String>,
    message: Request,
) -> Response {
    door.open(message, AT, async |visit: &mut Visit<'_>, _: &[u8]| {
        let token = visit.bearer()?;
        let read = registration::read(visit.entrance().broker(), &client, &token).await.map_err(of_engine)?;
        Ok(told(visit.entrance(), StatusCode::OK, &read))
    })
    .await
}

pub(crate) async fn update(
    State(door): State<Arc<ClientDoor>>,
    Path(client): Path<String>,
    message: Request,
) -> Response {
    door.open(message, AT, async |visit: &mut Visit<'_>, body: &[u8]| {
        let token = visit.bearer()?;
        visit.check_json()?;
        let name = client.parse().map_err(|_| of_engine(NotRegistered::Token))?;
        let metadata = ClientMetadata::parse_update(body, &name).map_err(of_metadata)?;
        let updated = registration::update(visit.entrance().broker(), &client, &token, metadata).await;
        Ok(told(visit.entrance(), StatusCode::OK, &updated.map_err(of_engine)?))
    })
    .await
}

pub(crate) async fn end(State(door): State<Arc<ClientDoor>>, Path(client): Path<String>, message: Request) -> Response {
    door.open(message, AT, async |visit: &mut Visit<'_>, _: &[u8]| {
        let token = visit.bearer()?;
        registration::end(visit.entrance().broker(), &client, &token).await.map_err(of_engine)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

fn told(entrance: &Entrance, status: StatusCode, registered: &Registered) -> Response {
    let Registered { agent, access } = registered;
    let uri = format!("{}{REGISTRATION_PATH}/{}", entrance.issuer(), agent.name);
    let keys: Vec<_> = agent.credentials.iter().filter_map(|one| one.authenticator.key().cloned()).collect();
    let information =
        ClientInformation::new(&agent.name, agent.created_at, (access.expose(), uri), &keys, &agent.redirect_uris);
    failure::answer(entrance, status, &serde_json::to_string(&information).unwrap_or_default())
}

fn of_metadata(error: OAuthError) -> Failure {
    Failure::of(Why::Form, error)
}

fn of_engine(error: NotRegistered) -> Failure {
    match error {
        NotRegistered::Token => {
            Failure::new(Why::RegistrationToken, ErrorCode::InvalidToken, &NotRegistered::Token.to_string())
        }
        NotRegistered::Conflict(why) => Failure::new(Why::Form, ErrorCode::InvalidClientMetadata, &why),
        NotRegistered::Unavailable(cause) => {
            tracing::error!(error = cause, "no client can be registered");
            let description = "the broker cannot record this now\nhint: try again shortly";
            Failure::new(Why::Unavailable, ErrorCode::TemporarilyUnavailable, description)
        }
    }
}

#[cfg(test)]
mod tests;
