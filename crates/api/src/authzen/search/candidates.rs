//! What could be found: agents of the registry, tools, prompts and methods of the catalogue, records that a policy
//! names. Nobody else knows of records but their system, so others are not found. Always in the same order.

use bailiwick_engine::{broker::Broker, check::Question, live::Live};
use bailiwick_model::name::{AgentName, SystemName};
use bailiwick_pdp::{authzen::Evaluation, mapping::MAPPED_METHODS, snapshot::Snapshot};
use serde_json::{Value, json};

use crate::authzen::{
    message::search::{Kind, Sought},
    question,
};

/// The candidates of one search.
pub(super) struct Candidates {
    kind: Kind,
    /// The type that was asked for; empty for actions.
    type_name: String,
    names: Vec<String>,
    /// What was asked, with the candidate that was looked at last in the place of what is searched for. There is one for
    /// all of them: its context can be long.
    asked: Evaluation,
    /// The call that every subject would make, or why there is none. Subjects alone have it in common.
    common: Option<Result<Question, &'static str>>,
}

impl Candidates {
    pub(super) fn of(live: &Live, sought: Sought) -> Self {
        let policy = live.policy.as_deref();
        let (type_name, names) = match sought.kind {
            Kind::Subject => (sought.subject.kind.clone(), agents(live, &sought.subject.kind)),
            Kind::Resource => {
                let names = policy.map(|policy| resources(policy, &sought.action.name, &sought.resource.kind));
                (sought.resource.kind.clone(), names.unwrap_or_default())
            }
            Kind::Action => (String::new(), policy.map(actions).unwrap_or_default()),
        };
        let Sought { kind, subject, action, resource, context, page: _ } = sought;
        Self { kind, type_name, names, asked: Evaluation { subject, action, resource, context }, common: None }
    }

    /// The question whether one candidate is allowed; `None` behind the last.
    pub(super) fn question(&mut self, broker: &Broker, at: usize) -> Option<Result<Question, &'static str>> {
        if self.kind != Kind::Subject {
            return Some(question::question(broker, self.evaluation(at)?));
        }
        let agent = self.names.get(at)?.parse().map_err(|_| "the candidate is no agent's name");
        if self.common.is_none() {
            self.common = Some(question::question(broker, self.evaluation(at)?));
        }
        let common = self.common.as_ref()?.as_ref().map_err(|why| *why);
        Some(agent.and_then(|agent| Ok(Question { agent, ..common?.clone() })))
    }

    fn evaluation(&mut self, at: usize) -> Option<&Evaluation> {
        let name = self.names.get(at)?.clone();
        match self.kind {
            Kind::Subject => self.asked.subject.id = name,
            Kind::Resource => self.asked.resource.id = name,
            Kind::Action => self.asked.action.name = name,
        }
        Some(&self.asked)
    }

    /// One candidate on the wire: nothing but type and id, or a name.
    pub(super) fn result(&self, at: usize) -> Option<Value> {
        let name = self.names.get(at)?;
        Some(match self.kind {
            Kind::Subject | Kind::Resource => json!({ "type": self.type_name, "id": name }),
            Kind::Action => json!({ "name": name }),
        })
    }
}

fn agents(live: &Live, type_name: &str) -> Vec<String> {
    if !question::is_agent(type_name) {
        return Vec::new();
    }
    let mut names: Vec<&AgentName> = live.agents.keys().collect();
    names.sort_unstable();
    names.into_iter().map(ToString::to_string).collect()
}

fn resources(policy: &Snapshot, action: &str, type_name: &str) -> Vec<String> {
    let is = |known: &str| type_name.eq_ignore_ascii_case(known);
    if action == "tools/call" {
        return if is("tool") { tools(policy).collect() } else { Vec::new() };
    }
    let Some((system, rest)) = action.find(['.', ':']).map(|at| action.split_at(at)) else { return Vec::new() };
    let Ok(system) = system.parse::<SystemName>() else { return Vec::new() };
    let Some(system) = policy.catalogue().system(&system) else { return Vec::new() };
    match rest.strip_prefix(':') {
        Some("prompts/get" | "completion/complete") if is("prompt") => system.pinned.prompts.keys().cloned().collect(),
        Some(_) => Vec::new(),
        None if is("tool") => vec![action.to_owned()],
        None if type_name.contains("::") => policy.named_records(type_name).into_iter().collect(),
        None => policy.named_records(&format!("{}::{type_name}", system.namespace)).into_iter().collect(),
    }
}

fn tools(policy: &Snapshot) -> impl Iterator<Item = String> {
    let systems = policy.catalogue().systems();
    systems.flat_map(|system| system.tools.values().map(|tool| format!("{}.{}", system.name, tool.name)))
}

fn actions(policy: &Snapshot) -> Vec<String> {
    let methods = policy
        .catalogue()
        .systems()
        .flat_map(|system| MAPPED_METHODS.iter().map(|mapped| format!("{}:{}", system.name, mapped.method)));
    tools(policy).chain(methods).chain(std::iter::once("tools/call".to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use bailiwick_pdp::authzen::{Action, Entity};

    use super::*;

    #[test]
    fn the_candidate_takes_the_place_of_what_was_sought_and_nothing_else_moves() {
        let entity = |kind: &str| Entity { kind: kind.to_owned(), id: String::new(), properties: Default::default() };
        let action = Action { name: "files.read".to_owned(), properties: Default::default() };
        let context = json!({"long": "text"}).as_object().unwrap().clone();
        let asked = Evaluation { subject: entity("agent"), action, resource: entity("File"), context };
        let names = ["/a", "/b"].map(str::to_owned).to_vec();
        let mut candidates =
            Candidates { kind: Kind::Resource, type_name: "File".to_owned(), names, asked, common: None };
        let text = |candidates: &Candidates| candidates.asked.context["long"].as_str().map(str::as_ptr);
        let before = text(&candidates);
        assert_eq!(candidates.evaluation(0).unwrap().resource.id, "/a");
        assert_eq!(candidates.evaluation(1).unwrap().resource.id, "/b");
        assert_eq!(candidates.evaluation(2), None);
        assert_eq!(text(&candidates), before, "the context is not copied for a candidate");
        assert_eq!(candidates.result(0), Some(json!({"type": "File", "id": "/a"})));
    }
}
