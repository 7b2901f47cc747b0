//! The shape of `systems/<name>.toml` and `systems/<name>.tools.json` on disk.
//! Shapes only: what they mean is checked elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use bailiwick_model::{
    agent::Environment,
    digest::Digest,
    name::{DataDomain, Fact, Scope, SecretName},
    operation::{ActionClass, ActionTag},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};
use serde_json::Value;
use toml::Spanned;

use super::{ClientKind, Risk};
use crate::normalise::Normaliser;

/// `systems/<name>.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SystemFile {
    pub(super) title: Option<String>,
    pub(super) environment: Option<Environment>,
    pub(super) risk: Option<Risk>,
    #[serde(default)]
    pub(super) domains: Vec<DataDomain>,
    pub(super) step_up: Option<Spanned<StepUpEntry>>,
    #[serde(default)]
    pub(super) minimum: Vec<Spanned<Scope>>,
    pub(super) upstream: Spanned<UpstreamEntry>,
    #[serde(default)]
    pub(super) tools: BTreeMap<Spanned<String>, ToolEntry>,
}

/// `[upstream]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamEntry {
    pub(super) stdio: Option<Vec<String>>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) secret_env: BTreeMap<String, SecretName>,
    pub(super) shared: Option<bool>,
    pub(super) url: Option<String>,
    pub(super) client: Option<ClientKind>,
    pub(super) credential: Option<CredentialEntry>,
    pub(super) client_credentials: Option<OauthClientEntry>,
    pub(super) accounts: Option<AccountsEntry>,
    #[serde(default)]
    pub(super) danger_plain_http: bool,
    pub(super) call_timeout_s: Option<u64>,
    pub(super) verify_every_s: Option<u64>,
}

/// `credential = { … }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CredentialEntry {
    pub(super) header: String,
    #[serde(default)]
    pub(super) prefix: String,
    pub(super) secret: SecretName,
}

/// `[upstream.accounts]`. One table with what stands of the client: it knows every key that may be there.
#[derive(Debug, Deserialize)]
#[serde(from = "AccountsTable")]
pub(super) struct AccountsEntry {
    pub(super) authorization_endpoint: String,
    pub(super) revocation_endpoint: Option<String>,
    pub(super) client: OauthClientEntry,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountsTable {
    authorization_endpoint: String,
    revocation_endpoint: Option<String>,
    issuer: String,
    token_endpoint: String,
    client_id: String,
    client_authentication: Option<String>,
    secret: Option<SecretName>,
    #[serde(default)]
    scopes: BTreeSet<Scope>,
    resource: Option<String>,
}

impl From<AccountsTable> for AccountsEntry {
    fn from(table: AccountsTable) -> Self {
        let AccountsTable {
            authorization_endpoint,
            revocation_endpoint,
            issuer,
            token_endpoint,
            client_id,
            client_authentication,
            secret,
            scopes,
            resource,
        } = table;
        let client =
            OauthClientEntry { issuer, token_endpoint, client_id, client_authentication, secret, scopes, resource };
        Self { authorization_endpoint, revocation_endpoint, client }
    }
}

/// `[upstream.client_credentials]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OauthClientEntry {
    pub(super) issuer: String,
    pub(super) token_endpoint: String,
    pub(super) client_id: String,
    pub(super) client_authentication: Option<String>,
    pub(super) secret: Option<SecretName>,
    #[serde(default)]
    pub(super) scopes: BTreeSet<Scope>,
    /// The upstream's URL unless it says otherwise; empty is none.
    pub(super) resource: Option<String>,
}

/// `[tools.<name>]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolEntry {
    pub(super) class: ActionClass,
    #[serde(default)]
    pub(super) tags: Vec<ActionTag>,
    pub(super) step_up: Option<StepUpEntry>,
    pub(super) definition: Option<Digest>,
    pub(super) resource: Option<ResourceEntry>,
    #[serde(default)]
    pub(super) each: OneOrMore,
    #[serde(default)]
    pub(super) normalise: BTreeMap<String, Normaliser>,
    #[serde(default)]
    pub(super) decimal: Vec<String>,
    pub(super) effect: Option<EffectEntry>,
    #[serde(default)]
    pub(super) facts: FactsEntry,
    #[serde(default)]
    pub(super) field_classes: BTreeMap<String, Vec<String>>,
    /// `"declared"`, or a mapping.
    pub(super) authzen: Option<Value>,
}

/// `resource = { … }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResourceEntry {
    #[serde(rename = "type")]
    pub(super) type_name: String,
    #[serde(default)]
    pub(super) id: OneOrMore,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, String>,
}

/// `step_up = { … }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepUpEntry {
    #[serde(default)]
    pub(super) acr: OneOrMore,
    pub(super) max_age_s: Option<u32>,
}

/// `effect = { … }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EffectEntry {
    pub(super) records: Option<RecordsEntry>,
    #[serde(default)]
    pub(super) reversible: bool,
}

/// `facts = { … }`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FactsEntry {
    #[serde(default)]
    pub(super) touched: Vec<Fact>,
    #[serde(default)]
    pub(super) completed: Vec<Fact>,
}

/// `"path"` or `["source", "destination"]`.
#[derive(Debug, Default)]
pub(super) struct OneOrMore(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = OneOrMore;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an argument, or a list of arguments")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<OneOrMore, E> {
                Ok(OneOrMore(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<OneOrMore, A::Error> {
                let mut all = Vec::new();
                while let Some(name) = names.next_element()? {
                    all.push(name);
                }
                Ok(OneOrMore(all))
            }
        }
        deserializer.deserialize_any(Names)
    }
}

/// `1`, `"len:ids"` or `"input:limit"`.
#[derive(Debug)]
pub(super) enum RecordsEntry {
    Exactly(i64),
    From(String),
}

impl<'de> Deserialize<'de> for RecordsEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Records;
        impl Visitor<'_> for Records {
            type Value = RecordsEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, `len:<argument>` or `input:<argument>`")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<RecordsEntry, E> {
                Ok(RecordsEntry::Exactly(number))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RecordsEntry, E> {
                Ok(RecordsEntry::From(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Records)
    }
}

/// `systems/<name>.tools.json`.
#[derive(Debug, Default, serde::Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LockFile {
    #[serde(default)]
    pub(crate) protocol_version: String,
    #[serde(default)]
    pub(crate) server_info: Value,
    #[serde(default)]
    pub(crate) instructions: Option<String>,
    #[serde(default)]
    pub(crate) tools: Vec<Value>,
    #[serde(default)]
    pub(crate) prompts: Vec<Value>,
}
