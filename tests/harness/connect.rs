//! What a client says when it connects, and the connecting.

use super::client::{Client, End};
use super::packet::{Connack, Packet, Publish};
use super::property::{self, Properties, Property};
use super::wire::Wire;
use super::{Version, address, unique};
use std::net::SocketAddr;

/// A CONNECT to be.
#[derive(Debug, Clone)]
pub struct Connect {
    pub(super) version: Version,
    pub(super) id: String,
    pub(super) clean: bool,
    pub(super) keep_alive: u16,
    pub(super) user: Option<Vec<u8>>,
    pub(super) password: Option<Vec<u8>>,
    pub(super) will: Option<Will>,
    pub(super) properties: Properties,
    at: Option<SocketAddr>,
}

/// A will to be.
#[derive(Debug, Clone)]
pub struct Will {
    pub(super) message: Publish,
}

impl Will {
    /// A will at QoS 0.
    pub fn new(topic: &str, payload: impl AsRef<[u8]>) -> Self {
        Self { message: Publish::new(topic, payload, 0) }
    }

    /// At this QoS.
    pub fn qos(mut self, qos: u8) -> Self {
        self.message.qos = qos;
        self
    }

    /// With RETAIN.
    pub fn retained(mut self) -> Self {
        self.message.retain = true;
        self
    }

    /// With Will Delay Interval.
    pub fn delay(self, seconds: u32) -> Self {
        self.with(Property::Four(property::WILL_DELAY, seconds))
    }

    /// With one more property.
    pub fn with(mut self, property: Property) -> Self {
        self.message = self.message.with(property);
        self
    }
}

impl Connect {
    pub(super) fn new(version: Version) -> Self {
        Self {
            version,
            // At most 23 bytes, which is all that 3.1 allows.
            id: unique(&format!("{version:?}")),
            clean: true,
            keep_alive: 60,
            user: None,
            password: None,
            will: None,
            properties: Properties::default(),
            at: None,
        }
    }

    /// At this broker instead of the shared one.
    pub fn at(mut self, broker: SocketAddr) -> Self {
        self.at = Some(broker);
        self
    }

    /// With this client id.
    pub fn id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// Going on with what is kept, and kept afterwards: Clean Session 0, in 5.0 with a session that never expires.
    pub fn kept(mut self) -> Self {
        self.clean = false;
        if self.version == Version::V5 { self.session_expiry(u32::MAX) } else { self }
    }

    /// Clean Start 1 (5.0), or Clean Session 1.
    pub fn clean(mut self, clean: bool) -> Self {
        self.clean = clean;
        self
    }

    /// With Session Expiry Interval.
    pub fn session_expiry(mut self, seconds: u32) -> Self {
        self.properties.0.retain(|property| property.id() != property::SESSION_EXPIRY);
        self.with(Property::Four(property::SESSION_EXPIRY, seconds))
    }

    /// With this Keep Alive, in seconds.
    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    /// With this user name.
    pub fn user(mut self, name: &str) -> Self {
        self.user = Some(name.as_bytes().to_vec());
        self
    }

    /// With this password.
    pub fn password(mut self, password: &[u8]) -> Self {
        self.password = Some(password.to_vec());
        self
    }

    /// With this will.
    pub fn will(mut self, will: Will) -> Self {
        self.will = Some(will);
        self
    }

    /// With one more property.
    pub fn with(mut self, property: Property) -> Self {
        self.properties.0.push(property);
        self
    }

    /// Connects and must be let in.
    pub fn open(self) -> Client {
        let (client, answer) = self.answered();
        assert_eq!(answer.code, 0, "CONNECT was refused");
        client
    }

    /// Connects and must be let in; none: the broker went before it answered.
    pub fn try_open(self) -> Option<Client> {
        let mut client = Client::try_dial(self.at.unwrap_or_else(address), self.version)?;
        client.id.clone_from(&self.id);
        client.try_send(&super::writer::connect(&self));
        let Packet::Connack(answer) = client.try_receive().ok()? else { panic!("the first packet is not CONNACK") };
        assert_eq!(answer.code, 0, "CONNECT was refused");
        client.connack = answer;
        Some(client)
    }

    /// Connects, must be let in and find its session.
    pub fn resume(self) -> Client {
        let client = self.open();
        assert!(client.connack.present, "the session is not present");
        client
    }

    /// Connects and must be turned away with this code, or, where it is 0, without a CONNACK.
    pub fn refused(self, code: u8) {
        let mut client = self.sent();
        match client.try_receive() {
            Ok(Packet::Connack(answer)) if code != 0 => {
                assert_eq!((answer.code, answer.present), (code, false));
                client.expect_closed();
            }
            Err(End::Closed) if code == 0 => {}
            other => panic!("expected to be refused with {code:#04x}, got {other:?}"),
        }
    }

    /// Connects on this connection and must be let in.
    pub fn open_on(self, stream: Box<dyn Wire>) -> Client {
        let (client, answer) = Self::read_answer(self.sent_on(stream));
        assert_eq!(answer.code, 0, "CONNECT was refused");
        client
    }

    /// Sends CONNECT on this connection; none: that does not work.
    pub fn sent_try(self, mut stream: Box<dyn Wire>) -> Option<Client> {
        stream.write_all(&self.bytes()).ok()?;
        Some(Client::on(stream, self.version))
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        super::writer::connect(self)
    }

    /// Sends CONNECT on this connection.
    pub fn sent_on(self, stream: Box<dyn Wire>) -> Client {
        let client = Client::on(stream, self.version);
        self.send_to(client)
    }

    /// Opens the socket and sends CONNECT.
    pub fn sent(self) -> Client {
        let client = Client::dial(self.at.unwrap_or_else(address), self.version);
        self.send_to(client)
    }

    fn send_to(self, mut client: Client) -> Client {
        client.id.clone_from(&self.id);
        client.send(&super::writer::connect(&self));
        client
    }

    fn answered(self) -> (Client, Connack) {
        Self::read_answer(self.sent())
    }

    fn read_answer(mut client: Client) -> (Client, Connack) {
        let Packet::Connack(answer) = client.receive() else { panic!("the first packet is not CONNACK") };
        client.connack = answer.clone();
        if let Some(id) = answer.properties.text(property::ASSIGNED_CLIENT_ID) {
            id.clone_into(&mut client.id);
        }
        (client, answer)
    }
}
