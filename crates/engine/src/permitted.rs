//! The proof of being allowed: a value that only [`crate::authorize`] can make.

use bailiwick_model::{
    decision::{Evaluated, Obligation},
    evaluation::Evaluation,
    name::SystemName,
    operation::Operation,
    principal::DelegationChain,
};
use bailiwick_ports::entry::Receipt;

use crate::{broker::Broker, refusal::Refusal};

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
    pub(crate) evaluation: Evaluation,
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

    /// Looks once more, right before the forward: every principal still active, no safe mode in the way, the task
    /// still open. Time may have passed since the decision (a queue, an approval).
    pub fn recheck(&self, broker: &Broker) -> Result<(), Refusal> {
        crate::authorize::recheck(broker, self)
    }
}
