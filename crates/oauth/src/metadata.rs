//! Discovery documents: the authorization server's (RFC 8414) and a protected
//! resource's (RFC 9728). They advertise what exists and nothing else.

use std::collections::BTreeSet;

use bailiwick_model::{
    jwk::SigningAlgorithm,
    name::{Acr, Scope},
};
use serde::Serialize;

use crate::{
    authorization_details, client_attestation, id_jag, key_policy::algorithm_name, presented::Scheme,
    token_request::GRANT_TYPES,
};

/// What proofs of possession may be signed with, as the JOSE registry spells it.
pub const SIGNING_ALGORITHMS: [&str; 4] = ["ES256", "EdDSA", "Ed25519", "PS256"];
/// Path of the authorization endpoint below the issuer.
pub const AUTHORIZATION_PATH: &str = "/oauth/authorize";
/// Path of the endpoint for pushed requests below the issuer.
pub const PUSHED_REQUEST_PATH: &str = "/oauth/par";
/// Path of the token endpoint below the issuer.
pub const TOKEN_PATH: &str = "/oauth/token";
/// Path of the revocation endpoint below the issuer (RFC 7009).
pub const REVOCATION_PATH: &str = "/oauth/revoke";
/// Path of the endpoint where a client says that it is done, below the issuer. No standard has one.
pub const DEREGISTRATION_PATH: &str = "/oauth/deregister";
/// Path of the registration endpoint below the issuer (RFC 7591); each client's own is below it (RFC 7592).
pub const REGISTRATION_PATH: &str = "/oauth/register";
/// Path of the introspection endpoint below the issuer (RFC 7662).
pub const INTROSPECTION_PATH: &str = "/oauth/introspect";
/// Path of the endpoint for devices below the issuer (RFC 8628).
pub const DEVICE_AUTHORIZATION_PATH: &str = "/oauth/device_authorization";
/// Path of the endpoint for requests by the back channel below the issuer (CIBA).
pub const BACKCHANNEL_PATH: &str = "/oauth/bc-authorize";
/// What the issuer's own keys sign with.
pub const ISSUER_ALGORITHM: &str = "ES256";
/// How every client can authenticate, at every endpoint where clients do.
const BY_KEY: &str = "private_key_jwt";
/// Path of the endpoint for challenges to attested clients, below the issuer.
pub const CHALLENGE_PATH: &str = "/oauth/challenge";
/// Path of the key set below the issuer.
pub const JWKS_PATH: &str = "/oauth/jwks";
/// Well-known path of the authorization server's document.
pub const AUTHORIZATION_SERVER_PATH: &str = "/.well-known/oauth-authorization-server";
/// Well-known path of a protected resource's document; the resource's own path follows.
pub const PROTECTED_RESOURCE_PATH: &str = "/.well-known/oauth-protected-resource";

/// The authorization server's document (RFC 8414 §2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuthorizationServerMetadata {
    /// The issuer, byte for byte as in every token.
    pub issuer: String,
    /// Where users are asked for their consent.
    pub authorization_endpoint: String,
    /// Where clients push such requests before (RFC 9126 §5).
    pub pushed_authorization_request_endpoint: String,
    /// They need not: MCP clients of today send plain ones.
    pub require_pushed_authorization_requests: bool,
    /// Every answer says who gives it (RFC 9207 §3).
    pub authorization_response_iss_parameter_supported: bool,
    /// Where tokens are asked for.
    pub token_endpoint: String,
    /// Where our public keys lie.
    pub jwks_uri: String,
    /// What may be asked for.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub scopes_supported: BTreeSet<Scope>,
    /// `code` alone.
    pub response_types_supported: [&'static str; 1],
    /// In the query alone.
    pub response_modes_supported: [&'static str; 1],
    /// The grants.
    pub grant_types_supported: &'static [&'static str],
    /// The profiles of assertions that are taken (draft-ietf-oauth-identity-assertion-authz-grant-04 §7).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorization_grant_profiles_supported: Vec<&'static str>,
    /// The assertions for other domains that may be asked for (draft-ietf-oauth-identity-chaining).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub identity_chaining_requested_token_types_supported: Vec<&'static str>,
    /// How clients authenticate.
    pub token_endpoint_auth_methods_supported: Vec<&'static str>,
    /// What their assertions may be signed with.
    pub token_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    /// Where a client registers by itself, with an initial access token (RFC 7591).
    pub registration_endpoint: String,
    /// Where a client ends what it holds (RFC 7009).
    pub revocation_endpoint: String,
    /// How clients authenticate there.
    pub revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    /// What their assertions may be signed with.
    pub revocation_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    /// Where a client that may ask learns whether a token holds (RFC 7662).
    pub introspection_endpoint: String,
    /// How clients authenticate there.
    pub introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    /// What their assertions may be signed with.
    pub introspection_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    /// What we sign such answers with (RFC 9701 §7).
    pub introspection_signing_alg_values_supported: [&'static str; 1],
    /// Where devices ask for a user's consent (RFC 8628 §4).
    pub device_authorization_endpoint: String,
    /// Where a client asks for it by the back channel (CIBA §4).
    pub backchannel_authentication_endpoint: String,
    /// The client asks whether it was answered; nobody is called back.
    pub backchannel_token_delivery_modes_supported: [&'static str; 1],
    /// Users prove who they are by passkey, and type no code of their own in.
    pub backchannel_user_code_parameter_supported: bool,
    /// What we sign ID tokens with (OpenID Connect Discovery 1.0 §3).
    pub id_token_signing_alg_values_supported: [&'static str; 1],
    /// What proofs may be signed with (RFC 9449 §5.1).
    pub dpop_signing_alg_values_supported: [&'static str; 4],
    /// Where attested clients get a challenge for their proof (draft-ietf-oauth-attestation-based-client-auth §6.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge_endpoint: Option<String>,
    /// What attestations may be signed with (the same, §8).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_attestation_signing_alg_values_supported: Option<[&'static str; 4]>,
    /// What the proofs of attested clients may be signed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_attestation_pop_signing_alg_values_supported: Option<[&'static str; 4]>,
    /// What tokens can be narrowed to beside scopes (RFC 9396 §10).
    pub authorization_details_types_supported: [&'static str; 2],
    /// Whether tokens can be bound to the certificate of a connection (RFC 8705 §3.3).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls_client_certificate_bound_access_tokens: bool,
    /// The same endpoints for whoever shows a certificate (RFC 8705 §5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtls_endpoint_aliases: Option<MtlsEndpointAliases>,
    /// `S256`; `plain` will never be admitted.
    pub code_challenge_methods_supported: [&'static str; 1],
    /// The protected resources that tokens are issued for (RFC 9728 §4).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub protected_resources: Vec<String>,
    /// The authentication context classes that users can have (RFC 9470 §7).
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub acr_values_supported: BTreeSet<Acr>,
    /// Whether a client can be known by the URL of its document (draft-ietf-oauth-client-id-metadata-document-02 §7).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub client_id_metadata_document_supported: bool,
    /// Where a developer reads on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_documentation: Option<String>,
}

impl AuthorizationServerMetadata {
    /// The document of the server with this issuer, which has no trailing slash.
    pub fn new(issuer: &str, scopes: BTreeSet<Scope>, protected_resources: Vec<String>) -> Self {
        Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: format!("{issuer}{AUTHORIZATION_PATH}"),
            pushed_authorization_request_endpoint: format!("{issuer}{PUSHED_REQUEST_PATH}"),
            require_pushed_authorization_requests: false,
            authorization_response_iss_parameter_supported: true,
            token_endpoint: format!("{issuer}{TOKEN_PATH}"),
            jwks_uri: format!("{issuer}{JWKS_PATH}"),
            scopes_supported: scopes,
            response_types_supported: ["code"],
            response_modes_supported: ["query"],
            grant_types_supported: &GRANT_TYPES,
            authorization_grant_profiles_supported: Vec::new(),
            identity_chaining_requested_token_types_supported: Vec::new(),
            token_endpoint_auth_methods_supported: vec![BY_KEY],
            token_endpoint_auth_signing_alg_values_supported: names(&SigningAlgorithm::ALL),
            registration_endpoint: format!("{issuer}{REGISTRATION_PATH}"),
            revocation_endpoint: format!("{issuer}{REVOCATION_PATH}"),
            revocation_endpoint_auth_methods_supported: vec![BY_KEY],
            revocation_endpoint_auth_signing_alg_values_supported: names(&SigningAlgorithm::ALL),
            introspection_endpoint: format!("{issuer}{INTROSPECTION_PATH}"),
            introspection_endpoint_auth_methods_supported: vec![BY_KEY],
            introspection_endpoint_auth_signing_alg_values_supported: names(&SigningAlgorithm::ALL),
            introspection_signing_alg_values_supported: [ISSUER_ALGORITHM],
            device_authorization_endpoint: format!("{issuer}{DEVICE_AUTHORIZATION_PATH}"),
            backchannel_authentication_endpoint: format!("{issuer}{BACKCHANNEL_PATH}"),
            backchannel_token_delivery_modes_supported: ["poll"],
            backchannel_user_code_parameter_supported: false,
            id_token_signing_alg_values_supported: [ISSUER_ALGORITHM],
            dpop_signing_alg_values_supported: SIGNING_ALGORITHMS,
            challenge_endpoint: None,
            client_attestation_signing_alg_values_supported: None,
            client_attestation_pop_signing_alg_values_supported: None,
            authorization_details_types_supported: authorization_details::TYPES,
            tls_client_certificate_bound_access_tokens: false,
            mtls_endpoint_aliases: None,
            code_challenge_methods_supported: ["S256"],
            protected_resources,
            acr_values_supported: BTreeSet::new(),
            client_id_metadata_document_supported: false,
            service_documentation: None,
        }
    }

    /// The same document where assertions may be signed with these alone.
    #[must_use]
    pub fn with_assertions_by(mut self, algorithms: &[SigningAlgorithm]) -> Self {
        let names = names(algorithms);
        self.revocation_endpoint_auth_signing_alg_values_supported.clone_from(&names);
        self.introspection_endpoint_auth_signing_alg_values_supported.clone_from(&names);
        self.token_endpoint_auth_signing_alg_values_supported = names;
        self
    }
}

/// Algorithms as the JOSE registry spells them, one of them in two ways.
fn names(algorithms: &[SigningAlgorithm]) -> Vec<&'static str> {
    let spelled = algorithms.iter().map(|algorithm| match algorithm {
        SigningAlgorithm::EdDSA => vec!["EdDSA", "Ed25519"],
        other => vec![algorithm_name(*other)],
    });
    spelled.flatten().collect()
}

impl AuthorizationServerMetadata {
    /// The same document of a server that knows clients without a key by their documents.
    #[must_use]
    pub fn with_client_documents(mut self) -> Self {
        self.client_id_metadata_document_supported = true;
        self.token_endpoint_auth_methods_supported.push("none");
        self
    }

    /// The same document of a server that takes what other domains vouch for, or vouches to others itself.
    #[must_use]
    pub fn chaining(mut self, takes: bool, vouches: bool) -> Self {
        if takes {
            self.authorization_grant_profiles_supported = vec![id_jag::GRANT_PROFILE];
        }
        if vouches {
            self.identity_chaining_requested_token_types_supported = vec![id_jag::TOKEN_TYPE];
        }
        self
    }
}

impl AuthorizationServerMetadata {
    /// The same document of a server that believes attesters of clients. The combined mode is for the token endpoint alone.
    #[must_use]
    pub fn with_attesters(mut self) -> Self {
        self.token_endpoint_auth_methods_supported
            .extend([client_attestation::METHOD, client_attestation::COMBINED_METHOD]);
        self.revocation_endpoint_auth_methods_supported.push(client_attestation::METHOD);
        self.introspection_endpoint_auth_methods_supported.push(client_attestation::METHOD);
        self.challenge_endpoint = Some(format!("{}{CHALLENGE_PATH}", self.issuer));
        self.client_attestation_signing_alg_values_supported = Some(SIGNING_ALGORITHMS);
        self.client_attestation_pop_signing_alg_values_supported = Some(SIGNING_ALGORITHMS);
        self
    }
}

/// The endpoints of the listener that asks for certificates (RFC 8705 §5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MtlsEndpointAliases {
    /// Where tokens are asked for.
    pub token_endpoint: String,
    /// Where a client ends what it holds.
    pub revocation_endpoint: String,
    /// Where a client learns whether a token holds.
    pub introspection_endpoint: String,
    /// Where requests are pushed.
    pub pushed_authorization_request_endpoint: String,
    /// Where devices ask for a user's consent.
    pub device_authorization_endpoint: String,
    /// Where it is asked for by the back channel.
    pub backchannel_authentication_endpoint: String,
}

/// Which certificates of clients count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificatesSupported<'a> {
    /// The origin of the listener that asks for them; `None` where a proxy does on the issuer's own.
    pub listener: Option<&'a str>,
    /// Whether there are authorities that may issue them.
    pub issued: bool,
    /// Whether there are trust domains of SPIFFE.
    pub spiffe: bool,
}

impl AuthorizationServerMetadata {
    /// The same, and certificates of clients count.
    #[must_use]
    pub fn with_certificates(mut self, supported: CertificatesSupported<'_>) -> Self {
        let CertificatesSupported { listener, issued, spiffe } = supported;
        let further = [("tls_client_auth", issued), ("self_signed_tls_client_auth", true), ("spiffe_x509", spiffe)];
        for methods in [
            &mut self.token_endpoint_auth_methods_supported,
            &mut self.revocation_endpoint_auth_methods_supported,
            &mut self.introspection_endpoint_auth_methods_supported,
        ] {
            methods.extend(further.iter().filter(|(_, there)| *there).map(|(method, _)| *method));
        }
        self.tls_client_certificate_bound_access_tokens = true;
        self.mtls_endpoint_aliases = listener.map(|origin| MtlsEndpointAliases {
            token_endpoint: format!("{origin}{TOKEN_PATH}"),
            revocation_endpoint: format!("{origin}{REVOCATION_PATH}"),
            introspection_endpoint: format!("{origin}{INTROSPECTION_PATH}"),
            pushed_authorization_request_endpoint: format!("{origin}{PUSHED_REQUEST_PATH}"),
            device_authorization_endpoint: format!("{origin}{DEVICE_AUTHORIZATION_PATH}"),
            backchannel_authentication_endpoint: format!("{origin}{BACKCHANNEL_PATH}"),
        });
        self
    }
}

/// A protected resource's document (RFC 9728 §2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProtectedResourceMetadata {
    /// The resource indicator: the audience of its tokens, byte for byte.
    pub resource: String,
    /// Who issues tokens for it: we alone.
    pub authorization_servers: [String; 1],
    /// What may be asked for.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub scopes_supported: BTreeSet<Scope>,
    /// How tokens are presented: in the header only.
    pub bearer_methods_supported: [&'static str; 1],
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// What proofs may be signed with.
    pub dpop_signing_alg_values_supported: [&'static str; 4],
    /// Whether every token must be bound to a key. `false` as soon as one
    /// registration may use bearer tokens here; the token endpoint still binds by default.
    pub dpop_bound_access_tokens_required: bool,
    /// Whether tokens can be bound to the certificate of a connection (RFC 8705 §3.3).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls_client_certificate_bound_access_tokens: bool,
}

impl ProtectedResourceMetadata {
    /// The document of a resource of the issuer; `scheme` says whether plain bearer tokens can be admitted.
    pub fn new(issuer: &str, resource: &str, scopes: BTreeSet<Scope>, scheme: Scheme) -> Self {
        Self {
            resource: resource.to_owned(),
            authorization_servers: [issuer.to_owned()],
            scopes_supported: scopes,
            bearer_methods_supported: ["header"],
            resource_name: None,
            dpop_signing_alg_values_supported: SIGNING_ALGORITHMS,
            dpop_bound_access_tokens_required: scheme == Scheme::Dpop,
            tls_client_certificate_bound_access_tokens: false,
        }
    }

    /// The same, and tokens can be bound to certificates, so that not each is bound to a key.
    #[must_use]
    pub fn with_certificates(self) -> Self {
        Self { dpop_bound_access_tokens_required: false, tls_client_certificate_bound_access_tokens: true, ..self }
    }
}

/// Where a resource's document lies: the well-known path is inserted before the
/// resource's own path (RFC 9728 §3.1). `None` if the resource is not below the issuer's origin.
pub fn protected_resource_metadata_url(issuer: &str, resource: &str) -> Option<String> {
    let origin_end = issuer.find("://").map(|at| at + 3).and_then(|at| {
        let host = issuer.get(at..)?;
        Some(at + host.find('/').unwrap_or(host.len()))
    })?;
    let origin = issuer.get(..origin_end)?;
    let path = resource.strip_prefix(origin)?;
    (path.is_empty() || path.starts_with('/')).then(|| format!("{origin}{PROTECTED_RESOURCE_PATH}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_advertises_what_exists() {
        let scopes = BTreeSet::from(["files:read".parse().unwrap()]);
        let document = AuthorizationServerMetadata::new("https://b.example", scopes, vec![]);
        assert_eq!(
            serde_json::to_value(document).unwrap(),
            serde_json::json!({
                "issuer": "https://b.example",
                "authorization_endpoint": "https://b.example/oauth/authorize",
                "pushed_authorization_request_endpoint": "https://b.example/oauth/par",
                "require_pushed_authorization_requests": false,
                "authorization_response_iss_parameter_supported": true,
                "token_endpoint": "https://b.example/oauth/token",
                "jwks_uri": "https://b.example/oauth/jwks",
                "scopes_supported": ["files:read"],
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": [
                    "client_credentials", "authorization_code", "refresh_token",
                    "urn:ietf:params:oauth:grant-type:token-exchange",
                    "urn:ietf:params:oauth:grant-type:jwt-bearer",
                    "urn:ietf:params:oauth:grant-type:device_code", "urn:openid:params:grant-type:ciba",
                ],
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                "token_endpoint_auth_signing_alg_values_supported": ["ES256", "EdDSA", "Ed25519", "PS256", "RS256"],
                "registration_endpoint": "https://b.example/oauth/register",
                "revocation_endpoint": "https://b.example/oauth/revoke",
                "revocation_endpoint_auth_methods_supported": ["private_key_jwt"],
                "revocation_endpoint_auth_signing_alg_values_supported": ["ES256", "EdDSA", "Ed25519", "PS256", "RS256"],
                "introspection_endpoint": "https://b.example/oauth/introspect",
                "introspection_endpoint_auth_methods_supported": ["private_key_jwt"],
                "introspection_endpoint_auth_signing_alg_values_supported": ["ES256", "EdDSA", "Ed25519", "PS256", "RS256"],
                "introspection_signing_alg_values_supported": ["ES256"],
                "device_authorization_endpoint": "https://b.example/oauth/device_authorization",
                "backchannel_authentication_endpoint": "https://b.example/oauth/bc-authorize",
                "backchannel_token_delivery_modes_supported": ["poll"],
                "backchannel_user_code_parameter_supported": false,
                "id_token_signing_alg_values_supported": ["ES256"],
                "dpop_signing_alg_values_supported": ["ES256", "EdDSA", "Ed25519", "PS256"],
                "authorization_details_types_supported": ["bailiwick_tool", "bailiwick_task"],
                "code_challenge_methods_supported": ["S256"],
            })
        );
    }

    #[test]
    fn the_endpoints_for_certificates_are_named_where_there_are_any() {
        let of = |supported| {
            let document = AuthorizationServerMetadata::new("https://b.example", BTreeSet::new(), vec![]);
            serde_json::to_value(document.with_certificates(supported)).unwrap()
        };
        let listener = Some("https://b.example:8421");
        let document = of(CertificatesSupported { listener, issued: true, spiffe: true });
        assert_eq!(
            document["mtls_endpoint_aliases"],
            serde_json::json!({
                "token_endpoint": "https://b.example:8421/oauth/token",
                "revocation_endpoint": "https://b.example:8421/oauth/revoke",
                "introspection_endpoint": "https://b.example:8421/oauth/introspect",
                "pushed_authorization_request_endpoint": "https://b.example:8421/oauth/par",
                "device_authorization_endpoint": "https://b.example:8421/oauth/device_authorization",
                "backchannel_authentication_endpoint": "https://b.example:8421/oauth/bc-authorize",
            })
        );
        let methods = ["private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth", "spiffe_x509"];
        for endpoint in ["token", "revocation", "introspection"] {
            assert_eq!(document[format!("{endpoint}_endpoint_auth_methods_supported")], serde_json::json!(methods));
        }
        assert_eq!(document["tls_client_certificate_bound_access_tokens"], true);
        let document = of(CertificatesSupported { listener: None, issued: false, spiffe: false });
        assert!(document.get("mtls_endpoint_aliases").is_none());
        let methods = ["private_key_jwt", "self_signed_tls_client_auth"];
        assert_eq!(document["token_endpoint_auth_methods_supported"], serde_json::json!(methods));
    }

    #[test]
    fn a_resource_says_who_issues_its_tokens() {
        let resource = "https://b.example/mcp/files";
        let document = ProtectedResourceMetadata::new("https://b.example", resource, BTreeSet::new(), Scheme::Dpop);
        assert_eq!(
            serde_json::to_value(document).unwrap(),
            serde_json::json!({
                "resource": resource,
                "authorization_servers": ["https://b.example"],
                "bearer_methods_supported": ["header"],
                "dpop_signing_alg_values_supported": ["ES256", "EdDSA", "Ed25519", "PS256"],
                "dpop_bound_access_tokens_required": true,
            })
        );
    }

    #[test]
    fn the_well_known_path_goes_before_the_path() {
        let url = |issuer, resource| protected_resource_metadata_url(issuer, resource);
        let expected = "https://b.example/.well-known/oauth-protected-resource/mcp/files";
        assert_eq!(url("https://b.example", "https://b.example/mcp/files").as_deref(), Some(expected));
        let expected = "https://b.example:8443/.well-known/oauth-protected-resource/x/mcp";
        assert_eq!(url("https://b.example:8443/x", "https://b.example:8443/x/mcp").as_deref(), Some(expected));
        assert_eq!(url("https://b.example", "https://b.example.evil/mcp"), None);
        assert_eq!(url("https://b.example", "https://c.example/mcp"), None);
    }
}
