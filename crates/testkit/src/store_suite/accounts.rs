//! Accounts of other providers by which users sign in.

use std::collections::BTreeSet;

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    consent_request::ConsentStatus,
    identity::{ExternalAccount, LinkedBy},
    user::{ADMINISTRATORS, User, UserStatus},
};
use bailiwick_ports::store::{Store, StoreError};

use super::{
    Bench,
    connections::connection,
    consent::{ask, consent, status},
    fixtures::*,
    identity::{session, signed_in, user},
};

fn account(subject: &str, user: &str, linked_by: LinkedBy) -> ExternalAccount {
    ExternalAccount {
        issuer: "https://idp.example".into(),
        subject: subject.into(),
        user: user.parse().unwrap(),
        linked_by,
        created_at: at(3),
    }
}

/// An account of a provider is one user's: it stays with who left until an operator gives it away, and whoever administers
/// keeps none that only a match led to.
pub async fn accounts_of_providers_are_one_users(bench: &dyn Bench) {
    let changed = |id: &str| entry(EventKind::UserChanged, id);
    let matched = account("a", "u-1", LinkedBy::Match);
    {
        let store = bench.open(1).await;
        store.add_user(user("u-1"), changed("evt_1")).await.unwrap();
        store.add_identity(matched.clone(), None, changed("evt_2")).await.unwrap();
        let made = account("b", "u-2", LinkedBy::Creation);
        store.add_identity(made.clone(), Some(user("u-2")), changed("evt_3")).await.unwrap();
        for taken in [LinkedBy::Match, LinkedBy::Operator] {
            let twin = store.add_identity(account("b", "u-1", taken), None, changed("evt_x")).await;
            assert!(matches!(twin, Err(StoreError::Exists(_))), "{twin:?}");
        }
        let nobody = store.add_identity(account("c", "u-9", LinkedBy::Operator), None, changed("evt_x")).await;
        assert!(matches!(nobody, Err(StoreError::Conflict(_))), "{nobody:?}");
        assert_eq!(store.identities(&made.user).await.unwrap(), [made]);
    }
    let store = bench.open(2).await;
    assert_eq!(store.identity("https://idp.example", "a").await.unwrap(), Some(matched));
    assert_eq!(store.identity("https://other.example", "a").await.unwrap(), None);
    store.add_identity(account("d", "u-1", LinkedBy::Operator), None, changed("evt_4")).await.unwrap();
    store.open_session(session(1), signed_in("evt_5")).await.unwrap();
    let administers = User { version: 2, groups: BTreeSet::from([ADMINISTRATORS.into()]), ..user("u-1") };
    store.change_user(administers.clone(), None, changed("evt_6")).await.unwrap();
    assert_eq!(store.identities(&administers.id).await.unwrap(), [account("d", "u-1", LinkedBy::Operator)]);
    assert_eq!(store.session(session(1).token).await.unwrap(), None, "who signed in by it has to do so anew");
    store.open_session(session(2), signed_in("evt_7")).await.unwrap();
    store.change_user(User { version: 3, ..administers }, None, changed("evt_8")).await.unwrap();
    assert!(store.session(session(2).token).await.unwrap().is_some(), "and once is enough");
    let left = UserStatus::Left { at: at(6), reason: "gone".into() };
    store.change_user(User { version: 2, status: left, ..user("u-2") }, None, changed("evt_9")).await.unwrap();
    let again = store.add_identity(account("b", "u-1", LinkedBy::Match), None, changed("evt_x")).await;
    assert!(matches!(again, Err(StoreError::Exists(_))), "it stays with who left: {again:?}");
    store.add_identity(account("b", "u-1", LinkedBy::Operator), None, changed("evt_10")).await.unwrap();
    assert_eq!(store.identities(&user("u-2").id).await.unwrap(), []);
    // What an operator took away is nobody's by a match or a creation, not even past a promotion; by an operator's word it is.
    let match_of_u3 = account("e", "u-3", LinkedBy::Match);
    store.add_user(user("u-3"), changed("evt_11")).await.unwrap();
    store.add_identity(match_of_u3.clone(), None, changed("evt_12")).await.unwrap();
    store.remove_identity(&match_of_u3.user, "https://idp.example", "e", None, changed("evt_13")).await.unwrap();
    let twice = store.remove_identity(&match_of_u3.user, "https://idp.example", "e", None, changed("evt_x")).await;
    assert!(matches!(twice, Err(StoreError::Missing(_))), "{twice:?}");
    let administers = User { version: 2, groups: BTreeSet::from([ADMINISTRATORS.into()]), ..user("u-3") };
    store.change_user(administers, None, changed("evt_14")).await.unwrap();
    let removed = account("e", "u-3", LinkedBy::Removed);
    assert_eq!(store.identity("https://idp.example", "e").await.unwrap(), Some(removed.clone()));
    assert_eq!(store.identities(&removed.user).await.unwrap(), [removed]);
    let again = store.add_identity(match_of_u3, None, changed("evt_x")).await;
    assert!(matches!(again, Err(StoreError::Exists(_))), "{again:?}");
    let new = store.add_identity(account("e", "u-4", LinkedBy::Creation), Some(user("u-4")), changed("evt_x")).await;
    assert!(matches!(new, Err(StoreError::Exists(_))), "{new:?}");
    let given = account("e", "u-3", LinkedBy::Operator);
    store.add_identity(given.clone(), None, changed("evt_15")).await.unwrap();
    assert_eq!(store.identities(&given.user).await.unwrap(), [given]);
    what_came_by_a_match_ends_with_it(&*store).await;
}

async fn what_came_by_a_match_ends_with_it(store: &dyn Store) {
    let changed = |id: &str| entry(EventKind::UserChanged, id);
    store.register_agent(agent("bot"), entry(EventKind::AgentChanged, "evt_bot")).await.unwrap();
    for (number, id) in [(1, "u-5"), (2, "u-6"), (3, "u-7")] {
        store.add_user(user(id), changed(&format!("evt_{id}"))).await.unwrap();
        let matched = account(id, id, LinkedBy::Match);
        store.add_identity(matched, None, changed(&format!("evt_m{id}"))).await.unwrap();
        store.connect(connection(number, id), entry(EventKind::SecretChanged, &format!("evt_c{id}"))).await.unwrap();
        ask(store, &consent(number, Some(id))).await.unwrap();
    }
    store.remove_identity(&user("u-5").id, "https://idp.example", "u-5", None, changed("evt_r5")).await.unwrap();
    let administers = User { version: 2, groups: BTreeSet::from([ADMINISTRATORS.into()]), ..user("u-6") };
    store.change_user(administers, None, changed("evt_a6")).await.unwrap();
    for (number, id, stays) in [(1, "u-5", false), (2, "u-6", false), (3, "u-7", true)] {
        let waits = status(store, &consent(number, Some(id))).await == ConsentStatus::Waiting;
        let connected = !store.connections(&user(id).id).await.unwrap().is_empty();
        assert_eq!((waits, connected), (stays, stays), "{id}");
    }
}
