//! Which fields the performatives have that `fe2o3-amqp-types` reads (2.7), so that a client hears which of them is wrong:
//! that crate only knows that one is.

use super::{Bad, invalid};
use crate::amqp::codec::code;
use crate::amqp::codec::read::{Reader, Value};

/// What a field may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Boolean,
    Ubyte,
    Ushort,
    Uint,
    Ulong,
    Text,
    /// One of them, or an array.
    Symbols,
    Map,
    /// A composite value: what it is its own reader says.
    Described,
    /// What is wrong with it is wrong with the link only.
    Any,
}

/// Name, type, and whether it has to be there.
type Field = (&'static str, Kind, bool);

/// A performative: its name and its fields in their order.
type Shape = (&'static str, &'static [Field]);

const OPEN: Shape = (
    "open",
    &[
        ("container-id", Kind::Text, true),
        ("hostname", Kind::Text, false),
        ("max-frame-size", Kind::Uint, false),
        ("channel-max", Kind::Ushort, false),
        ("idle-time-out", Kind::Uint, false),
        ("outgoing-locales", Kind::Symbols, false),
        ("incoming-locales", Kind::Symbols, false),
        ("offered-capabilities", Kind::Symbols, false),
        ("desired-capabilities", Kind::Symbols, false),
        ("properties", Kind::Map, false),
    ],
);

const BEGIN: Shape = (
    "begin",
    &[
        ("remote-channel", Kind::Ushort, false),
        ("next-outgoing-id", Kind::Uint, true),
        ("incoming-window", Kind::Uint, true),
        ("outgoing-window", Kind::Uint, true),
        ("handle-max", Kind::Uint, false),
        ("offered-capabilities", Kind::Symbols, false),
        ("desired-capabilities", Kind::Symbols, false),
        ("properties", Kind::Map, false),
    ],
);

const ATTACH: Shape = (
    "attach",
    &[
        ("name", Kind::Text, true),
        ("handle", Kind::Uint, true),
        ("role", Kind::Boolean, true),
        ("snd-settle-mode", Kind::Ubyte, false),
        ("rcv-settle-mode", Kind::Ubyte, false),
        ("source", Kind::Any, false),
        ("target", Kind::Any, false),
        ("unsettled", Kind::Any, false),
        ("incomplete-unsettled", Kind::Boolean, false),
        ("initial-delivery-count", Kind::Uint, false),
        ("max-message-size", Kind::Ulong, false),
        ("offered-capabilities", Kind::Symbols, false),
        ("desired-capabilities", Kind::Symbols, false),
        ("properties", Kind::Map, false),
    ],
);

const DETACH: Shape =
    ("detach", &[("handle", Kind::Uint, true), ("closed", Kind::Boolean, false), ("error", Kind::Described, false)]);
const END: Shape = ("end", &[("error", Kind::Described, false)]);
const CLOSE: Shape = ("close", &[("error", Kind::Described, false)]);

/// Holds the fields of a performative of this code, whose bytes were checked, against what they have to be.
///
/// # Errors
/// `amqp:invalid-field` with the name of the first one that is not.
pub(super) fn check(code: u64, mut values: Reader<'_>) -> Result<(), Bad> {
    let (name, fields) = match code {
        0x10 => OPEN,
        0x11 => BEGIN,
        0x12 => ATTACH,
        0x16 => DETACH,
        0x17 => END,
        0x18 => CLOSE,
        _ => return Ok(()),
    };
    for (field, kind, is_mandatory) in fields {
        match values.field() {
            None if *is_mandatory => return Err(invalid(format!("{name}: {field} is missing"))),
            Some(value) if !kind.fits(&value) => return Err(invalid(format!("{name}: {field} is not of its type"))),
            _ => {}
        }
    }
    match values.is_finished() {
        true => Ok(()),
        false => Err(invalid(format!("{name}: more fields than it has"))),
    }
}

impl Kind {
    fn fits(self, value: &Value<'_>) -> bool {
        match self {
            Self::Boolean => matches!(value.code, code::BOOLEAN | code::TRUE | code::FALSE),
            Self::Ubyte => value.code == code::UBYTE,
            Self::Ushort => value.code == code::USHORT,
            Self::Uint => matches!(value.code, code::UINT | code::UINT_SMALL | code::UINT_0),
            Self::Ulong => matches!(value.code, code::ULONG | code::ULONG_SMALL | code::ULONG_0),
            Self::Text => matches!(value.code, code::STRING_8 | code::STRING_32),
            Self::Symbols => value.symbols().is_some(),
            Self::Map => matches!(value.code, code::MAP_8 | code::MAP_32),
            Self::Described => value.code == code::DESCRIBED,
            Self::Any => true,
        }
    }
}
