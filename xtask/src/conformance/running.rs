//! A program that tells its URL in its first line and ends with its standard input.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
};

use crate::outcome::Failure;

/// One running program; dropping this ends it.
pub(super) struct Running {
    child: Child,
    input: Option<ChildStdin>,
    url: String,
}

impl Running {
    /// Starts it and waits for its first line.
    pub(super) fn start(program: &mut Command) -> Result<Self, Failure> {
        let name = program.get_program().to_string_lossy().into_owned();
        let started = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| Failure::new(format!("cannot run `{name}`: {error}")))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let mut running = Self { child, input, url: String::new() };
        if let Some(output) = output {
            BufReader::new(output).read_line(&mut running.url)?;
        }
        running.url.truncate(running.url.trim_end().len());
        if running.url.starts_with("http://") {
            Ok(running)
        } else {
            Err(Failure::new(format!("`{name}` ended before it listened")))
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Writes a line to it.
    pub(super) fn tell(&mut self, line: &str) -> Result<(), Failure> {
        let gone = || Failure::new("a server of the suite no longer listens to its input");
        writeln!(self.input.as_mut().ok_or_else(gone)?, "{line}").map_err(|_| gone())
    }

    /// Closes its input and waits until it has ended, with everything that it started.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        self.input = None;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(Failure::new(format!("a server of the suite ended with {status}"))) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whoever started others ends them when its input does; after `end` there is nothing to do.
        if self.input.take().is_some() {
            std::thread::sleep(std::time::Duration::from_millis(500));
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
