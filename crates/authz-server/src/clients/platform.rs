//! A client that the platform vouches for on which it runs: GitHub Actions, Kubernetes and their like, which sign a token for
//! each of their workloads (RFC 7523 §2.2, by an issuer that is not the client). It has no key of ours.

use bailiwick_engine::{alerts::AlertKind, broker::Broker};
use bailiwick_model::{
    agent::{Authenticator, PlatformIdentity},
    name::AgentName,
};
use bailiwick_oauth::{
    claims::Claims,
    error::ErrorCode,
    foreign_token::{ForeignRules, UnverifiedForeign},
    jws::TokenType,
};
use bailiwick_pdp::issuers::{Issuer, Misfit, Workloads};
use bailiwick_web::verify::spent;

use super::{Client, Visit};
use crate::failure::{Failure, Why};

/// What names a URL as its issuer: a client's own assertion names the client, and no client's name has a colon.
pub(super) fn parse(assertion: &str) -> Option<UnverifiedForeign<'_>> {
    let token = UnverifiedForeign::parse(assertion, TokenType::WorkloadToken).ok()?;
    token.claimed_issuer()?.contains(':').then_some(token)
}

impl Visit<'_> {
    /// Verifies who asks by what the platform signed. Whoever gets a token of the platform, as anybody does on a public one,
    /// learns nothing about agents here: what did not fit is said in our log.
    pub(super) async fn platform(
        &mut self,
        token: UnverifiedForeign<'_>,
        client: Option<&AgentName>,
    ) -> Result<Client, Failure> {
        let broker = self.entrance().shared_broker();
        let (issuer, workloads) = trusted(&broker, &token).ok_or_else(Failure::unauthenticated)?;
        let named = issuer.issuer.as_deref().unwrap_or_default();
        let keys = self.keys_of(&issuer, token.kid()).await?;
        let rules = ForeignRules {
            issuer: Some(named),
            source: named,
            audience: self.entrance().issuer(),
            age_s_max: i64::try_from(issuer.age_s_max).unwrap_or(0),
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
        let agent = fitting(&issuer, &workloads, &verified.claims, client)?;
        let registered = self.claimed(&agent).await?;
        let credential = registered
            .credentials
            .iter()
            .find(|credential| broker.now() < credential.expires_at && is_of(&credential.authenticator, named, &agent));
        let Some(credential) = credential.map(|credential| credential.authenticator.id()) else {
            tracing::warn!(agent.id = %agent, issuer = named, "a platform's token is no credential of the agent");
            return Err(Failure::unauthenticated());
        };
        let once = (!workloads.tokens_reused).then(|| spent(verified.once));
        Ok(Client { agent: registered, credential, once })
    }
}

/// The issuer of a token, if the active bundle trusts it with workloads.
fn trusted(broker: &Broker, token: &UnverifiedForeign<'_>) -> Option<(Issuer, Workloads)> {
    let live = broker.live();
    let (issuer, workloads) = live.policy.as_deref()?.issuers().of_workloads(token.claimed_issuer()?)?;
    Some((issuer.clone(), workloads.clone()))
}

/// The agent that the token says, which must be the one that the client says.
fn fitting(
    issuer: &Issuer,
    workloads: &Workloads,
    claims: &Claims,
    client: Option<&AgentName>,
) -> Result<AgentName, Failure> {
    let found = workloads.agent(claims.members());
    match found {
        Some(agent) if client.is_none_or(|client| client == agent) => Ok(agent.clone()),
        _ => {
            if let Some(Misfit { agent, claim }) = workloads.misfit(claims.members(), client) {
                tracing::warn!(agent.id = %agent, issuer = issuer.name, claim, "a platform's token is of no agent");
            }
            Err(Failure::unauthenticated())
        }
    }
}

fn is_of(authenticator: &Authenticator, issuer: &str, agent: &AgentName) -> bool {
    matches!(authenticator, Authenticator::Platform(PlatformIdentity { issuer: own, agent: whose })
        if own.as_str() == issuer && whose == agent)
}

/// The signature holds: the workload's developer may know what is wrong about time and audience.
fn refused(why: &str) -> Failure {
    let description = format!("the platform's token is refused: {why}");
    Failure::new(Why::ForeignAssertion, ErrorCode::InvalidClient, &description)
}

#[cfg(test)]
mod tests;
