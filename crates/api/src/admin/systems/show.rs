//! `GET /api/v1/systems/{name}`: one system with its tools and what is in quarantine.

use axum::{Json, extract::State};
use bailiwick_engine::refusal::Refusal;
use bailiwick_model::name::SystemName;
use bailiwick_pdp::catalogue::Tool;
use bailiwick_web::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::{QuarantineView, Shared, SystemView};
use crate::{extract::Named, openapi::Refusals};

/// One system.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "SystemDetail")]
pub(crate) struct SystemDetail {
    #[serde(flatten)]
    system: SystemView,
    /// Every pinned tool.
    pinned_tools: Vec<ToolView>,
    /// Names of pinned prompts.
    prompts: Vec<String>,
    /// Tools whose definition is not the pinned one.
    quarantine: Vec<QuarantineView>,
}

/// One tool as the catalogue knows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Tool")]
pub(crate) struct ToolView {
    name: String,
    /// The action that policy names.
    action: String,
    /// `read`, `write`, `delete` or `execute`.
    class: String,
    tags: Vec<String>,
    /// Whether somebody classified it; else it is a write with every tag.
    classified: bool,
    /// The digest of its pinned definition.
    digest: String,
    /// Arguments that policy cannot see.
    opaque: Vec<String>,
    /// The record type that a call names; absent: the tool itself.
    record: Option<String>,
    /// Classes of fields in its results.
    field_classes: Vec<String>,
}

impl ToolView {
    fn of(tool: &Tool) -> Self {
        Self {
            name: tool.name.to_string(),
            action: tool.action.to_string(),
            class: tool.class.as_str().to_owned(),
            tags: tool.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
            classified: tool.classified,
            digest: tool.digest.to_string(),
            opaque: tool.opaque.clone(),
            record: tool.records.as_ref().map(|records| records.type_name.clone()),
            field_classes: tool.field_classes.keys().cloned().collect(),
        }
    }
}

/// Shows one system.
#[utoipa::path(
    get,
    path = "/api/v1/systems/{name}",
    tag = "systems",
    params(("name" = String, Path, description = "the system's name")),
    responses((status = 200, body = SystemDetail), Refusals)
)]
pub(super) async fn show(
    State(admin): State<Shared>,
    Named(name): Named<SystemName>,
) -> Result<Json<SystemDetail>, Problem> {
    let live = admin.broker.live();
    let system = live.policy.as_deref().and_then(|policy| policy.catalogue().system(&name));
    let system = system.ok_or_else(|| Refusal::Missing(format!("system `{name}`")))?;
    let seen = live.definitions.get(&name);
    let rows = seen.into_iter().flat_map(|seen| seen.quarantined.values());
    Ok(Json(SystemDetail {
        pinned_tools: system.tools.values().map(ToolView::of).collect(),
        prompts: system.pinned.prompts.keys().cloned().collect(),
        quarantine: rows.map(|row| QuarantineView::of(row, Some(system))).collect(),
        system: SystemView::of(system, seen),
    }))
}
