//! The compact JWS (RFC 7515) under the best practices of RFC 8725: three
//! parts, strict base64url, an explicit type, no key or algorithm taken from
//! the token itself.

use bailiwick_model::jwk::{PublicKey, SigningAlgorithm, Thumbprint};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::{
    claims::{ClaimError, Claims},
    json::{JsonError, parse_object},
    key_policy::{algorithm_name, algorithm_of},
    verifying_key::{BadSignature, VerifyingKey},
};

/// Bytes of one compact token.
pub const TOKEN_BYTES_MAX: usize = 16 * 1_024;

/// What a token is for. Tokens of one type never pass as another (RFC 8725 §3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    /// `at+jwt` (RFC 9068).
    AccessToken,
    /// `JWT`, `client-authentication+jwt`, or none for older clients (RFC 7523).
    ClientAssertion,
    /// `dpop+jwt` (RFC 9449). The only one whose header carries its key.
    DpopProof,
    /// `token-introspection+jwt` (RFC 9701).
    IntrospectionResponse,
    /// `oauth-id-jag+jwt` (draft-ietf-oauth-identity-assertion-authz-grant-04).
    IdJag,
    /// `oauth-client-attestation+jwt` (draft-ietf-oauth-attestation-based-client-auth).
    ClientAttestation,
    /// `oauth-client-attestation-pop+jwt` (the same).
    ClientAttestationProof,
    /// What a platform gives to a workload: `JWT`, `JOSE`, or none (OpenID Connect ID tokens, JWT-SVIDs).
    WorkloadToken,
    /// `JWT` (OpenID Connect Core 1.0 §2).
    IdToken,
}

impl TokenType {
    /// What we write in `typ`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "at+jwt",
            Self::ClientAssertion => "client-authentication+jwt",
            Self::DpopProof => "dpop+jwt",
            Self::IntrospectionResponse => "token-introspection+jwt",
            Self::IdJag => "oauth-id-jag+jwt",
            Self::ClientAttestation => "oauth-client-attestation+jwt",
            Self::ClientAttestationProof => "oauth-client-attestation-pop+jwt",
            Self::WorkloadToken => "JWT",
            Self::IdToken => "JWT",
        }
    }

    /// Whether a header's `typ` is this type. Media types know no case, and
    /// `application/` may be left out (RFC 7515 §4.1.9).
    fn admits(self, typ: Option<&str>) -> bool {
        let typ = typ.map(str::to_ascii_lowercase);
        let typ = typ.as_deref().map(|text| text.strip_prefix("application/").unwrap_or(text));
        match self {
            Self::ClientAssertion => matches!(typ, None | Some("jwt" | "client-authentication+jwt")),
            Self::WorkloadToken => matches!(typ, None | Some("jwt" | "jose")),
            Self::IdToken => typ == Some("jwt"),
            Self::AccessToken
            | Self::DpopProof
            | Self::IntrospectionResponse
            | Self::IdJag
            | Self::ClientAttestation
            | Self::ClientAttestationProof => typ == Some(self.as_str()),
        }
    }
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// More than [`TOKEN_BYTES_MAX`].
    #[error("the token has more than {TOKEN_BYTES_MAX} bytes")]
    TooLarge,
    /// Not three parts of strict base64url.
    #[error("the token is not three parts in base64url without padding")]
    Malformed,
    /// A header or claims that are not one strict JSON object.
    #[error("the token's {part} cannot be read: {error}")]
    Json {
        /// `header` or `claims`.
        part: &'static str,
        /// Why.
        error: JsonError,
    },
    /// A header member that must not be there, or is not of its type.
    #[error("the token's header member `{0}` is not admitted")]
    Header(&'static str),
    /// An algorithm that is none of ours, `none` and the symmetric ones included.
    #[error("the token's algorithm is not admitted\nhint: use `ES256`, `EdDSA` or `PS256`")]
    Algorithm,
    /// The wrong `typ`.
    #[error("the token's type is not `{}`", .0.as_str())]
    Type(TokenType),
    /// The key of that name is for another algorithm.
    #[error("the token's algorithm is not the one that its key is registered for")]
    OtherAlgorithm,
    /// The token names another key.
    #[error("the token names another key")]
    OtherKey,
    /// The signature does not fit.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// A claim is missing or unfit.
    #[error(transparent)]
    Claim(#[from] ClaimError),
}

/// Three parts, decoded; nothing is believed yet.
#[derive(Debug, Clone)]
struct Compact<'a> {
    signing_input: &'a str,
    header: Map<String, Value>,
    payload: Vec<u8>,
    signature: Vec<u8>,
    algorithm: SigningAlgorithm,
    kid: Option<String>,
}

impl<'a> Compact<'a> {
    fn parse(text: &'a str) -> Result<Self, JwsError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(JwsError::TooLarge);
        }
        let (signing_input, signature) = text.rsplit_once('.').ok_or(JwsError::Malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(JwsError::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwsError::Malformed);
        let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
        let header = parse_object(&header).map_err(|error| JwsError::Json { part: "header", error })?;
        for refused in ["crit", "b64", "jku", "x5u", "x5c", "zip", "enc"] {
            if header.contains_key(refused) {
                return Err(JwsError::Header(refused));
            }
        }
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(algorithm_of).ok_or(JwsError::Algorithm)?;
        let kid = header_text(&header, "kid")?.map(str::to_owned);
        Ok(Self { signing_input, payload, signature, algorithm, kid, header })
    }

    fn verify(&self, key: &VerifyingKey) -> Result<(), JwsError> {
        if self.algorithm != key.algorithm() {
            return Err(JwsError::OtherAlgorithm);
        }
        if self.kid.as_deref().is_some_and(|kid| kid != key.kid()) {
            return Err(JwsError::OtherKey);
        }
        Ok(key.verify(self.signing_input.as_bytes(), &self.signature)?)
    }
}

fn header_text<'h>(header: &'h Map<String, Value>, name: &'static str) -> Result<Option<&'h str>, JwsError> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(JwsError::Header(name)),
    }
}

/// A token as it came: well-formed and of the expected type, its signature unknown.
#[derive(Debug, Clone)]
pub struct UnverifiedToken<'a> {
    compact: Compact<'a>,
    claims: Claims,
    jwk: Option<Map<String, Value>>,
}

impl<'a> UnverifiedToken<'a> {
    /// Parses a token that must be of one type.
    pub fn parse(text: &'a str, expected: TokenType) -> Result<Self, JwsError> {
        let mut compact = Compact::parse(text)?;
        if !expected.admits(header_text(&compact.header, "typ")?) {
            return Err(JwsError::Type(expected));
        }
        let jwk = match (compact.header.remove("jwk"), expected == TokenType::DpopProof) {
            (Some(Value::Object(jwk)), true) => Some(jwk),
            (None, false) => None,
            _ => return Err(JwsError::Header("jwk")),
        };
        let claims = parse_object(&compact.payload).map_err(|error| JwsError::Json { part: "claims", error })?;
        Ok(Self { compact, claims: Claims::new(claims), jwk })
    }

    /// The name of the key that the token claims to be signed with.
    pub fn kid(&self) -> Option<&str> {
        self.compact.kid.as_deref()
    }

    /// The algorithm that the token claims; good for nothing but a comparison.
    pub const fn algorithm(&self) -> SigningAlgorithm {
        self.compact.algorithm
    }

    /// The embedded key of a DPoP proof, parsed strictly.
    pub const fn embedded_jwk(&self) -> Option<&Map<String, Value>> {
        self.jwk.as_ref()
    }

    /// What the token claims, to find the key it must be verified with and for nothing else.
    pub const fn unverified_claims(&self) -> &Claims {
        &self.claims
    }

    /// What is signed: header and claims as they came. Unlike the whole token it has one spelling only, as a signature by
    /// ECDSA has two.
    pub const fn signed_text(&self) -> &'a str {
        self.compact.signing_input
    }

    /// Verifies algorithm, key name and signature.
    pub fn verify(self, key: &VerifyingKey) -> Result<VerifiedToken, JwsError> {
        self.compact.verify(key)?;
        Ok(VerifiedToken { claims: self.claims, key: key.thumbprint() })
    }
}

/// A token whose signature fits a key that we chose. Its claims still have to be judged.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedToken {
    claims: Claims,
    key: Thumbprint,
}

impl VerifiedToken {
    /// The claims.
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The key that signed.
    pub const fn key(&self) -> Thumbprint {
        self.key
    }
}

/// Header and claims, ready to be signed elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningInput(String);

impl SigningInput {
    /// Builds what the owner of `key` signs. A DPoP proof embeds the key, the others name it.
    pub fn new(token_type: TokenType, key: &PublicKey, claims_json: &str) -> Self {
        let algorithm = algorithm_name(key.algorithm);
        let typ = token_type.as_str();
        let header = match token_type {
            TokenType::DpopProof => format!(r#"{{"alg":"{algorithm}","jwk":{},"typ":"{typ}"}}"#, key.jwk),
            TokenType::AccessToken
            | TokenType::ClientAssertion
            | TokenType::IntrospectionResponse
            | TokenType::IdJag
            | TokenType::ClientAttestation
            | TokenType::ClientAttestationProof
            | TokenType::WorkloadToken
            | TokenType::IdToken => {
                format!(r#"{{"alg":"{algorithm}","kid":"{}","typ":"{typ}"}}"#, key.kid)
            }
        };
        Self(format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims_json)))
    }

    /// The bytes to sign.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The compact token, given the signature over [`Self::as_bytes`].
    pub fn assemble(self, signature: &[u8]) -> String {
        format!("{}.{}", self.0, URL_SAFE_NO_PAD.encode(signature))
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wycheproof;
