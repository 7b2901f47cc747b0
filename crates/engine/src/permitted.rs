//! The proof of being allowed: a value that only [`crate::authorize`] can make.

mod standing;

use std::{collections::BTreeSet, sync::Arc};

use bailiwick_model::{
    decision::{Decision, Evaluated, Obligation},
    evaluation::{Evaluation, Party},
    id::{GrantId, TokenId},
    name::SystemName,
    observation::Observation,
    operation::Operation,
    principal::DelegationChain,
};
use bailiwick_pdp::snapshot::Snapshot;
use bailiwick_ports::entry::Receipt;
use jiff::Timestamp;

pub use self::standing::{NotAgain, Standing};
use crate::{broker::Broker, live::Live, observation, refusal::Refusal};

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
    pub(crate) token: TokenId,
    pub(crate) grant: Option<GrantId>,
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

    /// Looks once more, right before the forward and whenever something changed: its token still standing, every principal
    /// still active with the rights of now, no safe mode in the way, the task still open, the policy of now still for it,
    /// and obliging to nothing more. Time may have passed since the decision (a queue, an approval, a server that starts
    /// slowly).
    pub fn recheck(&self, broker: &Broker) -> Result<(), Refusal> {
        let (live, now) = (broker.live(), broker.now());
        if !live.token_stands(self.token, self.grant, now) {
            let why = "the token was revoked, or what it was issued from has ended";
            return Err(Refusal::Conflict(why.to_owned()));
        }
        let parties = still_active(&live, &self.chain, &self.evaluation, now)?;
        let policy = active_policy(&live)?;
        let authority = &self.evaluation.authority;
        let safe_modes = live.safe_mode_scopes();
        let observations = still_observed(broker, &live, &self.evaluation);
        let same_policy = policy.revision() == self.evaluated.bundle;
        let same_observations = observations == authority.observations;
        let same_parties = parties == self.evaluation.parties;
        if same_policy && same_parties && same_observations && safe_modes == authority.safe_modes {
            return Ok(());
        }
        let mut again = Evaluation::clone(&self.evaluation);
        again.parties = parties;
        again.authority.safe_modes = safe_modes;
        again.authority.observations = observations;
        let why = match (same_policy, same_parties, same_observations) {
            (false, ..) => "a policy was published meanwhile that does not allow this",
            (true, false, _) => "somebody on whose authority it is lost a right meanwhile",
            (true, true, false) => "the observation under which it was allowed ended meanwhile",
            (true, true, true) => "safe mode went on meanwhile",
        };
        still_allowed(policy, &again, &self.obligations, why)
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

/// Everybody is active and the task is open, whatever policy says. Gives what is known of everybody now.
fn still_active(
    live: &Live,
    chain: &DelegationChain,
    evaluation: &Evaluation,
    now: Timestamp,
) -> Result<Vec<Party>, Refusal> {
    let party = |principal| {
        live.party(principal, now)
            .map_err(|inactive| Refusal::Conflict(format!("`{principal}` may not act any more: {inactive}")))
    };
    let parties = chain.principals().iter().map(party).collect::<Result<_, _>>()?;
    if let Some(id) = evaluation.task.id
        && !live.tasks.get(&id).is_some_and(|task| task.is_open(now))
    {
        return Err(Refusal::Conflict(format!("task `{id}` has ended")));
    }
    Ok(parties)
}

fn active_policy(live: &Live) -> Result<&Snapshot, Refusal> {
    live.policy.as_deref().ok_or_else(|| Refusal::Conflict("no policy bundle is active".to_owned()))
}

/// The observations that are on. One that was turned on meanwhile changes nothing that was allowed without it.
fn still_observed(broker: &Broker, live: &Live, evaluation: &Evaluation) -> BTreeSet<Observation> {
    let mut observations = observation::on(broker, live);
    observations.retain(|one| evaluation.authority.observations.contains(one));
    observations
}

/// Policy allows it; `why` is told where it does not.
fn still_allowed(policy: &Snapshot, again: &Evaluation, obligations: &[Obligation], why: &str) -> Result<(), Refusal> {
    match policy.evaluate(again).decision {
        // What comes of the call is filtered as it was decided, so nothing would see to the others.
        Decision::Allow { obligations: now } => match now.iter().find(|one| !one.is_met_by(obligations)) {
            None => Ok(()),
            Some(_) => Err(Refusal::Conflict("policy obliges to more now than when it was allowed".to_owned())),
        },
        Decision::RequestableDenial { .. } | Decision::Deny { .. } => Err(Refusal::Conflict(why.to_owned())),
    }
}
