//! `POST /api/v1/systems/{name}/propose`: reaches a system as a file describes it, published or not, and proposes its
//! catalogue files. Changes no policy. A definition that differs from its pin keeps the pin unless it is approved here.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Json, extract::State};
use bailiwick_model::{blame::Blame, bundle::BundleFiles, name::SystemName};
use bailiwick_pdp::{
    Catalogue, Severity,
    catalogue::System,
    finding::Finding,
    propose::{self, Discovery, Existing, NoteKind, Proposal},
};
use bailiwick_ports::upstreams::Discovered;
use bailiwick_web::{json::StrictJson, problem::Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Shared;
use crate::{
    Operator,
    admin::policy::{FindingView, json},
    extract::Named,
    openapi::{ProblemDocument, Refusals},
};

/// The files of a system as they are now.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "SystemFiles")]
pub(crate) struct SystemFiles {
    /// `systems/<name>.toml`; of a new system its `[upstream]` is enough.
    toml: String,
    /// `systems/<name>.tools.json`, if there is one.
    pinned: Option<String>,
    /// Tools whose changed definition is approved: their pins move to what the system offers now.
    #[serde(default)]
    approve: Vec<String>,
}

/// Files to write, and what to read before publishing them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Proposal")]
pub(crate) struct ProposalView {
    /// The new `systems/<name>.toml`.
    toml: String,
    /// The new `systems/<name>.tools.json`.
    pinned: String,
    /// Every tool of the proposal.
    tools: Vec<ProposedTool>,
    /// What was done and seen, for people.
    notes: Vec<String>,
}

/// One tool of a proposal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "ProposedTool")]
pub(crate) struct ProposedTool {
    name: String,
    /// `added`, `pinned`, `approved`, `changed` (its pin was kept), `unchanged`.
    state: String,
    class: String,
    tags: Vec<String>,
    /// Arguments that policy cannot see.
    opaque: Vec<String>,
}

/// Proposes the catalogue files of a system.
#[utoipa::path(
    post,
    path = "/api/v1/systems/{name}/propose",
    tag = "systems",
    params(("name" = String, Path, description = "the system's name")),
    request_body = SystemFiles,
    responses(
        (status = 200, body = ProposalView),
        (status = 422, description = "the file does not describe a system: `errors` says where",
         body = ProblemDocument, content_type = "application/problem+json"),
        (status = 502, description = "the system cannot be reached",
         body = ProblemDocument, content_type = "application/problem+json"),
        Refusals
    )
)]
pub(super) async fn propose(
    State(admin): State<Shared>,
    operator: Operator,
    Named(name): Named<SystemName>,
    StrictJson(files): StrictJson<SystemFiles>,
) -> Result<Json<ProposalView>, Problem> {
    let system = read(&name, &files.toml, None)?;
    tracing::info!(operator = operator.0.as_str(), system.name = name.as_str(), "a system is tried out");
    let discovered = (admin.try_out)(system).await.map_err(|error| {
        Problem::new(StatusCode::BAD_GATEWAY, "system_unreachable", error.to_string())
            .blaming(Blame::Upstream)
            .with_hint("run its command by hand, or fetch its URL; `bailiwick doctor` checks how systems are reached")
    })?;
    let (proposal, changed) = keep_unapproved(&name, &files, discovered)?;
    let tools = tools(&name, &proposal, &changed, &files.approve)?;
    let notes = proposal.notes.iter().map(|note| {
        let about = note.tool.as_deref().unwrap_or("the system");
        format!("{about}: {}: {}", note.kind.as_str(), note.message)
    });
    Ok(Json(ProposalView { notes: notes.collect(), toml: proposal.toml, pinned: proposal.lock_json, tools }))
}

/// The system that two files describe.
fn read(name: &SystemName, toml: &str, pinned: Option<&str>) -> Result<System, Problem> {
    let mut files = BTreeMap::from([(format!("systems/{name}.toml"), toml.as_bytes().to_vec())]);
    if let Some(pinned) = pinned {
        files.insert(format!("systems/{name}.tools.json"), pinned.as_bytes().to_vec());
    }
    let files = BundleFiles::new(files).map_err(|error| unfit(&error.to_string(), &[]))?;
    let (catalogue, findings) = Catalogue::read(&files);
    let errors: Vec<Finding> = findings.into_iter().filter(|finding| finding.severity == Severity::Error).collect();
    match catalogue.system(name) {
        Some(system) if errors.is_empty() => Ok(system.clone()),
        _ => Err(unfit("the file does not describe a system", &errors)),
    }
}

fn unfit(detail: &str, findings: &[Finding]) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "system_invalid", detail)
        .with_errors(json(findings.iter().map(FindingView::of).collect()))
}

/// Proposes, and once more with the pinned definitions of the tools that changed without approval, so that approving one
/// change never lets another in. Returns which tools changed.
fn keep_unapproved(
    name: &SystemName,
    files: &SystemFiles,
    mut discovered: Discovered,
) -> Result<(Proposal, BTreeSet<String>), Problem> {
    let existing = Existing { toml: &files.toml, lock_json: files.pinned.as_deref() };
    let run = |discovered: &Discovered| {
        let discovery = Discovery {
            protocol_version: &discovered.protocol_version,
            server_info: &discovered.server_info,
            instructions: discovered.instructions.as_deref(),
            tools: &discovered.tools,
            prompts: &discovered.prompts,
        };
        propose::propose(name, &discovery, Some(existing))
            .map_err(|finding| unfit("the file cannot be extended", &[finding]))
    };
    let first = run(&discovered)?;
    let changes: Vec<_> = first.notes.iter().filter(|note| note.kind == NoteKind::Changed).cloned().collect();
    let changed: BTreeSet<String> = changes.iter().filter_map(|note| note.tool.clone()).collect();
    let unapproved: BTreeSet<&String> = changed.iter().filter(|tool| !files.approve.contains(tool)).collect();
    if unapproved.is_empty() {
        return Ok((first, changed));
    }
    let pinned = files.pinned.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default();
    let pinned: Vec<&Value> = pinned.get("tools").and_then(Value::as_array).into_iter().flatten().collect();
    let called = |tool: &Value| tool.get("name").and_then(Value::as_str).map(str::to_owned).unwrap_or_default();
    discovered.tools.retain_mut(|tool| {
        let tool_name = called(tool);
        if !unapproved.contains(&tool_name) {
            return true;
        }
        // Without its pinned definition a changed tool can only be left out.
        match pinned.iter().find(|old| called(old) == tool_name) {
            Some(old) => {
                *tool = (*old).clone();
                true
            }
            None => false,
        }
    });
    let mut second = run(&discovered)?;
    second.notes.extend(changes.into_iter().filter(|note| note.tool.as_ref().is_some_and(|t| unapproved.contains(t))));
    Ok((second, changed))
}

fn tools(
    name: &SystemName,
    proposal: &Proposal,
    changed: &BTreeSet<String>,
    approve: &[String],
) -> Result<Vec<ProposedTool>, Problem> {
    let system = read(name, &proposal.toml, Some(&proposal.lock_json))?;
    let noted = |tool: &str, kind| proposal.notes.iter().any(|n| n.kind == kind && n.tool.as_deref() == Some(tool));
    let state = |tool: &str| match () {
        () if changed.contains(tool) && approve.iter().any(|name| name == tool) => "approved",
        () if changed.contains(tool) => "changed",
        () if noted(tool, NoteKind::Added) => "added",
        () if noted(tool, NoteKind::Pinned) => "pinned",
        () => "unchanged",
    };
    let view = |tool: &bailiwick_pdp::catalogue::Tool| ProposedTool {
        name: tool.name.to_string(),
        state: state(tool.name.as_str()).to_owned(),
        class: tool.class.as_str().to_owned(),
        tags: tool.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
        opaque: tool.opaque.clone(),
    };
    Ok(system.tools.values().map(view).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn discovered(description: &str) -> Discovered {
        let tool = |name: &str| {
            json!({"name": name, "description": description,
                   "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}}})
        };
        Discovered {
            protocol_version: "2025-11-25".to_owned(),
            server_info: json!({"name": "files", "version": "1"}),
            tools: vec![tool("read_one"), tool("read_two")],
            ..Discovered::default()
        }
    }

    #[test]
    fn only_an_approved_change_moves_its_pin() {
        let name: SystemName = "files".parse().unwrap();
        let new = SystemFiles { toml: "[upstream]\nstdio = [\"server\"]\n".to_owned(), pinned: None, approve: vec![] };
        let (first, changed) = keep_unapproved(&name, &new, discovered("old")).unwrap();
        assert!(changed.is_empty());
        assert_eq!(tools(&name, &first, &changed, &[]).unwrap().len(), 2);

        let approve = vec!["read_one".to_owned()];
        let again = SystemFiles { toml: first.toml.clone(), pinned: Some(first.lock_json.clone()), approve };
        let (second, changed) = keep_unapproved(&name, &again, discovered("new")).unwrap();
        let states: Vec<_> = tools(&name, &second, &changed, &again.approve)
            .unwrap()
            .into_iter()
            .map(|tool| (tool.name, tool.state))
            .collect();
        let expected = [("read_one", "approved"), ("read_two", "changed")];
        assert_eq!(states, expected.map(|(name, state)| (name.to_owned(), state.to_owned())));
        let digest = |proposal: &Proposal, tool: &str| {
            read(&name, &proposal.toml, Some(&proposal.lock_json)).unwrap().tools[&tool.parse().unwrap()].digest
        };
        assert_ne!(digest(&first, "read_one"), digest(&second, "read_one"));
        assert_eq!(digest(&first, "read_two"), digest(&second, "read_two"));
        assert!(
            second.notes.iter().any(|note| note.tool.as_deref() == Some("read_two") && note.kind == NoteKind::Changed)
        );
    }
}
