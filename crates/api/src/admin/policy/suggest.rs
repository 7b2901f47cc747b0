//! `POST /api/v1/policy/suggest`: the narrowest change of a role that still allows what was seen and is good. Opens sealed
//! arguments, so it is recorded, and it is no `GET`. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Json, extract::State};
use bailiwick_engine::suggest::{self, SuggestAsk, Suggested, Whose};
use bailiwick_model::{
    id::EvaluationId,
    name::{AgentName, RoleName, SystemName},
};
use bailiwick_pdp::suggest::{Beyond, Change, Line, SuggestedTemplate, Suggestion, VALUES_MAX};
use bailiwick_web::{json::StrictJson, problem::Problem};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FindingView, Shared};
use crate::{Operator, openapi::Refusals};

/// What a suggestion is to be made from.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "SuggestionAsk")]
pub(crate) struct SuggestionAsk {
    /// The role; or name an `agent`.
    #[schema(value_type = Option<String>, example = "support")]
    role: Option<RoleName>,
    /// An agent, whose role it is about.
    #[schema(value_type = Option<String>)]
    agent: Option<AgentName>,
    /// Only calls and entries of this system.
    #[schema(value_type = Option<String>)]
    system: Option<SystemName>,
    /// Not before; everything if left out.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Before.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// Calls that are good although policy denies them; those that it allowed and still allows are good unless they are `bad`.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    good: BTreeSet<EvaluationId>,
    /// Calls that are bad although policy allows them.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    bad: BTreeSet<EvaluationId>,
    /// Values of one argument that are written out before a range, a folder or nothing takes their place; 8 if left out.
    values_max: Option<usize>,
}

/// A change of the bundle, compiled and replayed, not published.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Suggestion")]
pub(crate) struct SuggestionView {
    /// The role.
    role: String,
    /// All agents that it concerns; the calls of each were replayed.
    holders: Vec<String>,
    /// Files that change.
    files: BTreeMap<String, ChangeView>,
    /// The new permits, each with the calls that it covers.
    lines: Vec<LineView>,
    /// Good calls that need none of them: how many, by the policies that stay and permit them.
    kept: BTreeMap<String, usize>,
    /// Actions that the role loses altogether.
    lost: Vec<String>,
    /// New kinds of tasks.
    templates: Vec<TemplateLine>,
    /// Good calls that were decided again, all of them allowed.
    replayed_good: usize,
    /// Bad calls that were decided again, none of them allowed.
    replayed_bad: usize,
    /// Good calls that stay denied, with why: no permit can allow them, or nobody marked them.
    beyond: Vec<BeyondView>,
    /// What lint says of the new bundle and not of the one in force.
    warnings: Vec<FindingView>,
}

/// A file that changes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Change")]
pub(crate) struct ChangeView {
    /// What the active bundle has there; `null`: nothing.
    before: Option<String>,
    /// What is to be there.
    after: String,
}

/// One new permit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "SuggestedPermit")]
pub(crate) struct LineView {
    /// Its id.
    policy: String,
    /// Its action.
    action: String,
    /// How many good calls it covers.
    calls: usize,
    /// Ids of some of them.
    samples: Vec<String>,
    /// Per argument, what was made of the values seen.
    arguments: Vec<String>,
    /// Whether it allows what the active bundle denies.
    widens: bool,
    /// The permit itself.
    cedar: String,
}

/// A new kind of task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "SuggestedTemplate")]
pub(crate) struct TemplateLine {
    /// Its file.
    file: String,
    /// How many tasks it was made from.
    tasks: usize,
    /// How many calls these made.
    calls: usize,
}

/// A good call that stays denied.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Beyond")]
pub(crate) struct BeyondView {
    /// Its id.
    evaluation: String,
    /// Why: codes, each with its rule if one decided.
    because: Vec<String>,
}

impl From<Line> for LineView {
    fn from(line: Line) -> Self {
        let Line { policy, action, calls, samples, arguments, widens, cedar } = line;
        Self { policy, action: action.to_string(), calls, samples, arguments, widens, cedar }
    }
}

/// Files as they are shown.
pub(super) fn files(files: BTreeMap<String, Change>) -> BTreeMap<String, ChangeView> {
    files.into_iter().map(|(path, Change { before, after })| (path, ChangeView { before, after })).collect()
}

impl From<Suggested> for SuggestionView {
    fn from(Suggested { role, holders, suggestion }: Suggested) -> Self {
        let Suggestion { files: changed, lines, kept, lost, templates, replay, beyond, warnings } = suggestion;
        let template = |SuggestedTemplate { file, tasks, calls }| TemplateLine { file, tasks, calls };
        let out_of_reach = |Beyond { evaluation, because }| BeyondView { evaluation, because };
        Self {
            role: role.to_string(),
            holders: holders.iter().map(ToString::to_string).collect(),
            files: files(changed),
            lines: lines.into_iter().map(Into::into).collect(),
            kept,
            lost: lost.iter().map(ToString::to_string).collect(),
            templates: templates.into_iter().map(template).collect(),
            replayed_good: replay.good,
            replayed_bad: replay.bad,
            beyond: beyond.into_iter().map(out_of_reach).collect(),
            warnings: FindingView::all(&warnings),
        }
    }
}

/// Suggests a narrower role from recorded calls.
#[utoipa::path(
    post,
    path = "/api/v1/policy/suggest",
    tag = "policy",
    request_body = SuggestionAsk,
    responses((status = 200, body = SuggestionView), Refusals)
)]
pub(super) async fn suggest(
    State(admin): State<Shared>,
    operator: Operator,
    StrictJson(body): StrictJson<SuggestionAsk>,
) -> Result<Json<SuggestionView>, Problem> {
    let SuggestionAsk { role, agent, system, since, until, good, bad, values_max } = body;
    let whose = match (role, agent) {
        (Some(role), None) => Whose::Role(role),
        (None, Some(agent)) => Whose::Agent(agent),
        _ => {
            let detail = "a suggestion is about one `role`, or the role of one `agent`";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "suggestion_malformed", detail));
        }
    };
    let values_max = values_max.unwrap_or(VALUES_MAX);
    let ask = SuggestAsk { whose, system, since, until, good, bad, values_max };
    let suggested = suggest::suggest(&admin.broker, &operator.principal(), ask).await?;
    Ok(Json(suggested.into()))
}
