//! What is kept, for how long, and what it takes to lose it.

use bailiwick_model::principal::{DelegationChain, Principal};

use super::{super::budget::Budget, *};

const TIME: Duration = Duration::from_secs(60);

fn piece(text: &str) -> Piece {
    Piece { message: Bytes::copy_from_slice(text.as_bytes()), last: None }
}

fn last(text: &str) -> Piece {
    Piece { last: Some(StatusCode::OK), ..piece(text) }
}

fn kept() -> (Writer, Reader) {
    let (writer, reader) = open();
    let chain = DelegationChain::of(Principal::Agent("ann".parse().unwrap()));
    reader.outbox().keep(Budget::default().charge(&chain, 0).unwrap(), TIME);
    (writer, reader)
}

async fn rest(mut reader: Reader) -> Vec<(u64, String)> {
    let mut all = Vec::new();
    while let Some((number, piece)) = reader.next().await {
        all.push((number, String::from_utf8(piece.message.to_vec()).unwrap()));
    }
    all
}

#[tokio::test]
async fn what_was_read_can_be_read_again_from_anywhere() {
    let (writer, reader) = kept();
    for text in ["a", "b"] {
        writer.put(piece(text)).await;
    }
    writer.put(last("c")).await;
    drop(writer);
    let outbox = Arc::clone(reader.outbox());
    let all = [(1, "a".to_owned()), (2, "b".to_owned()), (3, "c".to_owned())];
    assert_eq!(rest(reader).await, all);
    for after in [0, 1, 2, 3] {
        let again = rest(outbox.resume(after).unwrap()).await;
        assert_eq!(again, all[usize::try_from(after).unwrap()..]);
    }
    assert!(outbox.resume(4).is_none() && outbox.resume(u64::MAX).is_none(), "that was never said");
    outbox.forfeit();
    assert!(outbox.resume(0).is_none());
}

#[tokio::test]
async fn a_stream_that_is_not_kept_ends_with_its_reader() {
    let (writer, mut reader) = open();
    writer.put(piece("a")).await;
    assert_eq!(reader.ready().await, Ready::More);
    assert_eq!(reader.next().await.unwrap().0, 1);
    let outbox = Arc::clone(reader.outbox());
    assert!(outbox.resume(0).is_none());
    assert!(outbox.state().pieces.is_empty(), "what was read is gone");
    drop(reader);
    writer.abandoned().await;
    for _ in 0..ANSWER_QUEUE_MAX * 2 {
        writer.put(piece("nobody waits for this")).await;
    }
    assert!(outbox.state().pieces.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_kept_stream_waits_for_its_time() {
    let (writer, reader) = kept();
    writer.put(piece("a")).await;
    let outbox = Arc::clone(reader.outbox());
    drop(reader);
    assert!(tokio::time::timeout(TIME / 2, writer.abandoned()).await.is_err());
    // Whoever comes back stops the clock.
    let reader = outbox.resume(0).unwrap();
    assert!(tokio::time::timeout(TIME * 3, writer.abandoned()).await.is_err());
    drop(reader);
    assert!(tokio::time::timeout(TIME * 2, writer.abandoned()).await.is_ok());
    assert!(outbox.resume(0).is_none(), "too late");
}

#[tokio::test(start_paused = true)]
async fn nobody_reads_and_the_call_waits() {
    let (writer, reader) = kept();
    let outbox = Arc::clone(reader.outbox());
    drop(reader);
    for _ in 0..ANSWER_QUEUE_MAX {
        writer.put(piece("a")).await;
    }
    assert!(tokio::time::timeout(TIME / 2, writer.put(piece("b"))).await.is_err(), "the queue is bounded");
    writer.put(last("c")).await;
    drop(writer);
    let all = rest(outbox.resume(0).unwrap()).await;
    assert_eq!((all.len(), all.last().unwrap().1.as_str()), (ANSWER_QUEUE_MAX + 1, "c"));
}

#[tokio::test]
async fn what_is_kept_is_bounded_in_number_and_bytes() {
    let (writer, mut reader) = kept();
    for _ in 0..KEPT_PIECES_PER_STREAM_MAX + 10 {
        writer.put(piece("a")).await;
        reader.next().await.unwrap();
    }
    let outbox = Arc::clone(reader.outbox());
    assert_eq!(outbox.state().pieces.len(), KEPT_PIECES_PER_STREAM_MAX);
    for gone in [0, 9] {
        assert!(outbox.resume(gone).is_none(), "what was let go is not left out in silence");
    }
    let mut reader = outbox.resume(10).unwrap();
    assert_eq!(reader.next().await.unwrap().0, 11, "the oldest were let go");
    // Half of what may be kept, thrice: one has to go.
    let half = "x".repeat(KEPT_BYTES_PER_STREAM_MAX / 2);
    let mut reader = outbox.resume(266).unwrap();
    for _ in 0..3 {
        writer.put(piece(&half)).await;
        reader.next().await.unwrap();
    }
    assert_eq!(outbox.state().pieces.len(), 2);
    assert_eq!(outbox.state().bytes, KEPT_BYTES_PER_STREAM_MAX);
    // One that alone is too much reaches whoever reads, and ends the keeping.
    assert!(tokio::time::timeout(Duration::ZERO, outbox.lapsed()).await.is_err());
    writer.put(piece(&"y".repeat(KEPT_BYTES_PER_STREAM_MAX + 1))).await;
    assert_eq!(reader.next().await.unwrap().1.message.len(), KEPT_BYTES_PER_STREAM_MAX + 1);
    outbox.lapsed().await;
    assert!(outbox.resume(0).is_none());
    assert_eq!(outbox.state().bytes, 0);
}

#[tokio::test]
async fn the_newest_reader_has_the_turn() {
    let (writer, mut first) = kept();
    let outbox = Arc::clone(first.outbox());
    let mut second = outbox.resume(0).unwrap();
    writer.put(piece("a")).await;
    assert!(first.next().await.is_none());
    drop(first);
    assert_eq!(second.next().await.unwrap().0, 1);
    assert!(outbox.state().unattended.is_none(), "the old one's end is nobody's");
}
