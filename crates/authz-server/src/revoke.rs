//! `POST /oauth/revoke` (RFC 7009): a client ends what it holds. What is another's, expired or unknown is answered like
//! what was ended, so that nobody learns of a token by asking for its end.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use bailiwick_engine::inspection;
use bailiwick_oauth::named_token::NamedToken;
use http::StatusCode;

use crate::{
    clients::{ClientDoor, Visit},
    failure::{self, Failure, Why},
};

/// Where alerts say that somebody knocked.
const AT: &str = "revocation endpoint";

pub(crate) async fn revoke(State(door): State<Arc<ClientDoor>>, message: Request) -> Response {
    door.open(message, AT, answer).await
}

async fn answer(visit: &mut Visit<'_>, body: &[u8]) -> Result<Response, Failure> {
    visit.check_head()?;
    let NamedToken { client, token } = NamedToken::parse(body).map_err(|error| Failure::of(Why::Form, error))?;
    let client = visit.authenticate(&client).await?;
    visit.count_revocation(&client.agent.name)?;
    let entrance = visit.entrance();
    let presented = entrance.inspect(token).ok_or_else(Failure::without_keys)?;
    inspection::revoke(entrance.broker(), &client.agent, presented, client.once).await.map_err(failure::of_engine)?;
    Ok(failure::answer(entrance, StatusCode::OK, "{}"))
}

#[cfg(test)]
mod tests;
