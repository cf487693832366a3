//! What is changed in frames between the other broker and the client library, which decodes whole messages into its own
//! types: not all that the standard allows, and as deep as they come. Here each part of a message that comes becomes the
//! content of a data section, and of a message that goes the data section is taken off again. So messages are bytes to the
//! library, and it is this broker's own scanner that reads them. Performatives have a bound on their depth.

use crate::amqp::Limits;
use crate::amqp::sections::{RawBudget, RawDescriptor, RawReader, RawValue, check_raw};
use std::borrow::Cow;
use std::ops::Range;

/// Bytes of a data section before its content, in the long form.
pub const WRAP_BYTES: usize = 8;
/// Longest frame that is taken, in bytes (max-frame-size); the library is told of [`WRAP_BYTES`] more.
pub const FRAME_BYTES_MAX: u32 = 262_144 - WRAP_BYTES as u32;

const OPEN: u8 = 0x10;
const ATTACH: u8 = 0x12;
const TRANSFER: u8 = 0x14;
const AMQP_FRAME: u8 = 0;
const NULL: u8 = 0x40;
const LIST_32: u8 = 0xD0;

/// What is wrong with a frame.
#[derive(Debug, Clone, thiserror::Error)]
#[error("it sends {words}")]
pub struct Broken {
    /// It is no frame; else it is what is in it.
    pub is_framing: bool,
    /// What it is.
    pub words: String,
}

impl Broken {
    /// Where a frame should be there is this.
    pub fn framing(words: impl Into<String>) -> Self {
        Self { is_framing: true, words: words.into() }
    }
}

/// The library's own bound on a message that may be so long, in bytes: it counts what stands around each part.
pub const fn with_wraps(bytes_max: u64) -> u64 {
    bytes_max.saturating_mul(2).saturating_add(65_536)
}

/// The bytes of a whole frame from the other broker, as the library gets it, behind `out`.
///
/// # Errors
/// It is no frame of AMQP 1.0, or one that goes too deep.
pub fn inward(frame: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
    let Parts { head, performative, payload, code } = Parts::of(frame)?;
    let start = out.len();
    out.extend_from_slice(head);
    let performative = if code == ATTACH { begun_anew(performative) } else { Cow::Borrowed(performative) };
    let performative = &*performative;
    out.extend_from_slice(performative);
    match code {
        TRANSFER if !payload.is_empty() => {
            out.extend_from_slice(&[0x00, 0x53, 0x75, 0xB0]);
            out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
            out.extend_from_slice(payload);
        }
        ATTACH => {
            // What it can take, or says that it will not exceed.
            let takes = field(performative, 2).is_some_and(|(_, value)| value.as_bool() == Some(true));
            if let Some((place, most)) = field(performative, 10).and_then(long) {
                let most = if takes { most.saturating_add(WRAP_BYTES as u64) } else { with_wraps(most) };
                put(out, start + head.len(), place, &most.to_be_bytes());
            }
        }
        _ => out.extend_from_slice(payload),
    }
    let size = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
    Ok(())
}

/// The bytes of a whole frame from the library, as the other broker gets it, behind `out`. No message that comes back is
/// to be longer than `message_bytes_max`.
///
/// # Errors
/// It is no frame: the library writes others.
pub fn outward(frame: &[u8], message_bytes_max: u64, out: &mut Vec<u8>) -> Result<(), Broken> {
    let Parts { head, performative, payload, code } = Parts::of(frame)?;
    let start = out.len();
    out.extend_from_slice(head);
    out.extend_from_slice(performative);
    match code {
        // Only the first part of a message has a tag.
        TRANSFER if field(performative, 2).is_some_and(|(_, tag)| !tag.is_null()) => {
            out.extend_from_slice(unwrapped(payload));
        }
        OPEN => {
            if let Some((place, _)) = field(performative, 2).filter(|(place, _)| place.len() == 5) {
                put(out, start + head.len(), place, &FRAME_BYTES_MAX.to_be_bytes());
            }
        }
        ATTACH => {
            let takes = field(performative, 2).is_some_and(|(_, value)| value.as_bool() == Some(true));
            if let Some((place, _)) = field(performative, 10).and_then(long).filter(|_| takes) {
                put(out, start + head.len(), place, &message_bytes_max.to_be_bytes());
            }
        }
        _ => out.extend_from_slice(payload),
    }
    let size = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
    Ok(())
}

/// A frame, cut apart.
struct Parts<'f> {
    head: &'f [u8],
    performative: &'f [u8],
    payload: &'f [u8],
    /// The performative's number; 0: it is of SASL, or there is none.
    code: u8,
}

impl<'f> Parts<'f> {
    fn of(frame: &'f [u8]) -> Result<Self, Broken> {
        let bad = || Broken::framing("a frame that has no valid header");
        let doff = 4 * usize::from(*frame.get(4).ok_or_else(bad)?);
        let (head, body) = frame.split_at_checked(doff).filter(|_| doff >= 8).ok_or_else(bad)?;
        if body.is_empty() {
            return Ok(Self { head, performative: body, payload: body, code: 0 });
        }
        let Limits { depth_max, elements_max, .. } = Limits::default();
        // Maps of what is unsettled may be long: what came in one frame may have as many values as bytes.
        let elements = elements_max.saturating_add(u32::try_from(body.len()).unwrap_or(u32::MAX));
        let mut budget = RawBudget { depth: depth_max, elements };
        let length = check_raw(body, &mut budget)
            .map_err(|why| Broken { is_framing: false, words: format!("a frame that cannot be read: {why}") })?;
        let (performative, payload) = body.split_at(length);
        let described = RawReader::new(performative).next().and_then(|value| value.described());
        let code = match described {
            Some((RawDescriptor::Code(code), _)) => u8::try_from(code).unwrap_or(0),
            Some((RawDescriptor::Name("amqp:open:list"), _)) => OPEN,
            Some((RawDescriptor::Name("amqp:attach:list"), _)) => ATTACH,
            Some((RawDescriptor::Name("amqp:transfer:list"), _)) => TRANSFER,
            _ => 0,
        };
        Ok(Self { head, performative, payload, code: if head[5] == AMQP_FRAME { code } else { 0 } })
    }
}

/// Where a field of a performative lies in it, and what it says.
fn field(performative: &[u8], at: usize) -> Option<(Range<usize>, RawValue<'_>)> {
    let (_, content) = RawReader::new(performative).next()?.described()?;
    let mut fields = content.list()?;
    let value = fields.nth(at)?;
    let end = performative.len() - fields.rest().len();
    Some((end - value.raw.len()..end, value))
}

/// An attach of the other side without what it has not settled: the library takes only an attach that has nothing of that,
/// and a bridge says in its own that it begins with nothing. So these deliveries are settled, or come again, and the other
/// side knows which (2.6.13). It stays where the map is a receiver's that does not have all: nothing new may be sent then
/// (2.7.3).
fn begun_anew(performative: &[u8]) -> Cow<'_, [u8]> {
    let of_field = |at| field(performative, at).map(|(_, value)| value);
    let is_true = |at| of_field(at).and_then(|value| value.as_bool()) == Some(true);
    let is_receiver = is_true(2);
    if of_field(7).is_none_or(|map| map.is_null()) && !is_true(8) || is_receiver && is_true(8) {
        return Cow::Borrowed(performative);
    }
    let described = RawReader::new(performative).next().and_then(|value| value.described());
    let Some(fields) = described.and_then(|(_, content)| Some((content.raw.len(), content.list()?))) else {
        return Cow::Borrowed(performative);
    };
    let (length, fields) = fields;
    let null: &[u8] = &[NULL];
    let fields: Vec<&[u8]> =
        fields.enumerate().map(|(at, value)| if matches!(at, 7 | 8) { null } else { value.raw }).collect();
    let content = fields.concat();
    let mut out = performative[..performative.len() - length].to_vec();
    out.push(LIST_32);
    // What came in one frame.
    out.extend_from_slice(&(content.len() as u32 + 4).to_be_bytes());
    out.extend_from_slice(&(fields.len() as u32).to_be_bytes());
    out.extend_from_slice(&content);
    Cow::Owned(out)
}

/// A number of eight bytes.
fn long((place, value): (Range<usize>, RawValue<'_>)) -> Option<(Range<usize>, u64)> {
    let number = value.as_ulong().filter(|number| *number > 0)?;
    (place.len() == 9).then_some((place, number))
}

/// Writes a number in the place of another one, behind its code.
fn put(out: &mut [u8], start: usize, place: Range<usize>, number: &[u8]) {
    out[start + place.start + 1..start + place.end].copy_from_slice(number);
}

/// The content of a data section, or the beginning of it.
fn unwrapped(section: &[u8]) -> &[u8] {
    match section {
        [0x00, 0x53, 0x75, 0xA0, _, content @ ..] | [0x00, 0x53, 0x75, 0xB0, _, _, _, _, content @ ..] => content,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fe2o3_amqp::types::messaging::message::__private::{Deserializable, Serializable};
    use fe2o3_amqp::types::messaging::{Body, Data, Message};
    use fe2o3_amqp::types::primitives::{Binary, Value};

    fn frame(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes()[..], &[2, 0, 0, 0], body].concat()
    }

    /// A transfer with handle, id and perhaps a tag.
    fn transfer(tag: &[u8], payload: &[u8]) -> Vec<u8> {
        let fields = [&[0x52, 1, 0x52, 7], tag].concat();
        let count = 2 + u8::from(!tag.is_empty());
        frame(&[&[0x00, 0x53, 0x14, 0xC0, fields.len() as u8 + 1, count], &fields[..], payload].concat())
    }

    const TAG: &[u8] = &[0xA0, 1, b't'];

    #[test]
    fn the_library_gets_parts_as_data_sections_and_joins_them() {
        let parts: [&[u8]; 3] = [&[0x00, 0x53], &[0x77], &[0xD0, 1, 2, 3]];
        let mut joined = Vec::new();
        for part in parts {
            let mut out = Vec::new();
            inward(&transfer(TAG, part), &mut out).unwrap();
            assert_eq!(out[..4], (out.len() as u32).to_be_bytes());
            joined.extend_from_slice(&out[transfer(TAG, &[]).len()..]);
        }
        let read: Deserializable<Message<Body<Value>>> = serde_amqp::from_slice(&joined).unwrap();
        let Body::Data(found) = read.0.body else { panic!("no data") };
        assert_eq!(found.iter().flat_map(|part| part.0.iter().copied()).collect::<Vec<u8>>(), parts.concat());
    }

    #[test]
    fn what_the_library_wraps_leaves_without_it() {
        for length in [0, 1, 255, 256, 70_000] {
            let message = vec![0x5A; length];
            let wrapped = Message::from(Data(Binary::from(message.clone())));
            let wrapped = serde_amqp::to_vec(&Serializable(wrapped)).unwrap();
            let (first, second) = wrapped.split_at(wrapped.len().min(300));
            let mut out = Vec::new();
            outward(&transfer(TAG, first), 0, &mut out).unwrap();
            let mut sent = out[transfer(TAG, &[]).len()..].to_vec();
            assert_eq!(out[..4], (out.len() as u32).to_be_bytes());
            out.clear();
            outward(&transfer(&[], second), 0, &mut out).unwrap();
            sent.extend_from_slice(&out[transfer(&[], &[]).len()..]);
            assert_eq!(sent, message, "{length}");
        }
    }

    #[test]
    fn bounds_are_told_as_they_are() {
        let open = frame(&[0, 0x53, 0x10, 0xC0, 10, 3, 0xA1, 1, b'c', 0x40, 0x70, 0, 4, 0, 0]);
        let mut out = Vec::new();
        outward(&open, 0, &mut out).unwrap();
        assert_eq!((out.len(), &out[out.len() - 4..]), (open.len(), &FRAME_BYTES_MAX.to_be_bytes()[..]));
        // Name, handle, role and seven fields more before the greatest size.
        for (role, inward_most, outward_most) in [(0x41, 1008, 5), (0x42, with_wraps(1000), 1000)] {
            let fields = [&[0xA1, 1, b'l', 0x43, role][..], &[0x40; 7], &[0x80, 0, 0, 0, 0, 0, 0, 3, 0xE8]].concat();
            let attach = [&[0, 0x53, 0x12, 0xC0, fields.len() as u8 + 1, 11][..], &fields].concat();
            for (out_goes, expected) in [(false, inward_most), (true, outward_most)] {
                let (mut out, attach) = (Vec::new(), frame(&attach));
                let done = if out_goes { outward(&attach, 5, &mut out) } else { inward(&attach, &mut out) };
                done.unwrap();
                assert_eq!((out.len(), &out[out.len() - 8..]), (attach.len(), &expected.to_be_bytes()[..]));
            }
        }
    }

    #[test]
    fn a_performative_that_goes_too_deep_is_not_for_the_library() {
        let mut nested = vec![0x45];
        for _ in 0..5000 {
            let size = nested.len() as u32 + 4;
            nested = [&[0xD0][..], &size.to_be_bytes(), &[0, 0, 0, 1], &nested].concat();
        }
        let error = inward(&frame(&[&[0, 0x53, 0x10][..], &nested].concat()), &mut Vec::new()).unwrap_err();
        assert!(!error.is_framing && error.words.contains("too deep"), "{error}");
        for short in [&[0, 0, 0, 8, 1, 0, 0, 0][..], &[0, 0, 0, 8, 3, 0, 0, 0]] {
            assert!(inward(short, &mut Vec::new()).is_err());
        }
        let mut out = Vec::new();
        inward(&[0, 0, 0, 8, 2, 0, 0, 0], &mut out).unwrap();
        assert_eq!(out, [0, 0, 0, 8, 2, 0, 0, 0], "somebody is there");
    }
}
