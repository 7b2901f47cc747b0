//! `GET /.well-known/oauth-authorization-server` (RFC 8414). Names no system:
//! whoever is not let in need not know what there is.

use std::{collections::BTreeSet, sync::Arc};

use axum::{Json, extract::State, response::IntoResponse};
use bailiwick_engine::{authorization, client_documents, directory::SCIM_MANAGE, tokens::ACCESS_EVALUATE};
use bailiwick_oauth::metadata::{AuthorizationServerMetadata, CertificatesSupported};
use bailiwick_web::entrance::Entrance;
use http::header;

const CACHE: &str = "public, max-age=300";

pub(crate) async fn metadata(State(entrance): State<Arc<Entrance>>) -> impl IntoResponse {
    let scopes: BTreeSet<_> = [ACCESS_EVALUATE, SCIM_MANAGE].iter().filter_map(|scope| scope.parse().ok()).collect();
    let live = entrance.broker().live();
    let issuers = || live.policy.iter().flat_map(|policy| policy.issuers().iter());
    let (takes, vouches) = (issuers().any(|one| one.vouches.is_some()), issuers().any(|one| !one.targets.is_empty()));
    let mut document = AuthorizationServerMetadata::new(entrance.issuer(), scopes, Vec::new())
        .with_assertions_by(&entrance.broker().settings().agent_algorithms)
        .chaining(takes, vouches);
    if client_documents::are_admitted(&live) {
        document = document.with_client_documents();
    }
    let rules = entrance.certificates();
    let listener = rules.listener_origin();
    document.acr_values_supported = authorization::classes(entrance.broker());
    if rules.admit_any() {
        document = document.with_certificates(CertificatesSupported {
            listener: listener.as_deref(),
            issued: rules.authorities.is_some(),
            spiffe: !rules.trust_domains.is_empty(),
        });
    }
    if !entrance.attesters().is_empty() {
        document = document.with_attesters();
    }
    ([(header::CACHE_CONTROL, CACHE)], Json(document))
}
