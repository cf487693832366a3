//! Looks at what the machines write, with code of its own.

/// Splits MQTT bytes into packets and checks that each is whole and has flags that a server may send.
pub fn mqtt(mut bytes: &[u8]) -> usize {
    let mut packets = 0;
    while let [first, rest @ ..] = bytes {
        let (mut length, mut used) = (0_usize, 0);
        for (at, byte) in rest.iter().take(4).enumerate() {
            length |= usize::from(byte & 0x7F) << (7 * at);
            used = at + 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        assert!(used > 0 && rest.len() >= used + length, "a packet cut short: {bytes:02X?}");
        let flags = match first >> 4 {
            3 => {
                assert!(first & 0x06 != 0x06, "QoS 3");
                first & 0x0F
            }
            6 => 2,
            2 | 4 | 5 | 7 | 9 | 11 | 13 | 14 | 15 => 0,
            kind => panic!("a server sends no packet of type {kind}"),
        };
        assert_eq!(first & 0x0F, flags, "flags of {first:02X}");
        bytes = &rest[used + length..];
        packets += 1;
    }
    packets
}

/// Splits AMQP bytes, which may begin with protocol headers, into frames and checks that each is whole and of a kind that a
/// server sends; what transfers carry, together.
pub fn amqp(mut bytes: &[u8]) -> Vec<u8> {
    let mut carried = Vec::new();
    while !bytes.is_empty() {
        assert!(bytes.len() >= 8, "a frame cut short: {bytes:02X?}");
        if bytes.starts_with(b"AMQP") {
            bytes = &bytes[8..];
            continue;
        }
        let size = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        assert!(size >= 8 && size <= bytes.len() && bytes[4] == 2 && bytes[5] <= 1, "no frame: {bytes:02X?}");
        let body = &bytes[8..size];
        bytes = &bytes[size..];
        if body.is_empty() {
            continue;
        }
        assert!(body.len() > 3 && body[..2] == [0x00, 0x53] && (0x10..=0x18).contains(&body[2]) || body[2] >= 0x40);
        if body[2] == 0x14 {
            let performative = match body[3] {
                0x45 => 4,
                0xC0 => 5 + usize::from(body[4]),
                0xD0 => 8 + u32::from_be_bytes([body[4], body[5], body[6], body[7]]) as usize,
                other => panic!("a transfer is no list of type {other:02X}"),
            };
            carried.extend_from_slice(&body[performative..]);
        }
    }
    carried
}
