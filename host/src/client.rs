//! Who speaks on the other side of a connection, and how it left. Neither MQTT's words nor AMQP's.

use std::sync::Arc;

/// The protocol that brought a message in or takes it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// MQTT of any version.
    Mqtt,
    /// AMQP 1.0.
    Amqp,
    /// The admin API.
    Http,
    /// A module's wish.
    Module,
}

/// The client on whose behalf something happens. Shared by all that its connection does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// MQTT client identifier, or AMQP container id; of a receiving link of AMQP the name of its mailbox.
    pub id: Arc<str>,
    /// Of a receiving link of AMQP: the container id of its client.
    pub container: Option<Arc<str>>,
    /// What topic names are relative to.
    pub scope: Arc<Scope>,
    /// `address:port` of the peer; empty where there is none.
    pub peer: Arc<str>,
}

impl Client {
    /// What modules know it by, whichever of its links it is about.
    pub fn known_as(&self) -> &str {
        self.container.as_deref().unwrap_or(&self.id)
    }
}

/// What a name is relative to: two clients of equal scope mean the same topic by the same name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The configured name of the listener.
    pub listener: Arc<str>,
    /// The protocol spoken.
    pub protocol: Protocol,
    /// The authenticated name; none for an anonymous client.
    pub identity: Option<Arc<str>>,
}

/// How a client went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Departure {
    /// It said goodbye as its protocol wants it: the will is dropped.
    Clean,
    /// The connection broke with no farewell.
    ConnectionLost,
    /// It was silent for longer than its keep-alive time allows.
    KeepAliveExpired,
    /// It broke the rules of its protocol.
    ProtocolViolation,
    /// It asked for its will on leaving (MQTT 5.0, reason code 0x04).
    OnRequest,
    /// Another connection took its client id over.
    TakenOver,
    /// An operator or a rule closed it.
    ClosedByBroker,
    /// The broker stopped, or was found dead at its next start.
    BrokerDown,
}
