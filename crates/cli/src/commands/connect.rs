//! `bailiwick connect` and `disconnect`: puts the bridge, and Claude Code's hook, into a client's configuration and
//! takes them out again. Shows what changes and asks first; needs no broker.

use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use serde_json::json;
use similar::TextDiff;

use crate::{
    agent::{
        identity::{by_key_alone, read_key},
        tokens::{is_here, issuer_of},
    },
    arguments::{Connect, Disconnect},
    connect::{
        client::{Change, Client, Connected, HOOK_PATH, HOOK_TOKEN, Places},
        document::{self, Edit},
        file,
    },
    exit::{Exit, Failure},
    output::{Output, clean, quoted},
};

/// A file as it is and as it shall be.
struct Step {
    path: PathBuf,
    before: Option<String>,
    /// `None` removes the file.
    after: Option<String>,
    /// Whether `before` is worth keeping: it holds nothing of ours.
    pristine: bool,
    /// Whether it is the file with the hook.
    of_hook: bool,
}

impl Step {
    fn is_needed(&self) -> bool {
        self.before != self.after
    }

    fn difference(&self) -> String {
        let (before, after) = (self.before.as_deref().unwrap_or(""), self.after.as_deref().unwrap_or(""));
        let difference = TextDiff::from_lines(before, after);
        let name = self.path.display().to_string();
        let (old, new) = (
            if self.before.is_some() { name.as_str() } else { "/dev/null" },
            if self.after.is_some() { name.as_str() } else { "/dev/null" },
        );
        clean(&difference.unified_diff().context_radius(3).header(old, new).to_string())
    }
}

/// Connects a client.
pub(crate) async fn connect(ask: &Connect, no_input: bool, output: &Output) -> Result<Exit, Failure> {
    let places = Places::of_environment(ask.project.as_deref())?;
    let connected = connected(ask)?;
    if ask.client == Client::ClaudeCode && !is_here(&connected.url) {
        let why =
            format!("`{}` is not on this machine, and a broker answers hooks on its own machine only", connected.url);
        let next = "every tool would be blocked; run a broker here and connect with `--url http://127.0.0.1:8420`";
        return Err(Failure::new(why).hint(next).exit(Exit::Usage));
    }
    let changes = ask.client.changes(ask.scope, &places, &connected);
    let steps: Vec<Step> = changes.iter().map(connecting).collect::<Result<_, _>>()?;
    let done = carry_out(ask.client, &steps, ask.yes, no_input, output)?;
    if done == Exit::Done && ask.client == Client::ClaudeCode {
        output.hint(&start_claude(&connected));
    }
    Ok(done)
}

/// Takes out what `connect` put in.
pub(crate) async fn disconnect(ask: &Disconnect, no_input: bool, output: &Output) -> Result<Exit, Failure> {
    let places = Places::of_environment(ask.project.as_deref())?;
    let nobody = Connected {
        program: PathBuf::new(),
        system: ask.system.clone(),
        agent: String::new(),
        key: PathBuf::new(),
        task: None,
        url: String::new(),
    };
    let changes = ask.client.changes(ask.scope, &places, &nobody);
    // The hook last: as long as anything of ours is left, the client's own tools are asked about.
    let mut steps: Vec<Step> = changes.iter().map(disconnecting).collect::<Result<_, _>>()?;
    let left = left(ask.client, &steps)?;
    if !left.is_empty() {
        // Without its hook the client's own tools would be asked about by nobody.
        steps.retain(|step| !step.of_hook);
        if ask.client == Client::ClaudeCode {
            output.note(&format!("the hook stays, because these are still connected: {}", left.join(", ")));
        }
    }
    let done = carry_out(ask.client, &steps, ask.yes, no_input, output)?;
    let over = done == Exit::Done && left.is_empty();
    for step in steps.iter().filter(|step| over && step.is_needed()) {
        let backup = file::backup_of(&step.path);
        if backup.exists() {
            std::fs::remove_file(&backup).map_err(|error| Failure::file(&backup, &error))?;
        }
    }
    Ok(done)
}

/// The bridges that stay in the client's file.
fn left(client: Client, steps: &[Step]) -> Result<Vec<String>, Failure> {
    let servers = steps.iter().find(|step| !step.of_hook);
    let Some((path, text)) = servers.and_then(|step| Some((&step.path, step.after.as_ref()?))) else {
        return Ok(Vec::new());
    };
    document::our_servers(text, client.dialect(), client.servers_member()).map_err(|why| refused(path, &why))
}

/// What the client will start, all of it checked as far as one can without a broker.
fn connected(ask: &Connect) -> Result<Connected, Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::new(error.to_string()).exit(Exit::Usage);
    let agent: bailiwick_model::name::AgentName = ask.credential.agent.parse().map_err(|error| usage(&error))?;
    let system: Option<bailiwick_model::name::SystemName> =
        ask.system.as_deref().map(str::parse).transpose().map_err(|error| usage(&error))?;
    let task: Option<bailiwick_model::id::TaskId> =
        ask.credential.task.as_deref().map(str::parse).transpose().map_err(|error| usage(&error))?;
    // Only scheme, host and port: what else a URL can carry may be a secret.
    let url = issuer_of(&ask.url)?;
    let key = by_key_alone(&ask.credential)?;
    read_key(key)?;
    let key = key.canonicalize().map_err(|error| Failure::file(key, &error))?;
    let program = match &ask.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().map_err(|error| Failure::new(format!("where is this program? {error}")))?,
    };
    for path in [&key, &program] {
        if path.to_str().is_none() {
            return Err(Failure::new(format!("`{}` is not UTF-8, so no client can name it", path.display())));
        }
    }
    Ok(Connected {
        program,
        system: system.map(|system| system.to_string()),
        agent: agent.to_string(),
        key,
        task: task.map(|task| task.to_string()),
        url,
    })
}

fn read(path: &Path) -> Result<(PathBuf, Option<String>), Failure> {
    let real = file::real(path).map_err(|error| Failure::file(path, &error))?;
    let text = file::read(&real).map_err(|error| Failure::file(path, &error))?;
    Ok((real, text))
}

fn refused(path: &Path, why: &str) -> Failure {
    Failure::new(format!("`{}`: {why}", path.display())).hint("correct the file, then try again; nothing was changed")
}

fn connecting(change: &Change) -> Result<Step, Failure> {
    let (path, before) = read(&change.path)?;
    let refuse = |why: String| refused(&change.path, &why);
    let text = before.as_deref().unwrap_or_default();
    let pristine = match &change.edit {
        Edit::Server { member, .. } => document::our_servers(text, change.dialect, member).map_err(refuse)?.is_empty(),
        Edit::Hook { .. } => document::our_hook(text, change.dialect).map_err(refuse)?.is_none(),
    };
    let after = document::connect(text, change.dialect, &change.edit).map_err(refuse)?;
    let of_hook = matches!(change.edit, Edit::Hook { .. });
    Ok(Step { path, before, after: Some(after), pristine, of_hook })
}

fn disconnecting(change: &Change) -> Result<Step, Failure> {
    let (path, before) = read(&change.path)?;
    let refuse = |why: String| refused(&change.path, &why);
    let of_hook = matches!(change.edit, Edit::Hook { .. });
    let step = |path, before, after| Step { path, before, after, pristine: false, of_hook };
    let Some(text) = &before else { return Ok(step(path, None, None)) };
    let without = document::disconnect(text, change.dialect, &change.edit).map_err(refuse)?;
    if without == *text {
        return Ok(step(path, before.clone(), before));
    }
    let backup = file::read(&file::backup_of(&path)).map_err(|error| Failure::file(&path, &error))?;
    // Byte for byte as it was, unless somebody changed something else since.
    let after = match backup {
        Some(kept) if document::same(&kept, &without, change.dialect) => Some(kept),
        None if document::is_empty(&without, change.dialect) => None,
        _ => Some(without),
    };
    Ok(step(path, before, after))
}

fn carry_out(client: Client, steps: &[Step], yes: bool, no_input: bool, output: &Output) -> Result<Exit, Failure> {
    let needed: Vec<&Step> = steps.iter().filter(|step| step.is_needed()).collect();
    let files: Vec<String> = needed.iter().map(|step| step.path.display().to_string()).collect();
    let differences: Vec<String> = needed.iter().map(|step| step.difference()).collect();
    let told =
        |changed: bool| json!({"client": client.name(), "changed": changed, "files": files, "diff": differences});
    if needed.is_empty() {
        output.document(&told(false), |_| format!("{}: nothing to change", client.name()));
        return Ok(Exit::Done);
    }
    if !output.is_json() {
        output.data(differences.join("\n").trim_end());
    }
    if !yes && !agreed(no_input)? {
        output.note("nothing was changed");
        return Ok(Exit::Failed);
    }
    for step in &needed {
        write(step).map_err(|error| Failure::file(&step.path, &error))?;
    }
    output.document(&told(true), |_| format!("{}: changed {}", client.name(), files.join(" and ")));
    Ok(Exit::Done)
}

fn write(step: &Step) -> std::io::Result<()> {
    if let (true, Some(before)) = (step.pristine, &step.before) {
        file::keep(&step.path, before)?;
    }
    match &step.after {
        Some(text) => file::replace(&step.path, step.before.as_deref(), text),
        None => file::remove(&step.path, step.before.as_deref()),
    }
}

fn agreed(no_input: bool) -> Result<bool, Failure> {
    if no_input || !std::io::stdin().is_terminal() {
        let failure = Failure::new("nobody is here to say yes");
        return Err(failure.hint("`--yes` writes what is shown").exit(Exit::Usage));
    }
    let mut line = String::new();
    let _ = write!(anstream::stderr().lock(), "Write this? [y/N] ");
    std::io::stdin().lock().read_line(&mut line).map_err(|error| Failure::new(format!("standard input: {error}")))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// The hook's token is short-lived and lives in the environment alone.
fn start_claude(connected: &Connected) -> String {
    let Connected { program, agent, key, task, url, .. } = connected;
    let task = task.as_ref().map(|task| format!(" --task {task}")).unwrap_or_default();
    format!(
        "its own tools have to be in the active policy, once:\n  bailiwick systems add claude_code --client claude-code\n  \
         bailiwick policy publish\nthen start it with the hook's token, without which every tool is blocked:\n  {HOOK_TOKEN}=\"$({} token --agent {agent} --key {}{task} --resource {url}{HOOK_PATH})\" claude",
        quoted(&program.to_string_lossy()),
        quoted(&key.to_string_lossy()),
    )
}
