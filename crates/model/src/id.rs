//! Identifiers made by us: UUID version 7 with a typed prefix, so that a log line tells what it holds.

use std::{fmt, str::FromStr};

use uuid::Uuid;

use crate::name::{NameError, serde_by_str};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes an id from a moment (Unix milliseconds) and ten random bytes (RFC 9562 §5.7).
            pub fn new(unix_ms: u64, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid())
            }

            /// The sixteen bytes without the prefix.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Takes sixteen bytes back, as a store keeps them.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|digits| digits.len() == 32 && !digits.bytes().any(|b| b.is_ascii_uppercase()))
                    .and_then(|digits| Uuid::try_parse(digits).ok())
                    .map(Self)
                    .ok_or_else(|| NameError::new(concat!("id (`", $prefix, "_…`)"), text, concat!("write `", $prefix, "_` and 32 lower-case hex digits")))
            }
        }

        serde_by_str!($name);
    };
}

id!(
    /// One decision, from the wire to the evidence: what a person searches for.
    EvaluationId, "eval"
);
id!(
    /// One entry of evidence that is not a decision.
    EventId, "evt"
);
id!(
    /// One task.
    TaskId, "task"
);
id!(
    /// One access token: its `jti`.
    TokenId, "tok"
);
id!(
    /// What somebody allowed a client to do, until it ends.
    GrantId, "grant"
);
id!(
    /// One MCP session of the 2025-11-25 revision.
    SessionId, "ses"
);

id!(
    /// One initial access token, by which clients register.
    RegistrationTokenId, "regtok"
);
id!(
    /// One session of a user in a browser.
    BrowserSessionId, "bses"
);

id!(
    /// One account at a system that a user connected.
    ConnectionId, "conn"
);

id!(
    /// One group of a directory.
    DirectoryGroupId, "dgrp"
);

id!(
    /// One request for a user's consent that they answer apart from the client: on another device, or by the back channel.
    ConsentRequestId, "ask"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_do_not_mix() {
        let id = EvaluationId::new(1_700_000_000_000, [7; 10]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().parse::<TaskId>().is_err());
        assert!(id.to_string().to_uppercase().parse::<EvaluationId>().is_err());
    }
}
