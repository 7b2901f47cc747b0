//! What every use case needs, in one value that is shared by all listeners.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use bailiwick_model::{
    agent::Credential,
    jwk::{SigningAlgorithm, Thumbprint},
    name::{Acr, AgentName},
};
use bailiwick_oauth::certificate_path::Authorities;
use bailiwick_ports::{
    chance::{Clock, Entropy},
    signer::TokenSigner,
    store::Store,
    vault::Vault,
};
use jiff::Timestamp;
use tokio::sync::{Mutex, MutexGuard, Semaphore, watch};

use crate::{
    authorization::Authorizations, connections::UnderWay, facts::Facts, hook::Joins, live::Live,
    observation::LatestTime,
};

/// Outcomes that may wait to be written at once; a further one waits for its turn, none is dropped.
pub const OUTCOMES_PENDING_MAX: usize = 4_096;
/// How long a fact lasts when nothing says otherwise: a working day.
pub const FACT_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// Names a network zone by its address ranges; the first that holds the address wins.
pub type ZoneOf = dyn Fn(Option<IpAddr>) -> String + Send + Sync;

/// What the configuration decides for the use cases.
#[derive(Clone)]
pub struct Settings {
    /// The issuer: `public_url` without a trailing slash (RFC 8414 §2), compared byte for byte.
    pub issuer: String,
    /// The environment that this broker serves; agents of another one get no token here.
    pub environment: Option<bailiwick_model::agent::Environment>,
    /// Names the network zone of a caller's address; `unknown` where none fits.
    pub zone_of: Arc<ZoneOf>,
    /// How long facts last.
    pub fact_window: Duration,
    /// Authentication context classes that other ways of signing in than passkeys can have.
    pub sign_in_classes: BTreeSet<Acr>,
    /// Users whom directories may provision, those who left included: they stay known.
    pub directory_users_max: usize,
    /// What agents' own keys may be registered for, and authenticate by.
    pub agent_algorithms: Vec<SigningAlgorithm>,
    /// Makers of devices that are believed when they say that a key is held in one.
    pub attestation_roots: Authorities,
}

/// The implementations behind the ports.
pub struct Ports {
    /// State and evidence.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// The issuer's keys.
    pub token_signer: Arc<dyn TokenSigner>,
    /// Sealing.
    pub vault: Arc<dyn Vault>,
}

/// The dependencies of every use case.
pub struct Broker {
    pub(crate) ports: Ports,
    settings: Settings,
    live: ArcSwap<Live>,
    pub(crate) facts: Facts,
    changes: Mutex<()>,
    own_tasks: Mutex<()>,
    epoch: watch::Sender<u64>,
    used: std::sync::Mutex<HashMap<Thumbprint, Timestamp>>,
    /// Up to when what time brings was looked for.
    advanced: std::sync::Mutex<Timestamp>,
    pub(crate) latest: LatestTime,
    pub(crate) outcomes: Arc<Semaphore>,
    pub(crate) joins: Joins,
    pub(crate) authorizations: Authorizations,
    pub(crate) connections: UnderWay,
}

impl Broker {
    pub(crate) fn new(ports: Ports, settings: Settings, live: Live, (facts, latest): (Facts, LatestTime)) -> Self {
        let epoch = watch::Sender::new(live.epoch);
        Self {
            ports,
            settings,
            live: ArcSwap::from_pointee(live),
            facts,
            changes: Mutex::new(()),
            own_tasks: Mutex::new(()),
            epoch,
            used: std::sync::Mutex::default(),
            advanced: std::sync::Mutex::new(latest.seen()),
            latest,
            outcomes: Arc::new(Semaphore::new(OUTCOMES_PENDING_MAX)),
            joins: Joins::default(),
            authorizations: Authorizations::default(),
            connections: UnderWay::default(),
        }
    }

    /// The state that decisions are made on, swapped whole.
    pub fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// What the configuration decides.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Now, by the broker's clock.
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// The issuer's keys.
    pub fn token_signer(&self) -> &dyn TokenSigner {
        self.ports.token_signer.as_ref()
    }

    /// Chance.
    pub fn entropy(&self) -> &dyn Entropy {
        self.ports.entropy.as_ref()
    }

    /// The store, for reading evidence.
    pub fn store(&self) -> &dyn Store {
        self.ports.store.as_ref()
    }

    /// Tells each new epoch: connections close on it, lists are announced as changed.
    pub fn epochs(&self) -> watch::Receiver<u64> {
        self.epoch.subscribe()
    }

    /// Waits until every change under way has taken effect.
    pub async fn settled(&self) {
        drop(self.changes.lock().await);
    }

    /// Waits until every pending outcome is written, for shutdown.
    pub async fn drained(&self) {
        let all = u32::try_from(OUTCOMES_PENDING_MAX).unwrap_or(u32::MAX);
        drop(self.outcomes.acquire_many(all).await);
    }

    /// One change at a time: holds others off until its guard is dropped.
    pub(crate) async fn changing(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().await
    }

    /// One task at a time that an agent makes for itself, taken before [`Self::changing`]: whoever changes anything else,
    /// an operator who stops everything above all, stands behind one of them at most.
    pub(crate) async fn own_task_turn(&self) -> MutexGuard<'_, ()> {
        self.own_tasks.lock().await
    }

    /// Swaps the live state. Only under [`Self::changing`].
    pub(crate) fn replace_live(&self, epoch: u64, change: impl FnOnce(&mut Live)) {
        let mut next = Live::clone(&self.live.load());
        change(&mut next);
        next.epoch = epoch;
        self.live.store(Arc::new(next));
        self.epoch.send_replace(epoch);
    }

    /// Takes out of the live state what has ended by itself, which changes no decision and is told nobody. Only under
    /// [`Self::changing`].
    pub(crate) fn sweep_live(&self, sweep: impl FnOnce(&mut Live)) {
        let mut next = Live::clone(&self.live.load());
        sweep(&mut next);
        self.live.store(Arc::new(next));
    }

    /// When a credential last authenticated its agent, this process's own uses included.
    pub fn last_used(&self, credential: &Credential) -> Option<Timestamp> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.get(&credential.authenticator.id()).copied().max(credential.last_used_at)
    }

    /// Notes in memory what the store notes with the issued token: the live state is not swapped for each of them.
    pub(crate) fn note_use(&self, credential: Thumbprint, now: Timestamp) {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(credential, now);
    }

    /// The time up to which what time brings was looked for.
    pub(crate) fn advanced_to(&self) -> Timestamp {
        *self.advanced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves it, once all of that is done.
    pub(crate) fn advance_to(&self, now: Timestamp) {
        let mut advanced = self.advanced.lock().unwrap_or_else(PoisonError::into_inner);
        *advanced = now.max(*advanced);
    }

    /// An agent as registered; `None` is an unknown one.
    pub fn agent(&self, name: &AgentName) -> Option<Arc<bailiwick_model::agent::Agent>> {
        self.live.load().agents.get(name).cloned()
    }
}
