//! Observation: for a while, what rules of the organisation would stop goes through and is recorded. One file per
//! endpoint.

use utoipa_axum::{router::OpenApiRouter, routes};

use super::Shared;

pub(super) mod connections;
mod list;
mod start;
mod stop;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(start::start))
        .routes(routes!(stop::stop))
        .routes(routes!(connections::connections))
}
