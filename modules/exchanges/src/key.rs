//! Routing keys: percent-encoding, and patterns of words.

use pliant_guest::prelude::*;

/// A segment of an address with its percent-encoding undone; none: that is not right, or the bytes are no text.
pub fn decoded(segment: &str) -> Option<String> {
    if !segment.contains('%') {
        return Some(segment.to_owned());
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(segment.len()), segment.bytes());
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        bytes.push((digit(rest.next())? << 4 | digit(rest.next())?) as u8);
    }
    String::from_utf8(bytes).ok()
}

/// Most words of a pattern: with them the work for each word of a key is bound.
pub const WORDS_MAX: usize = 64;

/// Whether the words of a key are as a pattern says. All ways through the pattern are walked at once, so that the time is
/// linear in the key: bit n is set if the first n words of the pattern can have taken what was read.
pub fn fits(pattern: &str, key: &str) -> bool {
    let words: Vec<&str> = words(pattern).collect();
    let skip = |mut ways: u128| {
        for (at, word) in words.iter().enumerate() {
            if *word == "#" && ways >> at & 1 == 1 {
                ways |= 1 << (at + 1);
            }
        }
        ways
    };
    let mut ways = skip(1);
    for found in self::words(key) {
        let mut next = 0;
        for (at, word) in words.iter().enumerate().filter(|(at, _)| ways >> at & 1 == 1) {
            match *word {
                "#" => next |= 1 << at,
                word if word == "*" || word == found => next |= 1 << (at + 1),
                _ => {}
            }
        }
        ways = skip(next);
    }
    ways >> words.len() & 1 == 1
}

/// An empty key has no words.
pub fn words(key: &str) -> impl Iterator<Item = &str> {
    key.split('.').take(if key.is_empty() { 0 } else { usize::MAX })
}
