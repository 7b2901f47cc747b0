//! Generates the Cedar schema of a bundle from its catalogue, as text that
//! people read too. Knows nothing of policies.

use std::collections::BTreeSet;

use bailiwick_model::name::{ActionName, Fact};

use crate::catalogue::Catalogue;

/// What the schema depends on besides the catalogue.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    /// The time zones that the bundle's calendar names: attributes of `context.local`.
    pub zones: BTreeSet<String>,
    /// Facts that are declared elsewhere than in the catalogue.
    pub facts: BTreeSet<Fact>,
}

/// A generated schema.
#[derive(Debug, Clone, Default)]
pub struct GeneratedSchema {
    /// The schema in Cedar's own syntax.
    pub text: String,
    /// The ids of the enum entity `Bailiwick::Fact`; never empty.
    pub facts: BTreeSet<String>,
    /// Actions that only give an empty group a member; no call ever has one of them.
    pub witnesses: BTreeSet<ActionName>,
}

/// The schema of everything that the catalogue can yield.
pub fn generate(catalogue: &Catalogue, vocabulary: &Vocabulary) -> GeneratedSchema {
    let _ = (catalogue, vocabulary);
    GeneratedSchema::default()
}
