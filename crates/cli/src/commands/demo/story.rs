//! How the demo talks: short, one idea a scene, on stdout.

use std::{io::IsTerminal as _, path::Path};

use anstyle::{AnsiColor, Style};

use crate::output::Output;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GREEN: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
const RED: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
const YELLOW: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));

/// The narrator.
pub(crate) struct Story<'a> {
    output: &'a Output,
    waits: bool,
}

/// How something ended, as a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Allowed.
    Allowed,
    /// Denied.
    Denied,
    /// Would need a person.
    Asks,
}

impl<'a> Story<'a> {
    /// Waits between scenes only where somebody sits at a terminal.
    pub(crate) fn new(output: &'a Output, no_input: bool) -> Self {
        let waits = !no_input && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        Self { output, waits }
    }

    /// The first words.
    pub(crate) fn opening(&self) {
        self.output.data(&format!(
            "{BOLD}Bailiwick{BOLD:#} stands between AI agents and the systems they touch.\n\
             This demo runs a real broker on this machine, in a scratch folder: a help desk with 243 tickets in SQLite\n\
             behind it, and a scripted agent, `support-bot`, in front. Nothing leaves loopback."
        ));
    }

    /// A scene's title and what it is about.
    pub(crate) fn scene(&self, number: usize, title: &str, about: &str) {
        if self.waits && number > 1 {
            self.output.note(&format!("{DIM}press Enter for the next scene{DIM:#}"));
            let mut line = String::new();
            let _ = std::io::stdin().read_line(&mut line);
        }
        self.output.data(&format!("\n{BOLD}{number}. {title}{BOLD:#}\n   {about}"));
    }

    /// What the agent tries.
    pub(crate) fn tries(&self, what: &str) {
        self.output.data(&format!("   {DIM}support-bot:{DIM:#} {what}"));
    }

    /// How it ended.
    pub(crate) fn ends(&self, mark: Mark, text: &str) {
        let (style, word) = match mark {
            Mark::Allowed => (GREEN, "allowed"),
            Mark::Denied => (RED, "denied "),
            Mark::Asks => (YELLOW, "asks   "),
        };
        self.output.data(&format!("   {style}{word}{style:#}  {text}"));
    }

    /// A line that explains.
    pub(crate) fn says(&self, text: &str) {
        for line in text.lines() {
            self.output.data(&format!("            {line}"));
        }
    }

    /// The last words.
    pub(crate) fn closing(&self, kept: Option<&Path>) {
        let kept = kept.map(|path| format!("\nThe scratch folder is kept in {}.", path.display())).unwrap_or_default();
        self.output.data(&format!(
            "{kept}\n{BOLD}Next{BOLD:#}, with your own system and agent:\n\n  \
             bailiwick init --dir my-broker && cd my-broker\n  \
             bailiwick systems add files --env \"PATH=$PATH\" \\\n    \
             --stdio \"npx -y @modelcontextprotocol/server-filesystem $HOME/Documents\"\n  \
             bailiwick policy publish && bailiwick serve\n\n\
             docs/getting-started.md goes on from there: an agent, its key, a client, the first denial."
        ));
    }
}
