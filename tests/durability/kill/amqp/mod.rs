//! AMQP clients of the campaign. They write their bytes by hand and keep their unsettled deliveries as the standard asks of
//! them (2.6.13): what they know outlives the broker.

mod consumer;
mod mortal;
mod publisher;
mod values;

pub use consumer::{Consumer, Node};
pub use mortal::Mortal;
pub use publisher::Publisher;

use crate::amqp::raw;
use crate::harness::End;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use values::Value;

const ATTACH: u8 = 0x12;
const FLOW: u8 = 0x13;
const TRANSFER: u8 = 0x14;
const DISPOSITION: u8 = 0x15;
const DETACH: u8 = 0x16;

/// How long whoever waits for an answer does.
const PATIENCE: Duration = Duration::from_secs(20);

/// One performative with what follows it.
#[derive(Debug)]
struct Frame {
    code: u8,
    fields: Vec<Value>,
    payload: Vec<u8>,
}

impl Frame {
    fn field(&self, at: usize) -> &Value {
        self.fields.get(at).unwrap_or(&Value::Null)
    }

    /// The deliveries that a disposition is about.
    fn range(&self) -> std::ops::RangeInclusive<u32> {
        let first = self.field(1).number().unwrap_or(0);
        first..=self.field(2).number().unwrap_or(first)
    }

    fn is_accepted(&self) -> bool {
        self.field(4).descriptor() == Some(0x24)
    }
}

/// A connection with one session.
struct Wire {
    stream: TcpStream,
    held: Vec<u8>,
    /// Transfers sent, and how many may be.
    sent: u32,
    window_end: u32,
    /// Transfers that came.
    came: u32,
}

impl Wire {
    /// None: the broker is not there, or hung up.
    fn open(at: SocketAddr, container: &str) -> Option<Self> {
        let stream = TcpStream::connect(at).ok()?;
        stream.set_nodelay(true).ok()?;
        let mut wire = Self { stream, held: Vec::new(), sent: 0, window_end: 0, came: 0 };
        wire.send(&[raw::AMQP, &raw::open(container), &raw::begin(0)].concat());
        while wire.held.len() < 8 {
            wire.more(PATIENCE).ok()?;
        }
        assert_eq!(wire.held[..8], *raw::AMQP, "the broker's header");
        wire.held.drain(..8);
        for code in [0x10, 0x11] {
            let frame = wire.frame(PATIENCE).ok()?;
            assert_eq!(frame.code, code, "{frame:?}");
            if code == 0x11 {
                wire.came = frame.field(1).number()?;
                wire.window_end = frame.field(2).number()?;
            }
        }
        Some(wire)
    }

    /// Whoever is gone does not mind.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    fn more(&mut self, patience: Duration) -> Result<(), End> {
        let mut buffer = [0; 16_384];
        self.stream.set_read_timeout(Some(patience)).map_err(|_| End::Closed)?;
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(End::Closed),
            Ok(count) => {
                self.held.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(End::Silence),
            Err(_) => Err(End::Closed),
        }
    }

    /// The next frame that carries something. Sees to the session's windows.
    fn frame(&mut self, patience: Duration) -> Result<Frame, End> {
        loop {
            let whole = self.held.first_chunk::<4>().map(|size| u32::from_be_bytes(*size) as usize);
            let Some(size) = whole.filter(|size| self.held.len() >= *size) else {
                self.more(patience)?;
                continue;
            };
            let bytes: Vec<u8> = self.held.drain(..size).collect();
            let mut body = &bytes[8..];
            if body.is_empty() {
                continue;
            }
            let Some(Value::Described(code, fields)) = values::take(&mut body) else {
                panic!("no frame: {bytes:02x?}")
            };
            let Value::List(fields) = *fields else { panic!("no frame: {bytes:02x?}") };
            let frame = Frame { code: code as u8, fields, payload: body.to_vec() };
            match frame.code {
                FLOW => self.window_end = frame.field(0).number().unwrap_or(0) + frame.field(1).number().unwrap_or(0),
                TRANSFER => self.came += 1,
                _ => {}
            }
            return Ok(frame);
        }
    }

    /// Attaches a link under handle 0; the broker's answer.
    fn attach(&mut self, link: &Link<'_>) -> Option<Frame> {
        self.send(&link.frame());
        let frame = self.frame(PATIENCE).ok()?;
        assert_eq!(frame.code, ATTACH, "{frame:?}");
        Some(frame)
    }

    /// Says how much it takes.
    fn credit(&mut self, count: u32, credit: u32, drain: bool) {
        let flow = raw::flow(self.came, 2048, Some((0, count, credit, drain, false)));
        self.send(&flow);
    }

    /// Whether the session takes one more transfer.
    fn has_room(&self) -> bool {
        self.sent < self.window_end
    }
}

/// What is said of a link on attaching it.
struct Link<'a> {
    name: &'a str,
    receives: bool,
    /// The receiver settles second.
    second: bool,
    address: &'a str,
    /// Its terminus is to stay for ever.
    stays: bool,
    /// Tags with what is known of them: accepted, or nothing.
    unsettled: Vec<(Vec<u8>, bool)>,
}

impl Link<'_> {
    fn frame(&self) -> Vec<u8> {
        let node = match self.stays {
            true => [raw::string(self.address), raw::uint(2), raw::symbol("never")].concat(),
            false => raw::string(self.address),
        };
        let count = if self.stays { 3 } else { 1 };
        // A list by hand: the fields are encoded already.
        let terminus = |code, node: &[u8], count: u32| {
            let size = (node.len() + 4) as u32;
            let list = [&[0xD0][..], &size.to_be_bytes(), &count.to_be_bytes(), node].concat();
            raw::described(code, &list)
        };
        let own = raw::string("here");
        let (source, target) = match self.receives {
            true => (terminus(0x28, &node, count), terminus(0x29, &own, 1)),
            false => (terminus(0x28, &own, 1), terminus(0x29, &node, count)),
        };
        let entries: Vec<Vec<u8>> = self
            .unsettled
            .iter()
            .flat_map(|(tag, accepted)| {
                let state = if *accepted { raw::ACCEPTED } else { raw::NULL };
                [raw::binary(tag), state.to_vec()]
            })
            .collect();
        let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        let fields: [&[u8]; 10] = [
            &raw::string(self.name),
            &raw::uint(0),
            if self.receives { raw::TRUE } else { raw::FALSE },
            &raw::ubyte(0),
            &raw::ubyte(u8::from(self.second)),
            &source,
            &target,
            &raw::map(&entries),
            raw::FALSE,
            &raw::uint(0),
        ];
        raw::frame(0, &raw::performative(ATTACH, &fields))
    }
}

/// Tags in an attach from the broker, all of them accepted ones or nothing.
fn told(attach: &Frame) -> Vec<Vec<u8>> {
    match attach.field(7) {
        Value::Map(entries) => entries.iter().filter_map(|(tag, _)| Some(tag.bytes()?.to_vec())).collect(),
        _ => Vec::new(),
    }
}

/// A message with a topic, an MQTT QoS for those who receive it that way, and perhaps a subject.
fn message(to: &str, subject: Option<&str>, qos: u8, payload: &str) -> Vec<u8> {
    let header = raw::described(0x70, &raw::list(&[raw::TRUE]));
    let annotations = raw::described(0x72, &raw::map(&[&raw::symbol("x-opt-mqtt-qos"), &raw::ubyte(qos)]));
    let subject = subject.map_or(raw::NULL.to_vec(), raw::string);
    let properties = raw::described(0x73, &raw::list(&[raw::NULL, raw::NULL, &raw::string(to), &subject]));
    [header, annotations, properties, raw::message(payload.as_bytes())].concat()
}

/// Topic and content of a message.
fn read(mut payload: &[u8]) -> Option<(String, String)> {
    let (mut to, mut content) = (None, None);
    while let Some(Value::Described(code, value)) = values::take(&mut payload) {
        match (code, *value) {
            (0x73, Value::List(fields)) => to = fields.get(2).and_then(Value::text).map(str::to_owned),
            (0x75, Value::Bytes(bytes)) => content = String::from_utf8(bytes).ok(),
            _ => {}
        }
    }
    Some((to?, content?))
}
