//! What a user is asked, in words that they know: who wants to act for them, where, and what each action does. Titles are
//! those of definitions that an operator approved, and still only text.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::{
    agent::{Agent, Environment},
    name::{AgentName, Scope, SystemName},
    operation::{ActionClass, ActionTag},
    task::{Pin, ToolGrant},
};
use bailiwick_oauth::client_document::ClientDocument;
use bailiwick_pdp::{
    catalogue::{System, Tool},
    normalise::is_hidden,
    snapshot::Snapshot,
};
use jiff::Timestamp;

use super::{Lasting, Visitor, Wanted};
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
    /// Where their browser goes with the answer; `None` where the client is told apart from it.
    pub redirect_uri: Option<String>,
    /// Where it says about itself who it is, if nothing else says so.
    pub published: Option<Published>,
    /// What it wants to do, system by system.
    pub systems: Vec<SystemWords>,
    /// How long each choice would hold.
    pub until: [(Lasting, Timestamp); 3],
}

/// A client that is known by a document of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The host that it lies at: whoever has that is the client.
    pub host: String,
    /// Whether the answer to this question goes to the user's own machine, where any program may wait for it.
    pub is_loopback: bool,
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
        /// Its arguments that are held to something, with words about their values; nothing else is let through.
        only: Vec<(String, String)>,
    },
}

/// Puts a request into words. A scope that the active bundle does not know is a refusal and never left out.
pub(super) fn put(
    broker: &Broker,
    agent: &Agent,
    redirect_uri: Option<String>,
    wanted: &Wanted,
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
        published: agent.documented_by().map(|url| Published {
            host: url.host().to_owned(),
            // Wherever else it could go: who asks has chosen this one.
            is_loopback: redirect_uri.as_deref().is_some_and(ClientDocument::is_loopback),
        }),
        redirect_uri,
        systems: of_wanted(policy, &wanted.scopes, wanted.details.as_deref()).ok_or_else(unknown)?,
        until: Lasting::ALL.map(|lasting| (lasting, lasting.until(visitor, agent, now))),
    })
}

/// What is wanted in words, system by system; `None` if a part of it is unknown. Where tools are named, they are all that
/// is let through, as far as the scopes open them.
pub(super) fn of_wanted(
    policy: &Snapshot,
    scopes: &BTreeSet<Scope>,
    tools: Option<&[ToolGrant]>,
) -> Option<Vec<SystemWords>> {
    let Some(tools) = tools else { return systems(policy, scopes) };
    let mut found = BTreeMap::new();
    for grant in tools {
        let tool = policy.catalogue().tool_of(&grant.action)?;
        let opened = |scope: &Scope| {
            let class = format!("{}:{}", grant.action.system(), tool.class.as_str());
            scope.as_str() == grant.action.as_str() || scope.as_str() == class
        };
        if !scopes.iter().any(opened) {
            continue;
        }
        let only = grant.pins.iter().map(|(argument, pin)| (argument.clone(), values(pin))).collect();
        let words = ActionWords::Tool { title: title(tool), class: tool.class, tags: tool.tags.clone(), only };
        system_words(policy, &mut found, grant.action.system())?.actions.push(words);
    }
    Some(found.into_values().collect())
}

fn system_words<'a>(
    policy: &Snapshot,
    found: &'a mut BTreeMap<SystemName, SystemWords>,
    name: &str,
) -> Option<&'a mut SystemWords> {
    let name: SystemName = name.parse().ok()?;
    let system = policy.catalogue().system(&name)?;
    Some(found.entry(name).or_insert_with(|| SystemWords {
        title: system.title.clone(),
        environment: system.environment,
        domains: system.domains.iter().map(ToString::to_string).collect(),
        actions: Vec::new(),
    }))
}

/// Scopes in words, system by system; `None` if one of them is unknown.
pub(super) fn systems<'a>(policy: &Snapshot, scopes: impl IntoIterator<Item = &'a Scope>) -> Option<Vec<SystemWords>> {
    let mut found: BTreeMap<SystemName, SystemWords> = BTreeMap::new();
    for scope in scopes {
        let name = scope.as_str().split(['.', ':']).next()?;
        let system = policy.catalogue().system(&name.parse().ok()?)?;
        system_words(policy, &mut found, name)?.actions.push(action(policy, system, scope)?);
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
    Some(ActionWords::Tool { title: title(tool), class: tool.class, tags: tool.tags.clone(), only: Vec::new() })
}

/// What a tool is called for people (MCP `BaseMetadata`): its title, that of its annotations, its name.
fn title(tool: &Tool) -> String {
    ["/title", "/annotations/title"]
        .iter()
        .find_map(|pointer| tool.definition.pointer(pointer)?.as_str())
        .filter(|title| !title.trim().is_empty())
        .map_or_else(|| tool.name.to_string(), str::to_owned)
}

/// What an argument may be.
fn values(pin: &Pin) -> String {
    match pin {
        Pin::OneOf(values) => {
            let values: Vec<String> = values.iter().map(plain).collect();
            match values.as_slice() {
                [value] => format!("exactly {value}"),
                values => format!("one of {}", values.join(", ")),
            }
        }
        Pin::Under(folder) => format!("{} or what lies in it", plain(&folder.as_str().into())),
        Pin::AtMost(most) => format!("at most {most}"),
    }
}

/// A value as a reader sees it: in quotation marks if it is text, and with nothing in it that hides or turns round.
fn plain(value: &serde_json::Value) -> String {
    value.to_string().chars().map(|character| if is_hidden(character) { '\u{fffd}' } else { character }).collect()
}
