//! A client asks whether its user answered on another device (RFC 8628 §3.4) or by the back channel (CIBA §10.1).

use bailiwick_engine::authorization::apart::{self, NotYet, Poll, Redeemed};
use bailiwick_model::{grant::GrantKind, secret::Secret};
use bailiwick_oauth::{dpop::DpopError, error::ErrorCode};

use super::Granted;
use crate::{
    clients::{Client, Possession, Visit},
    failure::{self, Failure, Why},
};

pub(super) async fn poll(
    visit: &Visit<'_>,
    client: Client,
    (kind, secret): (GrantKind, Secret<String>),
) -> Result<Granted, Failure> {
    let Client { agent, credential, once } = client;
    let Possession { confirmation, once: proof } = visit.possession()?;
    if confirmation.is_none() && !agent.bearer_tokens_allowed {
        return Err(Failure::of(Why::Proof, DpopError::Missing.into()));
    }
    let poll = Poll { kind, secret, credential, confirmation, spent: once.into_iter().chain(proof).collect() };
    let broker = visit.entrance().broker();
    let redeemed = apart::poll(broker, &agent, poll).await.map_err(not_yet)?;
    // The device grant is plain OAuth; a request by the back channel is an OpenID one.
    let id_token = match kind {
        GrantKind::Ciba => Some(apart::id_token(broker, &agent.name, &redeemed).map_err(failure::of_engine)?),
        _ => None,
    };
    let Redeemed { issued, refresh_token, .. } = redeemed;
    Ok(Granted { issued, refresh_token: Some(refresh_token), id_token })
}

fn not_yet(error: NotYet) -> Failure {
    let (why, code) = match error {
        NotYet::Refused(refusal) => return failure::of_engine(refusal),
        NotYet::Pending => (Why::Answer, ErrorCode::AuthorizationPending),
        // The one thing that a client that waits can do wrong.
        NotYet::SlowDown(_) => (Why::User, ErrorCode::SlowDown),
        NotYet::Denied => (Why::Answer, ErrorCode::AccessDenied),
        NotYet::Expired => (Why::Answer, ErrorCode::ExpiredToken),
    };
    Failure::new(why, code, &error.to_string())
}
