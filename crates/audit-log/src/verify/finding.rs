//! What can be wrong with a log, each named so that an auditor knows where to look.

use std::fmt;

use crate::leaf::ReplicaId;

/// One thing that is wrong. `at` counts the entries that were read, from 0: in an unharmed log it is the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A line that is none of an export.
    UnreadableLine {
        /// From 1.
        line: u64,
        /// Why.
        reason: String,
    },
    /// Bytes that are not a leaf.
    Unreadable {
        /// Which entry.
        at: u64,
        /// Why.
        reason: String,
    },
    /// The readable part of a line is not what its bytes say.
    Misrendered {
        /// Which entry.
        at: u64,
    },
    /// An index that does not follow the one before.
    Misnumbered {
        /// What it should be.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// The entry's bytes are not those that its successor was chained to.
    Altered {
        /// Which entry.
        at: u64,
        /// In whose chain.
        replica: ReplicaId,
        /// Its number there.
        sequence: u64,
        /// Whether its successor, the last of its chain, may be the altered one instead.
        or_next: bool,
    },
    /// Entries of a chain are missing.
    Removed {
        /// From whose chain.
        replica: ReplicaId,
        /// The first one's number.
        first: u64,
        /// The last one's number.
        last: u64,
    },
    /// An entry stands after one that came later.
    Reordered {
        /// Which entry.
        at: u64,
        /// In whose chain.
        replica: ReplicaId,
        /// Its number there.
        sequence: u64,
    },
    /// Two entries claim the same place in one chain: a copy, or two runs from one backup.
    Forked {
        /// In whose chain.
        replica: ReplicaId,
        /// The number that both claim.
        sequence: u64,
        /// The first of them.
        first_at: u64,
        /// The second of them.
        second_at: u64,
    },
    /// More entries were signed than are here.
    Truncated {
        /// So many were signed.
        signed: u64,
        /// So many are here.
        found: u64,
    },
    /// The entries are not those that the checkpoint signs.
    RootMismatch {
        /// The checkpoint's size.
        size: u64,
        /// Entries before this index are as signed; the altered ones are among those from it on.
        after: u64,
    },
    /// The entries are not those that an anchor signs: history was rewritten after it was kept.
    Rewritten {
        /// The anchor's size.
        size: u64,
    },
    /// Two good signatures over different trees of one size: the log showed two histories.
    ForkedCheckpoints {
        /// Their size.
        size: u64,
    },
    /// A checkpoint that does not count.
    BadCheckpoint {
        /// From 1, in the order in which they were given.
        number: u64,
        /// Why.
        reason: String,
    },
    /// No checkpoint with a good signature: anybody could have written this log.
    Unsigned {
        /// So many entries.
        entries: u64,
    },
    /// An outcome of an intent that is not in the log before it.
    OrphanOutcome {
        /// Which entry.
        at: u64,
        /// The intent that it names.
        intent: String,
    },
    /// A second outcome of one intent.
    ConcludedTwice {
        /// Which entry.
        at: u64,
        /// The intent.
        intent: String,
    },
    /// A second intent of one id.
    RepeatedIntent {
        /// Which entry.
        at: u64,
        /// The id.
        id: String,
    },
}

impl Finding {
    /// One word for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnreadableLine { .. } => "unreadable_line",
            Self::Unreadable { .. } => "unreadable",
            Self::Misrendered { .. } => "misrendered",
            Self::Misnumbered { .. } => "misnumbered",
            Self::Altered { .. } => "altered",
            Self::Removed { .. } => "removed",
            Self::Reordered { .. } => "reordered",
            Self::Forked { .. } => "forked",
            Self::Truncated { .. } => "truncated",
            Self::RootMismatch { .. } => "root_mismatch",
            Self::Rewritten { .. } => "rewritten",
            Self::ForkedCheckpoints { .. } => "forked_checkpoints",
            Self::BadCheckpoint { .. } => "bad_checkpoint",
            Self::Unsigned { .. } => "unsigned",
            Self::OrphanOutcome { .. } => "orphan_outcome",
            Self::ConcludedTwice { .. } => "concluded_twice",
            Self::RepeatedIntent { .. } => "repeated_intent",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnreadableLine { line, reason } => write!(f, "line {line}: {reason}"),
            Self::Unreadable { at, reason } => write!(f, "entry {at} was altered: it cannot be read ({reason})"),
            Self::Misrendered { at } => write!(f, "entry {at}: the readable part is not what its bytes say"),
            Self::Misnumbered { expected, found } => write!(f, "index {found} stands where {expected} belongs"),
            Self::Altered { at, replica, sequence, or_next: false } => {
                write!(f, "entry {at} (number {sequence} of replica {replica}) was altered")
            }
            Self::Altered { at, replica, sequence, or_next: true } => {
                write!(f, "entry {at} (number {sequence} of replica {replica}) or the next of its chain was altered")
            }
            Self::Removed { replica, first, last } if first == last => {
                write!(f, "number {first} of replica {replica} was removed")
            }
            Self::Removed { replica, first, last } => {
                write!(f, "numbers {first} to {last} of replica {replica} were removed")
            }
            Self::Reordered { at, replica, sequence } => {
                write!(f, "entry {at} (number {sequence} of replica {replica}) was moved behind a later one")
            }
            Self::Forked { replica, sequence, first_at, second_at } => write!(
                f,
                "entries {first_at} and {second_at} both claim number {sequence} of replica {replica}: the chain forked"
            ),
            Self::Truncated { signed, found } => {
                write!(f, "the log was cut off: {signed} entries were signed, {found} are here")
            }
            Self::RootMismatch { size, after } => {
                write!(f, "entries {after} to {} are not those that the checkpoint of size {size} signs", size - 1)
            }
            Self::Rewritten { size } => {
                write!(f, "the first {size} entries are not those of the anchor: history was rewritten")
            }
            Self::ForkedCheckpoints { size } => {
                write!(f, "two different logs of size {size} were signed: the log forked")
            }
            Self::BadCheckpoint { number, reason } => write!(f, "checkpoint {number} does not count: {reason}"),
            Self::Unsigned { entries } => write!(f, "none of the {entries} entries is under a good signature"),
            Self::OrphanOutcome { at, intent } => {
                write!(f, "entry {at} concludes `{intent}`, which is not an intent before it")
            }
            Self::ConcludedTwice { at, intent } => write!(f, "entry {at} concludes `{intent}` a second time"),
            Self::RepeatedIntent { at, id } => write!(f, "entry {at} repeats intent `{id}`"),
        }
    }
}
