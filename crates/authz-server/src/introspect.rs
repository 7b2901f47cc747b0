//! `POST /oauth/introspect` (RFC 7662, signed: RFC 9701): a client whose registration has the scope `token:introspect`
//! asks whether a token holds. Whatever does not is `{"active":false}` and nothing else.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use bailiwick_engine::inspection::{self, TOKEN_INTROSPECT};
use bailiwick_oauth::{
    error::ErrorCode,
    introspection::{Introspection, SIGNED_MEDIA_TYPE},
    named_token::NamedToken,
};
use bailiwick_web::refused::DPOP_NONCE;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::{
    clients::{Client, ClientDoor, Visit},
    failure::{self, Failure, Why},
};

/// Where alerts say that somebody knocked.
const AT: &str = "introspection endpoint";

pub(crate) async fn introspect(State(door): State<Arc<ClientDoor>>, message: Request) -> Response {
    let signed = wants_signed(message.headers());
    door.open(message, AT, async |visit, body| answer(visit, body, signed).await).await
}

async fn answer(visit: &mut Visit<'_>, body: &[u8], signed: bool) -> Result<Response, Failure> {
    visit.check_head()?;
    let NamedToken { client, token } = NamedToken::parse(body).map_err(|error| Failure::of(Why::Form, error))?;
    let Client { agent, credential: _, once } = visit.authenticate(&client).await?;
    if !inspection::may_introspect(&agent) {
        let description = format!(
            "this client may not ask about tokens\nhint: its registration needs the scope `{TOKEN_INTROSPECT}`"
        );
        return Err(Failure::new(Why::Scope, ErrorCode::UnauthorizedClient, &description));
    }
    let entrance = visit.entrance();
    let broker = entrance.broker();
    let presented = entrance.inspect(token).ok_or_else(Failure::without_keys)?;
    let found = inspection::introspect(broker, &agent, presented, once).await.map_err(failure::of_engine)?;
    let told = found.map_or_else(Introspection::inactive, |claims| Introspection::active(&claims));
    if !signed {
        return Ok(failure::answer(entrance, StatusCode::OK, &told.to_json()));
    }
    let signer = broker.token_signer();
    let key = signer.current();
    let input = told.signing_input(entrance.issuer(), &agent.name, &key, broker.now());
    let signature = signer.sign_as(&key.kid, input.as_bytes()).map_err(|error| {
        tracing::error!(%error, "no introspection can be signed");
        let description = "the broker cannot sign now\nhint: try again shortly";
        Failure::new(Why::Unavailable, ErrorCode::TemporarilyUnavailable, description)
    })?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(SIGNED_MEDIA_TYPE)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::VARY, HeaderValue::from_static("accept")),
        (DPOP_NONCE, entrance.nonce()),
    ];
    Ok((headers, input.assemble(&signature)).into_response())
}

/// Whether the signed form is asked for by its own name; no range of types asks for it.
fn wants_signed(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case(SIGNED_MEDIA_TYPE));
        named && !parts.any(|parameter| matches!(parameter.strip_prefix("q="), Some("0" | "0.0" | "0.00" | "0.000")))
    })
}

#[cfg(test)]
mod tests;
