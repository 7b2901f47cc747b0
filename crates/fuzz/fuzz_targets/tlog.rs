//! What an auditor is handed: notes, proofs, lines of an export, entries. Nothing but what was signed is believed, and an
//! entry has one spelling.
#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a target that is surprised must fail")]

use bailiwick_audit_log::{
    checkpoint::{UnverifiedNote, VerifierKey},
    export::Line,
    leaf,
    proof::EntryProof,
    verify::{Report, Verifier},
};
use bailiwick_fuzz::{
    edit::edited,
    log::{CHECKPOINT, EXPORT, KEY, LEAVES, NOTE, ORIGIN, PROOF, PROVEN},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(leaf) = leaf::decode(data) {
        assert_eq!(leaf.encode().expect("what was read can be written"), data);
    }
    altered(data);
    if let Ok(text) = std::str::from_utf8(data) {
        foreign(text);
    }
});

/// Whatever is altered in an honest text: it says what was signed, or is not believed.
fn altered(data: &[u8]) {
    let keys = [KEY.clone()];
    if let Some(text) = edited(&NOTE, data) {
        match text.parse::<UnverifiedNote>().and_then(|note| note.verify(&keys)) {
            Ok(found) => assert_eq!(found, *CHECKPOINT, "{text}"),
            Err(error) => assert_ne!(text, *NOTE, "{error}"),
        }
    }
    if let Some(text) = edited(&PROOF, data) {
        let verified = text.parse::<EntryProof>().and_then(|proof| Ok((proof.index, proof.verify(&keys)?)));
        match verified {
            Ok((index, proven)) => {
                let entry = proven.leaf.encode().expect("what was read can be written");
                assert_eq!((index, Some(&entry)), (PROVEN, LEAVES.get(2)), "{text}");
                assert_eq!(proven.checkpoint, *CHECKPOINT, "{text}");
            }
            Err(error) => assert_ne!(text, *PROOF, "{error}"),
        }
    }
    if let Some(text) = edited(&EXPORT, data) {
        let (report, honest) = (exported(&text), exported(&EXPORT));
        let said = |report: Report| (report.entries, report.signed, report.open_intents, report.period);
        match report.verdict() {
            // Without a line nothing is claimed.
            Ok(()) if report.entries == 0 && report.checkpoints == 0 => {}
            Ok(()) => assert_eq!(said(report), said(honest), "{text}"),
            Err(_) => assert_ne!(text, *EXPORT, "{:?}", report.findings),
        }
    }
}

fn exported(text: &str) -> Report {
    let mut verifier = Verifier::new(vec![KEY.clone()]);
    for (number, line) in (1..).zip(text.lines()) {
        verifier.line(number, line);
    }
    verifier.finish()
}

/// Any text, before a key that signed nothing.
fn foreign(text: &str) {
    let keys = [VerifierKey::new(ORIGIN, [7; 32]).expect("a name and a key")];
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
    let mut verifier = Verifier::new(keys.to_vec());
    for (number, line) in (1..).zip(text.lines()) {
        verifier.line(number, line);
    }
    drop(verifier.finish());
}
