//! How a caller presents its access token: the `Authorization` header (RFC
//! 6750 §2.1, RFC 9449 §7.1). Never in a query or a body.

use bailiwick_model::confirmation::Confirmation;

use crate::jws::TOKEN_BYTES_MAX;

/// The scheme of an `Authorization` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// The token alone.
    Bearer,
    /// The token together with a proof of possession.
    Dpop,
}

impl Scheme {
    /// How a token that is bound so is presented: a certificate is proved by the connection, beneath HTTP
    /// (RFC 8705 §3).
    pub const fn of(confirmation: Option<Confirmation>) -> Self {
        match confirmation {
            Some(Confirmation::Key(_)) => Self::Dpop,
            Some(Confirmation::Certificate(_)) | None => Self::Bearer,
        }
    }

    /// As written in headers and in `token_type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Dpop => "DPoP",
        }
    }
}

/// An `Authorization` header that presents no access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PresentedError {
    /// More than one header.
    #[error("there is more than one `Authorization` header")]
    Several,
    /// Another scheme, such as Basic.
    #[error("the `Authorization` scheme is not `DPoP` or `Bearer`")]
    Scheme,
    /// Not one token of the admitted characters and length.
    #[error("the `Authorization` header holds no well-formed token")]
    Malformed,
}

/// An access token as presented.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Presented<'a> {
    /// How.
    pub scheme: Scheme,
    /// The token.
    pub token: &'a str,
}

impl std::fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presented").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

impl<'a> Presented<'a> {
    /// Reads the only `Authorization` header of a call; `None` if there is none.
    pub fn sole(mut values: impl Iterator<Item = &'a str>) -> Result<Option<Self>, PresentedError> {
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => Self::parse(value).map(Some),
            _ => Err(PresentedError::Several),
        }
    }

    /// Reads one header value.
    pub fn parse(value: &'a str) -> Result<Self, PresentedError> {
        let (scheme, token) = value.split_once(' ').ok_or(PresentedError::Malformed)?;
        let scheme = if scheme.eq_ignore_ascii_case("DPoP") {
            Scheme::Dpop
        } else if scheme.eq_ignore_ascii_case("Bearer") {
            Scheme::Bearer
        } else {
            return Err(PresentedError::Scheme);
        };
        let token = token.trim_start_matches(' ');
        let admitted = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(admitted) {
            return Err(PresentedError::Malformed);
        }
        Ok(Self { scheme, token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_token() {
        let presented = Presented::parse("dpop aaa.bbb.ccc").unwrap();
        assert_eq!((presented.scheme, presented.token), (Scheme::Dpop, "aaa.bbb.ccc"));
        assert!(!format!("{presented:?}").contains("aaa"), "a token never prints");
        for (bad, error) in [
            ("Basic YTpi", PresentedError::Scheme),
            ("Bearer", PresentedError::Malformed),
            ("Bearer ", PresentedError::Malformed),
            ("Bearer a b", PresentedError::Malformed),
            ("Bearer a,Bearer b", PresentedError::Malformed),
            ("Bearer \"a\"", PresentedError::Malformed),
        ] {
            assert_eq!(Presented::parse(bad), Err(error), "{bad:?}");
        }
        assert_eq!(Presented::sole(["Bearer a", "DPoP b"].into_iter()), Err(PresentedError::Several));
        assert_eq!(Presented::sole(std::iter::empty()), Ok(None));
    }
}
