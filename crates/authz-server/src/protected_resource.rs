//! `GET /.well-known/oauth-protected-resource…` (RFC 9728): which server issues
//! tokens for a resource of ours. The root document describes `/mcp`.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Json,
    extract::{OriginalUri, State},
    response::{IntoResponse, Response},
};
use bailiwick_engine::{
    directory::SCIM_MANAGE,
    tokens::{ACCESS_EVALUATE, Audience},
};
use bailiwick_model::{
    name::{Scope, SystemName},
    operation::ActionClass,
};
use bailiwick_oauth::{
    metadata::{PROTECTED_RESOURCE_PATH, ProtectedResourceMetadata},
    presented::Scheme,
};
use bailiwick_web::{entrance::Entrance, problem::Problem};
use http::{StatusCode, header};

const CACHE: &str = "public, max-age=300";

pub(crate) async fn root(State(entrance): State<Arc<Entrance>>) -> Response {
    describe(&entrance, &Audience::Aggregate)
}

pub(crate) async fn of_path(State(entrance): State<Arc<Entrance>>, OriginalUri(uri): OriginalUri) -> Response {
    let path = uri.path().strip_prefix(PROTECTED_RESOURCE_PATH).unwrap_or_default();
    let resource = entrance.external_url(path);
    match Audience::of_resource(entrance.issuer(), &resource) {
        Some(audience) if exists(&entrance, &audience) => describe(&entrance, &audience),
        _ => Problem::new(StatusCode::NOT_FOUND, "resource_unknown", "there is no such protected resource")
            .with_hint(
                "systems are at `/mcp/<system>`, all of them at `/mcp`, decisions at `/access/v1`, a client's hook at \
                 `/hook/claude-code`",
            )
            .into_response(),
    }
}

fn exists(entrance: &Entrance, audience: &Audience) -> bool {
    match audience {
        Audience::System(system) => {
            let live = entrance.broker().live();
            live.policy.as_deref().is_some_and(|policy| policy.catalogue().servers().any(|one| one.name == *system))
        }
        Audience::Aggregate | Audience::Access | Audience::Provisioning => true,
        // Its tokens open nothing: there is nothing to describe, and nobody learns which agents there are.
        Audience::Agent(_) => false,
        Audience::Hook(client) => {
            let live = entrance.broker().live();
            live.policy.as_deref().is_some_and(|policy| policy.catalogue().client(*client).is_some())
        }
    }
}

fn describe(entrance: &Entrance, audience: &Audience) -> Response {
    let issuer = entrance.issuer();
    let scopes = match audience {
        Audience::System(system) => of_system(system),
        // All systems would be all their names, told to anybody.
        Audience::Aggregate | Audience::Hook(_) | Audience::Agent(_) => BTreeSet::new(),
        Audience::Access => ACCESS_EVALUATE.parse().into_iter().collect(),
        Audience::Provisioning => SCIM_MANAGE.parse().into_iter().collect(),
    };
    let live = entrance.broker().live();
    let bearer = audience.only_asks() || live.agents.values().any(|agent| agent.bearer_tokens_allowed);
    let scheme = if bearer { Scheme::Bearer } else { Scheme::Dpop };
    let mut document = ProtectedResourceMetadata::new(issuer, &audience.resource(issuer), scopes, scheme);
    if entrance.certificates().admit_any() {
        document = document.with_certificates();
    }
    ([(header::CACHE_CONTROL, CACHE)], Json(document)).into_response()
}

fn of_system(system: &SystemName) -> BTreeSet<Scope> {
    ActionClass::ALL.iter().filter_map(|class| format!("{system}:{}", class.as_str()).parse().ok()).collect()
}
