//! Signing, strict reading, and notes that must not be believed.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

use super::*;

const ORIGIN: &str = "example.com/log";

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn key(seed: u8, name: &str) -> VerifierKey {
    VerifierKey::new(name, pair(seed).public_key().as_ref().try_into().unwrap()).unwrap()
}

fn signed(checkpoint: &Checkpoint, seed: u8, name: &str) -> String {
    let sign =
        |message: &[u8]| -> Result<[u8; 64], ()> { pair(seed).sign(message).as_ref().try_into().map_err(|_| ()) };
    checkpoint.sign(&key(seed, name), &sign).unwrap()
}

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: ORIGIN.into(), tree: TreeHead { size: 12, root: [9; 32] } }
}

fn open(note: &str, keys: &[VerifierKey]) -> Result<Checkpoint, NoteError> {
    note.parse::<UnverifiedNote>()?.verify(keys)
}

#[test]
fn a_note_opens_with_its_key() {
    let note = signed(&checkpoint(), 1, ORIGIN);
    assert!(
        note.starts_with(
            "example.com/log\n12\nCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=\n\n\u{2014} example.com/log "
        )
    );
    assert_eq!(open(&note, &[key(2, "example.com/other"), key(1, ORIGIN)]), Ok(checkpoint()));
    assert_eq!(open(&note, &[key(2, ORIGIN)]), Err(NoteError::UnknownKey));
    assert_eq!(open(&note, &[]), Err(NoteError::UnknownKey));
}

/// The example of the C2SP signed-note specification, whose key id and signature are not ours.
#[test]
fn the_example_of_the_specification_opens() {
    let key: VerifierKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
    assert_eq!(key.to_string(), "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
    let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    let blob = BASE64
        .decode("x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=")
        .unwrap();
    assert_eq!(blob[..4], key.id());
    assert!(UnparsedPublicKey::new(&ED25519, key.public_key).verify(text.as_bytes(), &blob[4..]).is_ok());
}

#[test]
fn every_flipped_byte_is_noticed() {
    let note = signed(&checkpoint(), 1, ORIGIN);
    for at in 0..note.len() {
        for bit in [1, 4, 32] {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= bit;
            if let Ok(altered) = String::from_utf8(bytes) {
                assert!(open(&altered, &[key(1, ORIGIN)]).is_err(), "byte {at} bit {bit}: {altered}");
            }
        }
    }
}

#[test]
fn a_key_speaks_for_its_own_log_only() {
    let foreign = Checkpoint { origin: "example.com/foreign".into(), ..checkpoint() };
    let note = signed(&foreign, 1, ORIGIN);
    assert!(matches!(open(&note, &[key(1, ORIGIN)]), Err(NoteError::Origin { .. })));
}

#[test]
fn further_signatures_do_no_harm_unless_a_known_key_fails() {
    let note = signed(&checkpoint(), 1, ORIGIN);
    let witness = signed(&checkpoint(), 3, "witness.example");
    let line = witness.lines().last().unwrap();
    let both = format!("{note}{line}\n");
    assert_eq!(open(&both, &[key(1, ORIGIN)]), Ok(checkpoint()));
    let other =
        signed(&Checkpoint { tree: TreeHead { size: 13, root: [9; 32] }, ..checkpoint() }, 3, "witness.example");
    let forged = format!("{note}{}\n", other.lines().last().unwrap());
    let keys = [key(1, ORIGIN), key(3, "witness.example")];
    assert_eq!(open(&forged, &keys), Err(NoteError::Signature("witness.example".into())));
    let many = format!("{note}{}", format!("{line}\n").repeat(NOTE_SIGNATURES_MAX));
    assert_eq!(open(&many, &keys), Err(NoteError::Malformed("too many signatures")));
}

#[test]
fn misshapen_notes_are_refused() {
    let note = signed(&checkpoint(), 1, ORIGIN);
    let cases = [
        ("no signature", note.split("\n\n").next().unwrap().to_owned()),
        ("a leading zero", note.replacen("\n12\n", "\n012\n", 1)),
        ("a sign", note.replacen("\n12\n", "\n+12\n", 1)),
        ("too large a number", note.replacen("\n12\n", "\n99999999999999999999999\n", 1)),
        ("no root", note.replacen("CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=", "CQk=", 1)),
        ("base64 that is not canonical", note.replacen("CQk=\n", "CQl=\n", 1)),
        ("an empty origin", note.replacen("example.com/log\n", "\n", 1)),
        ("a carriage return", note.replacen('\n', "\r\n", 1)),
        ("no newline at the end", note.trim_end().to_owned()),
        ("a hyphen for the dash", note.replacen('\u{2014}', "-", 1)),
        ("too long", format!("{}{note}", "x".repeat(NOTE_BYTES_MAX))),
    ];
    for (what, altered) in cases {
        assert!(altered.parse::<UnverifiedNote>().is_err(), "{what}");
    }
}

#[test]
fn verifier_keys_are_written_and_read() {
    let key = key(1, ORIGIN);
    assert_eq!(key.to_string().parse(), Ok(key.clone()));
    let text = key.to_string();
    for bad in ["", "a+b", "example.com/log+00000000+AQID", &text.replacen("log", "lag", 1), &text[..text.len() - 4]] {
        assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
    }
    for bad in ["", "two words", "a+b", "line\nbreak"] {
        assert!(matches!(VerifierKey::new(bad, [0; 32]), Err(KeyError::Name(_))), "{bad:?}");
    }
}
