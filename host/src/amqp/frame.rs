//! Frames (2.3): the header and its bounds; and protocol headers (2.2).

use super::condition::{ConnectionError, Fault};

/// Bytes of a frame header without an extended header, and of a protocol header.
pub const HEADER_BYTES: usize = 8;
/// What every peer takes (MIN-MAX-FRAME-SIZE, 2.8.19).
pub const FRAME_BYTES_MIN: u32 = 512;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Performatives.
    Amqp,
    /// SASL.
    Sasl,
}

/// A whole frame.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'b> {
    /// What it carries.
    pub kind: Kind,
    /// For AMQP frames.
    pub channel: u16,
    /// After the headers.
    pub body: &'b [u8],
    /// Bytes with the header.
    pub length: usize,
}

/// The frame at the start of `bytes`, or its length if that much can be read. What is wrong with the first bytes is told at
/// once.
#[inline]
pub fn read(bytes: &[u8], bytes_max: u32) -> Result<Result<Frame<'_>, Option<usize>>, Fault> {
    let Some(size) = bytes.first_chunk::<4>() else { return Ok(Err(None)) };
    let size = u32::from_be_bytes(*size);
    if size < HEADER_BYTES as u32 {
        return Err(framing("a frame is shorter than its header"));
    }
    if size > bytes_max {
        return Err(framing("a frame is longer than was agreed"));
    }
    let length = size as usize;
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(Err(Some(length))) };
    let doff = 4 * usize::from(header[4]);
    if doff < HEADER_BYTES || doff > length {
        return Err(framing("the data offset of a frame is outside of it"));
    }
    let kind = match header[5] {
        0 => Kind::Amqp,
        1 => Kind::Sasl,
        _ => return Err(framing("a frame of unknown type")),
    };
    let Some(body) = bytes.get(doff..length) else { return Ok(Err(Some(length))) };
    Ok(Ok(Frame { kind, channel: u16::from_be_bytes([header[6], header[7]]), body, length }))
}

fn framing(why: &str) -> Fault {
    Fault::new(ConnectionError::FramingError, why)
}

/// Writes a frame around what `write` puts there.
#[inline]
pub fn write(kind: Kind, channel: u16, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    let [high, low] = channel.to_be_bytes();
    out.extend_from_slice(&[0, 0, 0, 0, 2, kind as u8, high, low]);
    write(out);
    let size = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

/// A frame without a body: it says only that somebody is there (2.4.5).
pub fn write_empty(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0, 0, 0, 8, 2, 0, 0, 0]);
}

/// Which protocol a header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// AMQP itself.
    Amqp,
    /// TLS first.
    Tls,
    /// SASL first.
    Sasl,
}

impl Protocol {
    /// The header.
    pub fn header(self) -> [u8; HEADER_BYTES] {
        let id = match self {
            Self::Amqp => 0,
            Self::Tls => 2,
            Self::Sasl => 3,
        };
        [b'A', b'M', b'Q', b'P', id, 1, 0, 0]
    }

    /// The header at the start of `bytes`: none if it is not whole.
    ///
    /// # Errors
    /// It is none, which is told at the first byte that no header has.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, ()> {
        let known = [Self::Amqp, Self::Tls, Self::Sasl];
        let seen = &bytes[..bytes.len().min(HEADER_BYTES)];
        let mut fitting = known.into_iter().filter(|protocol| protocol.header().starts_with(seen));
        match fitting.next() {
            None => Err(()),
            Some(protocol) if seen.len() == HEADER_BYTES => Ok(Some(protocol)),
            Some(_) => Ok(None),
        }
    }
}
