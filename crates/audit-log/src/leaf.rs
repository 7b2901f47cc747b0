//! The bytes of an event in its place: what is hashed, chained and logged.
//!
//! Final from the first leaf: `leaf/vectors.txt` holds frozen encodings and
//! hashes. A change of format is a new version number, never a change here.
//!
//! The record is a CBOR map with these keys, version first:
//!
//! | key | field | type |
//! |---|---|---|
//! | 0 | version | 1 |
//! | 1 | replica | 16 bytes |
//! | 2 | boot | 16 bytes |
//! | 3 | sequence | unsigned |
//! | 4 | previous | 32 bytes: the hash of the leaf before it in its replica's chain, zeros for the first |
//! | 5 | kind | text |
//! | 6 | id | text |
//! | 7 | at | integer: microseconds since 1970 |
//! | 8 | concludes | text; absent if it concludes nothing |
//! | 9 | body | map of text to value |
//! | 10 | commitments | map of text to 32 bytes |

use std::{collections::BTreeMap, fmt, str::FromStr};

use jiff::Timestamp;

use crate::{
    encode::{Malformed, Reader, TooDeep, Writer, ordered},
    event::AuditEvent,
    merkle::{Hash, leaf_hash},
};

/// The only version there is.
pub const LEAF_VERSION: u64 = 1;

/// Bytes of one leaf: a tile bundle of C2SP tlog-tiles counts them with 16 bits.
pub const LEAF_BYTES_MAX: usize = 65_535;

/// The `previous` of the first leaf of a chain.
pub const CHAIN_START: Hash = [0; 32];

macro_rules! sixteen {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Takes sixteen bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The sixteen bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = hex::FromHexError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; 16];
                hex::decode_to_slice(text, &mut bytes)?;
                Ok(Self(bytes))
            }
        }
    };
}

sixteen!(
    /// A writer of one chain. Lasts as long as its store.
    ReplicaId
);
sixteen!(
    /// One run of a replica, by chance, so that two runs that took the same place are told apart.
    BootNonce
);

/// Where an event lies in the chain of its replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Who wrote it.
    pub replica: ReplicaId,
    /// In which run.
    pub boot: BootNonce,
    /// Its number in the chain, from 0 without gaps, across runs.
    pub sequence: u64,
    /// The hash of the leaf before it, [`CHAIN_START`] for the first.
    pub previous: Hash,
}

/// An event in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Where.
    pub position: Position,
    /// What.
    pub event: AuditEvent,
}

/// An event that cannot become a leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Too much in it: log a commitment to the large part instead.
    #[error("an entry of {0} bytes exceeds the {LEAF_BYTES_MAX} bytes of a leaf")]
    TooLarge(usize),
    /// Too deep.
    #[error(transparent)]
    TooDeep(#[from] TooDeep),
}

/// Bytes that are not a leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than a leaf has.
    #[error("{0} bytes exceed the {LEAF_BYTES_MAX} bytes of a leaf")]
    TooLarge(usize),
    /// Not the CBOR of a leaf.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A version that this program does not know.
    #[error("leaf version {0} is unknown")]
    Version(u64),
    /// The right content in another spelling than the canonical one.
    #[error("the bytes are not the canonical encoding")]
    NotCanonical,
}

impl Leaf {
    /// Its canonical bytes.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        encode(&self.event, &self.position)
    }
}

/// The canonical bytes of an event in its place. Of its time, what is finer than a microsecond is dropped.
pub fn encode(event: &AuditEvent, position: &Position) -> Result<Vec<u8>, EncodeError> {
    let AuditEvent { kind, id, at, concludes, body, commitments } = event;
    let mut writer = Writer::new();
    writer.map(10 + usize::from(concludes.is_some()));
    writer.unsigned(0);
    writer.unsigned(LEAF_VERSION);
    writer.unsigned(1);
    writer.bytes(position.replica.as_bytes());
    writer.unsigned(2);
    writer.bytes(position.boot.as_bytes());
    writer.unsigned(3);
    writer.unsigned(position.sequence);
    writer.unsigned(4);
    writer.bytes(&position.previous);
    writer.unsigned(5);
    writer.text(kind.as_str());
    writer.unsigned(6);
    writer.text(id);
    writer.unsigned(7);
    writer.signed(at.as_microsecond());
    if let Some(concluded) = concludes {
        writer.unsigned(8);
        writer.text(concluded);
    }
    writer.unsigned(9);
    writer.fields(body, 0)?;
    writer.unsigned(10);
    writer.map(commitments.len());
    for (field, commitment) in ordered(commitments) {
        writer.text(field);
        writer.bytes(commitment);
    }
    let bytes = writer.into_bytes();
    if bytes.len() > LEAF_BYTES_MAX { Err(EncodeError::TooLarge(bytes.len())) } else { Ok(bytes) }
}

/// Reads canonical bytes back. Whatever is not exactly what [`encode`] writes is refused.
pub fn decode(bytes: &[u8]) -> Result<Leaf, DecodeError> {
    if bytes.len() > LEAF_BYTES_MAX {
        return Err(DecodeError::TooLarge(bytes.len()));
    }
    let leaf = read(&mut Reader::new(bytes))?;
    match leaf.encode() {
        Ok(again) if again == bytes => Ok(leaf),
        _ => Err(DecodeError::NotCanonical),
    }
}

/// The hash of a leaf with these bytes: its node in the tree and the next one's `previous`.
pub fn hash(bytes: &[u8]) -> Hash {
    leaf_hash(bytes)
}

fn read(reader: &mut Reader<'_>) -> Result<Leaf, DecodeError> {
    let pairs = reader.map()?;
    let with_conclusion = match pairs {
        10 => false,
        11 => true,
        _ => return Ok(reader.fail("a leaf has 10 or 11 fields")?),
    };
    key(reader, 0)?;
    let version = reader.unsigned()?;
    if version != LEAF_VERSION {
        return Err(DecodeError::Version(version));
    }
    key(reader, 1)?;
    let replica = ReplicaId::from_bytes(reader.array_of_bytes()?);
    key(reader, 2)?;
    let boot = BootNonce::from_bytes(reader.array_of_bytes()?);
    key(reader, 3)?;
    let sequence = reader.unsigned()?;
    key(reader, 4)?;
    let previous = reader.array_of_bytes()?;
    key(reader, 5)?;
    let kind = reader.text()?.parse().or_else(|error: crate::event::UnknownKind| reader.fail(error.to_string()))?;
    key(reader, 6)?;
    let id = reader.text()?.to_owned();
    key(reader, 7)?;
    let at = Timestamp::from_microsecond(reader.signed()?).or_else(|_| reader.fail("a time out of range"))?;
    let concludes = if with_conclusion {
        key(reader, 8)?;
        Some(reader.text()?.to_owned())
    } else {
        None
    };
    key(reader, 9)?;
    let body = reader.fields(0)?;
    key(reader, 10)?;
    let mut commitments = BTreeMap::new();
    for _ in 0..reader.map()? {
        let field = reader.text()?.to_owned();
        commitments.insert(field, reader.array_of_bytes()?);
    }
    reader.end()?;
    let position = Position { replica, boot, sequence, previous };
    Ok(Leaf { position, event: AuditEvent { kind, id, at, concludes, body, commitments } })
}

fn key(reader: &mut Reader<'_>, expected: u64) -> Result<(), Malformed> {
    let found = reader.unsigned()?;
    if found == expected { Ok(()) } else { reader.fail(format!("expected field {expected}, found {found}")) }
}

#[cfg(test)]
mod tests;
