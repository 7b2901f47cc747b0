//! This broker as the client of an authorization server that the bundle names.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::{
    digest::Digest,
    name::{Scope, SecretName, SystemName},
};
use url::{Host, Url};

use super::{file::OauthClientEntry, upstream_check::is_loopback};

/// Scopes that one system may be asked for.
const SCOPES_MAX: usize = 64;
/// Bytes of a client id or resource.
const TEXT_BYTES_MAX: usize = 2_048;

/// A client, and the server that knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthClient {
    /// The server's issuer: what `iss` in its answers must be (RFC 9207), and the audience of our assertions.
    pub issuer: String,
    /// Where tokens are given and renewed.
    pub token_endpoint: Url,
    /// Our name there.
    pub client_id: String,
    /// How we prove it.
    pub authentication: ClientAuthentication,
    /// What is asked for; none leaves it to the server.
    pub scopes: BTreeSet<Scope>,
    /// What tokens are for (RFC 8707); `None` is a server that does not know resources.
    pub resource: Option<String>,
}

/// How this broker proves who it is to a server of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// By an assertion that our own token key signs; the server knows our `jwks_uri`.
    PrivateKeyJwt,
    /// By a secret in the header.
    SecretBasic(SecretName),
    /// By a secret in the body.
    SecretPost(SecretName),
    /// Not at all: a public client, which PKCE alone protects.
    None,
}

impl ClientAuthentication {
    /// The secret of the vault that it needs.
    pub const fn secret(&self) -> Option<&SecretName> {
        match self {
            Self::SecretBasic(secret) | Self::SecretPost(secret) => Some(secret),
            Self::PrivateKeyJwt | Self::None => None,
        }
    }
}

impl OauthClient {
    /// What tokens are bound to that are sent to `upstream`.
    pub fn binding(&self, upstream: &Url) -> Digest {
        let parts = [
            self.issuer.as_str(),
            self.token_endpoint.as_str(),
            &self.client_id,
            self.resource.as_deref().unwrap_or_default(),
            upstream.as_str(),
        ];
        let text: String = parts.iter().map(|part| format!("{}:{part}\n", part.len())).collect();
        Digest::of(text.as_bytes())
    }

    /// Every text of it by its key, as the file has it.
    pub fn written(&self) -> BTreeMap<&'static str, String> {
        let (method, secret) = match &self.authentication {
            ClientAuthentication::PrivateKeyJwt => ("private_key_jwt", None),
            ClientAuthentication::SecretBasic(secret) => ("client_secret_basic", Some(secret)),
            ClientAuthentication::SecretPost(secret) => ("client_secret_post", Some(secret)),
            ClientAuthentication::None => ("none", None),
        };
        let mut all = BTreeMap::from([
            ("issuer", self.issuer.clone()),
            ("token_endpoint", self.token_endpoint.to_string()),
            ("client_id", self.client_id.clone()),
            ("client_authentication", method.to_owned()),
            // An empty one says that the server knows no resources; none would say the system's own URL.
            ("resource", self.resource.clone().unwrap_or_default()),
        ]);
        all.extend(secret.map(|secret| ("secret", secret.to_string())));
        all
    }
}

/// What is wrong with an entry: a code and words.
pub(super) type Faults = Vec<(&'static str, String)>;

/// Checks what the file says of a client.
pub(super) fn check(
    system: &SystemName,
    upstream: &Url,
    entry: OauthClientEntry,
    faults: &mut Faults,
) -> Option<OauthClient> {
    let OauthClientEntry { issuer, token_endpoint, client_id, client_authentication, secret, scopes, resource } = entry;
    if endpoint(faults, "issuer", &issuer, false)?.query().is_some() {
        faults.push(("accounts-url", "`issuer` has a query".to_owned()));
    }
    let token_endpoint = endpoint(faults, "token_endpoint", &token_endpoint, true)?;
    if !plain(&client_id) {
        faults.push(("accounts-client", "`client_id` is missing or no plain text".to_owned()));
    }
    if scopes.len() > SCOPES_MAX {
        faults.push(("accounts-scopes", format!("at most {SCOPES_MAX} `scopes`")));
    }
    let resource = match resource.as_deref() {
        Some("") => None,
        None => Some(upstream.to_string()),
        Some(text) => {
            if !plain(text) || !Url::parse(text).is_ok_and(|url| url.fragment().is_none()) {
                faults.push(("accounts-url", "`resource` is no absolute URL without fragment".to_owned()));
            }
            Some(text.to_owned())
        }
    };
    let Some(authentication) = authentication(system, client_authentication.as_deref(), secret) else {
        let message = "`client_authentication` is `private_key_jwt`, `none`, or `client_secret_basic` or \
                       `client_secret_post` with a `secret` under the system's own name";
        faults.push(("accounts-client", message.to_owned()));
        return None;
    };
    Some(OauthClient { issuer, token_endpoint, client_id, authentication, scopes, resource })
}

fn authentication(
    system: &SystemName,
    method: Option<&str>,
    secret: Option<SecretName>,
) -> Option<ClientAuthentication> {
    let own = |secret: &SecretName| secret.as_str().split('/').next() == Some(system.as_str());
    match (method, secret) {
        (None | Some("private_key_jwt"), None) => Some(ClientAuthentication::PrivateKeyJwt),
        (Some("none"), None) => Some(ClientAuthentication::None),
        (Some("client_secret_basic"), Some(secret)) if own(&secret) => Some(ClientAuthentication::SecretBasic(secret)),
        (Some("client_secret_post"), Some(secret)) if own(&secret) => Some(ClientAuthentication::SecretPost(secret)),
        _ => None,
    }
}

fn plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control)
}

/// Where a browser may be sent or, if it is `fetched`, a secret of ours: the fetcher takes no name by plain HTTP.
pub(super) fn endpoint(faults: &mut Faults, key: &str, text: &str, fetched: bool) -> Option<Url> {
    let fits = |url: &Url| {
        let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none() && url.has_host();
        let literal = !matches!(url.host(), Some(Host::Domain(_)));
        bare && (url.scheme() == "https" || url.scheme() == "http" && is_loopback(url) && (literal || !fetched))
    };
    let url = Url::parse(text).ok().filter(fits);
    if url.is_none() {
        let what = "is no `https` URL without user and fragment (`http` to a loopback address is taken too)";
        faults.push(("accounts-url", format!("`{key}` {what}")));
    }
    url
}
