//! The other side of OAuth: how this broker, as a client, gets tokens from the authorization server of a system that holds
//! its own users (RFC 6749, RFC 7636, RFC 8707). Builds what is sent and reads what comes back; what a server of others
//! says is never believed further than it has to be.

use std::collections::BTreeSet;

use bailiwick_model::{digest::Digest, jwk::PublicKey, name::Scope, secret::Secret};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use url::{Url, form_urlencoded};

use crate::{
    form::SCOPES_MAX,
    json::parse_object,
    jws::{SigningInput, TokenType},
    pkce,
};

/// Bytes of an answer of a token endpoint.
pub const ANSWER_BYTES_MAX: usize = crate::json::OBJECT_BYTES_MAX;
/// Bytes of one access or refresh token.
pub const FOREIGN_TOKEN_BYTES_MAX: usize = 8 * 1_024;
/// Bytes of a code.
pub const CODE_BYTES_MAX: usize = 4 * 1_024;
/// Seconds that an assertion of ours lives.
const ASSERTION_TTL_S: i64 = 60;
/// Seconds after which a token's end is as good as none: a year.
const EXPIRES_IN_S_MAX: u64 = 366 * 24 * 3_600;

/// What a user's browser is sent to the authorization endpoint with.
#[derive(Debug)]
pub struct ConsentAsk<'a> {
    /// Our name there.
    pub client: &'a str,
    /// Where the browser comes back to.
    pub redirect_uri: &'a str,
    /// What is asked for; none leaves it to the server.
    pub scopes: &'a BTreeSet<Scope>,
    /// What the tokens are to be for (RFC 8707 §2).
    pub resource: Option<&'a str>,
    /// What ties the answer to the browser's session.
    pub state: &'a Secret<String>,
    /// What ties the code to whoever redeems it.
    pub verifier: &'a Secret<String>,
}

impl ConsentAsk<'_> {
    /// The URL to send the browser to.
    pub fn url(&self, endpoint: &Url) -> Url {
        let mut url = endpoint.clone();
        let challenge = URL_SAFE_NO_PAD.encode(Digest::of(self.verifier.expose().as_bytes()).as_bytes());
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", self.client)
            .append_pair("redirect_uri", self.redirect_uri)
            .append_pair("state", self.state.expose())
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", pkce::METHOD);
        if !self.scopes.is_empty() {
            query.append_pair("scope", &joined(self.scopes));
        }
        if let Some(resource) = self.resource {
            query.append_pair("resource", resource);
        }
        drop(query);
        url
    }
}

/// Scopes as one parameter.
pub fn joined(scopes: &BTreeSet<Scope>) -> String {
    scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
}

/// The `Authorization` header of `client_secret_basic` (RFC 6749 §2.3.1): both halves are form-encoded first.
pub fn basic(client: &str, secret: &Secret<String>) -> Secret<String> {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Secret::new(format!("{}:{}", encode(client), encode(secret.expose())));
    Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())))
}

/// A client assertion of ours (RFC 7523 §2.2), for the server's issuer alone.
pub fn assertion(client: &str, audience: &str, jti: &str, key: &PublicKey, now: Timestamp) -> SigningInput {
    let issued_at = now.as_second();
    let claims = json!({
        "iss": client,
        "sub": client,
        "aud": audience,
        "iat": issued_at,
        "exp": issued_at.saturating_add(ASSERTION_TTL_S),
        "jti": jti,
    });
    SigningInput::new(TokenType::ClientAssertion, key, &claims.to_string())
}

/// Tokens that a server gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenTokens {
    /// The access token; a bearer token.
    pub access: Secret<String>,
    /// What renews it, if it can be.
    pub refresh: Option<Secret<String>>,
    /// Seconds until the access token ends, if the server says so.
    pub expires_in_s: Option<u64>,
    /// What it allows; `None` is what was asked for (RFC 6749 §5.1).
    pub scopes: Option<BTreeSet<Scope>>,
}

/// Why there are no tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotGiven {
    /// What was presented is no good, or no more.
    #[error("it takes neither this code nor this refresh token (`invalid_grant`)")]
    InvalidGrant,
    /// It refuses for another reason that RFC 6749 §5.2 has a word for.
    #[error("it refuses: `{0}`")]
    Refused(&'static str),
    /// Its answer cannot be used.
    #[error("its answer cannot be used: {0}")]
    Unfit(&'static str),
    /// It answers with something else.
    #[error("it answers with HTTP status {0}")]
    Status(u16),
}

impl NotGiven {
    /// Whether the same refresh token can be good later: what the server, or whoever runs us, can put right.
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::Status(_) | Self::Refused(_))
    }
}

/// Reads the answer of a token endpoint.
pub fn read(status: u16, body: &[u8]) -> Result<GivenTokens, NotGiven> {
    match status {
        200 => given(&parse_object(body).map_err(|_| NotGiven::Unfit("it is not one JSON object"))?),
        400..=403 => Err(refused(status, body)),
        _ => Err(NotGiven::Status(status)),
    }
}

/// Whether a revocation endpoint took a token back for good (RFC 7009 §2.2), knows none such, or takes none of its kind back.
/// Every other refusal is of us, or of the moment, and the token may live.
pub fn is_taken_back(status: u16, body: &[u8]) -> bool {
    match status {
        200..=299 => true,
        400 => parse_object(body).is_ok_and(|object| {
            let error = object.get("error").and_then(Value::as_str);
            matches!(error, Some("invalid_token" | "unsupported_token_type"))
        }),
        _ => false,
    }
}

/// The words of RFC 6749 §5.2 and RFC 8707 §2; what else a server writes is shown to nobody.
pub fn error_word(text: &str) -> &'static str {
    const WORDS: [&str; 12] = [
        "access_denied",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "invalid_target",
        "login_required",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_response_type",
    ];
    WORDS.into_iter().find(|word| *word == text).unwrap_or("another error")
}

fn refused(status: u16, body: &[u8]) -> NotGiven {
    let Ok(object) = parse_object(body) else { return NotGiven::Status(status) };
    match object.get("error").and_then(Value::as_str) {
        Some("invalid_grant") => NotGiven::InvalidGrant,
        Some(other) => NotGiven::Refused(error_word(other)),
        None => NotGiven::Status(status),
    }
}

fn given(object: &Map<String, Value>) -> Result<GivenTokens, NotGiven> {
    let text = |name: &str| object.get(name).filter(|value| !value.is_null());
    let kind = text("token_type").and_then(Value::as_str).unwrap_or_default();
    if !kind.eq_ignore_ascii_case("bearer") {
        return Err(NotGiven::Unfit("`token_type` is not `Bearer`"));
    }
    let token = |name: &'static str, unfit| match text(name) {
        None => Ok(None),
        Some(Value::String(token)) if is_token(token) => Ok(Some(Secret::new(token.clone()))),
        Some(_) => Err(NotGiven::Unfit(unfit)),
    };
    let access = token("access_token", "`access_token` is no token")?;
    let expires_in_s = match text("expires_in") {
        None => None,
        Some(seconds) => match seconds.as_u64() {
            Some(seconds) if seconds > 0 => Some(seconds).filter(|seconds| *seconds <= EXPIRES_IN_S_MAX),
            _ => return Err(NotGiven::Unfit("`expires_in` is no number of seconds")),
        },
    };
    Ok(GivenTokens {
        access: access.ok_or(NotGiven::Unfit("`access_token` is missing"))?,
        refresh: token("refresh_token", "`refresh_token` is no token")?,
        expires_in_s,
        scopes: text("scope").map(scopes).transpose()?,
    })
}

/// What fits into a header as it is: visible ASCII.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= FOREIGN_TOKEN_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn scopes(value: &Value) -> Result<BTreeSet<Scope>, NotGiven> {
    let unfit = NotGiven::Unfit("`scope` is no list of scopes");
    let text = value.as_str().ok_or(unfit)?;
    let scopes: Result<BTreeSet<Scope>, _> = text.split_ascii_whitespace().map(str::parse).collect();
    scopes.ok().filter(|scopes| scopes.len() <= SCOPES_MAX).ok_or(unfit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope_set(text: &str) -> BTreeSet<Scope> {
        text.split_whitespace().map(|scope| scope.parse().unwrap()).collect()
    }

    #[test]
    fn a_browser_is_sent_with_all_that_ties_the_answer_to_it() {
        let ask = ConsentAsk {
            client: "bailiwick & co",
            redirect_uri: "https://broker.test/account/connections/callback/crm",
            scopes: &scope_set("contacts.read offline_access"),
            resource: Some("https://crm.test/mcp"),
            state: &Secret::new("s".repeat(64)),
            verifier: &Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned()),
        };
        let url = ask.url(&"https://login.crm.test/authorize?tenant=7".parse().unwrap());
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let of = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        // RFC 7636 Appendix B.
        assert_eq!(of("code_challenge"), Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
        assert_eq!((of("code_challenge_method"), of("response_type")), (Some("S256"), Some("code")));
        assert_eq!((of("tenant"), of("client_id")), (Some("7"), Some("bailiwick & co")));
        assert_eq!((of("scope"), of("resource")), (Some("contacts.read offline_access"), Some("https://crm.test/mcp")));
        assert!(!url.as_str().contains("dBjft"), "the verifier stays here");
        assert!(!format!("{ask:?}").contains("dBjft"));
    }

    #[test]
    fn a_secret_with_every_character_arrives_as_it_is() {
        let header = basic("a:b", &Secret::new("p+%:ß".to_owned()));
        let decoded = STANDARD.decode(header.expose().strip_prefix("Basic ").unwrap()).unwrap();
        assert_eq!(decoded, b"a%3Ab:p%2B%25%3A%C3%9F");
    }

    #[test]
    fn tokens_are_read_or_refused() {
        let check = |body: Value, expected: Result<(), NotGiven>| {
            assert_eq!(read(200, body.to_string().as_bytes()).map(|_| ()), expected, "{body}");
        };
        let good = json!({"access_token": "a", "token_type": "bearer", "expires_in": 60, "refresh_token": "r",
            "scope": "x y", "id_token": "ignored", "anything": {"else": []}});
        let given = read(200, good.to_string().as_bytes()).unwrap();
        assert_eq!((given.access.expose().as_str(), given.expires_in_s), ("a", Some(60)));
        assert_eq!((given.refresh.unwrap().expose().as_str(), given.scopes), ("r", Some(scope_set("x y"))));
        check(json!({"access_token": "a", "token_type": "Bearer", "refresh_token": null}), Ok(()));
        let unfit = |what| Err(NotGiven::Unfit(what));
        check(json!({"access_token": "a"}), unfit("`token_type` is not `Bearer`"));
        check(json!({"access_token": "a", "token_type": "DPoP"}), unfit("`token_type` is not `Bearer`"));
        check(json!({"token_type": "Bearer"}), unfit("`access_token` is missing"));
        for token in ["", "a b", "a\r\nx-other: 1", "ä", &"a".repeat(FOREIGN_TOKEN_BYTES_MAX + 1)] {
            check(json!({"access_token": token, "token_type": "Bearer"}), unfit("`access_token` is no token"));
            let refresh = json!({"access_token": "a", "token_type": "Bearer", "refresh_token": token});
            check(refresh, unfit("`refresh_token` is no token"));
        }
        for expires_in in [json!(0), json!(-1), json!("60"), json!(1.5)] {
            let body = json!({"access_token": "a", "token_type": "Bearer", "expires_in": expires_in});
            check(body, unfit("`expires_in` is no number of seconds"));
        }
        check(
            json!({"access_token": "a", "token_type": "Bearer", "scope": ["x"]}),
            unfit("`scope` is no list of scopes"),
        );
        let twice = br#"{"access_token":"a","access_token":"b","token_type":"Bearer"}"#;
        assert_eq!(read(200, twice), Err(NotGiven::Unfit("it is not one JSON object")));
        assert!(read(200, &vec![b' '; ANSWER_BYTES_MAX + 1]).is_err());
        assert!(!format!("{:?}", read(200, good.to_string().as_bytes())).contains("\"a\""), "tokens do not print");
    }

    #[test]
    fn a_token_is_taken_back_where_the_server_says_so() {
        for (status, body) in [
            (200, ""),
            (204, ""),
            (400, r#"{"error":"invalid_token"}"#),
            (400, r#"{"error":"unsupported_token_type"}"#),
        ] {
            assert!(is_taken_back(status, body.as_bytes()), "{status} {body}");
        }
        for (status, body) in [
            (302, ""),
            (400, ""),
            (400, r#"{"error":"invalid_client"}"#),
            (401, r#"{"error":"invalid_token"}"#),
            (403, ""),
            (404, ""),
            (429, ""),
            (503, ""),
        ] {
            assert!(!is_taken_back(status, body.as_bytes()), "{status} {body}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_our_words() {
        let check = |status, body: &str, expected| assert_eq!(read(status, body.as_bytes()), Err(expected), "{body}");
        check(400, r#"{"error":"invalid_grant","error_description":"secret stuff"}"#, NotGiven::InvalidGrant);
        check(401, r#"{"error":"invalid_client"}"#, NotGiven::Refused("invalid_client"));
        check(400, r#"{"error":"<script>"}"#, NotGiven::Refused("another error"));
        check(400, "<html>", NotGiven::Status(400));
        check(302, "", NotGiven::Status(302));
        check(503, r#"{"error":"invalid_grant"}"#, NotGiven::Status(503));
        assert!(!NotGiven::InvalidGrant.is_passing() && NotGiven::Refused("invalid_client").is_passing());
    }
}
