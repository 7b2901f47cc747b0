//! Workloads that a platform vouches for, some of which are agents: by claims that are never given twice, or by a SPIFFE id.
//! Which is which stands in the active bundle.

use bailiwick_model::name::AgentName;
use bailiwick_pdp::issuers::{Issuer, Matched};
use serde_json::{Map, Value};

use crate::broker::Broker;

/// Why a workload is no agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAgent {
    /// Nobody trusts its issuer, or its trust domain, with agents.
    #[error("its issuer is not trusted with agents here")]
    Issuer,
    /// It is none that was named.
    #[error("the workload is no agent here")]
    Nobody,
    /// It fits two of them.
    #[error("the workload fits several agents\nhint: give each of them claims of its own in `issuers/`")]
    Several,
}

/// How a workload proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof<'a> {
    /// By a token of this issuer.
    Issuer(&'a str),
    /// By a JWT-SVID for this SPIFFE id.
    Spiffe(&'a str),
}

/// The issuer or trust domain of a workload, and whether its tokens are good more than once.
pub fn issuer(broker: &Broker, proof: Proof<'_>) -> Result<(Issuer, bool), NotAnAgent> {
    let live = broker.live();
    let issuers = live.policy.as_deref().ok_or(NotAnAgent::Issuer)?.issuers();
    let found = match proof {
        Proof::Issuer(issuer) => {
            issuers.of_workloads(issuer).map(|(issuer, workloads)| (issuer.clone(), workloads.tokens_reused))
        }
        // SPIFFE's libraries keep a JWT-SVID and send it again; one that has an id can be good once all the same.
        Proof::Spiffe(id) => issuers.of_spiffe_id(id).map(|(issuer, _)| (issuer.clone(), false)),
    };
    found.ok_or(NotAnAgent::Issuer)
}

/// The agent that a workload is, by the verified claims of its token.
pub fn agent(issuer: &Issuer, proof: Proof<'_>, claims: &Map<String, Value>) -> Result<AgentName, NotAnAgent> {
    match proof {
        Proof::Issuer(_) => match issuer.workloads.as_ref().ok_or(NotAnAgent::Issuer)?.agent(claims) {
            Matched::One(agent) => Ok(agent),
            Matched::Nobody => Err(NotAnAgent::Nobody),
            Matched::Several => Err(NotAnAgent::Several),
        },
        Proof::Spiffe(id) => {
            let domain = issuer.trust_domain.as_ref().ok_or(NotAnAgent::Issuer)?;
            domain.ids.get(id).cloned().ok_or(NotAnAgent::Nobody)
        }
    }
}
