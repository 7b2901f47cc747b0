//! Clients that register by themselves.

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    agent::{Agent, AgentStatus, Environment},
    digest::Digest,
    id::RegistrationTokenId,
    registration::{RegistrationToken, Terms},
};
use bailiwick_ports::{entry::Entry, store::StoreError};

use super::{Bench, fixtures::*};

fn told(id: &str) -> Entry {
    entry(EventKind::AgentChanged, id)
}

fn token(number: u8) -> RegistrationToken {
    RegistrationToken {
        id: RegistrationTokenId::from_bytes([number; 16]),
        digest: Digest::of(&[number]),
        terms: Terms {
            name_prefix: "ci".parse().unwrap(),
            owner: "Ada".into(),
            purpose: "builds".into(),
            environment: Environment::Staging,
            role: "builder".parse().unwrap(),
            systems: vec!["files".parse().unwrap()],
            lifetime_days: 1,
        },
        uses: 0,
        uses_max: 2,
        created_at: at(0),
        expires_at: at(900),
    }
}

/// Every field comes back; a token is good for so many clients until its end, and what it let in stays without it.
pub async fn a_registration_token_is_used_up(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let (one, two) = (token(1), token(2));
    store.add_registration_token(one.clone(), told("evt_1")).await.unwrap();
    store.add_registration_token(two.clone(), told("evt_2")).await.unwrap();
    assert!(matches!(store.add_registration_token(two.clone(), told("evt_x")).await, Err(StoreError::Exists(_))));
    assert_eq!(store.registration_token(one.digest).await.unwrap(), Some(one.clone()));
    assert_eq!(store.registration_token(Digest::of(b"x")).await.unwrap(), None);
    let access = Digest::of;
    store.register_client(agent("ci-1"), one.id, access(b"1"), told("evt_3")).await.unwrap();
    let taken = store.register_client(agent("ci-1"), one.id, access(b"x"), told("evt_x")).await;
    assert!(matches!(taken, Err(StoreError::Exists(_))), "a refused registration uses nothing up");
    store.register_client(agent("ci-2"), one.id, access(b"2"), told("evt_4")).await.unwrap();
    let third = store.register_client(agent("ci-3"), one.id, access(b"3"), told("evt_x")).await;
    assert!(matches!(third, Err(StoreError::Missing(_))));
    let late = Agent { created_at: at(900), ..agent("ci-4") };
    let late = store.register_client(late, two.id, access(b"4"), told("evt_x")).await;
    assert!(matches!(late, Err(StoreError::Missing(_))), "it is over");
    store.remove_registration_token(two.id, told("evt_5")).await.unwrap();
    assert!(matches!(store.remove_registration_token(two.id, told("evt_x")).await, Err(StoreError::Missing(_))));
    assert_eq!(store.registration_tokens().await.unwrap(), [RegistrationToken { uses: 2, ..one }]);
    assert_eq!((store.load().await.unwrap().agents.len(), count(&*store).await), (2, 5));
}

/// What manages a registration is good once, and for nobody once its agent is retired.
pub async fn registration_access_rotates_and_ends(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
    store.add_registration_token(token(1), told("evt_1")).await.unwrap();
    store.register_client(agent("ci-1"), token(1).id, one, told("evt_2")).await.unwrap();
    let managed = async |access| store.managed_client(access).await.unwrap().map(|name| name.to_string());
    assert_eq!((managed(one).await.as_deref(), managed(two).await), (Some("ci-1"), None));
    store.rotate_registration_access(one, two, told("evt_3")).await.unwrap();
    assert!(matches!(store.rotate_registration_access(one, two, told("evt_x")).await, Err(StoreError::Missing(_))));
    assert_eq!((managed(one).await, managed(two).await.as_deref()), (None, Some("ci-1")));
    let status = AgentStatus::Retired { at: at(1), reason: "done".into() };
    let retired = Agent { version: 2, status, credentials: Vec::new(), ..agent("ci-1") };
    store.change_agent(retired, None, told("evt_4")).await.unwrap();
    assert_eq!(managed(two).await, None);
    assert_eq!(store.load().await.unwrap().agents[0].credentials, []);
}
