//! `GET /api/v1/safe-mode`: what is in safe mode now.

use axum::{Json, extract::State};
use bailiwick_ports::store::SafeModeRow;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use crate::openapi::Refusals;

/// Safe modes that are on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "SafeModes")]
pub(crate) struct SafeModes {
    safe_modes: Vec<SafeModeView>,
}

/// One safe mode.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "SafeMode")]
pub(crate) struct SafeModeView {
    /// `everything`, `agent:<name>` or `system:<name>`.
    scope: String,
    /// Why it is on.
    reason: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
}

pub(super) fn view(admin: &Shared) -> SafeModes {
    let live = admin.broker.live();
    let rows = live.safe_modes.values().map(|SafeModeRow { scope, reason, since }| SafeModeView {
        scope: scope.to_string(),
        reason: reason.clone(),
        since: *since,
    });
    SafeModes { safe_modes: rows.collect() }
}

/// Lists what is in safe mode.
#[utoipa::path(get, path = "/api/v1/safe-mode", tag = "safe mode", responses((status = 200, body = SafeModes), Refusals))]
pub(super) async fn list(State(admin): State<Shared>) -> Json<SafeModes> {
    Json(view(&admin))
}
