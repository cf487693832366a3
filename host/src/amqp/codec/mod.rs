//! AMQP's types on the wire (part 1): checked without recursion beyond a bound, read where they lie, and written.

pub mod check;
pub mod read;
pub mod write;

/// Format codes (1.6).
pub mod code {
    /// A descriptor and a value follow.
    pub const DESCRIBED: u8 = 0x00;
    /// Nothing.
    pub const NULL: u8 = 0x40;
    /// True.
    pub const TRUE: u8 = 0x41;
    /// False.
    pub const FALSE: u8 = 0x42;
    /// A uint of 0.
    pub const UINT_0: u8 = 0x43;
    /// A ulong of 0.
    pub const ULONG_0: u8 = 0x44;
    /// A list without elements.
    pub const LIST_0: u8 = 0x45;
    /// A byte.
    pub const UBYTE: u8 = 0x50;
    /// A uint of one byte.
    pub const UINT_SMALL: u8 = 0x52;
    /// A ulong of one byte.
    pub const ULONG_SMALL: u8 = 0x53;
    /// An int of one byte.
    pub const INT_SMALL: u8 = 0x54;
    /// A long of one byte.
    pub const LONG_SMALL: u8 = 0x55;
    /// A boolean of one byte.
    pub const BOOLEAN: u8 = 0x56;
    /// A ushort.
    pub const USHORT: u8 = 0x60;
    /// A uint.
    pub const UINT: u8 = 0x70;
    /// An int.
    pub const INT: u8 = 0x71;
    /// A character.
    pub const CHAR: u8 = 0x73;
    /// A ulong.
    pub const ULONG: u8 = 0x80;
    /// A long.
    pub const LONG: u8 = 0x81;
    /// Milliseconds since 1970.
    pub const TIMESTAMP: u8 = 0x83;
    /// A UUID.
    pub const UUID: u8 = 0x98;
    /// Up to 255 bytes.
    pub const BINARY_8: u8 = 0xA0;
    /// Text of up to 255 bytes.
    pub const STRING_8: u8 = 0xA1;
    /// A symbol of up to 255 bytes.
    pub const SYMBOL_8: u8 = 0xA3;
    /// Bytes.
    pub const BINARY_32: u8 = 0xB0;
    /// Text.
    pub const STRING_32: u8 = 0xB1;
    /// A symbol.
    pub const SYMBOL_32: u8 = 0xB3;
    /// A list of up to 255 bytes.
    pub const LIST_8: u8 = 0xC0;
    /// A map of up to 255 bytes.
    pub const MAP_8: u8 = 0xC1;
    /// A list.
    pub const LIST_32: u8 = 0xD0;
    /// A map.
    pub const MAP_32: u8 = 0xD1;
    /// An array of up to 255 bytes.
    pub const ARRAY_8: u8 = 0xE0;
    /// An array.
    pub const ARRAY_32: u8 = 0xF0;
}
