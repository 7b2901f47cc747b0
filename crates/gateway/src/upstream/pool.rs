//! All connections to all upstreams: opened when needed, one per principal (or
//! shared where the catalogue says so), bounded, ended when idle, opened again
//! with growing patience. Sends only what [`super::send`] and control give it.

mod open;
mod own;
mod relayed;
mod slot;
mod verify;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bailiwick_model::name::{SystemName, UserId};
use bailiwick_pdp::catalogue::Upstream;
use bailiwick_ports::upstreams::{DiscoverError, Discovered, Upstreams};
use futures::future::BoxFuture;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use self::{
    own::Opened,
    slot::{Key, Slot},
};
use super::{
    Forward, UpstreamError,
    connection::Live,
    discover,
    era::{Era, Offers, Revision},
    exchange::Reply,
    http::{self, HttpClientError},
    listener::Listener,
    outgoing::Outgoing,
    secrets::Secrets,
    target::Target,
};

/// How many connections there may be, and how long they live unused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// Connections (children, sessions) altogether, those for control not counted.
    pub connections_max: usize,
    /// Connections of one principal to one system: it has one per set of client capabilities and era.
    pub connections_per_principal_max: usize,
    /// How long a connection nobody uses is kept.
    pub idle_timeout: Duration,
}

impl Default for PoolLimits {
    /// Some hundreds of children fit a small machine; ten minutes bridge a model's thinking, not a night.
    fn default() -> Self {
        Self { connections_max: 256, connections_per_principal_max: 4, idle_timeout: Duration::from_secs(600) }
    }
}

/// Learns what a system offers, each time that somebody looked. Awaited, so that what it decides holds before the next look.
pub type Observer = dyn Fn(SystemName, Discovered) -> BoxFuture<'static, ()> + Send + Sync;

/// All connections to all upstreams. Cheap to clone.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    secrets: Arc<dyn Secrets>,
    limits: PoolLimits,
    client: reqwest::Client,
    systems: Mutex<HashMap<SystemName, Arc<System>>>,
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    observer: OnceLock<Arc<Observer>>,
}

/// One configured upstream.
pub(crate) struct System {
    name: SystemName,
    target: Target,
    /// Whether it is not published (yet): nothing that it is given serves one that is.
    tried_out: bool,
    offers: Mutex<Option<Offers>>,
    /// Whether it was greeted in the old way since it said what it offers.
    handshake_tried: tokio::sync::Mutex<bool>,
    control: Slot,
    verify_now: Notify,
    removed: CancellationToken,
}

impl System {
    fn new(name: SystemName, target: Target) -> Self {
        Self {
            name,
            target,
            tried_out: false,
            offers: Mutex::new(None),
            handshake_tried: tokio::sync::Mutex::default(),
            control: Slot::default(),
            verify_now: Notify::new(),
            removed: CancellationToken::new(),
        }
    }

    fn offers(&self) -> MutexGuard<'_, Option<Offers>> {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_shared(&self) -> bool {
        matches!(self.target.upstream, Upstream::Stdio { shared: true, .. })
    }
}

impl Pool {
    /// A pool without systems.
    pub fn new(secrets: Arc<dyn Secrets>, limits: PoolLimits) -> Result<Self, HttpClientError> {
        let inner = Inner {
            secrets,
            limits,
            client: http::client()?,
            systems: Mutex::default(),
            slots: Mutex::default(),
            observer: OnceLock::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes the systems of a newly published bundle: those that did not change
    /// keep their connections, all others lose them.
    pub fn configure(&self, targets: impl IntoIterator<Item = (SystemName, Target)>) {
        let mut systems = self.inner.systems();
        let mut before = std::mem::take(&mut *systems);
        let mut added = Vec::new();
        for (name, target) in targets {
            let system = match before.remove(&name) {
                Some(same) if same.target == target => same,
                changed => {
                    if let Some(old) = changed {
                        before.insert(name.clone(), old);
                    }
                    let system = Arc::new(System::new(name.clone(), target));
                    added.push(Arc::clone(&system));
                    system
                }
            };
            systems.insert(name, system);
        }
        drop(systems);
        for (name, system) in before {
            system.removed.cancel();
            self.inner.slots().retain(|key, _| key.system != name);
        }
        if self.inner.observer.get().is_some() {
            added.into_iter().for_each(|system| verify::start(&self.inner, system));
        }
    }

    /// Checks the definitions of every system from now on: at once, when its
    /// server says that they changed, and as often as the system asks for.
    pub fn watch(&self, observer: Arc<Observer>) {
        if self.inner.observer.set(observer).is_ok() {
            let systems: Vec<_> = self.inner.systems().values().cloned().collect();
            systems.into_iter().for_each(|system| verify::start(&self.inner, system));
        }
    }

    /// Checks the definitions of a system soon.
    pub fn verify_now(&self, system: &SystemName) {
        if let Ok(system) = self.inner.system(system) {
            system.verify_now.notify_one();
        }
    }

    /// The era in which a system is spoken to for a caller of `wanted`. Asked when it is first needed, and remembered
    /// until its control connection is opened again.
    pub async fn era_for(&self, system: &SystemName, wanted: Era) -> Result<Era, UpstreamError> {
        let system = self.inner.system(system)?;
        self.inner.era_for(&system, wanted).await
    }

    /// What a system says to one principal outside its calls: list changes, updated MCP resources, log messages.
    pub async fn listen(
        &self,
        system: &SystemName,
        caller: &super::CallerKey,
        revision: Revision,
    ) -> Result<Listener, UpstreamError> {
        let system = self.inner.system(system)?;
        let live = self.inner.live_for(&system, caller, revision).await?;
        Ok(live.connection.listen(&caller.holder).await)
    }

    /// Closes the connections of one principal, everywhere: it was suspended or retired.
    pub fn close(&self, chain: &bailiwick_model::principal::DelegationChain) {
        let holder = super::holder(chain);
        self.inner.slots().retain(|key, _| key.holder != holder);
    }

    /// Closes what is open in a user's name, at one system or everywhere: the account there was disconnected, or the user
    /// stopped.
    pub fn close_user(&self, user: &UserId, at: Option<&SystemName>) {
        let of = |key: &Key| key.user.as_ref() == Some(user) && at.is_none_or(|system| key.system == *system);
        self.inner.slots().retain(|key, _| !of(key));
    }

    /// Closes the connections to one system: its secrets changed.
    pub fn reopen(&self, system: &SystemName) {
        self.inner.slots().retain(|key, _| key.system != *system);
        if let Ok(system) = self.inner.system(system) {
            system.control.close();
            system.verify_now.notify_one();
        }
    }

    /// Ends everything: children get their grace in the background.
    pub fn shut_down(&self) {
        self.configure([]);
    }

    /// What an upstream that is not configured (yet) offers, over a connection of its own.
    pub async fn try_out(&self, name: &SystemName, target: Target) -> Result<Discovered, UpstreamError> {
        let system = System { tried_out: true, ..System::new(name.clone(), target) };
        let live = self.inner.control(&system).await?;
        discover::discover(&live).await
    }

    /// Sends what was permitted. Only [`super::send`] calls this, after its checks.
    pub(super) async fn forward(
        &self,
        system: &SystemName,
        caller: &super::CallerKey,
        message: Forward,
    ) -> Result<Reply, UpstreamError> {
        let system = self.inner.system(system)?;
        let outgoing = Outgoing {
            id: Some(message.id),
            method: message.method.into(),
            params: message.params,
            headers: message.headers,
            holder: caller.holder.clone(),
        };
        let tool = (outgoing.method == "tools/call").then(|| outgoing.target()).flatten();
        let (mut first, mut refused) = (true, None);
        loop {
            let opened = self.inner.opened_for(&system, caller, message.revision, refused.as_ref()).await?;
            let Opened { live, fresh, own } = opened;
            let checked = match (&tool, message.definition) {
                (Some(tool), Some(pinned)) if live.needs_own_check() || system.target.has_accounts() => {
                    let checked = live.check_definition(tool, pinned).await;
                    if matches!(checked, Err(UpstreamError::DefinitionChanged(_))) {
                        system.verify_now.notify_one();
                    }
                    checked
                }
                _ => Ok(()),
            };
            let reply = match checked {
                Ok(()) => live.connection.call(&outgoing, None).await,
                Err(error) => Err(error),
            };
            match (reply, own) {
                // It refused a token that can be renewed, and did nothing: once more with a renewed one.
                (Err(UpstreamError::CredentialRefused(401)), Some(own)) => match refused {
                    None => refused = Some(own.secret),
                    Some(_) => return Err(system.refused()),
                },
                // A session that ended or a credential that was replaced meanwhile: nothing was done, so once more.
                (Err(UpstreamError::Status(404) | UpstreamError::CredentialRefused(_)), _)
                    if first && !fresh && !live.connection.is_live() =>
                {
                    first = false;
                }
                (reply, _) => return reply,
            }
        }
    }
}

impl Live {
    /// Whether this connection may offer other tools than the control connection sees.
    const fn needs_own_check(&self) -> bool {
        matches!((&self.connection, self.era), (super::connection::Connection::Stdio(_), _) | (_, Era::Handshake))
    }
}

#[async_trait]
impl Upstreams for Pool {
    async fn discover(&self, system: &SystemName) -> Result<Discovered, DiscoverError> {
        let look = async {
            let system = self.inner.system(system)?;
            let live = self.inner.control(&system).await?;
            discover::discover(&live).await
        };
        look.await.map_err(|error| DiscoverError { system: system.clone(), reason: error.to_string() })
    }

    fn secret_changed(&self, system: &SystemName) {
        self.reopen(system);
    }
}

impl Inner {
    fn systems(&self) -> MutexGuard<'_, HashMap<SystemName, Arc<System>>> {
        self.systems.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn system(&self, name: &SystemName) -> Result<Arc<System>, UpstreamError> {
        self.systems().get(name).cloned().ok_or_else(|| UpstreamError::Unknown(name.clone()))
    }

    async fn offers(&self, system: &System) -> Result<Offers, UpstreamError> {
        if let Some(revision) = system.target.revision {
            return Ok(Offers::only(revision.era()));
        }
        let known = *system.offers();
        match known {
            Some(offers) => Ok(offers),
            None => {
                self.control(system).await?;
                (*system.offers()).ok_or_else(|| UpstreamError::Gone("the server is gone".into()))
            }
        }
    }

    /// Modern servers name modern revisions only, though many take `initialize` as well; who begins with it then needs
    /// no translation. Nobody is greeted so for whom no such caller came.
    async fn era_for(&self, system: &System, wanted: Era) -> Result<Era, UpstreamError> {
        let mut offers = self.offers(system).await?;
        let untried = wanted == Era::Handshake && !offers.handshake && system.target.revision.is_none();
        if untried {
            // Whoever comes meanwhile waits for the same answer.
            let mut tried = system.handshake_tried.lock().await;
            if !*tried {
                offers.handshake = self.takes_handshake(system).await;
                *system.offers() = Some(offers);
                // Only now: whoever goes away meanwhile leaves it to the next.
                *tried = true;
            }
            offers = (*system.offers()).unwrap_or(offers);
        }
        Ok(offers.era_for(wanted))
    }

    /// The slot of a connection; the longest unused ones make room.
    /// The slot of a connection; the longest unused ones make room.
    fn slot(&self, key: &Key) -> Result<Arc<Slot>, UpstreamError> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(key) {
            return Ok(Arc::clone(slot));
        }
        let idle_timeout = self.limits.idle_timeout;
        slots.retain(|_, slot| slot.idle_since().is_none_or(|since| since.elapsed() < idle_timeout));
        let mine = |other: &Key| other.system == key.system && other.holder == key.holder;
        let room = |slots: &mut HashMap<Key, Arc<Slot>>, max: usize, counts: &dyn Fn(&Key) -> bool, what| {
            if slots.keys().filter(|other| counts(other)).count() < max {
                return Ok(());
            }
            let unused = |(key, slot): (&Key, &Arc<Slot>)| Some((slot.idle_since()?, key.clone()));
            let oldest: Option<(Instant, Key)> =
                slots.iter().filter(|(key, _)| counts(key)).filter_map(unused).min_by_key(|(since, _)| *since);
            let (_, oldest) = oldest.ok_or(UpstreamError::Busy { what, max })?;
            slots.remove(&oldest);
            Ok(())
        };
        let limits = self.limits;
        room(&mut slots, limits.connections_per_principal_max, &mine, "connections of one agent to one system")?;
        room(&mut slots, limits.connections_max, &|_| true, "connections to servers")?;
        let slot = Arc::new(Slot::default());
        slots.insert(key.clone(), Arc::clone(&slot));
        Ok(slot)
    }
}
