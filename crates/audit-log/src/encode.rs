//! Deterministic CBOR (RFC 8949 §4.2.1) for public values: shortest heads,
//! definite lengths, map keys in the bytewise order of their encodings.
//!
//! Reading is strict by construction: [`crate::leaf::decode`] encodes again what
//! it read and refuses bytes that differ. Nothing here may accept two spellings
//! of one value.

use std::collections::BTreeMap;

use minicbor::{Decoder, Encoder, data::Type};

use crate::event::Canonical;

/// Arrays and maps inside one another, the outermost included.
pub const CANONICAL_DEPTH_MAX: usize = 16;

/// A value nested deeper than [`CANONICAL_DEPTH_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a public value nests at most {CANONICAL_DEPTH_MAX} arrays and maps")]
pub struct TooDeep;

/// Bytes that are not the CBOR that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {problem}")]
pub struct Malformed {
    /// Where reading stopped.
    pub offset: usize,
    /// What is wrong there.
    pub problem: String,
}

/// Writes into memory, which cannot fail.
pub(crate) struct Writer(Encoder<Vec<u8>>);

/// Unwraps a write into a `Vec`, whose error type has no values.
macro_rules! infallible {
    ($result:expr) => {
        match $result {
            Ok(_) => (),
            // `Vec` never fails to take bytes, and every length is definite.
            Err(_) => unreachable!("writing into memory cannot fail"),
        }
    };
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self(Encoder::new(Vec::with_capacity(512)))
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0.into_writer()
    }

    pub(crate) fn map(&mut self, len: usize) {
        infallible!(self.0.map(len as u64));
    }

    pub(crate) fn unsigned(&mut self, number: u64) {
        infallible!(self.0.u64(number));
    }

    pub(crate) fn signed(&mut self, number: i64) {
        infallible!(self.0.i64(number));
    }

    pub(crate) fn text(&mut self, text: &str) {
        infallible!(self.0.str(text));
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        infallible!(self.0.bytes(bytes));
    }

    pub(crate) fn value(&mut self, value: &Canonical, depth: usize) -> Result<(), TooDeep> {
        match value {
            Canonical::Bool(flag) => infallible!(self.0.bool(*flag)),
            Canonical::Int(number) => self.signed(*number),
            Canonical::Text(text) => self.text(text),
            Canonical::Bytes(bytes) => self.bytes(bytes),
            Canonical::Array(items) => {
                let depth = deeper(depth)?;
                infallible!(self.0.array(items.len() as u64));
                items.iter().try_for_each(|item| self.value(item, depth))?;
            }
            Canonical::Map(map) => self.fields(map, depth)?,
        }
        Ok(())
    }

    pub(crate) fn fields(&mut self, map: &BTreeMap<String, Canonical>, depth: usize) -> Result<(), TooDeep> {
        let depth = deeper(depth)?;
        self.map(map.len());
        for (key, value) in ordered(map) {
            self.text(key);
            self.value(value, depth)?;
        }
        Ok(())
    }
}

/// The bytewise order of encoded text keys: their heads hold the length, so shorter ones come first.
pub(crate) fn ordered<V>(map: &BTreeMap<String, V>) -> Vec<(&String, &V)> {
    let mut pairs: Vec<_> = map.iter().collect();
    pairs.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    pairs
}

fn deeper(depth: usize) -> Result<usize, TooDeep> {
    if depth >= CANONICAL_DEPTH_MAX { Err(TooDeep) } else { Ok(depth + 1) }
}

/// Reads CBOR without ever trusting a length to allocate by.
pub(crate) struct Reader<'b>(Decoder<'b>);

impl<'b> Reader<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self(Decoder::new(bytes))
    }

    pub(crate) fn fail<T>(&self, problem: impl Into<String>) -> Result<T, Malformed> {
        Err(Malformed { offset: self.0.position(), problem: problem.into() })
    }

    fn read<T>(
        &mut self,
        expected: &str,
        read: impl FnOnce(&mut Decoder<'b>) -> Result<T, minicbor::decode::Error>,
    ) -> Result<T, Malformed> {
        let offset = self.0.position();
        read(&mut self.0).map_err(|_| Malformed { offset, problem: format!("expected {expected}") })
    }

    pub(crate) fn unsigned(&mut self) -> Result<u64, Malformed> {
        self.read("an unsigned integer", Decoder::u64)
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Malformed> {
        self.read("a 64-bit integer", Decoder::i64)
    }

    pub(crate) fn text(&mut self) -> Result<&'b str, Malformed> {
        self.read("a text", Decoder::str)
    }

    pub(crate) fn array_of_bytes<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.read("a byte string", Decoder::bytes)?;
        bytes.try_into().or_else(|_| self.fail(format!("expected {N} bytes")))
    }

    /// The number of pairs of a map.
    pub(crate) fn map(&mut self) -> Result<u64, Malformed> {
        let len = self.read("a map", Decoder::map)?;
        len.map_or_else(|| self.fail("a map of indefinite length"), Ok)
    }

    pub(crate) fn value(&mut self, depth: usize) -> Result<Canonical, Malformed> {
        let kind = self.read("a value", |decoder| decoder.datatype())?;
        match kind {
            Type::Bool => Ok(Canonical::Bool(self.read("a boolean", Decoder::bool)?)),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
                Ok(Canonical::Int(self.signed()?))
            }
            Type::String => Ok(Canonical::Text(self.text()?.to_owned())),
            Type::Bytes => Ok(Canonical::Bytes(self.read("a byte string", Decoder::bytes)?.to_vec())),
            Type::Array => {
                let depth = deeper(depth).or_else(|error| self.fail(error.to_string()))?;
                let len = self.read("an array", Decoder::array)?;
                let Some(len) = len else { return self.fail("an array of indefinite length") };
                (0..len).map(|_| self.value(depth)).collect::<Result<_, _>>().map(Canonical::Array)
            }
            Type::Map => self.fields(depth).map(Canonical::Map),
            other => self.fail(format!("a value of type {other} has no place in a leaf")),
        }
    }

    pub(crate) fn fields(&mut self, depth: usize) -> Result<BTreeMap<String, Canonical>, Malformed> {
        let depth = deeper(depth).or_else(|error| self.fail(error.to_string()))?;
        let len = self.map()?;
        let mut map = BTreeMap::new();
        for _ in 0..len {
            let key = self.text()?.to_owned();
            let value = self.value(depth)?;
            map.insert(key, value);
        }
        Ok(map)
    }

    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.0.position() == self.0.input().len() { Ok(()) } else { self.fail("bytes after the end") }
    }
}
