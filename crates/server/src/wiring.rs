//! Puts the parts together: keys and store, broker, upstreams.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bailiwick_audit_log::{
    checkpoint::VerifierKey,
    leaf::{BootNonce, ReplicaId},
};
use bailiwick_engine::{
    broker::{Broker, FACT_WINDOW, Ports, Settings},
    refusal::Refusal,
    start,
};
use bailiwick_keys::{
    chance::{SystemClock, SystemEntropy},
    checkpoint_key::CheckpointKey,
    file_vault::FileVault,
    key_encryption::KeyEncryptionKey,
    secret_file::{self, SecretFileError},
    token_keys::TokenKeys,
};
use bailiwick_ports::{
    chance::{Clock as _, Entropy, random},
    signer::{CheckpointSigner, TokenSigner},
    store::{Store, StoreError},
};
use bailiwick_store::{Identity, OpenError, Options, SqliteStore};

use crate::config::{Config, ConfigError};

/// What cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// A file that the configuration names.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key file.
    #[error(transparent)]
    Keys(#[from] SecretFileError),
    /// The database.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database once open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state in it.
    #[error(transparent)]
    State(#[from] Refusal),
    /// A key is gone while the database that needs it is there.
    #[error(
        "`{0}` is missing, and the database holds what only it opens or proves\nhint: restore it from your copy of the keys' folder"
    )]
    LostKey(String),
    /// The log's name.
    #[error("`{0}` does not hold the log's name")]
    Origin(String),
}

/// Keys, store and broker: enough for everything but the network.
pub struct Wired {
    /// The use cases' dependencies.
    pub broker: Arc<Broker>,
    /// Signs checkpoints.
    pub checkpoint: Arc<CheckpointKey>,
    /// The issuer's keys.
    pub token_keys: Arc<TokenKeys>,
    /// Wraps data keys; nonces are derived from it.
    pub key_encryption: Arc<KeyEncryptionKey>,
    /// The store, for its own care.
    pub store: Arc<SqliteStore>,
}

/// How often the store is tried while another process holds it.
const STORE_TRIES_MAX: u32 = 50;
/// How long to wait between two tries: five seconds in all, longer than any command holds it.
const STORE_TRY_EVERY: Duration = Duration::from_millis(100);

/// Names of the files in the keys' folder.
pub mod key_files {
    /// Folder of the issuer's keys.
    pub const TOKENS: &str = "tokens";
    /// The checkpoint key.
    pub const CHECKPOINT: &str = "checkpoint.pem";
    /// The name of the log, which its checkpoints carry; never used again for another log.
    pub const ORIGIN: &str = "log-origin";
    /// The key-encryption key.
    pub const KEY_ENCRYPTION: &str = "key-encryption.key";
}

/// How long a command that is alone with the store waits for its own turn: nobody else is served better by its refusal.
const ALONE: Duration = Duration::from_secs(60);

/// How long to wait for a store that another process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Not at all: whoever holds it answers for it.
    None,
    /// Longer than any command holds it.
    ForCommands,
}

/// Opens keys and store, making them where there are none yet, and builds the broker.
pub async fn wire_keys_and_store(config: &Config, patience: Patience) -> Result<Wired, WiringError> {
    let entropy = SystemEntropy;
    let folder = &config.keys;
    refuse_lost_keys(config)?;
    secret_file::create_folder(folder)?;
    let token_keys = Arc::new(match folder.join(key_files::TOKENS) {
        path if TokenKeys::exist(&path) => TokenKeys::load(&path)?,
        path => TokenKeys::create(&path, SystemClock.now())?,
    });
    let origin = origin(&folder.join(key_files::ORIGIN), &entropy)?;
    let checkpoint = Arc::new(match folder.join(key_files::CHECKPOINT) {
        path if path.exists() => CheckpointKey::load(&path, origin)?,
        path => CheckpointKey::create(&path, origin)?,
    });
    write_log_key(config, &checkpoint)?;
    let key_encryption = Arc::new(key_encryption(&folder.join(key_files::KEY_ENCRYPTION), &entropy)?);
    let identity =
        Identity { replica: ReplicaId::from_bytes(random(&entropy)), boot: BootNonce::from_bytes(random(&entropy)) };
    if let Some(parent) = config.store.parent() {
        secret_file::create_folder(parent)?;
    }
    let store = Arc::new(open_store(&config.store, identity, patience).await?);
    let vault = FileVault::new(
        Arc::clone(&key_encryption),
        Arc::clone(&store) as Arc<dyn Store>,
        Arc::new(entropy) as Arc<dyn Entropy>,
    );
    let zones = config.clone();
    let settings = Settings {
        issuer: issuer_of(config),
        environment: config.environment,
        zone_of: Arc::new(move |address| zones.zone_of(address)),
        fact_window: FACT_WINDOW,
        sign_in_classes: config
            .providers
            .iter()
            .flat_map(|provider| provider.acr.values().chain(provider.amr.values()).cloned())
            .collect(),
        agent_algorithms: config.agent_algorithms.clone(),
        directory_users_max: config.directory_users_max,
        attestation_roots: config.attestation_roots()?,
    };
    let ports = Ports {
        store: Arc::clone(&store) as Arc<dyn Store>,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(entropy),
        token_signer: Arc::clone(&token_keys) as Arc<dyn TokenSigner>,
        vault: Arc::new(vault),
    };
    let broker = start::build(ports, settings).await?;
    Ok(Wired { broker, checkpoint, token_keys, key_encryption, store })
}

/// Opens the store; a command that holds it for a moment is waited for.
async fn open_store(path: &Path, identity: Identity, patience: Patience) -> Result<SqliteStore, OpenError> {
    let (mut tries, options) = match patience {
        Patience::None => (STORE_TRIES_MAX, Options { queue_wait_max: ALONE, ..Options::default() }),
        Patience::ForCommands => (0, Options::default()),
    };
    loop {
        match SqliteStore::open(path, identity, &options) {
            Err(OpenError::InUse(_)) if tries < STORE_TRIES_MAX => {
                tries += 1;
                tokio::time::sleep(STORE_TRY_EVERY).await;
            }
            other => return other,
        }
    }
}

/// `public_url`, or the loopback address by plain HTTP.
pub fn issuer_of(config: &Config) -> String {
    match &config.public_url {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None if config.tls.is_some() => format!("https://{}", config.address),
        None => format!("http://{}", config.address),
    }
}

/// A systemd credential of the same name wins over the file.
fn key_encryption(path: &Path, entropy: &dyn Entropy) -> Result<KeyEncryptionKey, SecretFileError> {
    if let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") {
        let credential = Path::new(&folder).join(key_files::KEY_ENCRYPTION);
        if credential.exists() {
            return KeyEncryptionKey::load_systemd_credential(&credential);
        }
    }
    if path.exists() { KeyEncryptionKey::load(path) } else { KeyEncryptionKey::create(path, entropy) }
}

/// A lost key is not made anew beside a database that holds values under the old one: that would hide the loss.
fn refuse_lost_keys(config: &Config) -> Result<(), WiringError> {
    let lost = [key_files::KEY_ENCRYPTION, key_files::CHECKPOINT, key_files::TOKENS]
        .iter()
        .map(|name| config.keys.join(name))
        .find(|path| !path.exists());
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY")
        .is_some_and(|folder| Path::new(&folder).join(key_files::KEY_ENCRYPTION).exists());
    match lost {
        Some(path)
            if config.store.exists()
                && !config.danger_new_keys
                && !(credential && path.ends_with(key_files::KEY_ENCRYPTION)) =>
        {
            Err(WiringError::LostKey(path.display().to_string()))
        }
        _ => Ok(()),
    }
}

fn origin(path: &Path, entropy: &dyn Entropy) -> Result<String, WiringError> {
    if !path.exists() {
        let name: [u8; 8] = random(entropy);
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        secret_file::create(path, format!("bailiwick-log/{name}").as_bytes())?;
    }
    let text = secret_file::read(path, secret_file::Access::Owner)?;
    let text = std::str::from_utf8(text.expose()).unwrap_or_default().trim().to_owned();
    let valid = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '+');
    if valid { Ok(text) } else { Err(WiringError::Origin(path.display().to_string())) }
}

/// Where the public half of the log's key lies, for verifiers to take along.
pub fn log_key_file(config: &Config) -> PathBuf {
    config.keys.join("log.vkey")
}

fn write_log_key(config: &Config, checkpoint: &CheckpointKey) -> Result<(), WiringError> {
    let key = VerifierKey::new(&checkpoint.origin(), checkpoint.public_key())
        .map_err(|error| WiringError::Origin(error.to_string()))?;
    let path = log_key_file(config);
    let line = format!("{key}\n");
    if std::fs::read_to_string(&path).is_ok_and(|old| old == line) {
        return Ok(());
    }
    std::fs::write(&path, line).map_err(|error| WiringError::Origin(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lost_key_is_made_anew_only_when_that_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("broker");
        crate::init::init(&home).await.unwrap();
        let mut config = Config::read(&home.join("bailiwick.toml"), None).unwrap();
        let key = config.keys.join(key_files::KEY_ENCRYPTION);
        std::fs::remove_file(&key).unwrap();
        let refused = wire_keys_and_store(&config, Patience::None).await;
        assert!(matches!(refused, Err(WiringError::LostKey(path)) if path.ends_with(key_files::KEY_ENCRYPTION)));
        assert!(!key.exists());
        config.danger_new_keys = true;
        assert!(wire_keys_and_store(&config, Patience::None).await.is_ok());
        assert!(key.exists());
    }
}
