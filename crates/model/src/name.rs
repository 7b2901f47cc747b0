//! Names that people give to things: parsed once, valid ever after, and not to
//! be swapped for one another.
//!
//! ```compile_fail
//! use bailiwick_model::name::{AgentName, SystemName};
//! let agent: AgentName = "crm".parse::<SystemName>().unwrap();
//! ```

use std::{fmt, str::FromStr, sync::Arc};

use crate::limits::{NAME_BYTES_MAX, TOOL_NAME_BYTES_MAX};

/// A name that does not fit its form; says what would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}: {expected}")]
pub struct NameError {
    what: &'static str,
    text: String,
    expected: &'static str,
}

impl NameError {
    /// Cuts the offending text so that an error never carries a whole body.
    pub fn new(what: &'static str, text: &str, expected: &'static str) -> Self {
        let text = text.chars().take(80).collect();
        Self { what, text, expected }
    }
}

/// Serde by `Display` and `FromStr`, so that there is one parser.
macro_rules! serde_by_str {
    ($name:ty) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_by_str;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $valid:expr, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), &*self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError::new($what, text, $expected))
                }
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        serde_by_str!($name);
    };
}

fn slug(text: &str, extra: u8) -> bool {
    text.len() <= NAME_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == extra)
}

fn graphic(text: &str, bytes_max: usize) -> bool {
    !text.is_empty() && text.len() <= bytes_max && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
}

name!(
    /// An agent. It is also its OAuth `client_id` and `sub`, and is never given to another agent again.
    AgentName, "agent name", |t| slug(t, b'-'),
    "start with a lower-case letter, go on with lower-case letters, digits and `-`, 64 at most"
);
name!(
    /// A program that is not an agent (a policy enforcement point, a pipeline).
    WorkloadName, "workload name", |t| slug(t, b'-'),
    "start with a lower-case letter, go on with lower-case letters, digits and `-`, 64 at most"
);
name!(
    /// A person who runs the broker: until people sign in, the Unix account seen by the local socket.
    OperatorName, "operator name", |t| graphic(t, NAME_BYTES_MAX),
    "use 1 to 64 printable ASCII characters without spaces, quotes or backslashes"
);
name!(
    /// A user by a pseudonymous id, never by mail address or personal name.
    UserId, "user id", |t| graphic(t, NAME_BYTES_MAX),
    "use 1 to 64 printable ASCII characters without spaces, quotes or backslashes"
);
name!(
    /// An upstream system. Its records live in the Cedar namespace of its UpperCamel form.
    SystemName, "system name", |t| slug(t, b'_') && t != "bailiwick",
    "start with a lower-case letter, go on with lower-case letters, digits and `_`, 64 at most; `bailiwick` is reserved"
);
name!(
    /// Whoever vouches for instances of clients, as the configuration names it.
    AttesterName, "attester name", |t| slug(t, b'-'),
    "start with a lower-case letter, go on with lower-case letters, digits and `-`, 64 at most"
);
name!(
    /// A role: a job, as a file `roles/<name>.toml`.
    RoleName, "role name", |t| slug(t, b'-'),
    "start with a lower-case letter, go on with lower-case letters, digits and `-`, 64 at most"
);
name!(
    /// A kind of task, as a file `templates/<name>.toml`.
    TemplateName, "template name", |t| slug(t, b'-'),
    "start with a lower-case letter, go on with lower-case letters, digits and `-`, 64 at most"
);
name!(
    /// What whoever makes a task from a template states: a parameter of the template.
    ParameterName, "parameter name", |t| slug(t, b'_'),
    "start with a lower-case letter, go on with lower-case letters, digits and `_`, 64 at most"
);
name!(
    /// An MCP tool's name, byte for byte as its upstream gives it.
    ToolName, "tool name", |t| graphic(t, TOOL_NAME_BYTES_MAX),
    "use 1 to 128 printable ASCII characters without spaces, quotes or backslashes"
);
name!(
    /// A policy's `@id`.
    PolicyId, "policy id", |t| graphic(t, 128),
    "use 1 to 128 printable ASCII characters without spaces, quotes or backslashes"
);
name!(
    /// A Cedar action of ours: `<system>.<tool>`, or `<system>:<mcp method>` for the other methods.
    ActionName, "action name", |t| graphic(t, NAME_BYTES_MAX + 1 + TOOL_NAME_BYTES_MAX) && t.contains(['.', ':']),
    "write `<system>.<tool>` or `<system>:<mcp method>`"
);
name!(
    /// One OAuth scope token (RFC 6749 §3.3): `<system>:<class>` or `<system>.<tool>`, or a broker scope.
    Scope, "scope", |t| graphic(t, 256),
    "use 1 to 256 printable ASCII characters without spaces, quotes or backslashes"
);
name!(
    /// How well a user proved who they are: one value of `acr` (OpenID Connect Core §2), compared byte for byte.
    Acr, "authentication context class", |t| graphic(t, 128),
    "use 1 to 128 printable ASCII characters without spaces, quotes or backslashes"
);
name!(
    /// Something that a task came to know or do: `read:pii`, `completed:review`.
    Fact, "fact", |t| graphic(t, NAME_BYTES_MAX),
    "use 1 to 64 printable ASCII characters without spaces, quotes or backslashes"
);
name!(
    /// A domain of data: `hr`, `finance`.
    DataDomain, "data domain", |t| slug(t, b'-'),
    "start with a lower-case letter, go on with lower-case letters, digits and `-`, 64 at most"
);
name!(
    /// Where a secret lies in the vault: `<system>/<name>`.
    SecretName, "secret name", |t| t.split_once('/').is_some_and(|(s, n)| slug(s, b'_') && slug(n, b'-')),
    "write `<system>/<name>` in lower-case letters and digits"
);

impl OperatorName {
    /// The operator behind a Unix account.
    pub fn of_uid(uid: u32) -> Self {
        Self(format!("uid-{uid}").into())
    }
}

impl ActionName {
    /// The action of calling `tool` on `system`.
    pub fn of_tool(system: &SystemName, tool: &ToolName) -> Self {
        Self(format!("{system}.{tool}").into())
    }

    /// The action of an MCP method other than `tools/call`.
    pub fn of_method(system: &SystemName, method: &str) -> Result<Self, NameError> {
        format!("{system}:{method}").parse()
    }

    /// The system that the action belongs to: what stands before the first `.` or `:`.
    pub fn system(&self) -> &str {
        self.0.split(['.', ':']).next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_at_the_door() {
        for bad in ["", "Bot", "1bot", "bot_1", "bot bot", "bòt", &"b".repeat(65)] {
            assert!(bad.parse::<AgentName>().is_err(), "{bad:?}");
        }
        assert!("support-bot-2".parse::<AgentName>().is_ok());
        assert!("bailiwick".parse::<SystemName>().is_err());
        assert!("read\"file".parse::<ToolName>().is_err());
        assert_eq!(serde_json::from_str::<SystemName>("\"crm\"").map(|n| n.to_string()).ok(), Some("crm".into()));
        assert!(serde_json::from_str::<SystemName>("\"CRM\"").is_err());
    }

    #[test]
    fn an_action_knows_its_system() {
        let action: Result<ActionName, _> = "files:resources/read".parse();
        assert_eq!(action.map(|a| a.system().to_owned()), Ok("files".to_owned()));
    }
}
