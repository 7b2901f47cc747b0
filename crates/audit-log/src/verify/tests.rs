//! Mutations: whatever is done to a log is found, and named.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use proptest::prelude::*;

use super::*;
use crate::{
    event::AuditEvent,
    leaf::{BootNonce, CHAIN_START, Position},
    merkle::{TreeHead, root},
    proof::EntryProof,
};

const ORIGIN: &str = "example.com/log";

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[5; 32]).unwrap()
}

pub(crate) fn keys() -> Vec<VerifierKey> {
    vec![VerifierKey::new(ORIGIN, pair().public_key().as_ref().try_into().unwrap()).unwrap()]
}

/// A log as its writer keeps it.
#[derive(Clone)]
pub(crate) struct Log {
    leaves: Vec<Vec<u8>>,
    notes: Vec<String>,
    anchors: Vec<String>,
}

impl Log {
    /// One chain; intents and outcomes in turn, the first entry a start; checkpoints at 4 and at the end.
    pub(crate) fn of(count: u64) -> Self {
        Self::of_chains(count, 1)
    }

    /// Several replicas writing in turn.
    fn of_chains(count: u64, chains: u8) -> Self {
        let mut previous = vec![CHAIN_START; usize::from(chains)];
        let mut leaves = Vec::new();
        for number in 0..count {
            let chain = usize::try_from(number).unwrap() % previous.len();
            let sequence = number / u64::from(chains);
            let bytes = entry(u8::try_from(chain).unwrap(), sequence, previous[chain]).encode().unwrap();
            previous[chain] = leaf::hash(&bytes);
            leaves.push(bytes);
        }
        let mut log = Self { leaves, notes: vec![], anchors: vec![] };
        log.notes = [4, count].into_iter().filter(|size| *size <= count).map(|size| log.note(size)).collect();
        log
    }

    fn hashes(&self) -> Vec<Hash> {
        self.leaves.iter().map(|bytes| leaf::hash(bytes)).collect()
    }

    fn note(&self, size: u64) -> String {
        let tree = TreeHead { size, root: root(&self.hashes()[..usize::try_from(size).unwrap()]) };
        let sign =
            |message: &[u8]| -> Result<[u8; 64], ()> { pair().sign(message).as_ref().try_into().map_err(|_| ()) };
        Checkpoint { origin: ORIGIN.into(), tree }.sign(&keys()[0], &sign).unwrap()
    }

    pub(crate) fn proof(&self, index: u64) -> EntryProof {
        let leaf = self.leaves[usize::try_from(index).unwrap()].clone();
        EntryProof::of(&self.hashes(), index, leaf, self.notes.last().unwrap().clone()).unwrap()
    }

    /// Puts the chain in order again from entry `from` on, as a forger without the signing key would.
    fn chain_again(&mut self, from: usize) {
        for at in from.max(1)..self.leaves.len() {
            let mut leaf = leaf::decode(&self.leaves[at]).unwrap();
            leaf.position.previous = leaf::hash(&self.leaves[at - 1]);
            leaf.position.sequence = at as u64;
            self.leaves[at] = leaf.encode().unwrap();
        }
    }

    fn lines(&self) -> Vec<String> {
        let notes = self.notes.iter().map(|note| Line::Checkpoint { note: note.clone() });
        let leaves = self.leaves.iter().zip(0..).map(|(bytes, index)| Line::of_leaf(Some(index), bytes));
        notes.chain(leaves).map(|line| line.to_text()).collect()
    }

    fn report(&self) -> Report {
        let mut verifier = Verifier::new(keys());
        self.anchors.iter().for_each(|note| verifier.anchor(note));
        self.lines().iter().zip(1..).for_each(|(line, number)| verifier.line(number, line));
        verifier.finish()
    }

    /// Verifies and gives the words of what was found.
    fn codes(&self) -> Vec<&'static str> {
        self.report().findings.iter().map(Finding::code).collect()
    }
}

fn replica(chain: u8) -> ReplicaId {
    ReplicaId::from_bytes([chain; 16])
}

fn entry(chain: u8, sequence: u64, previous: Hash) -> Leaf {
    let (kind, id, concludes) = match sequence {
        0 => (EventKind::Replica, "evt_start".to_owned(), None),
        n if n % 2 == 1 => (EventKind::Intent, format!("eval_{chain}_{n}"), None),
        n => (EventKind::Outcome, format!("evt_{n}"), Some(format!("eval_{chain}_{}", n - 1))),
    };
    let at = Timestamp::from_second(1_700_000_000 + i64::try_from(sequence).unwrap()).unwrap();
    let body = BTreeMap::from([("number".to_owned(), i64::try_from(sequence).unwrap().into())]);
    let position = Position { replica: replica(chain), boot: BootNonce::from_bytes([7; 16]), sequence, previous };
    Leaf { position, event: AuditEvent { kind, id, at, concludes, body, commitments: BTreeMap::new() } }
}

fn alter(bytes: &mut Vec<u8>) {
    let mut leaf = leaf::decode(bytes).unwrap();
    leaf.event.body.insert("number".to_owned(), (-1).into());
    *bytes = leaf.encode().unwrap();
}

#[test]
fn an_unharmed_log_holds() {
    for count in [1, 2, 4, 9, 12] {
        let report = Log::of(count).report();
        assert_eq!(report.verdict(), Ok(()), "{:?}", report.findings);
        assert_eq!((report.entries, report.signed, report.replicas), (count, count, 1));
        // An even number ends with an intent that nobody concluded.
        assert_eq!(report.open_intents.len(), usize::from(count % 2 == 0), "{count}");
    }
    let report = Log::of_chains(13, 3).report();
    assert_eq!((report.verdict(), report.replicas, report.signed), (Ok(()), 3, 13));
    assert_eq!(Verifier::new(keys()).finish().verdict(), Ok(()));
}

#[test]
fn an_altered_entry_is_named() {
    for at in 0..9 {
        let mut log = Log::of(9);
        alter(&mut log.leaves[at]);
        let report = log.report();
        let after = if at < 4 { 0 } else { 4 };
        let mismatch = Finding::RootMismatch { size: 9, after };
        assert!(report.findings.contains(&mismatch), "{at}: {:?}", report.findings);
        if at < 8 {
            let altered =
                Finding::Altered { at: at as u64, replica: replica(0), sequence: at as u64, or_next: at == 7 };
            assert!(report.findings.contains(&altered), "{at}: {:?}", report.findings);
        }
    }
}

#[test]
fn an_alteration_that_is_chained_again_is_still_found() {
    let mut log = Log::of(9);
    alter(&mut log.leaves[2]);
    log.chain_again(3);
    assert_eq!(log.codes(), ["root_mismatch", "root_mismatch"]);
}

#[test]
fn a_replaced_entry_is_named() {
    let mut log = Log::of(9);
    log.leaves[5] = log.leaves[1].clone();
    let codes = log.codes();
    for code in ["forked", "removed", "reordered", "repeated_intent", "orphan_outcome", "root_mismatch"] {
        assert!(codes.contains(&code), "{code} of {codes:?}");
    }
}

#[test]
fn removed_entries_are_named() {
    for (gone, first, last) in [(0..1, 0, 0), (3..4, 3, 3), (2..6, 2, 5)] {
        let mut log = Log::of(9);
        log.leaves.drain(gone);
        let findings = log.report().findings;
        let removed = Finding::Removed { replica: replica(0), first, last };
        assert!(findings.contains(&removed), "{findings:?}");
        assert!(findings.iter().any(|finding| finding.code() == "truncated"), "{findings:?}");
    }
    // Without renumbering, the gap shows in the indexes as well.
    let mut lines = Log::of(9).lines();
    lines.remove(5);
    let mut verifier = Verifier::new(keys());
    lines.iter().zip(1..).for_each(|(line, number)| verifier.line(number, line));
    assert!(verifier.finish().findings.contains(&Finding::Misnumbered { expected: 3, found: 4 }));
}

#[test]
fn moved_entries_are_named() {
    let mut log = Log::of(9);
    log.leaves.swap(4, 6);
    let findings = log.report().findings;
    for moved in [5, 6] {
        let sequence = if moved == 5 { 5 } else { 4 };
        let reordered = Finding::Reordered { at: moved, replica: replica(0), sequence };
        assert!(findings.contains(&reordered), "{findings:?}");
    }
    // Chains may be interleaved anyhow, but only as they were signed.
    let mut log = Log::of_chains(12, 2);
    log.leaves.swap(6, 7);
    assert_eq!(log.codes(), ["root_mismatch"]);
}

#[test]
fn a_cut_log_is_named() {
    let mut log = Log::of(9);
    log.leaves.truncate(6);
    assert_eq!(log.report().findings, [Finding::Truncated { signed: 9, found: 6 }]);
    // Whoever cuts off the checkpoint as well meets the anchor that an auditor kept.
    log.notes.pop();
    assert_eq!(log.report().verdict(), Ok(()));
    log.anchors.push(Log::of(9).note(9));
    assert_eq!(log.report().findings, [Finding::Truncated { signed: 9, found: 6 }]);
}

#[test]
fn two_histories_are_named() {
    let honest = Log::of(9);
    let mut log = honest.clone();
    alter(&mut log.leaves[6]);
    log.chain_again(7);
    log.notes = vec![log.note(4), log.note(9)];
    assert_eq!(log.report().verdict(), Ok(()), "whoever holds the key can write another log …");
    log.anchors = vec![honest.note(8)];
    assert_eq!(log.codes(), ["rewritten"], "… but not behind an anchor");
    log.anchors.clear();
    log.notes.push(honest.note(9));
    assert!(log.codes().contains(&"forked_checkpoints"));
    // Two runs from one backup: the same numbers again in another run.
    let mut log = honest.clone();
    let mut second_run = leaf::decode(&log.leaves[8]).unwrap();
    second_run.position.boot = BootNonce::from_bytes([8; 16]);
    log.leaves.push(second_run.encode().unwrap());
    log.notes.push(log.note(10));
    let forked = Finding::Forked { replica: replica(0), sequence: 8, first_at: 8, second_at: 9 };
    assert!(log.report().findings.contains(&forked));
}

#[test]
fn signatures_are_needed() {
    let mut log = Log::of(9);
    log.notes.clear();
    assert_eq!(log.report().findings, [Finding::Unsigned { entries: 9 }]);
    let mut log = Log::of(9);
    log.notes[1] = log.notes[1].replacen("\n9\n", "\n8\n", 1);
    let report = log.report();
    assert_eq!(report.findings.iter().map(Finding::code).collect::<Vec<_>>(), ["bad_checkpoint"]);
    assert_eq!((report.signed, report.checkpoints), (4, 1));
}

#[test]
fn outcomes_belong_to_intents() {
    // The second intent becomes a second outcome of the first one.
    let mut log = Log::of(9);
    let mut leaf = leaf::decode(&log.leaves[3]).unwrap();
    (leaf.event.kind, leaf.event.concludes) = (EventKind::Outcome, Some("eval_0_1".into()));
    log.leaves[3] = leaf.encode().unwrap();
    log.chain_again(4);
    log.notes = vec![log.note(9)];
    let findings = log.report().findings;
    assert_eq!(findings.iter().map(Finding::code).collect::<Vec<_>>(), ["concluded_twice", "orphan_outcome"]);
    for finding in findings {
        assert!(!finding.to_string().is_empty());
    }
}

#[test]
fn what_people_read_is_what_was_signed() {
    let lines = Log::of(9).lines();
    let mut verifier = Verifier::new(keys());
    for (line, number) in lines.iter().zip(1..) {
        verifier.line(number, &line.replacen(r#""body":{"number":5}"#, r#""body":{"number":6}"#, 1));
    }
    assert_eq!(verifier.finish().findings, [Finding::Misrendered { at: 5 }]);
}

#[test]
fn findings_have_a_bound() {
    let mut verifier = Verifier::new(keys());
    for number in 0..FINDINGS_MAX as u64 + 7 {
        verifier.line(number, "{}");
    }
    let report = verifier.finish();
    assert_eq!((report.findings.len(), report.findings_omitted), (FINDINGS_MAX, 7));
    assert_eq!(report.verdict(), Err(FINDINGS_MAX as u64 + 7));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any byte of any line of an export set to anything else is found.
    #[test]
    fn any_altered_byte_is_found(line in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in 0x20_u8..0x7f) {
        let mut lines: Vec<Vec<u8>> = Log::of(7).lines().into_iter().map(String::into_bytes).collect();
        let line = line.index(lines.len());
        let at = at.index(lines[line].len());
        prop_assume!(lines[line][at] != byte);
        lines[line][at] = byte;
        let Ok(altered) = String::from_utf8(lines[line].clone()) else { return Ok(()) };
        // A line that says the same in other words (a space, a letter's escape) is not an alteration.
        prop_assume!(Line::parse(&altered).ok() != Line::parse(&Log::of(7).lines()[line]).ok());
        let mut verifier = Verifier::new(keys());
        for (number, line) in lines.iter().enumerate() {
            verifier.line(number as u64, &String::from_utf8_lossy(line));
        }
        prop_assert!(verifier.finish().verdict().is_err(), "{altered}");
    }
}
