//! The performatives that are no hurry, by `fe2o3-amqp-types` and `serde_amqp`.

use super::{Bad, check, invalid};
use crate::amqp::frame::{self, Kind};
use crate::amqp::limits::Limits;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads a value after it was checked: depth, number of values, sizes and texts are in order before `serde_amqp` sees it.
pub fn read_checked<T: DeserializeOwned>(raw: &[u8], limits: &Limits) -> Result<T, Bad> {
    check(raw, limits)?;
    serde_amqp::from_slice(raw).map_err(|error| invalid(format!("a field is missing or of a wrong type: {error}")))
}

/// Writes a frame of one performative. False: it has no form, and nothing was written. Values that were read, or made of
/// words, always have one.
pub fn write_rare(kind: Kind, channel: u16, performative: &impl Serialize, out: &mut Vec<u8>) -> bool {
    let Ok(bytes) = serde_amqp::to_vec(performative) else { return false };
    frame::write(kind, channel, out, |out| out.extend_from_slice(&bytes));
    true
}
