//! Obligations on results: size, masks, and what has no form to mask.

use std::collections::BTreeMap;

use super::*;

const CLASSES: [(&str, &[&str]); 2] = [("pii", &["email", "contacts.*.email", "items.phone"]), ("pay", &["salary"])];

fn fields(classes: &[&str]) -> Vec<FieldPath> {
    let declared: BTreeMap<_, _> = CLASSES.into_iter().collect();
    classes
        .iter()
        .flat_map(|class| declared.get(class).into_iter().flat_map(|paths| paths.iter()))
        .map(|path| path.parse().unwrap())
        .collect()
}

fn duties(classes: &[&str], bytes_max: Option<u64>) -> Duties {
    let masks = (!classes.is_empty()).then(|| Masks {
        classes: classes.iter().map(|class| (*class).to_owned()).collect(),
        fields: fields(classes),
        declared: true,
    });
    Duties { bytes_max, masks }
}

/// Discharges `classes` on a result and compares the result that the caller gets.
fn check(classes: &[&str], result: Value, expected: Result<Value, Withheld>) {
    let shown = duties(classes, None).discharge(result.to_string().as_bytes());
    let shown = shown.map(|bytes| {
        let mut shown: Value = serde_json::from_slice(&bytes.expect("masked")).unwrap();
        assert_eq!(shown["_meta"]["bailiwick/masked"], json!(classes));
        shown.as_object_mut().unwrap().remove("_meta");
        shown
    });
    assert_eq!(shown, expected, "{result}");
}

fn text(value: &Value) -> Value {
    json!({ "type": "text", "text": value.to_string() })
}

#[test]
fn structured_content_and_text_are_masked_alike() {
    let data = json!({ "email": "a@b.c", "name": "Ann", "contacts": [{ "email": "x" }, { "email": "y", "n": 1 }] });
    let masked =
        json!({ "email": MASKED, "name": "Ann", "contacts": [{ "email": MASKED }, { "email": MASKED, "n": 1 }] });
    check(
        &["pii"],
        json!({ "content": [text(&data)], "structuredContent": data }),
        Ok(json!({ "content": [text(&masked)], "structuredContent": masked })),
    );
    check(&["pii"], json!({ "content": [text(&data)] }), Ok(json!({ "content": [text(&masked)] })));
    // A text that says something else than the structured content cannot carry the secret past the mask.
    check(
        &["pii"],
        json!({ "content": [{ "type": "text", "text": "mail a@b.c" }], "structuredContent": { "email": "a@b.c" } }),
        Ok(json!({ "content": [text(&json!({ "email": MASKED }))], "structuredContent": { "email": MASKED } })),
    );
}

#[test]
fn a_name_before_an_array_means_each_element() {
    check(
        &["pii"],
        json!({ "content": [text(&json!([{ "email": "a" }, { "email": "b" }])), text(&json!({ "items": [{ "phone": 12 }] }))] }),
        Ok(
            json!({ "content": [text(&json!([{ "email": MASKED }, { "email": MASKED }])), text(&json!({ "items": [{ "phone": 0 }] }))] }),
        ),
    );
}

#[test]
fn what_is_masked_keeps_its_shape() {
    let data = json!({ "email": { "work": "a", "ok": true, "n": 3, "all": ["b", null] } });
    let masked = json!({ "email": { "work": MASKED, "ok": false, "n": 0, "all": [MASKED, null] } });
    check(&["pii"], json!({ "content": [text(&data)] }), Ok(json!({ "content": [text(&masked)] })));
}

#[test]
fn what_has_no_form_is_withheld() {
    check(&["pii"], json!({ "content": [{ "type": "text", "text": "mail a@b.c" }] }), Err(Withheld::Unmaskable));
    check(
        &["pii"],
        json!({ "content": [{ "type": "image", "data": "…", "mimeType": "image/png" }] }),
        Err(Withheld::Unmaskable),
    );
    check(&["pii"], json!({ "content": [{ "type": "text", "text": "\"a@b.c\"" }] }), Err(Withheld::Unmaskable));
    check(&["pii"], json!({ "structuredContent": "a@b.c" }), Err(Withheld::Unmaskable));
    check(&["pii"], json!({ "resultType": "input_required", "content": [] }), Err(Withheld::Unmaskable));
    check(&["pii"], json!({}), Err(Withheld::Unmaskable));
}

#[test]
fn an_error_text_is_withheld_but_stays_an_error() {
    check(
        &["pii"],
        json!({ "isError": true, "content": [{ "type": "text", "text": "no contact a@b.c" }] }),
        Ok(json!({ "isError": true, "content": [{ "type": "text", "text": "(an error text, withheld by policy)" }] })),
    );
    let error = json!({ "code": -5, "message": "a@b.c", "data": "a@b.c" }).to_string();
    let shown = duties(&["pii"], None).discharge_error(error.as_bytes()).unwrap().unwrap();
    let shown: Value = serde_json::from_slice(&shown).unwrap();
    assert_eq!(shown["code"], -5);
    assert!(!shown.to_string().contains("a@b.c"));
    assert_eq!(duties(&[], None).discharge_error(error.as_bytes()), Ok(None));
}

#[test]
fn members_that_masking_does_not_know_are_left_out() {
    check(
        &["pay"],
        json!({ "content": [text(&json!({ "salary": 9 }))], "extra": { "salary": 9 }, "_meta": { "salary": 9 } }),
        Ok(json!({ "content": [text(&json!({ "salary": 0 }))] })),
    );
}

#[test]
fn the_size_holds_and_untouched_bytes_stay_untouched() {
    let message = br#"{ "content" : [] }"#;
    let len = message.len() as u64;
    assert_eq!(duties(&[], Some(len)).discharge(message), Ok(None));
    assert_eq!(duties(&[], Some(len - 1)).discharge(message), Err(Withheld::TooLarge));
    assert_eq!(duties(&[], None).discharge(message), Ok(None));
    assert!(!duties(&[], None).hold_whole());
    assert!(duties(&[], Some(1)).hold_whole() && duties(&["pii"], None).hold_whole());
}

#[test]
fn the_narrowest_size_counts_and_nobodys_tool_is_masked_whole() {
    let size = |bytes| Obligation::ResultBytesMax { bytes };
    let duties = Duties::of(&[size(9), size(3), size(5), Obligation::CapturePayload], None);
    assert_eq!(duties.bytes_max, Some(3));
    assert!(!duties.masks());
    // A method that is no tool has no field classes: what must be masked there cannot be found.
    let duties = Duties::of(&[Obligation::Mask { field_class: "pii".to_owned() }], None);
    assert_eq!(duties.discharge(br#"{"contents":[]}"#), Err(Withheld::Unmaskable));
}
