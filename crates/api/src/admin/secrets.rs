//! Upstream credentials: put in and taken out, never shown. One file per endpoint.

use bailiwick_model::name::SecretName;
use bailiwick_web::problem::Problem;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Shared;
use crate::extract::parsed;

mod list;
mod put;
mod remove;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list::list)).routes(routes!(put::put, remove::remove))
}

/// A secret's name from the two parts of its path.
fn named(system: &str, name: &str) -> Result<SecretName, Problem> {
    parsed(&format!("{system}/{name}"))
}
