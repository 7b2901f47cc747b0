//! Systems that hold their own users: where a user's account is connected, and as which client of theirs. Declared in the
//! bundle, endpoints and all, so that nothing which a server says can send a token elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::{
    digest::Digest,
    name::{Scope, SecretName, SystemName},
};
use url::{Host, Url};

use super::{file::AccountsEntry, upstream_check::is_loopback};

/// Scopes that one system may be asked for.
const SCOPES_MAX: usize = 64;
/// Bytes of a client id or resource.
const TEXT_BYTES_MAX: usize = 2_048;

/// How users connect their accounts at one system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    /// The issuer of its authorization server: what `iss` in its answers must be (RFC 9207).
    pub issuer: String,
    /// Where users are sent to.
    pub authorization_endpoint: Url,
    /// Where tokens are given and renewed.
    pub token_endpoint: Url,
    /// Where they are taken back (RFC 7009), if anywhere.
    pub revocation_endpoint: Option<Url>,
    /// Our name there.
    pub client_id: String,
    /// How we prove it.
    pub client_authentication: ClientAuthentication,
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

impl Accounts {
    /// What tokens are bound to: given by another server, to another client or for another place they are other tokens,
    /// and a bundle that names another one must not send them there.
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

    /// Every text of it by its key, as the file has it; for whoever writes the file anew.
    pub fn written(&self) -> BTreeMap<&'static str, String> {
        let (method, secret) = match &self.client_authentication {
            ClientAuthentication::PrivateKeyJwt => ("private_key_jwt", None),
            ClientAuthentication::SecretBasic(secret) => ("client_secret_basic", Some(secret)),
            ClientAuthentication::SecretPost(secret) => ("client_secret_post", Some(secret)),
            ClientAuthentication::None => ("none", None),
        };
        let mut all = BTreeMap::from([
            ("issuer", self.issuer.clone()),
            ("authorization_endpoint", self.authorization_endpoint.to_string()),
            ("token_endpoint", self.token_endpoint.to_string()),
            ("client_id", self.client_id.clone()),
            ("client_authentication", method.to_owned()),
        ]);
        all.extend(self.revocation_endpoint.as_ref().map(|url| ("revocation_endpoint", url.to_string())));
        all.extend(secret.map(|secret| ("secret", secret.to_string())));
        all.extend(self.resource.clone().map(|resource| ("resource", resource)));
        all
    }
}

/// What is wrong with an entry: a code and words.
pub(super) type Faults = Vec<(&'static str, String)>;

/// Checks `[upstream.accounts]`.
pub(super) fn check(
    system: &SystemName,
    upstream: &Url,
    entry: AccountsEntry,
    faults: &mut Faults,
) -> Option<Accounts> {
    let AccountsEntry {
        issuer,
        authorization_endpoint,
        token_endpoint,
        revocation_endpoint,
        client_id,
        client_authentication,
        secret,
        scopes,
        resource,
    } = entry;
    if endpoint(faults, "issuer", &issuer, false)?.query().is_some() {
        faults.push(("accounts-url", "`issuer` has a query".to_owned()));
    }
    let authorization_endpoint = endpoint(faults, "authorization_endpoint", &authorization_endpoint, false)?;
    let token_endpoint = endpoint(faults, "token_endpoint", &token_endpoint, true)?;
    let revocation_endpoint = match revocation_endpoint {
        Some(text) => Some(endpoint(faults, "revocation_endpoint", &text, true)?),
        None => None,
    };
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
    let client_authentication = authentication(system, client_authentication.as_deref(), secret);
    let Some(client_authentication) = client_authentication else {
        let message = "`client_authentication` is `private_key_jwt`, `none`, or `client_secret_basic` or \
                       `client_secret_post` with a `secret` under the system's own name";
        faults.push(("accounts-client", message.to_owned()));
        return None;
    };
    Some(Accounts {
        issuer,
        authorization_endpoint,
        token_endpoint,
        revocation_endpoint,
        client_id,
        client_authentication,
        scopes,
        resource,
    })
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
fn endpoint(faults: &mut Faults, key: &str, text: &str, fetched: bool) -> Option<Url> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        issuer = "https://login.example"
        authorization_endpoint = "https://login.example/authorize"
        token_endpoint = "https://login.example/token"
        client_id = "bailiwick"
    "#;

    fn read(changes: &str) -> (Option<Accounts>, Faults) {
        let mut table: toml::Table = GOOD.parse().unwrap();
        table.extend(changes.parse::<toml::Table>().unwrap());
        let (system, mut faults) = ("crm".parse().unwrap(), Vec::new());
        let upstream = "https://crm.example/mcp".parse().unwrap();
        let accounts = check(&system, &upstream, table.try_into().unwrap(), &mut faults);
        (accounts, faults)
    }

    #[test]
    fn accounts_are_declared_whole() {
        let (accounts, faults) = read("");
        let accounts = accounts.unwrap();
        assert_eq!((faults, accounts.resource.as_deref()), (Vec::new(), Some("https://crm.example/mcp")));
        assert_eq!(accounts.client_authentication, ClientAuthentication::PrivateKeyJwt);
        let (none, _) =
            read("resource = \"\"\nclient_authentication = \"client_secret_basic\"\nsecret = \"crm/client\"");
        let none = none.unwrap();
        assert_eq!((none.resource, none.client_authentication.secret().unwrap().as_str()), (None, "crm/client"));
    }

    #[test]
    fn no_secret_goes_in_the_clear_or_under_another_systems_name() {
        for (bad, code) in [
            ("issuer = \"http://login.example\"", "accounts-url"),
            ("issuer = \"https://login.example/?x\"", "accounts-url"),
            ("authorization_endpoint = \"javascript:alert(1)\"", "accounts-url"),
            ("token_endpoint = \"http://login.example/token\"", "accounts-url"),
            ("token_endpoint = \"http://localhost/token\"", "accounts-url"),
            ("token_endpoint = \"https://user:pw@login.example/token\"", "accounts-url"),
            ("token_endpoint = \"https://login.example/token#x\"", "accounts-url"),
            ("revocation_endpoint = \"ftp://login.example/revoke\"", "accounts-url"),
            ("resource = \"crm\"", "accounts-url"),
            ("client_id = \"\"", "accounts-client"),
            ("client_authentication = \"client_secret_basic\"", "accounts-client"),
            ("client_authentication = \"client_secret_basic\"\nsecret = \"hr/client\"", "accounts-client"),
            ("secret = \"crm/client\"", "accounts-client"),
            ("client_authentication = \"tls_client_auth\"", "accounts-client"),
        ] {
            let (_, faults) = read(bad);
            assert_eq!(faults.iter().map(|(code, _)| *code).collect::<Vec<_>>(), [code], "{bad}");
        }
    }

    #[test]
    fn tokens_are_bound_to_server_client_resource_and_place() {
        let upstream = |text: &str| text.parse::<Url>().unwrap();
        let of = |changes: &str, at: &str| read(changes).0.unwrap().binding(&upstream(at));
        let here = "https://crm.example/mcp";
        let binding = of("", here);
        assert_eq!(of("scopes = [\"a\"]\nrevocation_endpoint = \"https://login.example/r\"", here), binding);
        for changes in [
            "issuer = \"https://other.example\"",
            "token_endpoint = \"https://other.example/token\"",
            "client_id = \"other\"",
            "resource = \"https://other.example/\"",
        ] {
            assert_ne!(of(changes, here), binding, "{changes}");
        }
        assert_ne!(of("resource = \"https://crm.example/mcp\"", "https://other.example/mcp"), binding);
    }
}
