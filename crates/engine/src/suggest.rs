//! Policy suggestions from evidence. Reads and opens recorded calls, which is itself recorded; changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_audit_log::{event::EventKind, leaf};
use bailiwick_model::{
    bundle::BundleFiles,
    evaluation::Evaluation,
    id::EvaluationId,
    name::{AgentName, RoleName, SystemName},
    principal::Principal,
};
use bailiwick_pdp::suggest::{
    self, CALLS_MAX, Mark, NoSuggestion, Proposal, Question, Seen, Suggestion, VALUES_EXACT_MAX,
};
use bailiwick_ports::store::{EntryFilter, StoredEntry};
use jiff::Timestamp;

use crate::{broker::Broker, history, refusal::Refusal};

/// Sealed bytes that one suggestion is made from.
pub const SUGGEST_BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// Entries that are looked at for the calls of one suggestion: those that it is not made from cost time too.
pub const ENTRIES_LOOKED_AT_MAX: usize = 20 * CALLS_MAX;

/// What a suggestion is asked for.
#[derive(Debug, Clone)]
pub struct SuggestAsk {
    /// Whose entries are rewritten.
    pub whose: Whose,
    /// Only calls and entries of this system.
    pub system: Option<SystemName>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Calls that the operator marks as good, denied ones too.
    pub good: BTreeSet<EvaluationId>,
    /// Calls that the operator marks as bad.
    pub bad: BTreeSet<EvaluationId>,
    /// Values of one argument that are written out before something wider takes their place.
    pub values_max: usize,
}

/// Whose role it is about.
#[derive(Debug, Clone)]
pub enum Whose {
    /// This role.
    Role(RoleName),
    /// The role of this agent.
    Agent(AgentName),
}

/// A suggestion, and whom it concerns.
#[derive(Debug, Clone)]
pub struct Suggested {
    /// The role.
    pub role: RoleName,
    /// All agents that hold it, or a role that inherits it. The calls of all of them were replayed.
    pub holders: Vec<AgentName>,
    /// What is suggested.
    pub suggestion: Suggestion,
}

/// The narrowest change of a role that still allows what was seen and is good.
pub async fn suggest(broker: &Broker, by: &Principal, ask: SuggestAsk) -> Result<Suggested, Refusal> {
    if !(1..=VALUES_EXACT_MAX).contains(&ask.values_max) {
        return Err(Refusal::invalid(
            format!("`values_max` is 1 to {VALUES_EXACT_MAX}"),
            "leave it out for the default",
        ));
    }
    if let Some(both) = ask.good.intersection(&ask.bad).next() {
        return Err(Refusal::invalid(format!("`{both}` is marked as good and as bad"), "take one of the marks back"));
    }
    if let Some(system) = &ask.system {
        broker.live().knows(system)?;
    }
    let (role, holders) = role_of(broker, &ask.whose)?;
    let files = active_files(broker).await?;
    let entries = evidence(broker, &ask, &holders).await?;
    let opened = history::open(broker, by, &format!("calls of role {role}"), &entries).await?;
    let mut calls = Vec::with_capacity(entries.len());
    for entry in &entries {
        let Some(id) = id_of(entry) else { continue };
        let json = opened.get(&entry.sequence).and_then(|part| part.fields.get("evaluation"));
        let json = json.and_then(|field| field.value.as_deref());
        let Some(evaluation) = json.and_then(|json| serde_json::from_str::<Evaluation>(json).ok()) else {
            return Err(Refusal::invalid(
                format!("`{id}` holds no question that policy could be asked again"),
                "mark others, or choose a span without it",
            ));
        };
        let mark = match (ask.bad.contains(&id), ask.good.contains(&id)) {
            (true, _) => Mark::Bad,
            (false, true) => Mark::Good,
            (false, false) => Mark::Allowed,
        };
        calls.push(Seen { evaluation, mark });
    }
    let (asked_role, system, values_max) = (role.clone(), ask.system, ask.values_max);
    let suggestion = thinking(move || {
        let question =
            Question { files: &files, role: &asked_role, system: system.as_ref(), calls: &calls, values_max };
        suggest::suggest(&question)
    });
    Ok(Suggested { role, holders, suggestion: suggestion.await? })
}

/// The narrowest grant that would turn one recorded denial.
pub async fn for_denial(broker: &Broker, by: &Principal, id: EvaluationId) -> Result<Proposal, Refusal> {
    let id = id.to_string();
    let entries = history::of(broker, &id).await?;
    let opened = history::open(broker, by, &id, &entries).await?;
    let json = history::decision(&opened).and_then(|part| part.fields.get("evaluation"));
    let json = json.and_then(|field| field.value.as_deref());
    let evaluation: Evaluation = json.and_then(|json| serde_json::from_str(json).ok()).ok_or_else(|| {
        Refusal::invalid(
            format!("`{id}` was denied before policy was asked, so no grant would turn it"),
            format!("`bailiwick explain {id}` says why"),
        )
    })?;
    let files = active_files(broker).await?;
    thinking(move || suggest::for_denial(&files, &evaluation)).await
}

/// Compiling and replaying takes longer than a worker should be kept.
async fn thinking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NoSuggestion> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|_| Refusal::Unavailable("the suggestion did not come to an end".to_owned()))?;
    done.map_err(|none| Refusal::invalid(none.message, none.hint))
}

fn role_of(broker: &Broker, whose: &Whose) -> Result<(RoleName, Vec<AgentName>), Refusal> {
    let live = broker.live();
    let role = match whose {
        Whose::Role(role) => role.clone(),
        Whose::Agent(name) => {
            broker.agent(name).ok_or_else(|| Refusal::Missing(format!("agent `{name}`")))?.role.clone()
        }
    };
    let policy = live.policy.as_deref().ok_or_else(|| Refusal::Conflict("no policy bundle is active".to_owned()))?;
    let held = live.agents.values().filter(|agent| policy.role_includes(&agent.role, &role));
    let mut holders: Vec<AgentName> = held.map(|agent| agent.name.clone()).collect();
    holders.sort();
    Ok((role, holders))
}

async fn active_files(broker: &Broker) -> Result<BundleFiles, Refusal> {
    let revision = broker.live().policy.as_deref().map(|policy| policy.revision());
    let revision = revision.ok_or_else(|| Refusal::Conflict("no policy bundle is active".to_owned()))?;
    let bundle = broker.ports.store.bundle(revision).await?;
    Ok(bundle.ok_or_else(|| Refusal::Unavailable("the active bundle cannot be read".to_owned()))?.files)
}

/// The calls of these agents in the span: all that were allowed, and those denied that somebody marked.
async fn evidence(broker: &Broker, ask: &SuggestAsk, holders: &[AgentName]) -> Result<Vec<StoredEntry>, Refusal> {
    let marked: BTreeSet<EvaluationId> = ask.good.union(&ask.bad).copied().collect();
    if marked.len() > CALLS_MAX {
        return Err(too_many());
    }
    let mut calls = Calls::default();
    let mut looked_at = 0;
    for agent in holders {
        let mut after = None;
        loop {
            let filter = EntryFilter {
                after,
                agent: Some(agent.clone()),
                system: ask.system.clone(),
                kind: Some(EventKind::Intent.as_str().to_owned()),
                since: ask.since,
                until: ask.until,
                newest_first: false,
                limit: history::ENTRIES_PER_PAGE_MAX,
            };
            let page = history::entries(broker, filter).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.sequence);
            looked_at += page.len();
            if looked_at > ENTRIES_LOOKED_AT_MAX {
                return Err(too_many());
            }
            for entry in page {
                let Some(id) = id_of(&entry) else { continue };
                if marked.contains(&id) || allowed_by_policy(&entry) {
                    calls.add(id, entry)?;
                }
            }
        }
    }
    for id in marked {
        if !calls.found.contains_key(&id) {
            calls.add(id, denial(broker, id, ask, holders).await?)?;
        }
    }
    Ok(calls.found.into_values().collect())
}

/// Calls by their ids, no more than a suggestion is made from.
#[derive(Default)]
struct Calls {
    found: BTreeMap<EvaluationId, StoredEntry>,
    bytes: usize,
}

impl Calls {
    fn add(&mut self, id: EvaluationId, entry: StoredEntry) -> Result<(), Refusal> {
        self.bytes += entry.sealed.as_ref().map_or(0, |sealed| sealed.ciphertext.len());
        self.found.insert(id, entry);
        if self.found.len() > CALLS_MAX || self.bytes > SUGGEST_BYTES_MAX {
            return Err(too_many());
        }
        Ok(())
    }
}

fn too_many() -> Refusal {
    Refusal::invalid(
        format!("there are more calls in this span than a suggestion is made from ({CALLS_MAX})"),
        "choose a later `since` or one `system`: none is left out unsaid",
    )
}

/// The denial that somebody marked. There may be a great many denials in a span: only those marked are read.
async fn denial(
    broker: &Broker,
    id: EvaluationId,
    ask: &SuggestAsk,
    holders: &[AgentName],
) -> Result<StoredEntry, Refusal> {
    let entries = match history::of(broker, &id.to_string()).await {
        Err(Refusal::Missing(_)) => Vec::new(),
        found => found?,
    };
    entries.into_iter().rev().find(|entry| is_denial_of(entry, ask, holders)).ok_or_else(|| {
        Refusal::invalid(
            format!("`{id}` is no call of this role in this span"),
            "look for its id with `bailiwick audit tail`, or choose an earlier `since`",
        )
    })
}

fn is_denial_of(entry: &StoredEntry, ask: &SuggestAsk, holders: &[AgentName]) -> bool {
    let Ok(leaf) = leaf::decode(&entry.leaf) else { return false };
    let event = leaf.event;
    let says = |field: &str, name: &str| event.body.get(field) == Some(&name.into());
    event.kind == EventKind::Denial
        && holders.iter().any(|agent| says("agent", agent.as_str()))
        && ask.system.as_ref().is_none_or(|system| says("system", system.as_str()))
        && ask.since.is_none_or(|since| event.at >= since)
        && ask.until.is_none_or(|until| event.at < until)
}

fn id_of(entry: &StoredEntry) -> Option<EvaluationId> {
    leaf::decode(&entry.leaf).ok()?.event.id.parse().ok()
}

/// Whether policy allowed a call. One that went through although policy would have denied it is good only once somebody
/// says so.
fn allowed_by_policy(entry: &StoredEntry) -> bool {
    let Ok(leaf) = leaf::decode(&entry.leaf) else { return false };
    let says = |field: &str, word: &str| leaf.event.body.get(field) == Some(&word.into());
    says("decision", "allow") && (!leaf.event.body.contains_key("observed") || says("observed", "would_allow"))
}
