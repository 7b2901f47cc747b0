//! The rotation, step by step.

use bailiwick_oauth::verifying_key::KeySet;

use super::*;

const START_S: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

struct World {
    folder: tempfile::TempDir,
    keys: TokenKeys,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = TokenKeys::create(&folder.path().join("token-keys"), at(START_S)).unwrap();
        Self { folder, keys }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("token-keys")
    }

    fn pem_files(&self) -> usize {
        let names = std::fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".pem")).count()
    }

    /// A verifier that fetched the published keys at some time.
    fn published(&self) -> KeySet {
        KeySet::new(&self.keys.published()).unwrap()
    }

    fn signed(&self) -> (String, Vec<u8>) {
        (self.keys.current().kid, self.keys.sign(b"token").unwrap())
    }
}

fn verifies(keys: &KeySet, (kid, signature): &(String, Vec<u8>)) -> bool {
    keys.named(kid).is_some_and(|key| key.verify(b"token", signature).is_ok())
}

#[test]
fn a_rotation_overlaps_at_both_ends() {
    let world = World::new();
    let cached_before = world.published();
    let first = world.signed();
    let Some(Rotation::Published { kid: next }) = world.keys.begin_rotation(at(START_S + 10)).unwrap() else {
        panic!("published")
    };
    assert_eq!(world.keys.begin_rotation(at(START_S + 11)).unwrap(), None, "one next key at a time");
    assert_ne!(world.keys.current().kid, next, "published, but does not sign");
    assert!(world.published().named(&next).is_some());
    assert!(verifies(&cached_before, &world.signed()), "a verifier with the old set is still fine");

    let promoted_at = START_S + 10 + PUBLISH_AHEAD_S;
    assert_eq!(world.keys.advance(at(promoted_at - 1)).unwrap(), vec![]);
    let cached_ahead = world.published();
    assert_eq!(world.keys.advance(at(promoted_at)).unwrap(), vec![Rotation::Promoted { kid: next.clone() }]);
    assert_eq!(world.keys.current().kid, next);
    let second = world.signed();
    assert!(verifies(&cached_ahead, &second), "nobody has to fetch anything at that moment");
    assert!(verifies(&world.published(), &first), "tokens of the first key still live");

    let over_at = promoted_at + retired_for_s();
    assert_eq!(world.keys.advance(at(over_at - 1)).unwrap(), vec![]);
    assert_eq!(world.pem_files(), 2);
    let expected = vec![Rotation::Destroyed { kid: first.0.clone() }];
    assert_eq!(world.keys.advance(at(over_at)).unwrap(), expected);
    assert_eq!(world.pem_files(), 1);
    assert!(!verifies(&world.published(), &first));
    assert!(verifies(&world.published(), &second));
    // What outlives every token is verified by it all the same, after a restart too.
    let reloaded = TokenKeys::load(&world.path()).unwrap();
    for keys in [&world.keys, &reloaded] {
        let trusted = KeySet::new(&keys.trusted_for_long()).unwrap();
        assert!(verifies(&trusted, &first) && verifies(&trusted, &second));
    }
}

#[test]
fn a_restart_at_any_step_changes_nothing() {
    let world = World::new();
    let same = |world: &World| {
        let again = TokenKeys::load(&world.path()).unwrap();
        assert_eq!(again.states(), world.keys.states());
        assert_eq!(again.current(), world.keys.current());
    };
    same(&world);
    world.keys.begin_rotation(at(START_S)).unwrap();
    same(&world);
    world.keys.advance(at(START_S + PUBLISH_AHEAD_S)).unwrap();
    same(&world);
    world.keys.advance(at(START_S + PUBLISH_AHEAD_S + retired_for_s())).unwrap();
    same(&world);
}

#[test]
fn an_old_key_is_rotated_unasked() {
    let world = World::new();
    assert_eq!(world.keys.advance(at(START_S + TOKEN_KEY_AGE_S_MAX - 1)).unwrap(), vec![]);
    let done = world.keys.advance(at(START_S + TOKEN_KEY_AGE_S_MAX)).unwrap();
    assert!(matches!(done.as_slice(), [Rotation::Published { .. }]), "{done:?}");
}

#[test]
fn after_a_compromise_nothing_old_verifies() {
    let world = World::new();
    let older = world.signed();
    world.keys.begin_rotation(at(START_S - PUBLISH_AHEAD_S - retired_for_s())).unwrap();
    world.keys.advance(at(START_S - retired_for_s())).unwrap();
    world.keys.advance(at(START_S)).unwrap();
    assert!(verifies(&KeySet::new(&world.keys.trusted_for_long()).unwrap(), &older));
    let old = world.signed();
    world.keys.begin_rotation(at(START_S)).unwrap();
    // Cut off at any point before its last step, nothing has changed but what will sign.
    let first = world.keys.prepare_replacement(at(START_S + 1)).unwrap();
    let next = world.keys.prepare_replacement(at(START_S + 1)).unwrap();
    assert!(world.keys.sign_ahead(&first.kid, b"token").is_err(), "another one took its place");
    let ahead = (next.kid.clone(), world.keys.sign_ahead(&next.kid, b"token").unwrap());
    assert!(verifies(&KeySet::new(&world.keys.trusted_for_long()).unwrap(), &ahead));
    assert!(verifies(&world.published(), &old) && world.keys.current().kid == old.0);
    assert!(world.keys.replace_all(&first.kid, at(START_S + 1)).is_err());
    let destroyed = world.keys.replace_all(&next.kid, at(START_S + 1)).unwrap();
    assert_eq!((destroyed.len(), world.keys.current().kid), (3, next.kid), "next ones are gone too");
    assert!(!verifies(&world.published(), &old));
    assert!(verifies(&world.published(), &world.signed()));
    let trusted = |keys: &TokenKeys| KeySet::new(&keys.trusted_for_long()).unwrap();
    assert_eq!(world.keys.trusted_for_long(), world.keys.published(), "nor is an older one trusted any more");
    assert!(!verifies(&trusted(&TokenKeys::load(&world.path()).unwrap()), &old));
    assert_eq!((world.pem_files(), world.keys.published().len()), (1, 1));
}

#[test]
fn a_key_file_that_a_crash_left_is_removed_with_the_next_step() {
    let world = World::new();
    let left = SigningKey::generate(SigningAlgorithm::ES256).unwrap();
    let kid = left.public().kid.clone();
    secret_file::create(&key_path(&world.path(), &kid), left.to_pem().unwrap().expose().as_bytes()).unwrap();
    assert_eq!(world.keys.advance(at(START_S + 1)).unwrap(), [Rotation::Destroyed { kid }]);
    assert_eq!(world.pem_files(), 1);
    assert_eq!(world.keys.advance(at(START_S + 2)).unwrap(), []);
}

#[test]
fn a_named_key_signs_across_a_rotation_but_a_next_one_never() {
    let world = World::new();
    let before = world.keys.current().kid;
    let Some(Rotation::Published { kid: next }) = world.keys.begin_rotation(at(START_S)).unwrap() else {
        panic!("published")
    };
    assert!(world.keys.sign_as(&next, b"token").is_err());
    world.keys.advance(at(START_S + PUBLISH_AHEAD_S)).unwrap();
    let signature = world.keys.sign_as(&before, b"token").unwrap();
    assert!(verifies(&world.published(), &(before, signature)));
    assert!(world.keys.sign_as("unknown", b"token").is_err());
}

#[test]
fn a_folder_that_was_tampered_with_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    assert!(TokenKeys::create(&world.path(), at(0)).is_err(), "never overwritten");
    let pem = key_path(&world.path(), &world.keys.current().kid);
    std::fs::set_permissions(&pem, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(TokenKeys::load(&world.path()), Err(SecretFileError::Exposed { .. })));
    std::fs::set_permissions(&pem, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(TokenKeys::load(&world.path()).is_ok());

    std::fs::copy(&pem, world.path().join("own.pem")).unwrap();
    let other = SigningKey::generate(SigningAlgorithm::ES256).unwrap();
    secret_file::replace(&pem, other.to_pem().unwrap().expose().as_bytes()).unwrap();
    assert!(TokenKeys::load(&world.path()).is_err(), "another key under this name");

    let pem_text = secret_file::read(&world.path().join("own.pem"), Access::Owner).unwrap();
    secret_file::replace(&pem, pem_text.expose()).unwrap();
    assert!(TokenKeys::load(&world.path()).is_ok());
    let states = world.path().join(STATES_FILE);
    let row = |kid: &str, state: &str| {
        format!(r#"{{"kid":"{kid}","status":{{"state":"{state}","since":"2026-01-01T00:00:00Z"}}}}"#)
    };
    for bad in [
        "[]".to_owned(),
        "x".to_owned(),
        format!("[{}]", row("../../etc/passwd", "current")),
        format!("[{}]", row(&world.keys.current().kid, "next")),
    ] {
        secret_file::replace(&states, bad.as_bytes()).unwrap();
        assert!(TokenKeys::load(&world.path()).is_err(), "{bad}");
    }
}
