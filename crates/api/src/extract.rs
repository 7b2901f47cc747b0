//! Path and query parameters, parsed at the door; refusals are problem documents.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path, Query};
use bailiwick_engine::refusal::Refusal;
use bailiwick_model::name::NameError;
use bailiwick_web::problem::Problem;
use http::{StatusCode, request::Parts};
use serde::de::DeserializeOwned;

/// The one path parameter, in the form that it must have.
pub(crate) struct Named<T>(pub(crate) T);

impl<S: Send + Sync, T: FromStr<Err = NameError>> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "path_malformed", error.body_text()))?;
        parsed(&text).map(Self)
    }
}

/// A query whose every parameter is known.
pub(crate) struct StrictQuery<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for StrictQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Query::<T>::from_request_parts(parts, state)
            .await
            .map(|Query(query)| Self(query))
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "query_malformed", error.body_text()))
    }
}

/// A name from the wire.
pub(crate) fn parsed<T: FromStr<Err = NameError>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: NameError| Problem::from(Refusal::Invalid { message: error.to_string(), hint: None }))
}
