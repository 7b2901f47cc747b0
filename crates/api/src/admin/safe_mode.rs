//! Safe mode: reads go on, everything else stops. One file per endpoint.

use bailiwick_model::safe_mode::SafeModeScope;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Shared;

mod enter;
mod lift;
mod list;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list::list)).routes(routes!(enter::enter)).routes(routes!(lift::lift))
}

/// What is concerned, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "SafeModeChange")]
pub(super) struct SafeModeChange {
    /// `everything`, `agent:<name>` or `system:<name>`.
    #[schema(value_type = String, example = "everything")]
    scope: SafeModeScope,
    /// Why, in one line; required.
    #[serde(default)]
    reason: String,
}
