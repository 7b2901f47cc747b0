//! Decisions without a call: what would be decided, and why something was. One file per endpoint.

use utoipa_axum::{router::OpenApiRouter, routes};

use super::Shared;

mod check;
mod explain;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(check::check)).routes(routes!(explain::explain))
}
