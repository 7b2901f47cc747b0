//! Why something is denied, in words that help: what, by which rule, what next.
//! Never shows a value that the caller did not send.

use bailiwick_model::{
    decision::{Gate, Reason, ReasonCode},
    evaluation::Party,
    name::ActionName,
    observation::UnderObservation,
    principal::Principal,
};

use crate::{entities::Missing, snapshot::Compiled};

/// One thing that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Denial {
    /// It stays there.
    Final(Reason),
    /// A rule of the organisation. It stays there too, unless the call is observed.
    Rule(Reason),
    /// People can lift it.
    Gate {
        /// Who and how.
        gate: Gate,
        /// Why it is there.
        reason: Reason,
    },
}

impl Denial {
    /// How it can be lifted, if it can.
    pub(super) fn gate(&self) -> Option<&Gate> {
        match self {
            Self::Final(_) | Self::Rule(_) => None,
            Self::Gate { gate, .. } => Some(gate),
        }
    }

    /// Why it is there.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Final(reason) | Self::Rule(reason) | Self::Gate { reason, .. } => reason.clone(),
        }
    }

    /// What observation makes of it: known by where it came from, and by its code.
    pub(super) fn under_observation(&self) -> UnderObservation {
        match self {
            Self::Final(_) => UnderObservation::Stays,
            Self::Rule(reason) | Self::Gate { reason, .. } => reason.code.under_observation(),
        }
    }

    /// Why it is there, when asking would help.
    pub(super) fn as_request(&self) -> Reason {
        match self {
            Self::Final(reason) | Self::Rule(reason) => reason.clone(),
            Self::Gate { gate, reason } => {
                let approvers = gate.approvers.join(", ");
                let count = if gate.quorum > 1 { format!("{} of ", gate.quorum) } else { String::new() };
                let ask = format!("ask {count}{approvers} to approve this call");
                let help = reason.help.clone().map_or_else(|| ask.clone(), |help| format!("{help}; {ask}"));
                Reason { code: ReasonCode::ApprovalRequired, help: Some(help), ..reason.clone() }
            }
        }
    }
}

/// A reason with a code and a message, and nothing else known.
pub(crate) fn refused(code: ReasonCode, message: impl Into<String>) -> Reason {
    Reason { code, rule: None, principal: None, message: message.into(), help: None, retry_after_s: None }
}

/// A policy forbids it.
pub(super) fn forbidden(policy: &Compiled, principal: Option<Principal>) -> Denial {
    let annotations = &policy.annotations;
    let message = annotations.reason.clone().unwrap_or_else(|| format!("policy `{}` forbids it", policy.id));
    let code = match policy.id.as_str() {
        "bailiwick:task-required" => ReasonCode::TaskRequired,
        _ => ReasonCode::Forbidden,
    };
    let reason =
        Reason { rule: Some(policy.id.clone()), principal, help: annotations.help.clone(), ..refused(code, message) };
    match &annotations.gate {
        Some(gate) => Denial::Gate { gate: gate.clone(), reason },
        None if policy.layer.is_wall() => Denial::Final(reason),
        None => Denial::Rule(reason),
    }
}

/// No policy permits it. `near` is a permit whose scope fits and whose conditions do not hold.
pub(super) fn not_permitted(
    party: &Party,
    action: &ActionName,
    near: Option<&Compiled>,
    principal: Option<Principal>,
) -> Denial {
    let who = &party.principal;
    let help = match (who, &party.role) {
        (Principal::Agent(_), Some(role)) => {
            format!("ask the owner of role `{role}` to allow `{action}`, or use an agent whose role allows it")
        }
        (Principal::Agent(name), None) => format!("give agent `{name}` a role that allows `{action}`"),
        (Principal::User(_), _) => {
            format!("the user may not do this themselves; a permit for `{action}` belongs in `policies/users`")
        }
        (Principal::Workload(_) | Principal::Operator(_), _) => {
            format!("a permit for `{action}` belongs in `policies/organisation`")
        }
    };
    let help = match near {
        Some(Compiled { id, annotations, .. }) => {
            let hint = annotations.help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
            format!("policy `{id}` would permit it, but its conditions do not hold{hint}; else {help}")
        }
        None => help,
    };
    let message = format!("no policy permits `{action}` for {} `{}`", who.kind().to_ascii_lowercase(), who.id());
    Denial::Rule(Reason { principal, help: Some(help), ..refused(ReasonCode::NoPermit, message) })
}

/// A policy could not be evaluated.
pub(super) fn unevaluable(policy: &Compiled, why: &str, principal: Option<Principal>) -> Denial {
    let message = format!("policy `{}` cannot be evaluated: {why}", policy.id);
    let help = format!("an operator has to correct {}:{}; until then it denies", policy.file, policy.line);
    Denial::Final(Reason {
        rule: Some(policy.id.clone()),
        principal,
        help: Some(help),
        ..refused(ReasonCode::EvaluationError, message)
    })
}

/// Something that the call is about is nowhere.
pub(crate) fn missing(missing: &Missing, principal: Option<Principal>) -> Reason {
    let (code, message, help) = match missing {
        Missing::Role(role) => (
            ReasonCode::NoPermit,
            format!("role `{role}` is not in the published bundle, so it permits nothing"),
            format!("publish `roles/{role}.toml`, or give the agent a role that exists"),
        ),
        Missing::System(system) => (
            ReasonCode::UnknownTool,
            format!("system `{system}` is not in the published bundle"),
            String::from("add the system, and publish"),
        ),
        Missing::Tool(system, tool) => (
            ReasonCode::UnknownTool,
            format!("system `{system}` has no tool `{tool}` in the published bundle"),
            format!("run `bailiwick systems discover {system}`, and publish"),
        ),
        Missing::Misfit(why) => (
            ReasonCode::EvaluationError,
            format!("the call does not fit the schema of the bundle: {why}"),
            String::from("an operator has to correct the mapping in `systems/`"),
        ),
    };
    Reason { principal, help: Some(help), ..refused(code, message) }
}
