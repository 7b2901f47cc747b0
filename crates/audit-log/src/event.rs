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
    /// Its id: `eval_…` for intents, denials and lists, `evt_…` otherwise.
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
