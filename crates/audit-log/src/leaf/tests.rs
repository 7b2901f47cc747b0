//! Frozen vectors, and the algebra of encoding and strict decoding.

use proptest::{collection, prelude::*};

use super::*;
use crate::{
    encode::CANONICAL_DEPTH_MAX,
    event::{Canonical, EventKind},
};

const VECTORS: &str = include_str!("vectors.txt");

fn replica() -> ReplicaId {
    "000102030405060708090a0b0c0d0e0f".parse().unwrap()
}

fn leaf(sequence: u64, previous: Hash, kind: EventKind, id: &str, at: i64) -> Leaf {
    let position = Position { replica: replica(), boot: BootNonce::from_bytes([0xb0; 16]), sequence, previous };
    let at = Timestamp::from_microsecond(at).unwrap();
    let id = id.to_owned();
    let event = AuditEvent { kind, id, at, concludes: None, body: BTreeMap::new(), commitments: BTreeMap::new() };
    Leaf { position, event }
}

fn body(fields: impl IntoIterator<Item = (&'static str, Canonical)>) -> BTreeMap<String, Canonical> {
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The leaves that `vectors.txt` holds, chained to one another.
fn frozen() -> Vec<(&'static str, Leaf)> {
    let start = 1_700_000_000_000_000;
    let first = leaf(0, CHAIN_START, EventKind::Replica, "evt_018bcfe568007070707070707070707a", start);
    let previous = hash(&first.encode().unwrap());
    let mut intent = leaf(1, previous, EventKind::Intent, "eval_018bcfe568007070707070707070707b", start + 1);
    intent.event.body = body([
        ("agent", "support-bot".into()),
        ("system", "files".into()),
        ("action", "files.read_file".into()),
        ("bundle", Canonical::Bytes(vec![0xaa; 32])),
        ("chain", vec!["user:usr-1", "agent:support-bot"].into()),
        ("decision", body([("outcome", "allow".into()), ("obligations", Canonical::Array(vec![]))]).into()),
        ("operations", 1.into()),
        ("requestable", false.into()),
    ]);
    intent.event.commitments = [("arguments".into(), [0x11; 32]), ("prompt".into(), [0x22; 32])].into();
    let previous = hash(&intent.encode().unwrap());
    let mut outcome = leaf(2, previous, EventKind::Outcome, "evt_018bcfe568007070707070707070707c", start + 250_000);
    outcome.event.concludes = Some(intent.event.id.clone());
    outcome.event.body = body([
        ("agent", "support-bot".into()),
        ("status", "succeeded".into()),
        ("bytes", 65_536.into()),
        ("long name of a field that needs more than 23 bytes", (-1).into()),
    ]);
    outcome.event.commitments = [("result".into(), [0x33; 32])].into();
    let mut extremes = leaf(u64::MAX, [0xff; 32], EventKind::Alert, "", -1);
    let edges = [0, 23, 24, 255, 256, 65_535, 65_536, 1 << 32, -24, -25, -256, -257];
    let mut items = vec![
        Canonical::Array(vec![]),
        BTreeMap::new().into(),
        Canonical::Bytes(vec![]),
        Canonical::Text(String::new()),
    ];
    items.extend(edges.map(Canonical::Int));
    extremes.event.body = body([
        ("", true.into()),
        ("a", i64::MIN.into()),
        ("b", i64::MAX.into()),
        ("aa", "ü😀\n".into()),
        ("z", Canonical::Array(items)),
    ]);
    extremes.event.commitments = [(String::new(), [0; 32])].into();
    vec![("replica_started", first), ("intent", intent), ("outcome", outcome), ("extremes", extremes)]
}

#[test]
fn the_format_is_frozen() {
    let lines: Vec<_> = VECTORS.lines().filter(|line| !line.starts_with('#')).collect();
    let leaves = frozen();
    assert_eq!(lines.len(), leaves.len());
    for (line, (name, leaf)) in lines.into_iter().zip(leaves) {
        let bytes = leaf.encode().unwrap();
        assert_eq!(format!("{name} {} {}", hex::encode(&bytes), hex::encode(hash(&bytes))), line);
        assert_eq!(decode(&bytes), Ok(leaf));
    }
}

#[test]
fn the_kinds_are_frozen() {
    let texts = EventKind::ALL.map(EventKind::as_str).join(" ");
    assert_eq!(
        texts,
        "intent outcome denial evaluated listed token_issued token_refused agent_changed task_changed bundle_activated \
         safe_mode_changed definition_changed secret_changed sealed_opened replica alert observation_changed \
         user_changed grant_changed session_changed token_examined key_changed"
    );
    for kind in EventKind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    assert!("Intent".parse::<EventKind>().is_err());
}

#[test]
fn a_leaf_has_a_largest_size() {
    let mut leaf = leaf(0, CHAIN_START, EventKind::Denial, "eval_1", 0);
    leaf.event.body = body([("text", Canonical::Text(String::new()))]);
    let room = LEAF_BYTES_MAX - leaf.encode().unwrap().len() - 2;
    leaf.event.body = body([("text", Canonical::Text("x".repeat(room)))]);
    let bytes = leaf.encode().unwrap();
    assert_eq!(bytes.len(), LEAF_BYTES_MAX);
    assert_eq!(decode(&bytes), Ok(leaf.clone()));
    leaf.event.body = body([("text", Canonical::Text("x".repeat(room + 1)))]);
    assert_eq!(leaf.encode(), Err(EncodeError::TooLarge(LEAF_BYTES_MAX + 1)));
    assert_eq!(decode(&[0; LEAF_BYTES_MAX + 1]), Err(DecodeError::TooLarge(LEAF_BYTES_MAX + 1)));
}

#[test]
fn nesting_has_a_largest_depth() {
    let nested = |depth: usize| (1..depth).fold(Canonical::Array(vec![]), |inner, _| Canonical::Array(vec![inner]));
    let mut leaf = leaf(0, CHAIN_START, EventKind::Denial, "eval_1", 0);
    // The body itself is the outermost map.
    leaf.event.body = body([("deep", nested(CANONICAL_DEPTH_MAX - 1))]);
    assert_eq!(decode(&leaf.encode().unwrap()), Ok(leaf.clone()));
    leaf.event.body = body([("deep", nested(CANONICAL_DEPTH_MAX))]);
    assert!(matches!(leaf.encode(), Err(EncodeError::TooDeep(_))));
    // 60,000 arrays inside one another must be refused, not overflow the stack.
    let mut bomb = frozen().remove(0).1.encode().unwrap();
    bomb.truncate(bomb.len() - 3);
    bomb.extend([0xa1, 0x61, b'd']);
    bomb.extend(vec![0x81; 60_000]);
    assert!(matches!(decode(&bomb), Err(DecodeError::Malformed(_))));
}

/// Other spellings of the same content, each a leaf's enemy.
#[test]
fn other_spellings_are_refused() {
    let bytes = frozen().remove(0).1.encode().unwrap();
    let tail = bytes.len() - 4;
    // … 09 a0 0a a0: body and commitments, both empty.
    assert_eq!(bytes[tail..], [0x09, 0xa0, 0x0a, 0xa0]);
    let with_tail = |new: &[u8]| [&bytes[..tail], new].concat();
    let cases: [(&str, Vec<u8>); 12] = [
        ("a long integer", with_tail(&[0x18, 0x09, 0xa0, 0x0a, 0xa0])),
        ("a long map head", with_tail(&[0x09, 0xb8, 0x00, 0x0a, 0xa0])),
        ("an indefinite map", with_tail(&[0x09, 0xbf, 0xff, 0x0a, 0xa0])),
        ("an indefinite text", with_tail(&[0x09, 0xa1, 0x7f, 0x61, b'a', 0xff, 0xf5, 0x0a, 0xa0])),
        ("keys out of order", with_tail(&[0x09, 0xa2, 0x61, b'b', 0xf5, 0x61, b'a', 0xf5, 0x0a, 0xa0])),
        ("a longer key first", with_tail(&[0x09, 0xa2, 0x62, b'a', b'a', 0xf5, 0x61, b'b', 0xf5, 0x0a, 0xa0])),
        ("a key twice", with_tail(&[0x09, 0xa2, 0x61, b'a', 0xf5, 0x61, b'a', 0xf5, 0x0a, 0xa0])),
        ("fields out of order", with_tail(&[0x0a, 0xa0, 0x09, 0xa0])),
        ("a tag", with_tail(&[0x09, 0xa1, 0x61, b'a', 0xc0, 0x61, b'x', 0x0a, 0xa0])),
        ("a float", with_tail(&[0x09, 0xa1, 0x61, b'a', 0xf9, 0x3c, 0x00, 0x0a, 0xa0])),
        ("null", with_tail(&[0x09, 0xa1, 0x61, b'a', 0xf6, 0x0a, 0xa0])),
        ("bytes after the end", [&bytes[..], &[0]].concat()),
    ];
    for (what, altered) in cases {
        assert!(decode(&altered).is_err(), "{what}");
    }
    let mut future = bytes.clone();
    future[2] = 2;
    assert_eq!(decode(&future), Err(DecodeError::Version(2)));
}

fn any_value() -> impl Strategy<Value = Canonical> {
    let plain = prop_oneof![
        any::<bool>().prop_map(Canonical::Bool),
        any::<i64>().prop_map(Canonical::Int),
        (-300_i64..300).prop_map(Canonical::Int),
        ".{0,30}".prop_map(Canonical::Text),
        collection::vec(any::<u8>(), 0..40).prop_map(Canonical::Bytes),
    ];
    plain.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..6).prop_map(Canonical::Array),
            collection::btree_map(".{0,12}", inner, 0..6).prop_map(Canonical::Map),
        ]
    })
}

prop_compose! {
    fn any_leaf()(
        kind in proptest::sample::select(EventKind::ALL.to_vec()),
        id in ".{0,40}",
        at in -62_000_000_000_000_000_i64..250_000_000_000_000_000,
        concludes in proptest::option::of(".{0,40}"),
        body in collection::btree_map(".{0,30}", any_value(), 0..6),
        commitments in collection::btree_map(".{0,12}", any::<[u8; 32]>(), 0..4),
        (sequence, previous) in (any::<u64>(), any::<[u8; 32]>()),
        (replica, boot) in (any::<[u8; 16]>(), any::<[u8; 16]>()),
    ) -> Leaf {
        let at = Timestamp::from_microsecond(at).unwrap();
        let position = Position {
            replica: ReplicaId::from_bytes(replica), boot: BootNonce::from_bytes(boot), sequence, previous,
        };
        Leaf { position, event: AuditEvent { kind, id, at, concludes, body, commitments } }
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(leaf in any_leaf()) {
        prop_assert_eq!(decode(&leaf.encode().unwrap()), Ok(leaf));
    }

    /// Whatever is accepted is the one spelling of what it says.
    #[test]
    fn altered_bytes_are_refused_or_say_something_else(
        leaf in any_leaf(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let bytes = leaf.encode().unwrap();
        let mut altered = bytes.clone();
        altered[at.index(bytes.len())] = byte;
        if let Ok(read) = decode(&altered) {
            prop_assert_eq!(read.encode().unwrap(), altered.clone());
            prop_assert_eq!(read == leaf, altered == bytes);
        }
    }

    #[test]
    fn random_bytes_never_harm(bytes in collection::vec(any::<u8>(), 0..200)) {
        if let Ok(read) = decode(&bytes) {
            prop_assert_eq!(read.encode().unwrap(), bytes);
        }
    }
}
