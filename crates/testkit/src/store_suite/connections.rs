//! Accounts that users connected.

use std::collections::BTreeSet;

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    connection::{Connection, ConnectionStatus},
    digest::Digest,
    id::ConnectionId,
    user::{User, UserStatus},
};
use bailiwick_ports::{entry::Entry, store::StoreError};

use super::{Bench, fixtures::*};

fn changed(id: &str) -> Entry {
    entry(EventKind::SecretChanged, id)
}

fn user(id: &str) -> User {
    User {
        id: id.parse().unwrap(),
        name: id.into(),
        email: None,
        groups: BTreeSet::new(),
        status: UserStatus::Active,
        directory: None,
        created_at: at(0),
        version: 1,
    }
}

pub(super) fn connection(number: u8, user: &str) -> Connection {
    Connection {
        id: ConnectionId::from_bytes([number; 16]),
        user: user.parse().unwrap(),
        system: "crm".parse().unwrap(),
        binding: Digest::of(b"server"),
        scopes: BTreeSet::from(["contacts.read".parse().unwrap()]),
        sealed: vec![number; 40],
        version: 1,
        connected_at: at(1),
        renewed_at: at(2),
        expires_at: Some(at(900)),
        status: ConnectionStatus::Active,
    }
}

/// Every field comes back; whoever renews must have seen the newest; of another user and system there is nothing.
pub async fn a_connection_is_kept_whole_and_renewed_from_what_was_seen(bench: &dyn Bench) {
    let store = bench.open(1).await;
    for id in ["u-1", "u-2"] {
        store.add_user(user(id), entry(EventKind::UserChanged, &format!("evt_{id}"))).await.unwrap();
    }
    let first = connection(1, "u-1");
    store.connect(first.clone(), changed("evt_1")).await.unwrap();
    store.connect(connection(2, "u-2"), changed("evt_2")).await.unwrap();
    let nobody = store.connect(connection(3, "u-3"), changed("evt_x")).await;
    assert!(matches!(nobody, Err(StoreError::Conflict(_))), "{nobody:?}");
    assert_eq!(store.connection(&first.user, &first.system).await.unwrap(), Some(first.clone()));
    assert_eq!(store.connections(&first.user).await.unwrap(), std::slice::from_ref(&first));
    assert_eq!(store.connection(&first.user, &"hr".parse().unwrap()).await.unwrap(), None);
    let next = Connection { version: 2, sealed: vec![9], renewed_at: at(5), expires_at: None, ..first.clone() };
    store.renew_connection(next.clone(), changed("evt_3")).await.unwrap();
    let again = store.renew_connection(next.clone(), changed("evt_x")).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "from what is no longer the newest");
    assert_eq!(store.connection(&first.user, &first.system).await.unwrap(), Some(next));
    assert_eq!(count(&*store).await, 5);
}

/// A second one takes the first one's place; a user who stops loses theirs in the same transaction, and nobody else; what
/// ended is found for whoever takes its tokens back, and then erased.
pub async fn a_connection_makes_way_for_the_next_and_ends_with_its_user(bench: &dyn Bench) {
    let store = bench.open(1).await;
    for id in ["u-1", "u-2"] {
        store.add_user(user(id), entry(EventKind::UserChanged, &format!("evt_{id}"))).await.unwrap();
    }
    let (first, second, other) = (connection(1, "u-1"), connection(2, "u-1"), connection(3, "u-2"));
    store.connect(first.clone(), changed("evt_1")).await.unwrap();
    let second = Connection { connected_at: at(10), ..second };
    store.connect(second.clone(), changed("evt_2")).await.unwrap();
    store.connect(other.clone(), changed("evt_3")).await.unwrap();
    assert_eq!(store.connections(&first.user).await.unwrap(), std::slice::from_ref(&second));
    let stopped = UserStatus::Suspended { at: at(20), reason: "away".into() };
    let stopped = User { version: 2, status: stopped, ..user("u-1") };
    store.change_user(stopped, None, entry_at(EventKind::UserChanged, "evt_4", at(20))).await.unwrap();
    assert_eq!(store.connections(&first.user).await.unwrap(), []);
    assert_eq!(store.connections(&other.user).await.unwrap(), std::slice::from_ref(&other));
    let next = Connection { version: 2, ..second.clone() };
    assert!(matches!(store.renew_connection(next, changed("evt_x")).await, Err(StoreError::Conflict(_))));
    assert!(matches!(store.end_connection(second.id, at(30), changed("evt_x")).await, Err(StoreError::Missing(_))));
    let ended = |connection, second| Connection { status: ConnectionStatus::Ended { at: at(second) }, ..connection };
    assert_eq!(store.ended_connections().await.unwrap(), [ended(first.clone(), 10), ended(second.clone(), 20)]);
    store.forget_connection(other.id).await.unwrap();
    store.forget_connection(first.id).await.unwrap();
    store.end_connection(other.id, at(40), changed("evt_5")).await.unwrap();
    assert_eq!(store.ended_connections().await.unwrap(), [ended(second, 20), ended(other, 40)], "one in use stays");
}
