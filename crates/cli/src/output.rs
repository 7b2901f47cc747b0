//! Everything that is printed: data on stdout, messages on stderr, tables for people, JSON for programs.

use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs: one pretty document.
    Json,
}

/// The two streams and how to write to them. Colour goes only to terminals and obeys `NO_COLOR`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
    quiet: bool,
}

const BOLD: Style = Style::new().bold();
const RED: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
const CYAN: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Cyan)));

impl Output {
    /// Chooses format and silence.
    pub(crate) fn new(format: Format, quiet: bool) -> Self {
        Self { format, quiet }
    }

    /// Whether a program reads stdout.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// One line of data, or several.
    pub(crate) fn data(&self, text: &str) {
        // A reader that went away is no error of ours.
        let _ = writeln!(anstream::stdout().lock(), "{text}");
    }

    /// A document: JSON as it is, or what `table` makes of it.
    pub(crate) fn document(&self, value: &serde_json::Value, table: impl FnOnce(&serde_json::Value) -> String) {
        let text = match self.format {
            Format::Json => serde_json::to_string_pretty(value).unwrap_or_default(),
            Format::Table => table(value),
        };
        // An empty table is nothing, not an empty line.
        if !text.is_empty() {
            self.data(text.trim_end());
        }
    }

    /// A message beside the data.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(anstream::stderr().lock(), "{text}");
        }
    }

    /// What somebody must read for the command to go on, beside the data and whatever `--quiet` says: in words, or for a
    /// program one line of JSON.
    pub(crate) fn prompt(&self, value: &serde_json::Value, words: &str) {
        let mut stderr = anstream::stderr().lock();
        let _ = match self.format {
            Format::Json => writeln!(stderr, "{value}"),
            Format::Table => writeln!(stderr, "{words}"),
        };
    }

    /// The next step.
    pub(crate) fn hint(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(anstream::stderr().lock(), "{CYAN}hint:{CYAN:#} {text}");
        }
    }

    /// A failure.
    pub(crate) fn error(&self, message: &str, hint: Option<&str>) {
        let mut stderr = anstream::stderr().lock();
        let _ = writeln!(stderr, "{RED}error:{RED:#} {message}");
        if let Some(hint) = hint {
            let _ = writeln!(stderr, "{CYAN}hint:{CYAN:#} {hint}");
        }
    }

    /// A progress bar on stderr; invisible where nobody watches.
    pub(crate) fn progress(&self, length: u64, what: &str) -> indicatif::ProgressBar {
        if self.quiet || !std::io::stderr().is_terminal() {
            return indicatif::ProgressBar::hidden();
        }
        let bar = indicatif::ProgressBar::new(length);
        bar.set_message(what.to_owned());
        if let Ok(style) = indicatif::ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}") {
            bar.set_style(style);
        }
        bar
    }
}

/// A plain table.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.map(str::to_uppercase));
    let mut empty = true;
    for row in rows {
        empty = false;
        table.add_row(row);
    }
    if empty {
        return String::new();
    }
    // The preset pads the first column; a list reads better from the margin.
    table
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// `name  value` lines, aligned, with further lines of a value under its first.
pub(crate) fn fields(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let below = format!("\n{:width$}  ", "");
    let row = |(name, value): &(&str, String)| format!("{BOLD}{name:width$}{BOLD:#}  {}", value.replace('\n', &below));
    rows.iter().map(row).collect::<Vec<_>>().join("\n")
}

/// A string member of a JSON object, or `-`.
pub(crate) fn text(value: &serde_json::Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(serde_json::Value::Null) => "-".to_owned(),
        Some(serde_json::Value::String(text)) if text.is_empty() => "-".to_owned(),
        Some(serde_json::Value::String(text)) => clean(text),
        Some(serde_json::Value::Array(items)) if items.is_empty() => "-".to_owned(),
        Some(serde_json::Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), clean))
            .collect::<Vec<_>>()
            .join(", "),
        Some(other) => other.to_string(),
    }
}

/// A finding, or a failed test, as one of the API's `errors`.
pub(crate) fn finding(finding: &serde_json::Value) -> String {
    if finding.get("difference").is_some() {
        return format!(
            "FAILED  {} ({})\n{}",
            text(finding, "/name"),
            text(finding, "/file"),
            text(finding, "/difference")
        );
    }
    let number = |name| finding.get(name).and_then(serde_json::Value::as_u64);
    let place = match (number("line"), number("column")) {
        (Some(line), Some(column)) => format!("{}:{line}:{column}", text(finding, "/file")),
        (Some(line), None) => format!("{}:{line}", text(finding, "/file")),
        (None, _) => text(finding, "/file"),
    };
    let mut line =
        format!("{}[{}] {place}: {}", text(finding, "/severity"), text(finding, "/code"), text(finding, "/message"));
    if finding.get("help").is_some_and(serde_json::Value::is_string) {
        line.push_str(&format!("\nhint: {}", text(finding, "/help")));
    }
    line
}

/// Text from elsewhere without what would steer a terminal.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// One word for a POSIX shell, whatever is in it.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", clean(word).replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_value_stand_under_each_other() {
        let check = |long: &'static str, expected: &str| {
            let rows = [("id", "1".to_owned()), (long, "a\nb".to_owned())];
            let plain = anstream::adapter::strip_str(&fields(&rows)).to_string();
            assert_eq!(plain, expected);
        };
        check("tools", "id     1\ntools  a\n       b");
        check("parameters", "id          1\nparameters  a\n            b");
    }
}
