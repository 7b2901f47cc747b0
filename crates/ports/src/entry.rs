//! What the store is asked to keep as evidence, and what it answers.

use bailiwick_audit_log::event::AuditEvent;

/// An event together with its sealed values. The leaf holds only their commitments.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The event.
    pub event: AuditEvent,
    /// Its sealed values, if it has any.
    pub sealed: Option<Sealed>,
}

/// Values sealed under the key of one subject; erasing that key erases them everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Whose key: `agent:support-bot`, `user:usr-…`.
    pub subject: String,
    /// The vault's ciphertext over the JSON of [`Opened`].
    pub ciphertext: Vec<u8>,
}

/// Sealed values once opened: field name to salt (hex) and value (JSON text).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// By field name, as in the event's commitments.
    pub fields: std::collections::BTreeMap<String, OpenedField>,
}

/// One opened value.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenedField {
    /// The 32-byte salt in hex.
    pub salt: String,
    /// The committed bytes, as text; `None` where only the salt was kept, so
    /// that whoever holds the value can show that it is the committed one.
    pub value: Option<String>,
}

/// Where an entry came to lie: proof that it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Receipt {
    /// Its number within this replica's chain, from 0 without gaps.
    pub sequence: u64,
}
