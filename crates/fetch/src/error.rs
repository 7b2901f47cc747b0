//! Why nothing was fetched.

use std::error::Error as _;

use crate::destination::NothingAdmitted;

/// Why nothing was fetched. Says nothing of what the other side answered, and holds no URL: one may carry a secret.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL is none to fetch from.
    #[error("the URL is refused: {0}")]
    Url(&'static str),
    /// The address is none that everybody reaches, and the operator did not name it.
    #[error("`{0}` is not an address to fetch from\nhint: an operator can allow its network: `allow` under `[fetch]`")]
    Address(String),
    /// It took too long.
    #[error("no answer within {} s", crate::TIMEOUT.as_secs())]
    Timeout,
    /// It sent more than was asked for.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// No connection, or one that broke.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
}

impl FetchError {
    pub(crate) fn of(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        let mut cause = error.source();
        let mut last = None;
        while let Some(error) = cause {
            if let Some(NothingAdmitted(name)) = error.downcast_ref() {
                return Self::Address(name.clone());
            }
            last = Some(error.to_string());
            cause = error.source();
        }
        // The innermost says what happened: a name that does not resolve, a certificate that nobody vouches for.
        Self::Unreachable(last.unwrap_or_else(|| error.without_url().to_string()))
    }
}
