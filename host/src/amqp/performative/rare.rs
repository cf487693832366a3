//! The performatives that are no hurry, by `fe2o3-amqp-types` and `serde_amqp`.

use super::{Bad, Performative, check, invalid};
use crate::amqp::codec::code;
use crate::amqp::codec::read::Reader;
use crate::amqp::condition::{AmqpError, error};
use crate::amqp::frame::{self, Kind};
use crate::amqp::limits::Limits;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads a value after it was checked: depth, number of values, sizes and texts are in order before `serde_amqp` sees it.
pub fn read_checked<T: DeserializeOwned>(raw: &[u8], limits: &Limits) -> Result<T, Bad> {
    check(raw, limits)?;
    read_typed(raw)
}

/// Fields of an attach in which others may use what they have added to the standard (3.5): source, target, unsettled.
const OPEN_FIELDS: std::ops::RangeInclusive<usize> = 5..=7;

/// Reads an attach. Where what is not known lies in its termini only, the link can be refused for it (2.6.3), and need
/// not take the connection with it.
pub(super) fn read_attach<'b>(raw: &[u8], fields: Reader<'_>, limits: &Limits) -> Result<Performative<'b>, Bad> {
    check(raw, limits)?;
    match read_typed(raw) {
        Ok(attach) => Ok(Performative::Attach(Box::new(attach), None)),
        Err(why) => {
            let known = serde_amqp::from_slice(&without_open_fields(fields)).map_err(|_| why)?;
            let why = "a source, a target or a delivery-state is of a kind that is not known here";
            Ok(Performative::Attach(Box::new(known), Some(Box::new(error(AmqpError::NotImplemented, why)))))
        }
    }
}

fn read_typed<T: DeserializeOwned>(raw: &[u8]) -> Result<T, Bad> {
    serde_amqp::from_slice(raw).map_err(|error| invalid(format!("a field is missing or of a wrong type: {error}")))
}

/// The attach of these fields, but for the open ones.
fn without_open_fields(fields: Reader<'_>) -> Vec<u8> {
    let (mut count, mut content) = (0_u32, Vec::new());
    for value in fields {
        match OPEN_FIELDS.contains(&(count as usize)) {
            true => content.push(code::NULL),
            false => content.extend_from_slice(value.raw),
        }
        count += 1;
    }
    // It lay in one frame, so that its length is a u32.
    let size = u32::try_from(content.len() + 4).unwrap_or(u32::MAX);
    let head = [code::DESCRIBED, code::ULONG_SMALL, 0x12, code::LIST_32];
    [&head[..], &size.to_be_bytes(), &count.to_be_bytes(), &content].concat()
}

/// Writes a frame of one performative. False: it has no form, and nothing was written. Values that were read, or made of
/// words, always have one.
pub fn write_rare(kind: Kind, channel: u16, performative: &impl Serialize, out: &mut Vec<u8>) -> bool {
    let Ok(bytes) = serde_amqp::to_vec(performative) else { return false };
    frame::write(kind, channel, out, |out| out.extend_from_slice(&bytes));
    true
}
