//! What can go wrong inside a transaction, and whether the database can be trusted afterwards.

use bailiwick_ports::store::StoreError;
use rusqlite::ErrorCode;

/// The result of a step of a transaction.
pub(crate) type Step<T> = Result<T, Failure>;

/// Why a step did not happen.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command is refused; the database is well.
    Refused(StoreError),
    /// The database failed.
    Database(rusqlite::Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl Failure {
    /// A refusal because a value cannot be kept as it is.
    pub(crate) fn unfit(what: impl std::fmt::Display) -> Self {
        Self::Refused(StoreError::Unavailable(what.to_string()))
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Database(error) => Self::Unavailable(error.to_string()),
        }
    }
}

/// What a database error means for everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// This command alone: a constraint, a value that does not fit.
    Command,
    /// The whole batch is rolled back, the next one may succeed: no space, no memory, a lock.
    Batch,
    /// Nothing more is written until a restart: an I/O error may have lost what
    /// the operating system said it had kept, and trying again would hide that.
    Writer,
}

/// Judges a database error by SQLite's code.
pub(crate) fn severity(error: &rusqlite::Error) -> Severity {
    match error.sqlite_error_code() {
        None
        | Some(
            ErrorCode::ConstraintViolation
            | ErrorCode::TypeMismatch
            | ErrorCode::TooBig
            | ErrorCode::ParameterOutOfRange
            | ErrorCode::Unknown,
        ) => Severity::Command,
        Some(
            ErrorCode::DiskFull | ErrorCode::OutOfMemory | ErrorCode::DatabaseBusy | ErrorCode::OperationInterrupted,
        ) => Severity::Batch,
        Some(_) => Severity::Writer,
    }
}
