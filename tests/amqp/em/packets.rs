//! MQTT 3.1.1 as a server reads and writes it: what the gateway needs.

use std::io::ErrorKind;
use tokio::net::TcpStream;

/// What a client sends.
#[derive(Debug)]
pub enum Packet {
    Connect {
        id: String,
        clean: bool,
        keep_alive: u16,
        will: Option<Message>,
    },
    Publish {
        message: Message,
        packet: u16,
    },
    /// PUBACK, PUBREC, PUBREL or PUBCOMP by their first byte.
    Ack(u8, u16),
    Subscribe {
        packet: u16,
        filters: Vec<(String, u8)>,
    },
    Unsubscribe {
        packet: u16,
        filters: Vec<String>,
    },
    Ping,
    Disconnect,
}

#[derive(Debug, Clone)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub retain: bool,
    pub duplicate: bool,
}

/// One client's connection.
pub struct Mqtt {
    stream: TcpStream,
    bytes: Vec<u8>,
}

struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn take(&mut self, length: usize) -> &'b [u8] {
        let (head, rest) = self.0.split_at(length);
        self.0 = rest;
        head
    }

    fn number(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().expect("two bytes"))
    }

    fn bytes(&mut self) -> &'b [u8] {
        let length = self.number();
        self.take(length.into())
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.bytes().to_vec()).expect("UTF-8")
    }
}

impl Mqtt {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, bytes: Vec::new() }
    }

    /// The next packet; none: the client is gone. May be given up and asked again.
    pub async fn read(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.parse() {
                return Some(packet);
            }
            self.stream.readable().await.ok()?;
            let mut chunk = [0; 4096];
            match self.stream.try_read(&mut chunk) {
                Ok(0) => return None,
                Ok(length) => self.bytes.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }

    pub async fn write(&mut self, first: u8, body: &[u8]) {
        let mut bytes = vec![first];
        let mut length = body.len();
        loop {
            let more = length >= 128;
            bytes.push((length % 128) as u8 | if more { 128 } else { 0 });
            length /= 128;
            if !more {
                break;
            }
        }
        bytes.extend_from_slice(body);
        let mut rest = &bytes[..];
        while !rest.is_empty() && self.stream.writable().await.is_ok() {
            match self.stream.try_write(rest) {
                Ok(length) => rest = &rest[length..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    pub async fn ack(&mut self, first: u8, packet: u16) {
        self.write(first, &packet.to_be_bytes()).await;
    }

    pub async fn publish(&mut self, message: &Message, packet: u16) {
        let flags = u8::from(message.retain) | message.qos << 1 | u8::from(message.duplicate && message.qos > 0) << 3;
        let mut body = (message.topic.len() as u16).to_be_bytes().to_vec();
        body.extend_from_slice(message.topic.as_bytes());
        if message.qos > 0 {
            body.extend_from_slice(&packet.to_be_bytes());
        }
        body.extend_from_slice(&message.payload);
        self.write(0x30 | flags, &body).await;
    }

    fn parse(&mut self) -> Option<Packet> {
        let mut length = 0;
        let mut at = 1;
        loop {
            let byte = *self.bytes.get(at)?;
            length |= usize::from(byte & 127) << (7 * (at - 1));
            at += 1;
            if byte < 128 {
                break;
            }
        }
        if self.bytes.len() < at + length {
            return None;
        }
        let packet: Vec<u8> = self.bytes.drain(..at + length).collect();
        Some(read(packet[0], Fields(&packet[at..])))
    }
}

fn read(first: u8, mut fields: Fields<'_>) -> Packet {
    match first >> 4 {
        1 => connect(fields),
        3 => {
            let qos = first >> 1 & 3;
            let topic = fields.text();
            let packet = if qos > 0 { fields.number() } else { 0 };
            let (retain, duplicate) = (first & 1 == 1, first & 8 == 8);
            Packet::Publish { message: Message { topic, payload: fields.0.to_vec(), qos, retain, duplicate }, packet }
        }
        4..=7 => Packet::Ack(first, fields.number()),
        8 => {
            let (packet, mut filters) = (fields.number(), Vec::new());
            while !fields.0.is_empty() {
                filters.push((fields.text(), fields.take(1)[0]));
            }
            Packet::Subscribe { packet, filters }
        }
        10 => {
            let (packet, mut filters) = (fields.number(), Vec::new());
            while !fields.0.is_empty() {
                filters.push(fields.text());
            }
            Packet::Unsubscribe { packet, filters }
        }
        12 => Packet::Ping,
        _ => Packet::Disconnect,
    }
}

fn connect(mut fields: Fields<'_>) -> Packet {
    fields.text();
    fields.take(1);
    let flags = fields.take(1)[0];
    let keep_alive = fields.number();
    let id = fields.text();
    let will = (flags & 4 == 4).then(|| Message {
        topic: fields.text(),
        payload: fields.bytes().to_vec(),
        qos: flags >> 3 & 3,
        retain: flags & 0x20 == 0x20,
        duplicate: false,
    });
    Packet::Connect { id, clean: flags & 2 == 2, keep_alive, will }
}
