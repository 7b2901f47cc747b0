//! The broker itself: how it is, and a copy of its state. One file per endpoint.

use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Facts, Shared};

mod backup;
mod status;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(status::status)).routes(routes!(backup::backup))
}
