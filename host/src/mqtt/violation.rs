//! Every way a client can break the rules, with its reason code, its clause and its words.

use crate::client::Departure;

/// A rule that a client broke. The connection ends; [`Outbound::violation`](super::Outbound::violation) says what may
/// still be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    // Framing
    /// The remaining length takes more than four bytes.
    #[error("the remaining length takes more than four bytes")]
    LengthTooLong,
    /// A length or number of variable width takes more bytes than needed, or more than four.
    #[error("a variable byte integer is not in its shortest form")]
    NumberNotMinimal,
    /// The packet is longer than the broker takes.
    #[error("the packet is larger than the broker allows")]
    PacketTooLarge,
    /// Packet type 0, or 15 before 5.0.
    #[error("the packet type is reserved")]
    ReservedType,
    /// The low four bits of the first byte are not what this packet must have.
    #[error("the flags of the packet's first byte are not allowed")]
    ReservedFlags,
    /// CONNACK, SUBACK, UNSUBACK or PINGRESP.
    #[error("only a server may send this packet")]
    ServerPacket,
    /// The first packet is not CONNECT.
    #[error("the first packet must be CONNECT")]
    NotConnect,
    /// A second CONNECT.
    #[error("CONNECT was sent before on this connection")]
    SecondConnect,
    /// A field goes past the end of its packet.
    #[error("a field goes past the end of the packet")]
    Truncated,
    /// Bytes are left after the last field.
    #[error("the packet goes on after its last field")]
    TrailingBytes,

    // Text
    /// Not UTF-8.
    #[error("a text is not valid UTF-8")]
    NotUtf8,
    /// U+0000.
    #[error("a text contains U+0000")]
    NullCharacter,
    /// U+0001 to U+001F, U+007F to U+009F, or a non-character such as U+FFFF.
    #[error("a text contains a control character or a non-character")]
    ForbiddenCharacter,

    // Properties
    /// No such property.
    #[error("the property is unknown")]
    UnknownProperty,
    /// The property may not stand in this packet.
    #[error("the property may not stand in this packet")]
    MisplacedProperty,
    /// A property that may stand once stands twice.
    #[error("the property may stand only once")]
    RepeatedProperty,
    /// The property has a value that it may not have.
    #[error("the property has a value that is not allowed")]
    PropertyValue,
    /// More user properties than [`Limits::user_properties_max`](super::Limits::user_properties_max), or longer ones.
    #[error("too many user properties")]
    TooManyUserProperties,

    // CONNECT
    /// The protocol name is neither `MQTT` nor `MQIsdp`.
    #[error("the protocol name is unknown")]
    ProtocolName,
    /// The protocol level is none that the broker speaks.
    #[error("the protocol level is unknown")]
    ProtocolLevel,
    /// The protocol level does not belong to the protocol name.
    #[error("the protocol level does not fit the protocol name")]
    ProtocolMismatch,
    /// The reserved connect flag is set.
    #[error("the reserved connect flag is set")]
    ConnectFlags,
    /// The will's flags contradict each other, or its QoS is 3.
    #[error("the flags of the will are not allowed")]
    WillFlags,
    /// The will's topic is empty, has a wildcard or is too deep.
    #[error("the topic of the will is not allowed")]
    WillTopic,
    /// A password without a user name, before 5.0.
    #[error("a password needs a user name")]
    PasswordWithoutUserName,
    /// The client identifier contains what no text may contain.
    #[error("the client identifier is not allowed")]
    ClientId,
    /// The client identifier is too long: in MQTT 3.1 it has at most 23 characters.
    #[error("the client identifier is too long")]
    ClientIdTooLong,
    /// An empty client identifier where the broker may not make one.
    #[error("a client identifier is needed")]
    ClientIdMissing,
    /// The authentication method is none that the broker knows.
    #[error("the authentication method is not supported")]
    AuthenticationMethod,
    /// Anything but AUTH or DISCONNECT while the client has still to prove who it is.
    #[error("only AUTH and DISCONNECT may come before the authentication is over")]
    Unauthenticated,
    /// AUTH without an authentication that is under way, with another method, or authentication data without a method.
    #[error("there is no authentication to go on with")]
    NoAuthentication,

    // PUBLISH and its acknowledgements
    /// QoS 3.
    #[error("QoS 3 does not exist")]
    QosInvalid,
    /// DUP with QoS 0.
    #[error("DUP is set on a message of QoS 0")]
    DuplicateOfQosZero,
    /// The topic name has a wildcard.
    #[error("the topic name contains a wildcard")]
    TopicWildcard,
    /// The topic name has more levels or bytes than the broker allows.
    #[error("the topic name is too long or has too many levels")]
    TopicTooDeep,
    /// Neither a topic name nor an alias.
    #[error("there is no topic name")]
    TopicMissing,
    /// The response topic is empty or has a wildcard.
    #[error("the response topic is not a topic name")]
    ResponseTopic,
    /// An alias of 0, or above what the broker allows.
    #[error("the topic alias is out of range")]
    AliasInvalid,
    /// An alias that has no topic.
    #[error("the topic alias has no topic yet")]
    AliasUnknown,
    /// The topics behind the aliases are longer than the broker allows.
    #[error("the topics behind the aliases are too long")]
    AliasBytes,
    /// Packet identifier 0.
    #[error("the packet identifier is 0")]
    IdentifierZero,
    /// More unanswered publications than the broker takes.
    #[error("too many publications at the same time")]
    ReceiveMaximum,
    /// The same QoS 2 message a third time on one connection, without DUP and without a PUBREL.
    #[error("the same QoS 2 message was sent again and again")]
    RepeatedPublish,
    /// A reason code that this packet may not have.
    #[error("the reason code is not allowed in this packet")]
    ReasonCode,

    // SUBSCRIBE and UNSUBSCRIBE
    /// No filter.
    #[error("there is no topic filter")]
    FilterMissing,
    /// More filters than [`Limits::filters_per_packet_max`](super::Limits::filters_per_packet_max), where they cannot be
    /// refused one by one.
    #[error("too many topic filters in one packet")]
    TooManyFilters,
    /// The answer to so many filters is longer than the client takes.
    #[error(
        "the answer would be larger than this client's maximum packet size; name fewer topic filters in one packet"
    )]
    AnswerTooLarge,
    /// The answer to CONNECT, or a step of the exchange that it began, is longer than the client takes.
    #[error("what lets this client in is larger than its maximum packet size; let it take larger packets")]
    WelcomeTooLarge,
    /// An empty filter.
    #[error("a topic filter must have at least one character")]
    FilterEmpty,
    /// A filter that is not one, where the protocol has no better way to refuse it.
    #[error("a topic filter is not allowed")]
    FilterInvalid,
    /// Reserved bits in the subscription options, or before 5.0 anything there but a QoS.
    #[error("the subscription options are not allowed")]
    SubscribeOptions,
    /// A QoS or a Retain Handling of 3 (5.0).
    #[error("a subscription option has a value that is none")]
    SubscribeValue,
    /// A shared subscription that also asks for No Local.
    #[error("a shared subscription cannot be No Local")]
    SharedNoLocal,

    // DISCONNECT
    /// A session expiry on leaving where there was none on coming.
    #[error("a session that ends with its connection cannot be given an expiry on leaving")]
    SessionExpiryRaised,

    // Time; found by the room's caller
    /// No packet within one and a half times the keep-alive time.
    #[error("nothing was heard for longer than the keep-alive time allows")]
    KeepAliveExpired,
    /// No whole CONNECT in time.
    #[error("CONNECT did not come in time")]
    ConnectTimeout,
    /// The exchange that CONNECT began was not over in time.
    #[error("the client did not prove in time who it is")]
    AuthenticationTimeout,
}

impl Violation {
    /// The reason code of MQTT 5.0, for DISCONNECT. See [`Self::connect_reason`] for CONNACK.
    pub fn reason(self) -> u8 {
        match self {
            Self::LengthTooLong
            | Self::NumberNotMinimal
            | Self::ReservedFlags
            | Self::Truncated
            | Self::TrailingBytes
            | Self::NotUtf8
            | Self::NullCharacter
            | Self::ForbiddenCharacter
            | Self::UnknownProperty
            | Self::ConnectFlags
            | Self::WillFlags
            | Self::QosInvalid
            | Self::DuplicateOfQosZero
            | Self::SubscribeOptions => 0x81,
            Self::ReservedType
            | Self::ServerPacket
            | Self::NotConnect
            | Self::SecondConnect
            | Self::MisplacedProperty
            | Self::RepeatedProperty
            | Self::PropertyValue
            | Self::ProtocolName
            | Self::PasswordWithoutUserName
            | Self::NoAuthentication
            | Self::Unauthenticated
            | Self::TopicMissing
            | Self::ResponseTopic
            | Self::AliasUnknown
            | Self::IdentifierZero
            | Self::RepeatedPublish
            | Self::ReasonCode
            | Self::FilterMissing
            | Self::FilterEmpty
            | Self::SharedNoLocal
            | Self::SubscribeValue
            | Self::SessionExpiryRaised
            | Self::ConnectTimeout => 0x82,
            Self::ProtocolLevel | Self::ProtocolMismatch => 0x84,
            Self::ClientId | Self::ClientIdTooLong | Self::ClientIdMissing => 0x85,
            Self::AuthenticationTimeout => 0x87,
            Self::AuthenticationMethod => 0x8C,
            Self::KeepAliveExpired => 0x8D,
            Self::FilterInvalid => 0x8F,
            Self::WillTopic | Self::TopicWildcard | Self::TopicTooDeep => 0x90,
            Self::ReceiveMaximum => 0x93,
            Self::AliasInvalid => 0x94,
            Self::PacketTooLarge | Self::AnswerTooLarge | Self::WelcomeTooLarge => 0x95,
            Self::TooManyUserProperties | Self::TooManyFilters | Self::AliasBytes => 0x97,
        }
    }

    /// The reason code of MQTT 5.0 for CONNACK: as [`Self::reason`] where CONNACK may have it (table 3-1), else 0x82.
    pub fn connect_reason(self) -> u8 {
        match self.reason() {
            0x8D | 0x8F | 0x93 | 0x94 => 0x82,
            reason => reason,
        }
    }

    /// The return code of a CONNACK before 5.0; none: the connection is closed without a word, as the specification wants
    /// for all but these (3.1.1, 3.2.2.3 and 4.8).
    pub fn return_code(self) -> Option<u8> {
        match self {
            Self::ProtocolLevel | Self::ProtocolMismatch => Some(1),
            Self::ClientIdTooLong | Self::ClientIdMissing => Some(2),
            _ => None,
        }
    }

    /// The statement that is broken: of MQTT 5.0, or of 3.1.1 where it says so.
    pub fn clause(self) -> &'static str {
        match self {
            Self::LengthTooLong => "MQTT 5.0, 2.1.4",
            Self::NumberNotMinimal => "MQTT-1.5.5-1",
            Self::PacketTooLarge => "MQTT-3.2.2-15",
            Self::ReservedType => "MQTT 5.0, 2.1.2",
            Self::ReservedFlags => "MQTT-2.1.3-1",
            Self::ServerPacket => "MQTT 5.0, 2.1.2",
            Self::NotConnect => "MQTT-3.1.0-1",
            Self::SecondConnect => "MQTT-3.1.0-2",
            Self::Truncated | Self::TrailingBytes => "MQTT-4.13.1-1",
            Self::NotUtf8 => "MQTT-1.5.4-1",
            Self::NullCharacter => "MQTT-1.5.4-2",
            Self::ForbiddenCharacter => "MQTT 5.0, 1.5.4",
            Self::UnknownProperty | Self::MisplacedProperty => "MQTT 5.0, 2.2.2.2",
            Self::RepeatedProperty => "MQTT 5.0, 2.2.2.2",
            Self::PropertyValue => "MQTT-4.13.1-1",
            Self::TooManyUserProperties | Self::TooManyFilters => "MQTT 5.0, 4.13.2",
            Self::AnswerTooLarge | Self::WelcomeTooLarge => "MQTT-3.1.2-24",
            Self::ProtocolName => "MQTT-3.1.2-1",
            Self::ProtocolLevel | Self::ProtocolMismatch => "MQTT-3.1.2-2",
            Self::ConnectFlags => "MQTT-3.1.2-3",
            Self::WillFlags => "MQTT-3.1.2-11, -12, -13",
            Self::WillTopic => "MQTT-4.7.0-1, MQTT-4.7.3-1",
            Self::PasswordWithoutUserName => "MQTT-3.1.2-22 of 3.1.1",
            Self::ClientId => "MQTT-3.1.3-4",
            Self::ClientIdTooLong => "MQTT-3.1.3-9 of 3.1.1, MQTT 3.1, CONNECT",
            Self::ClientIdMissing => "MQTT-3.1.3-8 of 3.1.1",
            Self::AuthenticationMethod => "MQTT-4.12.0-1",
            Self::Unauthenticated => "MQTT-3.1.2-30",
            Self::NoAuthentication => "MQTT-4.12.0-7, MQTT 5.0, 3.1.2.11.10",
            Self::QosInvalid => "MQTT-3.3.1-4",
            Self::DuplicateOfQosZero => "MQTT-3.3.1-2",
            Self::TopicWildcard => "MQTT-3.3.2-2",
            Self::TopicTooDeep => "MQTT 5.0, 4.7.3",
            Self::TopicMissing => "MQTT-4.7.3-1, MQTT 5.0, 3.3.2.1",
            Self::ResponseTopic => "MQTT-3.3.2-14",
            Self::AliasInvalid => "MQTT-3.3.2-8, MQTT-3.3.2-9",
            Self::AliasUnknown => "MQTT 5.0, 3.3.2.3.4",
            Self::AliasBytes => "MQTT 5.0, 4.13.2",
            Self::IdentifierZero => "MQTT-2.2.1-3",
            Self::ReceiveMaximum => "MQTT-3.3.4-7",
            Self::RepeatedPublish => "MQTT-4.4.0-1",
            Self::ReasonCode => "MQTT 5.0, 2.4",
            Self::FilterMissing => "MQTT-3.8.3-2, MQTT-3.10.3-2",
            Self::FilterEmpty => "MQTT-4.7.3-1",
            Self::FilterInvalid => "MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.3-1",
            Self::SubscribeOptions => "MQTT-3.8.3-5",
            Self::SubscribeValue => "MQTT 5.0, 3.8.3.1",
            Self::SharedNoLocal => "MQTT-3.8.3-4",
            Self::SessionExpiryRaised => "MQTT 5.0, 3.14.2.2.2",
            Self::KeepAliveExpired => "MQTT-3.1.2-22",
            Self::ConnectTimeout | Self::AuthenticationTimeout => "MQTT 5.0, 3.1.4",
        }
    }

    /// How the client went that did this.
    pub fn departure(self) -> Departure {
        match self {
            Self::KeepAliveExpired => Departure::KeepAliveExpired,
            _ => Departure::ProtocolViolation,
        }
    }
}
