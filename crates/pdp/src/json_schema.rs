//! Reads the JSON Schema of a tool's input (draft-07 and 2020-12 alike) as
//! far as Cedar can express it. What it cannot express becomes opaque. Follows
//! local references only; must never fetch anything.

mod read;

use std::collections::BTreeMap;

pub use self::read::{Shape, read};

/// Nesting of one tool's input that is typed; what lies deeper is opaque.
pub const TYPE_DEPTH_MAX: usize = 8;
/// Typed attributes of one tool's input, nested ones included; what comes after is opaque.
pub const TYPE_ATTRIBUTES_MAX: usize = 1_000;

/// What a value is, as policy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Cedar `Bool`.
    Bool,
    /// Cedar `Long`.
    Long,
    /// Cedar `decimal`: a JSON number that the catalogue declares so.
    Decimal,
    /// Cedar `String`.
    String,
    /// Cedar `Set`.
    Set(Box<Type>),
    /// Cedar record.
    Record(RecordType),
}

/// A JSON object with typed members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordType {
    /// Members by name. Those that policy cannot see are present as [`Attribute::Opaque`].
    pub attributes: BTreeMap<String, Attribute>,
    /// Whether members that are not declared are let through, unseen by policy.
    pub open: bool,
}

/// One declared member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// Visible to policy.
    Typed {
        /// What it is.
        kind: Type,
        /// Whether it is always there.
        required: bool,
        /// Whether JSON `null` stands for its absence.
        nullable: bool,
    },
    /// Not visible to policy.
    Opaque,
}

/// What stands at a place inside an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// What it is.
    pub kind: &'a Type,
    /// Whether it is always there.
    pub always: bool,
    /// Arrays on the way: the place stands for each of their elements.
    pub arrays: usize,
}

impl RecordType {
    /// What stands where these names lead, if policy can see it.
    pub fn find(&self, steps: &[String]) -> Option<Place<'_>> {
        let (first, rest) = steps.split_first()?;
        let Attribute::Typed { kind, required, nullable } = self.attributes.get(first)? else { return None };
        let always = *required && !*nullable;
        if rest.is_empty() {
            return Some(Place { kind, always, arrays: 0 });
        }
        let (record, arrays) = match kind {
            Type::Record(record) => (record, 0),
            Type::Set(element) => match element.as_ref() {
                Type::Record(record) => (record, 1),
                _ => return None,
            },
            _ => return None,
        };
        let place = record.find(rest)?;
        Some(Place { always: always && place.always, arrays: place.arrays + arrays, ..place })
    }
}

#[cfg(test)]
mod tests;
