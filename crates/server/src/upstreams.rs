//! Ties the pool of upstream connections to the broker: which systems there are, their secrets, what is seen of them,
//! who lost its place.

use std::{collections::BTreeSet, sync::Arc};

use bailiwick_api::admin::TryOut;
use bailiwick_engine::{broker::Broker, connections};
use bailiwick_gateway::upstream::{BrokerSecrets, HttpClientError, Pool, PoolLimits, Secrets, Target};
use bailiwick_model::{
    bundle::BundleRevision,
    principal::{DelegationChain, Principal},
};
use bailiwick_pdp::catalogue::System;
use bailiwick_ports::{connections::FormPosts, upstreams::DiscoverError};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::clients;

/// A pool that knows the systems of the active bundle.
pub fn pool(broker: &Arc<Broker>, posts: Arc<dyn FormPosts>) -> Result<Pool, HttpClientError> {
    let secrets = Arc::new(BrokerSecrets::new(Arc::clone(broker), posts)) as Arc<dyn Secrets>;
    let pool = Pool::new(secrets, PoolLimits::default())?;
    configure(broker, &pool);
    Ok(pool)
}

/// Reaches systems that are not published yet, for proposals.
pub fn try_out(pool: &Pool) -> Arc<TryOut> {
    let pool = pool.clone();
    Arc::new(move |system: System| {
        let pool = pool.clone();
        Box::pin(async move {
            if let Some(kind) = system.client() {
                return clients::discovered(kind, &system.name);
            }
            let tried = pool.try_out(&system.name, Target::from(&system)).await;
            tried.map_err(|error| DiscoverError { system: system.name, reason: error.to_string() })
        })
    })
}

fn configure(broker: &Broker, pool: &Pool) {
    let live = broker.live();
    let systems = live.policy.iter().flat_map(|policy| policy.catalogue().servers());
    pool.configure(systems.map(|system| (system.name.clone(), Target::from(system))));
}

/// Follows the broker's changes: a new bundle brings other systems, an agent that may not act any more loses its
/// connections.
pub async fn follow(broker: Arc<Broker>, pool: Pool, stop: CancellationToken) {
    let (mut epochs, mut ends) = (broker.epochs(), connections::ends(&broker));
    let mut revision = active(&broker);
    let mut closed = BTreeSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = epochs.changed() => if changed.is_err() { return },
            ended = ends.recv() => match ended {
                Ok((user, system)) => {
                    pool.close_user(&user, Some(&system));
                    continue;
                }
                // Which were missed nobody knows.
                Err(RecvError::Lagged(_)) => {
                    broker.live().users.keys().for_each(|user| pool.close_user(user, None));
                    continue;
                }
                Err(RecvError::Closed) => return,
            },
        }
        let now = active(&broker);
        if now != revision {
            revision = now;
            configure(&broker, &pool);
            let live = broker.live();
            // Definitions were carried over only where pins did not change; all others are looked at now.
            for system in live.policy.iter().flat_map(|policy| policy.catalogue().servers()) {
                pool.verify_now(&system.name);
            }
        }
        close_inactive(&broker, &pool, &mut closed);
    }
}

fn active(broker: &Broker) -> Option<BundleRevision> {
    broker.live().policy.as_deref().map(bailiwick_pdp::snapshot::Snapshot::revision)
}

/// Closes the connections of agents and users that stopped being active since the last look.
fn close_inactive(broker: &Broker, pool: &Pool, closed: &mut BTreeSet<Principal>) {
    let (live, now) = (broker.live(), broker.now());
    let mut look = |principal: Principal, stands: bool, close: &dyn Fn()| {
        if stands {
            closed.remove(&principal);
        } else if closed.insert(principal) {
            close();
        }
    };
    for (name, agent) in live.agents.iter() {
        let principal = Principal::Agent(name.clone());
        look(principal.clone(), agent.standing(now).is_ok(), &|| pool.close(&DelegationChain::of(principal.clone())));
    }
    for (id, user) in live.users.iter() {
        look(Principal::User(id.clone()), user.standing().is_ok(), &|| pool.close_user(id, None));
    }
}
