//! `POST /api/v1/systems/{name}/discover`: asks a system what it offers, compares that with the pinned definitions,
//! and proposes catalogue files. Changes no policy: a proposal is published like any other bundle.

use axum::{Json, extract::State};
use bailiwick_engine::definitions;
use bailiwick_model::{blame::Blame, name::SystemName};
use bailiwick_web::problem::Problem;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::{QuarantineView, Shared};
use crate::{Operator, extract::Named, openapi::Refusals};

/// What a system offers and what to write into the bundle.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Discovery")]
pub(crate) struct Discovery {
    /// The whole answer of the system; never trusted.
    #[schema(value_type = Object)]
    discovered: serde_json::Value,
    /// Tools that differ from their pins, quarantined from now on.
    quarantine: Vec<QuarantineView>,
}

/// Discovers a system of the active bundle.
#[utoipa::path(
    post,
    path = "/api/v1/systems/{name}/discover",
    tag = "systems",
    params(("name" = String, Path, description = "the system's name")),
    responses((status = 200, body = Discovery), Refusals)
)]
pub(super) async fn discover(
    State(admin): State<Shared>,
    _operator: Operator,
    Named(name): Named<SystemName>,
) -> Result<Json<Discovery>, Problem> {
    let discovered = admin.upstreams.discover(&name).await.map_err(|error| {
        Problem::new(StatusCode::BAD_GATEWAY, "system_unreachable", error.to_string())
            .blaming(Blame::Upstream)
            .with_hint("`bailiwick doctor` checks how each system is reached")
    })?;
    let rows = definitions::observe(&admin.broker, &name, &discovered).await?;
    let live = admin.broker.live();
    let system = live.policy.as_deref().and_then(|policy| policy.catalogue().system(&name));
    Ok(Json(Discovery {
        discovered: serde_json::to_value(&discovered).unwrap_or_default(),
        quarantine: rows.iter().map(|row| QuarantineView::of(row, system)).collect(),
    }))
}
