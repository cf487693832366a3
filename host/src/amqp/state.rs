//! States of a delivery (3.4, 4.5.5, 4.5.6), in a form that costs nothing for the usual one.

use super::codec::read::{Descriptor, Reader, Value};
use super::codec::{code, write};
use super::condition::{Error, fitting};
use super::performative::{Bad, invalid, plain};
use smallvec::SmallVec;

/// Names a delivery on its link while one of the two sides remembers it (2.8.7): up to 32 bytes.
pub type Tag = SmallVec<[u8; 16]>;

/// Names a transaction at the broker that began it (4.5.4).
pub type TxnId = SmallVec<[u8; 16]>;

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// 3.4.2: processed.
    Accepted,
    /// 3.4.3: invalid, and why.
    Rejected(Option<Box<Error>>),
    /// 3.4.4: not processed, and no attempt was made.
    Released,
    /// 3.4.5: not processed, and changed.
    Modified(Box<Modified>),
}

/// 3.4.5.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Modified {
    /// It counts as a failed attempt: delivery-count goes up.
    pub delivery_failed: bool,
    /// Not to this receiver again.
    pub undeliverable_here: bool,
    /// To be merged into the message annotations: a map with symbols for keys, as it is encoded. None: there are none.
    pub annotations: Option<Box<[u8]>>,
}

/// What one side thinks of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// 3.4.1: a part has arrived.
    Received {
        /// Sections before the first byte that is missing.
        section: u32,
        /// Bytes of that section that have arrived.
        offset: u64,
    },
    /// It has ended.
    Ended(Outcome),
    /// 4.5.5: answer to a declare.
    Declared(TxnId),
    /// 4.5.6: it ends with the transaction, in this way.
    Transactional {
        /// Which.
        txn: TxnId,
        /// None: not decided yet (a posted message).
        outcome: Option<Outcome>,
    },
}

impl State {
    /// Accepted, the usual one.
    pub const ACCEPTED: Self = Self::Ended(Outcome::Accepted);
    /// Released.
    pub const RELEASED: Self = Self::Ended(Outcome::Released);

    /// Rejected for this reason.
    pub fn rejected(error: Error) -> Self {
        Self::Ended(Outcome::Rejected(Some(Box::new(error))))
    }
}

impl State {
    /// Reads one that was checked.
    pub(super) fn read(raw: &[u8]) -> Result<Self, Bad> {
        let value = Reader::new(raw).next().ok_or_else(wrong)?;
        let (code, mut fields) = described(&value)?;
        let fields = &mut fields;
        Ok(match code {
            0x23 => {
                let section = fields.field().and_then(|v| v.as_uint()).ok_or_else(wrong)?;
                let offset = fields.field().and_then(|v| v.as_ulong()).ok_or_else(wrong)?;
                Self::Received { section, offset }
            }
            0x33 => Self::Declared(txn(fields)?),
            0x34 => {
                let txn = txn(fields)?;
                let outcome = match fields.field() {
                    Some(value) => {
                        let (code, fields) = described(&value)?;
                        Some(Outcome::read(code, fields)?)
                    }
                    None => None,
                };
                Self::Transactional { txn, outcome }
            }
            code => Self::Ended(Outcome::read(code, *fields)?),
        })
    }

    /// Writes it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ended(outcome) => outcome.write(out),
            Self::Received { section, offset } => {
                write::descriptor(0x23, out);
                write::list(out, |out| {
                    write::uint(*section, out);
                    write::ulong(*offset, out);
                    2
                });
            }
            Self::Declared(txn) => {
                write::descriptor(0x33, out);
                write::list(out, |out| {
                    write::binary(txn, out);
                    1
                });
            }
            Self::Transactional { txn, outcome } => {
                write::descriptor(0x34, out);
                write::list(out, |out| {
                    write::binary(txn, out);
                    let Some(outcome) = outcome else { return 1 };
                    outcome.write(out);
                    2
                });
            }
        }
    }

    /// Writes it, with its description cut if that makes it longer than so many bytes: there are at least enough for an error
    /// that fits into the shortest frame.
    pub(super) fn fitting(&self, bytes_max: usize) -> Vec<u8> {
        let mut encoded = Vec::new();
        self.write(&mut encoded);
        if encoded.len() > bytes_max
            && let Self::Ended(Outcome::Rejected(Some(error))) = self
        {
            encoded.clear();
            Self::rejected(fitting((**error).clone())).write(&mut encoded);
        }
        encoded
    }

    /// Whether nothing more will be said of the delivery (3.4).
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Declared(_) | Self::Transactional { outcome: Some(_), .. })
    }
}

impl Outcome {
    /// As the standard's types say it. What is none is taken for released: nothing is lost by it.
    pub fn of(outcome: &fe2o3_amqp_types::messaging::Outcome) -> Self {
        let state = serde_amqp::to_vec(outcome).ok().and_then(|bytes| State::read(&bytes).ok());
        match state {
            Some(State::Ended(outcome)) => outcome,
            _ => Self::Released,
        }
    }

    fn read(code: u64, mut fields: Reader<'_>) -> Result<Self, Bad> {
        Ok(match code {
            0x24 => Self::Accepted,
            0x25 => match fields.field() {
                Some(error) => Self::Rejected(Some(Box::new(from_checked(error.raw)?))),
                None => Self::Rejected(None),
            },
            0x26 => Self::Released,
            0x27 => {
                let flag = |value: Option<Value<'_>>| match value {
                    Some(value) => value.as_bool().ok_or_else(wrong),
                    None => Ok(false),
                };
                let delivery_failed = flag(fields.field())?;
                let undeliverable_here = flag(fields.field())?;
                let annotations = match fields.field() {
                    Some(map) => fields_of(&map)?,
                    None => None,
                };
                Self::Modified(Box::new(Modified { delivery_failed, undeliverable_here, annotations }))
            }
            _ => return Err(wrong()),
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Accepted => out.extend_from_slice(ACCEPTED),
            Self::Released => out.extend_from_slice(RELEASED),
            Self::Rejected(error) => {
                write::descriptor(0x25, out);
                write::list(out, |out| {
                    let Some(error) = error else { return 0 };
                    out.extend_from_slice(&serde_amqp::to_vec(error).unwrap_or_else(|_| vec![code::NULL]));
                    1
                });
            }
            Self::Modified(modified) => {
                write::descriptor(0x27, out);
                write::list(out, |out| {
                    write::boolean(modified.delivery_failed, out);
                    write::boolean(modified.undeliverable_here, out);
                    let Some(annotations) = &modified.annotations else { return 2 };
                    out.extend_from_slice(annotations);
                    3
                });
            }
        }
    }
}

/// Accepted, as it is usually written.
pub(super) const ACCEPTED: &[u8] = &[0x00, 0x53, 0x24, 0x45];
const RELEASED: &[u8] = &[0x00, 0x53, 0x26, 0x45];

/// The number and the fields of a state.
fn described<'b>(value: &Value<'b>) -> Result<(u64, Reader<'b>), Bad> {
    let (descriptor, list) = value.described().ok_or_else(wrong)?;
    let code = match descriptor {
        Descriptor::Code(code) => code,
        Descriptor::Name("amqp:received:list") => 0x23,
        Descriptor::Name("amqp:accepted:list") => 0x24,
        Descriptor::Name("amqp:rejected:list") => 0x25,
        Descriptor::Name("amqp:released:list") => 0x26,
        Descriptor::Name("amqp:modified:list") => 0x27,
        Descriptor::Name("amqp:declared:list") => 0x33,
        Descriptor::Name("amqp:transactional-state:list") => 0x34,
        Descriptor::Name(_) => return Err(wrong()),
    };
    Ok((code, list.list().ok_or_else(wrong)?))
}

fn txn(fields: &mut Reader<'_>) -> Result<TxnId, Bad> {
    fields.field().and_then(|v| v.as_binary()).map(TxnId::from_slice).ok_or_else(wrong)
}

/// A map of symbols to anything (2.8.14), which stays encoded; none: it is empty.
fn fields_of(map: &Value<'_>) -> Result<Option<Box<[u8]>>, Bad> {
    let mut pairs = map.map().ok_or_else(|| invalid("message-annotations are not a map"))?;
    let mut is_empty = true;
    while let Some(key) = pairs.next() {
        key.as_symbol().ok_or_else(|| invalid("a key of message-annotations is not a symbol"))?;
        pairs.next();
        is_empty = false;
    }
    Ok((!is_empty).then(|| map.raw.into()))
}

/// Of bytes that were checked with the state around them.
fn from_checked<T: serde::de::DeserializeOwned>(raw: &[u8]) -> Result<T, Bad> {
    serde_amqp::from_slice(&plain(raw)).map_err(|_| wrong())
}

fn wrong() -> Bad {
    invalid("a delivery state is not one of the standard's")
}
