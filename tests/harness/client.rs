//! A client on a socket: sends and receives single packets, and whole exchanges where a row does not care for the steps.

use super::packet::{Ack, Connack, Farewell, Packet, Publish};
use super::property::Properties;
use super::wire::Wire;
use super::writer::{self, Subscription};
use super::{Version, reader};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an expected packet may take. Only a failing row waits that long.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why no packet came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The broker closed the connection.
    Closed,
    /// It said nothing for too long.
    Silence,
}

/// One connection. Dropping it cuts the socket without a DISCONNECT.
pub struct Client {
    /// The client id, as asked for or as assigned.
    pub id: String,
    /// What the broker answered to CONNECT.
    pub connack: Connack,
    version: Version,
    stream: Box<dyn Wire>,
    bytes: Vec<u8>,
    /// Packets that came while another one was waited for.
    waiting: VecDeque<Packet>,
    last_id: u16,
}

impl Client {
    /// An open socket on which nothing was sent yet.
    pub fn dial(address: SocketAddr, version: Version) -> Self {
        Self::try_dial(address, version).expect("a broker that listens")
    }

    /// As [`Client::dial`]; none: nobody listens.
    pub fn try_dial(address: SocketAddr, version: Version) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_nodelay(true).unwrap();
        Some(Self::on(Box::new(stream), version))
    }

    /// A client on a connection on which nothing was said yet.
    pub fn on(mut stream: Box<dyn Wire>, version: Version) -> Self {
        stream.patience(PATIENCE);
        Self {
            id: String::new(),
            connack: Connack::default(),
            version,
            stream,
            bytes: Vec::new(),
            waiting: VecDeque::new(),
            last_id: 0,
        }
    }

    /// Sends these bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("a socket that takes what is written");
    }

    /// Sends these bytes; a broker that has closed meanwhile is no error.
    pub fn try_send(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes));
    }

    /// The next packet.
    pub fn receive(&mut self) -> Packet {
        self.try_receive().unwrap_or_else(|end| panic!("{} expected a packet: {end:?}", self.id))
    }

    /// The next packet, or why there is none.
    pub fn try_receive(&mut self) -> Result<Packet, End> {
        match self.waiting.pop_front() {
            Some(packet) => Ok(packet),
            None => self.read(),
        }
    }

    /// The next packet off the socket.
    fn read(&mut self) -> Result<Packet, End> {
        let mut chunk = [0; 16_384];
        loop {
            if let Some(packet) = reader::take(&mut self.bytes, self.version) {
                return Ok(packet);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(End::Closed),
                Ok(length) => self.bytes.extend_from_slice(&chunk[..length]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Err(End::Silence),
                    ErrorKind::Interrupted => {}
                    _ => return Err(End::Closed),
                },
            }
        }
    }

    /// The next packet that `wanted` makes something of; others keep their order and wait.
    pub fn wait_for<T>(&mut self, what: &str, wanted: impl Fn(&Packet) -> Option<T>) -> T {
        if let Some(at) = self.waiting.iter().position(|packet| wanted(packet).is_some()) {
            let packet = self.waiting.remove(at).expect("its place was just found");
            return wanted(&packet).expect("it was just wanted");
        }
        loop {
            match self.read() {
                Ok(packet) => match wanted(&packet) {
                    Some(found) => return found,
                    None => self.waiting.push_back(packet),
                },
                Err(end) => panic!("{} waited for {what}: {end:?}; before that: {:?}", self.id, self.waiting),
            }
        }
    }

    /// The connection must be closed with nothing more said, in 5.0 nothing but DISCONNECT; its reason code.
    pub fn expect_closed(&mut self) -> Option<u8> {
        let mut code = None;
        loop {
            match self.try_receive() {
                Ok(Packet::Disconnect(farewell)) if code.is_none() => code = Some(farewell.code),
                Err(End::Closed) => return code,
                other => panic!("{} expected a closed connection, got {other:?}", self.id),
            }
        }
    }

    /// All bytes until the broker closes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        match self.stream.read_to_end(&mut bytes) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("expected to be closed: {error}"),
            _ => bytes,
        }
    }

    /// The broker must say DISCONNECT with this code (5.0) and close.
    pub fn expect_disconnect(&mut self, code: u8) -> Farewell {
        let Packet::Disconnect(farewell) = self.receive() else { panic!("expected DISCONNECT") };
        assert_eq!(farewell.code, code, "reason of the DISCONNECT");
        assert_eq!(self.try_receive(), Err(End::Closed));
        farewell
    }

    /// Nothing must have come and nothing be on its way. Two rounds to the broker: the first one orders us behind all
    /// that it was doing, the second one lets it hand over what that left in our mailbox.
    pub fn expect_nothing(&mut self) {
        for _ in 0..2 {
            assert_eq!(self.waiting, [], "{} expected nothing", self.id);
            self.send(&writer::raw(0xC0, &[]));
            assert_eq!(self.receive(), Packet::Pingresp, "{} expected nothing", self.id);
        }
    }

    /// The messages that have come or were on their way; two rounds as in [`Self::expect_nothing`].
    pub fn messages(&mut self) -> Vec<Publish> {
        self.ping();
        self.ping();
        let messages = self.waiting.drain(..);
        messages.filter_map(|packet| if let Packet::Publish(message) = packet { Some(message) } else { None }).collect()
    }

    /// Sends PINGREQ and waits for its answer; what else comes waits.
    pub fn ping(&mut self) {
        self.send(&writer::raw(0xC0, &[]));
        self.wait_for("PINGRESP", |packet| (*packet == Packet::Pingresp).then_some(()));
    }

    /// Subscribes and must be granted what it asks for.
    pub fn subscribe(&mut self, filter: &str, qos: u8) {
        assert_eq!(self.subscribe_with([], &[Subscription::new(filter, qos)]), [qos], "granted for {filter}");
    }

    /// Sends SUBSCRIBE and waits for nothing; its identifier.
    pub fn send_subscribe(&mut self, filters: &[Subscription]) -> u16 {
        let id = self.next_id();
        self.send(&writer::subscribe(self.version, id, &Properties::default(), filters));
        id
    }

    /// Subscribes to several filters; the codes.
    pub fn subscribe_with(&mut self, properties: impl Into<Properties>, filters: &[Subscription]) -> Vec<u8> {
        let id = self.next_id();
        self.send(&writer::subscribe(self.version, id, &properties.into(), filters));
        self.wait_for("SUBACK", |packet| match packet {
            Packet::Suback(granted) if granted.id == id => Some(granted.codes.clone()),
            _ => None,
        })
    }

    /// Unsubscribes; the codes, which 3.1.1 does not have.
    pub fn unsubscribe(&mut self, filters: &[&str]) -> Vec<u8> {
        let id = self.next_id();
        self.send(&writer::unsubscribe(self.version, id, filters));
        self.wait_for("UNSUBACK", |packet| match packet {
            Packet::Unsuback(granted) if granted.id == id => Some(granted.codes.clone()),
            _ => None,
        })
    }

    /// Sends a message, with the next packet identifier unless it has one, and waits for nothing; the identifier.
    pub fn send_publish(&mut self, message: &Publish) -> u16 {
        let mut message = message.clone();
        if message.qos > 0 && message.id == 0 {
            message.id = self.next_id();
        }
        self.send(&writer::publish(self.version, &message));
        message.id
    }

    /// Sends a message that has its identifier; a broker that has closed meanwhile is no error.
    pub fn try_send_publish(&mut self, message: &Publish) {
        self.try_send(&writer::publish(self.version, message));
    }

    /// Publishes and goes through the exchange to its end; the code of the PUBACK or the PUBREC.
    pub fn publish(&mut self, message: &Publish) -> u8 {
        let id = self.send_publish(message);
        match message.qos {
            0 => {
                // A fence, so that a row may look for the message elsewhere at once.
                self.ping();
                0
            }
            1 => self.acked(0x40, id).code,
            _ => {
                let received = self.acked(0x50, id);
                if received.code < 0x80 {
                    self.release(id);
                }
                received.code
            }
        }
    }

    /// Publishes text.
    pub fn say(&mut self, topic: &str, payload: &str, qos: u8) {
        let code = self.publish(&Publish::new(topic, payload, qos));
        assert!(code < 0x80, "the message was refused with {code:#04x}");
    }

    /// PUBREL, and waits for PUBCOMP.
    pub fn release(&mut self, id: u16) -> Ack {
        self.ack(0x62, id);
        self.acked(0x70, id)
    }

    /// Waits for the acknowledgement with this first byte and identifier.
    pub fn acked(&mut self, first: u8, id: u16) -> Ack {
        self.wait_for(&format!("acknowledgement {first:02x} of {id}"), |packet| match (first, packet) {
            (0x40, Packet::Puback(ack)) | (0x50, Packet::Pubrec(ack)) if ack.id == id => Some(ack.clone()),
            (0x62, Packet::Pubrel(ack)) | (0x70, Packet::Pubcomp(ack)) if ack.id == id => Some(ack.clone()),
            _ => None,
        })
    }

    /// Sends PUBACK, PUBREC, PUBREL or PUBCOMP, told by its first byte.
    pub fn ack(&mut self, first: u8, id: u16) {
        self.send(&writer::ack(self.version, first, id, 0));
    }

    /// The next PUBLISH, not acknowledged.
    pub fn delivery(&mut self) -> Publish {
        self.wait_for("PUBLISH", |packet| match packet {
            Packet::Publish(publish) => Some(publish.clone()),
            _ => None,
        })
    }

    /// The next PUBLISH, acknowledged to the end of its exchange.
    pub fn take(&mut self) -> Publish {
        let message = self.delivery();
        match message.qos {
            0 => {}
            1 => self.ack(0x40, message.id),
            _ => {
                self.ack(0x50, message.id);
                self.acked(0x62, message.id);
                self.ack(0x70, message.id);
            }
        }
        message
    }

    /// The next PUBLISH must be this one; acknowledged to the end.
    pub fn expect(&mut self, topic: &str, payload: &str, qos: u8) -> Publish {
        let message = self.take();
        assert_eq!((message.topic.as_str(), message.text(), message.qos), (topic, payload, qos));
        message
    }

    /// DISCONNECT with reason code 0, and waits until the broker has closed.
    pub fn disconnect(self) {
        self.disconnect_with(0, []);
    }

    /// DISCONNECT with a reason code and properties, and waits until the broker has closed.
    pub fn disconnect_with(mut self, code: u8, properties: impl Into<Properties>) {
        self.send(&writer::disconnect(self.version, code, &properties.into()));
        while self.try_receive().is_ok() {}
    }

    /// Whether the broker has said nothing for this long. What it says after all waits for the row.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        if !self.waiting.is_empty() {
            return false;
        }
        self.stream.patience(time);
        let end = self.read();
        self.stream.patience(PATIENCE);
        match end {
            Ok(packet) => self.waiting.push_back(packet),
            Err(end) => return end == End::Silence,
        }
        false
    }

    /// Cuts the socket without a DISCONNECT.
    pub fn cut(mut self) {
        self.stream.cut();
    }

    /// The packet identifier that this client uses next.
    pub fn next_id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}
