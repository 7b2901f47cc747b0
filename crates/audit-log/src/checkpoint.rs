//! Checkpoints: signed statements "the log of this origin has this many leaves
//! and this root", as C2SP tlog-checkpoint in a C2SP signed-note with Ed25519.
//!
//! What is read is [`UnverifiedNote`] until a known key's signature holds; only
//! then there is a [`Checkpoint`] to rely on. Private keys never come here:
//! signing is a function that is passed in.

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{ED25519, UnparsedPublicKey},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use crate::merkle::{Hash, TreeHead};

/// Bytes of one signed note.
pub const NOTE_BYTES_MAX: usize = 16 * 1_024;
/// Signature lines of one note: the log's own and those of witnesses.
pub const NOTE_SIGNATURES_MAX: usize = 32;

/// The signature type of Ed25519 in signed-note.
const ED25519_TYPE: u8 = 1;
const SIGNATURE_START: &str = "\u{2014} ";

/// Makes the 64-byte Ed25519 signature over a note's text, wherever the private key lies.
pub type Sign<'a, E> = &'a dyn Fn(&[u8]) -> Result<[u8; 64], E>;

/// A log's state, signed or about to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: also the name of its key. Never used again for another log.
    pub origin: String,
    /// How many leaves, and their root.
    pub tree: TreeHead,
}

/// Why a note was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not the text of a signed checkpoint.
    #[error("the checkpoint is not well-formed: {0}")]
    Malformed(&'static str),
    /// No signature of a key that was given.
    #[error("the checkpoint is not signed by a known key")]
    UnknownKey,
    /// A known key's signature does not hold.
    #[error("the checkpoint's signature by `{0}` does not hold")]
    Signature(String),
    /// Signed by a known key, but of another log than that key's.
    #[error("the checkpoint is of log `{found}`, but signed by the key of `{expected}`")]
    Origin {
        /// The key's name.
        expected: String,
        /// The note's origin.
        found: String,
    },
}

/// A log's public key under its name, written `<name>+<key id>+<key>` as signed-note's verifier keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public_key: [u8; 32],
}

/// A name or verifier key that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Empty, or with spaces, `+` or control characters in it.
    #[error("`{0}` cannot name a log: use a schema-less URL such as `example.com/log`")]
    Name(String),
    /// Not `<name>+<key id>+<key>`, or its parts disagree.
    #[error("not a verifier key: expected `<name>+<8 hex digits>+<base64>` of an Ed25519 key")]
    Malformed,
}

impl VerifierKey {
    /// An Ed25519 key under the name of its log.
    pub fn new(name: &str, public_key: [u8; 32]) -> Result<Self, KeyError> {
        if is_name(name) {
            Ok(Self { name: name.to_owned(), public_key })
        } else {
            Err(KeyError::Name(name.chars().take(80).collect()))
        }
    }

    /// The log's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The 32 bytes of the Ed25519 public key.
    pub const fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// The first four bytes of `SHA-256(name || 0x0A || 0x01 || key)`.
    pub fn id(&self) -> [u8; 4] {
        let mut message = format!("{}\n", self.name).into_bytes();
        message.push(ED25519_TYPE);
        message.extend_from_slice(&self.public_key);
        let hash = digest(&SHA256, &message);
        let mut id = [0; 4];
        id.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        id
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519_TYPE];
        key.extend_from_slice(&self.public_key);
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id()), BASE64.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        // Base64 has `+` in its alphabet, so only the first two of them separate.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Malformed);
        };
        let key = BASE64.decode(key).map_err(|_| KeyError::Malformed)?;
        let Some((&ED25519_TYPE, key)) = key.split_first() else { return Err(KeyError::Malformed) };
        let public_key = key.try_into().map_err(|_| KeyError::Malformed)?;
        let verifier = Self::new(name, public_key)?;
        if hex::encode(verifier.id()) == id { Ok(verifier) } else { Err(KeyError::Malformed) }
    }
}

/// Neither empty nor with anything that would break a note's lines apart.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 256 && !name.contains(|c: char| c == '+' || c.is_whitespace() || c.is_control())
}

impl Checkpoint {
    /// The note's text, which is what gets signed: three lines, each with its newline.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.tree.size, BASE64.encode(self.tree.root))
    }

    /// The signed note: the text, an empty line, and one signature line by `key`, which `sign` makes.
    pub fn sign<E>(&self, key: &VerifierKey, sign: Sign<'_, E>) -> Result<String, E> {
        let text = self.text();
        let mut blob = key.id().to_vec();
        blob.extend_from_slice(&sign(text.as_bytes())?);
        Ok(format!("{text}\n{SIGNATURE_START}{} {}\n", key.name, BASE64.encode(blob)))
    }
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    name: String,
    key_id: [u8; 4],
    bytes: Vec<u8>,
}

/// A well-formed note that nobody vouched for yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedNote {
    text: String,
    claimed: Checkpoint,
    signatures: Vec<Signature>,
}

impl UnverifiedNote {
    /// What it claims. Only to be compared with, or shown as a claim.
    pub const fn claimed(&self) -> &Checkpoint {
        &self.claimed
    }

    /// Takes the checkpoint if a given key signed it and no given key's signature fails.
    pub fn verify(self, keys: &[VerifierKey]) -> Result<Checkpoint, NoteError> {
        let mut signed_by = None;
        for signature in &self.signatures {
            let Some(key) = keys.iter().find(|key| key.name == signature.name && key.id() == signature.key_id) else {
                continue;
            };
            UnparsedPublicKey::new(&ED25519, key.public_key)
                .verify(self.text.as_bytes(), &signature.bytes)
                .map_err(|_| NoteError::Signature(key.name.clone()))?;
            signed_by = Some(key);
        }
        let key = signed_by.ok_or(NoteError::UnknownKey)?;
        if key.name == self.claimed.origin {
            Ok(self.claimed)
        } else {
            Err(NoteError::Origin { expected: key.name.clone(), found: self.claimed.origin })
        }
    }
}

impl FromStr for UnverifiedNote {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Malformed("too long"));
        }
        if note.contains(|c: char| c.is_ascii_control() && c != '\n') {
            return Err(NoteError::Malformed("control characters"));
        }
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed("no signature"))?;
        let text = format!("{text}\n");
        let claimed = parse_text(&text)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed("no newline at the end"))?;
        let signatures = lines.split('\n').map(parse_signature).collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > NOTE_SIGNATURES_MAX {
            return Err(NoteError::Malformed("too many signatures"));
        }
        Ok(Self { text, claimed, signatures })
    }
}

fn parse_text(text: &str) -> Result<Checkpoint, NoteError> {
    let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
        return Err(NoteError::Malformed("fewer than three lines"));
    };
    if origin.is_empty() || lines.any(str::is_empty) {
        return Err(NoteError::Malformed("an empty line"));
    }
    let number = size.parse::<u64>().map_err(|_| NoteError::Malformed("the size is not a number"))?;
    if number.to_string() != size {
        return Err(NoteError::Malformed("the size is not in its shortest form"));
    }
    let root = parse_hash(root).ok_or(NoteError::Malformed("the root is not 32 bytes in base64"))?;
    Ok(Checkpoint { origin: origin.to_owned(), tree: TreeHead { size: number, root } })
}

fn parse_signature(line: &str) -> Result<Signature, NoteError> {
    let malformed = NoteError::Malformed("a signature line");
    let Some((name, blob)) = line.strip_prefix(SIGNATURE_START).and_then(|rest| rest.split_once(' ')) else {
        return Err(malformed);
    };
    let blob = BASE64.decode(blob).map_err(|_| malformed.clone())?;
    match blob.split_first_chunk::<4>() {
        Some((key_id, bytes)) if is_name(name) && !bytes.is_empty() => {
            Ok(Signature { name: name.to_owned(), key_id: *key_id, bytes: bytes.to_vec() })
        }
        _ => Err(malformed),
    }
}

/// 32 bytes in base64, padded and canonical.
pub(crate) fn parse_hash(text: &str) -> Option<Hash> {
    BASE64.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests;
