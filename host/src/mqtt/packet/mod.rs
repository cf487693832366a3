//! The packets: framing, the strict gate, and what each one says.
//!
//! Every reader takes the bytes of one whole packet, checks all of it and allocates nothing from a declared length.

pub mod acknowledgement;
pub mod auth;
pub mod connect;
pub mod control;
pub mod disconnect;
pub mod header;
pub mod message_properties;
pub mod property;
pub mod publish;
pub mod reader;
pub mod subscribe;
pub mod text;
pub mod writer;

#[cfg(test)]
mod mqttbytes_faults;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// MQTT 3.1: `MQIsdp`, level 3.
    V31,
    /// MQTT 3.1.1: level 4.
    V311,
    /// MQTT 5.0: level 5.
    V5,
}

/// Packet types as they stand in the upper four bits of the first byte.
pub mod kind {
    pub const CONNECT: u8 = 1;
    pub const CONNACK: u8 = 2;
    pub const PUBLISH: u8 = 3;
    pub const PUBACK: u8 = 4;
    pub const PUBREC: u8 = 5;
    pub const PUBREL: u8 = 6;
    pub const PUBCOMP: u8 = 7;
    pub const SUBSCRIBE: u8 = 8;
    pub const SUBACK: u8 = 9;
    pub const UNSUBSCRIBE: u8 = 10;
    pub const UNSUBACK: u8 = 11;
    pub const PINGREQ: u8 = 12;
    pub const PINGRESP: u8 = 13;
    pub const DISCONNECT: u8 = 14;
    pub const AUTH: u8 = 15;
}
