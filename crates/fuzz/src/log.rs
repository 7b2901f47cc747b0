//! One honest log: five entries of one writer under one signed checkpoint. Its key is no secret and always the same, so
//! that honest notes, proofs and exports can be kept as seeds.

use std::{collections::BTreeMap, sync::LazyLock};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use bailiwick_audit_log::{
    checkpoint::{Checkpoint, VerifierKey},
    event::{AuditEvent, EventKind},
    export::Line,
    leaf::{self, BootNonce, CHAIN_START, Leaf, Position, ReplicaId},
    merkle::{Hash, TreeHead, root},
    proof::EntryProof,
};
use jiff::Timestamp;

/// Which log.
pub const ORIGIN: &str = "log.example";
/// How many entries.
pub const ENTRIES: u64 = 5;
/// Which of them [`PROOF`] is about.
pub const PROVEN: u64 = 2;

static PAIR: LazyLock<Ed25519KeyPair> = LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[5; 32]).unwrap());

/// The key that signed the checkpoint.
pub static KEY: LazyLock<VerifierKey> =
    LazyLock::new(|| VerifierKey::new(ORIGIN, PAIR.public_key().as_ref().try_into().unwrap()).unwrap());

/// The entries, as they are hashed.
pub static LEAVES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let (mut leaves, mut previous) = (Vec::new(), CHAIN_START);
    for sequence in 0..ENTRIES {
        let bytes = entry(sequence, previous).encode().unwrap();
        previous = leaf::hash(&bytes);
        leaves.push(bytes);
    }
    leaves
});

static HASHES: LazyLock<Vec<Hash>> = LazyLock::new(|| LEAVES.iter().map(|bytes| leaf::hash(bytes)).collect());

/// What was signed.
pub static CHECKPOINT: LazyLock<Checkpoint> =
    LazyLock::new(|| Checkpoint { origin: ORIGIN.to_owned(), tree: TreeHead { size: ENTRIES, root: root(&HASHES) } });

/// The signed note.
pub static NOTE: LazyLock<String> = LazyLock::new(|| {
    let sign = |text: &[u8]| <[u8; 64]>::try_from(PAIR.sign(text).as_ref());
    CHECKPOINT.sign(&KEY, &sign).unwrap()
});

/// The proof of one entry, as a file.
pub static PROOF: LazyLock<String> = LazyLock::new(|| {
    let leaf = LEAVES[usize::try_from(PROVEN).unwrap()].clone();
    EntryProof::of(&HASHES, PROVEN, leaf, NOTE.clone()).unwrap().to_text()
});

/// All of it, as it is exported.
pub static EXPORT: LazyLock<String> = LazyLock::new(|| {
    let leaves = (0..).zip(LEAVES.iter()).map(|(index, bytes)| Line::of_leaf(Some(index), bytes));
    let lines = leaves.chain([Line::Checkpoint { note: NOTE.clone() }]);
    lines.map(|line| line.to_text() + "\n").collect()
});

/// A start, then calls with their outcomes.
fn entry(sequence: u64, previous: Hash) -> Leaf {
    let (kind, id, concludes) = match sequence {
        0 => (EventKind::Replica, "evt_start".to_owned(), None),
        n if n % 2 == 1 => (EventKind::Intent, format!("eval_{n}"), None),
        n => (EventKind::Outcome, format!("evt_{n}"), Some(format!("eval_{}", n - 1))),
    };
    let at = Timestamp::from_second(1_800_000_000 + i64::try_from(sequence).unwrap()).unwrap();
    let body = BTreeMap::from([("agent".to_owned(), "reader-1".into())]);
    let commitments = BTreeMap::from([("arguments".to_owned(), [9; 32])]);
    let (replica, boot) = (ReplicaId::from_bytes([3; 16]), BootNonce::from_bytes([7; 16]));
    Leaf {
        position: Position { replica, boot, sequence, previous },
        event: AuditEvent { kind, id, at, concludes, body, commitments },
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// A seed that the format has left behind would be noise.
    #[test]
    fn the_seeds_are_honest() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/tlog");
        let key = KEY.to_string();
        let honest: [(&str, &[u8]); 5] = [
            ("note", NOTE.as_bytes()),
            ("proof", PROOF.as_bytes()),
            ("export", EXPORT.as_bytes()),
            ("leaf", &LEAVES[1]),
            ("key", key.as_bytes()),
        ];
        for (name, bytes) in honest {
            assert_eq!(fs::read(folder.join(name)).unwrap(), bytes, "{name}");
        }
    }
}
