//! Growing the Merkle log: durable entries get their leaves, the tree a signed checkpoint.
//!
//! Hashing and signing happen beside the writer, from what is durable already;
//! the writer only keeps the result. The chain has one writer, so the order of the
//! log is the order of the chain.

use std::sync::Arc;

use bailiwick_audit_log::{
    checkpoint::{Checkpoint, VerifierKey},
    merkle::{Frontier, Hash, TreeHead},
};
use bailiwick_ports::{signer::CheckpointSigner, store::StoreError};
use rusqlite::{Connection, params};

use super::{
    checkpoint_note::CheckpointNote,
    failure::{Failure, Step},
    readers::Readers,
    statements,
    turn::{Turn, signed},
    writer::Writer,
};

/// Hashes that are read at once.
const HASHES_MAX: i64 = 16_384;
const HASH_BYTES: usize = 32;

/// Brings the tree up to the chain, signs it if it grew, and publishes the note beside the database.
pub(crate) async fn integrate(
    readers: &Readers,
    writer: &Writer,
    note: &Arc<CheckpointNote>,
    signer: Arc<dyn CheckpointSigner>,
) -> Result<u64, StoreError> {
    let grown = readers.read(grow).await?;
    let (size, from) = (grown.frontier.size(), grown.from);
    if size == from {
        return Ok(size);
    }
    let blocking = Arc::clone(note);
    let signed = run_blocking(move || {
        let tree = TreeHead { size, root: grown.frontier.root() };
        blocking.allows(tree)?;
        sign(tree, signer.as_ref()).map(|text| (grown.frontier, tree, text))
    });
    let (frontier, tree, text) = signed.await?;
    let kept = text.clone();
    writer.write(move |turn| keep(turn, from, &frontier, tree, &kept)).await?;
    let note = Arc::clone(note);
    run_blocking(move || note.publish(tree, &text)).await?;
    Ok(size)
}

async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let stopped = |_| Err(StoreError::Unavailable("the store is closing".to_owned()));
    tokio::task::spawn_blocking(work).await.unwrap_or_else(stopped)
}

/// A tree that has taken in all durable entries.
struct Grown {
    frontier: Frontier,
    from: u64,
}

fn grow(connection: &Connection) -> Step<Grown> {
    let (size, peaks): (i64, Vec<u8>) =
        connection.prepare_cached(statements::TREE)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut frontier = frontier(size, &peaks)?;
    let from = frontier.size();
    let mut statement = connection.prepare_cached(statements::HASHES)?;
    loop {
        let before = frontier.size();
        let hashes = statement.query_map(params![signed(before)?, HASHES_MAX], |row| row.get::<_, Hash>(0))?;
        for hash in hashes {
            frontier.append(hash?);
        }
        if frontier.size() == before {
            return Ok(Grown { frontier, from });
        }
    }
}

fn frontier(size: i64, peaks: &[u8]) -> Step<Frontier> {
    let inconsistent = |column| Failure::from(StoreError::Inconsistent { table: "tree", column, key: "1".to_owned() });
    let size = u64::try_from(size).map_err(|_| inconsistent("size"))?;
    let (hashes, rest) = peaks.as_chunks::<HASH_BYTES>();
    match Frontier::from_peaks(size, hashes.to_vec()) {
        Ok(frontier) if rest.is_empty() => Ok(frontier),
        _ => Err(inconsistent("peaks")),
    }
}

fn sign(tree: TreeHead, signer: &dyn CheckpointSigner) -> Result<String, StoreError> {
    let refused = |error: String| StoreError::Unavailable(format!("the checkpoint is not signed: {error}"));
    let key = VerifierKey::new(&signer.origin(), signer.public_key()).map_err(|error| refused(error.to_string()))?;
    let checkpoint = Checkpoint { origin: signer.origin(), tree };
    checkpoint.sign(&key, &|message| signer.sign(message)).map_err(|error| refused(error.to_string()))
}

fn keep(turn: &mut Turn<'_>, from: u64, frontier: &Frontier, tree: TreeHead, note: &str) -> Step<()> {
    let size = signed(tree.size)?;
    let peaks = frontier.peaks().concat();
    if turn.execute(statements::GROW_TREE, params![size, peaks, signed(from)?])? == 0 {
        return Err(StoreError::Conflict("tree".to_owned()).into());
    }
    turn.insert(statements::INSERT_CHECKPOINT, params![size, tree.root, note], || format!("checkpoint {size}"))
        .map(|_| ())
}
