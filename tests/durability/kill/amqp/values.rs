//! Values of AMQP's type system as the broker writes them, read without its codec.

/// One value; kinds that nobody here asks about are not told apart.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(u64),
    Bytes(Vec<u8>),
    Text(String),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Described(u64, Box<Value>),
    Other,
}

impl Value {
    pub fn number(&self) -> Option<u32> {
        match self {
            Self::Number(number) => u32::try_from(*number).ok(),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub fn is_true(&self) -> bool {
        *self == Self::Bool(true)
    }

    /// The number of its descriptor, if it has one.
    pub fn descriptor(&self) -> Option<u64> {
        match self {
            Self::Described(code, _) => Some(*code),
            _ => None,
        }
    }
}

/// Takes one value off the front.
pub fn take(bytes: &mut &[u8]) -> Option<Value> {
    let code = chunk(bytes, 1)?[0];
    Some(match code {
        0x00 => {
            let Value::Number(descriptor) = take(bytes)? else { return None };
            Value::Described(descriptor, Box::new(take(bytes)?))
        }
        0x40 => Value::Null,
        0x41 | 0x42 => Value::Bool(code == 0x41),
        0x43 | 0x44 => Value::Number(0),
        0x45 => Value::List(Vec::new()),
        0x56 => Value::Bool(number(bytes, 1)? == 1),
        0x50 | 0x52 | 0x53 => Value::Number(number(bytes, 1)?),
        0x60 => Value::Number(number(bytes, 2)?),
        0x70 => Value::Number(number(bytes, 4)?),
        0x80 => Value::Number(number(bytes, 8)?),
        0xA0 | 0xB0 => Value::Bytes(sized(bytes, code)?.to_vec()),
        0xA1 | 0xB1 | 0xA3 | 0xB3 => Value::Text(String::from_utf8(sized(bytes, code)?.to_vec()).ok()?),
        0xC0 | 0xD0 => Value::List(items(bytes, code)?),
        0xC1 | 0xD1 => {
            let mut items = items(bytes, code)?.into_iter();
            Value::Map(std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect())
        }
        0xE0 | 0xF0 => {
            sized(bytes, code)?;
            Value::Other
        }
        _ => {
            let width = [0, 1, 2, 4, 8, 16].get(usize::from(code >> 4).checked_sub(4)?)?;
            chunk(bytes, *width)?;
            Value::Other
        }
    })
}

fn chunk<'b>(bytes: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (chunk, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(chunk)
}

fn number(bytes: &mut &[u8], width: usize) -> Option<u64> {
    Some(chunk(bytes, width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn sized<'b>(bytes: &mut &'b [u8], code: u8) -> Option<&'b [u8]> {
    let width = if code & 0x10 == 0 { 1 } else { 4 };
    let size = number(bytes, width)?;
    chunk(bytes, usize::try_from(size).ok()?)
}

fn items(bytes: &mut &[u8], code: u8) -> Option<Vec<Value>> {
    let width = if code & 0x10 == 0 { 1 } else { 4 };
    let mut content = sized(bytes, code)?;
    let count = number(&mut content, width)?;
    (0..count).map(|_| take(&mut content)).collect()
}
