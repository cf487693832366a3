//! Reads values of AMQP's type system (part 1), as far as the broker's frames and messages need them.

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(i128),
    Text(String),
    Symbol(String),
    Bytes(Vec<u8>),
    Uuid([u8; 16]),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Described(u64, Box<Value>),
}

impl Value {
    /// Takes one value off the front.
    pub fn take(bytes: &mut &[u8]) -> Self {
        let code = number(bytes, 1) as u8;
        match code {
            0x00 => {
                let Self::Number(descriptor) = Self::take(bytes) else { panic!("a descriptor that is a number") };
                Self::Described(descriptor as u64, Box::new(Self::take(bytes)))
            }
            0x40 => Self::Null,
            0x41 => Self::Bool(true),
            0x42 => Self::Bool(false),
            0x56 => Self::Bool(number(bytes, 1) == 1),
            0x43 | 0x44 => Self::Number(0),
            0x45 => Self::List(Vec::new()),
            0x50 | 0x52 | 0x53 => Self::Number(number(bytes, 1)),
            0x51 | 0x54 | 0x55 => Self::Number(i128::from(number(bytes, 1) as u8 as i8)),
            0x60 => Self::Number(number(bytes, 2)),
            0x70 => Self::Number(number(bytes, 4)),
            0x71 => Self::Number(i128::from(number(bytes, 4) as u32 as i32)),
            0x80 => Self::Number(number(bytes, 8)),
            0x81 | 0x83 => Self::Number(i128::from(number(bytes, 8) as u64 as i64)),
            0x98 => Self::Uuid(piece(bytes, 16).try_into().expect("16 bytes")),
            0xA0 | 0xB0 => Self::Bytes(variable(bytes, code).to_vec()),
            0xA1 | 0xB1 => Self::Text(String::from_utf8(variable(bytes, code).to_vec()).expect("UTF-8")),
            0xA3 | 0xB3 => Self::Symbol(String::from_utf8(variable(bytes, code).to_vec()).expect("ASCII")),
            0xC0 | 0xD0 => Self::List(compound(bytes, code)),
            0xC1 | 0xD1 => {
                let all = compound(bytes, code);
                Self::Map(all.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
            }
            0xE0 | 0xF0 => Self::List(array(variable(bytes, code), code)),
            other => panic!("a value of code {other:02x}"),
        }
    }

    /// A field of a described list; what is not there is null.
    pub fn field(&self, at: usize) -> &Value {
        match self {
            Self::Described(_, list) => list.field(at),
            Self::List(fields) => fields.get(at).unwrap_or(&Self::Null),
            _ => &Self::Null,
        }
    }

    pub fn descriptor(&self) -> u64 {
        if let Self::Described(code, _) = self { *code } else { 0 }
    }

    pub fn number(&self) -> Option<i128> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Symbol(text) => Some(text),
            _ => None,
        }
    }

    pub fn is_true(&self) -> bool {
        *self == Self::Bool(true)
    }

    /// A value of a map by its key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let Self::Map(pairs) = self else { return None };
        pairs.iter().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
    }
}

fn piece<'b>(bytes: &mut &'b [u8], length: usize) -> &'b [u8] {
    let (piece, rest) = bytes.split_at(length);
    *bytes = rest;
    piece
}

fn number(bytes: &mut &[u8], length: usize) -> i128 {
    piece(bytes, length).iter().fold(0, |sum, byte| sum << 8 | i128::from(*byte))
}

fn variable<'b>(bytes: &mut &'b [u8], code: u8) -> &'b [u8] {
    let length = number(bytes, if matches!(code >> 4, 0xA | 0xC | 0xE) { 1 } else { 4 });
    piece(bytes, length as usize)
}

fn compound(bytes: &mut &[u8], code: u8) -> Vec<Value> {
    let mut content = variable(bytes, code);
    let count = number(&mut content, if code < 0xD0 { 1 } else { 4 });
    (0..count).map(|_| Value::take(&mut content)).collect()
}

/// Symbols are all that the broker sends in arrays.
fn array(mut content: &[u8], code: u8) -> Vec<Value> {
    let count = number(&mut content, if code == 0xE0 { 1 } else { 4 });
    let code = number(&mut content, 1) as u8;
    (0..count).map(|_| Value::Symbol(String::from_utf8_lossy(variable(&mut content, code)).into_owned())).collect()
}
