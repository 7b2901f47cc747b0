//! What a directory sends: filters, paths, patches, whole resources. What is taken stays within its bounds, and a change
//! that is refused is one that changed nothing that counts.
#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a target that is surprised must fail")]

use bailiwick_scim::{
    filter::Filter,
    group::{GroupAttributes, MEMBERS_MAX},
    list::{ListQuery, PAGE_MAX},
    patch::Patch,
    path::Path,
    user::UserAttributes,
};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let ada = json!({ "id": "1", "userName": "ada", "active": true, "emails": [{ "value": "a@b", "type": "work" }] });
    if let Ok(filter) = Filter::parse(text) {
        let fits = filter.fits(&ada);
        assert_eq!(Filter::Not(Box::new(filter)).fits(&ada), !fits);
    }
    drop(Path::parse(text));
    if let Ok(query) = ListQuery::parse(text) {
        let page = query.page(std::iter::repeat_n(ada.clone(), PAGE_MAX + 1));
        let listed = page.get("Resources").and_then(Value::as_array).expect("a list");
        assert!(listed.len() <= PAGE_MAX);
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    if let Ok(user) = UserAttributes::read(&value) {
        assert!(!user.user_name.is_empty() && !user.name().contains(char::is_control), "{user:?}");
    }
    if let Ok(group) = GroupAttributes::read(&value) {
        assert!(group.members.len() <= MEMBERS_MAX && !group.display_name.is_empty());
    }
    let Ok(patch) = Patch::read(&value) else { return };
    let mut user = UserAttributes { user_name: "ada".to_owned(), active: Some(false), ..UserAttributes::default() };
    if patch.apply_to_user(&mut user).is_ok() {
        assert!(!user.user_name.is_empty() && user.active.is_some(), "{user:?}");
    }
    let mut group = GroupAttributes { display_name: "staff".to_owned(), ..GroupAttributes::default() };
    if patch.apply_to_group(&mut group).is_ok() {
        assert!(!group.display_name.is_empty() && group.members.len() <= MEMBERS_MAX);
    }
});
