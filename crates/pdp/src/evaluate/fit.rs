//! Whether a context is what the schema says, seen at a glance. Says yes only where Cedar's own check does; to whatever
//! is left, that one answers.

use cedar_policy_core::{
    ast::{Context, EntityUID, Literal, Value, ValueKind},
    validator::types::{BoolType, EntityKind, Type},
};

/// Whether every value of `context` is plainly of its type. Cedar's check makes an expression of each value first, which
/// takes longer than to evaluate the policies. `known` tells of an entity that the bundle has.
pub(super) fn plainly_fits(context: &Context, expected: &Type, known: &impl Fn(&EntityUID) -> bool) -> bool {
    match (context, expected) {
        (Context::Value(members), Type::Record { .. }) => is(&ValueKind::Record(members.clone()), expected, known),
        _ => false,
    }
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
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use cedar_policy_core::{ast::RequestSchema as _, extensions::Extensions};

    use super::*;
    use crate::{
        evaluate::{
            context,
            tests::{call, evaluation, party, snapshot},
        },
        snapshot::Snapshot,
        values,
    };

    const WORLD: &str = r#"
title = "world"
[systems.crm.tools.update]
class = "write"
facts = { touched = ["read:pii"] }
input = { id = "string", amount = "number", tags = "string[]", sure = "boolean", count = "integer?" }
[roles.writer]
purpose = "Write"
[calendar.zones.hq]
timezone = "Europe/Berlin"
"#;

    /// Values of every kind that there is, and what is no entity of the bundle.
    fn strangers(snapshot: &Snapshot) -> Vec<Value> {
        let entity = |text: &str| Value::from(text.parse::<EntityUID>().unwrap());
        let fact = snapshot.store().iter().find(|entity| entity.uid().to_string().contains("Fact"));
        let mut all = vec![
            true.into(),
            7.into(),
            "text".into(),
            values::value(&bailiwick_model::value::Value::Decimal(12_345)).unwrap(),
            values::datetime("2026-03-29T01:00:00Z".parse().unwrap()).unwrap(),
            Value::empty_set(None),
            Value::set([1.into(), 2.into()], None),
            Value::set(["a".into(), 2.into()], None),
            Value::empty_record(None),
            entity("Bailiwick::Fact::\"nobody declared it\""),
            entity("Bailiwick::Role::\"writer\""),
            entity("Nobody::Knows::\"it\""),
            Value::set([entity("Bailiwick::Fact::\"nobody declared it\"")], None),
        ];
        all.extend(fact.map(|fact| Value::set([Value::from(fact.uid().clone())], None)));
        all
    }

    /// Everything that becomes of a value when one thing in it is replaced, left out or added.
    fn changed(value: &Value, strangers: &[Value]) -> Vec<Value> {
        let mut all: Vec<Value> = strangers.to_vec();
        if let ValueKind::Record(members) = value.value_kind() {
            let with = |change: &dyn Fn(&mut BTreeMap<_, Value>)| {
                let mut members = BTreeMap::clone(members);
                change(&mut members);
                Value::record_arc(Arc::new(members), None)
            };
            for (name, member) in members.iter() {
                all.push(with(&|members| drop(members.remove(name))));
                for other in changed(member, strangers) {
                    all.push(with(&|members| drop(members.insert(name.clone(), other.clone()))));
                }
            }
            all.push(with(&|members| drop(members.insert("stranger".into(), 1.into()))));
        }
        all
    }

    #[test]
    fn what_fits_plainly_fits_for_cedar_and_what_we_make_does() {
        let snapshot = snapshot(WORLD);
        let schema = snapshot.validator_schema();
        let arguments = serde_json::json!({ "id": "1", "amount": 1.5, "tags": ["a"], "sure": true, "count": 3 });
        let mut evaluation = evaluation(&snapshot, party("a1", "writer"), call(&snapshot, "crm.update", arguments));
        evaluation.task.facts = ["read:pii".parse().unwrap()].into();
        let (operation, parties) = (&evaluation.operations[0], &evaluation.parties);
        let shared =
            context::shared(&snapshot, evaluation.now, "office", &evaluation.task, parties, &evaluation.approvals);
        let ours = shared.unwrap().of(operation).unwrap();
        let Context::Value(members) = &ours else { panic!("{ours:?}") };
        let action = snapshot.callable(&operation.action).unwrap().uid();
        let expected = schema.context_type(action).unwrap();
        let known = |uid: &EntityUID| snapshot.store().entity(uid).is_some();
        assert!(plainly_fits(&ours, expected, &known));
        let (mut fitting, mut refused) = (0, 0);
        for other in changed(&Value::record_arc(Arc::clone(members), None), &strangers(&snapshot)) {
            let ValueKind::Record(members) = other.value_kind() else { continue };
            let other = Context::Value(Arc::clone(members));
            let cedar = schema.validate_context(&other, action, Extensions::all_available());
            if plainly_fits(&other, expected, &known) {
                assert!(cedar.is_ok(), "{other:?}: {:?}", cedar.err());
                fitting += 1;
            } else {
                refused += 1;
            }
        }
        assert!(fitting > 10 && refused > 100, "{fitting} fit, {refused} do not");
    }
}
