//! What a server says outside any call: list changes, updated MCP
//! resources, log messages. Holds no call open.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::Stream;
use tokio::sync::mpsc;

/// Notifications that a listening session has not taken yet; further ones are dropped.
pub(crate) const LISTENER_EVENTS_MAX: usize = 256;
/// Listening sessions of one connection.
pub(crate) const LISTENERS_MAX: usize = 64;

/// A stream of raw notifications; it ends with the connection.
pub struct Listener {
    events: mpsc::Receiver<Bytes>,
}

impl Listener {
    pub(crate) const fn new(events: mpsc::Receiver<Bytes>) -> Self {
        Self { events }
    }
}

impl Stream for Listener {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.events.poll_recv(context)
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}
