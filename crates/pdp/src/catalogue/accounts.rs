//! Systems that hold their own users: where a user's account is connected, and as which client of theirs. Declared in the
//! bundle, endpoints and all, so that nothing which a server says can send a token elsewhere.

use std::collections::BTreeMap;

use bailiwick_model::{digest::Digest, name::SystemName};
use url::Url;

use super::{
    file::AccountsEntry,
    oauth_client::{self, Faults, OauthClient, endpoint},
};

/// How users connect their accounts at one system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    /// Us, as the client of its authorization server.
    pub client: OauthClient,
    /// Where users are sent to.
    pub authorization_endpoint: Url,
    /// Where tokens are taken back (RFC 7009), if anywhere.
    pub revocation_endpoint: Option<Url>,
}

impl Accounts {
    /// What tokens are bound to: given by another server, to another client or for another place they are other tokens,
    /// and a bundle that names another one must not send them there.
    pub fn binding(&self, upstream: &Url) -> Digest {
        self.client.binding(upstream)
    }

    /// Every text of it by its key, as the file has it; for whoever writes the file anew.
    pub fn written(&self) -> BTreeMap<&'static str, String> {
        let mut all = self.client.written();
        all.insert("authorization_endpoint", self.authorization_endpoint.to_string());
        all.extend(self.revocation_endpoint.as_ref().map(|url| ("revocation_endpoint", url.to_string())));
        all
    }
}

/// Checks `[upstream.accounts]`.
pub(super) fn check(
    system: &SystemName,
    upstream: &Url,
    entry: AccountsEntry,
    faults: &mut Faults,
) -> Option<Accounts> {
    let AccountsEntry { authorization_endpoint, revocation_endpoint, client } = entry;
    let authorization_endpoint = endpoint(faults, "authorization_endpoint", &authorization_endpoint, false)?;
    let revocation_endpoint = match revocation_endpoint {
        Some(text) => Some(endpoint(faults, "revocation_endpoint", &text, true)?),
        None => None,
    };
    let client = oauth_client::check(system, upstream, client, faults)?;
    Some(Accounts { client, authorization_endpoint, revocation_endpoint })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::ClientAuthentication;

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
        assert_eq!((faults, accounts.client.resource.as_deref()), (Vec::new(), Some("https://crm.example/mcp")));
        assert_eq!(accounts.client.authentication, ClientAuthentication::PrivateKeyJwt);
        let (none, _) =
            read("resource = \"\"\nclient_authentication = \"client_secret_basic\"\nsecret = \"crm/client\"");
        let none = none.unwrap();
        assert_eq!((none.client.resource, none.client.authentication.secret().unwrap().as_str()), (None, "crm/client"));
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
