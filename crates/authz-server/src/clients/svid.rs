//! A client that its SPIFFE trust domain vouches for, by a JWT-SVID (draft-ietf-oauth-spiffe-client-auth-02): the id is one of
//! the bundle's, and a credential of the agent that it is.

use bailiwick_engine::{alerts::AlertKind, broker::Broker};
use bailiwick_model::{agent::Authenticator, name::AgentName};
use bailiwick_oauth::{
    error::ErrorCode,
    foreign_token::{ForeignRules, UnverifiedForeign},
    jws::TokenType,
};
use bailiwick_pdp::issuers::Issuer;
use bailiwick_web::verify::spent;

use super::{Client, Visit};
use crate::failure::{Failure, Why};

impl Visit<'_> {
    /// Verifies who asks by what the trust domain signed.
    pub(super) async fn svid(&mut self, svid: &str, client: Option<&AgentName>) -> Result<Client, Failure> {
        let broker = self.entrance().shared_broker();
        let token = UnverifiedForeign::parse(svid, TokenType::WorkloadToken).map_err(|_| Failure::unauthenticated())?;
        let id = token.claimed_subject().unwrap_or_default().to_owned();
        let (domain, agent) = trust_domain(&broker, &id).ok_or_else(Failure::unauthenticated)?;
        let keys = self.keys_of(&domain, token.kid()).await?;
        let rules = ForeignRules {
            issuer: None,
            source: &format!("spiffe:{}", domain.name),
            audience: self.entrance().issuer(),
            age_s_max: i64::try_from(domain.age_s_max).unwrap_or(0),
        };
        let verified = match token.verify(&keys, &rules, broker.now()) {
            Ok(verified) => verified,
            // Nobody signed it whom we trust, so whoever sent it learns nothing.
            Err(error) if error.is_unsigned() => {
                self.alert(AlertKind::ForgedCredential).await;
                return Err(Failure::unauthenticated());
            }
            Err(error) => return Err(refused(&error.to_string())),
        };
        let agent = agent.ok_or_else(|| refused("the workload is no agent here"))?;
        let registered = self.claimed(&agent).await?;
        if client.is_some_and(|client| *client != agent) {
            return Err(Failure::unauthenticated());
        }
        let is_own =
            |authenticator: &Authenticator| matches!(authenticator, Authenticator::Spiffe(own) if own.as_str() == id);
        let credential = registered
            .credentials
            .iter()
            .find(|credential| broker.now() < credential.expires_at && is_own(&credential.authenticator))
            .map(|credential| credential.authenticator.id())
            .ok_or_else(|| refused("its SPIFFE id is no credential of the agent"))?;
        // SPIFFE's libraries keep a JWT-SVID and send it again; one that has an id is good once all the same.
        let once = verified.named.then(|| spent(verified.once));
        Ok(Client { agent: registered, credential, once })
    }
}

/// The trust domain of a SPIFFE id that the active bundle trusts, and the agent that the id is.
fn trust_domain(broker: &Broker, id: &str) -> Option<(Issuer, Option<AgentName>)> {
    let live = broker.live();
    let (issuer, domain) = live.policy.as_deref()?.issuers().of_spiffe_id(id)?;
    Some((issuer.clone(), domain.ids.get(id).cloned()))
}

/// The signature holds: the workload's developer may know what else is wrong.
fn refused(why: &str) -> Failure {
    let description = format!("the JWT-SVID is refused: {why}");
    Failure::new(Why::ForeignAssertion, ErrorCode::InvalidClient, &description)
}

#[cfg(test)]
mod tests;
