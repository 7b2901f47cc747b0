//! The form of a scenario file. What it means is said by the parent module.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::{
    agent::Environment,
    authentication::Authentication,
    name::{Acr, ActionName, Fact, PolicyId, RoleName, Scope, TemplateName},
    safe_mode::SafeModeScope,
    task::Pin,
};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use toml::Spanned;

/// A whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScenarioFile {
    /// A few words.
    pub(super) title: String,
    /// What it shows and why that matters; read by people only.
    #[serde(default, rename = "about")]
    pub(super) _about: String,
    /// When calls happen unless they say otherwise; without it a Monday morning in June 2026.
    pub(super) now: Option<String>,
    /// As `systems/<name>.toml`; each tool may say its `input` in short.
    #[serde(default)]
    pub(super) systems: BTreeMap<String, toml::Table>,
    /// As `roles/<role>.toml`.
    #[serde(default)]
    pub(super) roles: BTreeMap<String, toml::Table>,
    /// As `templates/<name>.toml`.
    #[serde(default)]
    pub(super) templates: BTreeMap<String, toml::Table>,
    /// Cedar text by folder: `boundary`, `organisation`, `roles`, `users`.
    #[serde(default)]
    pub(super) policies: BTreeMap<String, String>,
    /// As `policies/calendar.toml`.
    pub(super) calendar: Option<toml::Table>,
    /// The bundle must be refused with exactly these finding codes.
    #[serde(default)]
    pub(super) refused: BTreeSet<String>,
    /// Agents by name.
    #[serde(default)]
    pub(super) agents: BTreeMap<String, AgentEntry>,
    /// Users by id.
    #[serde(default)]
    pub(super) users: BTreeMap<String, UserEntry>,
    /// What is attempted.
    #[serde(default)]
    pub(super) calls: Vec<CallEntry>,
}

impl ScenarioFile {
    /// Whether it brings its own bundle.
    pub(super) fn carries_policy(&self) -> bool {
        let none = self.systems.is_empty() && self.roles.is_empty() && self.templates.is_empty();
        !(none && self.policies.is_empty() && self.refused.is_empty()) || self.calendar.is_some()
    }
}

/// An agent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AgentEntry {
    pub(super) role: Option<Spanned<RoleName>>,
    /// That the bundle has no such role is meant.
    #[serde(default)]
    pub(super) role_unknown: bool,
    #[serde(default = "nobody")]
    pub(super) owner: String,
    #[serde(default = "production")]
    pub(super) environment: Environment,
    #[serde(default = "yes")]
    pub(super) promoted: bool,
    #[serde(default)]
    pub(super) task_required: bool,
}

fn nobody() -> String {
    String::from("team")
}

const fn production() -> Environment {
    Environment::Production
}

const fn yes() -> bool {
    true
}

/// A user.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserEntry {
    #[serde(default)]
    pub(super) groups: BTreeSet<String>,
}

/// How a user proved who they are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthenticationEntry {
    acr: Option<Acr>,
    /// Seconds since then.
    #[serde(default)]
    age_s: i64,
}

impl AuthenticationEntry {
    /// As seen at `now`.
    pub(super) fn read(&self, now: Timestamp) -> Result<Authentication, String> {
        let at = now.checked_sub(SignedDuration::from_secs(self.age_s)).map_err(|error| error.to_string())?;
        Ok(Authentication { at, methods: BTreeSet::new(), acr: self.acr.clone() })
    }
}

/// One call and what is expected of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallEntry {
    /// What it shows.
    pub(super) name: Option<String>,
    /// Who: names of agents and users, initiating first; without it the only agent.
    #[serde(default)]
    pub(super) by: Vec<Spanned<String>>,
    /// What: an action, `<system>.<tool>` or `<system>:<method>`.
    pub(super) call: Spanned<ActionName>,
    /// The prompt's name or the resource's URI, for methods.
    pub(super) named: Option<String>,
    #[serde(default)]
    pub(super) arguments: serde_json::Map<String, serde_json::Value>,
    pub(super) at: Option<String>,
    pub(super) network_zone: Option<String>,
    /// Without it: all scopes that the call needs.
    pub(super) scopes: Option<BTreeSet<Scope>>,
    /// How the user proved who they are; without it nobody was asked.
    pub(super) authentication: Option<AuthenticationEntry>,
    #[serde(default)]
    pub(super) safe_modes: BTreeSet<SafeModeScope>,
    /// What is observed: `system:files`; `system:files in production` covers production too.
    #[serde(default)]
    pub(super) observations: Vec<String>,
    #[serde(default)]
    pub(super) approvals: Vec<Spanned<PolicyId>>,
    #[serde(default)]
    pub(super) facts: Vec<Spanned<Fact>>,
    /// The token's `authorization_details`; without it: all that the scopes open.
    pub(super) details: Option<Vec<GrantEntry>>,
    /// Without it: the implicit task.
    pub(super) task: Option<Vec<GrantEntry>>,
    /// Or a task of this kind, with what is stated.
    pub(super) template: Option<TemplateName>,
    #[serde(default)]
    pub(super) stated: serde_json::Map<String, serde_json::Value>,
    pub(super) expect: Outcome,
    /// All codes among the reasons.
    pub(super) reasons: Option<BTreeSet<String>>,
    /// All rules among the reasons, the gates and, when allowed, the permits.
    pub(super) rules: Option<BTreeSet<String>>,
    /// All gates that can be asked for.
    pub(super) gates: Option<BTreeSet<String>>,
    /// All obligations, as annotations write them.
    pub(super) obligations: Option<BTreeSet<String>>,
    /// All budgets that the call draws on.
    pub(super) budgets: Option<BTreeSet<String>>,
    /// Whether the action stands in the caller's lists.
    pub(super) listed: Option<bool>,
    /// `would_allow`, `would_ask` or `would_deny` under observation, else `no`.
    pub(super) observed: Option<String>,
    /// A piece of text that some reason's help has to contain.
    pub(super) help: Option<String>,
}

/// One tool of a task, with what its arguments are pinned to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantEntry {
    pub(super) call: Spanned<ActionName>,
    #[serde(default)]
    pub(super) pins: BTreeMap<String, Pin>,
}

/// What a call comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// Allowed.
    Allow,
    /// Denied, but can be asked for.
    Ask,
    /// Denied.
    Deny,
}

impl Outcome {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}
