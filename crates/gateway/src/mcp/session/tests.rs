//! Sessions: whose they are, how many, and when they end.

use bailiwick_model::principal::Principal;

use super::*;

fn chain(name: &str) -> DelegationChain {
    DelegationChain::of(Principal::Agent(name.parse().unwrap()))
}

fn id(n: u8) -> SessionId {
    SessionId::new(1_700_000_000_000, [n; 10])
}

fn files() -> SystemName {
    "files".parse().unwrap()
}

fn open(sessions: &Sessions, name: &str, n: u8) -> Arc<Session> {
    let session = Session::new(id(n), chain(name), Some(files()), r#"{"sampling":{}}"#.into());
    sessions.open(session).unwrap()
}

#[test]
fn a_session_is_its_openers_and_its_systems() {
    let sessions = Sessions::default();
    open(&sessions, "ann", 1);
    let of =
        |n, name: &str, system: Option<&SystemName>| sessions.of(id(n), &chain(name), system).map(|session| session.id);
    assert_eq!(of(1, "ann", Some(&files())), Ok(id(1)));
    assert_eq!(of(1, "bob", Some(&files())), Err(NoSession::Unknown));
    assert_eq!(of(1, "ann", Some(&"crm".parse().unwrap())), Err(NoSession::Unknown));
    assert_eq!(of(1, "ann", None), Err(NoSession::Unknown));
    assert_eq!(of(2, "ann", Some(&files())), Err(NoSession::Unknown));
}

#[test]
fn sessions_end_when_idle_or_old_and_take_their_calls_along() {
    let check = |idle, age, alive: bool| {
        let sessions = Sessions::with_limits(idle, age);
        let session = open(&sessions, "ann", 1);
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(sessions.of(id(1), &chain("ann"), Some(&files())).is_ok(), alive);
        assert_eq!(session.ended.is_cancelled(), !alive);
    };
    let (short, long) = (Duration::from_millis(1), Duration::from_secs(60));
    check(long, long, true);
    check(short, long, false);
    check(long, short, false);
    // A call under way is use, but no reason to grow old.
    let sessions = Sessions::with_limits(short, long);
    let session = open(&sessions, "ann", 1);
    let call = session.begin(&Id::from(1)).unwrap();
    std::thread::sleep(Duration::from_millis(5));
    assert!(sessions.of(id(1), &chain("ann"), Some(&files())).is_ok());
    sessions.end(&session);
    assert!(call.cancelled.is_cancelled());
}

#[test]
fn a_principal_pushes_out_only_its_own_sessions() {
    let sessions = Sessions::default();
    let bobs = open(&sessions, "bob", 200);
    let first = open(&sessions, "ann", 0);
    for n in 1..=u8::try_from(SESSIONS_PER_PRINCIPAL_MAX).unwrap() {
        open(&sessions, "ann", n);
    }
    assert!(first.ended.is_cancelled());
    assert!(!bobs.ended.is_cancelled());
    assert_eq!(locked(&sessions.all).by_id.len(), SESSIONS_PER_PRINCIPAL_MAX + 1);
}

#[test]
fn calls_under_way_are_bounded_unique_and_cancellable() {
    let sessions = Sessions::default();
    let session = open(&sessions, "ann", 1);
    let mut calls: Vec<UnderWay> =
        (0..CALLS_PER_SESSION_MAX as u64).map(|n| session.begin(&Id::from(n)).unwrap()).collect();
    assert_eq!(session.begin(&Id::from(9_999)).unwrap_err(), NoSession::Busy);
    drop(calls.pop());
    assert_eq!(session.begin(&Id::from(0)).unwrap_err(), NoSession::Repeated);
    session.cancel(&Id::from(0));
    assert!(calls[0].cancelled.is_cancelled() && !calls[1].cancelled.is_cancelled());
    // Another spelling of the same id is the same id; the text "1" is not the number 1.
    session.cancel(&Id::parse("\"1\"").unwrap());
    assert!(!calls[1].cancelled.is_cancelled());
}

#[tokio::test]
async fn a_second_stream_takes_the_place_of_the_first() {
    let sessions = Sessions::default();
    let session = open(&sessions, "ann", 1);
    let (first_sender, mut first) = session.stream();
    let (second_sender, second) = session.stream();
    drop(first_sender);
    assert_eq!(first.recv().await, None);
    assert!(!second.is_closed());
    session.close(&second_sender);
    assert!(locked(&session.state).stream.is_none());
    assert!(session.declares("sampling") && !session.declares("roots"));
}

#[tokio::test]
async fn only_what_was_asked_can_be_answered() {
    let sessions = Sessions::default();
    let session = open(&sessions, "ann", 1);
    assert!(session.answer(&Id::from(1), Ok("{}")).await.is_err());
    assert!(session.answer(&Id::parse("\"1\"").unwrap(), Err("{}")).await.is_err());
}

/// Looking at all of them for each message would let many sessions slow down everybody.
#[test]
fn a_message_looks_at_its_own_session_and_only_now_and_then_at_others() {
    let sessions = Sessions::with_limits(Duration::from_millis(1), Duration::from_secs(60));
    let (anns, bobs) = (open(&sessions, "ann", 1), open(&sessions, "bob", 2));
    std::thread::sleep(Duration::from_millis(5));
    locked(&sessions.all).swept = Instant::now() + SWEEP_EVERY;
    let of = |n, name| sessions.of(id(n), &chain(name), Some(&files()));
    assert_eq!(of(1, "ann").unwrap_err(), NoSession::Unknown);
    assert!(anns.ended.is_cancelled() && !bobs.ended.is_cancelled());
    if let Some(long_ago) = Instant::now().checked_sub(SWEEP_EVERY) {
        locked(&sessions.all).swept = long_ago;
        assert_eq!(of(1, "ann").unwrap_err(), NoSession::Unknown);
        assert!(bobs.ended.is_cancelled());
    }
}
