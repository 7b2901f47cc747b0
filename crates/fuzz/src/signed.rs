//! One honest token, proof and assertion, made anew by each run with keys of its own.

use std::{collections::BTreeSet, sync::LazyLock};

use bailiwick_keys::{
    agent_key::{AgentKey, ProofSubject},
    signing_key::SigningKey,
};
use bailiwick_model::{
    agent::Environment,
    confirmation::Confirmation,
    id::TokenId,
    jwk::SigningAlgorithm,
    name::AgentName,
    principal::{DelegationChain, Principal},
};
use bailiwick_oauth::{
    access_token::AccessTokenClaims,
    foreign_keys::{ForeignKeys, Purpose},
    id_jag::Vouching,
    jws::{SigningInput, TokenType},
    verifying_key::KeySet,
};
use jiff::Timestamp;
use serde_json::json;

/// The issuer.
pub const ISSUER: &str = "https://broker.example";
/// The resource.
pub const RESOURCE: &str = "https://broker.example/mcp/depot";

/// When all of them are made and judged.
pub fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// The key of the agent.
pub static AGENT: LazyLock<AgentKey> = LazyLock::new(|| AgentKey::generate(SigningAlgorithm::EdDSA).unwrap());
/// The key of the issuer.
static ISSUER_KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate(SigningAlgorithm::ES256).unwrap());
/// What the issuer publishes.
pub static KEYS: LazyLock<KeySet> = LazyLock::new(|| KeySet::new(&[ISSUER_KEY.public().clone()]).unwrap());

/// An access token that opens [`RESOURCE`].
pub static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let claims = AccessTokenClaims {
        issuer: ISSUER.to_owned(),
        audience: RESOURCE.to_owned(),
        chain: DelegationChain::of(Principal::Agent(agent())),
        client: agent(),
        id: TokenId::new(1_800_000_000_000, [3; 10]),
        scopes: BTreeSet::from(["depot:read".parse().unwrap()]),
        details: None,
        issued_at: now(),
        expires_at: Timestamp::from_second(1_800_000_900).unwrap(),
        confirmation: Some(Confirmation::Key(AGENT.public().thumbprint)),
        may_act: None,
        authentication: None,
        grant: None,
        task: None,
        environment: Environment::Production,
    };
    let input = claims.signing_input(ISSUER_KEY.public());
    let signature = ISSUER_KEY.sign(input.as_bytes()).unwrap();
    input.assemble(&signature)
});

/// A proof that goes with [`TOKEN`].
pub static PROOF: LazyLock<String> = LazyLock::new(|| {
    let subject = ProofSubject { method: "POST", uri: RESOURCE, nonce: None, access_token: Some(&TOKEN) };
    AGENT.sign_dpop(&subject, now(), "proof-1").unwrap()
});

/// An assertion of who the agent is.
pub static ASSERTION: LazyLock<String> =
    LazyLock::new(|| AGENT.sign_client_assertion(ISSUER, &agent(), now(), "assertion-1").unwrap());

/// Another domain.
pub const DOMAIN: &str = "https://idp.example";
/// What it publishes.
pub static DOMAIN_KEYS: LazyLock<ForeignKeys> = LazyLock::new(|| {
    let set = format!("{{\"keys\":[{}]}}", ISSUER_KEY.public().jwk);
    ForeignKeys::read(set.as_bytes(), &[SigningAlgorithm::ES256], Purpose::Signatures).unwrap()
});

/// What it vouches for.
pub static ID_JAG: LazyLock<String> = LazyLock::new(|| {
    let vouching = Vouching {
        issuer: DOMAIN.to_owned(),
        id: TokenId::new(1_800_000_000_000, [4; 10]),
        subject: "u-1".to_owned(),
        audience: ISSUER.to_owned(),
        client: agent().to_string(),
        resource: RESOURCE.to_owned(),
        scopes: BTreeSet::from(["depot:read".parse().unwrap()]),
        confirmation: None,
        authentication: None,
        issued_at: now(),
        expires_at: Timestamp::from_second(1_800_000_300).unwrap(),
    };
    let input = vouching.signing_input(ISSUER_KEY.public());
    let signature = ISSUER_KEY.sign(input.as_bytes()).unwrap();
    input.assemble(&signature)
});

/// What a sign-in with it was asked with.
pub const NONCE: &str = "n-1";

/// Whom it says a sign-in of ours was by.
pub static ID_TOKEN: LazyLock<String> = LazyLock::new(|| {
    let claims = json!({
        "iss": DOMAIN, "aud": agent().as_str(), "sub": "00u1", "nonce": NONCE, "acr": "gold", "amr": ["pwd"],
        "iat": now().as_second(), "exp": now().as_second() + 300, "email": "ada@example.com", "email_verified": true,
    });
    let input = SigningInput::new(TokenType::WorkloadToken, ISSUER_KEY.public(), &claims.to_string());
    let signature = ISSUER_KEY.sign(input.as_bytes()).unwrap();
    input.assemble(&signature)
});

/// Whose they are.
pub fn agent() -> AgentName {
    "reader-1".parse().unwrap()
}
