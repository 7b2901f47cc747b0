//! Bodies of token requests and of requests about a token, keys and their wrapping: what is accepted says one thing only.
#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a target that is surprised must fail")]

use bailiwick_model::{
    agent::{Attestation, DistinguishedName, SpiffeId},
    jwk::{PublicKey, SigningAlgorithm},
    limits::KEYS_PER_AGENT_MAX,
    name::AgentName,
};
use bailiwick_oauth::{
    attestation,
    authorization_details::{AuthorizationDetails, ToolDetail, from_value, to_value},
    certificate::Certificate,
    certificate_path::Authorities,
    client_authentication::ClientAuthentication,
    client_registration::{ClientInformation, ClientMetadata},
    foreign_grant,
    foreign_keys::{FOREIGN_KEYS_MAX, ForeignKeys, Purpose},
    json::parse_object,
    key_policy::KeyPolicy,
    named_token::NamedToken,
    pem,
    token_request::{CODE_BYTES_MAX, GrantRequest, TokenRequest},
};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(request) = TokenRequest::parse(data) {
        assert!(says_who(&request.client));
        match &request.grant {
            GrantRequest::ClientCredentials(asked) => assert!(!asked.resource.is_empty()),
            GrantRequest::AuthorizationCode(asked) => {
                assert!(!asked.code.expose().is_empty());
                assert_ne!(asked.resource.as_deref(), Some(""));
            }
            GrantRequest::RefreshToken(asked) => assert!(!asked.token.expose().is_empty()),
            GrantRequest::DeviceCode(held) | GrantRequest::Ciba(held) => {
                assert!(!held.expose().is_empty() && held.expose().len() <= CODE_BYTES_MAX);
            }
            GrantRequest::TokenExchange(asked) => {
                assert!(!asked.subject_token.expose().is_empty() && !asked.resource.is_empty());
            }
            GrantRequest::JwtBearer(asked) => assert!(!asked.assertion.expose().is_empty()),
            GrantRequest::Vouch(asked) => assert!(!asked.audience.is_empty()),
        }
        let details = match &request.grant {
            GrantRequest::ClientCredentials(asked) => &asked.details,
            GrantRequest::AuthorizationCode(asked) => &asked.details,
            GrantRequest::RefreshToken(asked) => &asked.details,
            GrantRequest::TokenExchange(asked) => &asked.details,
            GrantRequest::JwtBearer(asked) => &asked.details,
            GrantRequest::Vouch(_) => &None,
            GrantRequest::DeviceCode(_) | GrantRequest::Ciba(_) => &None,
        };
        if let Some(details) = details {
            let task_is_new = matches!(&request.grant, GrantRequest::ClientCredentials(asked) if asked.task.is_none());
            assert!(details.task.is_none() || task_is_new);
            told_as_asked(details);
        }
        let body = String::from_utf8(data.to_vec()).expect("a form is ASCII");
        let single = ["grant_type", "client_assertion", "client_assertion_type", "resource"];
        for once in single.into_iter().chain(["refresh_token", "subject_token", "code", "code_verifier"]).chain([
            "authorization_details",
            "assertion",
            "audience",
        ]) {
            assert!(times(&body, once) <= 1, "{once} counted twice in {body}");
        }
    }
    if let Ok(given) = foreign_grant::read(200, data) {
        // Whatever another server gives fits into a header as it is, and is not told by printing it.
        let visible = |token: &str| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        assert!(
            [Some(&given.access), given.refresh.as_ref()].into_iter().flatten().all(|token| visible(token.expose()))
        );
        assert!(given.expires_in_s.is_none_or(|seconds| seconds > 0));
        assert!(format!("{given:?}").contains("access: ****"));
    }
    if let Ok(certificate) = Certificate::parse(data) {
        // Whatever a subject holds, its text is read as the same name again.
        if let Some(subject) = certificate.subject() {
            assert_eq!(subject.to_string().parse().as_ref(), Ok(subject));
        }
        assert!(certificate.spiffe_id().is_none_or(|id| id.as_str().parse() == Ok(id)));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(name) = text.parse::<DistinguishedName>() {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        if let Ok(attestation) = attestation::parse_pem(text) {
            // No root is trusted, so nothing is attested; and what was read is read again as it is kept.
            let roots = Authorities::default();
            assert!(attestation::verify(&attestation, &roots, Timestamp::UNIX_EPOCH).is_err());
            let kept: Vec<String> = attestation.clone().into();
            assert_eq!(Attestation::try_from(kept), Ok(attestation));
        }
        if let Ok(id) = text.parse::<SpiffeId>() {
            assert!(id.as_str() == text && text.starts_with(&format!("spiffe://{}/", id.trust_domain())));
        }
    }
    if let Ok(named) = NamedToken::parse(data) {
        assert!(says_who(&named.client) && !named.token.expose().is_empty());
        let body = String::from_utf8(data.to_vec()).expect("a form is ASCII");
        for once in ["token", "client_assertion", "client_assertion_type"] {
            assert!(times(&body, once) <= 1, "{once} counted twice in {body}");
        }
    }
    for purpose in [Purpose::Signatures, Purpose::JwtSvid] {
        if let Ok(keys) = ForeignKeys::read(data, &SigningAlgorithm::ALL, purpose) {
            assert!(keys.len() <= FOREIGN_KEYS_MAX);
            assert!(keys.named(Some("")).is_none(), "a key without a name is called by its thumbprint");
        }
    }
    if let Ok(object) = parse_object(data) {
        let plain: serde_json::Value = serde_json::from_slice(data).expect("strict JSON is JSON");
        assert_eq!(plain.as_object(), Some(&object));
        if let Ok(key) = KeyPolicy::default().verifying_key(&object) {
            assert!(object.get("d").is_none(), "a private key was taken for a public one");
            assert!(key.verify(b"message", &[0; 64]).is_err(), "nothing signs nothing");
        }
    }
    if let Ok(metadata) = ClientMetadata::parse(data) {
        told_as_registered(&metadata);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        drop(pem::decode("PRIVATE KEY", text));
    }
});

/// What a token and its answer say of the tools is read as the same tools.
fn told_as_asked(details: &AuthorizationDetails) {
    let grants: Vec<_> = details.tools.iter().flat_map(ToolDetail::grants).collect();
    let told = to_value("https://broker.example", &grants);
    assert_eq!(from_value(&told).as_ref(), Some(&grants), "what we write we read");
}

/// What a client is told that it is registered with, it can send back unchanged, less what is ours.
fn told_as_registered(metadata: &ClientMetadata) {
    assert!((1..=KEYS_PER_AGENT_MAX).contains(&metadata.keys.len()));
    let name: AgentName = "ci-1".parse().expect("a name");
    let uri = "https://broker.example/oauth/register/ci-1".to_owned();
    let (keys, redirect_uris) = (&metadata.keys, &metadata.redirect_uris);
    let told = ClientInformation::new(&name, Timestamp::UNIX_EPOCH, ("t", uri), keys, redirect_uris);
    let mut told = serde_json::to_value(told).expect("it is JSON");
    let members = told.as_object_mut().expect("an object");
    for ours in ["registration_access_token", "registration_client_uri", "client_id_issued_at"] {
        assert!(members.remove(ours).is_some(), "{ours}");
    }
    let again = ClientMetadata::parse_update(told.to_string().as_bytes(), &name).expect("what we write we read");
    assert_eq!(again.redirect_uris, *redirect_uris);
    let thumbprints = |keys: &[PublicKey]| keys.iter().map(|key| key.thumbprint).collect::<Vec<_>>();
    assert_eq!(thumbprints(&again.keys), thumbprints(keys));
}

fn times(body: &str, name: &str) -> usize {
    body.split('&').filter(|pair| pair.split('=').next() == Some(name)).count()
}

/// Whether it says anything at all of who asks.
fn says_who(client: &ClientAuthentication) -> bool {
    match client {
        ClientAuthentication::Assertion { assertion, client: _ } => !assertion.is_empty(),
        ClientAuthentication::JwtSvid { svid, client: _ } => !svid.is_empty(),
        ClientAuthentication::Certificate { client } => !client.as_str().is_empty(),
        ClientAuthentication::Public { url } => !url.as_str().is_empty(),
        ClientAuthentication::Elsewhere => true,
    }
}
