//! Whether a context or an entity is what the schema says, seen at a glance. Says yes only where Cedar's own check does;
//! to whatever is left, that one answers.

use cedar_policy_core::{
    ast::{Context, Entity, EntityUID, Literal, PartialValue, Value, ValueKind},
    validator::{
        ValidatorEntityTypeKind, ValidatorSchema,
        types::{BoolType, EntityKind, Type},
    },
};

/// Whether every value of `context` is plainly of its type. Cedar's check makes an expression of each value first, which
/// takes longer than to evaluate the policies. `known` tells of an entity that the bundle has.
pub(super) fn plainly_fits(context: &Context, expected: &Type, known: &impl Fn(&EntityUID) -> bool) -> bool {
    match (context, expected) {
        (Context::Value(members), Type::Record { .. }) => is(&ValueKind::Record(members.clone()), expected, known),
        _ => false,
    }
}

/// Whether an entity plainly has the attributes of its type and no others, and hangs where its type may.
pub(super) fn plainly_conforms(entity: &Entity, schema: &ValidatorSchema, known: &impl Fn(&EntityUID) -> bool) -> bool {
    let entity_type = entity.uid().entity_type();
    let Some(declared) = schema.get_entity_type(entity_type) else { return false };
    let standard = |kind: &ValidatorEntityTypeKind| matches!(kind, ValidatorEntityTypeKind::Standard(_));
    let attributes = declared.attributes();
    let hangs = |above: &EntityUID| {
        let above_type = schema.get_entity_type(above.entity_type());
        above_type.is_some_and(|above_type| {
            above_type.has_descendant_entity_type(entity_type) && (standard(&above_type.kind) || known(above))
        })
    };
    standard(&declared.kind)
        && entity.tags_len() == 0
        && entity.attrs().all(|(name, value)| match (attributes.get_attr(name), value) {
            (Some(attr), PartialValue::Value(value)) => is(value.value_kind(), &attr.attr_type, known),
            _ => false,
        })
        && attributes.iter().all(|(name, attr)| !attr.is_required || entity.get(name).is_some())
        && entity.ancestors().all(hangs)
}

fn is(value: &ValueKind, expected: &Type, known: &impl Fn(&EntityUID) -> bool) -> bool {
    let of = |value: &Value, expected: &Type| is(value.value_kind(), expected, known);
    match (value, expected) {
        (ValueKind::Lit(Literal::Bool(_)), Type::Bool(kind)) => *kind == BoolType::AnyBool,
        (ValueKind::Lit(Literal::Long(_)), Type::Long) | (ValueKind::Lit(Literal::String(_)), Type::String) => true,
        (ValueKind::Lit(Literal::EntityUID(uid)), Type::Entity(EntityKind::Entity(types))) => {
            types.get_single_entity() == Some(uid.entity_type()) && known(uid)
        }
        (ValueKind::Set(set), Type::Set { element_type: Some(element) }) => set.iter().all(|value| of(value, element)),
        (ValueKind::Record(members), Type::Record { attrs, .. }) => {
            members.iter().all(|(name, value)| attrs.get_attr(name).is_some_and(|attr| of(value, &attr.attr_type)))
                && attrs.iter().all(|(name, attr)| !attr.is_required || members.contains_key(name))
        }
        (ValueKind::ExtensionValue(value), Type::ExtensionType { name }) => value.typename() == *name,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
