//! `/scim/v2/ServiceProviderConfig`, `/ResourceTypes` and `/Schemas` (RFC 7644 §4): what there is, for whoever may come in.

use axum::{
    extract::{Path, Request, State},
    response::Response,
};
use bailiwick_scim::{discovery, error::ScimError, list::ListQuery};
use http::StatusCode;
use serde_json::Value;

use super::{Fault, Shared, admitted, answer};

pub(super) async fn service_provider_config(State(scim): State<Shared>, message: Request) -> Response {
    one(&scim, message, |issuer| Some(discovery::service_provider_config(issuer))).await
}

pub(super) async fn resource_types(State(scim): State<Shared>, message: Request) -> Response {
    all(&scim, message, discovery::resource_types).await
}

pub(super) async fn resource_type(State(scim): State<Shared>, Path(id): Path<String>, message: Request) -> Response {
    one(&scim, message, |issuer| named(discovery::resource_types(issuer), &id)).await
}

pub(super) async fn schemas(State(scim): State<Shared>, message: Request) -> Response {
    all(&scim, message, discovery::schemas).await
}

pub(super) async fn schema(State(scim): State<Shared>, Path(id): Path<String>, message: Request) -> Response {
    one(&scim, message, |issuer| named(discovery::schemas(issuer), &id)).await
}

fn named(all: Vec<Value>, id: &str) -> Option<Value> {
    all.into_iter().find(|one| one.get("id").and_then(Value::as_str) == Some(id))
}

async fn one(scim: &Shared, message: Request, find: impl FnOnce(&str) -> Option<Value>) -> Response {
    let found = async {
        drop(admitted(scim, message).await?);
        let found = find(scim.issuer()).ok_or_else(|| ScimError::new(404, "there is no such thing"))?;
        Ok::<_, Fault>(answer(StatusCode::OK, &found))
    };
    found.await.unwrap_or_else(|fault| fault.0)
}

async fn all(scim: &Shared, message: Request, list: impl FnOnce(&str) -> Vec<Value>) -> Response {
    let listed = async {
        let (_, parts, _) = admitted(scim, message).await?;
        // A filter of these is refused (RFC 7644 §4): nobody needs one.
        if parts.uri.query().is_some_and(|query| query.to_ascii_lowercase().contains("filter")) {
            return Err(ScimError::new(403, "this list has no filter").into());
        }
        Ok::<_, Fault>(answer(StatusCode::OK, &ListQuery::parse("")?.page(list(scim.issuer()).into_iter())))
    };
    listed.await.unwrap_or_else(|fault| fault.0)
}
