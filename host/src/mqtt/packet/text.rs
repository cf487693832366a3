//! Text as MQTT wants it, one policy for every field: valid UTF-8 without U+0000, without the control characters U+0001
//! to U+001F and U+007F to U+009F, and without non-characters. The specification forbids the first and lets a broker
//! refuse the rest (1.5.4). A byte order mark is kept (MQTT-1.5.4-3).

use crate::mqtt::violation::Violation;

const CONTROL: u8 = 1;
const WILDCARD: u8 = 2;
const NOT_ASCII: u8 = 0x80;

/// Checks a text field.
pub fn text(bytes: &[u8]) -> Result<&str, Violation> {
    check(bytes, scan(bytes) & !WILDCARD)
}

/// Checks a text field that must also be free of wildcards, in the same pass.
#[inline]
pub fn topic_name(bytes: &[u8]) -> Result<&str, Violation> {
    let found = scan(bytes);
    if found & WILDCARD == 0 {
        return check(bytes, found);
    }
    check(bytes, found & !WILDCARD).and(Err(Violation::TopicWildcard))
}

/// Whether a text from another protocol may stand in an MQTT text field.
pub fn is_text(text: &str) -> bool {
    text.len() <= usize::from(u16::MAX) && self::text(text.as_bytes()).is_ok()
}

/// What kinds of bytes there are, without a branch a byte.
#[inline]
fn scan(bytes: &[u8]) -> u8 {
    let mut found = 0;
    for byte in bytes {
        let control = u8::from(*byte < 0x20) | u8::from(*byte == 0x7F);
        let wild = u8::from(*byte == b'+') | u8::from(*byte == b'#');
        found |= (byte & NOT_ASCII) | control | (wild << 1);
    }
    found
}

#[inline]
fn check(bytes: &[u8], found: u8) -> Result<&str, Violation> {
    let text = simdutf8::basic::from_utf8(bytes).map_err(|_| Violation::NotUtf8)?;
    if found == 0 { Ok(text) } else { check_characters(text, found) }
}

/// The slow way, for text that is not plain ASCII.
fn check_characters(text: &str, found: u8) -> Result<&str, Violation> {
    if found & CONTROL != 0 {
        let null = memchr::memchr(0, text.as_bytes()).is_some();
        return Err(if null { Violation::NullCharacter } else { Violation::ForbiddenCharacter });
    }
    let forbidden = |c: char| {
        let c = u32::from(c);
        (0x80..=0x9F).contains(&c) || (0xFDD0..=0xFDEF).contains(&c) || c & 0xFFFE == 0xFFFE
    };
    if text.chars().any(forbidden) { Err(Violation::ForbiddenCharacter) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_the_same_policy() {
        for (bytes, expected) in [
            (&b""[..], Ok("")),
            (b"a/b +#$", Ok("a/b +#$")),
            ("\u{FEFF}a".as_bytes(), Ok("\u{FEFF}a")),   // U07, MQTT-1.5.4-3
            ("A\u{2A6D4}".as_bytes(), Ok("A\u{2A6D4}")), // 1.5.4.1
            ("\u{A0}\u{FFFD}".as_bytes(), Ok("\u{A0}\u{FFFD}")),
            (b"a\0b", Err(Violation::NullCharacter)),   // U01, MQTT-1.5.4-2
            (b"\xED\xA0\x80", Err(Violation::NotUtf8)), // U02, MQTT-1.5.4-1
            (b"\xED\xBF\xBF", Err(Violation::NotUtf8)),
            (b"\xC0\x80", Err(Violation::NotUtf8)),         // U03
            (b"\xC3", Err(Violation::NotUtf8)),             // U04
            (b"a\x01", Err(Violation::ForbiddenCharacter)), // U05
            (b"a\x1F", Err(Violation::ForbiddenCharacter)),
            (b"a\x7F", Err(Violation::ForbiddenCharacter)),
            ("a\u{80}".as_bytes(), Err(Violation::ForbiddenCharacter)),
            ("a\u{9F}".as_bytes(), Err(Violation::ForbiddenCharacter)),
            ("a\u{FFFF}".as_bytes(), Err(Violation::ForbiddenCharacter)),
            ("a\u{FDD0}".as_bytes(), Err(Violation::ForbiddenCharacter)),
            ("a\u{1FFFE}".as_bytes(), Err(Violation::ForbiddenCharacter)),
        ] {
            assert_eq!(text(bytes), expected, "{bytes:02X?}");
            if expected.is_err() {
                assert_eq!(topic_name(bytes), expected, "as a topic name {bytes:02X?}");
            }
        }
    }

    #[test]
    fn topic_names_have_no_wildcards() {
        // MQTT-3.3.2-2
        for (name, expected) in [
            ("a/b", Ok("a/b")),
            ("", Ok("")),
            ("+/b", Err(Violation::TopicWildcard)),
            ("a/ü#", Err(Violation::TopicWildcard)),
            ("+\u{1}", Err(Violation::ForbiddenCharacter)),
        ] {
            assert_eq!(topic_name(name.as_bytes()), expected, "{name:?}");
        }
    }
}
