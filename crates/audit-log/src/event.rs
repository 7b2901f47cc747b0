//! What happened, before it has a place in the log.
//!
//! Public fields hold pseudonymous ids and facts that a stranger may read.
//! Whatever could name a person or be guessed (arguments, results, prompts)
//! is here only as a salted commitment; its value lies sealed beside the log.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// What kind of thing happened. The text is frozen: it is inside every leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A call was allowed and is about to be forwarded.
    Intent,
    /// What came of an intent.
    Outcome,
    /// A call was denied.
    Denial,
    /// A decision was asked for without a call (AuthZEN, `bailiwick check`).
    Evaluated,
    /// A filtered list was given.
    Listed,
    /// An access token was issued.
    TokenIssued,
    /// A token request was refused.
    TokenRefused,
    /// Something about an agent changed (registered, promoted, suspended …).
    AgentChanged,
    /// A task was made or ended.
    TaskChanged,
    /// A bundle was published or rolled back.
    BundleActivated,
    /// Safe mode went on or off.
    SafeModeChanged,
    /// A tool's definition was seen to differ, or was approved.
    DefinitionChanged,
    /// A vault secret was put or removed.
    SecretChanged,
    /// Sealed values were opened by an operator.
    SealedOpened,
    /// A replica started or stopped.
    Replica,
    /// An agent knocked at an operator's door, or something else to look at.
    Alert,
    /// An observation was turned on, stopped, or came to its end.
    ObservationChanged,
    /// A user was made known, changed, stopped, or left.
    UserChanged,
    /// A grant was given or ended, or a token was revoked.
    GrantChanged,
    /// A user signed in or out in a browser.
    SessionChanged,
    /// A client asked whether a token holds, or for its end.
    TokenExamined,
    /// A key of the issuer's was published, began to sign, or was destroyed.
    KeyChanged,
}

impl EventKind {
    /// All kinds, in the order in which they were frozen.
    pub const ALL: [Self; 22] = [
        Self::Intent,
        Self::Outcome,
        Self::Denial,
        Self::Evaluated,
        Self::Listed,
        Self::TokenIssued,
        Self::TokenRefused,
        Self::AgentChanged,
        Self::TaskChanged,
        Self::BundleActivated,
        Self::SafeModeChanged,
        Self::DefinitionChanged,
        Self::SecretChanged,
        Self::SealedOpened,
        Self::Replica,
        Self::Alert,
        Self::ObservationChanged,
        Self::UserChanged,
        Self::GrantChanged,
        Self::SessionChanged,
        Self::TokenExamined,
        Self::KeyChanged,
    ];

    /// The text inside the leaf. Frozen: a leaf with another text is not a leaf.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Outcome => "outcome",
            Self::Denial => "denial",
            Self::Evaluated => "evaluated",
            Self::Listed => "listed",
            Self::TokenIssued => "token_issued",
            Self::TokenRefused => "token_refused",
            Self::AgentChanged => "agent_changed",
            Self::TaskChanged => "task_changed",
            Self::BundleActivated => "bundle_activated",
            Self::SafeModeChanged => "safe_mode_changed",
            Self::DefinitionChanged => "definition_changed",
            Self::SecretChanged => "secret_changed",
            Self::SealedOpened => "sealed_opened",
            Self::Replica => "replica",
            Self::Alert => "alert",
            Self::ObservationChanged => "observation_changed",
            Self::UserChanged => "user_changed",
            Self::GrantChanged => "grant_changed",
            Self::SessionChanged => "session_changed",
            Self::TokenExamined => "token_examined",
            Self::KeyChanged => "key_changed",
        }
    }
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no kind of event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a kind of audit event")]
pub struct UnknownKind(String);

impl std::str::FromStr for EventKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| UnknownKind(text.chars().take(80).collect()))
    }
}

/// A public value inside a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Canonical {
    /// CBOR false or true.
    Bool(bool),
    /// CBOR integer.
    Int(i64),
    /// CBOR text.
    Text(String),
    /// CBOR byte string.
    Bytes(Vec<u8>),
    /// CBOR array.
    Array(Vec<Canonical>),
    /// CBOR map with text keys.
    Map(BTreeMap<String, Canonical>),
}

/// `HMAC-SHA256(salt, field name || 0x00 || value)`, 32 bytes.
pub type Commitment = [u8; 32];

/// One event, not yet placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// What kind.
    pub kind: EventKind,
    /// Its id: `eval_…` for intents, denials and lists, the token's own for one that was issued, the grant's own for one
    /// that was given, `evt_…` otherwise.
    pub id: String,
    /// When, by the writer's clock: data, not order.
    pub at: Timestamp,
    /// The id of the event that this one concludes.
    pub concludes: Option<String>,
    /// Public fields.
    pub body: BTreeMap<String, Canonical>,
    /// Salted commitments by field name.
    pub commitments: BTreeMap<String, Commitment>,
}

impl From<&str> for Canonical {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Canonical {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Canonical {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Canonical {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Canonical {
    fn from(items: Vec<T>) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}

impl From<BTreeMap<String, Self>> for Canonical {
    fn from(map: BTreeMap<String, Self>) -> Self {
        Self::Map(map)
    }
}
