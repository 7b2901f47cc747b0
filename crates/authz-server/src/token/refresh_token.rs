//! A client renews what a user allowed it (RFC 6749 §6), with a refresh token that is good once (RFC 9700 §4.14).

use bailiwick_engine::{
    alerts::AlertKind,
    refresh::{self, NotRenewed, RefreshAsk},
    tokens::Audience,
};
use bailiwick_oauth::{error::ErrorCode, token_request::Refresh};

use super::Granted;
use crate::{
    clients::{Client, Possession, Visit},
    failure::{self, Failure, Why},
};

pub(super) async fn renew(visit: &Visit<'_>, client: Client, asked: Refresh) -> Result<Granted, Failure> {
    let entrance = visit.entrance();
    let Client { agent, credential, once } = client;
    let Refresh { token, resource, scopes, details } = asked;
    let audience =
        match resource {
            None => None,
            Some(resource) => Some(Audience::of_resource(entrance.issuer(), &resource).ok_or_else(|| {
                Failure::new(Why::Target, ErrorCode::InvalidTarget, "no such resource for this client")
            })?),
        };
    let Possession { confirmation, once: proof } = visit.possession()?;
    let ask = RefreshAsk {
        agent: agent.name.clone(),
        credential,
        refresh_token: token,
        audience,
        scopes: (!scopes.is_empty()).then_some(scopes),
        details,
        confirmation,
        spent: once.into_iter().chain(proof).collect(),
    };
    match refresh::renew(entrance.broker(), ask).await {
        Ok((issued, next)) => Ok(Granted { issued, refresh_token: Some(next), id_token: None }),
        Err(NotRenewed::Refused(refusal)) => Err(failure::of_engine(refusal)),
        Err(reused @ NotRenewed::Reused) => {
            visit.alert(AlertKind::RefreshReuse).await;
            Err(Failure::new(Why::Grant, ErrorCode::InvalidGrant, &reused.to_string()))
        }
    }
}

#[cfg(test)]
mod tests;
