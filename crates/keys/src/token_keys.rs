//! The issuer's signing keys and their rotation with overlap: a next key is
//! published before it signs, a retired one stays published until the last
//! token that it signed has ended.
//!
//! The folder holds one `<kid>.pem` per key and `keys.json`, which says which
//! key is in which state, and keeps the public half of those that rotated out:
//! what outlives a token is verified by it. A key file that `keys.json` does
//! not name is nothing.
//! One process at a time owns the folder.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use bailiwick_model::{
    jwk::{PublicKey, SigningAlgorithm},
    limits::TOKEN_TTL_S_LONGEST,
};
use bailiwick_ports::signer::{KeyChangeError, Rotation, SignError, TokenKeyState, TokenSigner};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    secret_file::{self, Access, SecretFileError},
    signing_key::SigningKey,
};

/// Seconds that others may keep our published keys: the key set's `max-age`.
pub const JWKS_AGE_S_MAX: i64 = 300;
/// Seconds that a next key is published before it signs: twice what others may keep.
pub const PUBLISH_AHEAD_S: i64 = 2 * JWKS_AGE_S_MAX;
/// Seconds that a key signs before the next one is made.
pub const TOKEN_KEY_AGE_S_MAX: i64 = 90 * 24 * 60 * 60;

const STATES_FILE: &str = "keys.json";
const EXPECTED: &str = "an ES256 private key in PKCS#8";
const STATES_EXPECTED: &str = "the states of token keys";

/// Seconds that a retired key stays published: the longest life of a token, and a minute for clocks.
pub fn retired_for_s() -> i64 {
    i64::try_from(TOKEN_TTL_S_LONGEST).unwrap_or(i64::MAX - 60) + 60
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    kid: String,
    status: Status,
}

/// The state of a key on disk.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Status {
    Kept(TokenKeyState),
    Gone(Gone),
}

/// What is left of a key that rotated out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
enum Gone {
    /// Its private half was destroyed.
    Destroyed {
        /// Since when.
        since: Timestamp,
        /// Its public half.
        public: PublicKey,
    },
}

impl Gone {
    const fn public(&self) -> &PublicKey {
        let Self::Destroyed { public, .. } = self;
        public
    }
}

#[derive(Clone)]
struct Held {
    key: Arc<SigningKey>,
    state: TokenKeyState,
}

/// The issuer's keys.
pub struct TokenKeys {
    folder: PathBuf,
    held: RwLock<Keys>,
}

/// There is always a current key, apart from all the others.
#[derive(Clone)]
struct Keys {
    current: Held,
    others: Vec<Held>,
    gone: Vec<Gone>,
}

impl std::fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKeys").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl TokenKeys {
    /// Makes a folder with a first key, which signs at once.
    pub fn create(folder: &Path, now: Timestamp) -> Result<Self, SecretFileError> {
        secret_file::create_folder(folder)?;
        let states = folder.join(STATES_FILE);
        if states.exists() {
            return Err(SecretFileError::Exists(states));
        }
        let current = Held { key: generate(folder)?, state: TokenKeyState::Current { since: now } };
        let keys = Keys { current, others: Vec::new(), gone: Vec::new() };
        write_states(folder, &keys)?;
        Ok(Self { folder: folder.to_owned(), held: RwLock::new(keys) })
    }

    /// Whether a folder holds keys. One whose making was cut off does not, whatever lies in it.
    pub fn exist(folder: &Path) -> bool {
        folder.join(STATES_FILE).exists()
    }

    /// Loads the keys of a folder.
    pub fn load(folder: &Path) -> Result<Self, SecretFileError> {
        let path = folder.join(STATES_FILE);
        let unfit = |reason: &dyn std::fmt::Display| SecretFileError::content(&path, STATES_EXPECTED, reason);
        let bytes = secret_file::read(&path, Access::Owner)?;
        let rows: Vec<Row> = serde_json::from_slice(bytes.expose()).map_err(|error| unfit(&error))?;
        let mut current = None;
        let mut others = Vec::new();
        let mut gone = Vec::new();
        for row in rows {
            let state = match row.status {
                Status::Kept(state) => state,
                Status::Gone(key) if key.public().kid == row.kid => {
                    gone.push(key);
                    continue;
                }
                Status::Gone(_) => return Err(unfit(&"a key is another one than its name says")),
            };
            let held = Held { key: load_key(folder, &row.kid)?, state };
            match state {
                TokenKeyState::Current { .. } if current.is_none() => current = Some(held),
                TokenKeyState::Current { .. } => return Err(unfit(&"two keys are current")),
                TokenKeyState::Next { .. } | TokenKeyState::Retired { .. } => others.push(held),
            }
        }
        let current = current.ok_or_else(|| unfit(&"no key is current"))?;
        Ok(Self { folder: folder.to_owned(), held: RwLock::new(Keys { current, others, gone }) })
    }

    fn begin(&self, now: Timestamp) -> Result<Option<Rotation>, SecretFileError> {
        self.change(|keys, folder| {
            if keys.others.iter().any(|held| matches!(held.state, TokenKeyState::Next { .. })) {
                return Ok(None);
            }
            let key = generate(folder)?;
            let kid = key.public().kid.clone();
            keys.others.push(Held { key, state: TokenKeyState::Next { since: now } });
            Ok(Some(Rotation::Published { kid }))
        })
    }

    fn do_what_is_due(&self, now: Timestamp) -> Result<Vec<Rotation>, SecretFileError> {
        let mut done = Vec::new();
        if let TokenKeyState::Current { since } = self.keys().current.state
            && age_s(since, now) >= TOKEN_KEY_AGE_S_MAX
        {
            done.extend(self.begin(now)?);
        }
        done.extend(self.change(|keys, _| Ok(promote(keys, now)))?);
        let is_over = |held: &Held| match held.state {
            TokenKeyState::Retired { since } => age_s(since, now) >= retired_for_s(),
            TokenKeyState::Next { .. } | TokenKeyState::Current { .. } => false,
        };
        self.change(|keys, _| {
            let (over, kept): (Vec<Held>, Vec<Held>) = keys.others.drain(..).partition(is_over);
            keys.others = kept;
            let destroyed = |held: &Held| Gone::Destroyed { since: now, public: held.key.public().clone() };
            keys.gone.extend(over.iter().map(destroyed));
            Ok(())
        })?;
        match self.sweep() {
            Ok(removed) => done.extend(removed),
            // What was done is told; the file is tried again.
            Err(_) if !done.is_empty() => {}
            Err(error) => return Err(error),
        }
        Ok(done)
    }

    fn prepare(&self, now: Timestamp) -> Result<PublicKey, SecretFileError> {
        self.change(|keys, folder| {
            keys.others.retain(|held| !matches!(held.state, TokenKeyState::Next { .. }));
            let key = generate(folder)?;
            let public = key.public().clone();
            keys.others.push(Held { key, state: TokenKeyState::Next { since: now } });
            Ok(public)
        })
    }

    fn replace(&self, kid: &str, now: Timestamp) -> Result<Vec<Rotation>, SecretFileError> {
        self.change(|keys, folder| {
            let next = keys.others.iter().find(|held| held.is_next(kid)).cloned();
            let unknown = || SecretFileError::content(folder, STATES_EXPECTED, &"there is no such next key");
            keys.current = Held { state: TokenKeyState::Current { since: now }, ..next.ok_or_else(unknown)? };
            keys.others.clear();
            keys.gone.clear();
            Ok(())
        })?;
        // A file that cannot be removed now is tried again with the next due step, which says why.
        Ok(self.sweep().unwrap_or_default())
    }

    /// Removes each key file whose key is not held: what was destroyed, and what a crash left.
    fn sweep(&self) -> Result<Vec<Rotation>, SecretFileError> {
        let held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let mut removed = Vec::new();
        for kid in key_files(&self.folder)? {
            if !held.all().any(|held| held.key.public().kid == kid) {
                secret_file::remove(&key_path(&self.folder, &kid))?;
                removed.push(Rotation::Destroyed { kid });
            }
        }
        Ok(removed)
    }

    /// Changes the keys: first on disk, then in memory; after an error neither has changed.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Keys, &Path) -> Result<T, SecretFileError>,
    ) -> Result<T, SecretFileError> {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let mut keys = held.clone();
        let outcome = change(&mut keys, &self.folder)?;
        if !keys.same_states(&held) {
            write_states(&self.folder, &keys)?;
            *held = keys;
        }
        Ok(outcome)
    }

    fn keys(&self) -> Keys {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Held {
    fn is_next(&self, kid: &str) -> bool {
        self.key.public().kid == kid && matches!(self.state, TokenKeyState::Next { .. })
    }
}

impl Keys {
    fn all(&self) -> impl Iterator<Item = &Held> {
        std::iter::once(&self.current).chain(&self.others)
    }

    fn same_states(&self, other: &Self) -> bool {
        let name = |held: &Held| (held.key.public().kid.clone(), held.state);
        self.all().map(name).eq(other.all().map(name)) && self.gone == other.gone
    }
}

fn unchanged(error: SecretFileError) -> KeyChangeError {
    KeyChangeError(error.to_string())
}

impl TokenSigner for TokenKeys {
    fn states(&self) -> Vec<(PublicKey, TokenKeyState)> {
        self.keys().all().map(|held| (held.key.public().clone(), held.state)).collect()
    }

    fn begin_rotation(&self, now: Timestamp) -> Result<Option<Rotation>, KeyChangeError> {
        self.begin(now).map_err(unchanged)
    }

    fn advance(&self, now: Timestamp) -> Result<Vec<Rotation>, KeyChangeError> {
        self.do_what_is_due(now).map_err(unchanged)
    }

    fn prepare_replacement(&self, now: Timestamp) -> Result<PublicKey, KeyChangeError> {
        self.prepare(now).map_err(unchanged)
    }

    fn sign_ahead(&self, kid: &str, signing_input: &[u8]) -> Result<Vec<u8>, SignError> {
        let keys = self.keys();
        let next = keys.others.iter().find(|held| held.is_next(kid));
        next.ok_or_else(|| SignError(format!("key `{kid}` is no next one")))?.key.sign(signing_input)
    }

    fn replace_all(&self, kid: &str, now: Timestamp) -> Result<Vec<Rotation>, KeyChangeError> {
        self.replace(kid, now).map_err(unchanged)
    }

    fn current(&self) -> PublicKey {
        self.keys().current.key.public().clone()
    }

    fn published(&self) -> Vec<PublicKey> {
        self.keys().all().map(|held| held.key.public().clone()).collect()
    }

    fn trusted_for_long(&self) -> Vec<PublicKey> {
        let keys = self.keys();
        let held = keys.all().map(|held| held.key.public());
        held.chain(keys.gone.iter().map(Gone::public)).cloned().collect()
    }

    fn sign(&self, signing_input: &[u8]) -> Result<Vec<u8>, SignError> {
        self.keys().current.key.sign(signing_input)
    }

    fn sign_as(&self, kid: &str, signing_input: &[u8]) -> Result<Vec<u8>, SignError> {
        let keys = self.keys();
        // A key that was current a moment ago is retired now; a next one never signs.
        let may_sign = |held: &&Held| held.key.public().kid == kid && !matches!(held.state, TokenKeyState::Next { .. });
        let held = keys.all().find(may_sign).ok_or_else(|| SignError(format!("key `{kid}` does not sign")))?;
        held.key.sign(signing_input)
    }
}

fn promote(keys: &mut Keys, now: Timestamp) -> Option<Rotation> {
    let is_due = |held: &Held| match held.state {
        TokenKeyState::Next { since } => age_s(since, now) >= PUBLISH_AHEAD_S,
        TokenKeyState::Current { .. } | TokenKeyState::Retired { .. } => false,
    };
    let next = keys.others.iter_mut().find(|held| is_due(held))?;
    std::mem::swap(&mut keys.current, next);
    next.state = TokenKeyState::Retired { since: now };
    keys.current.state = TokenKeyState::Current { since: now };
    Some(Rotation::Promoted { kid: keys.current.key.public().kid.clone() })
}

fn age_s(since: Timestamp, now: Timestamp) -> i64 {
    now.as_second().saturating_sub(since.as_second())
}

/// The names of all keys that have a file in the folder. Other files are not looked at.
fn key_files(folder: &Path) -> Result<Vec<String>, SecretFileError> {
    let unread = |error: std::io::Error| SecretFileError::Io { path: folder.to_owned(), error };
    let mut kids = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unread)? {
        let name = entry.map_err(unread)?.file_name();
        let kid = name.to_str().and_then(|name| name.strip_suffix(".pem"));
        // As long as a thumbprint (RFC 7638).
        kids.extend(kid.filter(|kid| kid.len() == 43).map(str::to_owned));
    }
    Ok(kids)
}

fn key_path(folder: &Path, kid: &str) -> PathBuf {
    folder.join(format!("{kid}.pem"))
}

fn generate(folder: &Path) -> Result<Arc<SigningKey>, SecretFileError> {
    let unfit = |error: crate::signing_key::SigningKeyError| SecretFileError::content(folder, EXPECTED, &error);
    let key = SigningKey::generate(SigningAlgorithm::ES256).map_err(unfit)?;
    let pem = key.to_pem().map_err(unfit)?;
    secret_file::create(&key_path(folder, &key.public().kid), pem.expose().as_bytes())?;
    Ok(Arc::new(key))
}

fn load_key(folder: &Path, kid: &str) -> Result<Arc<SigningKey>, SecretFileError> {
    let path = key_path(folder, kid);
    let unfit = |reason: &dyn std::fmt::Display| SecretFileError::content(&path, EXPECTED, reason);
    let is_thumbprint = kid.parse::<bailiwick_model::jwk::Thumbprint>().is_ok();
    if !is_thumbprint {
        return Err(unfit(&"its name is not a thumbprint"));
    }
    let bytes = secret_file::read(&path, Access::Owner)?;
    let text = std::str::from_utf8(bytes.expose()).map_err(|error| unfit(&error))?;
    let key = SigningKey::from_pem(text).map_err(|error| unfit(&error))?;
    if key.public().algorithm != SigningAlgorithm::ES256 || key.public().kid != kid {
        return Err(unfit(&"it is another key than its name says"));
    }
    Ok(Arc::new(key))
}

fn write_states(folder: &Path, keys: &Keys) -> Result<(), SecretFileError> {
    let path = folder.join(STATES_FILE);
    let held = keys.all().map(|held| Row { kid: held.key.public().kid.clone(), status: Status::Kept(held.state) });
    let gone = keys.gone.iter().map(|key| Row { kid: key.public().kid.clone(), status: Status::Gone(key.clone()) });
    let rows: Vec<Row> = held.chain(gone).collect();
    let json =
        serde_json::to_vec_pretty(&rows).map_err(|error| SecretFileError::content(&path, STATES_EXPECTED, &error))?;
    secret_file::replace(&path, &json)
}

#[cfg(test)]
mod tests;
