//! The command line: what can be asked, in words that teach.

mod access;
mod clients;
mod keys;
mod observe;
mod operators;
mod registration;
mod scim;
mod users;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

pub(crate) use self::{access::*, clients::*, keys::*, observe::*, operators::*, registration::*, scim::*, users::*};
use crate::output::Format;

/// Heads the options that every command has.
const EVERYWHERE: &str = "Everywhere";

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
pub(crate) struct Arguments {
    /// The installation's configuration.
    #[arg(
        long,
        global = true,
        env = "BAILIWICK_CONFIG",
        hide_env_values = true,
        default_value = "bailiwick.toml",
        value_name = "FILE",
        help_heading = EVERYWHERE
    )]
    pub(crate) config: PathBuf,
    /// How data is printed: `table` for people, `json` for programs.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "table",
        hide_possible_values = true,
        value_name = "FORMAT",
        help_heading = EVERYWHERE
    )]
    pub(crate) output: Format,
    /// Print data only, no messages beside it.
    #[arg(long, short, global = true, help_heading = EVERYWHERE)]
    pub(crate) quiet: bool,
    /// Never ask: what would be asked is refused.
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) no_input: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See it work in a minute: a scratch broker, a sample system, a scripted agent.
    Demo(Demo),
    /// Make a new installation: configuration, keys, database, starter policy.
    Init(Init),
    /// Run the broker.
    Serve(Serve),
    /// Look for problems and say how to fix them; changes nothing.
    Doctor {
        /// Also prove that what the connected clients of this folder and user call is enforced.
        #[arg(long)]
        probe: bool,
        /// Do not count it as a problem that a probed connection is observed, not enforced.
        #[arg(long, requires = "probe")]
        accept_observed: bool,
    },
    /// Speak MCP on stdio for a client that knows no OAuth: holds the agent's key, adds tokens and proofs.
    Bridge(Bridge),
    /// Put the bridge into a client's configuration: shows the change, asks, keeps a copy.
    Connect(Connect),
    /// Take out what `connect` put into a client's configuration.
    Disconnect(Disconnect),
    /// Print an access token for a script.
    Token(Token),
    /// End an agent by its own key, with all that it was given: the last step of a pipeline.
    Deregister(Deregister),
    /// Ask, as an agent, what it may do: allowed, to be asked for, denied, or up to the arguments.
    Permissions(Permissions),
    /// Ask what would be decided, without calling.
    Check(Check),
    /// Explain a decision: the rules that made it, the permits that came nearest, and whether it can be reproduced.
    Explain(Explain),
    /// Register agents and steer their lives.
    #[command(subcommand)]
    Agents(Agents),
    /// Let clients register by themselves, on terms that you fix.
    #[command(subcommand)]
    RegistrationTokens(RegistrationTokens),
    /// Make users known, invite them, steer their lives.
    #[command(subcommand)]
    Users(Users),
    /// Let a directory provision users and groups over SCIM 2.0.
    #[command(subcommand)]
    Scim(Scim),
    /// Add upstream systems and approve what they offer.
    #[command(subcommand)]
    Systems(Systems),
    /// Give an agent one piece of work, with just the tools and values that it needs.
    #[command(subcommand)]
    Tasks(Tasks),
    /// See what was allowed to clients, and end it.
    #[command(subcommand)]
    Grants(Grants),
    /// See every access token that is out there, and revoke one.
    #[command(subcommand)]
    Tokens(Tokens),
    /// See and change the keys that sign tokens: the planned way, and after a compromise.
    #[command(subcommand)]
    Keys(Keys),
    /// Validate, test, publish and roll back policy.
    #[command(subcommand)]
    Policy(Policy),
    /// Stop everything but reads: for an agent, a system, or everything.
    #[command(subcommand)]
    SafeMode(SafeMode),
    /// Watch before enforcing: for a while, what rules would stop goes through and is recorded.
    #[command(subcommand)]
    Observe(Observe),
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
    /// Put a backup in the place of the database; the broker must not run.
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
pub(crate) struct Demo {
    /// Keep the scratch folder here instead of removing it.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) keep: Option<PathBuf>,
}

/// `init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The folder to make it in.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dir: PathBuf,
}

/// `serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Listen here instead of the configured address. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Log as JSON lines.
    #[arg(long)]
    pub(crate) log_json: bool,
    /// Make lost key files anew. What a lost key sealed stays closed for ever.
    #[arg(long)]
    pub(crate) danger_new_keys: bool,
}

/// How an agent authenticates.
#[derive(Debug, Args, Clone)]
pub(crate) struct Credential {
    /// The agent.
    #[arg(long, env = "BAILIWICK_AGENT", hide_env_values = true, value_name = "NAME")]
    pub(crate) agent: String,
    /// Its private key: a file in PEM, or `pkcs11:token=…;object=…` of a device, which keeps it.
    #[arg(
        long,
        env = "BAILIWICK_KEY",
        hide_env_values = true,
        value_name = "FILE|URI",
        required_unless_present = "identity_token"
    )]
    pub(crate) key: Option<PathBuf>,
    /// The certificate of that key, PEM, if the agent is known by it.
    #[arg(long, env = "BAILIWICK_CERTIFICATE", hide_env_values = true, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
    /// In the place of a key, a file with the token that the agent's platform signed for it, as Kubernetes projects one; read
    /// anew each time. Tokens of the broker are bound to a key that is made for this run.
    #[arg(long, env = "BAILIWICK_IDENTITY_TOKEN", hide_env_values = true, value_name = "FILE")]
    pub(crate) identity_token: Option<PathBuf>,
    /// A task to work in.
    #[arg(long, env = "BAILIWICK_TASK", hide_env_values = true, value_name = "ID")]
    pub(crate) task: Option<String>,
}

/// `bridge`.
#[derive(Debug, Args)]
pub(crate) struct Bridge {
    /// The system; without one, all systems, their tools named `<system>__<tool>`.
    pub(crate) system: Option<String>,
    /// Who calls.
    #[command(flatten)]
    pub(crate) credential: Credential,
    /// The broker.
    #[arg(long, env = "BAILIWICK_URL", hide_env_values = true, default_value = "http://127.0.0.1:8420")]
    pub(crate) url: String,
}

/// `token`.
#[derive(Debug, Args)]
#[command(
    after_help = "With --device the token acts for a user, who answers on any device of theirs. An address and a code \
are printed on stderr (as one line of JSON with `--output json`); they open the address, sign in, type the code in, see \
what is asked for and allow or refuse it. The token then is the only thing on stdout:\n\n  \
bailiwick agents register night-job --owner ops@example.com --purpose \"Closes the books\" \\\n      \
--role clerk --generate-key night-job.pem --scope user:ask\n  \
bailiwick token --agent night-job --key night-job.pem --device \\\n      \
--resource http://127.0.0.1:8420/mcp/files --proof-for POST http://127.0.0.1:8420/mcp/files"
)]
pub(crate) struct Token {
    /// Who asks.
    #[command(flatten)]
    pub(crate) credential: Credential,
    /// What the token is for: `http://127.0.0.1:8420/mcp/files`, say.
    #[arg(long, value_name = "URL")]
    pub(crate) resource: String,
    /// Only these scopes, separated by spaces; all that the agent may have there unless given.
    #[arg(long)]
    pub(crate) scope: Option<String>,
    /// Bind the token to the agent's key and print both headers for one call, such as `POST http://…/mcp/files`.
    #[arg(long, num_args = 2, value_names = ["METHOD", "URL"])]
    pub(crate) proof_for: Option<Vec<String>>,
    /// Ask a user first, who is at another device: for a token that acts for them. Needs `--scope user:ask` in the agent's
    /// registration.
    #[arg(long)]
    pub(crate) device: bool,
}

/// `deregister`.
#[derive(Debug, Args)]
pub(crate) struct Deregister {
    /// The agent that is done.
    #[arg(long, env = "BAILIWICK_AGENT", hide_env_values = true, value_name = "NAME")]
    pub(crate) agent: String,
    /// Its private key: a file in PEM, or `pkcs11:token=…;object=…` of a device, which keeps it.
    #[arg(long, env = "BAILIWICK_KEY", hide_env_values = true, value_name = "FILE|URI")]
    pub(crate) key: PathBuf,
    /// The certificate of that key, PEM, if the agent is known by it.
    #[arg(long, env = "BAILIWICK_CERTIFICATE", hide_env_values = true, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
    /// The broker.
    #[arg(long, env = "BAILIWICK_URL", hide_env_values = true, default_value = "http://127.0.0.1:8420")]
    pub(crate) url: String,
}

/// `permissions`.
#[derive(Debug, Args)]
pub(crate) struct Permissions {
    /// The system; all systems without one.
    pub(crate) system: Option<String>,
    /// Who asks; nobody can ask for somebody else.
    #[command(flatten)]
    pub(crate) credential: Credential,
    /// The broker.
    #[arg(long, env = "BAILIWICK_URL", hide_env_values = true, default_value = "http://127.0.0.1:8420")]
    pub(crate) url: String,
}

/// `check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Who would call.
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: String,
    /// What it would call: `files.read_text_file`, or `files:resources/read` with `--name`.
    pub(crate) action: String,
    /// With what.
    #[command(flatten)]
    pub(crate) call: Hypothetical,
}

/// `explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The decision's id, `eval_…`; with `--agent`, what the agent would call, such as `files.read_text_file`.
    pub(crate) what: String,
    /// Explain what would be decided if this agent made the call, without calling.
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// With what.
    #[command(flatten)]
    pub(crate) call: Hypothetical,
}

/// A call that nobody makes.
#[derive(Debug, Args)]
pub(crate) struct Hypothetical {
    /// The arguments, a JSON object.
    #[arg(long, default_value = "{}", value_name = "JSON", requires = "agent")]
    pub(crate) arguments: String,
    /// The resource's URI or the prompt's name, for methods other than tools.
    #[arg(long, requires = "agent")]
    pub(crate) name: Option<String>,
    /// In this task.
    #[arg(long, value_name = "ID", requires = "agent")]
    pub(crate) task: Option<String>,
}
