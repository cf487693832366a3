//! AUTH (5.0, 3.15), which `mqttbytes` does not know.

use super::property::{Properties, Value, id, set};
use super::reader::Reader;
use super::writer;
use crate::mqtt::violation::Violation;

/// One step of an enhanced authentication.
#[derive(Debug, PartialEq, Eq)]
pub struct Auth<'b> {
    /// 0x00 success (server only), 0x18 go on, 0x19 authenticate again.
    pub reason: u8,
    pub method: Option<&'b str>,
    pub data: Option<&'b [u8]>,
}

const ALLOWED: u64 = set(&[id::AUTHENTICATION_METHOD, id::AUTHENTICATION_DATA, id::REASON_STRING, id::USER_PROPERTY]);

/// Reads what follows the fixed header. An empty packet means success without a word (3.15.2.1).
pub fn read(body: &[u8], user_max: usize) -> Result<Auth<'_>, Violation> {
    let mut reader = Reader::new(body);
    let mut found = Auth { reason: 0, method: None, data: None };
    if reader.is_empty() {
        return Ok(found);
    }
    found.reason = reader.u8()?;
    let mut properties = Properties::take(&mut reader, ALLOWED, user_max)?;
    while let Some((identifier, value)) = properties.next()? {
        match (identifier, value) {
            (id::AUTHENTICATION_METHOD, Value::Text(method)) => found.method = Some(method),
            (id::AUTHENTICATION_DATA, Value::Data(data)) => found.data = Some(data),
            _ => {}
        }
    }
    reader.end()?;
    if !matches!(found.reason, 0x00 | 0x18 | 0x19) {
        return Err(Violation::ReasonCode); // MQTT-3.15.2-1
    }
    if found.data.is_some() && found.method.is_none() {
        return Err(Violation::NoAuthentication);
    }
    Ok(found)
}

/// Appends the packet.
pub fn write(auth: &Auth<'_>, out: &mut Vec<u8>) {
    let mut properties = Vec::new();
    if let Some(method) = auth.method {
        writer::property(&mut properties, id::AUTHENTICATION_METHOD, method.as_bytes());
    }
    if let Some(data) = auth.data {
        writer::property(&mut properties, id::AUTHENTICATION_DATA, data);
    }
    out.push(0xF0);
    writer::variable(out, 1 + writer::variable_len(properties.len()) + properties.len());
    out.push(auth.reason);
    writer::variable(out, properties.len());
    out.extend_from_slice(&properties);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read() {
        let ok = |reason, method, data| Ok(Auth { reason, method, data });
        for (body, expected) in [
            (&[][..], ok(0, None, None)),
            (&[0x18, 0], ok(0x18, None, None)),
            (b"\x18\x08\x15\0\x01m\x16\0\x01d", ok(0x18, Some("m"), Some(&b"d"[..]))),
            (b"\x19\x04\x15\0\x01m", ok(0x19, Some("m"), None)),
            (&[0x18], Err(Violation::Truncated)),
            (&[0x01, 0], Err(Violation::ReasonCode)), // MQTT-3.15.2-1
            (b"\x18\x04\x16\0\x01d", Err(Violation::NoAuthentication)), // P13
            (b"\x18\x08\x15\0\x01m\x15\0\x01m", Err(Violation::RepeatedProperty)),
        ] {
            assert_eq!(read(body, 5), expected, "{body:02X?}");
        }
    }

    #[test]
    fn packets_come_back() {
        for auth in [
            Auth { reason: 0x18, method: Some("SCRAM-SHA-256"), data: Some(b"r=abc") },
            Auth { reason: 0, method: Some("m"), data: None },
        ] {
            let mut out = Vec::new();
            write(&auth, &mut out);
            assert_eq!(out[..2], [0xF0, out.len() as u8 - 2]);
            assert_eq!(read(&out[2..], 5), Ok(auth));
        }
    }
}
