//! Sign-ins with providers that are under way.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use bailiwick_engine::broker::Broker;
use bailiwick_model::{digest::Digest, secret::Secret};
use bailiwick_ports::chance::random;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};

use super::provider::Metadata;

/// How long somebody may take at the provider.
const LIVES: SignedDuration = SignedDuration::from_mins(10);
/// Sign-ins under way together; with one more, the oldest is given up. Beginning one is held back per address.
const UNDER_WAY_MAX: usize = 4_096;
/// Characters of one secret: base64url of 32 bytes.
pub(super) const SECRET_CHARS: usize = 43;

/// One sign-in.
#[derive(Debug)]
pub(crate) struct Flow {
    /// The digest of what comes back.
    state: Digest,
    /// The provider's name.
    pub(super) provider: String,
    /// The digest of what the browser keeps.
    pub(super) browser: Digest,
    /// What the ID token must say.
    pub(super) nonce: Secret<String>,
    /// What redeems the code.
    pub(super) verifier: Secret<String>,
    /// Whether they prove anew who they are.
    pub(super) anew: bool,
    /// Where they go afterwards.
    pub(super) return_to: String,
    /// When it began.
    pub(super) began_at: Timestamp,
    /// What the provider said of itself then.
    pub(super) metadata: Metadata,
}

impl Flow {
    /// A new one, and its `state`.
    pub(super) fn new(
        broker: &Broker,
        provider: &str,
        (browser, anew): (&Secret<String>, bool),
        return_to: String,
        metadata: Metadata,
    ) -> (Self, Secret<String>) {
        let state = secret(broker);
        let flow = Self {
            state: Digest::of(state.expose().as_bytes()),
            provider: provider.to_owned(),
            browser: Digest::of(browser.expose().as_bytes()),
            nonce: secret(broker),
            verifier: secret(broker),
            anew,
            return_to,
            began_at: broker.now(),
            metadata,
        };
        (flow, state)
    }
}

/// 32 random bytes in base64url.
pub(super) fn secret(broker: &Broker) -> Secret<String> {
    let bytes: Secret<[u8; 32]> = Secret::new(random(broker.entropy()));
    Secret::new(URL_SAFE_NO_PAD.encode(bytes.expose()))
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Flows(Mutex<HashMap<Digest, Flow>>);

impl Flows {
    pub(super) fn keep(&self, flow: Flow, now: Timestamp) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= UNDER_WAY_MAX {
            all.retain(|_, flow| is_open(flow, now));
        }
        if all.len() >= UNDER_WAY_MAX {
            let oldest = all.iter().min_by_key(|(_, flow)| flow.began_at).map(|(state, _)| *state);
            oldest.and_then(|state| all.remove(&state));
        }
        all.insert(flow.state, flow);
    }

    /// The one that an answer is to: it is answered once, whatever comes of it.
    pub(super) fn take(&self, state: &str, now: Timestamp) -> Option<Flow> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&Digest::of(state.as_bytes()));
        found.filter(|flow| is_open(flow, now))
    }
}

fn is_open(flow: &Flow, now: Timestamp) -> bool {
    now.duration_since(flow.began_at) < LIVES
}
