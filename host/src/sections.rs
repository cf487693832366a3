//! A message of AMQP 1.0 in plain words (part 3, section 3.2): what a translation module is shown and what it makes. How
//! it stands on the wire is the affair of `amqp`.

/// A value of AMQP 1.0's type system (part 1).
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Boolean(bool),
    /// 8 bits.
    Ubyte(u8),
    /// 16 bits.
    Ushort(u16),
    /// 32 bits.
    Uint(u32),
    /// 64 bits.
    Ulong(u64),
    /// 8 bits, signed.
    Byte(i8),
    /// 16 bits, signed.
    Short(i16),
    /// 32 bits, signed.
    Int(i32),
    /// 64 bits, signed.
    Long(i64),
    /// IEEE 754 binary32.
    Float(f32),
    /// IEEE 754 binary64.
    Double(f64),
    /// One character.
    Char(char),
    /// Milliseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// The 16 bytes of a UUID; an answer of a module with another length is refused.
    Uuid([u8; 16]),
    /// Bytes.
    Binary(Vec<u8>),
    /// Text.
    Text(String),
    /// ASCII from a restricted set of words.
    Symbol(String),
    /// A list, map, array, decimal or described value, as AMQP 1.0 encodes it. Whoever puts one on the wire that a module
    /// made has to check it first.
    Encoded(Vec<u8>),
}

/// The body.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// One or more data sections, joined.
    Data(Vec<u8>),
    /// One value.
    Value(Value),
    /// One or more sequence sections, each an AMQP-encoded list.
    Sequence(Vec<Vec<u8>>),
}

impl Default for Body {
    fn default() -> Self {
        Self::Data(Vec::new())
    }
}

/// Name and value, in the order of the map they stand in.
pub type Pairs = Vec<(String, Value)>;

/// All sections of a message, their fields named as in the standard.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "part 3 of the standard says what each field is")]
pub struct Sections {
    pub durable: bool,
    pub priority: Option<u8>,
    /// Milliseconds.
    pub ttl: Option<u32>,
    pub delivery_count: u32,
    pub delivery_annotations: Pairs,
    pub message_annotations: Pairs,
    pub message_id: Option<Value>,
    pub user_id: Option<Vec<u8>>,
    pub to: Option<String>,
    pub subject: Option<String>,
    pub reply_to: Option<String>,
    pub correlation_id: Option<Value>,
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub absolute_expiry_time: Option<i64>,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub creation_time: Option<i64>,
    pub group_id: Option<String>,
    pub group_sequence: Option<u32>,
    pub reply_to_group_id: Option<String>,
    pub application_properties: Pairs,
    pub body: Body,
    pub footer: Pairs,
}

impl Sections {
    fn lists(&self) -> [&Pairs; 4] {
        [&self.delivery_annotations, &self.message_annotations, &self.application_properties, &self.footer]
    }

    /// How many names and lists it has.
    pub fn pairs(&self) -> usize {
        let sequences = if let Body::Sequence(lists) = &self.body { lists.len() } else { 0 };
        sequences + self.lists().into_iter().map(Vec::len).sum::<usize>()
    }

    /// Bytes of names, texts and values, without the body.
    pub fn size(&self) -> usize {
        let texts = [&self.to, &self.subject, &self.reply_to, &self.content_type, &self.content_encoding];
        let texts = texts.into_iter().chain([&self.group_id, &self.reply_to_group_id]);
        let ids = [&self.message_id, &self.correlation_id];
        let pairs = self.lists().into_iter().flatten();
        texts.flatten().map(String::len).sum::<usize>()
            + self.user_id.as_ref().map_or(0, Vec::len)
            + ids.into_iter().flatten().map(Value::size).sum::<usize>()
            + pairs.map(|(name, value)| name.len() + value.size()).sum::<usize>()
    }
}

impl Value {
    /// Bytes of what it is about as long as.
    pub fn size(&self) -> usize {
        match self {
            Self::Binary(bytes) | Self::Encoded(bytes) => bytes.len(),
            Self::Text(text) | Self::Symbol(text) => text.len(),
            _ => 16,
        }
    }
}

impl Body {
    /// Bytes of its values.
    pub fn size(&self) -> usize {
        match self {
            Self::Data(bytes) => bytes.len(),
            Self::Value(value) => value.size(),
            Self::Sequence(lists) => lists.iter().map(Vec::len).sum(),
        }
    }
}

/// What goes to an AMQP receiver for a message that did not come by AMQP.
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    /// Every field but the body, which is ignored here.
    pub head: Sections,
    /// None: the payload, in one data section.
    pub body: Option<Body>,
}

/// How [`Sections`] stand on the wire. Known to the room of the protocol, and lent to those who let messages cross.
pub trait Encoding: Send + Sync {
    /// Takes a message apart that was accepted before.
    ///
    /// # Errors
    /// It has no form in these words.
    fn read(&self, encoded: &[u8]) -> Result<Sections, String>;

    /// Puts a message together, without header and delivery annotations.
    ///
    /// # Errors
    /// What a module made has no form on the wire.
    fn write(&self, form: &Form, payload: &[u8]) -> Result<Vec<u8>, String>;

    /// The message with what receivers wrote on it in place of what it had under those names; none: there is no such message.
    fn annotated(&self, encoded: &[u8], notes: &[u8]) -> Option<Vec<u8>>;
}
