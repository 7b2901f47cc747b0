//! The log as lines of JSON: what `audit export` writes and `audit verify` reads.
//!
//! ```json
//! {"type":"checkpoint","note":"bailiwick.example/log\n2\n…\n\n— bailiwick.example/log …\n"}
//! {"type":"leaf","index":0,"leaf":"<base64 of the canonical bytes>","entry":{ …the same, readable… }}
//! ```
//!
//! Leaves stand in the order of their index; those without one, at the end, are
//! durable but not yet under a checkpoint. The readable part is verified to be
//! what the bytes say.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

use crate::{leaf, render::render};

/// Bytes of one line: a leaf in base64 and once more readable, which escapes may make longer.
pub const LINE_BYTES_MAX: usize = 1_024 * 1_024;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Line {
    /// A signed note.
    Checkpoint {
        /// Its text.
        note: String,
    },
    /// An entry.
    Leaf {
        /// Its index in the log; `null` if no checkpoint covers it yet.
        index: Option<u64>,
        /// Its canonical bytes in base64.
        leaf: String,
        /// The same for people; `null` if the bytes cannot be read.
        entry: serde_json::Value,
    },
}

/// A line that is none of an export.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than any line that was exported.
    #[error("a line exceeds {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// Not JSON, or not one of ours.
    #[error("not a line of an export: {0}")]
    Malformed(String),
}

impl Line {
    /// The line of a leaf.
    pub fn of_leaf(index: Option<u64>, bytes: &[u8]) -> Self {
        let entry = leaf::decode(bytes).map_or(serde_json::Value::Null, |leaf| render(&leaf));
        Self::Leaf { index, leaf: BASE64.encode(bytes), entry }
    }

    /// The text without a newline.
    pub fn to_text(&self) -> String {
        // Only maps with keys that are not text, and failing writers, fail here: there are none.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads one line.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        if text.len() > LINE_BYTES_MAX {
            return Err(LineError::TooLong);
        }
        serde_json::from_str(text).map_err(|error| LineError::Malformed(error.to_string()))
    }

    /// The bytes of a leaf's base64.
    pub(crate) fn bytes(leaf: &str) -> Result<Vec<u8>, LineError> {
        BASE64.decode(leaf).map_err(|error| LineError::Malformed(error.to_string()))
    }
}
