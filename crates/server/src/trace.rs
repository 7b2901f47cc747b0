//! A stream that tells whether bytes still move on it. Looks at none of them.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose moves are counted.
pub(crate) struct Traced<S> {
    stream: S,
    moves: Arc<AtomicU64>,
}

/// The count of a stream's moves.
pub(crate) struct Trace(Arc<AtomicU64>);

impl<S> Traced<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, moves: Arc::default() }
    }

    pub(crate) fn trace(&self) -> Trace {
        Trace(Arc::clone(&self.moves))
    }

    fn moved(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
    }
}

impl Trace {
    /// Ends when no byte moved for at least `silence`, and at most twice as long.
    pub(crate) async fn silence(&self, silence: Duration) {
        let mut before = None;
        loop {
            let now = self.0.load(Ordering::Relaxed);
            if before == Some(now) {
                return;
            }
            before = Some(now);
            tokio::time::sleep(silence).await;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Traced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.moved();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Traced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if matches!(polled, Poll::Ready(Ok(written)) if written > 0) {
            self.moved();
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        if matches!(polled, Poll::Ready(Ok(written)) if written > 0) {
            self.moved();
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn moves_in_either_direction_break_the_silence() {
        let (here, mut there) = tokio::io::duplex(64);
        let mut here = Traced::new(here);
        let trace = here.trace();
        let silence = tokio::spawn(async move { trace.silence(Duration::from_secs(60)).await });
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_secs(50)).await;
            here.write_all(b"x").await.unwrap();
            there.read_u8().await.unwrap();
            tokio::time::sleep(Duration::from_secs(50)).await;
            there.write_all(b"y").await.unwrap();
            here.read_u8().await.unwrap();
        }
        assert!(!silence.is_finished());
        tokio::time::sleep(Duration::from_secs(121)).await;
        assert!(silence.is_finished());
    }
}
