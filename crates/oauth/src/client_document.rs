//! The document that a client publishes about itself at the URL that is its `client_id`
//! (draft-ietf-oauth-client-id-metadata-document-02): what of it counts. Where it is fetched from and what the client may do,
//! an operator says.

use bailiwick_model::{
    agent::ClientUrl,
    redirect_uri::{REDIRECT_URIS_MAX, RedirectUri},
};
use serde_json::{Map, Value};

use crate::json::{JsonError, parse_object_within};

/// Bytes of one document (§6.6 of the draft).
pub const DOCUMENT_BYTES_MAX: usize = 5 * 1_024;
/// Ways to authenticate that rest on a shared secret (§4.1 of the draft): no document may name one.
const BY_SECRET: [&str; 3] = ["client_secret_basic", "client_secret_post", "client_secret_jwt"];
/// What a client without a key can do.
const GRANTS: [&str; 2] = ["authorization_code", "refresh_token"];

/// Why a document is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It cannot be read.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// It is about another client, in whichever spelling.
    #[error("its `client_id` is not the URL that it lies at")]
    OtherClient,
    /// It rests on a shared secret.
    #[error("it names a shared secret, which nobody can keep in a public document")]
    Secret,
    /// It wants to prove itself by something else than what is taken.
    #[error("its `token_endpoint_auth_method` must be `none`: a client with a key of its own is registered with it")]
    Method,
    /// Its redirect URIs.
    #[error("its `redirect_uris` must be 1 to {REDIRECT_URIS_MAX} URIs, each `https` or on its user's own machine")]
    RedirectUris,
    /// A list that is none.
    #[error("its `{0}` must be a list that has `{1}`")]
    Lacks(&'static str, &'static str),
}

/// What of a document counts: where users may be sent back to. Everything else is said by an operator, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientDocument {
    /// In one order, each once.
    pub redirect_uris: Vec<RedirectUri>,
}

impl ClientDocument {
    /// Reads the document of one client.
    pub fn parse(bytes: &[u8], url: &ClientUrl) -> Result<Self, DocumentError> {
        let object = parse_object_within(bytes, DOCUMENT_BYTES_MAX)?;
        if object.get("client_id").and_then(Value::as_str) != Some(url.as_str()) {
            return Err(DocumentError::OtherClient);
        }
        if object.contains_key("client_secret") || object.contains_key("client_secret_expires_at") {
            return Err(DocumentError::Secret);
        }
        // The default of RFC 7591 is a shared secret, so it must be said.
        match object.get("token_endpoint_auth_method").and_then(Value::as_str) {
            Some("none") => {}
            Some(method) if BY_SECRET.contains(&method) => return Err(DocumentError::Secret),
            _ => return Err(DocumentError::Method),
        }
        holds(&object, "grant_types", GRANTS[0])?;
        holds(&object, "response_types", "code")?;
        Ok(Self { redirect_uris: redirect_uris(&object)? })
    }

    /// Whether an answer goes to its user's own machine, where any program can wait for it. No other URI is plain `http`.
    pub fn is_loopback(redirect_uri: &str) -> bool {
        redirect_uri.starts_with("http://")
    }
}

/// A list that is left out has its default, which is what is asked for.
fn holds(object: &Map<String, Value>, member: &'static str, name: &'static str) -> Result<(), DocumentError> {
    match object.get(member) {
        None => Ok(()),
        Some(Value::Array(names)) if names.iter().any(|found| found == name) => Ok(()),
        Some(_) => Err(DocumentError::Lacks(member, name)),
    }
}

fn redirect_uris(object: &Map<String, Value>) -> Result<Vec<RedirectUri>, DocumentError> {
    let written = object.get("redirect_uris").and_then(Value::as_array).ok_or(DocumentError::RedirectUris)?;
    if written.is_empty() || written.len() > REDIRECT_URIS_MAX {
        return Err(DocumentError::RedirectUris);
    }
    let parse = |uri: &Value| uri.as_str().and_then(|uri| uri.parse().ok()).ok_or(DocumentError::RedirectUris);
    let mut uris = written.iter().map(parse).collect::<Result<Vec<RedirectUri>, _>>()?;
    uris.sort();
    uris.dedup();
    Ok(uris)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const URL: &str = "https://claude.example/client.json";

    fn document(changes: &Value) -> String {
        let mut whole = json!({
            "client_id": URL, "client_name": "The Official One", "redirect_uris": ["http://127.0.0.1/cb"],
            "token_endpoint_auth_method": "none", "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"], "logo_uri": "https://169.254.169.254/", "scope": "everything",
        });
        let members = whole.as_object_mut().unwrap();
        members.extend(changes.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        whole.to_string()
    }

    fn parsed(text: &str) -> Result<ClientDocument, DocumentError> {
        ClientDocument::parse(text.as_bytes(), &URL.parse().unwrap())
    }

    #[test]
    fn only_where_users_are_sent_back_to_counts() {
        let found = parsed(&document(&json!({}))).unwrap();
        assert_eq!(found, ClientDocument { redirect_uris: vec!["http://127.0.0.1/cb".parse().unwrap()] });
        assert!(ClientDocument::is_loopback(found.redirect_uris[0].as_str()));
        let uris =
            json!({"redirect_uris": ["https://claude.example/cb", "http://localhost/cb", "https://claude.example/cb"]});
        let found = parsed(&document(&uris)).unwrap();
        assert_eq!(found.redirect_uris.len(), 2);
        assert!(!ClientDocument::is_loopback("https://claude.example/cb"));
        parsed(&document(&json!({"grant_types": null, "response_types": null}))).unwrap();
    }

    #[test]
    fn what_is_not_this_client_without_a_secret_is_refused() {
        use DocumentError as E;
        for (changes, expected) in [
            (json!({"client_id": null}), E::OtherClient),
            (json!({"client_id": "https://claude.example/client.json/"}), E::OtherClient),
            (json!({"client_id": "https://CLAUDE.example/client.json"}), E::OtherClient),
            (json!({"client_id": "https://claude.example:443/client.json"}), E::OtherClient),
            (json!({"client_id": "https://claude.example/./client.json"}), E::OtherClient),
            (json!({"client_id": [URL]}), E::OtherClient),
            (json!({"client_secret": "x"}), E::Secret),
            (json!({"client_secret_expires_at": 0}), E::Secret),
            (json!({"token_endpoint_auth_method": "client_secret_post"}), E::Secret),
            (json!({"token_endpoint_auth_method": "client_secret_basic"}), E::Secret),
            (json!({"token_endpoint_auth_method": "client_secret_jwt"}), E::Secret),
            (json!({"token_endpoint_auth_method": "private_key_jwt"}), E::Method),
            (json!({"token_endpoint_auth_method": null}), E::Method),
            (json!({"token_endpoint_auth_method": ["none"]}), E::Method),
            (json!({"grant_types": ["client_credentials"]}), E::Lacks("grant_types", "authorization_code")),
            (json!({"grant_types": "authorization_code"}), E::Lacks("grant_types", "authorization_code")),
            (json!({"response_types": ["token"]}), E::Lacks("response_types", "code")),
            (json!({"redirect_uris": null}), E::RedirectUris),
            (json!({"redirect_uris": []}), E::RedirectUris),
            (json!({"redirect_uris": "https://claude.example/cb"}), E::RedirectUris),
            (json!({"redirect_uris": ["http://claude.example/cb"]}), E::RedirectUris),
            (json!({"redirect_uris": ["https://claude.example/cb", "myapp://cb"]}), E::RedirectUris),
            (json!({"redirect_uris": vec!["https://claude.example/cb"; REDIRECT_URIS_MAX + 1]}), E::RedirectUris),
        ] {
            assert_eq!(parsed(&document(&changes)), Err(expected), "{changes}");
        }
        for text in ["", "[]", "null", "<html>", r#"{"client_id":"a","client_id":"b"}"#] {
            assert!(matches!(parsed(text), Err(E::Json(_))), "{text}");
        }
        let twice = document(&json!({})).replacen('{', &format!("{{\"client_id\":\"{URL}\","), 1);
        assert!(matches!(parsed(&twice), Err(E::Json(_))));
        let long = document(&json!({ "client_name": "x".repeat(DOCUMENT_BYTES_MAX) }));
        assert!(matches!(parsed(&long), Err(E::Json(JsonError::TooLarge(_)))));
    }
}
