//! The RFC 6962 Merkle tree (unchanged in RFC 9162): hashing, the frontier that
//! makes appending cheap, inclusion and consistency proofs and their verification.
//!
//! Leaves are hashed with a 0x00 before them, inner nodes with a 0x01, so that
//! neither can pass for the other.

use aws_lc_rs::digest::{Context, SHA256};

/// A SHA-256 hash of a leaf or a node.
pub type Hash = [u8; 32];

/// A proof that proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index lies outside of the tree, or the older tree is the larger one.
    #[error("the proof is for another tree size")]
    Size,
    /// Too many or too few hashes for these sizes.
    #[error("the proof has the wrong length")]
    Length,
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the signed root")]
    Root,
}

/// `SHA-256(0x00 || record)`.
pub fn leaf_hash(record: &[u8]) -> Hash {
    sha256(&[&[0], record])
}

/// `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// The root of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    sha256(&[])
}

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = Hash::default();
    hash.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

/// What is needed of a tree in order to append to it: the roots of its largest
/// perfect subtrees, from left to right (a "compact range" from 0).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

/// Peaks that cannot be those of a tree of that size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tree of {size} leaves has {expected} peaks, not {found}")]
pub struct FrontierError {
    size: u64,
    expected: usize,
    found: usize,
}

impl Frontier {
    /// Takes a frontier back, as a store keeps it.
    pub fn from_peaks(size: u64, peaks: Vec<Hash>) -> Result<Self, FrontierError> {
        let expected = size.count_ones() as usize;
        if peaks.len() == expected {
            Ok(Self { size, peaks })
        } else {
            Err(FrontierError { size, expected, found: peaks.len() })
        }
    }

    /// The number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the largest perfect subtrees, left to right.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Appends one leaf by its hash.
    pub fn append(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut rest = self.size;
        while rest & 1 == 1 {
            // One peak per set bit, so there is one here.
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            rest >>= 1;
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root of the whole tree.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return empty_root() };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }
}

impl Extend<Hash> for Frontier {
    fn extend<I: IntoIterator<Item = Hash>>(&mut self, leaves: I) {
        leaves.into_iter().for_each(|leaf| self.append(leaf));
    }
}

impl FromIterator<Hash> for Frontier {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut frontier = Self::default();
        frontier.extend(leaves);
        frontier
    }
}

/// The root over leaf hashes.
pub fn root(leaves: &[Hash]) -> Hash {
    leaves.iter().copied().collect::<Frontier>().root()
}

/// The proof that leaf `index` is in the tree over `leaves` (RFC 6962 §2.1.1). `None` if it is not.
pub fn inclusion_proof(leaves: &[Hash], index: u64) -> Option<Vec<Hash>> {
    let mut at = usize::try_from(index).ok().filter(|at| *at < leaves.len())?;
    let mut path = Vec::new();
    let mut tree = leaves;
    while tree.len() > 1 {
        let (left, right) = split(tree);
        if at < left.len() {
            path.push(root(right));
            tree = left;
        } else {
            path.push(root(left));
            at -= left.len();
            tree = right;
        }
    }
    path.reverse();
    Some(path)
}

/// The proof that the tree over the first `old_size` leaves is a prefix of the
/// tree over all of them (RFC 6962 §2.1.2). `None` if there are not so many.
pub fn consistency_proof(leaves: &[Hash], old_size: u64) -> Option<Vec<Hash>> {
    let mut old = usize::try_from(old_size).ok().filter(|old| *old <= leaves.len())?;
    let mut path = Vec::new();
    if old == 0 || old == leaves.len() {
        return Some(path);
    }
    let mut tree = leaves;
    // Whether `tree` still starts where the older tree starts, so that its verifier knows the old root.
    let mut from_start = true;
    while old != tree.len() {
        let (left, right) = split(tree);
        if old <= left.len() {
            path.push(root(right));
            tree = left;
        } else {
            path.push(root(left));
            old -= left.len();
            tree = right;
            from_start = false;
        }
    }
    if !from_start {
        path.push(root(tree));
    }
    path.reverse();
    Some(path)
}

/// Splits at the largest power of two below the length.
fn split(leaves: &[Hash]) -> (&[Hash], &[Hash]) {
    let middle = leaves.len().div_ceil(2).next_power_of_two();
    leaves.split_at(middle.min(leaves.len()))
}

/// Verifies an inclusion proof (RFC 9162 §2.1.3.2).
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Size);
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            climb(&mut at, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// A tree by its size and root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// The number of leaves.
    pub size: u64,
    /// The root.
    pub root: Hash,
}

/// Verifies that `old` is a prefix of `new` (RFC 9162 §2.1.4.2).
pub fn verify_consistency(old: TreeHead, new: TreeHead, path: &[Hash]) -> Result<(), ProofError> {
    if old.size > new.size {
        return Err(ProofError::Size);
    }
    if old.size == new.size || old.size == 0 {
        let same = old.size == 0 && old.root == empty_root() || old == new;
        return match (path.is_empty(), same) {
            (false, _) => Err(ProofError::Length),
            (true, false) => Err(ProofError::Root),
            (true, true) => Ok(()),
        };
    }
    let mut path = path.iter();
    let start = if old.size.is_power_of_two() { Some(&old.root) } else { path.next() };
    let Some(start) = start else { return Err(ProofError::Length) };
    let (mut at, mut last) = (old.size - 1, new.size - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut old_root, mut new_root) = (*start, *start);
    for sibling in path {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if at & 1 == 1 || at == last {
            old_root = node_hash(sibling, &old_root);
            new_root = node_hash(sibling, &new_root);
            climb(&mut at, &mut last);
        } else {
            new_root = node_hash(&new_root, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if old_root == old.root && new_root == new.root { Ok(()) } else { Err(ProofError::Root) }
}

/// Skips the levels at which the rightmost node has no sibling.
fn climb(at: &mut u64, last: &mut u64) {
    while *at & 1 == 0 && *at != 0 {
        *at >>= 1;
        *last >>= 1;
    }
}

#[cfg(test)]
mod tests;
