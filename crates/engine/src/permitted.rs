//! The proof of being allowed: a value that only [`crate::authorize`] can make.

use std::sync::Arc;

use bailiwick_model::{
    bundle::BundleRevision,
    decision::{Decision, Evaluated, Obligation},
    evaluation::Evaluation,
    name::SystemName,
    operation::Operation,
    principal::DelegationChain,
};
use bailiwick_ports::entry::Receipt;

use crate::{broker::Broker, observation, refusal::Refusal};

/// One call that was allowed and whose intent is durable. Not clonable: one permit, one forward.
///
/// ```compile_fail
/// fn twice(permit: bailiwick_engine::permitted::Permitted) {
///     let copy = permit.clone();
/// }
/// ```
///
/// ```compile_fail
/// let forged = bailiwick_engine::permitted::Permitted { };
/// ```
#[derive(Debug)]
pub struct Permitted {
    pub(crate) system: SystemName,
    pub(crate) chain: DelegationChain,
    pub(crate) evaluation: Arc<Evaluation>,
    pub(crate) evaluated: Evaluated,
    pub(crate) obligations: Vec<Obligation>,
    pub(crate) receipt: Receipt,
}

impl Permitted {
    /// The system that the call may go to, and no other.
    pub fn system(&self) -> &SystemName {
        &self.system
    }

    /// Everybody on whose authority it goes.
    pub fn chain(&self) -> &DelegationChain {
        &self.chain
    }

    /// What was allowed.
    pub fn operations(&self) -> &[Operation] {
        &self.evaluation.operations
    }

    /// What must be done with the result.
    pub fn obligations(&self) -> &[Obligation] {
        &self.obligations
    }

    /// The decision.
    pub fn evaluated(&self) -> &Evaluated {
        &self.evaluated
    }

    /// Where its intent lies in the evidence.
    pub fn receipt(&self) -> Receipt {
        self.receipt
    }

    /// Looks once more, right before the forward and whenever something changed: every principal still active, no safe
    /// mode in the way, the task still open, the policy of now still for it. Time may have passed since the decision (a
    /// queue, an approval, a server that starts slowly).
    pub fn recheck(&self, broker: &Broker) -> Result<(), Refusal> {
        recheck(broker, &self.chain, &self.evaluation, self.evaluated.bundle)
    }

    /// What it stands on, for those who keep what came of it after it was used up.
    pub fn standing(&self) -> Standing {
        Standing { chain: self.chain.clone(), evaluation: Arc::clone(&self.evaluation), bundle: self.evaluated.bundle }
    }
}

/// What a permit stands on. It permits nothing: it only tells whether the same would still be permitted.
#[derive(Debug, Clone)]
pub struct Standing {
    chain: DelegationChain,
    evaluation: Arc<Evaluation>,
    bundle: BundleRevision,
}

impl Standing {
    /// As [`Permitted::recheck`].
    pub fn recheck(&self, broker: &Broker) -> Result<(), Refusal> {
        recheck(broker, &self.chain, &self.evaluation, self.bundle)
    }
}

fn recheck(
    broker: &Broker,
    chain: &DelegationChain,
    evaluation: &Evaluation,
    bundle: BundleRevision,
) -> Result<(), Refusal> {
    let live = broker.live();
    let now = broker.now();
    for principal in chain.principals() {
        live.party(principal, now)
            .map_err(|inactive| Refusal::Conflict(format!("`{principal}` may not act any more: {inactive}")))?;
    }
    if let Some(id) = evaluation.task.id
        && !live.tasks.get(&id).is_some_and(|task| task.is_open(now))
    {
        return Err(Refusal::Conflict(format!("task `{id}` has ended")));
    }
    let Some(policy) = live.policy.as_deref() else {
        return Err(Refusal::Conflict("no policy bundle is active".to_owned()));
    };
    let safe_modes = live.safe_mode_scopes();
    // One that was turned on meanwhile changes nothing that was allowed without it.
    let mut observations = observation::on(broker, &live);
    observations.retain(|one| evaluation.authority.observations.contains(one));
    let same_policy = policy.revision() == bundle;
    let same_observations = observations == evaluation.authority.observations;
    if same_policy && same_observations && safe_modes == evaluation.authority.safe_modes {
        return Ok(());
    }
    let mut again = evaluation.clone();
    again.authority.safe_modes = safe_modes;
    again.authority.observations = observations;
    match policy.evaluate(&again).decision {
        Decision::Allow { .. } => Ok(()),
        Decision::RequestableDenial { .. } | Decision::Deny { .. } if same_policy && !same_observations => {
            Err(Refusal::Conflict("the observation under which it was allowed ended meanwhile".to_owned()))
        }
        Decision::RequestableDenial { .. } | Decision::Deny { .. } if same_policy => {
            Err(Refusal::Conflict("safe mode went on meanwhile".to_owned()))
        }
        Decision::RequestableDenial { .. } | Decision::Deny { .. } => {
            Err(Refusal::Conflict("a policy was published meanwhile that does not allow this".to_owned()))
        }
    }
}
