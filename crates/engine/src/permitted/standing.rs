//! What a permit stood on, kept for as long as what came of it may be told again:
//! to whom, and whether at all. It permits nothing.

use std::sync::Arc;

use bailiwick_model::{
    bundle::BundleRevision,
    decision::Obligation,
    evaluation::{Authority, Evaluation},
    principal::DelegationChain,
};
use bailiwick_pdp::narrowing::tools_within;

use super::{active_policy, still_active, still_allowed, still_observed};
use crate::{broker::Broker, caller::Caller, refusal::Refusal, weight};

/// What a permit stands on. It only tells whether the same would still be permitted, and holds the arguments of the call
/// for as long as it is kept.
#[derive(Debug, Clone)]
pub struct Standing {
    pub(super) chain: DelegationChain,
    pub(super) evaluation: Arc<Evaluation>,
    pub(super) obligations: Vec<Obligation>,
    pub(super) bundle: BundleRevision,
}

/// Why what came of a call is not told again.
#[derive(Debug, thiserror::Error)]
pub enum NotAgain {
    /// Not to whoever asks now, and that ends nothing: who called may still come back.
    #[error("{0}")]
    ToThisCaller(&'static str),
    /// To nobody any more.
    #[error("{0}")]
    ToAnybody(Refusal),
}

impl Standing {
    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        weight::of(&self.evaluation)
    }

    /// Looks at it as if the call were made now by `caller`, who must bring all that it was made with. Only the facts are
    /// those of then: what a call itself made known does not end its own answer.
    pub fn recheck(&self, broker: &Broker, caller: &Caller) -> Result<(), NotAgain> {
        self.is_of(broker, caller).map_err(NotAgain::ToThisCaller)?;
        self.still_stands(broker).map_err(NotAgain::ToAnybody)
    }

    /// A later token of the same agent and key may say less, or something else.
    fn is_of(&self, broker: &Broker, caller: &Caller) -> Result<(), &'static str> {
        let was = &*self.evaluation;
        if caller.chain != self.chain {
            Err("other principals made the call")
        } else if !was.authority.scopes.is_subset(&caller.scopes) {
            Err("the call was made with a token of more scopes")
        } else if !tools_within(was.authority.details.as_deref(), caller.details.as_deref()) {
            Err("the call was made with a token of wider `authorization_details`")
        } else if was.task.id != caller.task {
            Err("the call was made in another task")
        } else if was.network_zone != (broker.settings().zone_of)(caller.address) {
            Err("the call was made from another network zone")
        } else {
            Ok(())
        }
    }

    fn still_stands(&self, broker: &Broker) -> Result<(), Refusal> {
        let live = broker.live();
        let now = broker.now();
        let parties = still_active(&live, &self.chain, &self.evaluation, now)?;
        let policy = active_policy(&live)?;
        let masked = self.obligations.iter().any(|one| matches!(one, Obligation::Mask { .. }));
        // Which fields a mask covers is the catalogue's word, and the bundle that decided masked by its own.
        if masked && policy.revision() != self.bundle {
            return Err(Refusal::Conflict("it was masked by a policy that was replaced meanwhile".to_owned()));
        }
        // A proof that was fresh when the call was made does not go stale while it runs.
        let proof = self.evaluation.authority.authentication.clone();
        let authority = Authority {
            authentication: proof.map(|proof| proof.aged_as_of(self.evaluation.now, now)),
            scopes: self.evaluation.authority.scopes.clone(),
            details: self.evaluation.authority.details.clone(),
            safe_modes: live.safe_mode_scopes(),
            observations: still_observed(broker, &live, &self.evaluation),
        };
        let again = Evaluation { now, parties, authority, ..Evaluation::clone(&self.evaluation) };
        still_allowed(policy, &again, &self.obligations, "policy would not allow the call now")
    }
}
