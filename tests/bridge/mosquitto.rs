//! An MQTT 5.0 broker, byte by byte, that answers messages beyond a size with a reason that the standard does not have there,
//! as Mosquitto 2.0 does with `message_size_limit`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// It listens; it ends with the process.
pub fn start(payload_bytes_max: usize, reason: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream, payload_bytes_max, reason));
        }
    });
    address
}

/// Until the client has gone.
fn serve(mut stream: TcpStream, payload_bytes_max: usize, reason: u8) -> Option<()> {
    loop {
        let (kind, body) = packet(&mut stream)?;
        let answer = match kind & 0xF0 {
            0x10 => vec![0x20, 3, 0, 0, 0],
            0x80 => vec![0x90, 4, body[0], body[1], 0, 0],
            0xC0 => vec![0xD0, 0],
            0x30 => {
                let at = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                // The packet is little more than its payload.
                let code = if body.len() > payload_bytes_max { reason } else { 0 };
                let kind = if kind & 0x06 == 2 { 0x40 } else { 0x50 };
                vec![kind, 3, body[at], body[at + 1], code]
            }
            0x60 => vec![0x70, 2, body[0], body[1]],
            _ => continue,
        };
        stream.write_all(&answer).ok()?;
    }
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
