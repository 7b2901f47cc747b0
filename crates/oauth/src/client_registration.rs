//! Client metadata (RFC 7591 §2): what a client that registers by itself may say. Everything that would make it more than
//! its initial access token allows is no member here; what is not understood is ignored, as the RFC wants, and not told
//! back.

use bailiwick_model::{
    jwk::PublicKey,
    name::AgentName,
    redirect_uri::{REDIRECT_URIS_MAX, RedirectUri},
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    error::{ErrorCode, OAuthError},
    json::parse_object,
    key_policy::{KeyPolicy, jwks_document},
};

/// The one way in which a client authenticates that registers by itself.
const AUTH_METHOD: &str = "private_key_jwt";
/// What a client may ask for by itself.
const OWN_GRANTS: [&str; 2] = ["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"];
/// What it may ask for with a user's consent, for which it needs a redirect URI.
const USERS_GRANTS: [&str; 2] = ["authorization_code", "refresh_token"];

/// What a client says of itself, as far as it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientMetadata {
    /// Where its users are sent back to; none: it acts for itself alone.
    pub redirect_uris: Vec<RedirectUri>,
    /// Its public keys, each fit for use.
    pub keys: Vec<PublicKey>,
}

impl ClientMetadata {
    /// Parses the body of a registration (RFC 7591 §3.1).
    pub fn parse(body: &[u8]) -> Result<Self, OAuthError> {
        Self::of(&parse_object(body).map_err(|error| invalid(&error.to_string()))?)
    }

    /// Parses the body of an update (RFC 7592 §2.2), which names the client and nothing that we made.
    pub fn parse_update(body: &[u8], client: &AgentName) -> Result<Self, OAuthError> {
        let object = parse_object(body).map_err(|error| invalid(&error.to_string()))?;
        if object.get("client_id").and_then(Value::as_str) != Some(client.as_str()) {
            return Err(invalid("`client_id` is missing, or is another client's"));
        }
        let ours =
            ["registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"];
        if let Some(ours) = ours.iter().find(|ours| object.contains_key(**ours)) {
            return Err(invalid(&format!("`{ours}` must not be sent (RFC 7592 section 2.2)")));
        }
        Self::of(&object)
    }

    fn of(object: &Map<String, Value>) -> Result<Self, OAuthError> {
        if object.contains_key("software_statement") {
            let description =
                "no publisher of software statements is trusted here\nhint: leave `software_statement` out";
            return Err(OAuthError::new(ErrorCode::UnapprovedSoftwareStatement, description));
        }
        if object.contains_key("client_secret") {
            return Err(invalid("shared secrets are not accepted\nhint: send public keys in `jwks`"));
        }
        let redirect_uris = redirect_uris(object)?;
        match object.get("token_endpoint_auth_method") {
            None => {}
            Some(Value::String(method)) if method == AUTH_METHOD => {}
            Some(_) => return Err(invalid(&format!("`token_endpoint_auth_method` can only be `{AUTH_METHOD}`"))),
        }
        if object.get("dpop_bound_access_tokens").is_some_and(|bound| *bound != Value::Bool(true)) {
            return Err(invalid("`dpop_bound_access_tokens` can only be `true`"));
        }
        let grants = grants(&redirect_uris);
        named(object, "grant_types", &grants)?;
        named(object, "response_types", if redirect_uris.is_empty() { &[] } else { &["code"] })?;
        Ok(Self { keys: keys(object)?, redirect_uris })
    }
}

/// What a client is registered with, as it is told (RFC 7591 §3.2.1, RFC 7592 §3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClientInformation {
    client_id: String,
    client_id_issued_at: i64,
    registration_access_token: String,
    registration_client_uri: String,
    token_endpoint_auth_method: &'static str,
    grant_types: Vec<&'static str>,
    response_types: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    redirect_uris: Vec<String>,
    jwks: Value,
    dpop_bound_access_tokens: bool,
}

impl ClientInformation {
    /// Of a client with these keys and redirect URIs; `access` is the token that manages it, told this once.
    pub fn new(
        client: &AgentName,
        issued_at: Timestamp,
        (access, uri): (&str, String),
        keys: &[PublicKey],
        redirect_uris: &[RedirectUri],
    ) -> Self {
        Self {
            client_id: client.to_string(),
            client_id_issued_at: issued_at.as_second(),
            registration_access_token: access.to_owned(),
            registration_client_uri: uri,
            token_endpoint_auth_method: AUTH_METHOD,
            grant_types: grants(redirect_uris),
            response_types: if redirect_uris.is_empty() { Vec::new() } else { vec!["code"] },
            redirect_uris: redirect_uris.iter().map(ToString::to_string).collect(),
            jwks: serde_json::from_str(&jwks_document(keys)).unwrap_or_default(),
            dpop_bound_access_tokens: true,
        }
    }
}

fn grants(redirect_uris: &[RedirectUri]) -> Vec<&'static str> {
    let users: &[&str] = if redirect_uris.is_empty() { &[] } else { &USERS_GRANTS };
    OWN_GRANTS.iter().chain(users).copied().collect()
}

/// Every member of a list of names is one of these.
fn named(object: &Map<String, Value>, member: &str, known: &[&str]) -> Result<(), OAuthError> {
    let unfit = || {
        let known = if known.is_empty() { "nothing".to_owned() } else { known.join("`, `") };
        invalid(&format!("`{member}` can hold `{known}` for this client\nhint: users need `redirect_uris`"))
    };
    let Some(names) = object.get(member) else { return Ok(()) };
    let names = names.as_array().ok_or_else(unfit)?;
    let fits = |name: &Value| name.as_str().is_some_and(|name| known.contains(&name));
    if names.iter().all(fits) { Ok(()) } else { Err(unfit()) }
}

fn redirect_uris(object: &Map<String, Value>) -> Result<Vec<RedirectUri>, OAuthError> {
    let unfit = |description: &str| OAuthError::new(ErrorCode::InvalidRedirectUri, description);
    let Some(uris) = object.get("redirect_uris") else { return Ok(Vec::new()) };
    let uris = uris.as_array().ok_or_else(|| unfit("`redirect_uris` must be an array"))?;
    if uris.len() > REDIRECT_URIS_MAX {
        return Err(unfit(&format!("`redirect_uris` holds more than {REDIRECT_URIS_MAX}")));
    }
    let parse = |uri: &Value| {
        let uri = uri.as_str().ok_or_else(|| unfit("`redirect_uris` must hold texts"))?;
        uri.parse::<RedirectUri>().map_err(|error| unfit(&error.to_string()))
    };
    let mut parsed = uris.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    parsed.sort();
    parsed.dedup();
    Ok(parsed)
}

fn keys(object: &Map<String, Value>) -> Result<Vec<PublicKey>, OAuthError> {
    if object.contains_key("jwks_uri") {
        return Err(invalid(
            "keys are not fetched from `jwks_uri`\nhint: send them in `jwks`, and again when they change",
        ));
    }
    let jwks = object.get("jwks").ok_or_else(|| invalid("`jwks` is missing\nhint: send the client's public keys"))?;
    KeyPolicy::of_agents().jwks(&jwks.to_string()).map_err(|error| invalid(&format!("`jwks` cannot be used: {error}")))
}

fn invalid(description: &str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidClientMetadata, description)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key() -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "one"})
    }

    fn with(members: Value) -> Value {
        let mut body = json!({ "jwks": { "keys": [key()] } });
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        body
    }

    #[test]
    fn what_fits_is_told_back_and_the_rest_is_ignored() {
        let plain = ClientMetadata::parse(with(json!({})).to_string().as_bytes()).unwrap();
        assert_eq!((plain.keys.len(), plain.redirect_uris.len()), (1, 0));
        let full = with(json!({
            "redirect_uris": ["http://127.0.0.1/cb", "https://a.example/cb", "https://a.example/cb"],
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
            "token_endpoint_auth_method": "private_key_jwt", "dpop_bound_access_tokens": true,
            "client_name": "Totally Official", "logo_uri": "https://evil.example/logo", "role": "admin", "scope": "x:y",
        }));
        let full = ClientMetadata::parse(full.to_string().as_bytes()).unwrap();
        assert_eq!(full.redirect_uris.len(), 2);
        let name: AgentName = "ci-1".parse().unwrap();
        let uri = "https://b.example/oauth/register/ci-1".to_owned();
        let told = ClientInformation::new(&name, Timestamp::UNIX_EPOCH, ("t", uri), &full.keys, &full.redirect_uris);
        let told = serde_json::to_value(told).unwrap();
        assert_eq!(told["grant_types"].as_array().unwrap().len(), 4);
        assert_eq!(told["jwks"]["keys"][0]["kid"], "one");
        for member in ["client_name", "logo_uri", "role", "scope", "client_secret"] {
            assert_eq!(told.get(member), None, "{member}");
        }
    }

    #[test]
    fn every_refusal_has_its_code() {
        use ErrorCode::{InvalidClientMetadata as Metadata, InvalidRedirectUri as Uri, UnapprovedSoftwareStatement};
        let secret = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "x"}]});
        let mut private = key();
        private["d"] = json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
        for (members, code) in [
            (json!({"jwks": null}), Metadata),
            (json!({"jwks": {"keys": []}}), Metadata),
            (json!({"jwks": secret}), Metadata),
            (json!({"jwks": {"keys": [private]}}), Metadata),
            (json!({"jwks": {"keys": [key(), key()]}}), Metadata),
            (json!({"jwks_uri": "https://a.example/jwks"}), Metadata),
            (json!({"software_statement": "a.b.c"}), UnapprovedSoftwareStatement),
            (json!({"client_secret": "x"}), Metadata),
            (json!({"token_endpoint_auth_method": "client_secret_basic"}), Metadata),
            (json!({"token_endpoint_auth_method": "none"}), Metadata),
            (json!({"dpop_bound_access_tokens": false}), Metadata),
            (json!({"grant_types": ["password"]}), Metadata),
            (json!({"grant_types": ["authorization_code"]}), Metadata),
            (json!({"grant_types": "client_credentials"}), Metadata),
            (json!({"response_types": ["token"], "redirect_uris": ["https://a.example/cb"]}), Metadata),
            (json!({"response_types": ["code"]}), Metadata),
            (json!({"redirect_uris": "https://a.example/cb"}), Uri),
            (json!({"redirect_uris": [7]}), Uri),
            (json!({"redirect_uris": ["http://a.example/cb"]}), Uri),
            (json!({"redirect_uris": ["https://a.example/cb#x"]}), Uri),
            (json!({"redirect_uris": ["my-app:/cb"]}), Uri),
            (json!({"redirect_uris": vec!["https://a.example/cb"; REDIRECT_URIS_MAX + 1]}), Uri),
        ] {
            let refused = ClientMetadata::parse(with(members.clone()).to_string().as_bytes()).unwrap_err();
            assert_eq!(refused.code, code, "{members}");
        }
        for text in ["", "[]", "x", r#"{"jwks":{"keys":[]},"jwks":{"keys":[]}}"#] {
            assert_eq!(ClientMetadata::parse(text.as_bytes()).unwrap_err().code, Metadata, "{text}");
        }
        let name: AgentName = "ci-1".parse().unwrap();
        for (members, fits) in [
            (json!({"client_id": "ci-1"}), true),
            (json!({}), false),
            (json!({"client_id": "ci-2"}), false),
            (json!({"client_id": "ci-1", "registration_access_token": "t"}), false),
            (json!({"client_id": "ci-1", "client_id_issued_at": 1}), false),
        ] {
            let parsed = ClientMetadata::parse_update(with(members.clone()).to_string().as_bytes(), &name);
            assert_eq!(parsed.is_ok(), fits, "{members}");
        }
    }
}
