//! `POST /api/v1/agents/{name}/credentials`: a certificate that the agent is to be known by, or its platform, besides its
//! keys.

use axum::{Json, extract::State};
use bailiwick_engine::agents;
use bailiwick_model::{
    agent::{
        Attestation, AttestedClient, Authenticator, CertificateName, DistinguishedName, PinnedCertificate,
        PlatformIdentity, SpiffeId,
    },
    name::{AgentName, NameError},
};
use bailiwick_oauth::certificate::Certificate;
use bailiwick_web::{json::StrictJson, problem::Problem};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{AgentView, Shared};
use crate::{Operator, extract::Named, openapi::Refusals};

/// Exactly one way to know a client by its certificate, or by its platform.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "NewCredential")]
pub(crate) struct NewCredential {
    /// The subject of a certificate of a trusted authority (RFC 8705), as RFC 4514 writes it.
    #[schema(example = "CN=reader,O=Acme")]
    tls_client_auth_subject_dn: Option<String>,
    /// Its DNS name.
    tls_client_auth_san_dns: Option<String>,
    /// Its URI.
    tls_client_auth_san_uri: Option<String>,
    /// Its IP address.
    tls_client_auth_san_ip: Option<String>,
    /// Its mail address.
    tls_client_auth_san_email: Option<String>,
    /// A self-signed certificate in PEM: this very one is accepted.
    self_signed_certificate: Option<String>,
    /// The same, and any later certificate of its key is accepted too.
    self_signed_key_of: Option<String>,
    /// The id in SVIDs of a configured trust domain.
    #[schema(example = "spiffe://prod.example/ns/bots/sa/reader")]
    spiffe_id: Option<String>,
    /// The issuer of the tokens that the agent's platform signs for it, as they name it in `iss`. Which of them are the
    /// agent's stands in `issuers/` of the active bundle.
    #[schema(example = "https://token.actions.githubusercontent.com")]
    workload_issuer: Option<String>,
    /// An attester that `bailiwick.toml` names: each instance of the agent proves a key that it vouches for.
    client_attester: Option<String>,
    /// What the maker of its device says of the key: certificates in PEM, the one of this very key first. A certificate by
    /// name counts with this key alone from then on.
    attestation: Option<String>,
}

/// Adds a certificate, or a platform, to an agent.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{name}/credentials",
    tag = "agents",
    params(("name" = String, Path, description = "the agent's name")),
    request_body = NewCredential,
    responses((status = 201, body = AgentView), Refusals)
)]
pub(super) async fn add_credential(
    State(admin): State<Shared>,
    operator: Operator,
    Named(name): Named<AgentName>,
    StrictJson(body): StrictJson<NewCredential>,
) -> Result<(StatusCode, Json<AgentView>), Problem> {
    let (authenticator, attestation) = body.credential(&name)?;
    let by = operator.principal();
    let agent = agents::add_attested(&admin.broker, &by, &name, authenticator, attestation).await?;
    Ok((StatusCode::CREATED, Json(AgentView::of(&agent, &admin.broker))))
}

/// Reads a name of one kind.
type Read = fn(&str) -> Result<CertificateName, NameError>;

impl NewCredential {
    /// The one that is named, and what is said of its key.
    pub(super) fn credential(self, agent: &AgentName) -> Result<(Authenticator, Option<Attestation>), Problem> {
        let Self {
            tls_client_auth_subject_dn,
            tls_client_auth_san_dns,
            tls_client_auth_san_uri,
            tls_client_auth_san_ip,
            tls_client_auth_san_email,
            self_signed_certificate,
            self_signed_key_of,
            spiffe_id,
            workload_issuer,
            client_attester,
            attestation,
        } = self;
        let attestation = attestation.as_deref().map(super::attestation).transpose()?;
        let subject = |text: &str| text.parse::<DistinguishedName>().map(CertificateName::SubjectDn);
        let named: [(Option<String>, Read); 5] = [
            (tls_client_auth_subject_dn, subject),
            (tls_client_auth_san_dns, CertificateName::san_dns),
            (tls_client_auth_san_uri, CertificateName::san_uri),
            (tls_client_auth_san_ip, CertificateName::san_ip),
            (tls_client_auth_san_email, CertificateName::san_email),
        ];
        let named = named.into_iter().filter_map(|(text, read)| {
            text.map(|text| read(&text).map(Authenticator::Certificate).map_err(|error| unfit(&error.to_string())))
        });
        let this_one = self_signed_certificate.map(|pem| pinned(&pem, true));
        let of_key = self_signed_key_of.map(|pem| pinned(&pem, false));
        let spiffe = spiffe_id
            .map(|text| text.parse::<SpiffeId>().map(Authenticator::Spiffe).map_err(|error| unfit(&error.to_string())));
        let platform = workload_issuer.map(|text| {
            let issuer = text.parse().map_err(|error: NameError| unfit(&error.to_string()))?;
            Ok(Authenticator::Platform(PlatformIdentity { issuer, agent: agent.clone() }))
        });
        let attester = client_attester.map(|text| {
            let attester = text.parse().map_err(|error: NameError| unfit(&error.to_string()))?;
            Ok(Authenticator::Attester(AttestedClient { attester, agent: agent.clone() }))
        });
        let mut all = named.chain(this_one).chain(of_key).chain(spiffe).chain(platform).chain(attester);
        match (all.next(), all.next()) {
            (Some(one), None) => Ok((one?, attestation)),
            _ => Err(unfit("name exactly one way to know the agent by its certificate or its platform")),
        }
    }
}

/// The very certificate in a PEM text, or any one of its key.
fn pinned(pem: &str, this_one: bool) -> Result<Authenticator, Problem> {
    let certificate = Certificate::parse_pem(pem).map_err(|error| unfit(&error.to_string()))?;
    Ok(Authenticator::SelfSigned(PinnedCertificate {
        public_key: certificate.public_key(),
        certificate: this_one.then(|| certificate.thumbprint()),
    }))
}

fn unfit(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "credential_unfit", detail.to_owned())
        .with_hint("`bailiwick agents add-certificate --help` shows the ways; a private key never belongs here")
}
