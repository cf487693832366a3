//! Answers of an MQTT 5.0 broker with a reason code (PUBACK, PUBREC, PUBCOMP, SUBACK), read here because the library ends
//! the connection at a code that is not in the standard's table for the packet. Mosquitto says 0x95 in a PUBACK; 4.13 asks
//! nobody to hang up for that, and a code of 0x80 or more says in any case that it is a failure (2.4).

use super::codec::{Packet, Verdict};
use bytes::{Buf, BytesMut};

const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBCOMP: u8 = 0x70;
const SUBACK: u8 = 0x90;
const REASON_STRING: u8 = 0x1F;
const USER_PROPERTY: u8 = 0x26;

/// Takes a whole answer off the front; none: it is something else, or not all of it is there.
///
/// # Errors
/// It is malformed.
pub fn read(from: &mut BytesMut, bytes_max: u32) -> Result<Option<Packet>, String> {
    let kind = from.first().copied().unwrap_or(0);
    if !matches!(kind, PUBACK | PUBREC | PUBCOMP | SUBACK) {
        return Ok(None);
    }
    let Some((length, rest)) = number(&from[1..]) else { return Ok(None) };
    let head = from.len() - rest.len();
    if length > bytes_max as usize || rest.len() < length {
        return Ok(None);
    }
    let packet = answer(kind, &rest[..length]).ok_or("it sent a malformed answer")?;
    from.advance(head + length);
    Ok(Some(packet))
}

fn answer(kind: u8, body: &[u8]) -> Option<Packet> {
    let (handle, rest) = body.split_first_chunk::<2>()?;
    let handle = u16::from_be_bytes(*handle);
    if kind == SUBACK {
        let (length, rest) = number(rest)?;
        let codes = rest.get(length..)?;
        let refused = |code: &u8| (*code >= 0x80).then(|| words(*code, reason_string(&rest[..length])));
        return Some(Packet::Suback(codes.iter().map(refused).collect()));
    }
    let (code, properties) = rest.split_first().map_or((0, rest), |(code, rest)| (*code, rest));
    let properties = number(properties).map_or(&[][..], |(length, rest)| rest.get(..length).unwrap_or(rest));
    Some(match kind {
        PUBACK => Packet::Puback(handle, verdict(code, properties)),
        PUBREC => Packet::Pubrec(handle, verdict(code, properties)),
        _ => Packet::Pubcomp(handle),
    })
}

fn verdict(code: u8, properties: &[u8]) -> Verdict {
    match code {
        ..0x80 => Verdict::Taken,
        // Nothing of that will be otherwise the next time.
        0x87 | 0x90 | 0x95 | 0x99 => Verdict::Never(words(code, reason_string(properties))),
        _ => Verdict::NotNow(words(code, reason_string(properties))),
    }
}

fn words(code: u8, said: Option<&str>) -> String {
    let name = match code {
        0x80 => "unspecified error",
        0x83 => "implementation specific error",
        0x87 => "not authorized",
        0x8F => "topic filter invalid",
        0x90 => "topic name invalid",
        0x91 => "packet identifier in use",
        0x95 => "packet too large",
        0x97 => "quota exceeded",
        0x99 => "payload format invalid",
        0x9E => "shared subscriptions not supported",
        0xA1 => "subscription identifiers not supported",
        0xA2 => "wildcard subscriptions not supported",
        _ => "a reason that MQTT 5.0 does not have here",
    };
    let said = said.map_or(String::new(), |said| format!(": {said}"));
    format!("{name} (0x{code:02x}){said}")
}

/// The reason string (3.4.2.2.2), which user properties may stand before.
fn reason_string(mut properties: &[u8]) -> Option<&str> {
    loop {
        let (id, rest) = properties.split_first()?;
        let (text, rest) = string(rest)?;
        match *id {
            REASON_STRING => return std::str::from_utf8(text).ok(),
            USER_PROPERTY => properties = string(rest)?.1,
            _ => return None,
        }
    }
}

fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}

/// A variable byte integer (1.5.5) and what is behind it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let last = bytes.iter().take(4).position(|byte| byte & 0x80 == 0)?;
    let (digits, rest) = bytes.split_at(last + 1);
    Some((digits.iter().rev().fold(0, |number, digit| number << 7 | usize::from(digit & 0x7F)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes: &[u8]) -> Option<Packet> {
        let mut from = BytesMut::from(bytes);
        let packet = read(&mut from, 1000).unwrap();
        assert_eq!(from.len(), if packet.is_some() { 0 } else { bytes.len() });
        packet
    }

    #[test]
    fn every_code_is_an_answer() {
        for code in 0..=255u8 {
            for kind in [PUBACK, PUBREC] {
                let never = [0x87, 0x90, 0x95, 0x99].contains(&code);
                match one(&[kind, 3, 0, 7, code]) {
                    Some(Packet::Puback(7, verdict) | Packet::Pubrec(7, verdict)) => match verdict {
                        Verdict::Taken => assert!(code < 0x80),
                        Verdict::Never(why) => assert!(never && why.contains("(0x"), "{why}"),
                        Verdict::NotNow(_) => assert!(code >= 0x80 && !never),
                    },
                    other => panic!("{other:?}"),
                }
            }
        }
        assert!(matches!(one(&[PUBACK, 2, 0, 7]), Some(Packet::Puback(7, Verdict::Taken))));
        assert!(matches!(one(&[PUBCOMP, 4, 0, 7, 0x92, 0]), Some(Packet::Pubcomp(7))));
    }

    #[test]
    fn reasons_are_told_in_the_other_brokers_words() {
        let said = [0x26, 0, 1, b'a', 0, 1, b'b', 0x1F, 0, 3, b'w', b'h', b'y'];
        let puback = [&[PUBACK, 17, 0, 7, 0x97, 13][..], &said].concat();
        let Some(Packet::Puback(7, Verdict::NotNow(why))) = one(&puback) else { panic!("another packet") };
        assert_eq!(why, "quota exceeded (0x97): why");
        let suback = [&[SUBACK, 18, 0, 7, 13][..], &said, &[1, 0xC3]].concat();
        let Some(Packet::Suback(refused)) = one(&suback) else { panic!("another packet") };
        assert_eq!(refused[0], None);
        assert!(refused[1].as_ref().is_some_and(|why| why.ends_with("(0xc3): why")), "{refused:?}");
    }

    #[test]
    fn what_is_not_whole_or_no_answer_stays() {
        for bytes in [&[][..], &[PUBACK], &[PUBACK, 0x80], &[PUBACK, 3, 0, 7], &[0xD0, 0], &[0x41, 2, 0, 7]] {
            assert!(one(bytes).is_none(), "{bytes:?}");
        }
        assert!(read(&mut BytesMut::from(&[PUBACK, 1, 0][..]), 1000).is_err());
        assert!(read(&mut BytesMut::from(&[SUBACK, 3, 0, 7, 9][..]), 1000).is_err());
    }
}
