//! A TCP stream that can be stopped.
//!
//! Purpose: black-hole a connection below TLS, so that neither side sees anything but silence. Owns the wakers of the
//! streams that are stopped. It must never lose a byte: what was under way goes on when the tap opens.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Stops and opens all streams of one proxy.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    stopped: Vec<Waker>,
}

impl Tap {
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
    }

    pub(crate) fn open(&self) {
        let stopped = {
            let mut state = self.state.lock();
            state.closed = false;
            std::mem::take(&mut state.stopped)
        };
        for waker in stopped {
            waker.wake();
        }
    }

    /// Ready when open; else the waker is kept.
    fn poll_open(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if !state.closed {
            return Poll::Ready(());
        }
        if !state.stopped.iter().any(|waker| waker.will_wake(context.waker())) {
            state.stopped.push(context.waker().clone());
        }
        Poll::Pending
    }
}

/// A stream behind a tap.
#[derive(Debug)]
pub(crate) struct Valve<S> {
    inner: S,
    tap: Arc<Tap>,
}

impl<S> Valve<S> {
    pub(crate) fn new(inner: S, tap: Arc<Tap>) -> Self {
        Self { inner, tap }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Valve<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.tap.poll_open(context) {
            Poll::Ready(()) => Pin::new(&mut self.inner).poll_read(context, buffer),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Valve<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.tap.poll_open(context) {
            Poll::Ready(()) => Pin::new(&mut self.inner).poll_write(context, bytes),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.tap.poll_open(context) {
            Poll::Ready(()) => Pin::new(&mut self.inner).poll_flush(context),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.tap.poll_open(context) {
            Poll::Ready(()) => Pin::new(&mut self.inner).poll_shutdown(context),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::{Tap, Valve};

    #[tokio::test]
    async fn a_closed_tap_stops_both_ways_and_loses_nothing() {
        let tap = Arc::new(Tap::default());
        let (near, mut far) = tokio::io::duplex(64);
        let mut valve = Valve::new(near, Arc::clone(&tap));
        tap.close();
        far.write_all(b"in").await.unwrap();
        let moving = tokio::spawn(async move {
            let mut text = [0; 2];
            valve.read_exact(&mut text).await.unwrap();
            valve.write_all(b"out").await.unwrap();
            text
        });
        tokio::task::yield_now().await;
        assert!(!moving.is_finished());
        tap.open();
        assert_eq!(&moving.await.unwrap(), b"in");
        let mut text = [0; 3];
        far.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"out");
    }
}
