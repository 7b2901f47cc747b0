//! The tool: recording what a program does to files, and faults of chosen system calls.
//!
//! Needs `strace` and a kernel that lets a process trace its children. In CI
//! (`BAILIWICK_CI`) a machine without them fails the test; elsewhere it is said
//! loudly that nothing was tested.

use std::{
    env,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// Every call that can change a file or its name; the model refuses those that it does not know.
const CHANGES: &str = "open,openat,openat2,creat,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,\
    sync_file_range,ftruncate,truncate,fallocate,copy_file_range,sendfile,rename,renameat,renameat2,unlink,unlinkat,\
    link,linkat,symlink,symlinkat";
/// The calls after which something more is on the disk, or is there under another name.
pub const PERSISTS: [&str; 13] = [
    "write",
    "pwrite64",
    "copy_file_range",
    "fsync",
    "fdatasync",
    "ftruncate",
    "rename",
    "renameat",
    "unlink",
    "unlinkat",
    "link",
    "linkat",
    "mkdir",
];
/// Longest string that is written down: a write of SQLite is a page at most, a policy a few of them.
const STRING_BYTES_MAX: &str = "16000000";

/// What happens to a system call instead of what should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is not done, and says this error, such as `EIO`.
    Error(&'static str),
    /// It is not done, and nobody else of the process does anything any more.
    Kill,
}

/// A fault of some system calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which calls, with commas between them.
    pub calls: String,
    /// What happens to them.
    pub fate: Fate,
    /// Which of them, counted per thread, as strace says it: `3`, `3+` or `2..5`.
    pub when: String,
}

/// Whether faults and recordings are possible here; if not, that is said, and in CI it is a failure.
pub fn ready() -> bool {
    let works = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let probe = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO", "true"];
    if works("strace", &probe) {
        return true;
    }
    let missing = "`strace` is missing or may not trace (hint: apt-get install strace; in a container, allow ptrace)";
    assert!(env::var_os("BAILIWICK_CI").is_none(), "in CI crashes must be tested, but {missing}");
    drop(writeln!(std::io::stderr(), "\n!!!! SKIPPED, nothing was tested: {missing}\n"));
    false
}

/// The command, recorded, with faults: what it does to files goes to `told`, for [`crate::recording::Recording::read`].
pub fn recorded_with(command: &Command, told: &Path, faults: &[Fault]) -> Command {
    let trace = format!("trace={CHANGES}");
    let mut arguments = vec!["-xx".to_owned(), "-s".into(), STRING_BYTES_MAX.into(), "-e".into(), trace];
    arguments.extend(faults.iter().flat_map(|fault| ["-e".to_owned(), fault.told()]));
    traced(command, told, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The command with faults; the calls that they are about go to `told`. If there are `paths`, only calls on these.
pub fn faulty(command: &Command, told: &Path, faults: &[Fault], paths: &[&Path]) -> Command {
    let calls: Vec<&str> = faults.iter().map(|fault| fault.calls.as_str()).collect();
    let mut arguments = vec!["-e".to_owned(), format!("trace={}", calls.join(","))];
    arguments.extend(faults.iter().flat_map(|fault| ["-e".to_owned(), fault.told()]));
    arguments.extend(paths.iter().flat_map(|path| ["-P".to_owned(), path.to_string_lossy().into_owned()]));
    traced(command, told, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The command, with the names of all calls that [`PERSISTS`] lists in `told`.
pub fn counted(command: &Command, told: &Path) -> Command {
    traced(command, told, &["-xx", "-e", &format!("trace={}", PERSISTS.join(","))])
}

/// A command that brings faults of the calls on `paths` to a process that runs, until it is interrupted.
pub fn attached(process: u32, faults: &[Fault], paths: &[&Path]) -> Command {
    let calls: Vec<&str> = faults.iter().map(|fault| fault.calls.as_str()).collect();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-y", "-o", "/dev/null", "-e"]).arg(format!("trace={}", calls.join(",")));
    for fault in faults {
        strace.arg("-e").arg(fault.told());
    }
    for path in paths {
        strace.arg("-P").arg(path);
    }
    strace.arg("-p").arg(process.to_string());
    strace
}

fn traced(command: &Command, told: &Path, arguments: &[&str]) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-y", "-e", "signal=none"]).args(arguments).arg("-o").arg(told);
    strace.arg("--").arg(command.get_program()).args(command.get_args());
    strace.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        strace.current_dir(folder);
    }
    strace
}

impl Fault {
    /// A fault of the calls that `when` picks.
    pub fn new(calls: &str, fate: Fate, when: impl Into<String>) -> Self {
        Self { calls: calls.to_owned(), fate, when: when.into() }
    }

    fn told(&self) -> String {
        let fate = match &self.fate {
            Fate::Error(error) => format!("error={error}"),
            Fate::Kill => "signal=KILL".to_owned(),
        };
        format!("inject={}:{fate}:when={}", self.calls, self.when)
    }
}
