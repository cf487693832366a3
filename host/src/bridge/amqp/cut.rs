//! A stream that can be cut: the client library closes links when it lets go of them, and a closed link takes a durable
//! subscription with it. Where a connection is given up, nothing more may leave.

use super::super::dial::Stream;
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// See the head of this file.
#[derive(Debug)]
pub struct Cut {
    inner: Box<dyn Stream>,
    is_cut: Arc<AtomicBool>,
}

/// Cuts the stream.
#[derive(Debug)]
pub struct Scissors(Arc<AtomicBool>);

impl Cut {
    pub fn new(inner: Box<dyn Stream>) -> (Self, Scissors) {
        let is_cut = Arc::new(AtomicBool::new(false));
        (Self { inner, is_cut: is_cut.clone() }, Scissors(is_cut))
    }

    fn check(&self) -> Result<()> {
        if self.is_cut.load(Ordering::Acquire) { Err(Error::from(ErrorKind::BrokenPipe)) } else { Ok(()) }
    }
}

impl Scissors {
    pub fn cut(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl AsyncRead for Cut {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        self.check()?;
        Pin::new(&mut self.inner).poll_read(context, into)
    }
}

impl AsyncWrite for Cut {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.check()?;
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.check()?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
