//! Patches as directories send them, and what is none.

use serde_json::json;

use super::*;

fn patch(operations: Value) -> Result<Patch, ScimError> {
    Patch::read(&json!({ "schemas": [SCHEMA], "Operations": operations }))
}

fn ada() -> UserAttributes {
    UserAttributes {
        user_name: "ada".to_owned(),
        external_id: Some("1".to_owned()),
        given_name: Some("Ada".to_owned()),
        email: Some("ada@example.com".to_owned()),
        active: Some(true),
        ..UserAttributes::default()
    }
}

#[test]
fn a_user_changes_as_directories_say_it() {
    let off = UserAttributes { active: Some(false), ..ada() };
    let renamed = UserAttributes { family_name: Some("King".to_owned()), given_name: Some("A.".to_owned()), ..ada() };
    let moved = UserAttributes { email: Some("ada@new.example".to_owned()), ..ada() };
    for (name, operations, expected) in [
        ("Okta", json!([{ "op": "replace", "value": { "active": false } }]), off.clone()),
        ("Entra", json!([{ "op": "Replace", "path": "active", "value": "False" }]), off.clone()),
        ("Entra, newer", json!([{ "op": "Replace", "path": "active", "value": false }]), off.clone()),
        ("as an addition", json!([{ "op": "ADD", "path": "ACTIVE", "value": "fAlSe" }]), off.clone()),
        (
            "by schema",
            json!([{ "op": "replace", "path": "urn:ietf:params:scim:schemas:core:2.0:User:active", "value": false }]),
            off,
        ),
        (
            "paths as names",
            json!([{ "op": "Add", "value": { "name.familyName": "King", "name.givenName": "A." } }]),
            renamed.clone(),
        ),
        (
            "parts",
            json!([{ "op": "replace", "path": "name", "value": { "familyName": "King", "givenName": "A." } }]),
            renamed,
        ),
        (
            "by kind",
            json!([{ "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "ada@new.example" }]),
            moved.clone(),
        ),
        (
            "the primary one",
            json!([{ "op": "replace", "path": "emails", "value": [
            { "value": "old@example.com", "type": "work" }, { "value": "ada@new.example", "primary": "True" }] }]),
            UserAttributes { email_primary: Some(true), ..moved },
        ),
        ("taken away", json!([{ "op": "remove", "path": "emails" }]), UserAttributes { email: None, ..ada() }),
        (
            "what is not kept",
            json!([
                { "op": "Add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "1" },
                { "op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "value": "d" },
                { "op": "add", "path": "title", "value": "Countess" },
                { "op": "add", "path": "roles", "value": [{ "value": "administrator" }] },
                { "op": "add", "path": "groups", "value": [{ "value": "bailiwick:administrators" }] },
                { "op": "replace", "value": { "id": "another", "password": "x" } },
            ]),
            ada(),
        ),
    ] {
        let mut user = ada();
        patch(operations).unwrap().apply_to_user(&mut user).unwrap();
        assert_eq!(user, expected, "{name}");
    }
}

#[test]
fn members_come_and_go() {
    let group = || GroupAttributes {
        display_name: "finance".to_owned(),
        external_id: None,
        members: ["a", "b", "c"].map(str::to_owned).into(),
    };
    for (name, operations, expected) in [
        ("added", json!([{ "op": "Add", "path": "members", "value": [{ "value": "d" }, { "value": "a" }] }]), "abcd"),
        ("Okta", json!([{ "op": "remove", "path": "members[value eq \"b\"]" }]), "ac"),
        (
            "Entra",
            json!([{ "op": "Remove", "path": "members", "value": [{ "$ref": null, "value": "a" }, { "value": "c" }] }]),
            "b",
        ),
        (
            "in turn",
            json!([{ "op": "remove", "path": "members" }, { "op": "add", "value": { "members": [{ "value": "z" }] } }]),
            "z",
        ),
        ("all others", json!([{ "op": "replace", "path": "members", "value": [{ "value": "x" }] }]), "x"),
        ("none", json!([{ "op": "replace", "path": "members", "value": [] }]), ""),
        ("the name alone", json!([{ "op": "replace", "value": { "id": "dgrp_1", "displayName": "finance" } }]), "abc"),
    ] {
        let mut changed = group();
        patch(operations).unwrap().apply_to_group(&mut changed).unwrap();
        assert_eq!(changed.members.into_iter().collect::<String>(), expected, "{name}");
    }
    for operations in [
        json!([{ "op": "replace", "path": "members[value eq \"b\"].value", "value": "z" }]),
        json!([{ "op": "add", "path": "members", "value": [{ "display": "b" }] }]),
        json!([{ "op": "add", "path": "owners", "value": "b" }]),
        json!([{ "op": "remove", "path": "displayName" }]),
    ] {
        assert!(patch(operations.clone()).unwrap().apply_to_group(&mut group()).is_err(), "{operations}");
    }
}

#[test]
fn what_is_no_change_is_refused() {
    let none: Vec<Value> = vec![json!({ "op": "add", "value": { "active": true } }); OPERATIONS_MAX + 1];
    for operations in [
        json!([]),
        json!("replace"),
        json!([{ "op": "copy", "path": "active", "value": true }]),
        json!([{ "path": "active", "value": true }]),
        json!([{ "op": "remove" }]),
        json!([{ "op": "replace", "value": true }]),
        json!([{ "op": "replace", "path": 1, "value": true }]),
        json!([{ "op": "replace", "path": "emails[type eq", "value": true }]),
        json!([{ "op": "replace", "path": "a.b.c", "value": true }]),
        json!([{ "op": "replace", "path": "emails[type eq \"a\"].value.more", "value": "x" }]),
        json!([{ "op": "replace", "OP": "add", "path": "active", "value": true }]),
        json!(none),
    ] {
        assert!(patch(operations.clone()).is_err(), "{operations}");
    }
    assert!(Patch::read(&json!({ "Operations": [{ "op": "replace", "value": { "active": false } }] })).is_err());
    for operations in [
        json!([{ "op": "replace", "path": "active", "value": "no" }]),
        json!([{ "op": "replace", "path": "active", "value": 0 }]),
        json!([{ "op": "remove", "path": "active" }]),
        json!([{ "op": "remove", "path": "userName" }]),
        json!([{ "op": "replace", "path": "userName", "value": " " }]),
        json!([{ "op": "replace", "path": "userName", "value": "a\nb" }]),
        json!([{ "op": "replace", "path": "administrator", "value": true }]),
        json!([{ "op": "replace", "path": "active[value eq \"true\"]", "value": false }]),
    ] {
        assert!(patch(operations.clone()).unwrap().apply_to_user(&mut ada()).is_err(), "{operations}");
    }
}
