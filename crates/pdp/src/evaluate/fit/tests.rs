//! The glance says yes only where Cedar does, and to what we make.

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
    let shared = context::shared(&snapshot, evaluation.now, "office", &evaluation.task, parties, &evaluation.approvals);
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

#[test]
fn what_conforms_plainly_conforms_for_cedar_and_what_we_make_does() {
    let snapshot = snapshot(WORLD);
    let schema = snapshot.validator_schema();
    let known = |uid: &EntityUID| snapshot.store().entity(uid).is_some();
    let ours = snapshot.store().principal(&party("a1", "writer")).unwrap();
    assert!(plainly_conforms(&ours, schema, &known));
    let attributes: BTreeMap<_, _> = ours.attrs().map(|(name, value)| (name.clone(), value.clone())).collect();
    let uids = |texts: &[&str]| -> Vec<EntityUID> { texts.iter().map(|text| text.parse().unwrap()).collect() };
    let kinds = ["Bailiwick::Agent::\"a\"", "Bailiwick::User::\"u\"", "Bailiwick::Workload::\"w\"", "No::Body::\"n\""];
    let kinds = [uids(&kinds), uids(&["Bailiwick::Fact::\"read:pii\"", "Bailiwick::Role::\"writer\""])].concat();
    let above = [
        uids(&[]),
        uids(&["Bailiwick::Role::\"writer\""]),
        uids(&["Bailiwick::Organization::\"self\"", "Bailiwick::Role::\"writer\""]),
        uids(&["Bailiwick::Organization::\"another\""]),
        uids(&["Bailiwick::Group::\"sales\""]),
        uids(&["Bailiwick::System::\"crm\""]),
        uids(&["No::Body::\"n\""]),
    ];
    let mut sets = vec![attributes.clone(), BTreeMap::new()];
    for name in attributes.keys() {
        sets.push(attributes.iter().filter(|(other, _)| *other != name).map(|(n, v)| (n.clone(), v.clone())).collect());
        for stranger in strangers(&snapshot) {
            let mut changed = attributes.clone();
            changed.insert(name.clone(), stranger.into());
            sets.push(changed);
        }
    }
    let (mut conform, mut refused, sets) = (0, 0, &sets);
    for (uid, parents, attributes) in kinds.iter().flat_map(|uid| {
        above.iter().flat_map(move |parents| sets.iter().map(move |attributes| (uid, parents, attributes)))
    }) {
        let parents = parents.iter().cloned().collect();
        let entity =
            Entity::new_with_attr_partial_value(uid.clone(), attributes.clone(), Default::default(), parents, []);
        if plainly_conforms(&entity, schema, &known) {
            assert_eq!(crate::entities::conforms(&entity, schema), Ok(()), "{entity}");
            conform += 1;
        } else {
            refused += 1;
        }
    }
    assert!(conform > 5 && refused > 100, "{conform} conform, {refused} do not");
}
