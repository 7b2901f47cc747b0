//! Builds evidence: public bodies, salted commitments, sealed values.
//!
//! Nothing that could name a person or be guessed (arguments, record ids,
//! prompts, results) enters a body. It is committed to with a salt of its own
//! and sealed under its subject's key.

use std::collections::BTreeMap;

use bailiwick_audit_log::{
    commit::commit,
    event::{AuditEvent, Canonical, EventKind},
};
use bailiwick_model::{id::EventId, principal::Principal};
use bailiwick_ports::{
    entry::{Entry, Opened, OpenedField, Sealed},
    new_id,
    vault::VaultError,
};

use crate::broker::Broker;

/// What sealed values are bound to in the vault.
pub const SEALED_PURPOSE: &str = "evidence";

/// Collects one event.
pub struct Draft {
    kind: EventKind,
    id: String,
    concludes: Option<String>,
    body: BTreeMap<String, Canonical>,
    private: BTreeMap<String, (String, bool)>,
}

impl Draft {
    /// An event with an id of its own.
    pub fn event(broker: &Broker, kind: EventKind) -> Self {
        let id = new_id!(EventId, broker.now(), broker.entropy());
        Self::with_id(kind, id.to_string())
    }

    /// An event that carries an evaluation's id.
    pub fn with_id(kind: EventKind, id: String) -> Self {
        Self { kind, id, concludes: None, body: BTreeMap::new(), private: BTreeMap::new() }
    }

    /// The event's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Names the event that this one concludes.
    #[must_use]
    pub fn concludes(mut self, id: impl Into<String>) -> Self {
        self.concludes = Some(id.into());
        self
    }

    /// A public field.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Canonical>) -> Self {
        self.body.insert(name.to_owned(), value.into());
        self
    }

    /// A public field, where there is one.
    #[must_use]
    pub fn field_if(self, name: &str, value: Option<impl Into<Canonical>>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    /// A private field: committed to in the leaf, sealed beside it.
    #[must_use]
    pub fn sealed(mut self, name: &str, value: impl Into<String>) -> Self {
        self.private.insert(name.to_owned(), (value.into(), true));
        self
    }

    /// A private field that is committed to but not kept: only its salt is sealed.
    #[must_use]
    pub fn committed(mut self, name: &str, value: impl Into<String>) -> Self {
        self.private.insert(name.to_owned(), (value.into(), false));
        self
    }

    /// Salts, commits and seals under `subject`'s key.
    pub async fn finish(self, broker: &Broker, subject: &Principal) -> Result<Entry, VaultError> {
        let mut commitments = BTreeMap::new();
        let mut fields = BTreeMap::new();
        // All salts at once: the source takes longer to be asked than to answer.
        let mut salts = vec![[0; 32]; self.private.len()];
        broker.entropy().fill(salts.as_flattened_mut());
        for ((name, (value, keep)), salt) in self.private.into_iter().zip(salts) {
            commitments.insert(name.clone(), commit(&salt, &name, value.as_bytes()));
            fields.insert(name, OpenedField { salt: hex::encode(salt), value: keep.then_some(value) });
        }
        let event = AuditEvent {
            kind: self.kind,
            id: self.id,
            at: broker.now(),
            concludes: self.concludes,
            body: self.body,
            commitments,
        };
        if fields.is_empty() {
            return Ok(Entry { event, sealed: None });
        }
        let subject = subject.to_string();
        let plain =
            serde_json::to_vec(&Opened { fields }).map_err(|error| VaultError::Unavailable(error.to_string()))?;
        let ciphertext = broker.ports.vault.seal(&subject, SEALED_PURPOSE, &plain).await?;
        Ok(Entry { event, sealed: Some(Sealed { subject, ciphertext }) })
    }

    /// For events without private fields.
    pub fn public(self, broker: &Broker) -> Entry {
        debug_assert!(self.private.is_empty(), "private fields need a subject to seal them");
        let event = AuditEvent {
            kind: self.kind,
            id: self.id,
            at: broker.now(),
            concludes: self.concludes,
            body: self.body,
            commitments: BTreeMap::new(),
        };
        Entry { event, sealed: None }
    }
}
