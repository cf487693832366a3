//! WebSocket frames (RFC 6455, section 5) on the broker's side. Payload is handed on as it comes: a protocol packet may span
//! frames, and a frame may hold several packets, so that nothing is ever gathered but a header and a control frame.

use super::session::Fault;
use std::io::Cursor;
use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// Longest payload of a control frame (5.5).
const CONTROL_BYTES_MAX: u64 = 125;
/// What each frame of a message counts against its bound beside its payload, so that empty fragments end, too.
const FRAME_COST: u64 = 16;

/// One connection's frames in both directions.
pub struct Frames {
    message_bytes_max: u64,
    /// The beginning of a header that is not yet whole.
    head: Vec<u8>,
    frame: Option<Frame>,
    /// Bytes of the message under way, if one is.
    message: Option<u64>,
    control: Vec<u8>,
    /// How the goodbye reads that was earned, once what was taken before is answered.
    goodbye: Option<Goodbye>,
    closing: bool,
}

/// A close code, if one is said, and why.
type Goodbye = (Option<CloseCode>, &'static str);

/// A frame whose payload is coming.
struct Frame {
    opcode: OpCode,
    is_final: bool,
    mask: [u8; 4],
    taken: u64,
    length: u64,
}

/// What is wrong, and what the peer is told.
type Wrong = (CloseCode, &'static str);

impl Frames {
    /// An open WebSocket on which nothing was said.
    pub fn new(message_bytes_max: usize) -> Self {
        let message_bytes_max = message_bytes_max as u64;
        Self {
            message_bytes_max,
            head: Vec::new(),
            frame: None,
            message: None,
            control: Vec::new(),
            goodbye: None,
            closing: false,
        }
    }

    /// Takes bytes off the wire. What answers a goodbye, or a broken rule, is said by [`Self::close`]: there may be something
    /// to say before (5.5.1).
    pub fn receive(&mut self, wire: &[u8], plain: &mut Vec<u8>, reply: &mut Vec<u8>) -> Result<(), Fault> {
        if self.closing || self.goodbye.is_some() {
            return Err(Fault::Closed);
        }
        self.walk(wire, plain, reply).map_err(|fault| match fault {
            Ok(()) => Fault::Closed,
            Err((code, why)) => {
                self.goodbye = Some((Some(code), why));
                Fault::Frame(code.into(), why)
            }
        })
    }

    fn walk(&mut self, mut wire: &[u8], plain: &mut Vec<u8>, reply: &mut Vec<u8>) -> Result<(), Result<(), Wrong>> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.header(&mut wire).map_err(Err)? {
                    Some(frame) => frame,
                    None => return Ok(()),
                },
            };
            let count = usize::try_from(frame.length - frame.taken).unwrap_or(usize::MAX).min(wire.len());
            let into = if matches!(frame.opcode, OpCode::Data(_)) { &mut *plain } else { &mut self.control };
            unmask(&wire[..count], frame.mask, frame.taken, into);
            frame.taken += count as u64;
            wire = &wire[count..];
            if frame.taken < frame.length {
                self.frame = Some(frame);
                return Ok(());
            }
            match frame.opcode {
                OpCode::Data(_) if frame.is_final => self.message = None,
                OpCode::Data(_) => {}
                OpCode::Control(control) => self.control(control, reply)?,
            }
        }
    }

    /// The header of the next frame, checked; none: more bytes are needed.
    fn header(&mut self, wire: &mut &[u8]) -> Result<Option<Frame>, Wrong> {
        let before = self.head.len();
        let parsed = if before == 0 {
            parse(wire)?
        } else {
            // The longest header has 14 bytes.
            self.head.extend_from_slice(&wire[..wire.len().min(14)]);
            parse(&self.head)?
        };
        let Some((header, length, bytes)) = parsed else {
            if before == 0 {
                self.head.extend_from_slice(wire);
            }
            *wire = &[];
            return Ok(None);
        };
        *wire = &wire[bytes - before..];
        self.head = Vec::new();
        let mask = header.mask.ok_or((CloseCode::Protocol, "frames of clients are masked"))?;
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err((CloseCode::Protocol, "no extension was agreed on"));
        }
        self.admit(&header, length)?;
        Ok(Some(Frame { opcode: header.opcode, is_final: header.is_final, mask, taken: 0, length }))
    }

    fn admit(&mut self, header: &FrameHeader, length: u64) -> Result<(), Wrong> {
        let begins = match header.opcode {
            OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Reserved(_)) => {
                return Err((CloseCode::Protocol, "unknown kind of frame"));
            }
            OpCode::Control(_) if length > CONTROL_BYTES_MAX || !header.is_final => {
                return Err((CloseCode::Protocol, "a control frame is short and whole"));
            }
            OpCode::Control(_) => return Ok(()),
            // MQTT-6.0.0-1.
            OpCode::Data(Data::Text) => return Err((CloseCode::Unsupported, "only binary frames are taken")),
            OpCode::Data(Data::Binary) => true,
            OpCode::Data(Data::Continue) => false,
        };
        if begins == self.message.is_some() {
            return Err((CloseCode::Protocol, "fragments of messages are mixed up"));
        }
        if length >> 63 != 0 {
            return Err((CloseCode::Protocol, "no length has 64 bits"));
        }
        let size = self.message.unwrap_or(0).saturating_add(length).saturating_add(FRAME_COST);
        if size > self.message_bytes_max.saturating_add(FRAME_COST) {
            return Err((CloseCode::Size, "the message is too large"));
        }
        self.message = Some(size);
        Ok(())
    }

    /// Answers a control frame that is whole.
    fn control(&mut self, control: Control, reply: &mut Vec<u8>) -> Result<(), Result<(), Wrong>> {
        let payload = std::mem::take(&mut self.control);
        match control {
            Control::Ping => put(OpCode::Control(Control::Pong), &payload, reply),
            Control::Close => {
                let code = match payload.get(..2) {
                    Some(code) => Some(CloseCode::from(u16::from_be_bytes([code[0], code[1]]))),
                    None if payload.is_empty() => None,
                    None => return Err(Err((CloseCode::Protocol, "half a close code"))),
                };
                if code.is_some_and(|code| !code.is_allowed()) {
                    return Err(Err((CloseCode::Protocol, "no such close code")));
                }
                if simdutf8::basic::from_utf8(payload.get(2..).unwrap_or_default()).is_err() {
                    return Err(Err((CloseCode::Invalid, "the reason is no text")));
                }
                self.goodbye = Some((code, ""));
                return Err(Ok(()));
            }
            Control::Pong | Control::Reserved(_) => {}
        }
        Ok(())
    }

    /// Frames what the protocol says as one message.
    pub fn wrap(&mut self, plain: &[u8], wire: &mut Vec<u8>) {
        if !self.closing && !plain.is_empty() {
            put(OpCode::Data(Data::Binary), plain, wire);
        }
    }

    /// Says goodbye, unless that was said: the one that was earned.
    pub fn close(&mut self, wire: &mut Vec<u8>) {
        if self.closing {
            return;
        }
        self.closing = true;
        let (code, why) = self.goodbye.take().unwrap_or((Some(CloseCode::Normal), ""));
        let code = code.map(|code| u16::from(code).to_be_bytes());
        let payload = [code.as_ref().map_or(&[][..], |code| code), why.as_bytes()].concat();
        put(OpCode::Control(Control::Close), &payload, wire);
    }
}

/// A header at the start of `bytes` with the length of its payload and its own; none: it is not yet whole.
fn parse(bytes: &[u8]) -> Result<Option<(FrameHeader, u64, usize)>, Wrong> {
    let mut cursor = Cursor::new(bytes);
    match FrameHeader::parse(&mut cursor) {
        // The position is one in `bytes`.
        Ok(found) => Ok(found.map(|(header, length)| (header, length, cursor.position() as usize))),
        Err(Error::Protocol(ProtocolError::InvalidOpcode(_))) => Err((CloseCode::Protocol, "unknown kind of frame")),
        Err(_) => Err((CloseCode::Protocol, "a malformed frame")),
    }
}

fn put(opcode: OpCode, payload: &[u8], wire: &mut Vec<u8>) {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    // Memory takes everything.
    let _ = header.format(payload.len() as u64, wire);
    wire.extend_from_slice(payload);
}

/// Appends `bytes` without their mask; `offset`: how many of the frame came before.
fn unmask(bytes: &[u8], mask: [u8; 4], offset: u64, into: &mut Vec<u8>) {
    let begin = into.len();
    into.extend_from_slice(bytes);
    let mut mask = mask;
    // Less than 4.
    mask.rotate_left((offset % 4) as usize);
    let key = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (words, rest) = into[begin..].as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ key).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a client sends it.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x11, 0x22, 0x33, 0x44];
        let mut bytes = vec![first];
        match payload.len() {
            length @ ..126 => bytes.push(0x80 | length as u8),
            length @ ..65_536 => {
                bytes.push(0xFE);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                bytes.push(0xFF);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }

    fn receive(pieces: &[&[u8]]) -> (Vec<u8>, Vec<u8>, Result<(), Fault>) {
        let (mut frames, mut plain, mut reply) = (Frames::new(70_000), Vec::new(), Vec::new());
        let ended = pieces.iter().try_for_each(|piece| frames.receive(piece, &mut plain, &mut reply));
        if ended.is_err() {
            frames.close(&mut reply);
        }
        (plain, reply, ended)
    }

    #[test]
    fn payload_comes_through_however_the_frames_are_cut() {
        let long: Vec<u8> = (0..66_000u32).map(|n| n as u8).collect();
        for (wire, expected) in [
            (frame(0x82, b"hello"), &b"hello"[..]),
            ([frame(0x82, b"one"), frame(0x82, b"two")].concat(), b"onetwo"),
            (
                [frame(0x02, b"frag"), frame(0x89, b"ping"), frame(0x00, b""), frame(0x80, b"ment")].concat(),
                b"fragment",
            ),
            ([frame(0x82, b""), frame(0x8A, b"pong"), frame(0x82, b"x")].concat(), b"x"),
            (frame(0x82, &long[..300]), &long[..300]),
        ] {
            for cut in 0..=wire.len() {
                let (plain, _, ended) = receive(&[&wire[..cut], &wire[cut..]]);
                assert_eq!((plain.as_slice(), ended), (expected, Ok(())), "cut at {cut}");
            }
            let single: Vec<_> = wire.chunks(1).collect();
            assert_eq!(receive(&single).0, expected);
        }
        assert_eq!(receive(&[&frame(0x82, &long)]).0, long);
    }

    #[test]
    fn pings_and_goodbyes_are_answered() {
        let (_, reply, ended) = receive(&[&frame(0x89, b"abc")]);
        assert_eq!((reply.as_slice(), ended), (&b"\x8A\x03abc"[..], Ok(())));
        for (payload, answer) in [(&b""[..], &b"\x88\x00"[..]), (b"\x03\xE8bye", b"\x88\x02\x03\xE8")] {
            let (_, reply, ended) = receive(&[&frame(0x88, payload)]);
            assert_eq!((reply.as_slice(), ended), (answer, Err(Fault::Closed)));
        }
    }

    #[test]
    fn what_is_said_goes_before_the_goodbye_and_nothing_after_it() {
        for (wire, goodbye) in [(frame(0x88, b"\x03\xE9"), &b"\x88\x02\x03\xE9"[..]), (frame(0x81, b"x"), b"\x88")] {
            let (mut frames, mut plain, mut reply) = (Frames::new(70_000), Vec::new(), Vec::new());
            let wire = [frame(0x82, b"in"), wire].concat();
            frames.receive(&wire, &mut plain, &mut reply).unwrap_err();
            assert_eq!((plain.as_slice(), reply.as_slice()), (&b"in"[..], &b""[..]));
            frames.receive(&frame(0x82, b"late"), &mut plain, &mut reply).unwrap_err();
            frames.wrap(b"out", &mut reply);
            frames.close(&mut reply);
            let said = reply.len();
            frames.wrap(b"late", &mut reply);
            frames.close(&mut reply);
            assert_eq!((plain.as_slice(), said), (&b"in"[..], reply.len()));
            assert!(reply.starts_with(&[b"\x82\x03out", goodbye].concat()), "{reply:?}");
        }
    }

    #[test]
    fn what_breaks_the_rules_is_told_by_its_close_code() {
        let huge = [&b"\x82\xFF"[..], &u64::MAX.to_be_bytes(), b"\0\0\0\0"].concat();
        let large = [&b"\x82\xFF"[..], &(1u64 << 40).to_be_bytes(), b"\0\0\0\0"].concat();
        let fragments = [frame(0x02, b""), (0..10_000).flat_map(|_| frame(0x00, b"")).collect()].concat();
        let parts = [frame(0x02, &[0; 40_000]), frame(0x00, &[0; 40_000])].concat();
        for (wire, code) in [
            (frame(0x81, b"text"), 1003),
            (b"\x82\x05hello".to_vec(), 1002),
            (frame(0xC2, b"x"), 1002),
            (frame(0xA2, b"x"), 1002),
            (frame(0x83, b"x"), 1002),
            (frame(0x8B, b"x"), 1002),
            (frame(0x80, b"x"), 1002),
            ([frame(0x02, b"x"), frame(0x82, b"y")].concat(), 1002),
            (frame(0x89, &[0; 126]), 1002),
            (frame(0x09, b"x"), 1002),
            (frame(0x88, b"\x03"), 1002),
            (frame(0x88, b"\x03\xED"), 1002),
            (frame(0x88, b"\x03\xE8\xFF\xFE"), 1007),
            (huge, 1002),
            (large, 1009),
            (fragments, 1009),
            (parts, 1009),
        ] {
            let (_, reply, ended) = receive(&[&wire]);
            assert!(matches!(ended, Err(Fault::Frame(said, _)) if said == code), "{code}: {ended:?}");
            assert_eq!(&reply[2..4], u16::to_be_bytes(code), "the close frame says it, too");
        }
    }
}
