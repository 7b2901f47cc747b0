//! What operators type: agents, systems, tasks, policy, safe mode, secrets, evidence.

use std::path::PathBuf;

use bailiwick_audit_log::event::EventKind;
use clap::{
    Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};

/// Names of event kinds, so that a misspelt one is not taken for one that never happened.
fn kinds() -> impl TypedValueParser<Value = EventKind> {
    PossibleValuesParser::new(EventKind::ALL.map(EventKind::as_str)).try_map(|kind| kind.parse::<EventKind>())
}

/// `agents`.
#[derive(Debug, Subcommand)]
pub(crate) enum Agents {
    /// Register an agent. It starts read-only, until it is promoted.
    Register(Box<Register>),
    /// List agents: state, role, owner, expiry, last use.
    List {
        /// Also callers that nobody registered.
        #[arg(long)]
        unregistered: bool,
    },
    /// What to look at: shared and dormant credentials, unused agents, missed reviews, owners who left.
    Findings {
        /// Days without use that are long: 30 unless given.
        #[arg(long, value_name = "DAYS")]
        unused_days: Option<u32>,
    },
    /// Show one agent.
    Show {
        /// Its name.
        name: String,
    },
    /// End its read-only start.
    Promote(Named),
    /// Stop it until it is resumed; the very next call is refused.
    Suspend(Reasoned),
    /// Let it act again.
    Resume(Named),
    /// End it for good; its name is never given again.
    Retire(Reasoned),
    /// Say that it is still needed; until the next review is missed, it goes on.
    Review {
        /// The agent.
        name: String,
        /// Days until the next review: 90 unless given, and never beyond the registration's end.
        #[arg(long, value_name = "DAYS")]
        days: Option<u32>,
        /// What was looked at, for whoever looks back.
        #[arg(long)]
        reason: String,
    },
    /// Give it another job: its old tokens and grants end, and it starts read-only again.
    Role {
        /// The agent.
        name: String,
        /// A file of `roles/`.
        role: String,
        /// Why, for whoever looks back.
        #[arg(long)]
        reason: String,
    },
    /// Give it to somebody else, who answers for it from now on.
    Owner {
        /// The agent.
        name: String,
        /// The person or team.
        owner: String,
        /// Why, for whoever looks back.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// An owner left: give all their agents a successor, or suspend them in time.
    OwnerLeft {
        /// Who left, as `agents list` shows them.
        owner: String,
        /// Who answers for all of their agents from now on.
        #[arg(long, value_name = "OWNER", conflicts_with = "hours")]
        successor: Option<String>,
        /// Or hours until each is suspended that nobody took over: 72 unless given, 0 at once.
        #[arg(long, value_name = "HOURS")]
        hours: Option<u32>,
        /// Why, for whoever looks back.
        #[arg(long)]
        reason: String,
    },
    /// Add a key; both work until one is removed.
    AddKey {
        /// The agent.
        name: String,
        /// The public key: JWK, JWKS or PEM.
        #[arg(long, value_name = "FILE")]
        public_key: PathBuf,
        /// What it signs by, where its file does not say it: `RS256` for an RSA key in PEM of a client that knows no `PS256`.
        #[arg(long, value_name = "ALGORITHM")]
        key_algorithm: Option<String>,
        /// What the maker of its device says of this key: certificates in PEM, its own first.
        #[arg(long, value_name = "FILE")]
        attestation: Option<PathBuf>,
    },
    /// Demand that its keys are held in hardware and attested, or no longer do.
    KeyProtection {
        /// The agent.
        name: String,
        /// `hardware`, or `any`: as its owner sees fit, unless its role demands more.
        key_protection: String,
        /// Why, for whoever looks back.
        #[arg(long)]
        reason: String,
    },
    /// Replace where users are sent back to after consent; none: it acts for itself.
    RedirectUris {
        /// The agent.
        name: String,
        /// `https://…`, or `http://127.0.0.1/…` for a program on its user's machine, at any port.
        #[arg(value_name = "URL")]
        uris: Vec<String>,
    },
    /// Remove a key.
    RemoveKey {
        /// The agent.
        name: String,
        /// The key's id.
        kid: String,
    },
    /// Let it prove itself by a certificate, or by the tokens of the platform that it runs on, too.
    AddCertificate {
        /// The agent.
        name: String,
        /// What must be so. Of a certificate under an authority that `bailiwick.toml` names: `subject=CN=reader,O=Acme`,
        /// `dns=NAME`, `uri=URI`, `ip=ADDRESS` or `email=ADDRESS`. Of an SVID: `spiffe=spiffe://domain/path`. Whoever
        /// issued it: `file=PEM` is this very certificate, `key-of=PEM` any one of its key. Of no certificate, but of a
        /// platform's tokens: `workload=https://token.actions.githubusercontent.com`, their `iss`; which of them are the
        /// agent's, `issuers/` of the bundle says. Of neither: `attester=NAME` of `bailiwick.toml` vouches for the key of each
        /// instance.
        #[arg(value_name = "KIND=VALUE")]
        certificate: CertificateOf,
        /// What the maker of its device says of the key: certificates in PEM, its own first.
        #[arg(long, value_name = "FILE")]
        attestation: Option<PathBuf>,
    },
    /// Remove a certificate, by its id, or a key.
    RemoveCredential {
        /// The agent.
        name: String,
        /// The certificate's id as `agents show` prints it, or the key's.
        id: String,
    },
}

/// `agents register`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("its key").args([
    "public_key", "generate_key", "certificate",
]).required(true))]
pub(crate) struct Register {
    /// Its name: also its client id and subject, for good.
    pub(crate) name: String,
    /// Who answers for it.
    #[arg(long)]
    pub(crate) owner: String,
    /// What it is for, in one sentence.
    #[arg(long)]
    pub(crate) purpose: String,
    /// Where it runs: development, staging or production.
    #[arg(long, default_value = "development")]
    pub(crate) environment: String,
    /// Its job: a file of `roles/`.
    #[arg(long)]
    pub(crate) role: String,
    /// Its public key: JWK, JWKS or PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
    /// What it signs by, where its file does not say it: `RS256` for an RSA key in PEM of a client that knows no `PS256`.
    #[arg(long, value_name = "ALGORITHM", conflicts_with = "generate_key")]
    pub(crate) key_algorithm: Option<String>,
    /// Or make a key pair: the private key goes to this new file, which only you can read.
    #[arg(long, value_name = "FILE")]
    pub(crate) generate_key: Option<PathBuf>,
    /// Or what of its certificate must be so, such as `dns=reader.example`, or whose tokens prove it, such as
    /// `workload=https://token.actions.githubusercontent.com`: see `add-certificate`.
    #[arg(long, value_name = "KIND=VALUE")]
    pub(crate) certificate: Option<CertificateOf>,
    /// What the maker of its device says of this key: certificates in PEM, its own first.
    #[arg(long, value_name = "FILE")]
    pub(crate) attestation: Option<PathBuf>,
    /// Demand `hardware`: keys that are held in devices and attested, and no others.
    #[arg(long, value_name = "PROTECTION", default_value = "any")]
    pub(crate) key_protection: String,
    /// Only this system; repeat for several, all unless given.
    #[arg(long = "system", value_name = "NAME")]
    pub(crate) systems: Vec<String>,
    /// A scope beyond systems, such as `access:evaluate`; repeat for several.
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(crate) scopes: Vec<String>,
    /// Where users are sent back to after consent; repeat for several.
    #[arg(long = "redirect-uri", value_name = "URL")]
    pub(crate) redirect_uris: Vec<String>,
    /// Let it use plain bearer tokens, which work for whoever holds them.
    #[arg(long)]
    pub(crate) danger_allow_bearer_tokens: bool,
    /// Let it act only within an explicit task.
    #[arg(long)]
    pub(crate) task_required: bool,
    /// Seconds its tokens live: 900 unless given, 3600 at most.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) token_ttl_s: Option<u64>,
    /// Days until registration and keys expire: 90 unless given.
    #[arg(long, value_name = "DAYS")]
    pub(crate) lifetime_days: Option<u32>,
    /// Days until somebody must have reviewed it, or it is suspended; only when it expires unless given.
    #[arg(long, value_name = "DAYS")]
    pub(crate) review_days: Option<u32>,
}

/// What of an agent's certificate must be so: `dns=reader.example`, say.
#[derive(Debug, Clone)]
pub(crate) struct CertificateOf {
    /// The member of the API's message.
    pub(crate) member: &'static str,
    /// Its value, or the file that holds it.
    pub(crate) value: String,
    /// Whether it is a file.
    pub(crate) is_file: bool,
}

impl std::str::FromStr for CertificateOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, value) = text.split_once('=').unwrap_or((text, ""));
        let (member, is_file) = match kind {
            "subject" => ("tls_client_auth_subject_dn", false),
            "dns" => ("tls_client_auth_san_dns", false),
            "uri" => ("tls_client_auth_san_uri", false),
            "ip" => ("tls_client_auth_san_ip", false),
            "email" => ("tls_client_auth_san_email", false),
            "spiffe" => ("spiffe_id", false),
            "attester" => ("client_attester", false),
            "workload" => ("workload_issuer", false),
            "file" => ("self_signed_certificate", true),
            "key-of" => ("self_signed_key_of", true),
            _ => {
                let kinds = "write `subject=`, `dns=`, `uri=`, `ip=`, `email=`, `spiffe=`, `workload=`, `attester=`, `file=` \
                             or `key-of=`";
                return Err(kinds.to_owned());
            }
        };
        match value.is_empty() {
            true => Err(format!("say what: `{kind}=…`")),
            false => Ok(Self { member, value: value.to_owned(), is_file }),
        }
    }
}

/// An agent and why.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The agent.
    pub(crate) name: String,
    /// Why, for whoever looks back.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

/// An agent and why, for what must not happen without a reason.
#[derive(Debug, Args)]
pub(crate) struct Reasoned {
    /// The agent.
    pub(crate) name: String,
    /// Why, for whoever looks back.
    #[arg(long)]
    pub(crate) reason: String,
}

/// `systems`.
#[derive(Debug, Subcommand)]
pub(crate) enum Systems {
    /// Add a system: writes `systems/<name>.toml` with a proposed classification for you to read.
    Add(Box<AddSystem>),
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
#[command(group = clap::ArgGroup::new("its upstream").args(["stdio", "url", "client"]).required(true))]
pub(crate) struct AddSystem {
    /// Its name: lower-case letters, digits, `_`.
    pub(crate) name: String,
    /// What people call it; its name unless given.
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// Where it runs: development, staging or production.
    #[arg(long, default_value = "development")]
    pub(crate) environment: String,
    /// What harm it can do: low or high.
    #[arg(long, default_value = "high")]
    pub(crate) risk: String,
    /// A domain of data that it holds, such as `hr`; repeat for several.
    #[arg(long = "domain", value_name = "NAME")]
    pub(crate) domains: Vec<String>,
    /// The command that starts it, as one string; it is split like a shell would, and no shell runs.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) stdio: Option<String>,
    /// Or its MCP endpoint.
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// Or the client whose own tools it stands for: `claude-code`. Its hook asks about them.
    #[arg(long)]
    pub(crate) client: Option<String>,
    /// A variable of its environment, which holds little else; repeat for several.
    #[arg(long = "env", value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// A vault secret for its environment: `NAME=<system>/<secret>`.
    #[arg(long = "secret-env", value_name = "NAME=SECRET")]
    pub(crate) secret_env: Vec<String>,
    /// A vault secret for a header: `HEADER=<system>/<secret>`; `authorization` gets the prefix `Bearer `.
    #[arg(long, value_name = "HEADER=SECRET")]
    pub(crate) credential: Option<String>,
    /// Only show what would be written.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `tasks`.
#[derive(Debug, Subcommand)]
pub(crate) enum Tasks {
    /// Make a task: `--tool files.read_text_file --pin files.read_text_file:path=under:/srv/docs`, or
    /// `--template handle-ticket --set ticket=4711`.
    Create(CreateTask),
    /// List open tasks.
    List,
    /// List the kinds of tasks that the active bundle has, with what each asks for.
    Templates,
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
pub(crate) struct CreateTask {
    /// Who will work in it.
    #[arg(long)]
    pub(crate) agent: String,
    /// What it is for, in one sentence; sealed in the evidence.
    #[arg(long)]
    pub(crate) purpose: String,
    /// A file with the user's prompt; `-` is standard input. Sealed, never in the clear.
    #[arg(long, value_name = "FILE")]
    pub(crate) prompt: Option<PathBuf>,
    /// The kind of task, a file of `templates/`; `bailiwick tasks templates` lists them.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["tools", "pins"])]
    pub(crate) template: Option<String>,
    /// What the template asks for: `ticket=4711` (JSON or plain text); repeat for several, also of one parameter.
    #[arg(long = "set", value_name = "PARAMETER=VALUE", requires = "template")]
    pub(crate) set: Vec<String>,
    /// A tool that it may call: `<system>.<tool>`; repeat for several.
    #[arg(long = "tool", value_name = "ACTION", required_unless_present = "template")]
    pub(crate) tools: Vec<String>,
    /// What an argument must be: `<action>:<argument>=<value>` (JSON or plain text, repeat for several), or
    /// `=under:<folder>`, or `=at-most:<number>`.
    #[arg(long = "pin", value_name = "PIN")]
    pub(crate) pins: Vec<String>,
    /// Minutes until it ends by itself: what its template says, or 480, unless given.
    #[arg(long)]
    pub(crate) minutes: Option<u64>,
}

/// `policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Compile the bundle of this folder and say everything that is wrong with it; runs no tests.
    Validate,
    /// Find rules that are valid and suspicious: shadowed, contradictory, always or never true. Fails if it finds any.
    Lint,
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
        /// Its revision, or as much of it as only one has.
        revision: String,
        /// The boundary policies of that bundle differ, and that is meant.
        #[arg(long)]
        boundary_changed: bool,
    },
    /// Propose a narrower role from recorded calls, or the grant that would turn one denial. Publishes nothing.
    Suggest(Box<Suggest>),
    /// List published bundles.
    Revisions,
    /// Print the generated Cedar schema.
    Schema,
}

/// `policy suggest`.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("from what").args(["role", "agent", "denial"]).required(true),
    after_help = "Every good call is replayed and must still be allowed, every bad one denied. Calls that policy allowed and\n\
                  still allows are good unless marked; all others count only if marked. A week of a role, a denial, a folder:\n\n  \
                  bailiwick policy suggest --role support --since 7d\n  \
                  bailiwick policy suggest --role support --since 7d --bad eval_0123… --write\n  \
                  bailiwick policy suggest --denial eval_0123…\n\n\
                  It opens sealed arguments, which is recorded, and shows their values."
)]
pub(crate) struct Suggest {
    /// The role to narrow; the calls of all its holders are replayed.
    #[arg(long, value_name = "NAME")]
    pub(crate) role: Option<String>,
    /// An agent, whose role is to be narrowed.
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// A denial: the narrowest grant that would turn it, or why none does.
    #[arg(long, value_name = "EVALUATION", conflicts_with_all = ["system", "since", "until", "good", "bad", "marks", "values_max"])]
    pub(crate) denial: Option<String>,
    /// Only this system; what the role may do elsewhere stays as it is.
    #[arg(long, value_name = "NAME")]
    pub(crate) system: Option<String>,
    /// Calls from then on: `30d`, `12h`, `90m`, or a time (RFC 3339); all unless given.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Calls before then.
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<String>,
    /// A call that is good although policy denies it; repeat for several. It widens the role, by a permit of its own arguments.
    #[arg(long, value_name = "EVALUATION")]
    pub(crate) good: Vec<String>,
    /// A call that is bad although policy allows it; repeat for several.
    #[arg(long, value_name = "EVALUATION")]
    pub(crate) bad: Vec<String>,
    /// A file of marks: `good eval_…` or `bad eval_…`, one a line.
    #[arg(long, value_name = "FILE")]
    pub(crate) marks: Option<PathBuf>,
    /// Values of one argument that are written out before a range, a folder or nothing takes their place: 8 unless given.
    #[arg(long, value_name = "COUNT")]
    pub(crate) values_max: Option<usize>,
    /// Write the files into the folder of the installation.
    #[arg(long)]
    pub(crate) write: bool,
}

/// `safe-mode`.
#[derive(Debug, Subcommand)]
pub(crate) enum SafeMode {
    /// Turn it on for `everything`, `agent:<name>` or `system:<name>`.
    Enter(Scoped),
    /// Lift it.
    Lift(Scoped),
    /// What is in safe mode.
    List,
}

/// A safe-mode scope and why.
#[derive(Debug, Args)]
pub(crate) struct Scoped {
    /// `everything`, `agent:<name>` or `system:<name>`.
    pub(crate) scope: String,
    /// Why; recorded.
    #[arg(long)]
    pub(crate) reason: String,
}

/// `secrets`.
#[derive(Debug, Subcommand)]
pub(crate) enum Secrets {
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
pub(crate) enum Audit {
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
        /// Only of this kind.
        #[arg(long, value_parser = kinds())]
        kind: Option<EventKind>,
        /// Go on printing new ones.
        #[arg(long, short)]
        follow: bool,
    },
    /// The records of one call; with `--open` its sealed values too, which is recorded.
    Show {
        /// `eval_…` or `evt_…`.
        id: String,
        /// Open sealed values.
        #[arg(long)]
        open: bool,
    },
    /// On whose authority one call was made: who, for whom, by which token, grant and policy, back to who started it.
    Chain {
        /// `eval_…`, as the call's answer and `audit tail` show it.
        id: String,
    },
    /// Verify an export, or this installation's own log, with public keys alone.
    Verify {
        /// An export made with `audit export`; without one, the installation's own database.
        file: Option<PathBuf>,
        /// The log's public key, one line, got on another way than the export; else this installation's.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// A checkpoint that you kept: the log must begin with what it signs; repeat for several.
        #[arg(long = "checkpoint", value_name = "FILE")]
        checkpoints: Vec<PathBuf>,
    },
    /// Export the evidence as JSON lines, with all checkpoints.
    Export {
        /// The new file; `-` is standard output.
        #[arg(long, value_name = "FILE", default_value = "-")]
        to: PathBuf,
        /// Only of this agent; such an extract shows, but cannot be verified.
        #[arg(long)]
        agent: Option<String>,
        /// Only of this system; again an extract.
        #[arg(long)]
        system: Option<String>,
        /// Not before this time (RFC 3339).
        #[arg(long)]
        since: Option<String>,
        /// Before this time (RFC 3339).
        #[arg(long)]
        until: Option<String>,
    },
    /// Print the newest signed checkpoint, to keep where this machine's administrator cannot change it.
    Checkpoint,
}
