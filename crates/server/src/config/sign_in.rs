//! `[[sign_in.oidc]]`: other providers by whose word people sign in.

use std::collections::BTreeMap;

use bailiwick_engine::{
    identities::{Admission, Authority},
    secrets::SIGN_IN_PREFIX,
};
use bailiwick_model::{
    directory::is_reserved,
    jwk::SigningAlgorithm,
    name::{Acr, SecretName},
};
use serde::Deserialize;
use url::Url;

use super::is_loopback_host;

/// Providers at a time: each is a button on the sign-in page.
const PROVIDERS_MAX: usize = 8;

/// Groups that a provider may speak of.
const GROUPS_MAX: usize = 100;

/// `[sign_in]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignInFile {
    #[serde(default)]
    pub(super) oidc: Vec<ProviderConfig>,
}

/// One provider, as written and checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// Its name in URLs.
    pub name: String,
    /// What the button says.
    pub title: Option<String>,
    /// Its issuer, byte for byte.
    pub issuer: String,
    /// Who the broker is there.
    pub client_id: String,
    /// Where the client's secret lies in the vault; without it the broker proves itself by its own signing key.
    pub client_secret: Option<SecretName>,
    /// What the provider wants as audience of such a proof, if not its issuer.
    pub assertion_audience: Option<String>,
    /// Scopes besides `openid`.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// What its ID tokens may be signed with.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<SigningAlgorithm>,
    /// Claims that must have a value.
    #[serde(default)]
    pub require: BTreeMap<String, String>,
    /// Authentication context classes about which it is believed, and what each counts as here.
    #[serde(default)]
    pub acr: BTreeMap<Acr, Acr>,
    /// Methods about which it is believed, and the class that each counts as.
    #[serde(default)]
    pub amr: BTreeMap<String, Acr>,
    /// Groups about which it is believed.
    pub groups: Option<GroupsConfig>,
    /// Whether somebody who is unknown is made known.
    #[serde(default)]
    pub create: bool,
    /// What leads to somebody who was provisioned, the first time.
    pub link: Option<Link>,
}

/// How groups of a provider become groups here.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupsConfig {
    /// The claim that lists them.
    pub claim: String,
    /// What each is called here.
    pub map: BTreeMap<String, String>,
}

/// What a provider is believed about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// A verified address.
    Email,
    /// `preferred_username`, against the directory's `userName`.
    UserName,
}

/// What nearly every provider knows.
fn scopes() -> Vec<String> {
    ["profile", "email"].map(str::to_owned).to_vec()
}

/// What every provider signs with unless it is told otherwise (OpenID Connect Core §15.1).
fn algorithms() -> Vec<SigningAlgorithm> {
    vec![SigningAlgorithm::RS256]
}

impl ProviderConfig {
    /// Whom it lets in.
    pub fn admission(&self) -> Admission {
        let authority = self.link.map(|link| match link {
            Link::Email => Authority::Email,
            Link::UserName => Authority::UserName,
        });
        Admission { create: self.create, authority }
    }

    fn check(&self) -> Result<(), (String, &'static str)> {
        let slug = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(slug) {
            let message = format!("`{}` is no name for a provider", self.name);
            return Err((message, "use lower-case letters, digits and `-`: it stands in a URL"));
        }
        let url = Url::parse(&self.issuer).ok().filter(|url| {
            let way = url.scheme() == "https" || (url.scheme() == "http" && is_loopback_host(url));
            way && url.query().is_none() && url.fragment().is_none() && url.username().is_empty()
        });
        if url.is_none() {
            let message = format!("`{}` cannot be the issuer of `{}`", self.issuer, self.name);
            return Err((message, "write it as the provider does, byte for byte: `https://…`, without query"));
        }
        if self.client_id.is_empty() || self.algorithms.is_empty() {
            let message = format!("provider `{}` has no client id, or admits no algorithm", self.name);
            return Err((message, "register the broker there, and leave `algorithms` out for RS256"));
        }
        if self.client_secret.is_some() && self.assertion_audience.is_some() {
            let message = format!("provider `{}` has both a secret and an audience of assertions", self.name);
            return Err((message, "keep `client_secret`, or leave it out and use the broker's own key"));
        }
        if self.client_secret.as_ref().is_some_and(|name| !name.as_str().starts_with(SIGN_IN_PREFIX)) {
            let message = format!("the secret of provider `{}` is none for signing in", self.name);
            return Err((message, "call it `sign_in/<name>`, and put it in with `bailiwick secrets put`"));
        }
        let ours = self.groups.iter().flat_map(|groups| groups.map.values());
        if let Some(group) = ours.clone().find(|group| is_reserved(group)) {
            let message = format!("provider `{}` would give the group `{group}`, which is reserved", self.name);
            return Err((message, "`bailiwick users administrator` makes somebody an administrator"));
        }
        let unfit = |group: &&String| group.is_empty() || group.trim() != *group || group.contains(char::is_control);
        if ours.clone().count() > GROUPS_MAX || ours.clone().any(|group| unfit(&group)) {
            let message =
                format!("provider `{}` gives more than {GROUPS_MAX} groups, or one without a name", self.name);
            return Err((message, "name those that policies name"));
        }
        Ok(())
    }
}

/// Checks all of them.
pub(super) fn checked(all: Vec<ProviderConfig>) -> Result<Vec<ProviderConfig>, (String, &'static str)> {
    if all.len() > PROVIDERS_MAX {
        return Err((format!("there are more than {PROVIDERS_MAX} providers"), "keep those that people use"));
    }
    for (index, provider) in all.iter().enumerate() {
        provider.check()?;
        let twin = |other: &ProviderConfig| other.name == provider.name || other.issuer == provider.issuer;
        if all.iter().take(index).any(twin) {
            let message = format!("provider `{}` has the name or issuer of another one", provider.name);
            return Err((message, "one entry for each provider"));
        }
    }
    Ok(all)
}
