//! A stream that can be cut: the client library closes links when it lets go of them, and a closed link takes a durable
//! subscription with it. Where a connection is given up, nothing more may leave. And it tells when the other side has hung
//! up, or sends what is no AMQP: the library may wait for an answer to an attach for ever. Of the latter the library hears
//! nothing more: what came before is carried out, answered, and then the other side hears why it is closed.

use super::super::dial::Stream;
use super::packing::Broken;
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// See the head of this file.
#[derive(Debug)]
pub struct Cut {
    inner: Box<dyn Stream>,
    is_cut: Arc<AtomicBool>,
    ended: Arc<Notify>,
    fault: Arc<OnceLock<Broken>>,
}

/// Cuts the stream.
#[derive(Debug)]
pub struct Scissors {
    is_cut: Arc<AtomicBool>,
    ended: Arc<Notify>,
    fault: Arc<OnceLock<Broken>>,
}

impl Cut {
    pub fn new(inner: Box<dyn Stream>) -> (Self, Scissors) {
        let is_cut = Arc::new(AtomicBool::new(false));
        let (ended, fault) = (Arc::new(Notify::new()), Arc::new(OnceLock::new()));
        let scissors = Scissors { is_cut: is_cut.clone(), ended: ended.clone(), fault: fault.clone() };
        (Self { inner, is_cut, ended, fault }, scissors)
    }

    fn check(&self) -> Result<()> {
        if self.is_cut.load(Ordering::Acquire) { Err(Error::from(ErrorKind::BrokenPipe)) } else { Ok(()) }
    }
}

impl Scissors {
    pub fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
    }

    /// Waits until the other side has hung up.
    pub async fn ended(&self) {
        self.ended.notified().await;
    }

    /// What it sent that is no AMQP, if that is why.
    pub fn fault(&self) -> Option<Broken> {
        self.fault.get().cloned()
    }
}

fn broken(read: &Poll<Result<()>>) -> Option<&Broken> {
    let Poll::Ready(Err(error)) = read else { return None };
    error.get_ref()?.downcast_ref()
}

impl AsyncRead for Cut {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        self.check()?;
        if self.fault.get().is_some() {
            return Poll::Pending;
        }
        let before = into.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, into);
        if let Some(broken) = broken(&read) {
            // Nobody else sets it.
            let _ = self.fault.set(broken.clone());
            self.ended.notify_one();
            return Poll::Pending;
        }
        let is_over = match &read {
            Poll::Ready(Ok(())) => into.filled().len() == before && into.remaining() > 0,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if is_over {
            self.ended.notify_one();
        }
        read
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
