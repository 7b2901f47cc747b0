//! Evidence that a stranger can verify: canonical records, a gap-free hash
//! chain per replica, one RFC 6962 Merkle log over all of them, signed checkpoints.
//!
//! Pure: bytes in, bytes out. Nothing here reads a clock, a file or a socket.
//!
//! | module | holds |
//! |---|---|
//! | [`event`] | what happened, before it has a place |
//! | [`encode`], [`leaf`] | the canonical bytes of an event in its place, frozen |
//! | [`commit`] | salted commitments to values that the log must not hold |
//! | [`merkle`] | RFC 6962 hashing, proofs, and the frontier that makes appending cheap |
//! | [`checkpoint`] | signed notes over the tree |
//! | [`proof`] | one entry's proof as a text file |
//! | [`export`], [`render`] | the log as lines of JSON |
//! | [`verify`] | the auditor's side: names what was altered, removed, reordered or forked |
//!
//! The life of an entry: an [`event::AuditEvent`] gets a [`leaf::Position`] from
//! the store, [`leaf::encode`] makes its bytes, [`merkle::leaf_hash`] of these
//! is both the next entry's `previous` and the leaf of the tree.

pub mod checkpoint;
pub mod commit;
pub mod encode;
pub mod event;
pub mod export;
pub mod leaf;
pub mod merkle;
pub mod proof;
pub mod render;
pub mod verify;
