//! Proposes the narrowest role and tasks that still allow what was seen and is good. Proposes only: a suggestion is
//! compiled by the loader that publishes, and replayed call by call, before anybody sees it.
//!
//! A suggestion never allows more than the policy in force, by construction: it takes entries out of a role's `allow`
//! and puts in permits of the same role, each for one action that an entry allowed with any arguments. All forbids,
//! boundary and out-of-scope lists among them, stay. Only a call that policy denies and somebody marked as good widens: by
//! a permit of its own arguments, as far as policy can see and write them out, which is listed as such. That policy
//! allowed a call once widens nothing: what an operator took away since is not handed back.

mod clauses;
mod denial;
mod permit;
mod replay;
mod rest;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::{
    bundle::BundleFiles,
    evaluation::Evaluation,
    name::{ActionName, PolicyId, RoleName, SystemName},
};
use serde::Serialize;

use self::{clauses::Closeness, permit::Group, replay::Judged};
pub use self::{
    clauses::{VALUES_EXACT_MAX, VALUES_MAX},
    denial::{Proposal, TaskProposal, for_denial},
};
use crate::{finding::Finding, lint::lint, snapshot::Snapshot, templates};

/// Calls that one suggestion is made from.
pub const CALLS_MAX: usize = 5_000;
/// Ids of calls that stand beside a line as samples.
const SAMPLES_MAX: usize = 3;

/// A recorded call and what an operator says of it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its evaluation, as recorded.
    pub evaluation: Evaluation,
    /// Whether it should go on being possible.
    pub mark: Mark,
}

/// What is known of a recorded call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// An operator says so: the suggestion allows it, and widens the role for it if need be.
    Good,
    /// Policy allowed it then and nobody said anything: good as long as policy still allows it.
    Allowed,
    /// The suggestion denies it.
    Bad,
}

impl Seen {
    fn id(&self) -> String {
        self.evaluation.id.to_string()
    }

    fn action(&self) -> Option<&ActionName> {
        self.evaluation.operations.first().map(|operation| &operation.action)
    }
}

/// What a suggestion is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The bundle in force.
    pub files: &'a BundleFiles,
    /// Whose entries are rewritten.
    pub role: &'a RoleName,
    /// Only those of this system.
    pub system: Option<&'a SystemName>,
    /// What was seen.
    pub calls: &'a [Seen],
    /// Values of one argument that are written out before a range, a folder or nothing takes their place.
    pub values_max: usize,
}

/// Why there is no suggestion.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NoSuggestion {
    /// A lower-case fragment without a full stop.
    pub message: String,
    /// The next step.
    pub hint: String,
}

impl NoSuggestion {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// A change of the bundle that was compiled and replayed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Suggestion {
    /// Files that change: path to what was there and what is to be there.
    pub files: BTreeMap<String, Change>,
    /// The new permits, each with the calls that it covers.
    pub lines: Vec<Line>,
    /// Good calls that need none of them, by the policies that stay and permit them.
    pub kept: BTreeMap<String, usize>,
    /// Actions that the role loses altogether: nobody was seen to use them.
    pub lost: Vec<ActionName>,
    /// New kinds of tasks, each with the tasks it was made from.
    pub templates: Vec<SuggestedTemplate>,
    /// What the replay showed.
    pub replay: Replayed,
    /// Good calls that stay denied, with why: no permit can allow them, or nobody marked them.
    pub beyond: Vec<Beyond>,
    /// What lint says of the new bundle and not of the one in force.
    pub warnings: Vec<Finding>,
}

/// A file that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What is there; `None`: nothing.
    pub before: Option<String>,
    /// What is to be there.
    pub after: String,
}

/// One new permit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its `@id`.
    pub policy: String,
    /// Its action.
    pub action: ActionName,
    /// How many good calls it covers.
    pub calls: usize,
    /// Ids of some of them.
    pub samples: Vec<String>,
    /// Per argument, what was made of the values seen.
    pub arguments: Vec<String>,
    /// Whether it allows what the policy in force denies.
    pub widens: bool,
    /// The permit itself.
    pub cedar: String,
}

/// A new kind of task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SuggestedTemplate {
    /// Its file.
    pub file: String,
    /// How many tasks it was made from.
    pub tasks: usize,
    /// How many calls these made.
    pub calls: usize,
}

/// What came of deciding every call again under the suggestion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Good calls, all of them allowed.
    pub good: usize,
    /// Bad calls, none of them allowed.
    pub bad: usize,
}

/// A good call that stays denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Beyond {
    /// Its id.
    pub evaluation: String,
    /// Why: codes, each with its rule if one decided.
    pub because: Vec<String>,
}

/// The narrowest change of a role that still allows every good call, and no bad one.
pub fn suggest(question: &Question<'_>) -> Result<Suggestion, NoSuggestion> {
    let current = compile(question.files).map_err(|_| {
        NoSuggestion::new("the bundle in force does not compile any more", "`bailiwick policy validate` says why")
    })?;
    let Some(role) = current.roles().role(question.role) else {
        let hint = "`bailiwick agents list` shows the role of each agent";
        return Err(NoSuggestion::new(format!("role `{}` is not in the active bundle", question.role), hint));
    };
    let path = role.file.to_string();
    let written = text(question.files, &path);
    let role_text = rest::without_allow(&written, question.system)?;
    let base_files = with(question.files, [(path.clone(), role_text.clone())])?;
    let base = compile(&base_files).map_err(|findings| unusable(&findings, question))?;
    let judged = Judged::new(&current, &base, question)?;
    let mut closeness = BTreeMap::new();
    let (files, drafts, replayed) = loop {
        let drafts = draft(&current, question, &judged.groups, &closeness)?;
        let permits = permit::file(question, &drafts);
        let mut changed = vec![(path.clone(), role_text.clone())];
        changed.extend(permits);
        let files = with(question.files, changed)?;
        let snapshot = compile(&files).map_err(|findings| unusable(&findings, question))?;
        match replay::replay(&snapshot, &judged, &drafts)? {
            replay::Outcome::Stands(replayed) => break (files, drafts, replayed),
            replay::Outcome::Closer(actions) => replay::closer(&mut closeness, &actions)?,
        }
    };
    let (files, templates) = tasks::with_templates(question, files, &judged)?;
    finish(question, &current, &judged, Made { files, drafts, replayed, templates })
}

struct Made {
    files: BundleFiles,
    drafts: Vec<Line>,
    replayed: Replayed,
    templates: Vec<SuggestedTemplate>,
}

fn finish(
    question: &Question<'_>,
    current: &Snapshot,
    judged: &Judged<'_>,
    made: Made,
) -> Result<Suggestion, NoSuggestion> {
    let snapshot = compile(&made.files).map_err(|findings| unusable(&findings, question))?;
    let role = current.roles().role(question.role);
    let held = role.into_iter().flat_map(|role| role.allow.keys()).filter(|action| in_system(action, question.system));
    let lost = held.filter(|action| !templates::permits(&snapshot, question.role, action)).cloned().collect();
    // Lines move: what is said of the same thing elsewhere in a file is not new.
    let known: BTreeSet<(&str, String)> = lint(current).into_iter().map(|one| (one.code, one.message)).collect();
    let new = lint(&snapshot).into_iter().filter(|finding| !known.contains(&(finding.code, finding.message.clone())));
    Ok(Suggestion {
        files: changes(question.files, &made.files),
        lines: made.drafts,
        kept: judged.kept.clone(),
        lost,
        templates: made.templates,
        replay: made.replayed,
        beyond: judged.beyond.clone(),
        warnings: new.collect(),
    })
}

/// One permit per group of calls, or several where only whole calls tell good from bad.
fn draft(
    current: &Snapshot,
    question: &Question<'_>,
    groups: &[Group<'_>],
    closeness: &BTreeMap<ActionName, Closeness>,
) -> Result<Vec<Line>, NoSuggestion> {
    let mut drafts: Vec<Line> = Vec::new();
    let mut numbers = (1_usize..)
        .map(|number| format!("suggested-{}-{number}", question.role))
        .filter(|id| id.parse::<PolicyId>().is_ok_and(|id| current.policy_source(&id).is_none()));
    for group in groups {
        // What widens is not generalised: a mixture of two good calls is one that nobody marked.
        let close = if group.widens { Closeness::Calls } else { Closeness::Ranges };
        let close = close.max(closeness.get(&group.action).copied().unwrap_or(Closeness::Ranges));
        let values_max = if close == Closeness::Ranges { question.values_max } else { VALUES_EXACT_MAX };
        for part in group.parts(close) {
            let id = numbers.next().unwrap_or_default();
            let principal = format!("principal in Bailiwick::Role::\"{}\"", question.role);
            drafts.push(part.permit(current, &id, &principal, values_max));
        }
    }
    Ok(drafts)
}

/// The action of a call that is about nothing else. What a tool's mapping asks for besides would need permits of its own,
/// and whose they are is not seen from the call.
fn only_action(evaluation: &Evaluation) -> Result<&ActionName, NoSuggestion> {
    let mut operations = evaluation.operations.iter();
    let first = operations.next().ok_or_else(|| {
        NoSuggestion::new(format!("`{}` is about no action", evaluation.id), "mark others, or choose a span without it")
    })?;
    if operations.all(|other| other.action == first.action && other.input == first.input) {
        return Ok(&first.action);
    }
    Err(NoSuggestion::new(
        format!("`{}` asks for other actions by its AuthZEN mapping, which no suggestion is made for", first.action),
        "permit by hand what such calls need: what other policies permit needs no suggestion",
    ))
}

fn in_system(action: &ActionName, system: Option<&SystemName>) -> bool {
    system.is_none_or(|system| action.system() == system.as_str())
}

fn compile(files: &BundleFiles) -> Result<Snapshot, Vec<Finding>> {
    Snapshot::compile(files)
}

fn unusable(findings: &[Finding], question: &Question<'_>) -> NoSuggestion {
    let first = findings.first().map(ToString::to_string).unwrap_or_default();
    NoSuggestion::new(
        format!("role `{}` cannot be narrowed to what was seen: {first}", question.role),
        "narrow what the finding names first, or name a `system` that it does not concern",
    )
}

fn text(files: &BundleFiles, path: &str) -> String {
    files.file(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

fn with(files: &BundleFiles, changed: impl IntoIterator<Item = (String, String)>) -> Result<BundleFiles, NoSuggestion> {
    let mut all: BTreeMap<String, Vec<u8>> =
        files.iter().map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).collect();
    all.extend(changed.into_iter().map(|(path, text)| (path, text.into_bytes())));
    BundleFiles::new(all).map_err(|error| NoSuggestion::new(error.to_string(), "make the bundle smaller first"))
}

fn changes(before: &BundleFiles, after: &BundleFiles) -> BTreeMap<String, Change> {
    let changed = after.iter().filter(|(path, bytes)| before.file(path) != Some(bytes));
    let change =
        |path: &str| Change { before: before.file(path).map(|_| text(before, path)), after: text(after, path) };
    changed.map(|(path, _)| (path.to_owned(), change(path))).collect()
}

#[cfg(test)]
mod tests;
