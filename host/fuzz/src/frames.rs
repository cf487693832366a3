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
