//! One installation in a scratch folder: its commands, its files, its server.
//!
//! The server is the real binary as its own process, killed when this is
//! dropped. Nothing here knows what is inside it.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use bailiwick_keys::agent_key::AgentKey;
use serde_json::Value;
use tempfile::TempDir;

use crate::{ports::free_port, tools::Tools};

/// How long a server may take until it is ready: generous, since other tests run beside it.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Where Debian has the library that sets a program's clock.
pub(crate) const LIBFAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// An installation, and its server while one runs.
#[derive(Debug)]
pub struct Broker {
    folder: TempDir,
    program: PathBuf,
    port: u16,
    server: Option<Child>,
    /// Whether the server is a child of what was started.
    traced: bool,
}

/// What a command came to.
#[derive(Debug)]
pub struct Answer {
    /// The command, for messages.
    pub command: String,
    /// Its exit code.
    pub code: i32,
    /// Data.
    pub stdout: String,
    /// Messages.
    pub stderr: String,
}

/// An agent that was registered, with its key.
#[derive(Debug)]
pub struct Agent {
    /// Its name.
    pub name: String,
    /// Its private key's file.
    pub key_file: PathBuf,
    /// Its private key.
    pub key: AgentKey,
}

impl Broker {
    /// A place for an installation; nothing is there yet.
    pub fn nowhere(tools: &Tools) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        Self { folder, program: tools.broker().to_owned(), port: free_port(), server: None, traced: false }
    }

    /// Makes an installation with `bailiwick init`; nothing runs yet.
    pub fn init(tools: &Tools) -> Self {
        let broker = Self::nowhere(tools);
        let place = broker.home().to_string_lossy().into_owned();
        broker.run(&["init", "--dir", &place, "--no-input"]).succeeded();
        broker
    }

    /// Makes an installation and starts its server.
    pub fn started(tools: &Tools) -> Self {
        let mut broker = Self::init(tools);
        broker.serve();
        broker
    }

    /// Starts the server and waits until it is ready.
    pub fn serve(&mut self) {
        let command = self.command(&["serve", "--listen", &self.address()]);
        self.serve_by(command);
    }

    /// The same, and waits until it has compared the definitions of every system with the pinned ones.
    pub fn serve_verified(&mut self) {
        self.serve();
        self.wait_until_verified();
    }

    /// Waits until the definitions of every system of the active bundle were compared with the pinned ones.
    pub fn wait_until_verified(&self) {
        let start = Instant::now();
        loop {
            let told = self.run(&["systems", "list", "--output", "json"]).succeeded().json();
            let systems = told.get("systems").and_then(Value::as_array).cloned().unwrap_or_default();
            if systems.iter().all(|system| system.get("verified_at").is_some_and(Value::is_string)) {
                return;
            }
            assert!(start.elapsed() < READY_WITHIN, "systems are not verified: {told}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts the server so that no file of it, nor of its children, can grow beyond `kib` kilobytes: a full disk.
    pub fn serve_with_files_of_at_most(&mut self, kib: u32) {
        // Without the trap, the system would end the server instead of refusing the write.
        let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$@\"");
        let plain = self.command(&["serve", "--listen", &self.address()]);
        let mut command = Command::new("bash");
        command.args(["-c", &script, "bash"]).arg(plain.get_program()).args(plain.get_args());
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(self.folder.path());
        self.serve_by(command);
    }

    /// Starts the server with a clock that is so many seconds ahead, and goes on from there.
    pub fn serve_ahead(&mut self, seconds: i64) {
        let mut command = self.command(&["serve", "--listen", &self.address()]);
        command.env("LD_PRELOAD", LIBFAKETIME).env("FAKETIME", format!("+{seconds}s"));
        // Only what time it is, not how fast it passes.
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        self.serve_by(command);
    }

    /// Starts the server as `trace` makes it from its command, as its child, and says whether it got ready.
    pub fn serve_traced(&mut self, trace: impl FnOnce(&Command) -> Command) -> bool {
        let plain = self.command(&["serve", "--listen", &self.address()]);
        self.traced = true;
        self.start(trace(&plain));
        self.wait_until_ready().is_ok()
    }

    /// Host and port of its listener.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn serve_by(&mut self, command: Command) {
        self.traced = false;
        self.start(command);
        if let Err(problem) = self.wait_until_ready() {
            panic!("{problem}:\n{}", self.log());
        }
    }

    fn start(&mut self, mut command: Command) {
        let log = File::options().create(true).append(true).open(self.log_file()).expect("a log file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.server = Some(command.spawn().expect("the broker starts"));
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let start = Instant::now();
        while !self.is_ready() {
            if self.has_ended() {
                return Err("the broker ended".to_owned());
            }
            if start.elapsed() > READY_WITHIN {
                return Err("the broker is not ready".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Whether the server ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.server.as_mut().is_none_or(|server| server.try_wait().is_ok_and(|ended| ended.is_some()))
    }

    /// Whether `/readyz` says 200.
    pub fn is_ready(&self) -> bool {
        use std::{io::Read as _, net::TcpStream};
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let ask = format!("GET /readyz HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\n\r\n", self.port);
        let mut told = String::new();
        stream.write_all(ask.as_bytes()).is_ok()
            && stream.read_to_string(&mut told).is_ok()
            && told.starts_with("HTTP/1.1 200")
    }

    /// The server's process, while one runs.
    pub fn server_id(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// Ends the server as a power cut would (SIGKILL).
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            if self.traced {
                // A tracer that is killed lets go of whom it traces, so that one first; then the tracer ends as well.
                let parent = server.id();
                let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
                for child in children.split_whitespace() {
                    drop(Command::new("kill").args(["-9", child]).stderr(Stdio::null()).status());
                }
            } else {
                drop(server.kill());
            }
            drop(server.wait());
        }
    }

    /// Its folder: configuration, policies, roles, systems.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// A folder beside it for whatever a story needs.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// `http://127.0.0.1:PORT`: the issuer, and what every resource starts with.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What the server said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("serve.log")
    }

    /// A command of this installation, not yet run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("BAILIWICK_CONFIG", self.home().join("bailiwick.toml"))
            .env("BAILIWICK_URL", self.url())
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of this installation as `trace` makes it.
    pub fn run_traced(&self, arguments: &[&str], trace: impl FnOnce(&Command) -> Command) -> Answer {
        let output = trace(&self.command(arguments)).output().expect("the command runs");
        Answer::new(arguments, &output)
    }

    /// Runs a command of this installation.
    pub fn run(&self, arguments: &[&str]) -> Answer {
        let output = self.command(arguments).output().expect("the command runs");
        Answer::new(arguments, &output)
    }

    /// Runs a command that reads `input`.
    pub fn run_fed(&self, arguments: &[&str], input: &str) -> Answer {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command runs");
        let mut pipe = child.stdin.take().expect("a pipe");
        pipe.write_all(input.as_bytes()).expect("the command reads its input");
        drop(pipe);
        Answer::new(arguments, &child.wait_with_output().expect("the command ends"))
    }

    /// Writes a file of the installation, such as `roles/support.toml`.
    pub fn write(&self, path: &str, text: &str) {
        let file = self.home().join(path);
        fs::create_dir_all(file.parent().expect("a file has a folder")).expect("a folder");
        fs::write(file, text).expect("a file");
    }

    /// Reads a file of the installation.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.home().join(path)).expect("a file of the installation")
    }

    /// Changes a file of the installation: every one of `changes` must apply.
    pub fn edit(&self, path: &str, changes: &[(&str, &str)]) {
        let mut text = self.read(path);
        for (from, to) in changes {
            assert!(text.contains(from), "{path} does not hold `{from}`:\n{text}");
            text = text.replace(from, to);
        }
        self.write(path, &text);
    }

    /// Adds a system that the broker starts itself. Its children find programs where this test does.
    pub fn add_stdio(&self, name: &str, command: &[&str], environment: &[&str]) {
        let line: Vec<String> = command.iter().map(|word| format!("'{word}'")).collect();
        let line = line.join(" ");
        let path = format!("PATH={}", std::env::var("PATH").unwrap_or_default());
        let mut words = vec!["systems", "add", name, "--stdio", &line, "--env", &path];
        for pair in environment {
            words.extend(["--env", pair]);
        }
        self.run(&words).succeeded();
    }

    /// Adds a system behind a URL.
    pub fn add_url(&self, name: &str, url: &str) {
        self.run(&["systems", "add", name, "--url", url]).succeeded();
    }

    /// Says what the tools of a system are: each table of `tools` replaces what `systems add` proposed, its pinned
    /// definition aside.
    pub fn classify(&self, system: &str, tools: &str) {
        let path = format!("systems/{system}.toml");
        let mut file: toml::Table = self.read(&path).parse().expect("a proposal in TOML");
        let ours: toml::Table = tools.parse().expect("a classification in TOML");
        let proposed = file.entry("tools").or_insert_with(|| toml::Table::new().into());
        let proposed = proposed.as_table_mut().expect("a table of tools");
        for (name, entry) in ours {
            let mut entry = entry.as_table().expect("a table per tool").clone();
            let pinned = proposed.get(&name).and_then(|old| old.get("definition")).cloned();
            entry.extend(pinned.map(|digest| ("definition".to_owned(), digest)));
            proposed.insert(name, entry.into());
        }
        self.write(&path, &file.to_string());
    }

    /// Publishes what the folder holds.
    pub fn publish(&self) {
        self.run(&["policy", "publish"]).succeeded();
    }

    /// Registers an agent with a new key, and promotes it.
    pub fn register(&self, name: &str, role: &str, flags: &[&str]) -> Agent {
        let agent = self.register_new(name, role, flags);
        self.run(&["agents", "promote", name, "--reason", "a test"]).succeeded();
        agent
    }

    /// Registers an agent with a new key; it is read-only until it is promoted.
    pub fn register_new(&self, name: &str, role: &str, flags: &[&str]) -> Agent {
        let key_file = self.folder.path().join(format!("{name}.pem"));
        let file = key_file.to_string_lossy().into_owned();
        let mut words = vec!["agents", "register", name, "--owner", "owner@example.com", "--purpose", "a test"];
        words.extend(["--role", role, "--generate-key", &file]);
        words.extend(flags);
        self.run(&words).succeeded();
        let key = AgentKey::load(&key_file).expect("the key that was just made");
        Agent { name: name.to_owned(), key_file, key }
    }

    /// The whole log, oldest first, however long.
    pub fn whole_log(&self) -> Vec<Value> {
        let exported = self.run(&["audit", "export"]).succeeded().stdout;
        exported.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// The last page of what happened, oldest first: all of it in a story of some hundred entries.
    pub fn evidence(&self) -> Vec<Value> {
        let answer = self.run(&["audit", "tail", "--lines", "100000", "--output", "json"]).succeeded();
        answer.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Answer {
    fn new(arguments: &[&str], output: &Output) -> Self {
        Self {
            command: format!("bailiwick {}", arguments.join(" ")),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// It must have ended with 0.
    pub fn succeeded(self) -> Self {
        self.ended_with(0)
    }

    /// It must have ended with this code.
    pub fn ended_with(self, code: i32) -> Self {
        let Self { command, code: ended, stdout, stderr } = &self;
        assert_eq!(*ended, code, "`{command}` ended with {ended}, not {code}\n{stdout}\n{stderr}");
        self
    }

    /// Its data, which must be JSON.
    pub fn json(&self) -> Value {
        let Self { command, stdout, .. } = self;
        serde_json::from_str(stdout).unwrap_or_else(|error| panic!("`{command}` printed no JSON ({error}):\n{stdout}"))
    }
}
