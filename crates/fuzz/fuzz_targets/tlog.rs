//! What an auditor is handed: notes, proofs, lines of an export, entries. Nothing unsigned is believed, and an entry has
//! one spelling.
#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a target that is surprised must fail")]

use bailiwick_audit_log::{
    checkpoint::{UnverifiedNote, VerifierKey},
    export::Line,
    leaf,
    proof::EntryProof,
    verify::Verifier,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(leaf) = leaf::decode(data) {
        assert_eq!(leaf.encode().expect("what was read can be written"), data);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A key that signed nothing.
    let key = VerifierKey::new("log.example", [7; 32]).expect("a name and a key");
    let keys = [key.clone()];
    if let Ok(note) = text.parse::<UnverifiedNote>() {
        assert!(note.verify(&keys).is_err(), "nobody signed that");
    }
    if let Ok(proof) = text.parse::<EntryProof>() {
        assert!(proof.verify(&keys).is_err(), "nobody signed that");
        assert_eq!(proof.to_text().parse::<EntryProof>().as_ref(), Ok(&proof));
    }
    if let Ok(line) = Line::parse(text) {
        let again = Line::parse(&line.to_text()).expect("what was read can be written");
        assert_eq!(again.to_text(), line.to_text());
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string().parse::<VerifierKey>().as_ref(), Ok(&key));
    }
    let mut verifier = Verifier::new(vec![key]);
    for (number, line) in (1..).zip(text.lines()) {
        verifier.line(number, line);
    }
    drop(verifier.finish());
});
