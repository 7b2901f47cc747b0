//! What the store does while it is recorded: everything that it acknowledges is said aloud at once.

use std::{
    env,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bailiwick_audit_log::{
    event::EventKind,
    leaf::{BootNonce, ReplicaId},
};
use bailiwick_model::agent::{Agent, AgentStatus};
use bailiwick_ports::store::{Conclusion, SafeModeRow, Store as _, StoreError};
use bailiwick_testkit::store_suite::fixtures::{
    FixedSigner, agent, at, bundle, changed, entry, intent, outcome, spent, with_body,
};
use bailiwick_testkit_crash::recording::MARK;
use futures::future::join_all;

use crate::{Identity, OpenError, Options, SqliteStore, sqlite::open::oldest};

pub(super) const DATABASE: &str = "BAILIWICK_TEST_DATABASE";
pub(super) const BOOT: &str = "BAILIWICK_TEST_BOOT";
pub(super) const ROUNDS: &str = "BAILIWICK_TEST_ROUNDS";
/// With it, the database is one of the first version.
pub(super) const OLDEST: &str = "BAILIWICK_TEST_OLDEST";
/// With it, calls come one by one, so that each run has the same syncs.
pub(super) const ALONE: &str = "BAILIWICK_TEST_ALONE";

#[tokio::test]
#[ignore = "runs in a process of its own"]
async fn child() {
    let Some(path) = env::var_os(DATABASE).map(PathBuf::from) else { return };
    let number = |name| env::var(name).unwrap().parse::<usize>().unwrap();
    let (boot, rounds) = (u8::try_from(number(BOOT)).unwrap(), number(ROUNDS));
    if env::var_os(OLDEST).is_some() {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").unwrap();
        oldest(&connection);
        say("open");
    }
    let store = open(&path, boot).unwrap();
    say("open");
    for round in 0..rounds {
        if let Err(error) = work(&store, &path, &format!("{boot}-{round}"), round).await {
            // After an I/O error nothing may be promised any more, whatever is asked.
            assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
            let again = store.append(entry(EventKind::Denial, "eval_again"), vec![]).await;
            assert!(again.is_err() && store.ping().await.is_err(), "{again:?}");
            say("stopped");
            return;
        }
    }
}

pub(super) fn open(path: &Path, boot: u8) -> Result<SqliteStore, OpenError> {
    let identity = Identity { replica: ReplicaId::from_bytes([1; 16]), boot: BootNonce::from_bytes([boot; 16]) };
    let options = Options { queue_wait_max: Duration::from_secs(60), ..Options::default() };
    SqliteStore::open(path, identity, &options)
}

pub(super) fn say(what: &str) {
    // One write, so that it stands in one place among the operations on files.
    std::io::stdout().write_all(format!("\n{MARK}{what}\n").as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

/// One round: a grant, four calls at once and their outcomes, a denial.
async fn work(store: &SqliteStore, path: &Path, id: &str, round: usize) -> Result<(), StoreError> {
    let change = |what: &str| format!("evt_{what}-{id}");
    let bot = agent(&format!("bot-{id}"));
    store.register_agent(bot.clone(), changed(&change("granted"))).await?;
    say(&format!("agent {} 1 {}", bot.name, change("granted")));

    let state = store.load().await?;
    let calls = (0..4).map(|call| {
        let name = format!("eval_{id}-{call}");
        let mut call = intent(&name, &state);
        call.spent = vec![spent(&name, 60)];
        async move {
            let receipt = store.commit_intent(call).await?;
            say(&format!("forwarded {name} {}", receipt.sequence));
            let entry = outcome(&format!("evt_{name}"), &name);
            let receipt = store.conclude(Conclusion { entry, facts: vec![], at_once: false }).await?;
            say(&format!("entry evt_{name} {}", receipt.sequence));
            Ok(())
        }
    });
    if env::var_os(ALONE).is_some() {
        for call in calls {
            call.await?;
        }
    } else {
        join_all(calls).await.into_iter().collect::<Result<(), StoreError>>()?;
    }

    let text = "x".repeat(200 * (round % 40));
    let denial = with_body(entry(EventKind::Denial, &format!("eval_denied-{id}")), &[("text", &text)]);
    let receipt = store.append(denial, vec![]).await?;
    say(&format!("entry eval_denied-{id} {}", receipt.sequence));

    rarely(store, path, id, round, bot).await
}

/// What not every round does.
async fn rarely(store: &SqliteStore, path: &Path, id: &str, round: usize, mut bot: Agent) -> Result<(), StoreError> {
    let change = |what: &str| format!("evt_{what}-{id}");
    if round.is_multiple_of(3) {
        bot.version = 2;
        bot.status = AgentStatus::Suspended { at: at(9), reason: "odd".into() };
        store.change_agent(bot.clone(), None, changed(&change("revoked"))).await?;
        say(&format!("agent {} 2 {}", bot.name, change("revoked")));
    }
    if round % 5 == 1 {
        let bundle = bundle(&format!("{id} {}", "policy ".repeat(2_000)), 1);
        store.publish_bundle(bundle.clone(), entry(EventKind::BundleActivated, &change("bundle"))).await?;
        say(&format!("bundle {} {}", bundle.revision, change("bundle")));
    }
    if round % 7 == 2 {
        let scope: bailiwick_model::safe_mode::SafeModeScope = "everything".parse().unwrap();
        let mode = SafeModeRow { scope: scope.clone(), reason: "drill".into(), since: at(0) };
        store.enter_safe_mode(mode, entry(EventKind::SafeModeChanged, &change("safe"))).await?;
        say(&format!("change {}", change("safe")));
        store.lift_safe_mode(scope, entry(EventKind::SafeModeChanged, &change("lifted"))).await?;
        say(&format!("change {}", change("lifted")));
    }
    if round % 8 == 4 {
        let file = path.with_file_name(format!("backup-{id}"));
        store.backup(&file).await?;
        say(&format!("backup backup-{id}"));
    }
    if round % 4 == 3 {
        let size = store.integrate(Arc::new(FixedSigner::new(1))).await?;
        say(&format!("tree {size}"));
    }
    Ok(())
}
