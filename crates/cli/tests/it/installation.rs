//! An installation in a scratch folder, and what commands in it print, without what differs from run to run.

use std::{
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

/// A folder of its own, and the binary run in it with an environment of its own.
pub(crate) struct Installation {
    folder: TempDir,
}

impl Installation {
    /// An empty folder.
    pub(crate) fn none() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// What `init` makes.
    pub(crate) fn fresh() -> Self {
        let here = Self::none();
        let made = here.output(&["init", "--dir", "D"]);
        assert!(made.status.success(), "{made:?}");
        here
    }

    /// What `demo` leaves: an agent, a system, a task, and evidence of each kind of decision.
    pub(crate) fn lived_in() -> Self {
        let here = Self::none();
        let kept = here.path().join("D");
        let made = here.output(&["demo", "--keep", kept.to_str().unwrap()]);
        assert!(made.status.success(), "{made:?}");
        here
    }

    /// The folder that commands run in; the installation is in its folder `D`.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Changes a text in a file, which must hold it.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no `{from}`");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    /// Runs a command.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.output_of(Command::new(env!("CARGO_BIN_EXE_bailiwick")), arguments)
    }

    /// Runs a command that can write no file of more than a kibibyte.
    pub(crate) fn output_without_space(&self, arguments: &[&str]) -> Output {
        let mut shell = Command::new("/bin/sh");
        // What is inherited as ignored stays ignored, so that a write too many is an error and no death.
        shell.args(["-c", "trap '' XFSZ; ulimit -f 2; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_bailiwick")]);
        self.output_of(shell, arguments)
    }

    fn output_of(&self, mut command: Command, arguments: &[&str]) -> Output {
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("BAILIWICK_CONFIG", "D/bailiwick.toml")
            .env("HOME", self.path());
        command.stdin(std::process::Stdio::null()).output().unwrap()
    }

    /// The whole command: how it is typed, both streams, and how it ends.
    pub(crate) fn told(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let mut told = format!("$ bailiwick {}\n", arguments.join(" "));
        told.push_str(&String::from_utf8_lossy(&output.stdout));
        told.push_str(&String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            told.push_str(&format!("[exit code {}]\n", output.status.code().unwrap_or(-1)));
        }
        settled(&told, self.path())
    }

    /// Several commands, one after another.
    pub(crate) fn session(&self, commands: &[&[&str]]) -> String {
        commands.iter().map(|arguments| self.told(arguments)).collect::<Vec<_>>().join("\n")
    }
}

/// The text with every run's own values replaced by as many letters: digests and ids, times, folders, free space.
/// Widths stay, so that a table that is out of line shows.
fn settled(text: &str, folder: &Path) -> String {
    let binary = env!("CARGO_BIN_EXE_bailiwick");
    let text = text.replace(binary, "[binary]").replace(folder.to_str().unwrap(), "[folder]");
    let mut settled = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.') {
            word.push(c);
            continue;
        }
        settled.push_str(&settled_word(&word));
        word.clear();
        settled.push(c);
    }
    settled.pop();
    let lines =
        settled.lines().map(|line| if line.ends_with("where the evidence lies") { "OK    … free" } else { line });
    lines.map(|line| checkpoints_settled(line.trim_end()) + "\n").collect()
}

/// How many checkpoints there are depends on how long a run took.
fn checkpoints_settled(line: &str) -> String {
    let parts =
        line.split_once(" under ").and_then(|(before, rest)| Some((before, rest.split_once(" signed checkpoints")?)));
    match parts {
        Some((before, (_, after))) => format!("{before} under N signed checkpoints{after}"),
        None => line.to_owned(),
    }
}

fn settled_word(word: &str) -> String {
    let shape = |word: &str| word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect::<String>();
    let hexadecimal = |text: &str| text.len() >= 12 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    let (before, last) = word.rfind([':', '_']).map_or(("", word), |at| word.split_at(at + 1));
    if hexadecimal(last) {
        return format!("{before}{}", "x".repeat(last.len()));
    }
    // A key's id: the thumbprint in base64url.
    if word.len() == 43 && !word.contains([':', '.']) {
        return "k".repeat(43);
    }
    match shape(word).as_str() {
        "0000-00-00" => "YYYY-MM-DD".to_owned(),
        "00:00" => "hh:mm".to_owned(),
        "00:00:00" => "hh:mm:ss".to_owned(),
        time if time.starts_with("0000-00-00T00:00:00") => "YYYY-MM-DDThh:mm:ssZ".to_owned(),
        _ if word.starts_with("operator:uid-") => "operator:uid-N".to_owned(),
        _ => word.to_owned(),
    }
}
