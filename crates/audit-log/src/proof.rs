//! One entry's proof as a text file (C2SP tlog-proof, `.tlog-proof`): the entry,
//! its index, the path to the root, and the signed checkpoint. Whoever has the
//! log's public key needs nothing else.

use std::{fmt::Write as _, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use crate::{
    checkpoint::{Checkpoint, NoteError, UnverifiedNote, VerifierKey, parse_hash},
    leaf::{self, DecodeError, Leaf},
    merkle::{Hash, ProofError, inclusion_proof, verify_inclusion},
};

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// Hashes of one path: a tree of 2^63 leaves has no more.
const PATH_HASHES_MAX: usize = 63;
/// Bytes of one proof file.
pub const PROOF_BYTES_MAX: usize = 128 * 1_024;

/// A proof as it was read, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryProof {
    /// The entry's canonical bytes, carried as the format's `extra` data.
    pub leaf: Vec<u8>,
    /// Its index in the log.
    pub index: u64,
    /// The hashes from its sibling up to the root.
    pub path: Vec<Hash>,
    /// The signed note of the checkpoint.
    pub checkpoint: String,
}

/// An entry that is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// What was logged.
    pub leaf: Leaf,
    /// Under which checkpoint.
    pub checkpoint: Checkpoint,
}

/// Why a proof file proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryProofError {
    /// Not the text of a proof.
    #[error("the proof is not well-formed: {0}")]
    Malformed(&'static str),
    /// Its checkpoint is not to be relied on.
    #[error(transparent)]
    Checkpoint(#[from] NoteError),
    /// Its path does not lead to the checkpoint's root: another entry, another index, or altered bytes.
    #[error(transparent)]
    Inclusion(#[from] ProofError),
    /// What is in the log is not an entry that this program knows.
    #[error("the entry cannot be read: {0}")]
    Leaf(#[from] DecodeError),
}

impl EntryProof {
    /// The proof of leaf `index` under a checkpoint over exactly the leaves with these hashes. `None` if it is not there.
    pub fn of(hashes: &[Hash], index: u64, leaf: Vec<u8>, checkpoint: String) -> Option<Self> {
        let path = inclusion_proof(hashes, index)?;
        Some(Self { leaf, index, path, checkpoint })
    }

    /// Checks everything with the log's public keys alone.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<Proven, EntryProofError> {
        let checkpoint = self.checkpoint.parse::<UnverifiedNote>()?.verify(keys)?;
        let tree = checkpoint.tree;
        verify_inclusion(&leaf::hash(&self.leaf), self.index, tree.size, &self.path, &tree.root)?;
        Ok(Proven { leaf: leaf::decode(&self.leaf)?, checkpoint })
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADER}\nextra {}\nindex {}\n", BASE64.encode(&self.leaf), self.index);
        for hash in &self.path {
            // Writing into a `String` cannot fail.
            let _ = writeln!(text, "{}", BASE64.encode(hash));
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }
}

impl FromStr for EntryProof {
    type Err = EntryProofError;

    fn from_str(text: &str) -> Result<Self, EntryProofError> {
        let malformed = EntryProofError::Malformed;
        if text.len() > PROOF_BYTES_MAX {
            return Err(malformed("too long"));
        }
        let (head, checkpoint) = text.split_once("\n\n").ok_or(malformed("no checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(malformed("not a tlog-proof of version 1"));
        }
        let leaf = lines
            .next()
            .and_then(|line| line.strip_prefix("extra "))
            .and_then(|entry| BASE64.decode(entry).ok())
            .ok_or(malformed("no entry"))?;
        let number = lines.next().and_then(|line| line.strip_prefix("index ")).ok_or(malformed("no index"))?;
        let index = number.parse::<u64>().map_err(|_| malformed("the index is not a number"))?;
        if index.to_string() != number {
            return Err(malformed("the index is not in its shortest form"));
        }
        let path = lines.map(parse_hash).collect::<Option<Vec<_>>>().ok_or(malformed("a hash"))?;
        if path.len() > PATH_HASHES_MAX {
            return Err(malformed("too many hashes"));
        }
        Ok(Self { leaf, index, path, checkpoint: checkpoint.to_owned() })
    }
}

#[cfg(test)]
mod tests;
