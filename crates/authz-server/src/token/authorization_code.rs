//! A client acts for a user who consented (RFC 6749 §4.1.3): the code is verified and used up by
//! [`bailiwick_engine::authorization`].

use bailiwick_engine::authorization::{self, Presented};
use bailiwick_oauth::{dpop::DpopError, token_request::AuthorizationCode};

use super::Granted;
use crate::{
    clients::{Client, Possession, Visit},
    failure::{self, Failure, Why},
};

pub(super) async fn issue(visit: &Visit<'_>, client: Client, asked: AuthorizationCode) -> Result<Granted, Failure> {
    let Client { agent, credential, once } = client;
    // Before the code is used up: a proof without a nonce is an ordinary first step, and the same code comes again.
    let Possession { confirmation, once: proof } = visit.possession()?;
    if confirmation.is_none() && !agent.bearer_tokens_allowed {
        return Err(Failure::of(Why::Proof, DpopError::Missing.into()));
    }
    let AuthorizationCode { code, redirect_uri, verifier, resource, details } = asked;
    let presented = Presented {
        code,
        redirect_uri,
        verifier,
        resource,
        details,
        credential,
        confirmation,
        spent: once.into_iter().chain(proof).collect(),
    };
    let redeemed = authorization::redeem(visit.entrance().broker(), &agent, presented).await;
    let (issued, refresh_token) = redeemed.map_err(failure::of_engine)?;
    Ok(Granted { issued, refresh_token: Some(refresh_token), id_token: None })
}
