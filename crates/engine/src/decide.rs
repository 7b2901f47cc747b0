//! Decides one call or question on the live state, and records nothing. Whatever fails denies.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::{
    authentication::StepUp,
    decision::{Decision, Evaluated, Reason, ReasonCode},
    digest::Digest,
    evaluation::{Authority, Evaluation, Party, TaskContext},
    id::EvaluationId,
    name::{AgentName, Scope},
    principal::Principal,
};
use bailiwick_pdp::{coaz::Claims, mapping::Call, snapshot::Snapshot};
use bailiwick_ports::store::ReliedOn;

use crate::{
    broker::Broker,
    caller::{Caller, RawCall},
    live::Live,
    observation,
};

/// What a decision is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A call that goes upstream when it is allowed.
    Call,
    /// A tool that the caller's client has itself: nothing is sent by us, and there is nothing to verify.
    OwnTool,
    /// An answer alone: whether the system is up and was verified lately does not matter yet.
    Question,
}

/// What was decided and on what.
pub(crate) struct Decided {
    pub(crate) evaluation: Option<Evaluation>,
    pub(crate) evaluated: Evaluated,
    pub(crate) relied_on: ReliedOn,
    pub(crate) scopes_needed: Vec<Scope>,
    pub(crate) step_up: Option<StepUp>,
}

impl Decided {
    pub(crate) fn denied(id: EvaluationId, policy: Option<&Snapshot>, reason: Reason) -> Self {
        Self {
            evaluation: None,
            evaluated: Evaluated {
                id,
                bundle: policy.map_or(Digest::from_bytes([0; 32]), Snapshot::revision),
                decision: Decision::deny(reason),
                determining: Vec::new(),
                errors: BTreeMap::new(),
                budgets: Vec::new(),
                examined: Vec::new(),
                observed: None,
            },
            relied_on: ReliedOn::default(),
            scopes_needed: Vec::new(),
            step_up: None,
        }
    }
}

/// Decides without recording anything: also for questions that forward nothing.
pub(crate) fn decide(
    broker: &Broker,
    caller: &Caller,
    call: &RawCall<'_>,
    id: EvaluationId,
    purpose: Purpose,
) -> Decided {
    let live = broker.live();
    let policy = live.policy.as_deref();
    let Some(snapshot) = policy else {
        return Decided::denied(id, None, no_bundle());
    };
    match question(broker, &live, snapshot, caller, call, (id, purpose)) {
        Ok((evaluation, relied_on)) => {
            let scopes_needed = snapshot.required_scopes(&evaluation.operations);
            let evaluated = snapshot.evaluate(&evaluation);
            let step_up = step_up(snapshot, &evaluation, &evaluated);
            Decided { evaluation: Some(evaluation), evaluated, relied_on, scopes_needed, step_up }
        }
        Err(reason) => Decided::denied(id, policy, *reason),
    }
}

/// What the user of a chain has to prove anew, where that is among what stands in the way. Where no user is, nobody can.
fn step_up(snapshot: &Snapshot, evaluation: &Evaluation, evaluated: &Evaluated) -> Option<StepUp> {
    let lacks = |reason: &Reason| reason.code == ReasonCode::InsufficientUserAuthentication;
    let of_user = matches!(evaluation.parties.first()?.principal, Principal::User(_));
    let asks = of_user && evaluated.decision.reasons().iter().any(lacks);
    asks.then(|| snapshot.required_step_up(&evaluation.operations)).flatten()
}

fn question(
    broker: &Broker,
    live: &Live,
    snapshot: &Snapshot,
    caller: &Caller,
    call: &RawCall<'_>,
    (id, purpose): (EvaluationId, Purpose),
) -> Result<(Evaluation, ReliedOn), Box<Reason>> {
    let now = broker.now();
    let parties = parties(live, caller, now)?;
    match purpose {
        Purpose::Call => crate::definitions::fit_to_call(live, snapshot, call, now)?,
        Purpose::OwnTool => crate::definitions::fit_to_own_tool(snapshot, call)?,
        Purpose::Question => crate::definitions::fit_to_question(live, snapshot, call)?,
    }
    let claims = Claims::of(&broker.settings().issuer, caller.chain.initiating(), caller.chain.current());
    let raw = Call { system: call.system, method: call.method, name: call.name, arguments: call.arguments };
    let operations = snapshot.map_for(&raw, &claims).map_err(Box::new)?;
    let (task, relied_on) = task_context(broker, live, caller, now)?;
    let evaluation = Evaluation {
        id,
        now,
        parties,
        operations,
        arguments: call.arguments.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        network_zone: (broker.settings().zone_of)(caller.address),
        task,
        approvals: BTreeSet::new(),
        authority: authority(broker, live, caller),
    };
    Ok((evaluation, relied_on))
}

/// What the token and the state of now allow a caller, beside policy.
pub(crate) fn authority(broker: &Broker, live: &Live, caller: &Caller) -> Authority {
    Authority {
        scopes: caller.scopes.clone(),
        details: caller.details.clone(),
        safe_modes: live.safe_mode_scopes(),
        observations: observation::on(broker, live),
        authentication: caller.grant.and_then(|grant| live.grants.get(&grant)?.authentication.clone()),
    }
}

/// Every principal of the chain, active now, on a token that holds.
pub(crate) fn parties(live: &Live, caller: &Caller, now: jiff::Timestamp) -> Result<Vec<Party>, Box<Reason>> {
    if !live.token_stands(caller.token, caller.grant, now) {
        return Err(Box::new(reason(
            ReasonCode::GrantEnded,
            "the token was revoked, or what it was issued from has ended",
            Some("ask for access anew"),
        )));
    }
    caller
        .chain
        .principals()
        .iter()
        .map(|principal| {
            live.party(principal, now).map_err(|inactive| {
                let mut reason = reason(
                    ReasonCode::PrincipalInactive,
                    &format!("`{principal}` may not act: {inactive}"),
                    Some("ask its owner or an operator; `bailiwick agents show` tells them why"),
                );
                reason.principal = Some(principal.clone());
                Box::new(reason)
            })
        })
        .collect()
}

pub(crate) fn task_context(
    broker: &Broker,
    live: &Live,
    caller: &Caller,
    now: jiff::Timestamp,
) -> Result<(TaskContext, ReliedOn), Box<Reason>> {
    let initiating = caller.chain.initiating();
    let facts = broker.facts.of(initiating, now);
    let mut relied_on = ReliedOn {
        token: Some(caller.token),
        grant: caller.grant,
        task: caller.task,
        facts: Some((initiating.clone(), facts.len() as u64)),
        epoch: live.epoch,
        ..ReliedOn::default()
    };
    for principal in caller.chain.principals() {
        match principal {
            Principal::Agent(name) => {
                relied_on.agents.extend(live.agents.get(name).map(|agent| (name.clone(), agent.version)));
            }
            Principal::User(id) => {
                relied_on.users.extend(live.users.get(id).map(|user| (id.clone(), user.version)));
            }
            Principal::Workload(_) | Principal::Operator(_) => {}
        }
    }
    let Some(id) = caller.task else {
        return Ok((TaskContext { id: None, tools: None, self_made: false, facts }, relied_on));
    };
    let task = live.tasks.get(&id).filter(|task| task.is_open(now));
    let of_caller = |agent: &AgentName| {
        caller.chain.principals().iter().any(|principal| matches!(principal, Principal::Agent(name) if name == agent))
    };
    match task {
        Some(task) if of_caller(&task.agent) => {
            let (tools, self_made) = (Some(task.tools.clone()), task.self_made);
            Ok((TaskContext { id: Some(id), tools, self_made, facts }, relied_on))
        }
        _ => Err(Box::new(reason(
            ReasonCode::TaskEnded,
            &format!("task `{id}` has ended, and its tokens with it"),
            Some("make a new task and ask for a token that is bound to it"),
        ))),
    }
}

pub(crate) fn no_bundle() -> Reason {
    reason(
        ReasonCode::NoPermit,
        "no policy bundle is active",
        Some("an operator publishes one with `bailiwick policy publish`"),
    )
}

pub(crate) fn reason(code: ReasonCode, message: &str, help: Option<&str>) -> Reason {
    Reason {
        code,
        rule: None,
        principal: None,
        message: message.to_owned(),
        help: help.map(str::to_owned),
        retry_after_s: None,
    }
}
