//! An agent takes over what another one handed to it, or hands on what it has itself (RFC 8693). The client that
//! authenticates is the actor; nobody can name another.

use bailiwick_engine::{
    delegation::{self, ExchangeAsk},
    tokens::{Audience, Issued},
};
use bailiwick_oauth::{dpop::DpopError, error::ErrorCode, token_request::TokenExchange};

use crate::{
    clients::{Client, Possession, Visit},
    failure::{self, Failure, Why},
};

pub(super) async fn issue(visit: &Visit<'_>, client: Client, asked: TokenExchange) -> Result<Issued, Failure> {
    let entrance = visit.entrance();
    let Client { agent, credential, once } = client;
    let Possession { confirmation, once: proof } = visit.possession()?;
    if confirmation.is_none() && !agent.bearer_tokens_allowed {
        return Err(Failure::of(Why::Proof, DpopError::Missing.into()));
    }
    let Some(audience) = Audience::of_resource(entrance.issuer(), &asked.resource) else {
        return Err(Failure::new(Why::Target, ErrorCode::InvalidTarget, "no such resource for this client"));
    };
    let subject = match entrance.read_token(asked.subject_token.expose()) {
        Some(Ok(claims)) => claims,
        // RFC 8693 §2.2.2: an unfit subject token is an invalid request.
        Some(Err(error)) => {
            let description = format!("the subject token is refused: {error}");
            return Err(Failure::new(Why::SubjectToken, ErrorCode::InvalidRequest, &description));
        }
        None => return Err(Failure::without_keys()),
    };
    let used = once.into_iter().chain(proof).collect();
    let ask = ExchangeAsk {
        agent: agent.name.clone(),
        credential,
        subject,
        audience,
        scopes: (!asked.scopes.is_empty()).then_some(asked.scopes),
        details: asked.details,
        task: asked.task,
        confirmation,
        spent: used,
    };
    delegation::exchange(entrance.broker(), ask).await.map_err(failure::of_engine)
}
