//! A client wants us to vouch for its user to another domain (RFC 8693 with an ID-JAG,
//! draft-ietf-oauth-identity-assertion-authz-grant-04 §4).

use bailiwick_engine::vouching::{self, HeldBy, VouchAsk, VouchedFor};
use bailiwick_oauth::{
    error::ErrorCode,
    token_request::{HeldToken, Vouch},
};

use crate::{
    clients::{Client, Possession, Visit},
    failure::{self, Failure, Why},
};

pub(super) async fn issue(visit: &Visit<'_>, client: Client, asked: Vouch) -> Result<VouchedFor, Failure> {
    let entrance = visit.entrance();
    let Client { agent, credential, once } = client;
    // With a proof the assertion is bound to its key; without one it is not, as the other domain may know no proofs.
    let Possession { confirmation, once: proof } = visit.possession()?;
    let held = match asked.held {
        HeldToken::Refresh(token) => HeldBy::Refresh(token),
        HeldToken::Access(token) => match entrance.read_token(token.expose()) {
            Some(Ok(claims)) => HeldBy::Access(Box::new(claims)),
            Some(Err(error)) => {
                let description = format!("the subject token is refused: {error}");
                return Err(Failure::new(Why::SubjectToken, ErrorCode::InvalidRequest, &description));
            }
            None => return Err(Failure::without_keys()),
        },
    };
    let ask = VouchAsk {
        agent: agent.name.clone(),
        credential,
        held,
        audience: asked.audience,
        resource: asked.resource,
        scopes: (!asked.scopes.is_empty()).then_some(asked.scopes),
        confirmation,
        spent: once.into_iter().chain(proof).collect(),
    };
    vouching::vouch(entrance.broker(), ask).await.map_err(failure::of_engine)
}

#[cfg(test)]
mod tests;
