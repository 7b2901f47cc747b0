//! That a template asks for nothing that the roles which use it could never do. What a task adds to policy is nothing,
//! whatever its template says; a template that is wider would only promise what no call gets.

use std::collections::BTreeSet;

use bailiwick_model::{
    agent::Environment,
    decision::Effect,
    evaluation::Party,
    name::{ActionName, RoleName},
    principal::Principal,
};

use super::{Template, TemplateTool};
use crate::{finding::Finding, snapshot::Snapshot};

/// One error per role and tool of a template that no permit of that role is about.
pub(crate) fn wider(snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    for template in snapshot.templates() {
        for role in &template.roles {
            let tools = template.tools.iter();
            findings.extend(tools.filter_map(|tool| beyond(snapshot, template, role, tool)));
        }
    }
    findings
}

fn beyond(snapshot: &Snapshot, template: &Template, role: &RoleName, tool: &TemplateTool) -> Option<Finding> {
    let action = &tool.action;
    let refuse = |message: String, help: String| {
        Some(Finding::error("template-wider", &*template.file, message).at_place(tool.place).with_help(help))
    };
    if let Some(by) = snapshot.roles().excluded_by(role, action) {
        let message = format!("`{action}` is out of scope for role `{role}`, which takes such tasks");
        return refuse(message, format!("remove it here, or from `out_of_scope` of role `{by}`"));
    }
    if !permits(snapshot, role, action) {
        let message = format!("no policy permits `{action}` to role `{role}`, which takes such tasks");
        return refuse(message, format!("remove it here, or allow it in `roles/{role}.toml`"));
    }
    None
}

/// Whether the scope of some permit takes this role and action. What the conditions of that permit need, a call has to
/// bring: without a permit in scope there is no such call.
pub(crate) fn permits(snapshot: &Snapshot, role: &RoleName, action: &ActionName) -> bool {
    let Some(entity) = snapshot.callable(action) else { return false };
    let Ok(somebody) = "somebody".parse() else { return false };
    let party = Party {
        principal: Principal::Agent(somebody),
        owner: String::new(),
        environment: Some(Environment::Production),
        role: Some(role.clone()),
        groups: BTreeSet::new(),
        promoted: true,
        task_required: false,
    };
    let Ok(principal) = snapshot.store().principal(&party) else { return false };
    let side = snapshot.index().side(&principal);
    let numbers = snapshot.index().candidates(&side, entity, None);
    numbers.into_iter().filter_map(|number| snapshot.policy(number)).any(|policy| policy.effect == Effect::Permit)
}
