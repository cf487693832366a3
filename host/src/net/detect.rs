//! Which protocol a client speaks, told by its first bytes.

use crate::client::Protocol;

/// What a listener lets its clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// MQTT of any version.
    Mqtt,
    /// AMQP 1.0.
    Amqp,
    /// Either; the first byte tells.
    Any,
}

/// The header with which an AMQP client asks for TLS on a plain connection (AMQP 1.0, 5.2.1). The answer is the same.
pub const AMQP_TLS: &[u8; 8] = b"AMQP\x02\x01\x00\x00";

/// What the first bytes ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detected {
    /// Too few to tell.
    More,
    /// This protocol, from the first of these bytes on.
    Protocol(Protocol),
    /// [`AMQP_TLS`]; the protocol begins anew behind the handshake.
    AmqpTls,
}

/// Looks at the first bytes. What neither protocol begins with is left to the one that the listener is for, which has words
/// for it; `upgradable`: TLS can still be agreed on.
pub fn detect(speaks: Speaks, upgradable: bool, bytes: &[u8]) -> Detected {
    let Some(first) = bytes.first() else { return Detected::More };
    let amqp = match speaks {
        Speaks::Mqtt => false,
        Speaks::Amqp => true,
        Speaks::Any => *first == b'A',
    };
    if !amqp {
        return Detected::Protocol(Protocol::Mqtt);
    }
    let shared = bytes.len().min(AMQP_TLS.len());
    match upgradable && bytes[..shared] == AMQP_TLS[..shared] {
        true if shared == AMQP_TLS.len() => Detected::AmqpTls,
        true => Detected::More,
        false => Detected::Protocol(Protocol::Amqp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        let (mqtt, amqp) = (Detected::Protocol(Protocol::Mqtt), Detected::Protocol(Protocol::Amqp));
        for (speaks, upgradable, bytes, expected) in [
            (Speaks::Any, true, &b""[..], Detected::More),
            (Speaks::Any, true, b"\x10", mqtt),
            (Speaks::Any, true, b"\x16\x03", mqtt),
            (Speaks::Any, true, b"AMQP", Detected::More),
            (Speaks::Any, true, b"AMQP\x00", amqp),
            (Speaks::Any, true, b"AMQP\x03\x01\x00\x00", amqp),
            (Speaks::Any, true, b"AMQP\x02\x01\x00\x00\x16", Detected::AmqpTls),
            (Speaks::Any, false, b"AMQP\x02\x01\x00\x00", amqp),
            (Speaks::Any, false, b"A", amqp),
            (Speaks::Amqp, true, b"\x10\x00", amqp),
            (Speaks::Mqtt, true, b"AMQP", mqtt),
        ] {
            assert_eq!(detect(speaks, upgradable, bytes), expected, "{speaks:?} {bytes:?}");
        }
    }
}
