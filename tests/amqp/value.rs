//! Reads values of AMQP's type system, with nothing of the broker's: what frames say, in a form that rows can look into.

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(i128),
    Bytes(Vec<u8>),
    /// A string or a symbol.
    Text(String),
    /// A list or an array.
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Described(i128, Box<Value>),
}

impl Value {
    /// The first value of these bytes, and what is behind it.
    pub fn read(bytes: &[u8]) -> (Self, &[u8]) {
        let (code, rest) = bytes.split_first().expect("a value");
        if *code == 0 {
            let (name, rest) = Self::read(rest);
            let (value, rest) = Self::read(rest);
            let code = if let Self::Number(code) = name { code } else { -1 };
            return (Self::Described(code, Box::new(value)), rest);
        }
        Self::with(*code, rest)
    }

    fn with(code: u8, rest: &[u8]) -> (Self, &[u8]) {
        let width = match code >> 4 {
            0x4 => 0,
            0x5 => 1,
            0x6 => 2,
            0x7 => 4,
            0x8 => 8,
            0x9 => 16,
            0xA | 0xC | 0xE => 1 + usize::from(rest[0]),
            _ => 4 + u32::from_be_bytes(rest[..4].try_into().expect("a size")) as usize,
        };
        let (body, rest) = rest.split_at(width);
        let head = if code >> 4 & 1 == 0 { 1 } else { 4 };
        let value = match code {
            0x40 => Self::Null,
            0x41 => Self::Bool(true),
            0x42 => Self::Bool(false),
            0x43 | 0x44 => Self::Number(0),
            0x45 => Self::List(Vec::new()),
            0x56 => Self::Bool(body[0] == 1),
            0x51 | 0x54 | 0x55 => Self::Number((body[0] as i8).into()),
            0x50..0x90 => Self::Number(body.iter().fold(0, |all, byte| all << 8 | i128::from(*byte))),
            0x98 => Self::Bytes(body.to_vec()),
            0xA0 | 0xB0 => Self::Bytes(body[head..].to_vec()),
            0xA1 | 0xA3 | 0xB1 | 0xB3 => Self::Text(String::from_utf8(body[head..].to_vec()).expect("text")),
            0xC0 | 0xD0 => Self::List(Self::all(&body[2 * head..])),
            0xC1 | 0xD1 => {
                let all = Self::all(&body[2 * head..]);
                Self::Map(all.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
            }
            0xE0 | 0xF0 => {
                let (code, mut left) = (body[2 * head], &body[2 * head + 1..]);
                let mut items = Vec::new();
                while !left.is_empty() {
                    let (item, rest) = Self::with(code, left);
                    items.push(item);
                    left = rest;
                }
                Self::List(items)
            }
            other => panic!("a value of type {other:02x}"),
        };
        (value, rest)
    }

    fn all(mut bytes: &[u8]) -> Vec<Self> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let (value, rest) = Self::read(bytes);
            found.push(value);
            bytes = rest;
        }
        found
    }

    /// All values of these bytes.
    pub fn sections(bytes: &[u8]) -> Vec<Self> {
        Self::all(bytes)
    }

    pub fn number(&self) -> i128 {
        match self {
            Self::Number(number) => *number,
            other => panic!("{other:?} is no number"),
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            other => panic!("{other:?} is no text"),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            other => panic!("{other:?} are no bytes"),
        }
    }

    /// A field of a list, or of the list in a described value; null if it is left out.
    pub fn field(&self, at: usize) -> &Self {
        match self {
            Self::List(items) => items.get(at).unwrap_or(&Self::Null),
            Self::Described(_, value) => value.field(at),
            other => panic!("{other:?} has no fields"),
        }
    }

    /// The value under a key of a map, or of the map in a described value.
    pub fn get(&self, key: &str) -> &Self {
        match self {
            Self::Map(pairs) => {
                let found = pairs.iter().find(|(name, _)| *name == Self::Text(key.to_owned()));
                found.map_or(&Self::Null, |(_, value)| value)
            }
            Self::Described(_, value) => value.get(key),
            Self::Null => &Self::Null,
            other => panic!("{other:?} is no map"),
        }
    }

    /// The number of a described value; 0 for null.
    pub fn code(&self) -> i128 {
        match self {
            Self::Described(code, _) => *code,
            Self::Null => 0,
            other => panic!("{other:?} is not described"),
        }
    }
}
