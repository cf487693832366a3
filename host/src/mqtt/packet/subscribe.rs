//! SUBSCRIBE and UNSUBSCRIBE, with shared subscriptions taken apart.
//!
//! A filter that is not one ends the connection before 5.0. In 5.0 it is handed on, so that the hall refuses it and the
//! others beside it are served; a shared subscription whose group or filter is unusable is handed on as an empty filter,
//! which the hall refuses in the same way.

use super::Version;
use super::property::{self, Properties, Value, id, set};
use super::reader::Reader;
use crate::dialogue::{RetainHandling, Subscribe, SubscribeFilter, SubscribeOptions, Unsubscribe};
use crate::message::Guarantee;
use crate::mqtt::limits::Limits;
use crate::mqtt::violation::Violation;

/// What was read, or how many filters there are if there are too many to take.
#[derive(Debug)]
pub enum Filters<T> {
    /// All of it.
    Taken(T),
    /// Handle and number of filters; each is to be refused.
    TooMany(u16, usize),
}

const SUBSCRIBE: u64 = property::REASON & !set(&[id::REASON_STRING]) | set(&[id::SUBSCRIPTION_IDENTIFIER]);
const UNSUBSCRIBE: u64 = set(&[id::USER_PROPERTY]);

/// Reads a SUBSCRIBE.
pub fn read(body: &[u8], version: Version, limits: &Limits) -> Result<Filters<Subscribe>, Violation> {
    let mut reader = Reader::new(body);
    let handle = reader.identifier()?;
    let mut identifier = None;
    if version == Version::V5 {
        let mut properties = Properties::take(&mut reader, SUBSCRIBE, limits.user_properties_max)?;
        while let Some((property, value)) = properties.next()? {
            if let (id::SUBSCRIPTION_IDENTIFIER, Value::Number(number)) = (property, value) {
                identifier = Some(number);
            }
        }
    }
    let next = |reader: &mut Reader<'_>| -> Result<SubscribeFilter, Violation> {
        let (share, name) = filter(reader, version)?;
        let options = options(reader.u8()?, version, identifier)?;
        if share.is_some() && options.no_local {
            return Err(Violation::SharedNoLocal);
        }
        Ok(SubscribeFilter { name: name.into(), share: share.map(Into::into), options })
    };
    Ok(match filters(reader, limits, next)? {
        Ok(filters) => Filters::Taken(Subscribe { handle, filters }),
        Err(count) => Filters::TooMany(handle, count),
    })
}

/// Reads an UNSUBSCRIBE.
pub fn read_unsubscribe(body: &[u8], version: Version, limits: &Limits) -> Result<Filters<Unsubscribe>, Violation> {
    let mut reader = Reader::new(body);
    let handle = reader.identifier()?;
    if version == Version::V5 {
        Properties::take(&mut reader, UNSUBSCRIBE, limits.user_properties_max)?.check()?;
    }
    let next = |reader: &mut Reader<'_>| {
        let (share, name) = filter(reader, version)?;
        Ok((name.into(), share.map(Into::into)))
    };
    Ok(match filters(reader, limits, next)? {
        Ok(filters) => Filters::Taken(Unsubscribe { handle, filters }),
        Err(count) => Filters::TooMany(handle, count),
    })
}

/// Reads filters to the end of the packet. With more than the bound they are counted, and none is kept.
fn filters<T>(
    mut reader: Reader<'_>,
    limits: &Limits,
    next: impl Fn(&mut Reader<'_>) -> Result<T, Violation>,
) -> Result<Result<Vec<T>, usize>, Violation> {
    if reader.is_empty() {
        return Err(Violation::FilterMissing);
    }
    let mut filters = Vec::new();
    let mut count = 0;
    while !reader.is_empty() {
        let filter = next(&mut reader)?;
        count += 1;
        if count <= limits.filters_per_packet_max {
            filters.push(filter);
        } else {
            filters.clear();
        }
    }
    Ok(if count <= limits.filters_per_packet_max { Ok(filters) } else { Err(count) })
}

/// Reads one filter: its group, if it is shared, and the rest.
fn filter<'b>(reader: &mut Reader<'b>, version: Version) -> Result<(Option<&'b str>, &'b str), Violation> {
    let written = reader.text()?;
    if written.is_empty() {
        return Err(Violation::FilterEmpty);
    }
    let (share, name) = match written.strip_prefix("$share/") {
        None => (None, written),
        Some(shared) => match shared.split_once('/') {
            Some((group, name)) if is_group(group) => (Some(group), name),
            _ => (None, ""),
        },
    };
    if version < Version::V5 && has_misplaced_wildcard(name) {
        return Err(Violation::FilterInvalid);
    }
    Ok((share, name))
}

/// MQTT-4.8.2-1 and -2.
fn is_group(group: &str) -> bool {
    !group.is_empty() && !group.contains(['+', '#'])
}

/// MQTT-4.7.1-1 and -2.
fn has_misplaced_wildcard(name: &str) -> bool {
    let mut levels = crate::topic::levels(name).peekable();
    while let Some(level) = levels.next() {
        let wild = memchr::memchr2(b'+', b'#', level.as_bytes()).is_some();
        if wild && (level.len() > 1 || (level == "#" && levels.peek().is_some())) {
            return true;
        }
    }
    false
}

/// MQTT 3.1 leaves all but the QoS unused.
fn options(byte: u8, version: Version, identifier: Option<u32>) -> Result<SubscribeOptions, Violation> {
    let reserved = match version {
        Version::V31 => 0,
        Version::V311 => 0b1111_1100,
        Version::V5 => 0b1100_0000,
    };
    if byte & reserved != 0 {
        return Err(Violation::SubscribeOptions);
    }
    // Of 5.0 a fault of its own: such a packet can be parsed.
    let no_value = if version < Version::V5 { Violation::SubscribeOptions } else { Violation::SubscribeValue };
    let guarantee = Guarantee::from_level(byte & 0b11).ok_or(no_value)?;
    if version < Version::V5 {
        return Ok(SubscribeOptions { guarantee, ..SubscribeOptions::default() });
    }
    let retain_handling = match (byte >> 4) & 0b11 {
        0 => RetainHandling::Always,
        1 => RetainHandling::IfNew,
        2 => RetainHandling::Never,
        _ => return Err(Violation::SubscribeValue),
    };
    Ok(SubscribeOptions {
        guarantee,
        no_local: byte & 0b100 != 0,
        retain_as_published: byte & 0b1000 != 0,
        retain_handling,
        identifier,
    })
}
