//! Bytes of the AMQP type system in the plainest form, and frames of them.

/// Bytes from hexadecimal digits; blanks do not count.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

pub const NULL: &[u8] = &[0x40];
pub const TRUE: &[u8] = &[0x41];
pub const FALSE: &[u8] = &[0x42];
/// Accepted, with a list that has a size.
pub const ACCEPTED: &[u8] = &[0x00, 0x53, 0x24, 0xC0, 0x01, 0x00];

pub fn uint(value: u32) -> Vec<u8> {
    [&[0x70][..], &value.to_be_bytes()].concat()
}

pub fn ulong(value: u64) -> Vec<u8> {
    [&[0x80][..], &value.to_be_bytes()].concat()
}

pub fn ubyte(value: u8) -> Vec<u8> {
    vec![0x50, value]
}

pub fn string(text: &str) -> Vec<u8> {
    [&[0xB1][..], &(text.len() as u32).to_be_bytes(), text.as_bytes()].concat()
}

pub fn symbol(text: &str) -> Vec<u8> {
    [&[0xB3][..], &(text.len() as u32).to_be_bytes(), text.as_bytes()].concat()
}

pub fn binary(bytes: &[u8]) -> Vec<u8> {
    [&[0xB0][..], &(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

fn compound(code: u8, values: &[&[u8]]) -> Vec<u8> {
    let content = values.concat();
    let size = (content.len() + 4) as u32;
    [&[code][..], &size.to_be_bytes(), &(values.len() as u32).to_be_bytes(), &content].concat()
}

pub fn list(values: &[&[u8]]) -> Vec<u8> {
    compound(0xD0, values)
}

pub fn map(values: &[&[u8]]) -> Vec<u8> {
    compound(0xD1, values)
}

pub fn described(code: u8, value: &[u8]) -> Vec<u8> {
    [&[0x00, 0x80, 0, 0, 0, 0, 0, 0, 0, code][..], value].concat()
}

pub fn performative(code: u8, fields: &[&[u8]]) -> Vec<u8> {
    described(code, &list(fields))
}

pub fn frame(channel: u16, body: &[u8]) -> Vec<u8> {
    let size = (body.len() + 8) as u32;
    [&size.to_be_bytes()[..], &[2, 0], &channel.to_be_bytes(), body].concat()
}

pub fn sasl_frame(body: &[u8]) -> Vec<u8> {
    let size = (body.len() + 8) as u32;
    [&size.to_be_bytes()[..], &[2, 1, 0, 0], body].concat()
}

pub const AMQP: &[u8] = b"AMQP\x00\x01\x00\x00";
pub const TLS: &[u8] = b"AMQP\x02\x01\x00\x00";
pub const SASL: &[u8] = b"AMQP\x03\x01\x00\x00";

pub fn open(container: &str) -> Vec<u8> {
    frame(0, &performative(0x10, &[&string(container)]))
}

pub fn begin(channel: u16) -> Vec<u8> {
    frame(channel, &performative(0x11, &[NULL, &uint(0), &uint(2048), &uint(2048)]))
}

pub fn source(address: &str) -> Vec<u8> {
    performative(0x28, &[&string(address)])
}

pub fn target(address: &str) -> Vec<u8> {
    performative(0x29, &[&string(address)])
}

/// The client sends.
pub fn attach_sender(name: &str, handle: u32, settles: (u8, u8)) -> Vec<u8> {
    let fields: [&[u8]; 10] = [
        &string(name),
        &uint(handle),
        FALSE,
        &ubyte(settles.0),
        &ubyte(settles.1),
        &source("here"),
        &target("a/b"),
        NULL,
        FALSE,
        &uint(0),
    ];
    frame(0, &performative(0x12, &fields))
}

/// The client receives.
pub fn attach_receiver(name: &str, handle: u32, settles: (u8, u8)) -> Vec<u8> {
    let fields: [&[u8]; 7] =
        [&string(name), &uint(handle), TRUE, &ubyte(settles.0), &ubyte(settles.1), &source("a/b"), &target("here")];
    frame(0, &performative(0x12, &fields))
}

pub fn transfer(
    handle: u32,
    id: Option<u32>,
    tag: Option<&[u8]>,
    settled: bool,
    more: bool,
    payload: &[u8],
) -> Vec<u8> {
    let id = id.map_or(NULL.to_vec(), uint);
    let tag = tag.map_or(NULL.to_vec(), binary);
    let flag = |flag: bool| if flag { TRUE } else { FALSE };
    let fields: [&[u8]; 6] = [&uint(handle), &id, &tag, &uint(0), flag(settled), flag(more)];
    frame(0, &[&performative(0x14, &fields)[..], payload].concat())
}

pub fn aborted(handle: u32) -> Vec<u8> {
    let fields: [&[u8]; 10] = [&uint(handle), NULL, NULL, NULL, NULL, FALSE, NULL, NULL, FALSE, TRUE];
    frame(0, &performative(0x14, &fields))
}

/// Session fields, and a link's: handle, delivery-count, credit, drain, echo.
pub fn flow(next_incoming: u32, window: u32, link: Option<(u32, u32, u32, bool, bool)>) -> Vec<u8> {
    let head = [uint(next_incoming), uint(window), uint(0), uint(2048)];
    let mut fields: Vec<Vec<u8>> = head.to_vec();
    if let Some((handle, count, credit, drain, echo)) = link {
        let flag = |flag: bool| if flag { TRUE.to_vec() } else { FALSE.to_vec() };
        fields.extend([uint(handle), uint(count), uint(credit), NULL.to_vec(), flag(drain), flag(echo)]);
    }
    let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
    frame(0, &performative(0x13, &fields))
}

pub fn disposition(by_receiver: bool, first: u32, last: u32, settled: bool, state: &[u8]) -> Vec<u8> {
    let flag = |flag: bool| if flag { TRUE } else { FALSE };
    let fields: [&[u8]; 5] = [flag(by_receiver), &uint(first), &uint(last), flag(settled), state];
    frame(0, &performative(0x15, &fields))
}

pub fn detach(handle: u32, closed: bool) -> Vec<u8> {
    frame(0, &performative(0x16, &[&uint(handle), if closed { TRUE } else { FALSE }]))
}

pub fn end(channel: u16) -> Vec<u8> {
    frame(channel, &performative(0x17, &[]))
}

pub fn close() -> Vec<u8> {
    frame(0, &performative(0x18, &[]))
}

/// A message of one Data section.
pub fn message(payload: &[u8]) -> Vec<u8> {
    described(0x75, &binary(payload))
}
