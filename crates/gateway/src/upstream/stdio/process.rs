//! A child process: spawned without a shell, with an environment that holds
//! only what was declared, under limits, in a process group that dies with it.
//! Knows nothing of MCP.
//!
//! The limits are set right after the start, since setting them before takes
//! code that the compiler cannot check; until then, for some microseconds, the
//! child has those of the broker.

use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};

use bailiwick_model::{name::SystemName, secret::Secret};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::{
    io::AsyncReadExt,
    process::{ChildStderr, ChildStdin, ChildStdout, Command},
};

use crate::upstream::{UpstreamError, secrets::Redactor, target::ProcessLimits};

/// Where programs are looked for unless the system declares its own `PATH`.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// How long a child may take to end by itself once its input is closed, and again once asked to.
const END_GRACE: Duration = Duration::from_secs(2);
/// Bytes of a server's diagnostics that go to the log over its life; the rest is read and dropped.
const STDERR_BYTES_LOGGED_MAX: usize = 1_024 * 1_024;
/// Bytes of one logged line.
const STDERR_LINE_BYTES_MAX: usize = 2_048;

/// What to start and how.
pub(crate) struct Spawn<'a> {
    pub(crate) system: &'a SystemName,
    pub(crate) command: &'a str,
    pub(crate) args: &'a [String],
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) directory: Option<&'a Path>,
    pub(crate) secret_env: BTreeMap<String, Secret<String>>,
    pub(crate) limits: ProcessLimits,
    /// Whether several principals use it.
    pub(crate) shared: bool,
    pub(crate) call_timeout: Duration,
    pub(crate) idle_timeout: Duration,
}

impl Spawn<'_> {
    pub(super) fn redactor(&self) -> Redactor {
        Redactor::new(self.secret_env.values())
    }
}

/// The ends of the child's streams.
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// A child and its process group.
pub(super) struct Child {
    process: tokio::process::Child,
    group: Option<Pid>,
}

pub(super) fn spawn(spawn: &Spawn<'_>) -> Result<(Child, Pipes), UpstreamError> {
    let mut command = Command::new(spawn.command);
    command.args(spawn.args).env_clear().env("PATH", PATH).envs(spawn.env);
    for (variable, secret) in &spawn.secret_env {
        command.env(variable, secret.expose());
    }
    if let Some(directory) = spawn.directory {
        command.current_dir(directory);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let mut process = command
        .spawn()
        .map_err(|error| UpstreamError::Start(format!("`{}`: {}", spawn.command, io_reason(error.kind()))))?;
    let group = process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let pipes = (process.stdin.take(), process.stdout.take(), process.stderr.take());
    let child = Child { process, group };
    let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(UpstreamError::Start("its standard streams cannot be opened".into()));
    };
    child.limit(spawn.limits)?;
    tracing::info!(system.name = %spawn.system, process.id = child.process.id(), "a server process was started");
    Ok((child, Pipes { stdin, stdout, stderr }))
}

fn io_reason(kind: std::io::ErrorKind) -> &'static str {
    match kind {
        std::io::ErrorKind::NotFound => {
            "not found\nhint: name it by its absolute path, or declare `PATH` in the system's `env`"
        }
        std::io::ErrorKind::PermissionDenied => "it may not be executed",
        _ => "the operating system refuses",
    }
}

impl Child {
    fn limit(&self, limits: ProcessLimits) -> Result<(), UpstreamError> {
        let all = [
            (Resource::Core, Some(0)),
            (Resource::Nofile, Some(limits.open_files_max)),
            (Resource::Fsize, limits.file_bytes_max),
            (Resource::Data, limits.memory_bytes_max),
        ];
        for (resource, value) in all {
            let Some(value) = value else { continue };
            let limit = Rlimit { current: Some(value), maximum: Some(value) };
            match prlimit(self.group, resource, limit) {
                // `SRCH`: gone already, and the reader will say so. `PERM`: a stricter limit is in force.
                Ok(_) | Err(rustix::io::Errno::SRCH | rustix::io::Errno::PERM) => {}
                Err(_) => return Err(UpstreamError::Start("its limits cannot be set".into())),
            }
        }
        Ok(())
    }

    /// Waits for the child to end by itself and says how it did.
    pub(super) async fn exited(&mut self) -> String {
        match self.process.wait().await {
            Ok(status) => match status.code() {
                Some(code) => format!("the server ended with status {code}"),
                None => "the server was killed".to_owned(),
            },
            Err(_) => "the server cannot be waited for".to_owned(),
        }
    }

    /// Ends the child and its group: its input is closed already, then it is asked, then forced.
    pub(super) async fn end(mut self) {
        if tokio::time::timeout(END_GRACE, self.process.wait()).await.is_err() {
            self.signal(Signal::TERM);
            drop(tokio::time::timeout(END_GRACE, self.process.wait()).await);
        }
        // Whatever is left of its group goes in `Drop`.
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // A group that has ended is what is wanted.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Reads a server's diagnostics so that it never blocks on them, and logs their beginning without secrets.
pub(super) async fn drain(mut stderr: ChildStderr, system: String, redactor: Redactor) {
    let mut chunk = vec![0; 4_096];
    let mut line = Vec::new();
    let mut left = STDERR_BYTES_LOGGED_MAX;
    loop {
        let read = match stderr.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        for byte in chunk.iter().take(read) {
            if left == 0 {
                break;
            }
            if *byte != b'\n' {
                // One byte beyond the maximum marks a line as too long.
                if line.len() <= STDERR_LINE_BYTES_MAX {
                    line.push(*byte);
                }
                continue;
            }
            left = left.saturating_sub(line.len().max(1));
            log_line(&system, &line, &redactor);
            line.clear();
        }
    }
    if left > 0 && !line.is_empty() {
        log_line(&system, &line, &redactor);
    }
}

fn log_line(system: &str, line: &[u8], redactor: &Redactor) {
    // A cut line may hold a piece of a secret, which nobody would recognise.
    if line.len() > STDERR_LINE_BYTES_MAX {
        tracing::debug!(system.name = system, "a server wrote an overlong line of diagnostics");
        return;
    }
    let text = String::from_utf8_lossy(line);
    let clean = redactor.clean_text(&text);
    let shown = clean.as_deref().unwrap_or(&text).trim_end().escape_debug();
    tracing::debug!(system.name = system, diagnostics = %shown, "a server wrote diagnostics");
}
