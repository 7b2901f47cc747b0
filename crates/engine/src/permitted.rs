//! The proof of being allowed: a value that only [`crate::authorize`] can make.

mod weight;

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
    /// mode in the way, the task still open, the policy of now still for it, and obliging to nothing more. Time may have
    /// passed since the decision (a queue, an approval, a server that starts slowly).
    pub fn recheck(&self, broker: &Broker) -> Result<(), Refusal> {
        recheck(broker, &self.chain, &self.evaluation, &self.obligations, self.evaluated.bundle)
    }

    /// What it stands on, for those who keep what came of it after it was used up.
    pub fn standing(&self) -> Standing {
        Standing {
            chain: self.chain.clone(),
            evaluation: Arc::clone(&self.evaluation),
            obligations: self.obligations.clone(),
            bundle: self.evaluated.bundle,
        }
    }
}

/// What a permit stands on. It permits nothing: it only tells whether the same would still be permitted. It holds the
/// arguments of the call for as long as it is kept.
#[derive(Debug, Clone)]
pub struct Standing {
    chain: DelegationChain,
    evaluation: Arc<Evaluation>,
    obligations: Vec<Obligation>,
    bundle: BundleRevision,
}

impl Standing {
    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        weight::of(&self.evaluation)
    }

    /// As [`Permitted::recheck`], and stricter where something was masked: which fields that means is the catalogue's,
    /// and only the bundle that decided masked by its own.
    pub fn recheck(&self, broker: &Broker) -> Result<(), Refusal> {
        let masked = self.obligations.iter().any(|one| matches!(one, Obligation::Mask { .. }));
        let now = broker.live().policy.as_ref().map(|policy| policy.revision());
        if masked && now != Some(self.bundle) {
            return Err(Refusal::Conflict("it was masked by a policy that was replaced meanwhile".to_owned()));
        }
        recheck(broker, &self.chain, &self.evaluation, &self.obligations, self.bundle)
    }
}

fn recheck(
    broker: &Broker,
    chain: &DelegationChain,
    evaluation: &Evaluation,
    obligations: &[Obligation],
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
        // What comes of the call is filtered as it was decided, so nothing would see to the others.
        Decision::Allow { obligations: now } => match now.iter().find(|one| !one.is_met_by(obligations)) {
            None => Ok(()),
            Some(_) => Err(Refusal::Conflict("policy obliges to more now than when it was allowed".to_owned())),
        },
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
