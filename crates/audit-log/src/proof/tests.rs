//! A proof proves its own entry and nothing else.

use super::*;
use crate::verify::tests::{Log, keys};

fn proof(index: u64) -> EntryProof {
    Log::of(11).proof(index)
}

#[test]
fn a_proof_survives_its_text() {
    for index in 0..11 {
        let proof = proof(index);
        let read: EntryProof = proof.to_text().parse().unwrap();
        assert_eq!(read, proof);
        let proven = read.verify(&keys()).unwrap();
        assert_eq!((proven.leaf.position.sequence, proven.checkpoint.tree.size), (index, 11));
    }
}

#[test]
fn every_flipped_bit_of_a_proof_is_noticed() {
    let text = proof(6).to_text();
    for at in 0..text.len() {
        for bit in [1, 2, 8, 64] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= bit;
            let Ok(altered) = String::from_utf8(bytes) else { continue };
            let verified = altered.parse::<EntryProof>().and_then(|proof| proof.verify(&keys()));
            assert!(verified.is_err(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn misshapen_proofs_are_refused() {
    let text = proof(3).to_text();
    let cases = [
        ("another version", text.replacen("@v1", "@v2", 1)),
        ("no entry", text.replacen("extra ", "other ", 1)),
        ("a leading zero", text.replacen("index 3", "index 03", 1)),
        ("no index", text.replacen("index 3\n", "", 1)),
        ("no checkpoint", text.split("\n\n").next().unwrap().to_owned()),
        ("too long", format!("{text}{}", "x".repeat(PROOF_BYTES_MAX))),
    ];
    for (what, altered) in cases {
        assert!(matches!(altered.parse::<EntryProof>(), Err(EntryProofError::Malformed(_))), "{what}");
    }
    assert!(matches!(proof(3).verify(&[]), Err(EntryProofError::Checkpoint(NoteError::UnknownKey))));
}
