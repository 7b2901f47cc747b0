//! `POST …/.search`: the questions of a list, in a body instead of a query (RFC 7644 §3.4.3).

use axum::{
    extract::{Request, State},
    response::Response,
};
use bailiwick_scim::list::ListQuery;
use http::StatusCode;
use serde_json::Value;

use super::{Fault, Scim, Shared, admitted, answer, body, groups, users};

/// `POST /.search`: users and groups.
pub(super) async fn all(State(scim): State<Shared>, message: Request) -> Response {
    search(&scim, message, |query| query.page(users::found(&scim, query).chain(groups::found(&scim)))).await
}

/// `POST /Users/.search`.
pub(super) async fn users(State(scim): State<Shared>, message: Request) -> Response {
    search(&scim, message, |query| query.page(users::found(&scim, query))).await
}

/// `POST /Groups/.search`.
pub(super) async fn groups(State(scim): State<Shared>, message: Request) -> Response {
    search(&scim, message, |query| query.page(groups::found(&scim))).await
}

async fn search(scim: &Scim, message: Request, page: impl FnOnce(&ListQuery) -> Value) -> Response {
    let found = async {
        let (_, parts, raw) = admitted(scim, message).await?;
        let query = ListQuery::read(&body(&parts.headers, raw).await?)?;
        Ok::<_, Fault>(answer(StatusCode::OK, &page(&query)))
    };
    found.await.unwrap_or_else(|fault| fault.0)
}
