//! The stream on which frames are changed as [`super::packing`] says.

use super::super::dial::Stream;
use super::packing::{self, Broken, FRAME_BYTES_MAX};
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 16_384;
/// A protocol header (2.2).
const HEADER: &[u8] = b"AMQP";
const HEADER_BYTES: usize = 8;

/// See the head of this file.
#[derive(Debug)]
pub struct Packed {
    inner: Box<dyn Stream>,
    message_bytes_max: u64,
    incoming: Side,
    outgoing: Side,
    speaks: Speaks,
    /// What came behind the frames that go on: after that nothing is read.
    broken: Option<Broken>,
}

/// What the other broker speaks, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Unknown,
    Amqp,
    /// The library says what it is instead.
    Other,
}

/// One direction.
#[derive(Debug, Default)]
struct Side {
    /// What came, up to a whole frame.
    raw: Vec<u8>,
    /// What goes on.
    done: Vec<u8>,
    /// How much of that has gone.
    gone: usize,
}

/// What stands at the front of a stream.
enum Front {
    /// A protocol header.
    Header,
    /// A frame of so many bytes.
    Frame(usize),
}

impl Packed {
    /// No message that comes is to be longer than this, in bytes.
    pub fn new(inner: Box<dyn Stream>, message_bytes_max: u64) -> Self {
        let (incoming, outgoing) = (Side::default(), Side::default());
        Self { inner, message_bytes_max, incoming, outgoing, speaks: Speaks::Unknown, broken: None }
    }

    /// Hands on the frames that have come whole.
    fn unpack(&mut self) -> std::result::Result<(), Broken> {
        if self.speaks == Speaks::Unknown {
            let seen = self.incoming.raw.len().min(HEADER.len());
            self.speaks = match self.incoming.raw[..seen] == HEADER[..seen] {
                false => Speaks::Other,
                true if seen == HEADER.len() => Speaks::Amqp,
                true => Speaks::Unknown,
            };
        }
        if self.speaks == Speaks::Other {
            self.incoming.done.append(&mut self.incoming.raw);
            return Ok(());
        }
        self.incoming.each(FRAME_BYTES_MAX, packing::inward)
    }

    /// Sends what is ready.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        while self.outgoing.gone < self.outgoing.done.len() {
            let rest = &self.outgoing.done[self.outgoing.gone..];
            match ready!(Pin::new(&mut self.inner).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(Error::from(ErrorKind::WriteZero))),
                sent => self.outgoing.gone += sent,
            }
        }
        self.outgoing.done.clear();
        self.outgoing.gone = 0;
        Poll::Ready(Ok(()))
    }
}

impl Side {
    /// Changes all that stands whole at the front.
    fn each(
        &mut self,
        bytes_max: u32,
        change: impl Fn(&[u8], &mut Vec<u8>) -> std::result::Result<(), Broken>,
    ) -> std::result::Result<(), Broken> {
        let mut at = 0;
        while let Some(front) = front(&self.raw[at..], bytes_max)? {
            let end = at
                + match front {
                    Front::Header => HEADER_BYTES,
                    Front::Frame(length) => length,
                };
            let Some(bytes) = self.raw.get(at..end) else { break };
            match front {
                Front::Header => self.done.extend_from_slice(bytes),
                Front::Frame(_) => change(bytes, &mut self.done)?,
            }
            at = end;
        }
        self.raw.drain(..at);
        Ok(())
    }
}

/// None: too few bytes to tell.
fn front(bytes: &[u8], bytes_max: u32) -> std::result::Result<Option<Front>, Broken> {
    let Some(size) = bytes.first_chunk::<4>() else { return Ok(None) };
    if size == HEADER {
        return Ok(Some(Front::Header));
    }
    match u32::from_be_bytes(*size) {
        size if size < HEADER_BYTES as u32 => Err(Broken::framing("a frame that is shorter than its header")),
        size if size > bytes_max => Err(Broken::framing(format!("a frame of {size} bytes; {bytes_max} were agreed"))),
        size => Ok(Some(Front::Frame(size as usize))),
    }
}

fn wrong(broken: Broken) -> Error {
    Error::new(ErrorKind::InvalidData, broken)
}

impl AsyncRead for Packed {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        loop {
            let rest = &this.incoming.done[this.incoming.gone..];
            if !rest.is_empty() {
                let count = rest.len().min(into.remaining());
                into.put_slice(&rest[..count]);
                this.incoming.gone += count;
                if this.incoming.gone == this.incoming.done.len() {
                    this.incoming.done.clear();
                    this.incoming.gone = 0;
                }
                return Poll::Ready(Ok(()));
            }
            if let Some(broken) = &this.broken {
                return Poll::Ready(Err(wrong(broken.clone())));
            }
            let mut chunk = [0; CHUNK_BYTES];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.inner).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                // The library says what it means that this is all.
                this.incoming.done.append(&mut this.incoming.raw);
                if this.incoming.done.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            this.incoming.raw.extend_from_slice(read.filled());
            this.broken = this.unpack().err();
        }
    }
}

impl AsyncWrite for Packed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_send(context))?;
        this.outgoing.raw.extend_from_slice(bytes);
        let most = this.message_bytes_max;
        this.outgoing.each(u32::MAX, |frame, out| packing::outward(frame, most, out)).map_err(wrong)?;
        // What does not fit now leaves with the next call, or when all is to leave.
        match this.poll_send(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
