//! What is on the disk: modes, locks, versions, backups, forks, tampered rows.

use std::{fs, path::Path, sync::Arc};

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::agent::{Credential, KeyProtection};
use bailiwick_ports::store::{Conclusion, Quarantine, SafeModeRow, Store, StoreError};
use bailiwick_store::{OpenError, SqliteStore};
use bailiwick_testkit::store_suite::fixtures::*;
use rusqlite::Connection;

use crate::{Database, identity, patient};

fn open(path: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(path, identity(9), &patient())
}

async fn append(store: &SqliteStore, count: usize) {
    for number in 0..count {
        store.append(entry(EventKind::Denial, &format!("eval_{number}")), vec![]).await.unwrap();
    }
}

async fn integrate(store: &SqliteStore) {
    store.integrate(Arc::new(FixedSigner::new(1))).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_any_of_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let database = Database::new();
    fs::write(database.path(), b"").unwrap();
    fs::set_permissions(database.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let store = database.store(1, &patient());
    append(&store, 3).await;
    integrate(&store).await;
    store.backup(&database.folder.path().join("backup.db")).await.unwrap();
    let mut seen = Vec::new();
    for file in fs::read_dir(database.folder.path()).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        seen.push(name);
    }
    seen.sort();
    let expected =
        ["backup.db", "bailiwick.db", "bailiwick.db-shm", "bailiwick.db-wal", "bailiwick.db.lock", "checkpoint.note"];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn one_process_at_a_time() {
    let database = Database::new();
    let first = database.store(1, &patient());
    assert!(matches!(open(&database.path()), Err(OpenError::InUse(_))));
    append(&first, 1).await;
    drop(first);
    let second = open(&database.path()).unwrap();
    assert_eq!(second.replica(), identity(1).replica);
}

/// While somebody else reads the log, it cannot be written anew, and what is appended to it may be lost with it.
#[tokio::test]
async fn a_log_that_another_program_reads_is_not_built_on() {
    let database = Database::new();
    let store = open(&database.path()).unwrap();
    append(&store, 3).await;
    let reader = rusqlite::Connection::open(database.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT COUNT(*) FROM entries").unwrap();
    drop(store);
    let refused = open(&database.path()).err();
    assert!(matches!(refused, Some(OpenError::BeingRead(_))), "{refused:?}");
    reader.execute_batch("ROLLBACK").unwrap();
    // Once nobody reads it, the log is moved, whoever else has the database open.
    let store = open(&database.path()).unwrap();
    append(&store, 1).await;
}

#[tokio::test]
async fn a_database_keeps_its_chain_whoever_opens_it() {
    let database = Database::new();
    drop(database.store(1, &patient()));
    let other =
        bailiwick_store::Identity { replica: bailiwick_audit_log::leaf::ReplicaId::from_bytes([2; 16]), ..identity(2) };
    let store = SqliteStore::open(&database.path(), other, &patient()).unwrap();
    assert_eq!(store.replica(), identity(1).replica);
}

#[test]
fn other_databases_are_refused() {
    let database = Database::new();
    Connection::open(database.path()).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
    assert!(matches!(open(&database.path()), Err(OpenError::Foreign(_))));
    let database = Database::new();
    fs::write(database.path(), "not a database at all, but long enough to be read as the header of one ".repeat(20))
        .unwrap();
    assert!(matches!(open(&database.path()), Err(OpenError::Database(_))));
    let database = Database::new();
    drop(database.store(1, &patient()));
    Connection::open(database.path()).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    assert!(matches!(open(&database.path()), Err(OpenError::TooNew { found: 99, .. })));
}

#[tokio::test]
async fn an_older_copy_is_refused() {
    let database = Database::new();
    let store = database.store(1, &patient());
    append(&store, 2).await;
    integrate(&store).await;
    let backup = database.folder.path().join("backup.db");
    store.backup(&backup).await.unwrap();
    append(&store, 2).await;
    integrate(&store).await;
    drop(store);
    fs::rename(&backup, database.path()).unwrap();
    let refused = open(&database.path()).err().unwrap();
    assert!(matches!(&refused, OpenError::Forked { problem, .. } if problem.contains("signs 4 entries")), "{refused}");
    assert!(refused.to_string().contains("hint: "), "{refused}");
}

#[tokio::test]
async fn another_history_is_refused() {
    let (first, second) = (Database::new(), Database::new());
    for (database, id) in [(&first, "eval_a"), (&second, "eval_b")] {
        let store = database.store(1, &patient());
        store.append(entry(EventKind::Denial, id), vec![]).await.unwrap();
        integrate(&store).await;
    }
    fs::copy(second.folder.path().join("checkpoint.note"), first.folder.path().join("checkpoint.note")).unwrap();
    assert!(
        matches!(open(&first.path()), Err(OpenError::Forked { problem, .. }) if problem.contains("another history"))
    );
    fs::write(first.folder.path().join("checkpoint.note"), "garbage").unwrap();
    assert!(matches!(open(&first.path()), Err(OpenError::Forked { .. })));
}

#[tokio::test]
async fn a_note_that_is_behind_is_brought_up() {
    let database = Database::new();
    let note = database.folder.path().join("checkpoint.note");
    let store = database.store(1, &patient());
    append(&store, 1).await;
    integrate(&store).await;
    let behind = fs::read_to_string(&note).unwrap();
    append(&store, 1).await;
    integrate(&store).await;
    let newest = store.checkpoint().await.unwrap().unwrap();
    assert_eq!(fs::read_to_string(&note).unwrap(), newest);
    drop(store);
    // A crash between the commit and the note, and a note that got lost.
    fs::write(&note, behind).unwrap();
    drop(open(&database.path()).unwrap());
    assert_eq!(fs::read_to_string(&note).unwrap(), newest);
    fs::remove_file(&note).unwrap();
    drop(open(&database.path()).unwrap());
    assert_eq!(fs::read_to_string(&note).unwrap(), newest);
}

/// While it runs, too: a note of a larger tree than ours means that somebody else signed.
#[tokio::test]
async fn a_smaller_tree_is_never_signed() {
    let (ahead, behind) = (Database::new(), Database::new());
    let store = ahead.store(1, &patient());
    append(&store, 5).await;
    integrate(&store).await;
    let store = behind.store(1, &patient());
    append(&store, 3).await;
    fs::copy(ahead.folder.path().join("checkpoint.note"), behind.folder.path().join("checkpoint.note")).unwrap();
    let refused = store.integrate(Arc::new(FixedSigner::new(1))).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(reason)) if reason.contains("5 entries were signed")));
    assert_eq!(store.checkpoint().await.unwrap(), None);
}

#[tokio::test]
async fn a_backup_is_the_whole_store() {
    let database = Database::new();
    let store = database.store(1, &patient());
    store.register_agent(agent("bot"), changed("evt_1")).await.unwrap();
    append(&store, 3).await;
    integrate(&store).await;
    let path = database.folder.path().join("elsewhere.db");
    store.backup(&path).await.unwrap();
    assert!(matches!(store.backup(&path).await, Err(StoreError::Exists(_))), "never overwritten");
    assert!(store.backup(Path::new("/proc/nowhere/x.db")).await.is_err());
    let other = Database::new();
    fs::rename(&path, other.path()).unwrap();
    let copy = other.store(2, &patient());
    assert_eq!(copy.load().await.unwrap().agents, store.load().await.unwrap().agents);
    assert_eq!(copy.checkpoints().await.unwrap(), store.checkpoints().await.unwrap());
    assert_eq!(count(&copy).await, 4);
    append(&copy, 1).await;
}

/// What was removed is not in any file that stays.
#[tokio::test]
async fn a_removed_secret_leaves_no_bytes() {
    let database = Database::new();
    let store = database.store(1, &patient());
    let (name, bytes) = ("crm/token".parse::<bailiwick_model::name::SecretName>().unwrap(), b"ciphertext-to-be-erased");
    store.put_secret(name.clone(), bytes.repeat(500), entry(EventKind::SecretChanged, "evt_1")).await.unwrap();
    store.remove_secret(name, entry(EventKind::SecretChanged, "evt_2")).await.unwrap();
    drop(store);
    for file in fs::read_dir(database.folder.path()).unwrap() {
        let file = file.unwrap().path();
        let found = fs::read(&file).unwrap().windows(bytes.len()).any(|window| window == bytes);
        assert!(!found, "{}", file.display());
    }
}

/// A row that cannot be a domain value is named and stops the load; nothing takes its place.
#[tokio::test]
async fn tampered_rows_are_named() {
    let cases = [
        ("agents", "status", "UPDATE agents SET status = 'blessed'"),
        ("agents", "status", "UPDATE agents SET status = 'suspended'"),
        ("agents", "status", "UPDATE agents SET status_at = 5, status_reason = 'x'"),
        ("agents", "environment", "UPDATE agents SET environment = 'prod'"),
        ("agents", "role", "UPDATE agents SET role = 'Not A Role'"),
        ("agents", "systems", "UPDATE agents SET systems = '[\"CRM\"]'"),
        ("agents", "scopes", "UPDATE agents SET scopes = 'null'"),
        ("agents", "token_ttl_s", "UPDATE agents SET token_ttl_s = -1"),
        ("agents", "version", "UPDATE agents SET version = -1"),
        ("agents", "expires_at", "UPDATE agents SET expires_at = 9223372036854775807"),
        (
            "credentials",
            "authenticator",
            "UPDATE credentials SET authenticator = replace(authenticator, 'ES256', 'none')",
        ),
        ("credentials", "authenticator", "UPDATE credentials SET authenticator = '{\"anybody\":{}}'"),
        (
            "credentials",
            "thumbprint",
            "UPDATE credentials SET thumbprint = 'A' || substr(thumbprint, 2) WHERE place = 1",
        ),
        ("credentials", "thumbprint", "UPDATE credentials SET thumbprint = 'x' || place"),
        ("tasks", "tools", "UPDATE tasks SET tools = '[{\"action\":\"crm.mail\",\"extra\":1}]'"),
        ("tasks", "prompt_commitment", "UPDATE tasks SET prompt_commitment = x'00'"),
        ("tasks", "status", "UPDATE tasks SET ended_at = 5"),
        ("facts", "initiating", "UPDATE facts SET initiating = 'root:bot'"),
        ("facts", "fact", "UPDATE facts SET fact = ''"),
        ("safe_modes", "scope", "UPDATE safe_modes SET scope = 'nothing'"),
        ("quarantine", "seen", "UPDATE quarantine SET seen = x'00'"),
        ("bundles", "revision", "UPDATE bundle_files SET content = x'00'"),
        ("bundles", "boundary", "UPDATE bundles SET boundary = revision"),
        ("bundles", "files", "UPDATE bundle_files SET path = '../x' || path"),
        ("instance", "epoch", "UPDATE instance SET epoch = -1"),
    ];
    for (table, column, tamper) in cases {
        let database = Database::new();
        let store = database.store(1, &patient());
        store.register_agent(agent("bot"), changed("evt_1")).await.unwrap();
        store.create_task(task(1, "bot"), Vec::new(), changed("evt_2")).await.unwrap();
        store.publish_bundle(bundle("one", 1), changed("evt_3")).await.unwrap();
        let mode = SafeModeRow { scope: "everything".parse().unwrap(), reason: "drill".into(), since: at(0) };
        store.enter_safe_mode(mode, changed("evt_4")).await.unwrap();
        let seen = Quarantine {
            system: "crm".parse().unwrap(),
            tool: "mail".parse().unwrap(),
            pinned: None,
            seen: None,
            definition: "{}".into(),
            since: at(0),
        };
        store.quarantine("crm".parse().unwrap(), vec![seen], changed("evt_5")).await.unwrap();
        store.commit_intent(intent("eval_1", &store.load().await.unwrap())).await.unwrap();
        let facts = vec![fact("bot", "read:pii", 600)];
        store.conclude(Conclusion { entry: outcome("evt_6", "eval_1"), facts, at_once: true }).await.unwrap();
        store.load().await.unwrap();
        drop(store);
        Connection::open(database.path()).unwrap().execute_batch(tamper).unwrap();
        let loaded = open(&database.path()).unwrap().load().await;
        match loaded {
            Err(StoreError::Inconsistent { table: t, column: c, key }) => {
                assert_eq!((t, c), (table, column), "{tamper}");
                assert!(!key.is_empty());
            }
            other => panic!("{tamper}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_chain_that_contradicts_itself_is_not_continued() {
    let cases = [
        "UPDATE entries SET leaf = x'00' WHERE sequence = 2",
        "UPDATE entries SET hash = zeroblob(32) WHERE sequence = 2",
        "DELETE FROM entries WHERE sequence = 2",
        "UPDATE tree SET size = 9",
    ];
    for tamper in cases {
        let database = Database::new();
        let store = database.store(1, &patient());
        append(&store, 3).await;
        integrate(&store).await;
        drop(store);
        Connection::open(database.path()).unwrap().execute_batch(tamper).unwrap();
        let refused = open(&database.path()).err();
        assert!(matches!(refused, Some(OpenError::Forked { .. })), "{tamper}: {refused:?}");
    }
}

/// What was used up under the first version of the file is still used up under this one, and after a restart.
#[tokio::test]
async fn identifiers_stay_used_up_across_versions_and_restarts() {
    let database = Database::new();
    let old = Connection::open(database.path()).unwrap();
    old.execute_batch(include_str!("../../migrations/0001_start.sql")).unwrap();
    old.pragma_update(None, "application_id", 0x6277_636b).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    let used = spent("before", 4_000_000_000);
    let row = rusqlite::params![used.scope, used.jti.as_bytes(), used.forget_at.as_microsecond()];
    old.execute("INSERT INTO spent (scope, jti, forget_at) VALUES (?1, ?2, ?3)", row).unwrap();
    drop(old);
    for round in 0..2 {
        let store = open(&database.path()).unwrap();
        for again in ["before", "after"].into_iter().take(1 + round) {
            let answer = store.append(entry(EventKind::Denial, "eval_x"), vec![spent(again, 4_000_000_000)]).await;
            assert!(matches!(answer, Err(StoreError::Replayed)), "{again}, round {round}");
        }
        if round == 0 {
            store.append(entry(EventKind::Denial, "eval_1"), vec![spent("after", 4_000_000_000)]).await.unwrap();
        }
    }
}

/// A key that was registered before credentials could be anything else is the same credential afterwards.
#[tokio::test]
async fn keys_of_earlier_versions_stay_credentials() {
    let database = Database::new();
    let old = Connection::open(database.path()).unwrap();
    for migration in EARLIER {
        old.execute_batch(migration).unwrap();
    }
    old.pragma_update(None, "application_id", 0x6277_636b).unwrap();
    old.pragma_update(None, "user_version", 9).unwrap();
    let agent = agent("bot");
    old.execute_batch(
        "INSERT INTO agents VALUES ('bot', 1, 'Ada <ada@example.com>', 'answers \"customers\"', 'staging', 'support', \
         '[\"crm\",\"files\"]', '[\"access:evaluate\"]', 0, 1, 1, 900, 'active', NULL, NULL, 0, 0, \
         '[\"https://client.example/cb\"]')",
    )
    .unwrap();
    for (credential, place) in agent.credentials.iter().zip(0_i64..) {
        let key = credential.authenticator.key().unwrap();
        let row = rusqlite::params![
            "bot",
            key.thumbprint.to_string(),
            place,
            key.kid,
            "ES256",
            key.jwk,
            credential.created_at.as_microsecond(),
            credential.expires_at.as_microsecond(),
        ];
        old.execute("INSERT INTO credentials VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, NULL)", row).unwrap();
    }
    drop(old);
    let agents = open(&database.path()).unwrap().load().await.unwrap().agents;
    // Nobody attested a key then, nor demanded it.
    let kept: Vec<_> = agent.credentials.into_iter().map(|one| Credential { attestation: None, ..one }).collect();
    assert_eq!((&agents[0].credentials, agents[0].key_protection), (&kept, KeyProtection::Any));
}

/// The migrations before credentials were anything but keys.
const EARLIER: [&str; 9] = [
    include_str!("../../migrations/0001_start.sql"),
    include_str!("../../migrations/0002_spent_in_order.sql"),
    include_str!("../../migrations/0003_observations.sql"),
    include_str!("../../migrations/0004_users_and_grants.sql"),
    include_str!("../../migrations/0005_sessions.sql"),
    include_str!("../../migrations/0006_refresh_tokens.sql"),
    include_str!("../../migrations/0007_exchanged_grants.sql"),
    include_str!("../../migrations/0008_passkeys.sql"),
    include_str!("../../migrations/0009_redirect_uris.sql"),
];
