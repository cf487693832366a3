//! Text as MQTT wants it, one policy for every field: valid UTF-8 without U+0000, without the control characters U+0001
//! to U+001F and U+007F to U+009F, and without non-characters. The specification forbids the first and lets a broker
//! refuse the rest (1.5.4). A byte order mark is kept (MQTT-1.5.4-3).

use crate::mqtt::violation::Violation;
use crate::topic::is_forbidden;

/// Checks a text field.
pub fn text(bytes: &[u8]) -> Result<&str, Violation> {
    if is_plain::<false>(bytes) { utf8(bytes) } else { check(bytes) }
}

/// Checks a text field that must also be free of wildcards, in the same pass.
#[inline]
pub fn topic_name(bytes: &[u8]) -> Result<&str, Violation> {
    if is_plain::<true>(bytes) { utf8(bytes) } else { check_topic_name(bytes) }
}

/// Whether a text from another protocol may stand in an MQTT text field.
pub fn is_text(text: &str) -> bool {
    text.len() <= usize::from(u16::MAX) && self::text(text.as_bytes()).is_ok()
}

#[inline]
fn utf8(bytes: &[u8]) -> Result<&str, Violation> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| Violation::NotUtf8)
}

/// Whether there are only ASCII characters that print, and no wildcards if those matter: true for nearly every topic.
/// Eight bytes at a time, without a branch on what they are.
#[inline]
fn is_plain<const NO_WILDCARDS: bool>(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut odd = 0;
    for word in words {
        odd |= odd_bytes::<NO_WILDCARDS>(u64::from_le_bytes(*word));
    }
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    (odd | odd_bytes::<NO_WILDCARDS>(u64::from_le_bytes(last))) & repeat(0x80) == 0
}

/// Has the highest bit of some byte set if one of the eight bytes is below U+0020, is U+007F, is not ASCII, or is a
/// wildcard that matters. Says nothing about which byte it is.
#[inline]
fn odd_bytes<const NO_WILDCARDS: bool>(word: u64) -> u64 {
    let zero = |word: u64| word.wrapping_sub(repeat(1)) & !word;
    let below_space = word.wrapping_sub(repeat(b' ')) & !word;
    let mut odd = word | below_space | zero(word ^ repeat(0x7F));
    if NO_WILDCARDS {
        odd |= zero(word ^ repeat(b'+')) | zero(word ^ repeat(b'#'));
    }
    odd
}

const fn repeat(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The slow way, for text that is not plain.
#[cold]
fn check(bytes: &[u8]) -> Result<&str, Violation> {
    let text = utf8(bytes)?;
    if text.contains('\0') {
        Err(Violation::NullCharacter)
    } else if text.contains(is_forbidden) {
        Err(Violation::ForbiddenCharacter)
    } else {
        Ok(text)
    }
}

#[cold]
fn check_topic_name(bytes: &[u8]) -> Result<&str, Violation> {
    let text = check(bytes)?;
    if text.contains(['+', '#']) { Err(Violation::TopicWildcard) } else { Ok(text) }
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

    #[test]
    fn each_character_is_judged_at_each_place() {
        for byte in 0..=0x7F_u8 {
            for length in 1..20 {
                for place in 0..length {
                    let mut bytes = vec![b'a'; length];
                    bytes[place] = byte;
                    let control = byte < 0x20 || byte == 0x7F;
                    let wild = byte == b'+' || byte == b'#';
                    assert_eq!(text(&bytes).is_ok(), !control, "{byte:02X} at {place} of {length}");
                    assert_eq!(topic_name(&bytes).is_ok(), !control && !wild, "{byte:02X} at {place} of {length}");
                }
            }
        }
    }
}
