//! The performatives that are no hurry, by `fe2o3-amqp-types` and `serde_amqp`.

use super::plain::{compound, plain};
use super::{Bad, Performative, check, fields, invalid, list};
use crate::amqp::codec::read::{Descriptor, Reader, Value};
use crate::amqp::codec::{code, write};
use crate::amqp::condition::{AmqpError, error};
use crate::amqp::frame::{self, Kind};
use crate::amqp::limits::Limits;
use fe2o3_amqp_types::transaction::TxnCapability;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_amqp::primitives::Symbol;

/// Reads a value after it was checked: depth, number of values, sizes and texts are in order before `serde_amqp` sees it.
pub fn read_checked<T: DeserializeOwned>(raw: &[u8], limits: &Limits) -> Result<T, Bad> {
    check(raw, limits)?;
    read_typed(raw)
}

/// The same for a performative of this code, whose fields are held against what they have to be.
pub(super) fn read_performative<T: DeserializeOwned>(code: u64, whole: Value<'_>, limits: &Limits) -> Result<T, Bad> {
    check_fields(code, whole, limits)?;
    read_typed(whole.raw)
}

/// The fields of a performative; the bytes of all of it are in order.
fn check_fields<'b>(code: u64, whole: Value<'b>, limits: &Limits) -> Result<Reader<'b>, Bad> {
    check(whole.raw, limits)?;
    let (_, content) = whole.described().ok_or_else(|| invalid("a performative has no fields"))?;
    let fields = list(content)?;
    fields::check(code, fields)?;
    Ok(fields)
}

/// Fields of an attach in which others may use what they have added to the standard (3.5): source, target, unsettled.
const OPEN_FIELDS: std::ops::RangeInclusive<u32> = 5..=7;
const TARGET: u32 = 6;

/// Reads an attach. Where what is not known lies in its termini only, the link can be refused for it (2.6.3), and need
/// not take the connection with it.
pub(super) fn read_attach<'b>(whole: Value<'_>, limits: &Limits) -> Result<Performative<'b>, Bad> {
    let fields = check_fields(0x12, whole, limits)?;
    let found = read_typed(whole.raw).or_else(|why| {
        // What a client would like of a coordinator may be anything (4.5.1).
        let known = attach_with(fields, |at, value, out| match coordinator(value).filter(|_| at == TARGET) {
            Some(capabilities) => write_coordinator(&capabilities, out),
            None => out.extend_from_slice(value.raw),
        });
        read_typed(&known).map_err(|_| why)
    });
    match found {
        Ok(attach) => Ok(Performative::Attach(Box::new(attach), None)),
        Err(why) => {
            let known = attach_with(fields, |at, value, out| match OPEN_FIELDS.contains(&at) {
                true => out.push(code::NULL),
                false => out.extend_from_slice(value.raw),
            });
            let known = read_typed(&known).map_err(|_| why)?;
            let why = "a source, a target or a delivery-state is of a kind that is not known here";
            Ok(Performative::Attach(Box::new(known), Some(Box::new(error(AmqpError::NotImplemented, why)))))
        }
    }
}

fn read_typed<T: DeserializeOwned>(raw: &[u8]) -> Result<T, Bad> {
    serde_amqp::from_slice(&plain(raw))
        .map_err(|error| invalid(format!("a field is missing or of a wrong type: {error}")))
}

/// The attach of these fields, each as `write` puts it.
fn attach_with(fields: Reader<'_>, write: impl Fn(u32, &Value<'_>, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![code::DESCRIBED, code::ULONG_SMALL, 0x12];
    compound(code::LIST_32, fields, &mut out, write);
    out
}

/// The capabilities that are asked of a coordinator; none: it is no coordinator, or not one with symbols.
fn coordinator<'b>(value: &Value<'b>) -> Option<Vec<&'b str>> {
    let (descriptor, content) = value.described()?;
    if !matches!(descriptor, Descriptor::Code(0x30) | Descriptor::Name("amqp:coordinator:list")) {
        return None;
    }
    let mut fields = content.list()?;
    let asked = fields.field()?;
    let is_over = fields.next().is_none();
    asked.symbols().filter(|_| is_over)
}

/// A coordinator that is asked for those of these capabilities that the standard has (4.5.7).
fn write_coordinator(capabilities: &[&str], out: &mut Vec<u8>) {
    let known = capabilities.iter().filter(|name| TxnCapability::try_from(Symbol::from(**name)).is_ok());
    let known: Vec<&str> = known.copied().collect();
    write::descriptor(0x30, out);
    write::list(out, |out| {
        write::symbols(&known, out);
        1
    });
}

/// Writes a frame of one performative. False: it has no form, and nothing was written. Values that were read, or made of
/// words, always have one.
pub fn write_rare(kind: Kind, channel: u16, performative: &impl Serialize, out: &mut Vec<u8>) -> bool {
    let Ok(bytes) = serde_amqp::to_vec(performative) else { return false };
    frame::write(kind, channel, out, |out| out.extend_from_slice(&bytes));
    true
}
