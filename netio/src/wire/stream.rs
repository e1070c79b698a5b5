//! A connected stream, plain or under TLS, as hyper takes it.
//!
//! One match for each read or write is all that a plain stream pays. The streams of a room speak hyper's traits, rustls speaks
//! those of `futures`; adapters of hyper-util and tokio-util stand between.
//!
//! How it fails: as the stream does. Under TLS an end of the stream that the node has not announced (`close_notify`) is an error,
//! so a reply that was cut never looks complete.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_rustls::client::TlsStream;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};

use super::tls::Tls;

/// A room's stream `S` under TLS.
type Sealed<S> = TokioIo<Compat<TlsStream<Compat<TokioIo<S>>>>>;

/// A connected stream.
pub(crate) enum Wire<S> {
    Plain(S),
    /// On the heap: its state is large, and plain streams should not carry it along.
    Tls(Box<Sealed<S>>),
}

impl<S: Read + Write + Unpin> Wire<S> {
    /// Puts TLS over `stream`, having checked that the peer is `host`.
    pub(super) async fn handshake(stream: S, tls: &Tls, host: &str) -> Result<Self, String> {
        let sealed = tls.connect(host, TokioIo::new(stream).compat()).await?;
        Ok(Self::Tls(Box::new(TokioIo::new(sealed.compat()))))
    }
}

impl<S: Read + Write + Unpin> Read for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl<S: Read + Write + Unpin> Write for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
