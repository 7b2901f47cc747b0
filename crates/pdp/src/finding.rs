//! What is wrong with a bundle: where, why, and what to do. Never a decision.

use serde::Serialize;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The bundle cannot be published.
    Error,
    /// It can, but somebody should look.
    Warning,
}

impl Severity {
    /// As printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong with a bundle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The file inside the bundle, `/`-separated; empty if it is about the bundle as a whole.
    pub file: String,
    /// The line in that file, from 1.
    pub line: Option<usize>,
    /// The character in that line, from 1, where it is known.
    pub column: Option<u32>,
    /// Error or warning.
    pub severity: Severity,
    /// A stable word for programs, such as `policy-id-missing`.
    pub code: &'static str,
    /// A lower-case fragment without a full stop.
    pub message: String,
    /// The next step, if there is one.
    pub help: Option<String>,
}

impl Finding {
    /// Something that refuses the bundle.
    pub fn error(code: &'static str, file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: None,
            column: None,
            severity: Severity::Error,
            code,
            message: message.into(),
            help: None,
        }
    }

    /// Something to look at.
    pub fn warning(code: &'static str, file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, file, message) }
    }

    /// With the line it stands on, from 1.
    #[must_use]
    pub fn at(mut self, line: impl Into<Option<usize>>) -> Self {
        self.line = line.into();
        self
    }

    /// With the character of its line, from 1.
    #[must_use]
    pub fn at_column(mut self, column: impl Into<Option<usize>>) -> Self {
        self.column = column.into().and_then(|column| u32::try_from(column).ok());
        self
    }

    /// With line and column, both from 1.
    #[must_use]
    pub(crate) fn at_place(self, place: impl Into<Option<(usize, usize)>>) -> Self {
        let (line, column) = place.into().unzip();
        self.at(line).at_column(column)
    }

    /// With line and column of a byte of the file's text.
    #[must_use]
    pub(crate) fn at_byte(self, text: &str, offset: usize) -> Self {
        self.at_place(place_of(text, offset))
    }

    /// With the next step.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl std::fmt::Display for Finding {
    /// `error[policy-id-missing] policies/a.cedar:3:1: message`, with a `hint:` line where there is help.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]", self.severity.as_str(), self.code)?;
        if !self.file.is_empty() {
            write!(f, " {}", self.file)?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
                if let Some(column) = self.column {
                    write!(f, ":{column}")?;
                }
            }
        }
        write!(f, ": {}", self.message)?;
        if let Some(help) = &self.help {
            write!(f, "\nhint: {help}")?;
        }
        Ok(())
    }
}

/// Line and character, both from 1, at which byte `offset` of `text` stands.
pub(crate) fn place_of(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    (line_of(text, offset), before.get(start..).unwrap_or_default().chars().count() + 1)
}

/// The line, from 1, on which byte `offset` of `text` stands.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
