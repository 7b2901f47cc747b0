//! What a user is asked, in words that they know: who wants to act for them, where, and what each action does. Titles are
//! those of definitions that an operator approved, and still only text.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::{
    agent::{Agent, Environment},
    name::{AgentName, Scope, SystemName},
    operation::{ActionClass, ActionTag},
};
use bailiwick_oauth::authorization_request::AuthorizationRequest;
use bailiwick_pdp::{
    catalogue::{System, Tool},
    snapshot::Snapshot,
};
use jiff::Timestamp;

use super::{Lasting, Visitor};
use crate::{broker::Broker, refusal::Refusal};

/// A question to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The agent that wants to act for them.
    pub agent: AgentName,
    /// Who answers for it.
    pub owner: String,
    /// What it is for.
    pub purpose: String,
    /// Where it runs.
    pub environment: Environment,
    /// Where their browser goes with the answer.
    pub redirect_uri: String,
    /// What it wants to do, system by system.
    pub systems: Vec<SystemWords>,
    /// How long each choice would hold.
    pub until: [(Lasting, Timestamp); 3],
}

/// What is wanted of one system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemWords {
    /// Its name for people.
    pub title: String,
    /// Where it runs.
    pub environment: Environment,
    /// The domains of its data.
    pub domains: Vec<String>,
    /// The actions.
    pub actions: Vec<ActionWords>,
}

/// Something that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionWords {
    /// Everything of one class.
    Class {
        /// Which.
        class: ActionClass,
        /// The titles of what it covers today.
        tools: Vec<String>,
    },
    /// One method of the protocol, which calls no tool.
    Method(String),
    /// One tool.
    Tool {
        /// Its title.
        title: String,
        /// Its class.
        class: ActionClass,
        /// What else it touches.
        tags: BTreeSet<ActionTag>,
    },
}

/// Puts a request into words. A scope that the active bundle does not know is a refusal and never left out.
pub(super) fn put(
    broker: &Broker,
    agent: &Agent,
    request: &AuthorizationRequest,
    scopes: &BTreeSet<Scope>,
    visitor: &Visitor,
) -> Result<Question, Refusal> {
    let live = broker.live();
    let unknown = || Refusal::Conflict("what the client asks for is not in the active bundle".to_owned());
    let policy = live.policy.as_deref().ok_or_else(unknown)?;
    let now = broker.now();
    Ok(Question {
        agent: agent.name.clone(),
        owner: agent.owner.clone(),
        purpose: agent.purpose.clone(),
        environment: agent.environment,
        redirect_uri: request.redirect_uri.clone(),
        systems: systems(policy, scopes).ok_or_else(unknown)?,
        until: Lasting::ALL.map(|lasting| (lasting, lasting.until(visitor, agent, now))),
    })
}

/// Scopes in words, system by system; `None` if one of them is unknown.
pub(super) fn systems<'a>(policy: &Snapshot, scopes: impl IntoIterator<Item = &'a Scope>) -> Option<Vec<SystemWords>> {
    let mut found: BTreeMap<SystemName, SystemWords> = BTreeMap::new();
    for scope in scopes {
        let name: SystemName = scope.as_str().split(['.', ':']).next()?.parse().ok()?;
        let system = policy.catalogue().system(&name)?;
        let words = found.entry(name).or_insert_with(|| SystemWords {
            title: system.title.clone(),
            environment: system.environment,
            domains: system.domains.iter().map(ToString::to_string).collect(),
            actions: Vec::new(),
        });
        words.actions.push(action(policy, system, scope)?);
    }
    Some(found.into_values().collect())
}

fn action(policy: &Snapshot, system: &System, scope: &Scope) -> Option<ActionWords> {
    let named = scope.as_str().strip_prefix(system.name.as_str())?;
    if let Some(class) = named.strip_prefix(':') {
        let Some(class) = ActionClass::ALL.into_iter().find(|known| known.as_str() == class) else {
            return Some(ActionWords::Method(class.to_owned()));
        };
        let tools = system.tools.values().filter(|tool| tool.class == class).map(title).collect();
        return Some(ActionWords::Class { class, tools });
    }
    let tool = policy.catalogue().tool_of(&scope.as_str().parse().ok()?)?;
    Some(ActionWords::Tool { title: title(tool), class: tool.class, tags: tool.tags.clone() })
}

/// What a tool is called for people (MCP `BaseMetadata`): its title, that of its annotations, its name.
fn title(tool: &Tool) -> String {
    ["/title", "/annotations/title"]
        .iter()
        .find_map(|pointer| tool.definition.pointer(pointer)?.as_str())
        .filter(|title| !title.trim().is_empty())
        .map_or_else(|| tool.name.to_string(), str::to_owned)
}
