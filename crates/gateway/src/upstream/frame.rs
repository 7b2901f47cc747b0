//! Lines of a byte stream, as the stdio transport frames its messages: one
//! message, one line. Bounds what it buffers; does not look inside.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// Bytes of one message from an upstream. Larger than what callers may send: results hold files.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Bytes of one notification of an upstream, and of one thing that it asks. Many of them wait for clients that read
/// slowly: what is larger is dropped, or refused, so that a server cannot fill the broker's memory.
pub(crate) const ASIDE_BYTES_MAX: usize = 256 * 1_024;
/// Lines that are no message, without an answer among them, before the connection is given up: servers greet and log
/// on the wrong stream, but not for long.
pub const MALFORMED_MAX: usize = 16;

/// A stream that cannot be framed any further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// A line beyond the maximum: nobody can tell whose answer it was.
    #[error("a line is longer than {0} bytes")]
    TooLong(usize),
    /// The stream broke.
    #[error("the stream broke: {0}")]
    Broken(std::io::ErrorKind),
}

/// Reads lines.
pub(crate) struct Frames<R> {
    reader: R,
    buffer: BytesMut,
    bytes_max: usize,
}

impl<R: AsyncBufRead + Unpin> Frames<R> {
    pub(crate) fn new(reader: R, bytes_max: usize) -> Self {
        Self { reader, buffer: BytesMut::new(), bytes_max }
    }

    /// The next line that is not blank, without its end; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        loop {
            let chunk = self.reader.fill_buf().await.map_err(|error| FrameError::Broken(error.kind()))?;
            let ended = chunk.is_empty();
            let line_end = chunk.iter().position(|byte| *byte == b'\n');
            let taken = line_end.unwrap_or(chunk.len());
            if self.buffer.len() + taken > self.bytes_max {
                return Err(FrameError::TooLong(self.bytes_max));
            }
            self.buffer.extend_from_slice(chunk.get(..taken).unwrap_or_default());
            let used = taken + usize::from(line_end.is_some());
            self.reader.consume(used);
            if line_end.is_none() && !ended {
                continue;
            }
            let line = take(&mut self.buffer);
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line.slice_ref(line.trim_ascii())));
            }
            if ended {
                return Ok(None);
            }
        }
    }
}

/// What was read, out of the buffer. Small messages wait for clients, and are counted by their length: they get memory of
/// their own, since a slice would hold all of the buffer, however large the message before was.
pub(crate) fn take(buffer: &mut BytesMut) -> Bytes {
    if buffer.len() > ASIDE_BYTES_MAX {
        return std::mem::take(buffer).freeze();
    }
    let own = Bytes::copy_from_slice(buffer);
    buffer.clear();
    own
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn all(bytes: &[u8], chunk: usize, bytes_max: usize) -> Result<Vec<Bytes>, String> {
        let reader = tokio::io::BufReader::with_capacity(chunk, bytes);
        let mut frames = Frames::new(reader, bytes_max);
        let mut lines = Vec::new();
        while let Some(line) = frames.next().await.map_err(|error| error.to_string())? {
            lines.push(line);
        }
        Ok(lines)
    }

    #[tokio::test]
    async fn lines_come_whole_and_bounded() {
        let lines = all(b"{}\r\n\n  \n[1]\nlast", 2, 10).await;
        assert_eq!(lines, Ok(vec![Bytes::from("{}"), Bytes::from("[1]"), Bytes::from("last")]));
        assert_eq!(all(b"12345\n", 2, 4).await, Err("a line is longer than 4 bytes".to_owned()));
        assert_eq!(all(b"1234", 2, 4).await, Ok(vec![Bytes::from("1234")]));
        assert!(all(&[b'x'; 100], 8, 50).await.is_err(), "even without an end");
    }

    #[tokio::test]
    async fn a_small_line_keeps_nothing_of_a_large_one() {
        let text = format!("{}\n{{}}\n", "x".repeat(4 * 1_024 * 1_024)).repeat(2);
        let lines = all(text.as_bytes(), 64 * 1_024, MESSAGE_BYTES_MAX).await.unwrap();
        assert_eq!(lines.len(), 4);
        for line in lines.into_iter().filter(|line| line == "{}") {
            let own = line.try_into_mut().expect("memory of its own");
            assert!(own.capacity() <= 64, "{} bytes are kept", own.capacity());
        }
    }

    proptest! {
        #[test]
        fn framing_does_not_depend_on_how_bytes_arrive(lines in prop::collection::vec("[a-z]{1,9}", 0..9), chunk in 1..40_usize) {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let framed = runtime.block_on(all(text.as_bytes(), chunk, 9)).unwrap();
            prop_assert_eq!(framed, lines.into_iter().map(Bytes::from).collect::<Vec<_>>());
        }
    }
}
