//! Keys of other issuers, fetched when they are needed and kept for a while.
//!
//! Whoever sends a token decides which key it names, so a token can make us ask its issuer only once in a while; one
//! question is under way at a time, and everybody else is answered from what is known. A failed question is no answer: what
//! was known stays good for an hour, and no longer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bailiwick_fetch::{FetchError, Fetcher};
use bailiwick_oauth::{
    foreign_keys::{DISCOVERY_BYTES_MAX, DiscoveryError, ForeignKeys, KEY_SET_BYTES_MAX, Purpose, jwks_uri},
    key_policy::KeyError,
};
use bailiwick_pdp::issuers::{ISSUERS_MAX, Issuer, KeySource};
use jiff::Timestamp;
use url::Url;

/// Seconds until keys are fetched again, so that an issuer's rotation and its withdrawal of a key are seen.
const FRESH_S: i64 = 300;
/// Seconds that keys are good for while their issuer cannot be reached.
const STALE_S_MAX: i64 = 3_600;
/// Seconds between two questions to one issuer, whatever names of keys are asked for.
const ASK_EVERY_S: i64 = 30;

/// Keys that cannot be had now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    /// Nothing says where they are.
    #[error("nothing says where its keys are")]
    Nowhere,
    /// They were asked for a moment ago, in vain.
    #[error("its keys could not be fetched, and are asked for again shortly")]
    Waiting,
    /// Not reached.
    #[error("its keys cannot be fetched: {0}")]
    Fetch(#[from] FetchError),
    /// Another answer than 200.
    #[error("its keys cannot be fetched: the answer has the status {0}")]
    Status(u16),
    /// The document that names them.
    #[error("its discovery document is refused: {0}")]
    Discovery(#[from] DiscoveryError),
    /// They themselves.
    #[error("its key set is refused: {0}")]
    Keys(#[from] KeyError),
}

/// What is known of all issuers.
pub(crate) struct IssuerKeys {
    fetcher: Fetcher,
    known: Mutex<HashMap<String, Arc<Known>>>,
}

/// What is known of one.
struct Known {
    /// As it was configured then.
    issuer: Issuer,
    held: Mutex<Held>,
    /// Held by whoever asks.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default, Clone)]
struct Held {
    keys: Option<Arc<ForeignKeys>>,
    fetched_at: Option<Timestamp>,
    asked_at: Option<Timestamp>,
}

impl Held {
    fn age_s(at: Option<Timestamp>, now: Timestamp) -> i64 {
        at.map_or(i64::MAX, |at| now.as_second().saturating_sub(at.as_second()).max(0))
    }

    /// Keys that are good without asking anybody.
    fn ready(&self, kid: Option<&str>, now: Timestamp) -> Option<Arc<ForeignKeys>> {
        let keys = self.keys.as_ref()?;
        let waits = Self::age_s(self.asked_at, now) < ASK_EVERY_S;
        let fresh = Self::age_s(self.fetched_at, now) < FRESH_S;
        ((waits && self.is_good(now)) || (fresh && keys.named(kid).is_some())).then(|| Arc::clone(keys))
    }

    fn is_good(&self, now: Timestamp) -> bool {
        Self::age_s(self.fetched_at, now) < STALE_S_MAX
    }
}

impl IssuerKeys {
    pub(crate) fn new(fetcher: Fetcher) -> Self {
        Self { fetcher, known: Mutex::default() }
    }

    /// The keys of an issuer, among which a token names one.
    pub(crate) async fn of(
        &self,
        issuer: &Issuer,
        kid: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<ForeignKeys>, KeysError> {
        let known = self.known(issuer);
        if let Some(keys) = known.held().ready(kid, now) {
            return Ok(keys);
        }
        let _asking = known.asking.lock().await;
        let held = known.held();
        if let Some(keys) = held.ready(kid, now) {
            return Ok(keys);
        }
        if Held::age_s(held.asked_at, now) < ASK_EVERY_S {
            return Err(KeysError::Waiting);
        }
        known.change(|held| held.asked_at = Some(now));
        match self.fetch(issuer).await {
            Ok(keys) => {
                let keys = Arc::new(keys);
                known.change(|held| (held.keys, held.fetched_at) = (Some(Arc::clone(&keys)), Some(now)));
                Ok(keys)
            }
            Err(error) => {
                tracing::warn!(issuer = issuer.name, %error, "keys of an issuer cannot be had");
                let good = held.is_good(now);
                held.keys.filter(|_| good).ok_or(error)
            }
        }
    }

    /// What is known of an issuer as it is configured now; another configuration starts anew.
    fn known(&self, issuer: &Issuer) -> Arc<Known> {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(&issuer.name).filter(|known| known.issuer == *issuer) {
            return Arc::clone(known);
        }
        if all.len() >= ISSUERS_MAX {
            all.clear();
        }
        let known = Known { issuer: issuer.clone(), held: Mutex::default(), asking: tokio::sync::Mutex::default() };
        let known = Arc::new(known);
        all.insert(issuer.name.clone(), Arc::clone(&known));
        known
    }

    async fn fetch(&self, issuer: &Issuer) -> Result<ForeignKeys, KeysError> {
        let purpose = if issuer.trust_domain.is_some() && issuer.issuer.is_none() {
            Purpose::JwtSvid
        } else {
            Purpose::Signatures
        };
        let set = match issuer.keys.as_ref().ok_or(KeysError::Nowhere)? {
            KeySource::Pinned(set) => return Ok(ForeignKeys::read(set, &issuer.algorithms, purpose)?),
            KeySource::Jwks(url) => self.get(url, KEY_SET_BYTES_MAX).await?,
            KeySource::Discovery(url) => {
                let document = self.get(url, DISCOVERY_BYTES_MAX).await?;
                let name = issuer.issuer.as_deref().ok_or(KeysError::Nowhere)?;
                self.get(&jwks_uri(&document, name)?, KEY_SET_BYTES_MAX).await?
            }
        };
        Ok(ForeignKeys::read(&set, &issuer.algorithms, purpose)?)
    }

    async fn get(&self, url: &Url, bytes_max: usize) -> Result<Vec<u8>, KeysError> {
        let fetched = self.fetcher.get(url, "application/json, application/jwk-set+json", bytes_max).await?;
        if fetched.status == 200 { Ok(fetched.body.to_vec()) } else { Err(KeysError::Status(fetched.status)) }
    }
}

impl Known {
    fn held(&self) -> Held {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests;
