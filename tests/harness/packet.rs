//! The packets that a server sends, as rows look at them.

use super::property::Properties;

/// A packet from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// CONNACK.
    Connack(Connack),
    /// PUBLISH.
    Publish(Publish),
    /// PUBACK.
    Puback(Ack),
    /// PUBREC.
    Pubrec(Ack),
    /// PUBREL.
    Pubrel(Ack),
    /// PUBCOMP.
    Pubcomp(Ack),
    /// SUBACK.
    Suback(Granted),
    /// UNSUBACK; in 3.1.1 without codes.
    Unsuback(Granted),
    /// PINGRESP.
    Pingresp,
    /// DISCONNECT of 5.0.
    Disconnect(Farewell),
    /// AUTH of 5.0.
    Auth(Farewell),
}

/// Body of a CONNACK.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connack {
    /// Session Present.
    pub present: bool,
    /// Return or reason code.
    pub code: u8,
    /// 5.0 only.
    pub properties: Properties,
}

/// A PUBLISH, in either direction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Publish {
    /// Topic name.
    pub topic: String,
    /// 0, 1, 2.
    pub qos: u8,
    /// RETAIN.
    pub retain: bool,
    /// DUP.
    pub duplicate: bool,
    /// Packet identifier; 0 at QoS 0.
    pub id: u16,
    /// 5.0 only.
    pub properties: Properties,
    /// Payload.
    pub payload: Vec<u8>,
}

impl Publish {
    /// A message with no flags.
    pub fn new(topic: &str, payload: impl AsRef<[u8]>, qos: u8) -> Self {
        Self { topic: topic.to_owned(), payload: payload.as_ref().to_vec(), qos, ..Self::default() }
    }

    /// With RETAIN.
    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// With this packet identifier instead of the client's next.
    pub fn id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    /// With DUP.
    pub fn duplicate(mut self) -> Self {
        self.duplicate = true;
        self
    }

    /// With one more property.
    pub fn with(mut self, property: super::Property) -> Self {
        self.properties.0.push(property);
        self
    }

    /// The payload as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("a payload of text")
    }
}

/// Body of PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ack {
    /// Packet identifier.
    pub id: u16,
    /// Reason code; 0 in 3.1.1.
    pub code: u8,
    /// 5.0 only.
    pub properties: Properties,
}

/// Body of SUBACK or UNSUBACK.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Granted {
    /// Packet identifier.
    pub id: u16,
    /// One for each filter.
    pub codes: Vec<u8>,
    /// 5.0 only.
    pub properties: Properties,
}

/// Body of DISCONNECT or AUTH.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Farewell {
    /// Reason code.
    pub code: u8,
    /// Properties.
    pub properties: Properties,
}
