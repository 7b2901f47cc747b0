//! The command line: what can be asked, in words that teach.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::output::Format;

/// Every command line.
#[derive(Debug, Parser)]
#[command(
    name = "bailiwick",
    version,
    about = "A permission broker for AI agents that can prove what it enforces",
    after_help = "Exit codes: 0 done or allowed, 1 failed, 2 usage, 3 denied, 4 approval needed, 5 policy invalid,\n\
                  6 integrity failed, 7 unreachable, 8 doctor found problems.\n\n\
                  Start with `bailiwick demo`, then `bailiwick init --dir my-broker`.",
    disable_help_subcommand = true
)]
pub struct Arguments {
    /// The installation's configuration.
    #[arg(long, global = true, env = "BAILIWICK_CONFIG", default_value = "bailiwick.toml", value_name = "FILE")]
    pub config: PathBuf,
    /// How data is printed.
    #[arg(long, global = true, value_enum, default_value = "table")]
    pub output: Format,
    /// Print data only, no messages beside it.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Never ask; take defaults. No command needs a prompt, so this only makes sure of it.
    #[arg(long, global = true)]
    pub no_input: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See it work in a minute: a scratch broker, a sample system, a scripted agent.
    Demo(Demo),
    /// Make a new installation: configuration, keys, database, starter policy.
    Init(Init),
    /// Run the broker.
    Serve(Serve),
    /// Look for problems; changes nothing.
    Doctor,
    /// Speak MCP on stdio for a client that knows no OAuth: holds the agent's key, adds tokens and proofs.
    Bridge(Bridge),
    /// Print an access token for a script.
    Token(Token),
    /// Ask what would be decided, without calling.
    Check(Check),
    /// Explain a recorded decision and reproduce it.
    Explain {
        /// The decision's id: `eval_…`.
        evaluation: String,
    },
    /// Register agents and steer their lives.
    #[command(subcommand)]
    Agents(Agents),
    /// Add upstream systems and approve what they offer.
    #[command(subcommand)]
    Systems(Systems),
    /// Give an agent one piece of work, with just the tools and values that it needs.
    #[command(subcommand)]
    Tasks(Tasks),
    /// Validate, test, publish and roll back policy.
    #[command(subcommand)]
    Policy(Policy),
    /// Stop everything but reads: for an agent, a system, or everything.
    #[command(subcommand)]
    SafeMode(SafeMode),
    /// Keep upstream credentials in the vault.
    #[command(subcommand)]
    Secrets(Secrets),
    /// Read, export and verify the evidence.
    #[command(subcommand)]
    Audit(Audit),
    /// Write a consistent copy of the database to a new file.
    Backup {
        /// The new file.
        file: PathBuf,
    },
    /// Put a backup in the place of the database. The broker must not run.
    Restore {
        /// The backup.
        file: PathBuf,
    },
    /// The sample system that `demo` uses: a small help desk over MCP on stdio.
    #[command(hide = true)]
    SampleSystem {
        /// Its SQLite file.
        #[arg(long)]
        database: PathBuf,
    },
}

/// `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Keep the scratch folder here instead of removing it.
    #[arg(long, value_name = "FOLDER")]
    pub keep: Option<PathBuf>,
}

/// `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The folder to make it in.
    #[arg(long, value_name = "FOLDER")]
    pub dir: PathBuf,
}

/// `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Listen here instead of the configured address. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Log as JSON lines.
    #[arg(long)]
    pub log_json: bool,
}

/// How an agent authenticates.
#[derive(Debug, Args, Clone)]
pub struct Credential {
    /// The agent.
    #[arg(long, env = "BAILIWICK_AGENT", value_name = "NAME")]
    pub agent: String,
    /// Its private key, PEM.
    #[arg(long, env = "BAILIWICK_KEY", value_name = "FILE")]
    pub key: PathBuf,
    /// A task to work in.
    #[arg(long, env = "BAILIWICK_TASK", value_name = "ID")]
    pub task: Option<String>,
}

/// `bridge`.
#[derive(Debug, Args)]
pub struct Bridge {
    /// The system; without one, all systems under `system__tool` names.
    pub system: Option<String>,
    /// Who calls.
    #[command(flatten)]
    pub credential: Credential,
    /// The broker.
    #[arg(long, env = "BAILIWICK_URL", default_value = "http://127.0.0.1:8420")]
    pub url: String,
}

/// `token`.
#[derive(Debug, Args)]
pub struct Token {
    /// Who asks.
    #[command(flatten)]
    pub credential: Credential,
    /// What the token is for: `<broker>/mcp/<system>`.
    #[arg(long, value_name = "URL")]
    pub resource: String,
    /// Only these scopes, separated by spaces; all that the agent may have there unless given.
    #[arg(long)]
    pub scope: Option<String>,
    /// Bind the token to the agent's key and print both headers for one call, such as `POST http://…/mcp/files`.
    #[arg(long, num_args = 2, value_names = ["METHOD", "URL"])]
    pub proof_for: Option<Vec<String>>,
}

/// `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Who would call.
    #[arg(long)]
    pub agent: String,
    /// `<system>.<tool>`, or `<system>:<mcp method>`.
    pub action: String,
    /// The arguments, a JSON object.
    #[arg(long, default_value = "{}", value_name = "JSON")]
    pub arguments: String,
    /// The uri or name, for methods other than tools.
    #[arg(long)]
    pub name: Option<String>,
    /// In this task.
    #[arg(long)]
    pub task: Option<String>,
}

/// `agents`.
#[derive(Debug, Subcommand)]
pub enum Agents {
    /// Register an agent. It starts read-only, until it is promoted.
    Register(Register),
    /// List agents: state, role, owner, expiry, last use.
    List {
        /// Also callers that nobody registered.
        #[arg(long)]
        unregistered: bool,
    },
    /// Show one agent.
    Show {
        /// Its name.
        name: String,
    },
    /// End its read-only start.
    Promote(Named),
    /// Stop it until it is resumed; the very next call is refused.
    Suspend(Named),
    /// Let it act again.
    Resume(Named),
    /// End it for good; its name is never given again.
    Retire(Named),
    /// Add a key; both work until one is removed.
    AddKey {
        /// The agent.
        name: String,
        /// The public key: JWK, JWKS or PEM.
        #[arg(long, value_name = "FILE")]
        public_key: PathBuf,
    },
    /// Remove a key.
    RemoveKey {
        /// The agent.
        name: String,
        /// The key's id.
        kid: String,
    },
}

/// `agents register`.
#[derive(Debug, Args)]
pub struct Register {
    /// Its name: also its client id and subject, for good.
    pub name: String,
    /// Who answers for it.
    #[arg(long)]
    pub owner: String,
    /// What it is for, in one sentence.
    #[arg(long)]
    pub purpose: String,
    /// Where it runs: development, staging or production.
    #[arg(long, default_value = "development")]
    pub environment: String,
    /// Its job: a file of `roles/`.
    #[arg(long)]
    pub role: String,
    /// Its public key: JWK, JWKS or PEM.
    #[arg(long, value_name = "FILE", conflicts_with = "generate_key", required_unless_present = "generate_key")]
    pub public_key: Option<PathBuf>,
    /// Make a key pair and keep the private key in this new file, 0600.
    #[arg(long, value_name = "FILE")]
    pub generate_key: Option<PathBuf>,
    /// Only these systems.
    #[arg(long = "system", value_name = "NAME")]
    pub systems: Vec<String>,
    /// Scopes beyond systems, such as `access:evaluate`.
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// Let it use plain bearer tokens, which work for whoever holds them.
    #[arg(long)]
    pub danger_allow_bearer_tokens: bool,
    /// Let it act only within an explicit task.
    #[arg(long)]
    pub task_required: bool,
    /// Seconds its tokens live, 3600 at most.
    #[arg(long)]
    pub token_ttl_s: Option<u64>,
    /// Days until registration and keys expire.
    #[arg(long)]
    pub lifetime_days: Option<u32>,
}

/// An agent and why.
#[derive(Debug, Args)]
pub struct Named {
    /// The agent.
    pub name: String,
    /// Why, for whoever looks back.
    #[arg(long, default_value = "")]
    pub reason: String,
}

/// `systems`.
#[derive(Debug, Subcommand)]
pub enum Systems {
    /// Add a system: writes `systems/<name>.toml` with a proposed classification for you to read.
    Add(AddSystem),
    /// Ask a system what it offers; update its pinned definitions and propose classes for new tools.
    Discover {
        /// The system.
        name: String,
        /// Approve changed definitions of these tools (`all` for every one).
        #[arg(long = "approve", value_name = "TOOL")]
        approve: Vec<String>,
        /// Only show what would be written.
        #[arg(long)]
        dry_run: bool,
    },
    /// List the systems of the active bundle.
    List,
    /// Show a system: its tools, classes, and definitions that differ from the approved ones.
    Show {
        /// The system.
        name: String,
    },
}

/// `systems add`.
#[derive(Debug, Args)]
pub struct AddSystem {
    /// Its name: lower-case letters, digits, `_`.
    pub name: String,
    /// What people call it; its name unless given.
    #[arg(long)]
    pub title: Option<String>,
    /// Where it runs: development, staging or production.
    #[arg(long, default_value = "development")]
    pub environment: String,
    /// What harm it can do: low or high.
    #[arg(long, default_value = "high")]
    pub risk: String,
    /// A domain of data that it holds, such as `hr`.
    #[arg(long = "domain", value_name = "NAME")]
    pub domains: Vec<String>,
    /// The command that starts it, as one string; it is split like a shell would, and no shell runs.
    #[arg(long, value_name = "COMMAND", conflicts_with = "url", required_unless_present = "url")]
    pub stdio: Option<String>,
    /// Its MCP endpoint.
    #[arg(long)]
    pub url: Option<String>,
    /// A line `NAME=VALUE` of its environment; everything else is cleared.
    #[arg(long = "env", value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// A vault secret for its environment: `NAME=<system>/<secret>`.
    #[arg(long = "secret-env", value_name = "NAME=SECRET")]
    pub secret_env: Vec<String>,
    /// A vault secret for a header: `HEADER=<system>/<secret>`; `authorization` gets the prefix `Bearer `.
    #[arg(long, value_name = "HEADER=SECRET")]
    pub credential: Option<String>,
    /// Only show what would be written.
    #[arg(long)]
    pub dry_run: bool,
}

/// `tasks`.
#[derive(Debug, Subcommand)]
pub enum Tasks {
    /// Make a task. A tool's pins follow it: `--tool 'files.read_text_file' --pin 'files.read_text_file:path=under:/srv/docs'`.
    Create(CreateTask),
    /// List open tasks.
    List,
    /// Show a task.
    Show {
        /// Its id.
        id: String,
    },
    /// End a task; its grants, pins and tokens end with it.
    End {
        /// Its id.
        id: String,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
    },
}

/// `tasks create`.
#[derive(Debug, Args)]
pub struct CreateTask {
    /// Who will work in it.
    #[arg(long)]
    pub agent: String,
    /// What it is for; enters the evidence in the clear, so no personal data.
    #[arg(long)]
    pub purpose: String,
    /// A file with the user's prompt; `-` is standard input. Sealed, never in the clear.
    #[arg(long, value_name = "FILE")]
    pub prompt: Option<PathBuf>,
    /// A tool that it may call: `<system>.<tool>`.
    #[arg(long = "tool", value_name = "ACTION", required = true)]
    pub tools: Vec<String>,
    /// What an argument must be: `<action>:<argument>=<value>` (JSON or plain text, repeat for several), or
    /// `=under:<folder>`, or `=at-most:<number>`.
    #[arg(long = "pin", value_name = "PIN")]
    pub pins: Vec<String>,
    /// Minutes until it ends by itself.
    #[arg(long)]
    pub minutes: Option<u64>,
}

/// `policy`.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Compile the bundle of this installation's folder; says everything that is wrong with it.
    Validate,
    /// Run the tests beside the policies.
    Test,
    /// Validate, test, sign, and make it the active bundle, whole or not at all.
    Publish {
        /// The boundary policies changed, and that is meant.
        #[arg(long)]
        boundary_changed: bool,
        /// Validate and test only.
        #[arg(long)]
        dry_run: bool,
    },
    /// Make an earlier bundle the active one again.
    Rollback {
        /// Its revision, or enough of it to be unique.
        revision: String,
    },
    /// List published bundles.
    Revisions,
    /// Print the generated Cedar schema.
    Schema,
}

/// `safe-mode`.
#[derive(Debug, Subcommand)]
pub enum SafeMode {
    /// Turn it on for `everything`, `agent:<name>` or `system:<name>`.
    Enter(Scoped),
    /// Lift it.
    Lift(Scoped),
    /// What is in safe mode.
    List,
}

/// A safe-mode scope and why.
#[derive(Debug, Args)]
pub struct Scoped {
    /// `everything`, `agent:<name>` or `system:<name>`.
    pub scope: String,
    /// Why; recorded.
    #[arg(long)]
    pub reason: String,
}

/// `secrets`.
#[derive(Debug, Subcommand)]
pub enum Secrets {
    /// Keep a secret, read from standard input or a file; never from the command line, which others can see.
    Put {
        /// `<system>/<name>`.
        name: String,
        /// The file.
        #[arg(long, value_name = "FILE")]
        from_file: Option<PathBuf>,
    },
    /// List names, never values.
    List,
    /// Remove a secret.
    Remove {
        /// `<system>/<name>`.
        name: String,
    },
}

/// `audit`.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// The newest entries.
    Tail {
        /// How many.
        #[arg(long, short = 'n', default_value_t = 20)]
        lines: usize,
        /// Only of this agent.
        #[arg(long)]
        agent: Option<String>,
        /// Only of this system.
        #[arg(long)]
        system: Option<String>,
        /// Only of this kind: `intent`, `outcome`, `denial` …
        #[arg(long)]
        kind: Option<String>,
        /// Go on printing new ones.
        #[arg(long, short)]
        follow: bool,
    },
    /// The whole chain of one call. `--open` shows sealed values, and that is recorded.
    Show {
        /// `eval_…` or `evt_…`.
        id: String,
        /// Open sealed values.
        #[arg(long)]
        open: bool,
    },
    /// Verify an export, or this installation's own log, with public keys alone.
    Verify {
        /// An export made with `audit export`; without one, the installation's own database.
        file: Option<PathBuf>,
        /// The log's public key line, from whoever you trust; else the export's own (which proves less).
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Export the evidence as JSON lines, with all checkpoints.
    Export {
        /// The new file; `-` is standard output.
        #[arg(long, value_name = "FILE", default_value = "-")]
        to: PathBuf,
        /// Only of this agent (such an extract cannot be verified as a whole).
        #[arg(long)]
        agent: Option<String>,
        /// Only of this system.
        #[arg(long)]
        system: Option<String>,
        /// Not before this time (RFC 3339).
        #[arg(long)]
        since: Option<String>,
        /// Before this time (RFC 3339).
        #[arg(long)]
        until: Option<String>,
    },
    /// Print the newest signed checkpoint: keep a copy where this machine's administrator cannot change it.
    Checkpoint,
}
