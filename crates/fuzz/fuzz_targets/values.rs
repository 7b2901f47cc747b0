//! Values in arguments and definitions of tools: one spelling each, and a spelling of its own is kept.
#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a target that is surprised must fail")]

use bailiwick_pdp::{definition, normalise};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(path) = normalise::path(text) {
        assert_eq!(normalise::path(&path).as_ref(), Ok(&path));
        assert!(path.starts_with('/') && path.split('/').all(|part| part != ".." && part != "."), "{path}");
        assert_eq!(normalise::path_is_under("/", text), Ok(true));
        let inside = path == "/fuzz" || path.starts_with("/fuzz/");
        assert_eq!(normalise::path_is_under("/fuzz", text), Ok(inside), "{path}");
    }
    if let Ok(url) = normalise::url(text) {
        assert_eq!(normalise::url(&url).as_ref(), Ok(&url));
    }
    if let Ok(address) = normalise::email(text) {
        assert_eq!(normalise::email(&address).as_ref(), Ok(&address));
    }
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        let canonical = definition::canonical(&value);
        let again: Value = serde_json::from_str(&canonical).expect("the canonical form is JSON");
        assert_eq!(definition::canonical(&again), canonical);
        assert_eq!(definition::digest(&again), definition::digest(&value));
        drop(definition::readable(&value));
    }
    // A line may end where it ends; nothing else goes unseen.
    let unseen = |c: char| c != '\n' && normalise::is_hidden(c);
    assert!(!definition::visible(text).chars().any(unseen), "{text:?}");
});
