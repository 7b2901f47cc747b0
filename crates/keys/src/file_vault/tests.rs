//! The vault over rows at hand.

use std::path::Path;

use super::*;
use crate::chance::SystemEntropy;

/// Rows that a test can read, change and steal.
#[derive(Clone, Default)]
struct Rows(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Rows {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap()
    }
}

#[async_trait]
impl DataKeyRows for Rows {
    async fn data_key(&self, subject: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.all().get(subject).cloned())
    }

    async fn keep_data_key(&self, subject: &str, wrapped: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        Ok(self.all().entry(subject.to_owned()).or_insert(wrapped).clone())
    }
}

/// A store out of reach.
struct Unreachable;

#[async_trait]
impl DataKeyRows for Unreachable {
    async fn data_key(&self, _: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Err(StoreError::Unavailable("no disk".to_owned()))
    }

    async fn keep_data_key(&self, _: &str, _: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        Err(StoreError::Unavailable("no disk".to_owned()))
    }
}

fn vault(path: &Path, rows: &Rows) -> FileVault {
    let key = KeyEncryptionKey::load(path).or_else(|_| KeyEncryptionKey::create(path, &SystemEntropy)).unwrap();
    FileVault::over(Arc::new(key), Box::new(rows.clone()), Arc::new(SystemEntropy))
}

#[tokio::test]
async fn opens_what_it_sealed_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (path, rows) = (folder.path().join("kek"), Rows::default());
    let before = vault(&path, &rows);
    let sealed = before.seal("agent:a", "prompt", b"text").await.unwrap();
    assert!(!sealed.windows(4).any(|window| window == b"text"));
    for vault in [before, vault(&path, &rows)] {
        assert_eq!(vault.open("agent:a", "prompt", &sealed).await.unwrap().expose(), b"text");
    }
}

#[tokio::test]
async fn the_wrong_place_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let rows = Rows::default();
    let vault = vault(&folder.path().join("kek"), &rows);
    let sealed = vault.seal("agent:a", "prompt", b"text").await.unwrap();
    vault.seal("agent:b", "prompt", b"other").await.unwrap();
    let mut altered = sealed.clone();
    *altered.last_mut().unwrap() ^= 1;
    for (subject, purpose, bytes) in [
        ("agent:b", "prompt", &sealed),
        ("agent:a", "result", &sealed),
        ("agent:a", "prompt", &altered),
        ("agent:a", "prompt", &vec![]),
    ] {
        let outcome = vault.open(subject, purpose, bytes).await;
        assert!(matches!(outcome, Err(VaultError::Altered(_))), "{subject} {purpose}");
    }
    // A row copied to another subject makes that subject's key neither this one nor any.
    let stolen = rows.all().get("agent:a").cloned().unwrap();
    rows.all().insert("agent:b".to_owned(), stolen);
    assert!(matches!(vault.open("agent:b", "prompt", &sealed).await, Err(VaultError::Altered(_))));
}

#[tokio::test]
async fn an_erased_key_opens_nothing_from_that_moment_on() {
    let folder = tempfile::tempdir().unwrap();
    let rows = Rows::default();
    let vault = vault(&folder.path().join("kek"), &rows);
    let sealed = vault.seal("user:u", "prompt", b"text").await.unwrap();
    assert!(vault.open("user:u", "prompt", &sealed).await.is_ok(), "cached now");
    rows.all().remove("user:u");
    assert!(matches!(vault.open("user:u", "prompt", &sealed).await, Err(VaultError::NoKey(_))));
    // A new key of the same subject does not bring the old values back.
    vault.seal("user:u", "prompt", b"new").await.unwrap();
    assert!(matches!(vault.open("user:u", "prompt", &sealed).await, Err(VaultError::Altered(_))));
    assert!(matches!(vault.open("user:never", "prompt", &sealed).await, Err(VaultError::NoKey(_))));
}

#[tokio::test]
async fn a_stolen_database_without_the_key_file_holds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let rows = Rows::default();
    let owner = vault(&folder.path().join("kek"), &rows);
    let mut sealed = Vec::new();
    for subject in ["agent:a", "user:u", "system:crm"] {
        let plain = format!("secret of {subject}");
        sealed.push((subject, owner.seal(subject, "value", plain.as_bytes()).await.unwrap()));
    }
    let stolen = Rows(Arc::new(Mutex::new(rows.all().clone())));
    let bytes: Vec<u8> =
        stolen.all().values().chain(sealed.iter().map(|(_, bytes)| bytes)).flatten().copied().collect();
    assert!(!bytes.windows(9).any(|window| window == b"secret of"));
    let thief = vault(&folder.path().join("another-kek"), &stolen);
    for (subject, bytes) in &sealed {
        assert!(matches!(thief.open(subject, "value", bytes).await, Err(VaultError::Altered(_))), "{subject}");
        // Nor can a thief's own data key, wrapped under the thief's key, stand in.
        stolen.all().remove(*subject);
        thief.seal(subject, "value", b"x").await.unwrap();
        assert!(matches!(thief.open(subject, "value", bytes).await, Err(VaultError::Altered(_))), "{subject}");
    }
}

#[tokio::test]
async fn two_vaults_that_start_together_agree_on_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let (path, rows) = (folder.path().join("kek"), Rows::default());
    let (one, two) = (vault(&path, &rows), vault(&path, &rows));
    let (a, b) = tokio::join!(one.seal("s", "p", b"1"), two.seal("s", "p", b"2"));
    assert_eq!(two.open("s", "p", &a.unwrap()).await.unwrap().expose(), b"1");
    assert_eq!(one.open("s", "p", &b.unwrap()).await.unwrap().expose(), b"2");
}

#[tokio::test]
async fn the_cache_is_bounded_and_forgets() {
    let folder = tempfile::tempdir().unwrap();
    let rows = Rows::default();
    let vault = vault(&folder.path().join("kek"), &rows);
    let first = vault.seal("s0", "p", b"text").await.unwrap();
    for i in 1..=DATA_KEYS_CACHED_MAX {
        vault.seal(&format!("s{i}"), "p", b"text").await.unwrap();
    }
    assert_eq!(vault.cache().len(), DATA_KEYS_CACHED_MAX);
    assert!(!vault.cache().contains_key("s0"), "the oldest went");
    assert!(vault.open("s0", "p", &first).await.is_ok(), "and comes back from the store");
    vault.forget("s0");
    assert!(!vault.cache().contains_key("s0"));
}

#[tokio::test]
async fn no_store_means_no_sealing_and_no_opening() {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyEncryptionKey::create(&folder.path().join("kek"), &SystemEntropy).unwrap();
    let vault = FileVault::over(Arc::new(key), Box::new(Unreachable), Arc::new(SystemEntropy));
    assert!(matches!(vault.seal("s", "p", b"x").await, Err(VaultError::Unavailable(_))));
    assert!(matches!(vault.open("s", "p", b"x").await, Err(VaultError::Unavailable(_))));
    for (subject, purpose) in [("", "p"), ("s", ""), (&*"s".repeat(LABEL_BYTES_MAX + 1), "p")] {
        assert!(vault.seal(subject, purpose, b"x").await.is_err());
    }
}
