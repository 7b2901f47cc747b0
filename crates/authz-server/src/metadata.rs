//! `GET /.well-known/oauth-authorization-server` (RFC 8414). Names no system:
//! whoever is not let in need not know what there is.

use std::{collections::BTreeSet, sync::Arc};

use axum::{Json, extract::State, response::IntoResponse};
use bailiwick_engine::{authorization, tokens::ACCESS_EVALUATE};
use bailiwick_oauth::metadata::AuthorizationServerMetadata;
use bailiwick_web::entrance::Entrance;
use http::header;

const CACHE: &str = "public, max-age=300";

pub(crate) async fn metadata(State(entrance): State<Arc<Entrance>>) -> impl IntoResponse {
    let scopes: BTreeSet<_> = ACCESS_EVALUATE.parse().into_iter().collect();
    let mut document = AuthorizationServerMetadata::new(entrance.issuer(), scopes, Vec::new())
        .with_assertions_by(&entrance.broker().settings().agent_algorithms);
    document.acr_values_supported = authorization::classes(entrance.broker());
    ([(header::CACHE_CONTROL, CACHE)], Json(document))
}
