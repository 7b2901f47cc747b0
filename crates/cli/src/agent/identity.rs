//! What an agent proves itself by: a key that signs, or the certificate of its connection. Reads files that only their
//! owner may read; nothing of a key is ever printed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bailiwick_keys::{
    agent_key::AgentKey,
    secret_file::{self, Access},
};
use bailiwick_model::{jwk::SigningAlgorithm, name::AgentName, secret::Secret};
use serde_json::Value;
use url::Url;

use super::{
    pkcs11,
    tokens::{fresh_id, now, unreachable},
};
use crate::{
    arguments::Credential,
    exit::{Exit, Failure},
};

/// Bytes of a platform's token.
const TOKEN_BYTES_MAX: usize = 16 * 1_024;
/// How long the broker may take over its metadata.
const METADATA_TIME_MAX: Duration = Duration::from_secs(15);

/// An agent, ready to prove who it is.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) http: reqwest::Client,
    pub(crate) proof: Proof,
}

/// By what.
#[derive(Clone)]
pub(crate) enum Proof {
    /// A key that signs assertions and proofs.
    Key(Arc<AgentKey>),
    /// The certificate that its connections show (RFC 8705).
    Certificate,
    /// What its platform signs for it, in this file, and a key of this run for proofs.
    Platform(PathBuf, Arc<AgentKey>),
}

impl Identity {
    /// Reads what the command line names.
    pub(crate) fn of(credential: &Credential) -> Result<Self, Failure> {
        match (&credential.identity_token, &credential.key) {
            (Some(file), _) => {
                platform_token(file)?;
                let key = AgentKey::generate(SigningAlgorithm::ES256);
                let key = Arc::new(key.map_err(|error| Failure::new(error.to_string()))?);
                Ok(Self { http: http_client()?, proof: Proof::Platform(file.clone(), key) })
            }
            (None, Some(key)) => Self::read(key, credential.certificate.as_deref()),
            (None, None) => Err(Failure::new("nothing says by what the agent proves itself").exit(Exit::Usage)),
        }
    }

    /// Reads a key, and the certificate of it that connections show, if there is one.
    pub(crate) fn read(key: &Path, certificate: Option<&Path>) -> Result<Self, Failure> {
        let Some(certificate) = certificate else { return Self::of_key(key) };
        if key.to_str().is_some_and(is_device) {
            let failure = Failure::new("a certificate is shown with a key in a file").exit(Exit::Usage);
            return Err(failure.hint("leave `--certificate` out: the key in the device signs by itself"));
        }
        let chain = std::fs::read_to_string(certificate).map_err(|error| Failure::file(certificate, &error))?;
        let secret = secret_file::read(key, Access::Owner).map_err(|error| Failure::new(error.to_string()))?;
        let pem = Secret::new([chain.as_bytes(), b"\n", secret.expose()].concat());
        let shown = reqwest::Identity::from_pem(pem.expose()).map_err(|_| {
            let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
            Failure::new(format!("`{certificate}` and `{key}` are no certificate and its private key, both in PEM"))
        })?;
        Ok(Self { http: built(builder().identity(shown))?, proof: Proof::Certificate })
    }

    /// An agent with a key.
    pub(crate) fn of_key(path: &Path) -> Result<Self, Failure> {
        Ok(Self { http: http_client()?, proof: Proof::Key(read_key(path)?) })
    }

    /// What of a form authenticates it as `agent` at `issuer`: an assertion, or its name beside the connection's certificate.
    pub(crate) fn authentication(
        &self,
        issuer: &str,
        agent: &AgentName,
    ) -> Result<Vec<(&'static str, String)>, Failure> {
        let assertion = match &self.proof {
            Proof::Key(key) => key
                .sign_client_assertion(issuer, agent, now(), &fresh_id())
                .map_err(|error| Failure::new(error.to_string()))?,
            // The platform replaces it before it ends.
            Proof::Platform(file, _) => platform_token(file)?,
            Proof::Certificate => return Ok(vec![("client_id", agent.to_string())]),
        };
        Ok(vec![
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()),
            ("client_assertion", assertion),
        ])
    }

    /// The key that signs proofs, if tokens are bound to one.
    pub(crate) fn proof_key(&self) -> Option<&AgentKey> {
        match &self.proof {
            Proof::Key(key) | Proof::Platform(_, key) => Some(key),
            Proof::Certificate => None,
        }
    }

    /// Where a broker is asked by this agent: its listener for certificates, if that is another.
    pub(crate) async fn origin(&self, issuer: &str) -> Result<String, Failure> {
        match self.proof {
            Proof::Key(_) | Proof::Platform(..) => Ok(issuer.to_owned()),
            Proof::Certificate => {
                let url = format!("{issuer}/.well-known/oauth-authorization-server");
                let answer = self.http.get(url).timeout(METADATA_TIME_MAX).send().await;
                let answer = answer.map_err(|error| unreachable(issuer, &error))?;
                listener_of(issuer, &answer.json().await.map_err(|error| unreachable(issuer, &error))?)
            }
        }
    }
}

/// The token in a file: a compact JWT, with whatever line break is at its end.
fn platform_token(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::file(file, &error))?;
    let token = text.trim();
    if token.len() > TOKEN_BYTES_MAX || token.split('.').count() != 3 || !token.bytes().all(|b| b.is_ascii_graphic()) {
        let hint = "it is the token itself, of three parts with dots between them, and nothing else";
        return Err(Failure::new(format!("`{}` holds no platform's token", file.display())).hint(hint));
    }
    Ok(token.to_owned())
}

/// Where the metadata of a broker says that certificates are shown (RFC 8705 §5); on the issuer's own where a proxy asks
/// for them.
fn listener_of(issuer: &str, metadata: &Value) -> Result<String, Failure> {
    if metadata.get("issuer").and_then(Value::as_str) != Some(issuer) {
        let hint = "name it as it calls itself in `issuer` of its metadata";
        return Err(Failure::new(format!("the broker does not call itself `{issuer}`")).hint(hint));
    }
    if metadata.get("tls_client_certificate_bound_access_tokens").and_then(Value::as_bool) != Some(true) {
        let hint =
            "its `bailiwick.toml` needs `[listen.mtls]`; or leave out `--certificate` and prove yourself by a key";
        return Err(Failure::new(format!("the broker at `{issuer}` asks for no certificates")).hint(hint));
    }
    let Some(alias) = metadata.pointer("/mtls_endpoint_aliases/token_endpoint").and_then(Value::as_str) else {
        return Ok(issuer.to_owned());
    };
    let url = Url::parse(alias).ok().filter(|url| url.scheme() == "https" && url.has_host());
    let url = url.ok_or_else(|| {
        Failure::new(format!("`{}` is no address to show a certificate at", crate::output::clean(alias)))
    })?;
    Ok(url.origin().ascii_serialization())
}

/// The HTTP client of an agent: no redirects, so that a proof goes only where it was made for.
pub(crate) fn http_client() -> Result<reqwest::Client, Failure> {
    built(builder())
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(10))
}

fn built(client: reqwest::ClientBuilder) -> Result<reqwest::Client, Failure> {
    client.build().map_err(|error| Failure::new(format!("cannot make an HTTP client: {error}")))
}

/// Reads an agent's private key, or opens it in its device. A URI is told from a file here and not by the parser of
/// arguments, which repeats what it refuses.
pub(crate) fn read_key(place: &Path) -> Result<Arc<AgentKey>, Failure> {
    if let Some(uri) = place.to_str().filter(|text| is_device(text)) {
        return pkcs11::open(uri).map(Arc::new);
    }
    AgentKey::load(place).map(Arc::new).map_err(|error| {
        Failure::new(error.to_string()).hint("make one with `bailiwick agents register --generate-key FILE`")
    })
}

/// Whether a place is a key in a device (RFC 7512).
pub(crate) fn is_device(place: &str) -> bool {
    place.starts_with(pkcs11::SCHEME)
}

/// The bridges that clients start prove themselves by a key.
pub(crate) fn by_key_alone(credential: &Credential) -> Result<&Path, Failure> {
    match credential {
        Credential { key: Some(key), certificate: None, identity_token: None, .. }
            if !key.to_str().is_some_and(is_device) =>
        {
            Ok(key)
        }
        _ => Err(Failure::new("`connect` writes bridges that prove themselves by a key in a file")
            .hint("connect with such a key, then change how `bridge` proves itself in the client's file")
            .exit(Exit::Usage)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_platforms_token_is_a_token_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            platform_token(&file).ok()
        };
        assert_eq!(read("a.b.c\n").as_deref(), Some("a.b.c"));
        for bad in
            ["", "a.b", "a.b.c d", "a.b.c\nd", "{\"token\":\"a.b.c\"}x x", &format!("a.b.{}", "c".repeat(20_000))]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert!(platform_token(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_certificate_is_shown_where_the_broker_asks_for_it() {
        const ISSUER: &str = "https://b.example";
        let check = |metadata: Value, expected: Option<&str>| {
            let found = listener_of(ISSUER, &metadata).ok();
            assert_eq!(found.as_deref(), expected, "{metadata}");
        };
        let asks = json!({ "issuer": ISSUER, "tls_client_certificate_bound_access_tokens": true });
        check(asks.clone(), Some(ISSUER));
        let with = |endpoint: &str| {
            let mut metadata = asks.clone();
            metadata["mtls_endpoint_aliases"] = json!({ "token_endpoint": endpoint });
            metadata
        };
        check(with("https://b.example:8421/oauth/token"), Some("https://b.example:8421"));
        check(with("http://b.example:8421/oauth/token"), None);
        check(with("nowhere"), None);
        check(json!({ "issuer": ISSUER }), None);
        check(json!({ "issuer": "https://c.example", "tls_client_certificate_bound_access_tokens": true }), None);
    }
}
