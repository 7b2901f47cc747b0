//! `POST /oauth/deregister`: a client says that it is done, as a pipeline does at its end. It is retired with all that it
//! was given, by its own credential and nothing else.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use bailiwick_engine::agents;
use bailiwick_oauth::{client_authentication::ClientAuthentication, form::Form};
use http::StatusCode;

use crate::{
    clients::{ClientDoor, Visit},
    failure::{self, Failure, Why},
};

/// Where alerts say that somebody knocked.
const AT: &str = "deregistration endpoint";

pub(crate) async fn deregister(State(door): State<Arc<ClientDoor>>, message: Request) -> Response {
    door.open(message, AT, answer).await
}

async fn answer(visit: &mut Visit<'_>, body: &[u8]) -> Result<Response, Failure> {
    visit.check_head()?;
    let of_form = |error| Failure::of(Why::Form, error);
    let mut form = Form::parse(body).map_err(of_form)?;
    let sent = ClientAuthentication::take(&mut form).map_err(of_form)?;
    let client = visit.authenticate(&sent).await?;
    let entrance = visit.entrance();
    agents::deregister(entrance.broker(), &client.agent.name, client.once).await.map_err(failure::of_engine)?;
    Ok(failure::answer(entrance, StatusCode::OK, "{}"))
}

#[cfg(test)]
mod tests;
