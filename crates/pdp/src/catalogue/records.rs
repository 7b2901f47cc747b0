//! Record types: what the mappings of one system's tools say of the same type,
//! brought together.

use std::collections::BTreeMap;

use super::{RecordMapping, Tool};
use crate::{
    catalogue::ArgumentPath,
    finding::Finding,
    json_schema::{Attribute, RecordType, Type},
};

/// Names that Cedar or we give a meaning.
pub(super) const RESERVED_NAMESPACES: [&str; 2] = ["Bailiwick", "Action"];
/// Names that Cedar refuses for a record type, or that would hide one of its own types.
const RESERVED_TYPES: [&str; 7] = ["Action", "Bool", "Boolean", "EntityOrCommon", "Long", "Set", "String"];
/// Bytes of one record type's name.
const TYPE_NAME_BYTES_MAX: usize = 64;
/// The attribute that every record has: its id as text, for `like`.
pub(crate) const ID: &str = "id";

/// Whether a record type can have this name.
pub(super) fn is_type_name(name: &str) -> bool {
    name.len() <= TYPE_NAME_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && !RESERVED_TYPES.contains(&name)
}

/// The type of what an argument path names for one operation, and whether it
/// is always there. A path that starts at a fanned-out array names a part of
/// one element.
pub(super) fn subject<'a>(input: &'a RecordType, each: &[String], path: &ArgumentPath) -> Option<(&'a Type, bool)> {
    let place = input.find(path.steps())?;
    if !each.iter().any(|each| each == path.argument()) {
        return (place.arrays == 0).then_some((place.kind, place.always));
    }
    // Elements of the only array are there whenever there is an operation at all.
    let only = each.len() == 1;
    match (path.steps().len(), place.kind) {
        (1, Type::Set(element)) => Some((element, only)),
        (1, _) => None,
        _ if place.arrays == 1 => {
            let Type::Set(element) = input.find(path.steps().get(..1)?)?.kind else { return None };
            let Type::Record(element) = element.as_ref() else { return None };
            Some((place.kind, only && element.find(path.steps().get(1..)?)?.always))
        }
        _ => None,
    }
}

/// The record types of a system. An attribute that some mapping of a type does
/// not always give is optional.
pub(super) fn collect<'a>(
    file: &str,
    tools: impl Iterator<Item = &'a Tool>,
    findings: &mut Vec<Finding>,
) -> BTreeMap<String, RecordType> {
    let mapped: Vec<(&Tool, &RecordMapping)> =
        tools.filter_map(|tool| tool.records.as_ref().map(|mapping| (tool, mapping))).collect();
    let mut types: BTreeMap<String, RecordType> = BTreeMap::new();
    for (tool, mapping) in &mapped {
        let record = types.entry(mapping.type_name.clone()).or_insert_with(|| {
            let id = Attribute::Typed { kind: Type::String, required: true, nullable: false };
            RecordType { attributes: BTreeMap::from([(ID.to_owned(), id)]), open: false }
        });
        for (name, path) in &mapping.attributes {
            let Some((kind, always)) = subject(&tool.input, &mapping.each, path) else { continue };
            let given = Attribute::Typed { kind: kind.clone(), required: always, nullable: false };
            match record.attributes.entry(name.clone()).or_insert(given) {
                Attribute::Typed { kind: known, required, .. } if known == kind => *required &= always,
                _ => {
                    let message = format!(
                        "attribute `{name}` of `{}` has another type in tool `{}` than elsewhere",
                        mapping.type_name, tool.name
                    );
                    findings.push(Finding::error("record-attribute", file, message));
                }
            }
        }
    }
    for (_, mapping) in &mapped {
        let Some(record) = types.get_mut(&mapping.type_name) else { continue };
        for (name, attribute) in &mut record.attributes {
            if let Attribute::Typed { required, .. } = attribute
                && name != ID
                && !mapping.attributes.contains_key(name)
            {
                *required = false;
            }
        }
    }
    types
}
