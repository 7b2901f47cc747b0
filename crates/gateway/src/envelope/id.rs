//! The id of a JSON-RPC message: kept as it was written, compared by what it
//! means. Floats and `null` are no ids.

use std::{fmt, hash};

use super::ID_BYTES_MAX;

/// A message id: a string or an integer.
#[derive(Clone)]
pub struct Id {
    raw: Box<str>,
    text: Option<Box<str>>,
}

impl Id {
    /// Takes the raw JSON of an id.
    pub fn parse(raw: &str) -> Option<Self> {
        if raw.len() > ID_BYTES_MAX {
            return None;
        }
        let text = if raw.starts_with('"') {
            Some(serde_json::from_str::<Box<str>>(raw).ok()?)
        } else {
            let digits = raw.strip_prefix('-').unwrap_or(raw);
            let canonical = digits == "0" || !digits.starts_with('0');
            if digits.is_empty() || !canonical || raw == "-0" || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            None
        };
        Some(Self { raw: raw.into(), text })
    }

    /// The id as it was written, to be given back byte for byte.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// The id as a number of ours, if it can be one.
    pub(crate) fn number(&self) -> Option<u64> {
        if self.text.is_some() { None } else { self.raw.parse().ok() }
    }

    fn meaning(&self) -> (bool, &str) {
        self.text.as_ref().map_or((false, &*self.raw), |text| (true, &**text))
    }
}

impl From<u64> for Id {
    fn from(number: u64) -> Self {
        Self { raw: number.to_string().into(), text: None }
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.meaning() == other.meaning()
    }
}

impl Eq for Id {}

impl hash::Hash for Id {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.meaning().hash(state);
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.raw)
    }
}
