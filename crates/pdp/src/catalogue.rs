//! The systems behind the broker and their tools, as the bundle declares and
//! pins them. Parsed strictly; everything here is valid once it exists. Holds
//! no policy and decides nothing.

mod accounts;
mod check;
pub(crate) mod file;
mod lock;
mod oauth_client;
mod pattern;
pub(crate) mod records;
mod step_up_check;
mod tool_check;
mod upstream_check;
pub(crate) mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bailiwick_model::{
    agent::Environment,
    authentication::StepUp,
    bundle::BundleFiles,
    digest::Digest,
    name::{ActionName, DataDomain, Fact, Scope, SecretName, SystemName, ToolName},
    operation::{ActionClass, ActionTag},
};
use serde_json::Value;

pub use self::accounts::Accounts;
pub use self::oauth_client::{ClientAuthentication, OauthClient};
pub use self::pattern::{ArgumentPath, FieldPath, FieldStep};
use crate::{coaz::Mapping, finding::Finding, json_schema::RecordType, normalise::Normaliser};

/// Seconds a call may take unless its system says otherwise: longer than most
/// tools need, shorter than most clients wait.
pub const CALL_TIMEOUT_S: u64 = 60;
/// Seconds between two checks of a system's definitions unless it says otherwise.
pub const VERIFY_EVERY_S: u64 = 30;
/// Seconds a call may take at most.
pub const CALL_TIMEOUT_S_MAX: u64 = 3_600;
/// Seconds between two checks at most: what is older than twice this denies.
pub const VERIFY_EVERY_S_MAX: u64 = 3_600;
/// Tools of one system.
pub const TOOLS_PER_SYSTEM_MAX: usize = 2_048;

/// All systems of a bundle.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    systems: BTreeMap<SystemName, System>,
}

/// One system behind the broker.
#[derive(Debug, Clone)]
pub struct System {
    /// Its name, the first part of its actions.
    pub name: SystemName,
    /// For people.
    pub title: String,
    /// The Cedar namespace of its records: the UpperCamel form of its name.
    pub namespace: String,
    /// Where it runs; production if nobody says.
    pub environment: Environment,
    /// How much harm it can do.
    pub risk: Risk,
    /// What users have to have proved for whatever of it does not say so itself.
    pub step_up: Option<StepUp>,
    /// The domains of data that it, its tools and its records belong to.
    pub domains: BTreeSet<DataDomain>,
    /// The least that its users need; a role that holds more is an over-grant.
    pub minimum: BTreeSet<Scope>,
    /// How it is reached.
    pub upstream: Upstream,
    /// Seconds one call may take.
    pub call_timeout_s: u64,
    /// Seconds between two checks of its definitions; a check older than twice this denies.
    pub verify_every_s: u64,
    /// All tools whose definitions are pinned.
    pub tools: BTreeMap<ToolName, Tool>,
    /// The record types that its tools name, with their attributes; each has an `id: String`.
    pub records: BTreeMap<String, RecordType>,
    /// What else the system said about itself when it was pinned.
    pub pinned: Pinned,
}

/// How much harm a system can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Little.
    Low,
    /// Much; the risk of whatever does not say.
    High,
}

impl Risk {
    /// As written in catalogue and policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::High => "high",
        }
    }
}

/// How an upstream is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// A child process that speaks MCP on its standard streams.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its whole environment, besides `secret_env`.
        env: BTreeMap<String, String>,
        /// Environment variables whose values come from the vault.
        secret_env: BTreeMap<String, SecretName>,
        /// Whether one child serves all principals.
        shared: bool,
    },
    /// An MCP server over Streamable HTTP.
    Http {
        /// Its endpoint: `https`, or `http` on this machine.
        url: url::Url,
        /// The credential that is injected into every call; where there are `accounts`, only into the broker's own looks.
        credential: Option<HttpCredential>,
        /// Where it holds its own users: every call is made with the account of the user whom it is made for.
        accounts: Option<Box<Accounts>>,
    },
    /// Not at all: a client asks about its own tools before it uses them, and nothing is ever sent.
    Client(ClientKind),
}

/// A client whose hook asks about the tools that it has itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientKind {
    /// Anthropic's Claude Code.
    ClaudeCode,
}

impl ClientKind {
    /// As written in catalogue and URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
        }
    }
}

impl System {
    /// How users connect their accounts there, with what its tokens are bound to; `None` where it holds no users.
    pub fn accounts(&self) -> Option<(&Accounts, Digest)> {
        match &self.upstream {
            Upstream::Http { url, accounts: Some(accounts), .. } => Some((accounts, accounts.binding(url))),
            Upstream::Http { .. } | Upstream::Stdio { .. } | Upstream::Client(_) => None,
        }
    }

    /// The client whose own tools these are; `None` is a server.
    pub const fn client(&self) -> Option<ClientKind> {
        match self.upstream {
            Upstream::Client(kind) => Some(kind),
            Upstream::Stdio { .. } | Upstream::Http { .. } => None,
        }
    }
}

/// What the broker itself shows to an upstream over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpCredential {
    /// A header.
    Header(InjectedCredential),
    /// A token of its own, got and renewed by `client_credentials` (RFC 6749 §4.4).
    Token(Box<OauthClient>),
}

impl HttpCredential {
    /// The secret of the vault that it needs.
    pub const fn secret(&self) -> Option<&SecretName> {
        match self {
            Self::Header(header) => Some(&header.secret),
            Self::Token(client) => client.authentication.secret(),
        }
    }
}

/// An HTTP header whose value comes from the vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InjectedCredential {
    /// The header, in lower case.
    pub header: String,
    /// What stands before the secret, such as `Bearer `.
    pub prefix: String,
    /// Where the secret lies.
    pub secret: SecretName,
}

/// What a system said about itself besides its tools, pinned with them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pinned {
    /// The protocol revision that was negotiated.
    pub protocol_version: String,
    /// `serverInfo`.
    pub server_info: Value,
    /// `instructions`.
    pub instructions: Option<String>,
    /// Whole prompt objects by their name.
    pub prompts: BTreeMap<String, PinnedPrompt>,
}

/// A pinned prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct PinnedPrompt {
    /// The whole prompt object.
    pub definition: Value,
    /// Its digest.
    pub digest: Digest,
}

/// One tool, pinned and (usually) classified.
#[derive(Debug, Clone)]
pub struct Tool {
    /// Its name as its upstream gives it.
    pub name: ToolName,
    /// The Cedar action of calling it.
    pub action: ActionName,
    /// Its class; `write` if nobody classified it.
    pub class: ActionClass,
    /// Its tags; all of them if nobody classified it.
    pub tags: BTreeSet<ActionTag>,
    /// What its user has to have proved, in the place of what its system asks for.
    pub step_up: Option<StepUp>,
    /// Whether the catalogue has an entry for it.
    pub classified: bool,
    /// The whole pinned definition.
    pub definition: Value,
    /// The digest of the definition.
    pub digest: Digest,
    /// The typed input, as policy sees it.
    pub input: RecordType,
    /// Arguments that policy cannot see, as dotted paths: `edits`, `filter.*`.
    pub opaque: Vec<String>,
    /// The records that a call names; `None`: the tool itself.
    pub records: Option<RecordMapping>,
    /// Per argument, how it is brought to one spelling.
    pub normalise: BTreeMap<ArgumentPath, Normaliser>,
    /// What a call touches.
    pub effect: EffectMapping,
    /// Facts that restrict, settled with the intent.
    pub facts_touched: Vec<Fact>,
    /// Facts that rules wait for, settled with a successful outcome.
    pub facts_completed: Vec<Fact>,
    /// Per field class, the fields of the result that belong to it.
    pub field_classes: BTreeMap<String, Vec<FieldPath>>,
    /// What else has to be allowed for a call, in AuthZEN's words.
    pub authzen: Option<Arc<Mapping>>,
}

/// How the arguments of a call name records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordMapping {
    /// The record type within the system's namespace.
    pub type_name: String,
    /// The arguments that are arrays with one operation per element; none: the call as a whole names records.
    pub each: Vec<String>,
    /// What names a record, in an element or in the call; several name several records.
    pub ids: Vec<ArgumentPath>,
    /// Attributes of the record by name, and the argument that gives each.
    pub attributes: BTreeMap<String, ArgumentPath>,
}

/// How the effect of a call is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectMapping {
    /// How many records it touches.
    pub records: RecordCount,
    /// Whether the upstream can undo it.
    pub reversible: bool,
}

impl EffectMapping {
    /// Nobody knows: the worst.
    pub const UNKNOWN: Self = Self { records: RecordCount::Unknown, reversible: false };
}

/// How many records a call touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordCount {
    /// Nobody knows: the largest number.
    Unknown,
    /// Always so many.
    Exactly(i64),
    /// As many as the array argument has elements: `len:ids`.
    Length(ArgumentPath),
    /// As many as the integer argument says: `input:limit`.
    Input(ArgumentPath),
}

impl Catalogue {
    /// Reads `systems/*.toml` and `systems/*.tools.json` of a bundle. The
    /// catalogue holds what could be read; an error among the findings means
    /// that it must not be used.
    pub fn read(files: &BundleFiles) -> (Self, Vec<Finding>) {
        check::read(files)
    }

    /// All systems in name order.
    pub fn systems(&self) -> impl Iterator<Item = &System> {
        self.systems.values()
    }

    /// All systems that calls are sent to.
    pub fn servers(&self) -> impl Iterator<Item = &System> {
        self.systems().filter(|system| system.client().is_none())
    }

    /// The system that stands for a client's own tools; `None` also where two do.
    pub fn client(&self, kind: ClientKind) -> Option<&System> {
        let mut found = self.systems().filter(|system| system.client() == Some(kind));
        found.next().filter(|_| found.next().is_none())
    }

    /// One system.
    pub fn system(&self, name: &SystemName) -> Option<&System> {
        self.systems.get(name)
    }

    /// One tool.
    pub fn tool(&self, system: &SystemName, tool: &ToolName) -> Option<&Tool> {
        self.systems.get(system)?.tools.get(tool)
    }

    /// The tool that an action calls; `None` for an MCP method.
    pub fn tool_of(&self, action: &ActionName) -> Option<&Tool> {
        let system = self.system(&action.system().parse().ok()?)?;
        system.tools.values().find(|tool| tool.action == *action)
    }

    /// What a user has to have proved for an action, if anything.
    pub fn step_up(&self, action: &ActionName) -> Option<&StepUp> {
        let system = self.systems.get(&action.system().parse().ok()?)?;
        let tool = action.as_str().strip_prefix(action.system()).and_then(|rest| rest.strip_prefix('.'));
        let tool = tool.and_then(|tool| system.tools.get(&tool.parse().ok()?));
        tool.and_then(|tool| tool.step_up.as_ref()).or(system.step_up.as_ref())
    }

    /// All facts that some tool declares.
    pub fn facts(&self) -> BTreeSet<Fact> {
        let tools = self.systems().flat_map(|system| system.tools.values());
        tools.flat_map(|tool| tool.facts_touched.iter().chain(&tool.facts_completed)).cloned().collect()
    }

    /// All data domains that some system declares.
    pub fn domains(&self) -> BTreeSet<DataDomain> {
        self.systems().flat_map(|system| system.domains.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests;
