//! The auditor's side: an exported log is checked with public keys alone, and
//! whatever was altered, removed, reordered, truncated or forked is named.
//!
//! Feed the lines of an export, or leaves and checkpoints one by one, then
//! [`Verifier::finish`]. Nothing is believed that a key did not sign: without a
//! checkpoint the log is only consistent with itself, and that is a finding.
//!
//! What no verifier can see: entries after the last checkpoint that were cut
//! off, and a whole log rewritten by whoever holds its key, unless an earlier
//! checkpoint was kept elsewhere: give that one as an anchor.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    checkpoint::{Checkpoint, UnverifiedNote, VerifierKey},
    event::EventKind,
    export::Line,
    leaf::{self, Leaf, ReplicaId},
    merkle::{Frontier, Hash},
    render::render,
};

mod chain;
mod finding;

pub use finding::Finding;

/// Findings that are kept; more are only counted.
pub const FINDINGS_MAX: usize = 1_000;

/// What came of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What is wrong. Empty means: this is the log that was signed.
    pub findings: Vec<Finding>,
    /// Findings beyond [`FINDINGS_MAX`].
    pub findings_omitted: u64,
    /// Entries that were read.
    pub entries: u64,
    /// Entries that a checkpoint with a good signature covers.
    pub signed: u64,
    /// Checkpoints with a good signature.
    pub checkpoints: u64,
    /// Chains.
    pub replicas: u64,
    /// Intents without an outcome: calls that may still run, or were cut short.
    pub open_intents: Vec<String>,
    /// The earliest and the latest time that entries give.
    pub period: Option<(Timestamp, Timestamp)>,
}

impl Report {
    /// Whether nothing is wrong, else how much.
    pub fn verdict(&self) -> Result<(), u64> {
        match self.findings.len() as u64 + self.findings_omitted {
            0 => Ok(()),
            wrong => Err(wrong),
        }
    }
}

/// Where a leaf claims to lie, kept until the end.
struct Seen {
    at: u64,
    sequence: u64,
    previous: Hash,
    hash: Hash,
}

/// Takes in a log. Needs about 150 bytes of memory per entry.
pub struct Verifier {
    keys: Vec<VerifierKey>,
    hashes: Vec<Hash>,
    entries: u64,
    next_index: u64,
    unsigned_began: bool,
    chains: BTreeMap<ReplicaId, Vec<Seen>>,
    intents: BTreeSet<String>,
    concluded: BTreeSet<String>,
    checkpoints: Vec<Checkpoint>,
    anchors: Vec<Checkpoint>,
    notes: u64,
    period: Option<(Timestamp, Timestamp)>,
    findings: Findings,
}

#[derive(Default)]
struct Findings {
    kept: Vec<Finding>,
    omitted: u64,
}

impl Findings {
    fn push(&mut self, finding: Finding) {
        if self.kept.len() < FINDINGS_MAX {
            self.kept.push(finding);
        } else {
            self.omitted += 1;
        }
    }
}

impl Verifier {
    /// Believes only signatures of these keys.
    pub fn new(keys: Vec<VerifierKey>) -> Self {
        Self {
            keys,
            hashes: Vec::new(),
            entries: 0,
            next_index: 0,
            unsigned_began: false,
            chains: BTreeMap::new(),
            intents: BTreeSet::new(),
            concluded: BTreeSet::new(),
            checkpoints: Vec::new(),
            anchors: Vec::new(),
            notes: 0,
            period: None,
            findings: Findings::default(),
        }
    }

    /// Takes one line of an export, numbered from 1.
    pub fn line(&mut self, number: u64, text: &str) {
        let read = Line::parse(text).and_then(|line| match line {
            Line::Checkpoint { note } => {
                self.checkpoint(&note);
                Ok(())
            }
            Line::Leaf { index, leaf, entry } => {
                let bytes = Line::bytes(&leaf)?;
                if leaf::decode(&bytes).is_ok_and(|leaf| render(&leaf) != entry) {
                    self.findings.push(Finding::Misrendered { at: self.entries });
                }
                self.leaf(index, &bytes);
                Ok(())
            }
        });
        if let Err(error) = read {
            self.findings.push(Finding::UnreadableLine { line: number, reason: error.to_string() });
        }
    }

    /// Takes a signed note of the log.
    pub fn checkpoint(&mut self, note: &str) {
        self.notes += 1;
        if let Some(checkpoint) = self.accept(note) {
            self.checkpoints.push(checkpoint);
        }
    }

    /// Takes a signed note that was kept elsewhere: the log must contain what it covers.
    pub fn anchor(&mut self, note: &str) {
        self.notes += 1;
        if let Some(checkpoint) = self.accept(note) {
            self.anchors.push(checkpoint);
        }
    }

    fn accept(&mut self, note: &str) -> Option<Checkpoint> {
        match note.parse::<UnverifiedNote>().and_then(|unverified| unverified.verify(&self.keys)) {
            Ok(checkpoint) => Some(checkpoint),
            Err(error) => {
                self.findings.push(Finding::BadCheckpoint { number: self.notes, reason: error.to_string() });
                None
            }
        }
    }

    /// Takes the next leaf, in the order of the log.
    pub fn leaf(&mut self, index: Option<u64>, bytes: &[u8]) {
        let at = self.entries;
        self.entries += 1;
        match index {
            Some(found) => {
                if found != self.next_index || self.unsigned_began {
                    self.findings.push(Finding::Misnumbered { expected: self.next_index, found });
                }
                self.next_index = found.saturating_add(1);
            }
            None => self.unsigned_began = true,
        }
        let hash = leaf::hash(bytes);
        self.hashes.push(hash);
        match leaf::decode(bytes) {
            Ok(leaf) => self.read(at, hash, leaf),
            Err(error) => self.findings.push(Finding::Unreadable { at, reason: error.to_string() }),
        }
    }

    fn read(&mut self, at: u64, hash: Hash, leaf: Leaf) {
        let Leaf { position, event } = leaf;
        let seen = Seen { at, sequence: position.sequence, previous: position.previous, hash };
        self.chains.entry(position.replica).or_default().push(seen);
        let (first, last) = self.period.unwrap_or((event.at, event.at));
        self.period = Some((first.min(event.at), last.max(event.at)));
        match event.kind {
            EventKind::Intent => self.intend(at, event.id),
            EventKind::Outcome => self.conclude(at, event.concludes.unwrap_or_default()),
            _ => {}
        }
    }

    fn intend(&mut self, at: u64, id: String) {
        if self.concluded.contains(&id) || !self.intents.insert(id.clone()) {
            self.findings.push(Finding::RepeatedIntent { at, id });
        }
    }

    fn conclude(&mut self, at: u64, intent: String) {
        if self.intents.remove(&intent) {
            self.concluded.insert(intent);
        } else if self.concluded.contains(&intent) {
            self.findings.push(Finding::ConcludedTwice { at, intent });
        } else {
            self.findings.push(Finding::OrphanOutcome { at, intent });
        }
    }

    /// Compares everything that was fed with everything that was signed.
    pub fn finish(mut self) -> Report {
        let replicas = self.chains.len() as u64;
        for (replica, seen) in std::mem::take(&mut self.chains) {
            chain::check(replica, seen, &mut self.findings);
        }
        let signed = self.compare_roots();
        if self.checkpoints.is_empty() && self.anchors.is_empty() && self.entries > 0 {
            self.findings.push(Finding::Unsigned { entries: self.entries });
        }
        Report {
            findings: self.findings.kept,
            findings_omitted: self.findings.omitted,
            entries: self.entries,
            signed,
            checkpoints: self.checkpoints.len() as u64,
            replicas,
            open_intents: self.intents.into_iter().collect(),
            period: self.period,
        }
    }

    /// Computes the root at every signed size in one pass, which also proves
    /// all checkpoints consistent with each other. Returns the largest size that holds.
    fn compare_roots(&mut self) -> u64 {
        let mut all: Vec<(&Checkpoint, bool)> = self.checkpoints.iter().map(|checkpoint| (checkpoint, false)).collect();
        all.extend(self.anchors.iter().map(|checkpoint| (checkpoint, true)));
        all.sort_by_key(|(checkpoint, _)| checkpoint.tree.size);
        let mut leaves = self.hashes.iter();
        let mut frontier = Frontier::default();
        let mut holds_to = 0;
        let mut last: Option<&Checkpoint> = None;
        for (checkpoint, is_anchor) in all {
            let size = checkpoint.tree.size;
            if let Some(other) = last.filter(|other| other.tree.size == size && other.tree.root != checkpoint.tree.root)
            {
                self.findings.push(Finding::ForkedCheckpoints { size: other.tree.size });
            }
            last = Some(checkpoint);
            while frontier.size() < size {
                let Some(leaf) = leaves.next() else { break };
                frontier.append(*leaf);
            }
            if frontier.size() < size {
                self.findings.push(Finding::Truncated { signed: size, found: self.entries });
            } else if frontier.root() == checkpoint.tree.root {
                holds_to = size;
            } else if is_anchor {
                self.findings.push(Finding::Rewritten { size });
            } else {
                self.findings.push(Finding::RootMismatch { size, after: holds_to });
            }
        }
        holds_to
    }
}

#[cfg(test)]
pub(crate) mod tests;
