//! Bindings of older AMQP: a pattern for the subject, of words with dots between them.

use super::subject::Subject;
use crate::amqp::limits::Limits;

/// See the head of this file.
#[derive(Debug)]
pub struct Binding {
    pattern: Box<str>,
    /// `*` is any word and `#` any number of words.
    is_topic: bool,
}

/// Words of a pattern: with them the work for each word of a subject is bound.
const WORDS_MAX: usize = 64;

impl Binding {
    /// A pattern, or a subject that has to be this.
    pub fn new(pattern: &str, is_topic: bool, limits: &Limits) -> Result<Self, &'static str> {
        if pattern.len() > limits.selector_bytes_max || pattern.split('.').count() > WORDS_MAX {
            return Err("the pattern is too long");
        }
        Ok(Self { pattern: pattern.into(), is_topic })
    }

    /// Whether the subject fits; a message without one is taken by its address.
    pub fn fits(&self, subject: &Subject<'_>) -> bool {
        let Some(text) = subject.properties.subject.or(subject.properties.to) else { return false };
        if self.is_topic { fits(&self.pattern, text) } else { *self.pattern == *text }
    }
}

/// Walks all ways through the pattern at once: bit n is set if its first n words can have taken what was read.
fn fits(pattern: &str, text: &str) -> bool {
    let words: smallvec::SmallVec<[&str; 16]> = pattern.split('.').collect();
    let skip = |mut ways: u128| {
        for (at, word) in words.iter().enumerate() {
            if *word == "#" && ways >> at & 1 == 1 {
                ways |= 1 << (at + 1);
            }
        }
        ways
    };
    let mut ways = skip(1);
    for found in text.split('.') {
        let mut next = 0u128;
        for (at, word) in words.iter().enumerate().filter(|(at, _)| ways >> at & 1 == 1) {
            match *word {
                "#" => next |= 1 << at,
                "*" => next |= 1 << (at + 1),
                word if word == found => next |= 1 << (at + 1),
                _ => {}
            }
        }
        ways = skip(next);
        if ways == 0 {
            return false;
        }
    }
    ways >> words.len() & 1 == 1
}
