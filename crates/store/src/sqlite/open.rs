//! Opening a database: who may, on what file system, with which guarantees, at which version.
//!
//! Every guarantee that the store gives rests on settings that SQLite takes
//! silently, so each is read back. A database that cannot give them is refused.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bailiwick_audit_log::leaf::{BootNonce, ReplicaId};
use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{
    checkpoint_note::CheckpointNote, evidence::sync_folder, failure::Failure, presence::Presence, restore, statements,
    turn::Head, write_ahead,
};

/// The first SQLite without the WAL-reset bug that corrupts databases (3.7.0 to 3.51.2).
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// `bwck` in the file's header: not some other program's database.
const APPLICATION_ID: i32 = 0x6277_636b;
/// Numbered from 1: `user_version` tells how many were applied. Never changed, only added to.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_start.sql"),
    include_str!("../../migrations/0002_spent_in_order.sql"),
    include_str!("../../migrations/0003_observations.sql"),
    include_str!("../../migrations/0004_users_and_grants.sql"),
    include_str!("../../migrations/0005_sessions.sql"),
    include_str!("../../migrations/0006_refresh_tokens.sql"),
    include_str!("../../migrations/0007_exchanged_grants.sql"),
    include_str!("../../migrations/0008_passkeys.sql"),
    include_str!("../../migrations/0009_redirect_uris.sql"),
    include_str!("../../migrations/0010_lives.sql"),
    include_str!("../../migrations/0011_details.sql"),
    include_str!("../../migrations/0012_credentials.sql"),
    include_str!("../../migrations/0013_registration.sql"),
    include_str!("../../migrations/0014_vouched_grants.sql"),
    include_str!("../../migrations/0015_directory.sql"),
    include_str!("../../migrations/0016_own_tasks.sql"),
    include_str!("../../migrations/0017_identities.sql"),
    include_str!("../../migrations/0018_consent_requests.sql"),
    include_str!("../../migrations/0019_connections.sql"),
    include_str!("../../migrations/0020_hardware_keys.sql"),
    include_str!("../../migrations/0021_removed_identities.sql"),
];
/// Prepared statements that each connection keeps.
const STATEMENTS_KEPT_MAX: usize = 128;
/// What the writer keeps of the database in memory, in KiB as SQLite writes it: the ends of all indexes and the pages
/// that a checkpoint moves. With SQLite's 2 MiB, each intent read two pages again.
const WRITER_CACHE: &str = "-16384";
/// How long a reader waits for a lock that the writer holds only while it tidies up.
const READER_WAIT: Duration = Duration::from_secs(5);

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The chain that a new database starts. A database that exists keeps the one it has.
    pub replica: ReplicaId,
    /// This run, by chance.
    pub boot: BootNonce,
}

/// Limits of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Commands that may wait for the writer; more are refused.
    pub queue_commands_max: usize,
    /// How long a command may wait for its turn; then it is refused.
    pub queue_wait_max: Duration,
    /// Connections that read.
    pub readers: usize,
    /// The size at which the database counts as full. `None`: the disk decides.
    pub database_bytes_max: Option<u64>,
}

impl Default for Options {
    /// 4,096 commands are about 0.1 s of work; 250 ms is what a caller may be kept waiting
    /// before a refusal helps it more; two readers, since most reads are from memory.
    fn default() -> Self {
        Self {
            queue_commands_max: 4_096,
            queue_wait_max: Duration::from_millis(250),
            readers: 2,
            database_bytes_max: None,
        }
    }
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite is one of those that lose data.
    #[error("the linked SQLite {0} may corrupt databases: 3.51.3 or later is needed")]
    SqliteTooOld(String),
    /// Another process has it.
    #[error("`{0}` is in use by another process\nhint: only one server may use a database; stop the other one")]
    InUse(PathBuf),
    /// A program that does not ask for our lock reads the log, which must be written anew before anything is built on it.
    #[error(
        "another program reads `{0}`, so its log cannot be written anew\nhint: end it (a backup tool, a SQLite shell)"
    )]
    BeingRead(PathBuf),
    /// On a file system without working shared memory.
    #[error("`{path}` lies on a network file system ({kind}), where SQLite loses data\nhint: move it to a local disk")]
    NetworkFileSystem {
        /// Where.
        path: PathBuf,
        /// What kind.
        kind: &'static str,
    },
    /// A SQLite database of another program.
    #[error("`{0}` is not a database of this program")]
    Foreign(PathBuf),
    /// Written by a later release.
    #[error("`{path}` has version {found}, this program knows up to {known}\nhint: use the newer release")]
    TooNew {
        /// Where.
        path: PathBuf,
        /// The version inside.
        found: usize,
        /// The newest that is known.
        known: usize,
    },
    /// SQLite did not take a setting on which durability rests.
    #[error("SQLite refused `{setting}`: it is `{found}`")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What it is instead.
        found: String,
    },
    /// The evidence inside contradicts itself, or the last signed checkpoint beside it.
    #[error("the evidence in `{path}` cannot be continued: {problem}\nhint: {hint}")]
    Forked {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// The file cannot be read or written.
    #[error("cannot use `{path}`: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite failed.
    #[error(
        "cannot open the database: {0}\nhint: is its disk full, read-only or failing? a damaged file needs a backup restored"
    )]
    Database(#[from] rusqlite::Error),
    /// A thread could not be started.
    #[error("cannot start the writer: {0}")]
    Thread(io::Error),
}

/// An open database, before its threads run.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) identity: Identity,
    /// `None` in memory.
    pub(crate) path: Option<PathBuf>,
    /// Held as long as the database is used.
    pub(crate) lock: Option<File>,
    pub(crate) note: CheckpointNote,
    /// `None` in memory.
    pub(crate) presence: Option<Presence>,
}

pub(crate) fn open(path: &Path, identity: Identity, options: &Options) -> Result<Opened, OpenError> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(OpenError::SqliteTooOld(rusqlite::version().to_owned()));
    }
    let in_memory = path == Path::new(":memory:");
    let lock = if in_memory { None } else { Some(take(path)?) };
    if !in_memory {
        write_ahead::write_again(path).map_err(failed(path))?;
    }
    let mut connection =
        if in_memory { Connection::open_in_memory()? } else { connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)? };
    settle(&connection, in_memory, options)?;
    if !write_ahead::take_over(&connection)? {
        return Err(OpenError::BeingRead(path.to_owned()));
    }
    migrate(&mut connection, path)?;
    let replica = replica(&connection, identity.replica)?;
    check_head(&connection, path)?;
    let note = if in_memory { CheckpointNote::none() } else { CheckpointNote::beside(path, &connection)? };
    let presence = if in_memory { None } else { Some(Presence::of(path).map_err(failed(path))?) };
    let path = (!in_memory).then(|| path.to_owned());
    Ok(Opened { connection, identity: Identity { replica, ..identity }, path, lock, note, presence })
}

/// A connection with what all connections share.
pub(crate) fn connect(path: &Path, access: OpenFlags) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(READER_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT_MAX);
    // Otherwise SQLite compiles a statement anew whenever a value is bound that could change its plan.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

/// Makes the file if there is none, sees to its mode and place, and locks it against other processes.
pub(super) fn take(path: &Path) -> Result<File, OpenError> {
    let lock = lock(path)?;
    restore::finish(path).map_err(failed(path))?;
    private_file(path).map_err(failed(path))?;
    sync_folder(path).map_err(failed(path))?;
    refuse_network(path)?;
    Ok(lock)
}

/// Locks a database, which need not exist, against other processes.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    // SQLite's own locks are on the database file; ours must not be on the same one.
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    let lock = private_file(&lock_path).map_err(failed(&lock_path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(OpenError::File { path: lock_path, source }),
    }
}

/// The error of a file that cannot be used.
pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::File { path, source }
}

/// Opens or makes a file that its owner alone may read and write.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    let mut how = OpenOptions::new();
    how.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
        how.mode(0o600);
        let file = how.open(path)?;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
        Ok(file)
    }
    #[cfg(not(unix))]
    how.open(path)
}

/// Magic numbers of `statfs(2)`. FUSE is not among them: it may be local.
#[cfg(target_os = "linux")]
const NETWORK_FILE_SYSTEMS: [(u64, &str); 9] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x00c3_6400, "Ceph"),
    (0x0102_1997, "9P"),
    (0x0bd0_0bd0, "Lustre"),
];

#[cfg(target_os = "linux")]
fn refuse_network(path: &Path) -> Result<(), OpenError> {
    let found = rustix::fs::statfs(path)
        .map_err(|error| OpenError::File { path: path.to_owned(), source: error.into() })?
        .f_type;
    // The type of the number differs by platform; the magic numbers are of 32 bits.
    let found = u64::try_from(found).unwrap_or_default() & 0xffff_ffff;
    match NETWORK_FILE_SYSTEMS.iter().find(|(magic, _)| *magic == found) {
        Some((_, kind)) => Err(OpenError::NetworkFileSystem { path: path.to_owned(), kind }),
        None => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn refuse_network(_path: &Path) -> Result<(), OpenError> {
    Ok(())
}

/// Sets what the writer's promises rest on, and reads it back.
fn settle(connection: &Connection, in_memory: bool, options: &Options) -> Result<(), OpenError> {
    let set = |setting: &'static str, value: &str, expected: &str| {
        connection.pragma_update(None, setting, value)?;
        let found = connection.pragma_query_value(None, setting, |row| row.get::<_, rusqlite::types::Value>(0))?;
        let found = match found {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => format!("{other:?}"),
        };
        if found == expected { Ok(()) } else { Err(OpenError::Setting { setting, found }) }
    };
    set("journal_mode", "WAL", if in_memory { "memory" } else { "wal" })?;
    let (synchronous, told) = synchronous();
    set("synchronous", synchronous, told)?;
    // macOS: without it, fsync leaves data in the drive's cache.
    set("fullfsync", "ON", "1")?;
    set("checkpoint_fullfsync", "ON", "1")?;
    set("foreign_keys", "ON", "1")?;
    // A removed key or secret must not linger in free pages.
    set("secure_delete", "ON", "1")?;
    set("cell_size_check", "ON", "1")?;
    set("cache_size", WRITER_CACHE, WRITER_CACHE)?;
    if let Some(bytes) = options.database_bytes_max {
        let page = connection.pragma_query_value(None, "page_size", |row| row.get::<_, i64>(0))?;
        let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page.max(1);
        connection.pragma_update_and_check(None, "max_page_count", pages.max(1), |_| Ok(()))?;
    }
    Ok(())
}

/// What a commit waits for, and how SQLite says that it does.
#[cfg(not(test))]
const fn synchronous() -> (&'static str, &'static str) {
    ("FULL", "2")
}

/// The same, except in a test's child process that shows what would be lost otherwise.
#[cfg(test)]
fn synchronous() -> (&'static str, &'static str) {
    if std::env::var_os(super::power_cut::NORMAL).is_some() { ("NORMAL", "1") } else { ("FULL", "2") }
}

/// Makes an empty database one of the first version.
#[cfg(test)]
pub(super) fn oldest(connection: &Connection) {
    connection.execute_batch("BEGIN").unwrap();
    connection.execute_batch(MIGRATIONS[0]).unwrap();
    connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    connection.execute_batch("COMMIT").unwrap();
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_new = application == 0 && version == 0 && tables == 0;
    if !is_new && application != i64::from(APPLICATION_ID) {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    let known = MIGRATIONS.len();
    let found = usize::try_from(version).unwrap_or(usize::MAX);
    if found > known {
        return Err(OpenError::TooNew { path: path.to_owned(), found, known });
    }
    for (script, version) in MIGRATIONS.iter().zip(1..).skip(found) {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute_batch(script)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

/// The replica whose chain the database holds; the given one if it is new.
fn replica(connection: &Connection, if_new: ReplicaId) -> Result<ReplicaId, OpenError> {
    connection.execute(statements::START_INSTANCE, [if_new.as_bytes()])?;
    let bytes: [u8; 16] = connection.query_row(statements::REPLICA, [], |row| row.get(0))?;
    Ok(ReplicaId::from_bytes(bytes))
}

/// The newest entry must hash to what is written beside it, and the tree must not be ahead of the chain.
fn check_head(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let forked = |problem: &str| OpenError::Forked {
        path: path.to_owned(),
        problem: problem.to_owned(),
        hint: "verify an export against a checkpoint that was kept elsewhere; restore a later backup",
    };
    let head = match Head::read(connection) {
        Ok(head) => head,
        Err(Failure::Database(error)) => return Err(error.into()),
        Err(Failure::Refused(error)) => return Err(forked(&error.to_string())),
    };
    let size: i64 = connection.query_row(statements::TREE, [], |row| row.get(0))?;
    if u64::try_from(size).is_ok_and(|size| size <= head.next) {
        Ok(())
    } else {
        Err(forked("the tree covers entries that are not there"))
    }
}
