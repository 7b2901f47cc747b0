//! A client acts for a user for whom another domain vouches (RFC 7523 §2.1 with an ID-JAG,
//! draft-ietf-oauth-identity-assertion-authz-grant-04 §5).

use bailiwick_engine::{
    tokens::Issued,
    vouching::{self, VouchedAsk},
};
use bailiwick_oauth::{
    dpop::DpopError,
    error::ErrorCode,
    foreign_token::{ForeignError, ForeignRules, UnverifiedForeign},
    id_jag::{ID_JAG_TTL_S_MAX, IdJag},
    jws::TokenType,
    token_request::JwtBearer,
};
use bailiwick_web::verify::spent;

use crate::{
    clients::{Client, Possession, Visit},
    failure::{self, Failure, Why},
};

pub(super) async fn issue(visit: &Visit<'_>, client: Client, asked: JwtBearer) -> Result<Issued, Failure> {
    let entrance = visit.entrance();
    let broker = entrance.broker();
    let Client { agent, credential, once } = client;
    // Before the assertion is used up: a proof without a nonce is an ordinary first step, and the same assertion comes again.
    let Possession { confirmation, once: proof } = visit.possession()?;
    if confirmation.is_none() && !agent.bearer_tokens_allowed {
        return Err(Failure::of(Why::Proof, DpopError::Missing.into()));
    }
    let assertion = UnverifiedForeign::parse(asked.assertion.expose(), TokenType::IdJag)
        .map_err(|error| refused(&error.to_string()))?;
    let issuer = vouching::trusted_issuer(broker, assertion.claimed_issuer().unwrap_or_default());
    let issuer = issuer.map_err(failure::of_engine)?;
    let keys = visit.keys_of(&issuer, assertion.kid()).await?;
    let name = issuer.issuer.clone().unwrap_or_default();
    let rules = ForeignRules {
        issuer: Some(&name),
        source: &name,
        audience: entrance.issuer(),
        age_s_max: i64::try_from(issuer.age_s_max).unwrap_or(0).min(ID_JAG_TTL_S_MAX),
    };
    let verified = match assertion.verify(&keys, &rules, broker.now()) {
        Ok(verified) if verified.named => verified,
        Ok(_) => return Err(refused("claim `jti` is missing")),
        Err(error) => return Err(visit.foreign(&error).await),
    };
    let assertion = IdJag::read(&verified.claims).map_err(|error| refused(&error.to_string()))?;
    let ask = VouchedAsk {
        agent,
        credential,
        issuer: name,
        assertion,
        resource: asked.resource,
        scopes: (!asked.scopes.is_empty()).then_some(asked.scopes),
        details: asked.details,
        confirmation,
        spent: std::iter::once(spent(verified.once)).chain(once).chain(proof).collect(),
    };
    vouching::accept(broker, ask).await.map_err(failure::of_engine)
}

/// RFC 7521 §4.1.1: whatever is wrong with it.
fn refused(why: &str) -> Failure {
    Failure::new(Why::ForeignAssertion, ErrorCode::InvalidGrant, &format!("the assertion is refused: {why}"))
}

impl Visit<'_> {
    /// What a token of another issuer is refused for. One that nobody signed whom we trust is something to look at.
    async fn foreign(&self, error: &ForeignError) -> Failure {
        if error.is_unsigned() {
            self.alert(bailiwick_engine::alerts::AlertKind::ForgedCredential).await;
        }
        refused(&error.to_string())
    }
}

#[cfg(test)]
mod tests;
