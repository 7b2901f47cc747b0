//! `doctor --probe`: asks each connected client's way through the broker for something that must be allowed (its list of
//! tools) and for something that must be denied (a tool that nobody has). No tool call reaches a system; for the
//! list the broker may start a server and ask it. Starts this program only, never what else a configuration names.

mod bridge;
mod hook;
mod installation;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bailiwick_model::id::EvaluationId;
use bailiwick_server::config::Config;

use self::installation::Installation;
use crate::{
    connect::{
        client::{Client, Places, Scope},
        file,
    },
    exit::Failure,
};

/// A tool that no system may have: a call of it is denied before anything is sent.
const NO_TOOL: &str = "bailiwick_probe";
/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// What helps where an entry is not what `connect` writes.
const CONNECT_AGAIN: &str = "connect it again with `bailiwick connect`; `--help` says how";
const CORRECT_IT: &str = "correct that file, or make it readable";
const START_IT: &str =
    "start the broker with `bailiwick serve`; then run the entry's command by hand to see what it says";
const REPORT_IT: &str = "stop using this connection and report it as SECURITY.md says";

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Enforcement {
    /// What must be denied was denied, and what must be allowed was allowed. Where the broker is this installation's, the
    /// denials are in its evidence.
    Enforced,
    /// The same, but an observation lets what the organisation's rules deny go through.
    Observed,
    /// It could not be told.
    Unknown,
}

/// One way from a client to the broker.
#[derive(Debug, serde::Serialize)]
pub(super) struct Probed {
    /// The client.
    pub(super) client: &'static str,
    /// The file that says so.
    pub(super) file: String,
    /// The server's name in it, or `hook`.
    pub(super) connection: String,
    /// What was found.
    pub(super) enforcement: Enforcement,
    /// Why, for people.
    pub(super) why: String,
    /// What would help, where it is not enforced.
    pub(super) fix: Option<&'static str>,
}

/// Why nothing was proven, and what would help.
#[derive(Debug)]
struct Trouble {
    why: String,
    fix: &'static str,
}

impl Trouble {
    fn new(why: impl Into<String>, fix: &'static str) -> Self {
        Self { why: why.into(), fix }
    }
}

/// What was denied as it must be, by whoever answers where the client is sent to.
struct Denials {
    /// Scheme, host and port of who answered.
    issuer: String,
    /// What was asked and answered, for people.
    told: String,
    /// The decisions that were cited.
    evaluations: Vec<EvaluationId>,
}

/// Probes every connection of every client, of this user and of the project in this folder. `config` is of the
/// installation that this command is of.
pub(super) async fn run(config: Option<&Config>) -> Result<Vec<Probed>, Failure> {
    let places = Places::of_environment(None)?;
    let installation = Installation::of(config).await;
    let mut found = Vec::new();
    for client in Client::ALL {
        for scope in [Scope::Project, Scope::User] {
            let servers = client.servers_file(scope, &places);
            for (name, denials) in bridge::probe_all(client, &servers).await {
                found.push(judged(client, &servers, name, installation.vouched(denials).await));
            }
            let Some(hooks) = client.hooks_file(scope, &places) else { continue };
            if let Some(denials) = hook::probe(client, &hooks, &places).await {
                found.push(judged(client, &hooks, "hook".to_owned(), installation.vouched(denials).await));
            }
        }
        without_hook(client, &places, &mut found);
    }
    Ok(found)
}

/// The clients that have no way to a broker.
pub(super) fn not_connected(found: &[Probed]) -> Vec<&'static str> {
    let is_found = |name: &str| found.iter().any(|one| one.client == name);
    Client::ALL.into_iter().map(Client::name).filter(|name| !is_found(name)).collect()
}

/// A client whose servers go through the broker and whose own tools nobody asks about. The user's hook holds for every
/// project, a project's only there.
fn without_hook(client: Client, places: &Places, found: &mut Vec<Probed>) {
    let of = |path: &Path, hook: bool| {
        let path = path.display().to_string();
        found.iter().any(|one| one.client == client.name() && one.file == path && (one.connection == "hook") == hook)
    };
    let mut missing = Vec::<PathBuf>::new();
    for scope in [Scope::Project, Scope::User] {
        let Some(path) = client.hooks_file(scope, places) else { continue };
        let users = client.hooks_file(Scope::User, places).is_some_and(|users| of(&users, true));
        if of(&client.servers_file(scope, places), false) && !of(&path, true) && !users {
            missing.push(path);
        }
    }
    let why = "there is no hook, so the client's own tools run without a question";
    let none = |path: &PathBuf| judged(client, path, "hook".to_owned(), Err(Trouble::new(why, CONNECT_AGAIN)));
    found.extend(missing.iter().map(none));
}

fn judged(client: Client, file: &Path, connection: String, result: Result<(Enforcement, String), Trouble>) -> Probed {
    let (enforcement, why, fix) = match result {
        Ok((enforcement, why)) => {
            let ends =
                "`bailiwick observe stop SCOPE --reason …` enforces again; `--accept-observed` takes it as it is";
            (enforcement, why, (enforcement == Enforcement::Observed).then_some(ends))
        }
        Err(Trouble { why, fix }) => (Enforcement::Unknown, why, Some(fix)),
    };
    let file = file.display().to_string();
    Probed { client: client.name(), file, connection, enforcement, why, fix }
}

/// A client's file; what cannot be read may say anything, so it is never taken for one that says nothing.
fn read(path: &Path) -> Result<Option<String>, Trouble> {
    file::read(path).map_err(|error| Trouble::new(format!("`{}` cannot be read: {error}", path.display()), CORRECT_IT))
}

/// The decision that a denial cites.
fn cited(text: &str) -> Option<EvaluationId> {
    let mut words = text.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.find_map(|word| word.parse().ok())
}
