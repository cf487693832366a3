//! An MQTT broker, byte by byte, that does not take messages beyond a size, and says so in the way of one or another real
//! one; nor more than eight filters at once (AWS IoT Core). To each filter of a subscription it sends a message.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// What it does with a message that is too long.
#[derive(Clone, Copy)]
pub enum Refusal {
    /// It answers with this reason, as Mosquitto 2.0 does with `message_size_limit`; the standard does not have 0x95 there.
    Answer(u8),
    /// It says this reason in a DISCONNECT, and closes.
    Disconnect(u8),
    /// It closes.
    Close,
}

/// It listens; it ends with the process.
pub fn start(payload_bytes_max: usize, refusal: Refusal) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream, payload_bytes_max, refusal));
        }
    });
    address
}

/// Until the client has gone.
fn serve(mut stream: TcpStream, payload_bytes_max: usize, refusal: Refusal) -> Option<()> {
    let mut is_5 = true;
    loop {
        let (kind, body) = packet(&mut stream)?;
        let mut answer = match kind & 0xF0 {
            0x10 => {
                is_5 = body[6] == 5;
                if is_5 { vec![0x20, 3, 0, 0, 0] } else { vec![0x20, 2, 0, 0] }
            }
            0x80 => subscribed(&body, is_5)?,
            0xC0 => vec![0xD0, 0],
            0x30 => {
                let at = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                let acknowledged = [if kind & 0x06 == 2 { 0x40 } else { 0x50 }, 3, body[at], body[at + 1]];
                // The packet is little more than its payload.
                match refusal {
                    _ if body.len() <= payload_bytes_max => [&acknowledged[..], &[0]].concat(),
                    Refusal::Answer(reason) => [&acknowledged[..], &[reason]].concat(),
                    Refusal::Disconnect(reason) => {
                        stream.write_all(&[0xE0, 2, reason, 0]).ok()?;
                        return None;
                    }
                    Refusal::Close => return None,
                }
            }
            0x60 => vec![0x70, 2, body[0], body[1]],
            _ => continue,
        };
        // No reasons before 5.0.
        if !is_5 && matches!(answer[0], 0x40 | 0x50) {
            answer.pop();
            answer[1] = 2;
        }
        stream.write_all(&answer).ok()?;
    }
}

/// The answer to SUBSCRIBE, with a message behind it for each filter; none: there are too many.
fn subscribed(body: &[u8], is_5: bool) -> Option<Vec<u8>> {
    let mut rest = if is_5 { &body[3 + usize::from(body[2])..] } else { &body[2..] };
    let mut filters = Vec::new();
    while let [high, low, behind @ ..] = rest {
        let (filter, behind) = behind.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        filters.push(filter);
        rest = &behind[1..];
    }
    let properties: &[u8] = if is_5 { &[0] } else { &[] };
    // Of these it says nothing, against MQTT-3.8.4-6.
    let answered = filters.iter().filter(|filter| !filter.starts_with(b"unanswered/"));
    let codes = vec![0; answered.count()];
    let length = [(2 + properties.len() + codes.len()) as u8];
    let mut answer = [&[0x90], &length[..], &body[..2], properties, &codes].concat();
    for filter in &filters {
        let length = [(2 + filter.len() + properties.len()) as u8];
        let topic = (filter.len() as u16).to_be_bytes();
        answer.extend([&[0x30], &length[..], &topic, filter, properties].concat());
    }
    (filters.len() <= 8).then_some(answer)
}

fn packet(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut byte = [0];
    stream.read_exact(&mut byte).ok()?;
    let kind = byte[0];
    let (mut length, mut shift) = (0, 0);
    loop {
        stream.read_exact(&mut byte).ok()?;
        length |= usize::from(byte[0] & 0x7F) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((kind, body))
}
