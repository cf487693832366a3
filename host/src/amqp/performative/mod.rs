//! Performatives (2.7). The busy three - transfer, disposition and flow - are read and written here by hand; the others by
//! `fe2o3-amqp-types`, after their bytes were checked.

mod busy;
mod fields;
mod plain;
mod rare;

pub use busy::{DispositionFrame, FlowFrame, TransferFrame};
pub use plain::plain;
pub use rare::{read_checked, write_rare};

use super::codec::check::{self, Budget, Malformed};
use super::codec::read::{Descriptor, Reader, Value};
use super::condition::{AmqpError, Error, error};
use super::limits::Limits;
use fe2o3_amqp_types::performatives::{Attach, Begin, Close, Detach, End, Open};

/// What is wrong with a performative.
pub type Bad = Box<Error>;

/// A performative of a client.
#[derive(Debug)]
pub enum Performative<'b> {
    /// 2.7.1
    Open(Box<Open>),
    /// 2.7.2
    Begin(Box<Begin>),
    /// 2.7.3, and what is not known here of its termini or of what is unsettled: these are left out.
    Attach(Box<Attach>, Option<Bad>),
    /// 2.7.4
    Flow(FlowFrame<'b>),
    /// 2.7.5, with what follows it.
    Transfer(TransferFrame<'b>, &'b [u8]),
    /// 2.7.6
    Disposition(DispositionFrame<'b>),
    /// 2.7.7
    Detach(Detach),
    /// 2.7.8
    End(End),
    /// 2.7.9
    Close(Close),
}

/// Reads the body of an AMQP frame.
#[inline]
pub fn read<'b>(body: &'b [u8], limits: &Limits) -> Result<Performative<'b>, Bad> {
    let mut reader = Reader::new(body);
    let whole = reader.next().ok_or_else(|| decode("a performative is cut short"))?;
    let (descriptor, content) =
        whole.described().ok_or_else(|| decode("a frame does not begin with a performative"))?;
    let code = match descriptor {
        Descriptor::Code(code) => code,
        Descriptor::Name(name) => code_of(name).ok_or_else(unknown)?,
    };
    if code == 0x14 {
        return Ok(Performative::Transfer(TransferFrame::read(list(content)?, limits)?, reader.rest()));
    }
    if !reader.rest().is_empty() {
        return Err(decode("something follows a performative"));
    }
    match code {
        0x13 => FlowFrame::read(list(content)?, limits).map(Performative::Flow),
        0x15 => DispositionFrame::read(list(content)?, limits).map(Performative::Disposition),
        0x10 => rare::read_performative(code, whole, limits).map(|open| Performative::Open(Box::new(open))),
        0x11 => rare::read_performative(code, whole, limits).map(|begin| Performative::Begin(Box::new(begin))),
        0x12 => rare::read_attach(whole, limits),
        0x16 => rare::read_performative(code, whole, limits).map(Performative::Detach),
        0x17 => rare::read_performative(code, whole, limits).map(Performative::End),
        0x18 => rare::read_performative(code, whole, limits).map(Performative::Close),
        _ => Err(unknown()),
    }
}

/// The elements of a performative's list.
fn list(content: Value<'_>) -> Result<Reader<'_>, Bad> {
    content.list().ok_or_else(|| decode("a performative is not a list"))
}

/// The number of a performative that is called by its name.
fn code_of(name: &str) -> Option<u64> {
    const NAMES: [&str; 9] = [
        "amqp:open:list",
        "amqp:begin:list",
        "amqp:attach:list",
        "amqp:flow:list",
        "amqp:transfer:list",
        "amqp:disposition:list",
        "amqp:detach:list",
        "amqp:end:list",
        "amqp:close:list",
    ];
    let at = NAMES.iter().position(|known| *known == name)?;
    Some(0x10 + at as u64)
}

fn unknown() -> Bad {
    decode("an unknown performative")
}

/// The bytes are no values.
pub fn decode(why: impl Into<String>) -> Bad {
    Box::new(error(AmqpError::DecodeError, why))
}

/// The values are not what they have to be.
pub fn invalid(why: impl Into<String>) -> Bad {
    Box::new(error(AmqpError::InvalidField, why))
}

/// Checks one value and all that lies in it.
pub fn check(bytes: &[u8], limits: &Limits) -> Result<(), Bad> {
    let mut budget = Budget { depth: limits.depth_max, elements: limits.elements_max };
    match check::value(bytes, &mut budget) {
        Ok(length) if length == bytes.len() => Ok(()),
        Ok(_) => Err(malformed(Malformed::Count)),
        Err(found) => Err(malformed(found)),
    }
}

fn malformed(found: Malformed) -> Bad {
    decode(found.to_string())
}
