//! `GET /reasons`: the page that the `type` of every problem refers to. The
//! same text as in the book; the same for everybody.

use axum::response::IntoResponse;
use http::header;

const PAGE: &str = include_str!("../../../docs/reasons.md");

/// The page.
pub async fn reasons() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/markdown; charset=utf-8"), (header::CACHE_CONTROL, "public, max-age=3600")], PAGE)
}
