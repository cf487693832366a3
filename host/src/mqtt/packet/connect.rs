//! CONNECT: the only packet of an unknown peer, and the one with the most ways to be wrong.

use super::message_properties;
use super::property::{Properties, Value, id, set};
use super::reader::Reader;
use super::{Version, text};
use crate::dialogue::{Credentials, WillRequest};
use crate::message::Guarantee;
use crate::mqtt::limits::Limits;
use crate::mqtt::violation::Violation;
use crate::topic;

/// What a client says of itself.
#[derive(Debug)]
pub struct Connect<'b> {
    pub clean: bool,
    /// Seconds; 0: none.
    pub keep_alive: u16,
    pub client_id: &'b str,
    pub will: Option<WillRequest>,
    pub credentials: Option<Credentials>,
    pub properties: ConnectProperties<'b>,
}

/// The properties of CONNECT, with the values that stand for those not given (3.1.2.11).
#[derive(Debug, PartialEq, Eq)]
pub struct ConnectProperties<'b> {
    pub session_expiry: u32,
    pub receive_maximum: u16,
    /// `u32::MAX`: no bound.
    pub packet_bytes_max: u32,
    pub topic_alias_maximum: u16,
    pub wants_response_information: bool,
    pub wants_problem_information: bool,
    pub authentication_method: Option<&'b str>,
    pub authentication_data: Option<&'b [u8]>,
}

/// What the answer to a CONNECT has to respect, as far as the CONNECT could be read before it broke a rule.
#[derive(Debug, Clone, Copy)]
pub struct AnswerBounds {
    /// The longest packet that the client takes (MQTT-3.1.2-24).
    pub packet_bytes_max: u32,
    /// Whether it wants to be told why (MQTT-3.1.2-29).
    pub wants_problem_information: bool,
}

impl Default for AnswerBounds {
    fn default() -> Self {
        Self { packet_bytes_max: u32::MAX, wants_problem_information: true }
    }
}

impl Default for ConnectProperties<'_> {
    fn default() -> Self {
        Self {
            session_expiry: 0,
            receive_maximum: u16::MAX,
            packet_bytes_max: u32::MAX,
            topic_alias_maximum: 0,
            wants_response_information: false,
            wants_problem_information: true,
            authentication_method: None,
            authentication_data: None,
        }
    }
}

const ALLOWED: u64 = set(&[
    id::SESSION_EXPIRY,
    id::RECEIVE_MAXIMUM,
    id::MAXIMUM_PACKET_SIZE,
    id::TOPIC_ALIAS_MAXIMUM,
    id::REQUEST_RESPONSE_INFORMATION,
    id::REQUEST_PROBLEM_INFORMATION,
    id::USER_PROPERTY,
    id::AUTHENTICATION_METHOD,
    id::AUTHENTICATION_DATA,
]);

const CLEAN: u8 = 0b0000_0010;
const WILL: u8 = 0b0000_0100;
const WILL_QOS: u8 = 0b0001_1000;
const WILL_RETAIN: u8 = 0b0010_0000;
const PASSWORD: u8 = 0b0100_0000;
const USER_NAME: u8 = 0b1000_0000;

/// Reads protocol name and level; true: the client is a bridge. Bridges of the versions before 5.0 say so by the highest
/// bit of the level, and count on being sent nothing of their own, and retain flags as they were published.
pub fn version(reader: &mut Reader<'_>) -> Result<(Version, bool), Violation> {
    let name = reader.data()?;
    if name != b"MQTT" && name != b"MQIsdp" {
        return Err(Violation::ProtocolName);
    }
    match (name, reader.u8()?) {
        (b"MQIsdp", level @ (3 | 0x83)) => Ok((Version::V31, level != 3)),
        (b"MQTT", level @ (4 | 0x84)) => Ok((Version::V311, level != 4)),
        (b"MQTT", 5) => Ok((Version::V5, false)),
        (_, 3..=5 | 0x83 | 0x84) => Err(Violation::ProtocolMismatch),
        _ => Err(Violation::ProtocolLevel),
    }
}

/// Reads what follows the protocol level. `first` is the first byte of the packet. `bounds` is told of what the answer has
/// to respect, also where the packet turns out to break a rule.
pub fn read<'b>(
    first: u8,
    mut reader: Reader<'b>,
    version: Version,
    limits: &Limits,
    bounds: &mut AnswerBounds,
) -> Result<Connect<'b>, Violation> {
    if first & 0x0F != 0 && version > Version::V31 {
        return Err(Violation::ReservedFlags);
    }
    let flags = reader.u8()?;
    check_flags(flags, version)?;
    let keep_alive = reader.u16()?;
    let properties = match version {
        Version::V5 => properties(&mut reader, limits, bounds)?,
        _ => ConnectProperties::default(),
    };
    let client_id = client_id(&mut reader, version, limits)?;
    let will = if flags & WILL != 0 { Some(will(flags, &mut reader, version, limits)?) } else { None };
    let credentials = credentials(flags, &mut reader, version)?;
    reader.end()?;
    let clean = flags & CLEAN != 0;
    if client_id.is_empty() && (version == Version::V31 || (version == Version::V311 && !clean)) {
        return Err(Violation::ClientIdMissing);
    }
    Ok(Connect { clean, keep_alive, client_id, will, credentials, properties })
}

/// MQTT 3.1 leaves the lowest bit unused, and the will's bits where there is no will.
fn check_flags(flags: u8, version: Version) -> Result<(), Violation> {
    if flags & 1 != 0 && version > Version::V31 {
        return Err(Violation::ConnectFlags);
    }
    let will_bits = flags & (WILL_QOS | WILL_RETAIN) != 0;
    if flags & WILL == 0 && will_bits && version > Version::V31 {
        return Err(Violation::WillFlags);
    }
    if flags & WILL != 0 && flags & WILL_QOS == WILL_QOS {
        return Err(Violation::WillFlags);
    }
    if flags & PASSWORD != 0 && flags & USER_NAME == 0 && version < Version::V5 {
        return Err(Violation::PasswordWithoutUserName);
    }
    Ok(())
}

fn properties<'b>(
    reader: &mut Reader<'b>,
    limits: &Limits,
    bounds: &mut AnswerBounds,
) -> Result<ConnectProperties<'b>, Violation> {
    let mut properties = Properties::take(reader, ALLOWED, limits.user_properties_max)?;
    let mut found = ConnectProperties::default();
    while let Some((identifier, value)) = properties.next()? {
        match (identifier, value) {
            (id::SESSION_EXPIRY, Value::Number(seconds)) => found.session_expiry = seconds,
            (id::RECEIVE_MAXIMUM, Value::Number(count)) => found.receive_maximum = count as u16,
            (id::MAXIMUM_PACKET_SIZE, Value::Number(bytes)) => {
                found.packet_bytes_max = bytes;
                bounds.packet_bytes_max = bytes;
            }
            (id::TOPIC_ALIAS_MAXIMUM, Value::Number(count)) => found.topic_alias_maximum = count as u16,
            (id::REQUEST_RESPONSE_INFORMATION, Value::Number(wanted)) => found.wants_response_information = wanted == 1,
            (id::REQUEST_PROBLEM_INFORMATION, Value::Number(wanted)) => {
                found.wants_problem_information = wanted == 1;
                bounds.wants_problem_information = wanted == 1;
            }
            (id::AUTHENTICATION_METHOD, Value::Text(method)) => found.authentication_method = Some(method),
            (id::AUTHENTICATION_DATA, Value::Data(data)) => found.authentication_data = Some(data),
            _ => {}
        }
    }
    if found.authentication_data.is_some() && found.authentication_method.is_none() {
        return Err(Violation::NoAuthentication);
    }
    Ok(found)
}

fn client_id<'b>(reader: &mut Reader<'b>, version: Version, limits: &Limits) -> Result<&'b str, Violation> {
    let bytes = reader.data()?;
    if bytes.len() > usize::from(limits.client_id_bytes_max) {
        return Err(Violation::ClientIdTooLong);
    }
    let id = text::text(bytes).map_err(|_| Violation::ClientId)?;
    let characters_max = usize::from(limits.client_id_characters_max_3_1);
    if version == Version::V31 && bytes.len() > characters_max && id.chars().count() > characters_max {
        return Err(Violation::ClientIdTooLong);
    }
    Ok(id)
}

fn will(flags: u8, reader: &mut Reader<'_>, version: Version, limits: &Limits) -> Result<WillRequest, Violation> {
    let properties = match version {
        Version::V5 => message_properties::read(reader, message_properties::WILL, limits.user_properties_max)?,
        _ => message_properties::MessageProperties::default(),
    };
    let name = text::topic_name(reader.data()?);
    let payload = reader.data()?;
    let name = match name {
        Err(Violation::TopicWildcard) | Ok("") => return Err(Violation::WillTopic),
        name => name?,
    };
    if is_too_deep(name, &limits.topic) {
        return Err(Violation::WillTopic);
    }
    Ok(WillRequest {
        name: name.into(),
        guarantee: Guarantee::from_level((flags & WILL_QOS) >> 3).ok_or(Violation::WillFlags)?,
        retain: flags & WILL_RETAIN != 0,
        expiry_seconds: properties.expiry_seconds,
        properties: properties.rest,
        payload: payload.into(),
        delay_seconds: properties.delay_seconds,
    })
}

/// Whether a topic name breaks the room's bounds (T03).
#[inline]
pub fn is_too_deep(name: &str, limits: &topic::Limits) -> bool {
    name.len() > limits.bytes_max
        || name.len() >= limits.levels_max && memchr::memchr_iter(b'/', name.as_bytes()).count() >= limits.levels_max
}

/// MQTT 3.1 lets both fields be absent although their flags are set.
fn credentials(flags: u8, reader: &mut Reader<'_>, version: Version) -> Result<Option<Credentials>, Violation> {
    let mut field = |flag: u8| -> Result<Option<&[u8]>, Violation> {
        let absent = flags & flag == 0 || (version == Version::V31 && reader.is_empty());
        if absent { Ok(None) } else { reader.data().map(Some) }
    };
    let user_name = field(USER_NAME)?.map(text::text).transpose()?;
    let password = field(PASSWORD)?;
    if user_name.is_none() && password.is_none() {
        return Ok(None);
    }
    Ok(Some(Credentials { user_name: user_name.map(Into::into), password: password.map(Into::into) }))
}
