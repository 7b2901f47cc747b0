//! Users, grants, revoked tokens.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    agent::{Agent, AgentStatus},
    digest::Digest,
    directory::{DirectoryEntry, DirectoryGroup, ProvisioningToken},
    grant::{Authentication, Grant, GrantKind, GrantStatus, SubjectToken, Vouched},
    id::{BrowserSessionId, DirectoryGroupId, GrantId, TaskId, TokenId},
    limits::{PASSKEYS_PER_USER_MAX, SESSIONS_PER_USER_MAX},
    name::UserId,
    passkey::{Invitation, Passkey},
    principal::{DelegationChain, Principal},
    session::Session,
    task::{Pin, Task, TaskStatus, ToolGrant},
    user::{User, UserStatus},
};
use bailiwick_ports::{
    entry::Entry,
    store::{EndOfGrants, IssuedToken, StoreError},
};

use super::{Bench, fixtures::*};

pub(super) fn changed(id: &str) -> Entry {
    entry(EventKind::GrantChanged, id)
}

pub(super) fn user(id: &str) -> User {
    User {
        id: id.parse().unwrap(),
        name: "Ada".into(),
        email: Some("ada@example.com".into()),
        groups: BTreeSet::from(["finance".into(), "managers".into()]),
        status: UserStatus::Active,
        directory: None,
        created_at: at(1),
        version: 1,
    }
}

/// A grant of a user to the agent `bot` for fifteen minutes.
pub fn grant(number: u8, parent: Option<u8>) -> Grant {
    let chain = vec![Principal::User("u-1".parse().unwrap()), Principal::Agent("bot".parse().unwrap())];
    Grant {
        id: GrantId::from_bytes([number; 16]),
        kind: GrantKind::AuthorizationCode,
        chain: DelegationChain::new(chain).unwrap(),
        parent: parent.map(|number| GrantId::from_bytes([number; 16])),
        subject: parent
            .map(|_| SubjectToken { id: TokenId::from_bytes([5; 16]), task: Some(TaskId::from_bytes([6; 16])) }),
        resources: BTreeSet::from(["https://b.example/mcp/files".into()]),
        scopes: BTreeSet::from(["files:read".parse().unwrap()]),
        details: Some(vec![ToolGrant {
            action: "files.read".parse().unwrap(),
            pins: [("path".to_owned(), Pin::Under("/data".into()))].into(),
        }]),
        task: Some(TaskId::from_bytes([7; 16])),
        authentication: Some(Authentication { at: at(2), methods: BTreeSet::from(["hwk".into()]), acr: None }),
        vouched: parent.map(|_| Vouched { issuer: "https://idp.example".into(), assertion: "j-1".into() }),
        status: GrantStatus::Active,
        created_at: at(3),
        expires_at: at(900),
    }
}

fn ended() -> GrantStatus {
    GrantStatus::Ended { at: at(9), reason: "withdrawn".into() }
}

/// Every field comes back; a user changes from the version that was seen, and an id is never given twice.
pub async fn users_are_kept_whole(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let changed = |id| entry(EventKind::UserChanged, id);
    let (first, mut second) = (user("u-1"), User { email: None, ..user("u-2") });
    store.add_user(second.clone(), changed("evt_1")).await.unwrap();
    store.add_user(first.clone(), changed("evt_2")).await.unwrap();
    assert!(matches!(store.add_user(user("u-1"), changed("evt_x")).await, Err(StoreError::Exists(_))));
    second.version = 2;
    second.status = UserStatus::Left { at: at(8), reason: "gone".into() };
    second.groups.clear();
    store.change_user(second.clone(), None, changed("evt_3")).await.unwrap();
    assert!(matches!(store.change_user(second.clone(), None, changed("evt_x")).await, Err(StoreError::Conflict(_))));
    assert!(matches!(store.change_user(user("u-3"), None, changed("evt_x")).await, Err(StoreError::Missing(_))));
    assert_eq!(store.load().await.unwrap().users, [first, second]);
    assert_eq!(count(&*store).await, 3, "a refused change leaves no evidence");
}

/// Every field comes back; what authorized a grant is used up with it; it ends once.
pub async fn grants_are_given_and_end_once(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let one = grant(1, None);
    store.give_grant(one.clone(), vec![spent("code", 900)], changed("evt_1")).await.unwrap();
    let again = store.give_grant(grant(2, None), vec![spent("code", 900)], changed("evt_x")).await;
    assert!(matches!(again, Err(StoreError::Replayed)), "a code is good for one grant");
    assert!(matches!(store.give_grant(one.clone(), vec![], changed("evt_x")).await, Err(StoreError::Exists(_))));
    assert_eq!(store.load().await.unwrap().grants, std::slice::from_ref(&one));
    assert_eq!(store.grant(one.id).await.unwrap(), Some(one.clone()));
    let bare = Grant { task: None, authentication: None, ..grant(3, None) };
    store.give_grant(bare.clone(), vec![], changed("evt_2")).await.unwrap();
    assert_eq!(store.load().await.unwrap().grants, [one.clone(), bare]);
    store.end_grants(vec![one.id], ended(), changed("evt_3")).await.unwrap();
    assert!(matches!(store.end_grants(vec![one.id], ended(), changed("evt_x")).await, Err(StoreError::Conflict(_))));
    let unknown = GrantId::from_bytes([9; 16]);
    assert!(matches!(store.end_grants(vec![unknown], ended(), changed("evt_x")).await, Err(StoreError::Missing(_))));
    assert_eq!(store.grant(one.id).await.unwrap(), Some(Grant { status: ended(), ..one }));
    assert_eq!(store.load().await.unwrap().grants.len(), 1);
    assert_eq!(count(&*store).await, 3, "what was refused leaves no evidence");
}

/// No grant comes from one that has ended, and several end in one moment, whatever of them is gone already.
pub async fn a_grant_ends_with_the_one_that_it_comes_from(bench: &dyn Bench) {
    let store = bench.open(1).await;
    store.give_grant(grant(1, None), vec![], changed("evt_1")).await.unwrap();
    store.give_grant(grant(2, Some(1)), vec![], changed("evt_2")).await.unwrap();
    assert!(matches!(
        store.give_grant(grant(3, Some(8)), vec![], changed("evt_x")).await,
        Err(StoreError::Conflict(_))
    ));
    let ids = |numbers: &[u8]| numbers.iter().map(|number| GrantId::from_bytes([*number; 16])).collect::<Vec<_>>();
    assert!(store.end_grants(ids(&[8, 9]), ended(), changed("evt_x")).await.is_err());
    assert_eq!(store.load().await.unwrap().grants.len(), 2);
    store.end_grants(ids(&[1, 2, 9]), ended(), changed("evt_3")).await.unwrap();
    assert!(store.load().await.unwrap().grants.is_empty());
    let late = store.give_grant(grant(4, Some(1)), vec![], changed("evt_x")).await;
    assert!(matches!(late, Err(StoreError::Conflict(_))), "an exchange lost the race with a revocation");
}

/// A decision that relied on a grant, token or user is made again when that one ends or changes, and no other decision is.
pub async fn what_ends_a_grant_overtakes_a_decision(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let told = |id| entry(EventKind::UserChanged, id);
    for id in ["u-1", "u-2"] {
        store.add_user(user(id), told(id)).await.unwrap();
    }
    for (number, id) in (1..).zip(["evt_1", "evt_2", "evt_3"]) {
        store.give_grant(grant(number, None), vec![], changed(id)).await.unwrap();
    }
    let seen = store.load().await.unwrap();
    // What every call of the one relied on; the other has a grant, a token and a user of its own.
    let by = |id: &str, number: u8, user: &str| {
        let mut call = intent(id, &seen);
        call.relied_on.users = BTreeMap::from([(user.parse().unwrap(), 1)]);
        call.relied_on.token = Some(TokenId::from_bytes([number; 16]));
        call.relied_on.grant = Some(GrantId::from_bytes([number; 16]));
        call
    };
    store.commit_intent(by("eval_0", 1, "u-1")).await.unwrap();
    let conflicts = async |call| matches!(store.commit_intent(call).await, Err(StoreError::Conflict(_)));
    store.revoke_token(TokenId::from_bytes([1; 16]), at(900), None, changed("evt_r")).await.unwrap();
    assert!(conflicts(by("eval_1", 1, "u-1")).await, "its token was revoked");
    store.end_grants(vec![GrantId::from_bytes([2; 16])], ended(), changed("evt_e")).await.unwrap();
    assert!(conflicts(by("eval_2", 2, "u-1")).await, "its grant ended");
    store.change_user(User { version: 2, ..user("u-1") }, None, told("evt_4")).await.unwrap();
    assert!(conflicts(by("eval_3", 3, "u-1")).await, "its user changed");
    let mut late = by("eval_4", 3, "u-2");
    late.entry.event.at = grant(3, None).expires_at;
    assert!(conflicts(late).await, "its grant is past its end");
    store.commit_intent(by("eval_5", 3, "u-2")).await.unwrap();
}

/// What stood on an agent, a user, a task or a token ends in the same transaction as it, with its own evidence; what had
/// ended before stays as it ended.
pub async fn what_stood_on_it_ends_with_it(bench: &dyn Bench) {
    let store = bench.open(1).await;
    store.register_agent(agent("bot"), entry(EventKind::AgentChanged, "evt_a")).await.unwrap();
    store.add_user(user("u-1"), entry(EventKind::UserChanged, "evt_u")).await.unwrap();
    store.create_task(task(1, "bot"), Vec::new(), entry(EventKind::TaskChanged, "evt_t")).await.unwrap();
    for number in 1..=4 {
        store.give_grant(grant(number, None), vec![], changed(&format!("evt_g{number}"))).await.unwrap();
    }
    let ends = |numbers: &[u8], id: &str| {
        let ids = numbers.iter().map(|number| GrantId::from_bytes([*number; 16])).collect();
        Some(EndOfGrants { ids, ended: ended(), entry: changed(id) })
    };
    let left = async || store.load().await.unwrap().grants.len();
    let stale = store.change_agent(agent("bot"), ends(&[1], "evt_x"), entry(EventKind::AgentChanged, "evt_y")).await;
    assert!(matches!(stale, Err(StoreError::Conflict(_))));
    assert_eq!((left().await, count(&*store).await), (4, 7), "all or nothing");
    let retired = Agent { version: 2, ..agent("bot") };
    store.change_agent(retired, ends(&[1], "evt_2"), entry(EventKind::AgentChanged, "evt_1")).await.unwrap();
    assert_eq!(left().await, 3);
    let gone = User { version: 2, ..user("u-1") };
    store.change_user(gone, ends(&[1, 2], "evt_4"), entry(EventKind::UserChanged, "evt_3")).await.unwrap();
    assert_eq!(left().await, 2);
    let mut over = task(1, "bot");
    over.status = TaskStatus::Ended { at: at(1), reason: "done".into() };
    store.end_task(over, ends(&[3], "evt_6"), entry(EventKind::TaskChanged, "evt_5")).await.unwrap();
    assert_eq!(left().await, 1);
    store.revoke_token(TokenId::from_bytes([7; 16]), at(900), ends(&[4], "evt_8"), changed("evt_7")).await.unwrap();
    assert_eq!((left().await, count(&*store).await), (0, 15));
    assert_eq!(store.grant(GrantId::from_bytes([1; 16])).await.unwrap().unwrap().status, ended());
    store.create_task(task(2, "bot"), Vec::new(), entry(EventKind::TaskChanged, "evt_9")).await.unwrap();
    let status = AgentStatus::Retired { at: at(5), reason: "gone".into() };
    let retired = Agent { version: 3, status, credentials: Vec::new(), ..agent("bot") };
    store.change_agent(retired, None, entry(EventKind::AgentChanged, "evt_10")).await.unwrap();
    assert_eq!(store.load().await.unwrap().tasks, [], "nor does a task outlive its agent");
    let ended = store.task(task(2, "bot").id).await.unwrap().unwrap().status;
    assert!(matches!(ended, TaskStatus::Ended { at: then, .. } if then == at(5)), "{ended:?}");
}

/// Rows go, some with each commit, once what they are about has ended by itself: tokens, revocations, refresh tokens, and
/// grants after all that comes from them.
pub async fn what_is_over_is_forgotten(bench: &dyn Bench) {
    let store = bench.open(1).await;
    store.give_grant(grant(1, None), vec![], changed("evt_1")).await.unwrap();
    store.give_grant(grant(2, Some(1)), vec![], changed("evt_2")).await.unwrap();
    let lasting = Grant { expires_at: at(900_000), ..grant(3, None) };
    store.give_grant(lasting, vec![], changed("evt_3")).await.unwrap();
    store.end_grants(vec![GrantId::from_bytes([3; 16])], ended(), changed("evt_4")).await.unwrap();
    let known = async |number| store.grant(GrantId::from_bytes([number; 16])).await.unwrap().is_some();
    let tick = async |id: &str, second| {
        let mut later = changed(id);
        later.event.at = at(second);
        store.append(later, vec![]).await.unwrap();
    };
    tick("evt_5", 899).await;
    assert!(known(1).await && known(2).await, "not before their end");
    for round in 0..3 {
        tick(&format!("evt_6{round}"), 901).await;
    }
    assert!(!known(1).await && !known(2).await);
    assert!(
        known(3).await,
        "one that was ended stays until it would have ended, so that a copy of what it gave is noticed"
    );
}

/// What agents make for themselves, at their own pace, does not pile up; it stays while a token or a grant names it.
pub async fn a_task_of_an_agents_own_is_forgotten_once_it_is_over(bench: &dyn Bench) {
    let store = bench.open(1).await;
    store.register_agent(agent("bot"), changed("evt_1")).await.unwrap();
    let [lapsed, asked_for, stopped, of_token, of_grant, of_subject] =
        [1, 2, 3, 4, 5, 6].map(|number| task(number, "bot"));
    for task in [&lapsed, &asked_for, &stopped, &of_token, &of_grant, &of_subject] {
        let made = Task { self_made: task.id != asked_for.id, ..task.clone() };
        store.create_task(made, vec![], changed("evt_2")).await.unwrap();
    }
    store
        .issue_token(IssuedToken { task: Some(of_token.id), ..token(4, "bot", 0) }, vec![], changed("evt_3"))
        .await
        .unwrap();
    let lasting = |number| Grant { task: None, expires_at: at(900_000), ..grant(number, None) };
    let subject = SubjectToken { id: TokenId::from_bytes([6; 16]), task: Some(of_subject.id) };
    for grant in [Grant { task: Some(of_grant.id), ..lasting(5) }, Grant { subject: Some(subject), ..lasting(6) }] {
        store.give_grant(grant, vec![], changed("evt_4")).await.unwrap();
    }
    let ended = Task { status: TaskStatus::Ended { at: at(7), reason: "done".into() }, ..stopped.clone() };
    store.end_task(ended, None, changed("evt_5")).await.unwrap();
    let all = [&lapsed, &asked_for, &stopped, &of_token, &of_grant, &of_subject].map(|task| task.id);
    for (second, expected) in
        [(6, [true; 6]), (8, [true, true, false, true, true, true]), (3_600, [false, true, false, true, true, true])]
    {
        for round in 0..3 {
            let mut later = changed(&format!("evt_6{second}{round}"));
            later.event.at = at(second);
            store.append(later, vec![]).await.unwrap();
        }
        for (id, expected) in all.into_iter().zip(expected) {
            assert_eq!(store.task(id).await.unwrap().is_some(), expected, "{id} at {second}");
        }
    }
}

/// A revocation outlives a restart, and not the token.
pub async fn a_revoked_token_is_remembered_until_its_end(bench: &dyn Bench) {
    let (short, long) = (TokenId::from_bytes([1; 16]), TokenId::from_bytes([2; 16]));
    {
        let store = bench.open(1).await;
        store.revoke_token(short, at(50), None, changed("evt_1")).await.unwrap();
        store.revoke_token(long, at(90_000), None, changed("evt_2")).await.unwrap();
    }
    let store = bench.open(2).await;
    let revoked = store.load().await.unwrap().revoked;
    assert!(revoked.contains(&(long, at(90_000))), "{revoked:?}");
    assert!(matches!(store.revoke_token(long, at(90_000), None, changed("evt_3")).await, Err(StoreError::Exists(_))));
}

pub(super) fn session(number: u8) -> Session {
    Session {
        id: BrowserSessionId::from_bytes([number; 16]),
        token: Digest::of(&[number]),
        user: "u-1".parse().unwrap(),
        authentication: Authentication {
            at: at(2),
            methods: BTreeSet::from(["hwk".into(), "user".into()]),
            acr: "phr".parse().ok(),
        },
        created_at: at(i64::from(number)),
        idle_ends_at: at(500),
        ends_at: at(900),
    }
}

pub(super) fn signed_in(id: &str) -> Entry {
    entry(EventKind::SessionChanged, id)
}

/// Every field comes back by the token alone; its idle end only moves on, and what was closed stays closed.
pub async fn sessions_are_kept_whole(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let refused = store.open_session(session(1), signed_in("evt_x")).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "nobody signs in who is unknown");
    store.add_user(user("u-1"), entry(EventKind::UserChanged, "evt_u")).await.unwrap();
    store.open_session(session(1), signed_in("evt_1")).await.unwrap();
    store.open_session(session(2), signed_in("evt_2")).await.unwrap();
    let twin = Session { token: session(1).token, ..session(3) };
    assert!(matches!(store.open_session(twin, signed_in("evt_x")).await, Err(StoreError::Exists(_))));
    assert_eq!(store.session(session(1).token).await.unwrap(), Some(session(1)));
    assert_eq!(store.session(Digest::of(b"guessed")).await.unwrap(), None);
    store.touch_session(session(1).id, at(600)).await.unwrap();
    store.touch_session(session(1).id, at(400)).await.unwrap();
    let touched = Session { idle_ends_at: at(600), ..session(1) };
    assert_eq!(store.sessions(&session(1).user).await.unwrap(), [session(2), touched]);
    store.close_session(session(1).id, signed_in("evt_3")).await.unwrap();
    store.touch_session(session(1).id, at(700)).await.unwrap();
    assert_eq!(store.session(session(1).token).await.unwrap(), None);
    let again = store.close_session(session(1).id, signed_in("evt_x")).await;
    assert!(matches!(again, Err(StoreError::Missing(_))));
    assert_eq!(count(&*store).await, 4, "what was refused leaves no evidence");
}

/// Whoever is suspended or left is signed out in the same moment, and cannot sign in; being resumed signs nobody in.
pub async fn sessions_end_with_their_user(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let changed = |id| entry(EventKind::UserChanged, id);
    store.add_user(user("u-1"), changed("evt_u")).await.unwrap();
    store.open_session(session(1), signed_in("evt_1")).await.unwrap();
    let suspended = UserStatus::Suspended { at: at(5), reason: "away".into() };
    store.change_user(User { version: 2, status: suspended, ..user("u-1") }, None, changed("evt_2")).await.unwrap();
    assert_eq!(store.session(session(1).token).await.unwrap(), None);
    assert!(matches!(store.open_session(session(2), signed_in("evt_x")).await, Err(StoreError::Conflict(_))));
    store.change_user(User { version: 3, ..user("u-1") }, None, changed("evt_3")).await.unwrap();
    assert!(store.sessions(&session(1).user).await.unwrap().is_empty());
}

/// Their number is bounded: the oldest makes room, and what is over is forgotten.
pub async fn a_user_has_so_many_sessions(bench: &dyn Bench) {
    let store = bench.open(1).await;
    store.add_user(user("u-1"), entry(EventKind::UserChanged, "evt_u")).await.unwrap();
    let number = u8::try_from(SESSIONS_PER_USER_MAX).unwrap() + 1;
    for number in 1..=number {
        store.open_session(session(number), signed_in(&format!("evt_{number}"))).await.unwrap();
    }
    assert_eq!(store.session(session(1).token).await.unwrap(), None);
    assert_eq!(store.sessions(&session(1).user).await.unwrap().len(), SESSIONS_PER_USER_MAX);
    let late = Session { created_at: at(500), idle_ends_at: at(600), ..session(100) };
    store.open_session(late.clone(), signed_in("evt_late")).await.unwrap();
    assert_eq!(store.sessions(&late.user).await.unwrap(), [late]);
}

fn passkey(number: u8) -> Passkey {
    Passkey {
        credential: vec![number; 20],
        user: "u-1".parse().unwrap(),
        name: "Laptop".into(),
        record: r#"{"counter":0}"#.into(),
        created_at: at(i64::from(number)),
        last_used_at: None,
    }
}

fn link(number: u8) -> Invitation {
    let token = Digest::of(&[number]);
    Invitation { token, user: "u-1".parse().unwrap(), created_at: at(1), expires_at: at(100) }
}

/// Every field comes back; a use is noted from what was seen; the last one stays; their number is bounded.
pub async fn passkeys_are_kept_whole(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let changed = |id: &str| entry(EventKind::UserChanged, id);
    assert!(matches!(store.add_passkey(passkey(1), None, changed("evt_x")).await, Err(StoreError::Conflict(_))));
    store.add_user(user("u-1"), changed("evt_u")).await.unwrap();
    store.add_user(user("u-2"), changed("evt_v")).await.unwrap();
    let (mine, theirs): (UserId, UserId) = ("u-1".parse().unwrap(), "u-2".parse().unwrap());
    store.add_passkey(passkey(1), None, changed("evt_1")).await.unwrap();
    assert!(matches!(store.add_passkey(passkey(1), None, changed("evt_x")).await, Err(StoreError::Exists(_))));
    let stolen = Passkey { user: theirs.clone(), ..passkey(1) };
    assert!(matches!(store.add_passkey(stolen, None, changed("evt_x")).await, Err(StoreError::Exists(_))));
    let used = Passkey { record: r#"{"counter":1}"#.into(), last_used_at: Some(at(9)), ..passkey(1) };
    store.use_passkey(passkey(1), used.record.clone(), at(9)).await.unwrap();
    let twice = store.use_passkey(passkey(1), used.record.clone(), at(9)).await;
    assert!(matches!(twice, Err(StoreError::Conflict(_))), "the counter that was seen is not the one that is there");
    assert_eq!(store.passkey(&used.credential).await.unwrap(), Some(used.clone()));
    let last = store.remove_passkey(mine.clone(), used.credential.clone(), changed("evt_x")).await;
    assert!(matches!(last, Err(StoreError::Conflict(_))));
    store.add_passkey(passkey(2), None, changed("evt_2")).await.unwrap();
    let foreign = store.remove_passkey(theirs, used.credential.clone(), changed("evt_x")).await;
    assert!(matches!(foreign, Err(StoreError::Missing(_))));
    assert_eq!(store.passkeys(&mine).await.unwrap(), [used.clone(), passkey(2)]);
    store.remove_passkey(mine.clone(), used.credential, changed("evt_3")).await.unwrap();
    assert_eq!(store.passkeys(&mine).await.unwrap(), [passkey(2)]);
    assert_eq!(count(&*store).await, 5, "what was refused leaves no evidence");
    for number in 3..=u8::try_from(PASSKEYS_PER_USER_MAX).unwrap() + 1 {
        store.add_passkey(passkey(number), None, changed(&format!("evt_n{number}"))).await.unwrap();
    }
    assert!(matches!(store.add_passkey(passkey(99), None, changed("evt_x")).await, Err(StoreError::Conflict(_))));
}

/// A link works once, in its time, for its user; a newer one takes its place.
pub async fn a_link_is_used_once_and_in_time(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let changed = |id: &str| entry(EventKind::UserChanged, id);
    assert!(matches!(store.invite(link(1), changed("evt_x")).await, Err(StoreError::Conflict(_))));
    store.add_user(user("u-1"), changed("evt_u")).await.unwrap();
    store.add_user(user("u-2"), changed("evt_v")).await.unwrap();
    store.invite(link(1), changed("evt_1")).await.unwrap();
    store.invite(link(2), changed("evt_2")).await.unwrap();
    assert_eq!(store.invitation(link(1).token).await.unwrap(), None, "a newer one took its place");
    assert_eq!(store.invitation(link(2).token).await.unwrap(), Some(link(2)));
    let other = Passkey { user: "u-2".parse().unwrap(), ..passkey(9) };
    let late = Passkey { created_at: at(100), ..passkey(9) };
    for (passkey, token) in [(other, link(2)), (late, link(2)), (passkey(9), link(1))] {
        let refused = store.add_passkey(passkey, Some(token.token), changed("evt_x")).await;
        assert!(matches!(refused, Err(StoreError::Replayed)));
    }
    store.add_passkey(passkey(1), Some(link(2).token), changed("evt_3")).await.unwrap();
    let again = store.add_passkey(passkey(2), Some(link(2).token), changed("evt_x")).await;
    assert!(matches!(again, Err(StoreError::Replayed)));
    assert_eq!(count(&*store).await, 5);
}

/// A suspended user keeps passkeys and loses links; one who left loses both.
pub async fn who_leaves_has_no_passkey(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let changed = |id: &str| entry(EventKind::UserChanged, id);
    store.add_user(user("u-1"), changed("evt_u")).await.unwrap();
    store.add_passkey(passkey(1), None, changed("evt_1")).await.unwrap();
    store.invite(link(1), changed("evt_2")).await.unwrap();
    let suspended = UserStatus::Suspended { at: at(5), reason: "away".into() };
    store.change_user(User { version: 2, status: suspended, ..user("u-1") }, None, changed("evt_3")).await.unwrap();
    assert_eq!(store.invitation(link(1).token).await.unwrap(), None);
    assert_eq!(store.passkey(&passkey(1).credential).await.unwrap(), Some(passkey(1)));
    let left = UserStatus::Left { at: at(6), reason: "gone".into() };
    store.change_user(User { version: 3, status: left, ..user("u-1") }, None, changed("evt_4")).await.unwrap();
    assert_eq!(store.passkey(&passkey(1).credential).await.unwrap(), None);
}

fn provisioned(id: &str, user_name: &str) -> User {
    let entry = DirectoryEntry {
        user_name: user_name.into(),
        external_id: Some("00u1".into()),
        given_name: Some("Ada".into()),
        family_name: None,
        display_name: Some("Ada L.".into()),
        formatted_name: None,
        email_type: None,
        email_primary: Some(false),
        active: true,
    };
    User { directory: Some(entry), ..user(id) }
}

fn directory_group(number: u8, name: &str) -> DirectoryGroup {
    DirectoryGroup {
        id: DirectoryGroupId::from_bytes([number; 16]),
        display_name: name.into(),
        external_id: Some("g".into()),
        created_at: at(4),
        version: 1,
    }
}

/// What a directory says of users comes back whole; names are one of a kind whatever their case, until who has one left.
pub async fn provisioned_users_are_kept_whole(bench: &dyn Bench) {
    let changed = |id| entry(EventKind::UserChanged, id);
    {
        let store = bench.open(1).await;
        store.add_user(provisioned("u-1", "Ada"), changed("evt_1")).await.unwrap();
        let twin = store.add_user(provisioned("u-2", "aDA"), changed("evt_x")).await;
        assert!(matches!(twin, Err(StoreError::Exists(_))), "{twin:?}");
        store.add_user(provisioned("u-2", "Bob"), changed("evt_2")).await.unwrap();
        let taken = User { version: 2, ..provisioned("u-2", "ada") };
        assert!(matches!(store.change_user(taken, None, changed("evt_x")).await, Err(StoreError::Exists(_))));
    }
    let store = bench.open(2).await;
    assert_eq!(store.load().await.unwrap().users, [provisioned("u-1", "Ada"), provisioned("u-2", "Bob")]);
    store.open_session(session(1), signed_in("evt_3")).await.unwrap();
    let mut stopped = User { version: 2, ..provisioned("u-1", "Ada") };
    stopped.directory.as_mut().unwrap().active = false;
    store.change_user(stopped, None, changed("evt_4")).await.unwrap();
    assert_eq!(store.session(session(1).token).await.unwrap(), None, "sessions end with who is deactivated");
    assert!(matches!(store.open_session(session(2), signed_in("evt_x")).await, Err(StoreError::Conflict(_))));
    let left = UserStatus::Left { at: at(5), reason: "removed".into() };
    let left = User { version: 3, status: left, ..provisioned("u-1", "Ada") };
    store.change_user(left, None, changed("evt_5")).await.unwrap();
    store.add_user(provisioned("u-3", "ada"), changed("evt_6")).await.unwrap();
}

/// A group and the users whom its change concerns are one change, or none.
pub async fn a_group_changes_with_its_users(bench: &dyn Bench) {
    let changed = |id| entry(EventKind::UserChanged, id);
    let store = bench.open(1).await;
    store.add_user(provisioned("u-1", "ada"), changed("evt_1")).await.unwrap();
    let with = |version, groups: &[&str]| User {
        version,
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
        ..provisioned("u-1", "ada")
    };
    let group = directory_group(1, "finance");
    store.put_directory_group(group.clone(), vec![with(2, &["finance"])], changed("evt_2")).await.unwrap();
    let state = store.load().await.unwrap();
    assert_eq!((state.directory_groups, state.users), (vec![group.clone()], vec![with(2, &["finance"])]));
    let twin = store.put_directory_group(directory_group(2, "finance"), vec![with(3, &[])], changed("evt_x")).await;
    assert!(matches!(twin, Err(StoreError::Exists(_))), "{twin:?}");
    let next = DirectoryGroup { version: 2, external_id: None, ..group.clone() };
    for (group, users) in [(next.clone(), vec![with(9, &[])]), (DirectoryGroup { version: 3, ..next.clone() }, vec![])]
    {
        let stale = store.put_directory_group(group, users, changed("evt_x")).await;
        assert!(matches!(stale, Err(StoreError::Conflict(_))), "{stale:?}");
    }
    assert!(matches!(
        store.remove_directory_group(group.id, 2, vec![], changed("evt_x")).await,
        Err(StoreError::Conflict(_))
    ));
    let state = store.load().await.unwrap();
    assert_eq!(
        (state.directory_groups, state.users),
        (vec![group.clone()], vec![with(2, &["finance"])]),
        "all or none"
    );
    store.put_directory_group(next.clone(), vec![], changed("evt_3")).await.unwrap();
    store.remove_directory_group(next.id, 2, vec![with(3, &[])], changed("evt_4")).await.unwrap();
    let state = store.load().await.unwrap();
    assert_eq!((state.directory_groups, state.users), (vec![], vec![with(3, &[])]));
}

/// A directory's credential is found by the token's digest alone until it is removed.
pub async fn provisioning_tokens_are_kept_by_their_digest(bench: &dyn Bench) {
    let changed = |id| entry(EventKind::UserChanged, id);
    let token = |name: &str, number: u8| ProvisioningToken {
        name: name.parse().unwrap(),
        token: Digest::of(&[number]),
        created_at: at(1),
        expires_at: at(900),
    };
    let (okta, entra) = (token("okta", 1), token("entra", 2));
    {
        let store = bench.open(1).await;
        store.add_provisioning_token(okta.clone(), changed("evt_1")).await.unwrap();
        store.add_provisioning_token(entra.clone(), changed("evt_2")).await.unwrap();
        for twin in [token("okta", 3), token("another", 1)] {
            let refused = store.add_provisioning_token(twin, changed("evt_x")).await;
            assert!(matches!(refused, Err(StoreError::Exists(_))), "{refused:?}");
        }
    }
    let store = bench.open(2).await;
    assert_eq!(store.provisioning_token(okta.token).await.unwrap(), Some(okta.clone()));
    assert_eq!(store.provisioning_tokens().await.unwrap(), [entra, okta.clone()]);
    store.remove_provisioning_token(okta.name.clone(), changed("evt_3")).await.unwrap();
    assert_eq!(store.provisioning_token(okta.token).await.unwrap(), None);
    let gone = store.remove_provisioning_token(okta.name, changed("evt_x")).await;
    assert!(matches!(gone, Err(StoreError::Missing(_))), "{gone:?}");
}
