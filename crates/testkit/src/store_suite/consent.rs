//! Requests for consent that wait for a user apart from their client.

use std::{collections::BTreeSet, sync::Arc};

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    agent::{Agent, AgentStatus},
    consent_request::{AskedConsent, ConsentKey, ConsentRequest, ConsentStatus},
    digest::Digest,
    grant::{Authentication, Grant, GrantKind, GrantStatus},
    id::ConsentRequestId,
    limits::{
        CONSENT_REQUESTS_PER_CLIENT_AND_USER_MAX, CONSENT_REQUESTS_PER_CLIENT_MAX, CONSENT_REQUESTS_PER_USER_MAX,
    },
    name::UserId,
    user::{User, UserStatus},
};
use bailiwick_ports::store::{EndOfGrants, Store, StoreError};

use super::{
    Bench,
    fixtures::{agent, at, entry},
    identity::{changed, grant, user},
};

/// A request for consent as `bot` makes it.
pub(super) fn consent(number: u8, user: Option<&str>) -> ConsentRequest {
    ConsentRequest {
        id: ConsentRequestId::from_bytes([number; 16]),
        kind: if user.is_some() { GrantKind::Ciba } else { GrantKind::DeviceCode },
        secret: Digest::from_bytes([number; 32]),
        user_code: user.is_none().then(|| Digest::from_bytes([number + 100; 32])),
        client: "bot".parse().unwrap(),
        user: user.map(|user| user.parse().unwrap()),
        asked: AskedConsent {
            resource: "https://b.example/mcp/files".into(),
            scopes: BTreeSet::from(["files:read".parse().unwrap()]),
            details: grant(1, None).details,
            acr_values: BTreeSet::from(["phr".parse().unwrap()]),
            binding_message: Some("Order 4711".into()),
            confirmation: None,
            from: Some("203.0.113.7".parse().unwrap()),
        },
        status: ConsentStatus::Waiting,
        created_at: at(i64::from(number)),
        expires_at: at(i64::from(number) + 300),
    }
}

/// A store with two agents and two users.
async fn peopled(bench: &dyn Bench) -> Arc<dyn Store> {
    let store = bench.open(1).await;
    for name in ["bot", "bot-2", "bot-3", "bot-4", "bot-5"] {
        store.register_agent(keyless(name), entry(EventKind::AgentChanged, &format!("evt_{name}"))).await.unwrap();
    }
    for name in ["u-1", "u-2"] {
        store.add_user(user(name), changed(&format!("evt_{name}"))).await.unwrap();
    }
    store
}

/// An agent that shares no credential with another.
fn keyless(name: &str) -> Agent {
    Agent { credentials: Vec::new(), ..agent(name) }
}

pub(super) async fn ask(store: &dyn Store, request: &ConsentRequest) -> Result<(), StoreError> {
    let entry = changed(&format!("evt_{}", request.id));
    store.ask_consent(request.clone(), at(-1_000), Vec::new(), entry).await.map(|_| ())
}

async fn answer(
    store: &dyn Store,
    request: &ConsentRequest,
    user: &str,
    status: &ConsentStatus,
) -> Result<(), StoreError> {
    let entry = changed("evt_answer");
    store.answer_consent(request.id, user.parse().unwrap(), status.clone(), entry).await.map(|_| ())
}

fn allowed() -> ConsentStatus {
    let authentication = Authentication { at: at(2), methods: BTreeSet::from(["hwk".into()]), acr: None };
    ConsentStatus::Allowed { authentication, until: at(900) }
}

pub(super) async fn status(store: &dyn Store, request: &ConsentRequest) -> ConsentStatus {
    store.consent_request(ConsentKey::Id(request.id)).await.unwrap().unwrap().status
}

/// A request is found by whatever is known of it, is the first user's, answered once, and taken back or redeemed once.
pub async fn a_request_for_consent_waits_and_is_answered_once(bench: &dyn Bench) {
    let store = peopled(bench).await;
    let (device, told) = (consent(1, None), consent(2, Some("u-1")));
    ask(&*store, &device).await.unwrap();
    ask(&*store, &told).await.unwrap();
    for key in
        [ConsentKey::Id(device.id), ConsentKey::Secret(device.secret), ConsentKey::UserCode(device.user_code.unwrap())]
    {
        assert_eq!(store.consent_request(key).await.unwrap(), Some(device.clone()));
    }
    let one: UserId = "u-1".parse().unwrap();
    assert_eq!(store.consent_requests(&one).await.unwrap(), std::slice::from_ref(&told));
    let conflicts = |answer: Result<(), StoreError>| matches!(answer, Err(StoreError::Conflict(_)));
    answer(&*store, &device, "u-2", &ConsentStatus::Waiting).await.unwrap();
    assert!(conflicts(answer(&*store, &device, "u-1", &ConsentStatus::Refused).await), "another's");
    let redeem = async |request: &ConsentRequest, number: u8, after_s: i64| {
        let grant = Grant { created_at: at(after_s), ..grant(number, None) };
        store.redeem_consent(request.id, grant, Vec::new(), changed("evt_given")).await.map(|_| ())
    };
    assert!(conflicts(redeem(&device, 1, 10).await), "nobody allowed it");
    answer(&*store, &device, "u-2", &allowed()).await.unwrap();
    assert!(conflicts(answer(&*store, &device, "u-2", &allowed()).await), "once");
    assert!(conflicts(answer(&*store, &device, "u-1", &ConsentStatus::Refused).await), "another's to take back");
    assert!(conflicts(redeem(&device, 1, 301).await), "it is over");
    assert_eq!(store.consent_requests(&"u-2".parse().unwrap()).await.unwrap().len(), 1, "until somebody comes for it");
    redeem(&device, 1, 10).await.unwrap();
    assert!(conflicts(redeem(&device, 2, 10).await), "once");
    assert!(conflicts(answer(&*store, &device, "u-2", &ConsentStatus::Refused).await), "too late");
    assert_eq!(status(&*store, &device).await, ConsentStatus::Redeemed { grant: grant(1, None).id });
    assert!(store.consent_requests(&"u-2".parse().unwrap()).await.unwrap().is_empty());

    answer(&*store, &told, "u-1", &allowed()).await.unwrap();
    answer(&*store, &told, "u-1", &ConsentStatus::Refused).await.unwrap();
    assert!(conflicts(redeem(&told, 3, 10).await), "taken back");
    assert_eq!(store.load().await.unwrap().grants.len(), 1, "a refused redemption gives nothing");
}

/// One client has so many that wait for a user, all of them together some more, and none takes the room of another; what is
/// over is forgotten.
pub async fn a_user_is_asked_so_much_and_no_more(bench: &dyn Bench) {
    let store = peopled(bench).await;
    let of = |number: u8, client: &str, user: Option<&str>| ConsentRequest {
        client: client.parse().unwrap(),
        ..consent(number, user)
    };
    let full = |asked: Result<(), StoreError>| matches!(asked, Err(StoreError::Conflict(_)));
    let mut number = 0;
    let mut next = || {
        number += 1;
        number
    };
    for client in ["bot", "bot-2", "bot-3", "bot-4"] {
        for _ in 0..CONSENT_REQUESTS_PER_CLIENT_AND_USER_MAX {
            ask(&*store, &of(next(), client, Some("u-1"))).await.unwrap();
        }
        assert!(full(ask(&*store, &of(next(), client, Some("u-1"))).await), "{client} asked enough");
    }
    let most = 4 * CONSENT_REQUESTS_PER_CLIENT_AND_USER_MAX;
    assert_eq!(most, CONSENT_REQUESTS_PER_USER_MAX);
    assert!(full(ask(&*store, &of(next(), "bot-5", Some("u-1"))).await), "the user is asked enough");
    ask(&*store, &of(next(), "bot", Some("u-2"))).await.unwrap();
    let first = consent(1, Some("u-1"));
    answer(&*store, &first, "u-1", &ConsentStatus::Refused).await.unwrap();
    ask(&*store, &of(next(), "bot-5", Some("u-1"))).await.unwrap();
    let mut devices = 0;
    while ask(&*store, &of(next(), "bot-5", None)).await.is_ok() {
        devices += 1;
    }
    assert_eq!(devices, CONSENT_REQUESTS_PER_CLIENT_MAX - 1, "of one client, whoever they are for");
    let later = ConsentRequest { created_at: at(1_000), expires_at: at(1_300), ..of(next(), "bot-5", Some("u-1")) };
    store.ask_consent(later.clone(), at(900), Vec::new(), changed("evt_later")).await.unwrap();
    assert_eq!(store.consent_request(ConsentKey::Id(first.id)).await.unwrap(), None, "forgotten");
    assert_eq!(store.consent_requests(&"u-1".parse().unwrap()).await.unwrap(), [later]);
}

/// Whatever waits for somebody who is stopped is refused with them, answered or not, for good; and so it is with a client.
pub async fn a_request_for_consent_ends_with_its_user_and_its_client(bench: &dyn Bench) {
    let store = peopled(bench).await;
    let (waits, stands, of_other) = (consent(1, Some("u-1")), consent(2, Some("u-1")), consent(3, Some("u-2")));
    for request in [&waits, &stands, &of_other] {
        ask(&*store, request).await.unwrap();
    }
    answer(&*store, &stands, "u-1", &allowed()).await.unwrap();
    let told = |id| entry(EventKind::UserChanged, id);
    let suspended = UserStatus::Suspended { at: at(5), reason: "test".into() };
    store.change_user(User { status: suspended, version: 2, ..user("u-1") }, None, told("evt_s")).await.unwrap();
    store.change_user(User { version: 3, ..user("u-1") }, None, told("evt_r")).await.unwrap();
    for request in [&waits, &stands] {
        assert_eq!(status(&*store, request).await, ConsentStatus::Refused, "and it does not come back with them");
    }
    let late = store.redeem_consent(stands.id, grant(1, None), Vec::new(), changed("evt_given")).await;
    assert!(matches!(late, Err(StoreError::Conflict(_))));
    assert_eq!(status(&*store, &of_other).await, ConsentStatus::Waiting, "nobody else is concerned");

    answer(&*store, &of_other, "u-2", &allowed()).await.unwrap();
    let device = consent(4, None);
    ask(&*store, &device).await.unwrap();
    let suspended = AgentStatus::Suspended { at: at(5), reason: "test".into() };
    let told = |id| entry(EventKind::AgentChanged, id);
    store.change_agent(Agent { status: suspended, version: 2, ..keyless("bot") }, None, told("evt_s2")).await.unwrap();
    store.change_agent(Agent { version: 3, ..keyless("bot") }, None, told("evt_r2")).await.unwrap();
    for request in [&of_other, &device] {
        assert_eq!(status(&*store, request).await, ConsentStatus::Refused);
    }

    // With the end of its grants as well, of which it has none: no evidence speaks of them.
    let last = consent(5, None);
    ask(&*store, &last).await.unwrap();
    let ended = GrantStatus::Ended { at: at(6), reason: "test".into() };
    let ends = EndOfGrants { ids: Vec::new(), ended, entry: changed("evt_none") };
    store.change_agent(Agent { version: 4, ..keyless("bot") }, Some(ends), told("evt_role")).await.unwrap();
    assert_eq!(status(&*store, &last).await, ConsentStatus::Refused);
}
