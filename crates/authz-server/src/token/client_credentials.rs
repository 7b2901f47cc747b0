//! A client acts for itself (RFC 6749 §4.4), for one resource (RFC 8707), bound to a key (RFC 9449).

use bailiwick_engine::tokens::{self, Audience, Issued, TokenAsk};
use bailiwick_model::confirmation::Confirmation;
use bailiwick_oauth::{dpop::DpopError, error::ErrorCode, token_request::ClientCredentials};

use crate::{
    clients::{Client, Possession, Visit},
    failure::{self, Failure, Why},
};

pub(super) async fn issue(visit: &Visit<'_>, client: Client, asked: ClientCredentials) -> Result<Issued, Failure> {
    let entrance = visit.entrance();
    let Client { agent, credential, once } = client;
    let audience = Audience::of_resource(entrance.issuer(), &asked.resource);
    let Possession { confirmation, once: proof } = visit.possession()?;
    if confirmation.is_none() && !agent.bearer_tokens_allowed && !audience.as_ref().is_some_and(Audience::only_asks) {
        return Err(Failure::of(Why::Proof, DpopError::Missing.into()));
    }
    let Some(audience) = audience else {
        return Err(Failure::new(Why::Target, ErrorCode::InvalidTarget, "no such resource for this client"));
    };
    if asked.details.as_ref().is_some_and(|details| details.task.is_some()) {
        visit.count_task(&agent.name)?;
    }
    // The hook of an agent's client asks over a connection of its own.
    let of_connection = |confirmation: &Confirmation| matches!(confirmation, Confirmation::Certificate(_));
    let confirmation = confirmation.filter(|one| !(audience.only_asks() && of_connection(one)));
    let used = once.into_iter().chain(proof).collect();
    let scopes = (!asked.scopes.is_empty()).then_some(asked.scopes);
    let ask = TokenAsk {
        agent: agent.name.clone(),
        credential,
        grant: None,
        audience,
        scopes,
        details: asked.details,
        task: asked.task,
        confirmation,
        spent: used,
    };
    tokens::issue(entrance.broker(), ask).await.map_err(failure::of_engine)
}
