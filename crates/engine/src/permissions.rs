//! What a caller may do, asked by the caller itself: only its own, in its own situation, with its own token. Recorded like
//! any look at a list, and no permit: each call is decided on its own.

use bailiwick_model::{
    decision::Reason,
    digest::Digest,
    id::EvaluationId,
    name::{ActionName, RoleName, SystemName},
    operation::ActionClass,
    principal::Principal,
};
use bailiwick_pdp::visibility::{Outcome, Prospect};

use crate::{
    admit::{Admitted, admit},
    broker::Broker,
    caller::{Caller, RawCall},
    definitions,
    live::Live,
    refusal::Denied,
};

/// The method under which the question is recorded.
const METHOD: &str = "permissions";

/// What a caller may do on one system.
#[derive(Debug)]
pub struct Permissions {
    /// The id under which the question is recorded.
    pub id: EvaluationId,
    /// The bundle that answered.
    pub bundle: Digest,
    /// Every action that the system offers, in name order.
    pub actions: Vec<Permission>,
}

/// What calls of one action can come to.
#[derive(Debug)]
pub struct Permission {
    /// The action.
    pub action: ActionName,
    /// Its class.
    pub class: Option<ActionClass>,
    /// What calls of it can come to.
    pub prospect: Prospect,
}

/// What the caller may do on one system.
pub async fn own(broker: &Broker, caller: &Caller, system: &SystemName) -> Result<Permissions, Box<Denied>> {
    let admitted = admit(broker, caller, system, METHOD).await?;
    let live = broker.live();
    let actions = actions(&admitted, &live, system);
    Ok(Permissions { id: admitted.id, bundle: admitted.policy().revision(), actions })
}

/// The roles to whose agents the caller may delegate, by the active bundle.
pub fn delegates_to(broker: &Broker, caller: &Caller) -> Vec<RoleName> {
    let live = broker.live();
    let agent = match caller.chain.current() {
        Principal::Agent(name) => live.agents.get(name),
        Principal::User(_) | Principal::Workload(_) | Principal::Operator(_) => None,
    };
    match (live.policy.as_deref(), agent) {
        (Some(policy), Some(agent)) => policy.delegates_to(&agent.role).cloned().collect(),
        _ => Vec::new(),
    }
}

fn actions(admitted: &Admitted, live: &Live, system: &SystemName) -> Vec<Permission> {
    let policy = admitted.policy();
    let lookout = admitted.lookout();
    let own = policy.action_names().filter(|action| action.system() == system.as_str());
    let permission = |action: &ActionName| {
        let tool = action.as_str().strip_prefix(&format!("{system}.")).and_then(|name| name.parse().ok());
        let tool = tool.and_then(|name| policy.catalogue().tool(system, &name));
        let prospect = match tool.map(|tool| as_approved(admitted, live, system, tool.name.as_str())) {
            Some(Err(reason)) => Prospect::denied(*reason),
            _ => lookout.prospect(action),
        };
        Permission { action: action.clone(), class: tool.map(|tool| tool.class), prospect }
    };
    own.map(permission).collect()
}

/// Whether a tool is as it was approved: one in quarantine is denied to everybody.
fn as_approved(admitted: &Admitted, live: &Live, system: &SystemName, tool: &str) -> Result<(), Box<Reason>> {
    let arguments = serde_json::Map::new();
    let call = RawCall {
        system,
        method: "tools/call",
        name: Some(tool),
        arguments: &arguments,
        declared: None,
        client_call: None,
    };
    definitions::fit_to_question(live, admitted.policy(), &call)
}

impl Permission {
    /// `allow`, `ask`, `deny`, or `depends` if the arguments decide.
    pub fn decision(&self) -> &'static str {
        let mut outcomes = self.prospect.outcomes.iter();
        match (outcomes.next(), outcomes.next()) {
            (Some(only), None) => only.as_str(),
            (None, _) => Outcome::Deny.as_str(),
            _ => "depends",
        }
    }
}
