//! The one place that prints. A closed pipe ends the sentence, never the task.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

/// A line of data.
pub(crate) fn out(line: impl Display) {
    drop(writeln!(io::stdout(), "{line}"));
}

/// A line for people.
pub(crate) fn err(line: impl Display) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// A line that nobody scrolling by can miss.
pub(crate) fn loudly(line: impl Display) {
    let bar = "!".repeat(72);
    err(format_args!("\n{bar}\n!! {line}\n{bar}"));
}
