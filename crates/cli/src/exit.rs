//! Exit codes, one per thing that a script wants to tell apart.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; for `check`: allowed.
    Done,
    /// Failed.
    Failed,
    /// The arguments make no sense.
    Usage,
    /// Denied.
    Denied,
    /// Approval is needed.
    ApprovalNeeded,
    /// The policy is invalid or its tests fail.
    PolicyInvalid,
    /// The evidence was altered.
    IntegrityFailed,
    /// The broker or the agent's credential does not answer.
    Unreachable,
    /// `doctor` found problems.
    ProblemsFound,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Denied => 3,
            Exit::ApprovalNeeded => 4,
            Exit::PolicyInvalid => 5,
            Exit::IntegrityFailed => 6,
            Exit::Unreachable => 7,
            Exit::ProblemsFound => 8,
        })
    }
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// A lower-case fragment for people.
    pub(crate) message: String,
    /// The next step.
    pub(crate) hint: Option<String>,
    /// How the process ends.
    pub(crate) exit: Exit,
}

impl Failure {
    /// A failure of the general kind.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, exit: Exit::Failed }
    }

    /// With the next step.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With another exit code.
    #[must_use]
    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// About one file.
    pub(crate) fn file(path: &std::path::Path, error: &dyn std::fmt::Display) -> Self {
        Self::new(format!("`{}`: {error}", path.display()))
    }
}
