//! `GET /api/v1/audit/export`: the whole log as lines of JSON, the checkpoints first, as `audit verify` reads it. Streams
//! page by page, so memory does not grow with the log.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
};
use bailiwick_audit_log::export::Line;
use bailiwick_engine::{broker::Broker, history, refusal::Refusal};
use bailiwick_ports::store::EntryFilter;
use bailiwick_web::problem::Problem;
use futures::stream;
use http::header;

use super::Shared;
use crate::openapi::Refusals;

/// Entries that are read at a time.
const ENTRIES_PER_READ: usize = 500;

/// Exports the log.
#[utoipa::path(
    get,
    path = "/api/v1/audit/export",
    tag = "audit",
    responses((status = 200, body = String, content_type = "application/jsonl"), Refusals)
)]
pub(super) async fn export(State(admin): State<Shared>) -> Result<Response, Problem> {
    let notes = admin.broker.store().checkpoints().await.map_err(Refusal::from)?;
    let head: String = notes.into_iter().map(|(_, note)| Line::Checkpoint { note }.to_text() + "\n").collect();
    let pages = stream::try_unfold(Some((Arc::clone(&admin.broker), None)), page);
    let head = stream::once(async move { Ok(Bytes::from(head)) });
    let body = Body::from_stream(futures::StreamExt::chain(head, pages));
    Ok(([(header::CONTENT_TYPE, "application/jsonl")], body).into_response())
}

type Cursor = Option<(Arc<Broker>, Option<u64>)>;

/// One page of leaves. An error cuts the stream, so that a client never takes a part for the whole.
async fn page(cursor: Cursor) -> Result<Option<(Bytes, Cursor)>, std::io::Error> {
    let Some((broker, after)) = cursor else { return Ok(None) };
    let filter = EntryFilter { after, limit: ENTRIES_PER_READ, ..EntryFilter::default() };
    let entries = history::entries(&broker, filter).await.map_err(|error| {
        tracing::error!(%error, "an export broke off");
        std::io::Error::other("the log cannot be read")
    })?;
    let Some(last) = entries.last().map(|entry| entry.sequence) else { return Ok(None) };
    let lines: String = entries.iter().map(|entry| Line::of_leaf(entry.index, &entry.leaf).to_text() + "\n").collect();
    let more = entries.len() == ENTRIES_PER_READ;
    Ok(Some((Bytes::from(lines), more.then_some((broker, Some(last))))))
}
