//! Sign-ins with providers that are under way.

use bailiwick_engine::broker::Broker;
use bailiwick_model::{digest::Digest, secret::Secret};
use bailiwick_ports::chance::random;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};

use super::provider::Metadata;
use crate::under_way::UnderWay;

/// All that are under way, by the digest of what comes back.
pub(crate) type Flows = UnderWay<Digest, Flow>;

/// How long somebody may take at the provider.
pub(crate) const LIVES: SignedDuration = SignedDuration::from_mins(10);
/// Characters of one secret: base64url of 32 bytes.
pub(super) const SECRET_CHARS: usize = 43;

/// One sign-in.
#[derive(Debug)]
pub(crate) struct Flow {
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
    /// A new one, and the `state` that comes back with its answer.
    pub(super) fn new(
        broker: &Broker,
        provider: &str,
        (browser, anew): (&Secret<String>, bool),
        return_to: String,
        metadata: Metadata,
    ) -> (Self, Secret<String>) {
        let flow = Self {
            provider: provider.to_owned(),
            browser: Digest::of(browser.expose().as_bytes()),
            nonce: secret(broker),
            verifier: secret(broker),
            anew,
            return_to,
            began_at: broker.now(),
            metadata,
        };
        (flow, secret(broker))
    }
}

/// 32 random bytes in base64url.
pub(super) fn secret(broker: &Broker) -> Secret<String> {
    let bytes: Secret<[u8; 32]> = Secret::new(random(broker.entropy()));
    Secret::new(URL_SAFE_NO_PAD.encode(bytes.expose()))
}
