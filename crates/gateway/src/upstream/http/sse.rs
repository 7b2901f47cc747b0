//! Server-sent events from bytes, bounded (HTML Living Standard §9.2.6). Knows nothing of MCP.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::upstream::{
    UpstreamError,
    frame::{MESSAGE_BYTES_MAX, take},
};

/// Bytes of an event id that is kept.
const EVENT_ID_BYTES_MAX: usize = 1_024;
/// The longest wait that a server can ask for: longer than any call lasts.
const RETRY_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// One event with data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerSent {
    pub(super) data: Bytes,
}

/// Turns chunks into events.
#[derive(Debug, Default)]
pub(super) struct Parser {
    buffer: BytesMut,
    /// How much of `buffer` is known to hold no line end.
    searched: usize,
    data: BytesMut,
    has_data: bool,
    /// The id of the newest whole event.
    last_id: Option<String>,
    /// The id of the event that is being read: what breaks off was not heard, and must come again.
    next_id: Option<String>,
    retry_ms: Option<u64>,
    after_return: bool,
}

impl Parser {
    /// The id to resume from.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref().filter(|id| !id.is_empty())
    }

    /// How long the server wants us to wait before resuming.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry_ms.map(|wait| Duration::from_millis(wait).min(RETRY_MAX))
    }

    /// Forgets what was begun when a stream broke; ids and waits stay.
    pub(super) fn restart(&mut self) {
        self.buffer.clear();
        self.data.clear();
        self.next_id = None;
        self.searched = 0;
        self.has_data = false;
        self.after_return = false;
    }

    /// Takes more bytes.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), UpstreamError> {
        if self.buffer.len() + self.data.len() + chunk.len() > MESSAGE_BYTES_MAX + chunk.len().min(64 * 1_024) {
            return Err(UpstreamError::Malformed(format!("an event is longer than {MESSAGE_BYTES_MAX} bytes")));
        }
        self.buffer.extend_from_slice(chunk);
        Ok(())
    }

    /// The next whole event that carries data.
    pub(super) fn next(&mut self) -> Result<Option<ServerSent>, UpstreamError> {
        while let Some(line) = self.line() {
            if line.is_empty() {
                self.last_id = self.next_id.take().or(self.last_id.take());
                let data = take(&mut self.data);
                if std::mem::take(&mut self.has_data) {
                    return Ok(Some(ServerSent { data }));
                }
                continue;
            }
            self.field(&line)?;
        }
        Ok(None)
    }

    fn line(&mut self) -> Option<BytesMut> {
        if std::mem::take(&mut self.after_return) && self.buffer.first() == Some(&b'\n') {
            drop(self.buffer.split_to(1));
            self.searched = 0;
        } else if self.buffer.is_empty() {
            return None;
        }
        let unseen = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(found) = unseen.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched + found;
        self.searched = 0;
        let line = self.buffer.split_to(end);
        self.after_return = self.buffer.first() == Some(&b'\r');
        drop(self.buffer.split_to(1));
        Some(line)
    }

    fn field(&mut self, line: &[u8]) -> Result<(), UpstreamError> {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                if self.has_data {
                    self.data.extend_from_slice(b"\n");
                }
                self.has_data = true;
                if self.data.len() + value.len() > MESSAGE_BYTES_MAX {
                    return Err(UpstreamError::Malformed(format!("an event is longer than {MESSAGE_BYTES_MAX} bytes")));
                }
                self.data.extend_from_slice(value);
            }
            b"id" if value.len() <= EVENT_ID_BYTES_MAX && !value.contains(&0) => {
                self.next_id = std::str::from_utf8(value).ok().map(str::to_owned);
            }
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                self.retry_ms = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).or(self.retry_ms);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &[u8], chunk: usize) -> (Vec<String>, Parser) {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for piece in text.chunks(chunk) {
            parser.push(piece).unwrap();
            while let Some(event) = parser.next().unwrap() {
                events.push(String::from_utf8(event.data.to_vec()).unwrap());
            }
        }
        (events, parser)
    }

    #[test]
    fn events_come_whole_however_they_are_cut() {
        let text =
            b": hello\r\n\r\nid: 7\ndata: {\"a\":\ndata:1}\n\nretry: 250\rdata\r\rdata: x\r\n\r\nevent: e\n\ndata: cut";
        for chunk in 1..text.len() {
            let (events, parser) = all(text, chunk);
            assert_eq!(events, ["{\"a\":\n1}", "", "x"], "in pieces of {chunk}");
            assert_eq!((parser.last_id(), parser.retry()), (Some("7"), Some(Duration::from_millis(250))));
        }
    }

    #[test]
    fn only_a_whole_event_counts_as_heard() {
        let check = |text: &str, expected: Option<&str>| {
            let (_, mut parser) = all(text.as_bytes(), 1);
            assert_eq!(parser.last_id(), expected, "{text}");
            parser.restart();
            assert_eq!(parser.last_id(), expected, "{text}, broken off");
        };
        check("id: 7\ndata: {}\n\n", Some("7"));
        check("id: 7\ndata: {}\n\nid: 8\ndata: {}\n", Some("7"));
        check("id: 7\n\n", Some("7"));
        check("id: 7\n\ndata: {}\n\n", Some("7"));
        check("id: 7\n\nid:\ndata: {}\n\n", None);
        check("id: 7\ndata: {}\n", None);
        let (_, parser) = all(b"retry: 10\nretry: soon\nretry: -1\n\n", 3);
        assert_eq!(parser.retry(), Some(Duration::from_millis(10)));
        let (_, parser) = all(b"retry: 18446744073709551615\n\n", 7);
        assert_eq!(parser.retry(), Some(RETRY_MAX));
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut parser = Parser::default();
        let chunk = vec![b'x'; 1_024 * 1_024];
        let refused = (0..40).any(|_| parser.push(&chunk).and_then(|()| parser.next()).is_err());
        assert!(refused);
        let mut parser = Parser::default();
        let line = [b"data: ".as_slice(), &chunk, b"\n"].concat();
        let refused = (0..40).any(|_| parser.push(&line).and_then(|()| parser.next()).is_err());
        assert!(refused, "many lines of one event");
    }

    #[test]
    fn a_small_event_keeps_nothing_of_a_large_one() {
        let (large, small) = (vec![b'x'; 4 * 1_024 * 1_024], b"{\"progress\":1}");
        let mut parser = Parser::default();
        let mut kept = Vec::new();
        for data in [large.as_slice(), small, large.as_slice(), small] {
            for piece in [b"data: ", data, b"\n\n"] {
                parser.push(piece).unwrap();
            }
            let event = parser.next().unwrap().unwrap();
            assert_eq!(event.data, data);
            kept.extend((data.len() == small.len()).then_some(event.data));
        }
        for data in kept {
            let own = data.try_into_mut().expect("memory of its own");
            assert!(own.capacity() <= 64, "{} bytes are kept", own.capacity());
        }
    }

    proptest! {
        #[test]
        fn data_survives(lines in prop::collection::vec("[ -~]{0,12}", 1..5), chunk in 1..30_usize) {
            let text: String = lines.iter().map(|line| format!("data: {line}\n")).chain(["\n".to_owned()]).collect();
            let (events, _) = all(text.as_bytes(), chunk);
            prop_assert_eq!(events, vec![lines.join("\n")]);
        }
    }
}
