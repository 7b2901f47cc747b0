//! Agents: who may act. One file per endpoint; this one holds what they share.

use bailiwick_engine::{broker::Broker, hardware};
use bailiwick_model::{
    agent::{Agent, AgentStatus, Attestation, Authenticator, Credential, Inactive, PinnedCertificate},
    jwk::{PublicKey, SigningAlgorithm},
};
use bailiwick_oauth::key_policy::KeyPolicy;
use bailiwick_web::problem::Problem;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Shared;

mod add_credential;
mod add_key;
mod findings;
mod key_protection;
mod list;
mod owner;
mod owner_left;
mod promote;
mod redirect_uris;
mod register;
mod remove_credential;
mod remove_key;
mod resume;
mod retire;
mod review;
mod role;
mod show;
mod sightings;
mod suspend;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list::list, register::register))
        .routes(routes!(show::show))
        .routes(routes!(promote::promote))
        .routes(routes!(suspend::suspend))
        .routes(routes!(resume::resume))
        .routes(routes!(retire::retire))
        .routes(routes!(review::review))
        .routes(routes!(role::role))
        .routes(routes!(key_protection::key_protection))
        .routes(routes!(owner::owner))
        .routes(routes!(owner_left::owner_left))
        .routes(routes!(add_key::add_key))
        .routes(routes!(remove_key::remove_key))
        .routes(routes!(add_credential::add_credential))
        .routes(routes!(remove_credential::remove_credential))
        .routes(routes!(redirect_uris::redirect_uris))
        .routes(routes!(sightings::sightings))
        .routes(routes!(findings::findings))
}

/// An agent as registered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Agent")]
pub(super) struct AgentView {
    /// Its name for good.
    name: String,
    /// Who answers for it.
    owner: String,
    /// What it is for.
    purpose: String,
    /// `development`, `staging` or `production`.
    environment: String,
    /// Its role.
    role: String,
    /// Systems that it may ask tokens for; empty means all that its role can reach.
    systems: Vec<String>,
    /// Scopes beyond systems.
    scopes: Vec<String>,
    /// Where users whom it asks for consent are sent back to.
    redirect_uris: Vec<String>,
    /// Whether it is past its read-only start.
    promoted: bool,
    /// Whether its tokens may be plain bearer tokens.
    bearer_tokens_allowed: bool,
    /// Whether it may act only within a task.
    task_required: bool,
    /// How its keys must be kept, by its registration or its role, whichever is stricter: `any` or `hardware`.
    key_protection: String,
    /// Seconds its access tokens live.
    token_ttl_s: u64,
    /// `active`, `suspended`, `retired`, or `expired` once its time is over.
    state: String,
    /// Why it is suspended or retired.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_reason: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    state_since: Option<Timestamp>,
    /// Its keys.
    keys: Vec<KeyView>,
    /// What else it proves itself by.
    certificates: Vec<CertificateView>,
    /// When it was registered.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When the registration ends.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// When it is suspended unless somebody reviewed it before.
    #[schema(value_type = String, format = DateTime)]
    review_by: Timestamp,
    /// Its owner left: when it is suspended unless somebody took it over before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    successor_by: Option<Timestamp>,
    /// The newest use of any of its keys and certificates.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    /// Counts changes.
    version: u64,
}

/// One key of an agent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "AgentKey")]
pub(super) struct KeyView {
    /// Its name within the agent.
    kid: String,
    /// `ES256`, `EdDSA` or `PS256`.
    algorithm: String,
    /// RFC 7638, SHA-256.
    thumbprint: String,
    /// When it was registered.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// From when on it is refused.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// What is to be said now of what the maker of its device says: `holds`, or why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    attestation: Option<String>,
    /// When it last authenticated the agent.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

/// A certificate or a platform that an agent is known by.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "AgentCertificate")]
pub(super) struct CertificateView {
    /// What removes it, and what tokens and evidence cite.
    id: String,
    /// `tls_client_auth`, `self_signed_tls_client_auth`, `spiffe`, `workload_identity`, `attest_jwt_client_auth`, or `none`
    /// for a client by its document.
    method: String,
    /// What is compared, of the certificate or the token: `tls_client_auth_subject_dn`, `tls_client_auth_san_dns`, `…_san_uri`,
    /// `…_san_ip`, `…_san_email` (RFC 8705), `certificate_sha256`, `public_key_sha256`, `spiffe_id`,
    /// `workload_issuer`, `client_document` or `client_attester`.
    kind: String,
    /// With what.
    value: String,
    /// When it was registered.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// From when on it is refused.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// What is to be said now of what the maker of its device says: `holds`, or why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    attestation: Option<String>,
    /// When it last authenticated the agent.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

impl AgentView {
    pub(super) fn of(agent: &Agent, broker: &Broker) -> Self {
        let now = broker.now();
        let Agent {
            name,
            owner,
            purpose,
            environment,
            role,
            systems,
            scopes,
            redirect_uris,
            promoted,
            bearer_tokens_allowed,
            task_required,
            key_protection: _,
            token_ttl_s,
            credentials,
            status,
            created_at,
            expires_at,
            review_by,
            successor_by,
            version,
        } = agent;
        let (state_reason, state_since) = match status {
            AgentStatus::Active => (None, None),
            AgentStatus::Suspended { at, reason } | AgentStatus::Retired { at, reason } => {
                (Some(reason.clone()), Some(*at))
            }
        };
        let state = match agent.overdue(now) {
            Some(Inactive::Expired) if *status == AgentStatus::Active => "expired",
            // Recorded within seconds.
            Some(_) if *status == AgentStatus::Active => "suspended",
            Some(_) | None => status.as_str(),
        };
        Self {
            name: name.to_string(),
            owner: owner.clone(),
            purpose: purpose.clone(),
            environment: environment.to_string(),
            role: role.to_string(),
            systems: systems.iter().map(ToString::to_string).collect(),
            scopes: scopes.iter().map(ToString::to_string).collect(),
            redirect_uris: redirect_uris.iter().map(ToString::to_string).collect(),
            promoted: *promoted,
            bearer_tokens_allowed: *bearer_tokens_allowed,
            task_required: *task_required,
            key_protection: hardware::demanded(&broker.live(), agent).to_string(),
            token_ttl_s: *token_ttl_s,
            state: state.to_owned(),
            state_reason,
            state_since,
            keys: credentials.iter().filter_map(|credential| KeyView::of(credential, broker)).collect(),
            certificates: credentials.iter().filter_map(|credential| CertificateView::of(credential, broker)).collect(),
            created_at: *created_at,
            expires_at: *expires_at,
            review_by: *review_by,
            successor_by: *successor_by,
            last_used_at: credentials.iter().filter_map(|credential| broker.last_used(credential)).max(),
            version: *version,
        }
    }
}

impl KeyView {
    fn of(credential: &Credential, broker: &Broker) -> Option<Self> {
        let Credential { authenticator, attestation: _, created_at, expires_at, last_used_at: _ } = credential;
        let PublicKey { kid, algorithm, thumbprint, jwk: _ } = authenticator.key()?;
        Some(Self {
            kid: kid.clone(),
            algorithm: bailiwick_oauth::key_policy::algorithm_name(*algorithm).to_owned(),
            thumbprint: thumbprint.to_string(),
            created_at: *created_at,
            expires_at: *expires_at,
            attestation: standing(broker, credential),
            last_used_at: broker.last_used(credential),
        })
    }
}

impl CertificateView {
    fn of(credential: &Credential, broker: &Broker) -> Option<Self> {
        let Credential { authenticator, attestation: _, created_at, expires_at, last_used_at: _ } = credential;
        let (kind, value) = match authenticator {
            Authenticator::Key(_) => return None,
            Authenticator::Certificate(name) => (name.kind(), name.to_string()),
            Authenticator::SelfSigned(PinnedCertificate { public_key: _, certificate: Some(one) }) => {
                ("certificate_sha256", one.to_string())
            }
            Authenticator::SelfSigned(PinnedCertificate { public_key, certificate: None }) => {
                ("public_key_sha256", public_key.to_string())
            }
            Authenticator::Spiffe(id) => ("spiffe_id", id.to_string()),
            Authenticator::Platform(identity) => ("workload_issuer", identity.issuer.to_string()),
            Authenticator::Document(url) => ("client_document", url.to_string()),
            Authenticator::Attester(client) => ("client_attester", client.attester.to_string()),
        };
        Some(Self {
            id: authenticator.name(),
            method: authenticator.method().to_owned(),
            kind: kind.to_owned(),
            value,
            created_at: *created_at,
            expires_at: *expires_at,
            attestation: standing(broker, credential),
            last_used_at: broker.last_used(credential),
        })
    }
}

/// What is to be said of a credential's attestation.
fn standing(broker: &Broker, credential: &Credential) -> Option<String> {
    let said = hardware::standing(broker, credential)?;
    Some(said.map_or_else(|error| error.to_string(), |_| "holds".to_owned()))
}

/// A change and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "Reason")]
pub(super) struct Because {
    /// Why, in one line; kept sealed in the evidence.
    #[serde(default)]
    pub(super) reason: String,
}

/// Reads a public key: a JWK, a JWK set, or PEM; for `algorithm` alone, where that is said beside it.
fn public_keys(key: &serde_json::Value, algorithm: Option<SigningAlgorithm>) -> Result<Vec<PublicKey>, Problem> {
    let text = match key {
        serde_json::Value::String(pem) => pem.clone(),
        other => other.to_string(),
    };
    let policy = algorithm.map_or_else(KeyPolicy::of_agents, |one| KeyPolicy::admitting(vec![one]));
    policy.any(&text).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "key_unfit", format!("the key cannot be used: {error}")).with_hint(
            "send a public JWK, a JWK set or a public key in PEM: ES256, EdDSA, or PS256 or RS256 of 2048 bits at least",
        )
    })
}

/// Reads what the maker of a device says of a key.
fn attestation(pem: &str) -> Result<Attestation, Problem> {
    bailiwick_oauth::attestation::parse_pem(pem).map_err(|error| unattested(&error.to_string()))
}

fn unattested(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "attestation_unfit", detail.to_owned())
        .with_hint("send certificates in PEM: the one of this very key first, then those up to the maker's root")
}
