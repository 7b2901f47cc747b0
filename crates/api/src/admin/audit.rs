//! Evidence: read, opened (which is itself recorded), exported, proven. One file per endpoint.

use bailiwick_audit_log::{leaf, render::render};
use bailiwick_ports::store::StoredEntry;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Shared;

mod chain;
mod checkpoint;
mod checkpoints;
mod entries;
mod export;
mod integrate;
mod open;
mod show;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(entries::entries))
        .routes(routes!(show::show))
        .routes(routes!(open::open))
        .routes(routes!(chain::chain))
        .routes(routes!(export::export))
        .routes(routes!(checkpoint::checkpoint, integrate::integrate))
        .routes(routes!(checkpoints::checkpoints))
}

/// One entry of evidence.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Entry")]
pub(super) struct EntryView {
    /// Its number within its replica's chain.
    sequence: u64,
    /// Its index in the Merkle log, once integrated.
    index: Option<u64>,
    /// The entry for people; what is proven are the leaf's bytes.
    #[schema(value_type = Object)]
    entry: serde_json::Value,
    /// Whether it has sealed values.
    sealed: bool,
}

impl EntryView {
    fn of(stored: &StoredEntry) -> Self {
        let StoredEntry { sequence, index, leaf: bytes, sealed } = stored;
        let entry = leaf::decode(bytes).map_or(serde_json::Value::Null, |leaf| render(&leaf));
        Self { sequence: *sequence, index: *index, entry, sealed: sealed.is_some() }
    }
}
