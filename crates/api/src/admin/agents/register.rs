//! `POST /api/v1/agents`: registers an agent, which starts read-only.

use axum::{Json, extract::State};
use bailiwick_engine::agents::{self, Registration};
use bailiwick_model::{
    agent::{Authenticator, Environment, KeyProtection},
    jwk::SigningAlgorithm,
    name::{AgentName, RoleName, Scope, SystemName},
    redirect_uri::RedirectUri,
};
use bailiwick_web::{json::StrictJson, problem::Problem};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{AgentView, Shared, add_credential::NewCredential, public_keys};
use crate::{Operator, openapi::Refusals};

/// A registration.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "Registration")]
pub(crate) struct RegistrationBody {
    /// Lower-case letters, digits and `-`; never given twice.
    #[schema(value_type = String, example = "support-bot")]
    name: AgentName,
    /// Who answers for it; required.
    #[serde(default)]
    owner: String,
    /// What it is for, in one sentence; required.
    #[serde(default)]
    purpose: String,
    /// Where it runs: `development`, `staging` or `production`.
    #[schema(value_type = String, example = "production")]
    environment: Environment,
    /// A role of the active bundle.
    #[schema(value_type = String, example = "support")]
    role: RoleName,
    /// A public JWK, a JWK set, or a public key in PEM. It, `credential` or both are required.
    #[schema(value_type = Option<Object>)]
    key: Option<serde_json::Value>,
    /// What the key signs by, where its form does not say it: `RS256` for an RSA key in PEM, which is taken for `PS256`
    /// otherwise.
    #[schema(value_type = Option<String>, example = "RS256")]
    key_algorithm: Option<SigningAlgorithm>,
    /// A certificate, or a platform, that it is to be known by.
    credential: Option<NewCredential>,
    /// What the maker of its device says of `key`: certificates in PEM, the one of this very key first.
    attestation: Option<String>,
    /// How its keys must be kept: `any`, or `hardware`, attested. Its role may ask for more.
    #[serde(default)]
    #[schema(value_type = String, example = "hardware")]
    key_protection: KeyProtection,
    /// Systems that it may ask tokens for; empty means all that its role can reach.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    systems: Vec<SystemName>,
    /// Scopes beyond systems, such as `access:evaluate`.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    scopes: Vec<Scope>,
    /// Where users whom it asks for consent are sent back to: `https`, or `http` on their own machine at any port. Eight at
    /// most; none: it acts for itself alone.
    #[serde(default)]
    #[schema(value_type = Vec<String>, example = json!(["http://127.0.0.1/callback"]))]
    redirect_uris: Vec<RedirectUri>,
    /// Whether plain bearer tokens are allowed, for clients that know no DPoP.
    #[serde(default)]
    bearer_tokens_allowed: bool,
    /// Whether it may act only within a task.
    #[serde(default)]
    task_required: bool,
    /// Seconds its access tokens live: 60 to 3600, 900 if left out.
    token_ttl_s: Option<u64>,
    /// Days until it expires: 1 to 366, 90 if left out.
    lifetime_days: Option<u32>,
    /// Days until somebody must have reviewed it, or it is suspended: 1 to 366; only when it expires if left out.
    review_days: Option<u32>,
}

/// Registers an agent.
#[utoipa::path(
    post,
    path = "/api/v1/agents",
    tag = "agents",
    request_body = RegistrationBody,
    responses((status = 201, body = AgentView), Refusals)
)]
pub(super) async fn register(
    State(admin): State<Shared>,
    operator: Operator,
    StrictJson(body): StrictJson<RegistrationBody>,
) -> Result<(StatusCode, Json<AgentView>), Problem> {
    let RegistrationBody {
        name,
        owner,
        purpose,
        environment,
        role,
        key,
        key_algorithm,
        credential,
        attestation,
        key_protection,
        systems,
        scopes,
        redirect_uris,
        bearer_tokens_allowed,
        task_required,
        token_ttl_s,
        lifetime_days,
        review_days,
    } = body;
    let keys = key.as_ref().map(|key| public_keys(key, key_algorithm)).transpose()?.unwrap_or_default();
    let of_key = attestation.as_deref().map(super::attestation).transpose()?;
    let (certificate, of_certificate) = credential.map(|one| one.credential(&name)).transpose()?.unzip();
    let attestation = match (of_key, of_certificate.flatten()) {
        (Some(_), Some(_)) => return Err(super::unattested("give one attestation, and add the other key later")),
        (one, other) => one.or(other),
    };
    let ask = Registration {
        name,
        owner,
        purpose,
        environment,
        role,
        authenticators: keys.into_iter().map(Authenticator::Key).chain(certificate).collect(),
        attestation,
        key_protection,
        systems,
        scopes,
        redirect_uris,
        bearer_tokens_allowed,
        task_required,
        token_ttl_s,
        lifetime_days,
        review_days,
    };
    let agent = agents::register(&admin.broker, &operator.principal(), ask).await?;
    Ok((StatusCode::CREATED, Json(AgentView::of(&agent, &admin.broker))))
}
