//! Systems: what the active bundle's catalogue says and what was seen of it.
//! One file per endpoint; this one holds what they share.

use bailiwick_engine::live::Seen;
use bailiwick_pdp::catalogue::{HttpCredential, System, Upstream};
use bailiwick_ports::store::Quarantine;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Shared;

mod discover;
mod list;
mod propose;
mod quarantine;
mod show;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(show::show))
        .routes(routes!(discover::discover))
        .routes(routes!(propose::propose))
        .routes(routes!(quarantine::quarantine))
}

/// A system in short.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "System")]
pub(super) struct SystemView {
    /// Its name.
    name: String,
    /// For people.
    title: String,
    /// `development`, `staging` or `production`.
    environment: String,
    /// `low` or `high`.
    risk: String,
    /// Domains of data.
    domains: Vec<String>,
    /// The least permission that its integration needs.
    minimum: Vec<String>,
    /// How it is reached: the command or the URL, without any credential.
    upstream: String,
    /// Whether its credential comes from the vault.
    vault_secrets: Vec<String>,
    /// Seconds one call may take.
    call_timeout_s: u64,
    /// Seconds between two checks of its definitions.
    verify_every_s: u64,
    /// When they were last compared with the pinned ones; absent if never since start.
    #[schema(value_type = Option<String>, format = DateTime)]
    verified_at: Option<Timestamp>,
    /// Tools in quarantine.
    quarantined: Vec<String>,
    /// How many tools are pinned.
    tools: usize,
}

impl SystemView {
    pub(super) fn of(system: &System, seen: Option<&Seen>) -> Self {
        let (upstream, vault_secrets) = match &system.upstream {
            Upstream::Stdio { command, args, env: _, secret_env, shared: _ } => {
                let line = std::iter::once(command.as_str()).chain(args.iter().map(String::as_str));
                let secrets = secret_env.values().map(ToString::to_string).collect();
                (format!("stdio: {}", line.collect::<Vec<_>>().join(" ")), secrets)
            }
            Upstream::Client(kind) => (format!("client: {}", kind.as_str()), Vec::new()),
            Upstream::Http { url, credential, accounts } => {
                let own = credential.iter().filter_map(HttpCredential::secret);
                let client = accounts.iter().filter_map(|accounts| accounts.client.authentication.secret());
                (url.to_string(), own.chain(client).map(ToString::to_string).collect())
            }
        };
        Self {
            name: system.name.to_string(),
            title: system.title.clone(),
            environment: system.environment.to_string(),
            risk: system.risk.as_str().to_owned(),
            domains: system.domains.iter().map(ToString::to_string).collect(),
            minimum: system.minimum.iter().map(ToString::to_string).collect(),
            upstream,
            vault_secrets,
            call_timeout_s: system.call_timeout_s,
            verify_every_s: system.verify_every_s,
            verified_at: seen.and_then(|seen| seen.verified_at),
            quarantined: seen
                .map(|seen| seen.quarantined.keys().map(ToString::to_string).collect())
                .unwrap_or_default(),
            tools: system.tools.len(),
        }
    }
}

/// A tool whose definition is not the pinned one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "QuarantinedTool")]
pub(super) struct QuarantineView {
    /// Its system.
    system: String,
    /// Its name.
    tool: String,
    /// `changed`, `new` or `gone`.
    difference: String,
    /// The pinned digest; absent if the tool is new.
    pinned: Option<String>,
    /// The digest that was seen; absent if the tool is gone.
    seen: Option<String>,
    /// The pinned definition.
    #[schema(value_type = Option<Object>)]
    pinned_definition: Option<serde_json::Value>,
    /// The definition that was seen; never trusted.
    #[schema(value_type = Option<Object>)]
    seen_definition: Option<serde_json::Value>,
    /// When it was first seen.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
}

impl QuarantineView {
    pub(super) fn of(row: &Quarantine, system: Option<&System>) -> Self {
        let Quarantine { system: name, tool, pinned, seen, definition, since } = row;
        let difference = match (pinned, seen) {
            (Some(_), Some(_)) => "changed",
            (None, _) => "new",
            (Some(_), None) => "gone",
        };
        Self {
            system: name.to_string(),
            tool: tool.to_string(),
            difference: difference.to_owned(),
            pinned: pinned.map(|digest| digest.to_string()),
            seen: seen.map(|digest| digest.to_string()),
            pinned_definition: system.and_then(|system| system.tools.get(tool)).map(|tool| tool.definition.clone()),
            seen_definition: serde_json::from_str(definition).ok(),
            since: *since,
        }
    }
}
