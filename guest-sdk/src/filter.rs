//! Topic filters, as MQTT has them: which names match one, and how two of them relate.

use alloc::{borrow::ToOwned, string::String};

/// The longest topic or filter, in bytes (MQTT 5.0 section 1.5.4).
pub const LONGEST: usize = 65_535;

/// A valid topic filter: `+` stands for one level, `#` at the end for any number of levels,
/// also none (MQTT 5.0 section 4.7.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter {
    text: String,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// In words, for an operator: why it is no filter.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        check(text)?;
        if holds(text, b"+#") {
            check_wildcards(text)?;
        }
        Ok(Filter { text: text.to_owned() })
    }

    /// The filter as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Does a topic match? A wildcard at the start matches no topic that begins with `$`
    /// (MQTT 5.0 section 4.7.2).
    pub fn matches(&self, topic: &str) -> bool {
        !(topic.starts_with('$') && self.text.starts_with(['+', '#'])) && related(&self.text, topic, false)
    }

    /// Does every topic that matches `other` match this one too?
    pub fn covers(&self, other: &Filter) -> bool {
        let hidden = other.text.starts_with('$') && self.text.starts_with(['+', '#']);
        !hidden && related(&self.text, &other.text, false)
    }

    /// Is there a topic that matches both?
    pub fn overlaps(&self, other: &Filter) -> bool {
        let hidden = |a: &str, b: &str| a.starts_with('$') && b.starts_with(['+', '#']);
        !hidden(&self.text, &other.text) && !hidden(&other.text, &self.text) && related(&self.text, &other.text, true)
    }
}

impl<'de> serde::Deserialize<'de> for Filter {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        Filter::parse(&text)
            .map_err(|why| serde::de::Error::custom(alloc::format!("`{text}` is no topic filter: {why}")))
    }
}

/// The lowest bit of each of eight bytes, and the highest.
const LOWEST: u64 = 0x0101_0101_0101_0101;
const HIGHEST: u64 = LOWEST << 7;

/// Is this a topic name, that is, may a message be published to it?
///
/// # Errors
/// In words: why it is none.
pub fn check_topic(topic: &str) -> Result<(), &'static str> {
    check(topic)?;
    if holds(topic, b"+#") {
        Err("a topic holds no `+` and no `#`")
    } else if holds_forbidden(topic) {
        Err("a topic holds no control characters")
    } else {
        Ok(())
    }
}

/// Is it a character that the broker takes in no topic (MQTT 5.0, 1.5.4): a control character, or what Unicode calls no character?
pub fn is_forbidden(c: char) -> bool {
    let c = u32::from(c);
    c < 0x20 || (0x7F..=0x9F).contains(&c) || (0xFDD0..=0xFDEF).contains(&c) || c & 0xFFFE == 0xFFFE
}

/// Looks at eight bytes at a time, and at characters only where there are others than those of ASCII.
fn holds_forbidden(text: &str) -> bool {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let (mut controls, mut others) = (0, 0);
    for word in words {
        let word = u64::from_ne_bytes(*word);
        let delete = word ^ (LOWEST * 0x7F);
        // Some highest bit is left exactly where a byte is below 0x20, or 0x7F.
        controls |= (word.wrapping_sub(LOWEST * 0x20) & !word) | (delete.wrapping_sub(LOWEST) & !delete);
        others |= word;
    }
    let is_control = |byte: &u8| *byte < 0x20 || *byte == 0x7F;
    let is_ascii = others & HIGHEST == 0 && rest.is_ascii();
    controls & HIGHEST != 0 || rest.iter().any(is_control) || (!is_ascii && text.chars().any(is_forbidden))
}

/// Of the wildcards of a filter: does each stand for whole levels, and `#` at the end?
fn check_wildcards(text: &str) -> Result<(), &'static str> {
    let mut levels = text.split('/').peekable();
    while let Some(level) = levels.next() {
        match level {
            "#" if levels.peek().is_some() => return Err("`#` stands only at the end of a filter"),
            "#" | "+" => {}
            level if holds(level, b"+#") => return Err("`#` and `+` stand for whole levels, with nothing beside them"),
            _ => {}
        }
    }
    Ok(())
}

/// Does one of these letters of ASCII stand in the text? Looks at eight bytes at a time: letter by letter, as `contains` does
/// it, a guest took half a millisecond for a topic of 60 KB.
fn holds(text: &str, letters: &[u8]) -> bool {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    // Some highest bit is left exactly where a byte is 0, as it becomes by what it is equal to.
    let has = |word: u64, letter: u8| {
        let word = word ^ (LOWEST * u64::from(letter));
        word.wrapping_sub(LOWEST) & !word & HIGHEST != 0
    };
    let in_words = |letter: &u8| words.iter().any(|word| has(u64::from_ne_bytes(*word), *letter));
    letters.iter().any(in_words) || rest.iter().any(|byte| letters.contains(byte))
}

/// What holds for topics and filters alike.
fn check(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        Err("it is empty")
    } else if text.len() > LONGEST {
        Err("it is longer than 65,535 bytes")
    } else if holds(text, b"\0") {
        Err("it holds the character U+0000")
    } else {
        Ok(())
    }
}

/// Level by level: does `wide` cover `narrow`, or, where `both_ways`, do they meet somewhere? Costs what `wide` is long, but for its
/// `+`: a rule that does not fit is done with at once, however long a topic somebody has sent.
fn related(wide: &str, narrow: &str, both_ways: bool) -> bool {
    let mut rest = Some(narrow);
    for level in wide.split('/') {
        rest = match (level, rest) {
            ("#", _) => return true,
            (_, None) => return false,
            // `a/#` matches `a` too, so a filter that ends here may still meet it.
            (_, Some("#")) => return both_ways,
            ("+", Some(text)) => text.split_once('/').map(|(_, rest)| rest),
            (_, Some("+")) if both_ways => None,
            (_, Some(text)) if both_ways && text.starts_with("+/") => Some(&text[2..]),
            (fixed, Some(text)) => match text.strip_prefix(fixed) {
                Some("") => None,
                Some(behind) if behind.starts_with('/') => Some(&behind[1..]),
                _ => return false,
            },
        };
    }
    match rest {
        None => true,
        Some(rest) => both_ways && rest == "#",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Filter {
        Filter::parse(text).unwrap()
    }

    #[test]
    fn filters_are_checked() {
        for text in ["a", "/", "+", "#", "a/+/b", "a/#", "+/#", "$SYS/#", "a//b"] {
            assert!(Filter::parse(text).is_ok(), "{text}");
        }
        for text in ["", "a/#/b", "a#", "a/b+", "#/", "a\0b"] {
            assert!(Filter::parse(text).is_err(), "{text:?}");
        }
    }

    /// A letter is found at each place of a word and behind the last whole one, and nothing else is taken for it.
    #[test]
    fn what_may_not_stand_in_a_topic_is_found_wherever_it_stands() {
        for length in 1..=20 {
            for at in 0..length {
                for (letter, others) in [("+", "*,\u{ab}"), ("#", "\"$\u{a3}"), ("\0", " \u{a0}~")] {
                    let text = ["x".repeat(at), letter.into(), "x".repeat(length - at - 1)].concat();
                    assert!(check_topic(&text).is_err(), "{text:?}");
                    for other in others.chars() {
                        let text = text.replace(letter, &other.to_string());
                        assert_eq!(check_topic(&text), Ok(()), "{text:?}");
                        assert!(Filter::parse(&text).is_ok(), "{text:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn topics_match_filters() {
        for (pattern, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/b/c", false),
            ("a/+", "a/", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("+", "/", false),
            ("+/+", "/", true),
        ] {
            assert_eq!(filter(pattern).matches(topic), expected, "{pattern} {topic}");
        }
    }

    #[test]
    fn a_filter_covers_narrower_ones() {
        for (wide, narrow, expected) in [
            ("#", "a/#", true),
            ("#", "#", true),
            ("#", "$SYS/#", false),
            ("a/#", "a", true),
            ("a/#", "a/+/c", true),
            ("a/+", "a/b", true),
            ("a/+", "a/+", true),
            ("a/+", "a/#", false),
            ("a/b", "a/+", false),
            ("a/+/#", "a/#", false),
            ("a/#", "a/+/#", true),
            ("a", "a/#", false),
        ] {
            assert_eq!(filter(wide).covers(&filter(narrow)), expected, "{wide} {narrow}");
        }
    }

    #[test]
    fn filters_overlap_where_one_topic_matches_both() {
        for (a, b, expected) in [
            ("a/+", "+/b", true),
            ("a/b", "a/c", false),
            ("a/#", "a", true),
            ("a/#", "b/#", false),
            ("#", "$SYS/x", false),
            ("+/#", "$SYS/x", false),
            ("$SYS/+", "$SYS/x", true),
            ("a/+/#", "a", false),
            ("a/+/#", "a/#", true),
            ("a/b/#", "a/+", true),
        ] {
            assert_eq!(filter(a).overlaps(&filter(b)), expected, "{a} {b}");
            assert_eq!(filter(b).overlaps(&filter(a)), expected, "{b} {a}");
        }
    }

    /// As it was written first: both cut into levels.
    fn related_level_by_level(wide: &str, narrow: &str, both_ways: bool) -> bool {
        let (mut wide, mut narrow) = (wide.split('/'), narrow.split('/'));
        loop {
            match (wide.next(), narrow.next()) {
                (Some("#"), _) | (None, None) => return true,
                (_, Some("#")) => return both_ways,
                (Some("+"), Some(_)) => {}
                (Some(_), Some("+")) if both_ways => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    }

    #[test]
    fn filters_are_related_as_their_levels_are() {
        let words = ["", "a", "ab", "+"];
        let mut filters = vec![vec![]];
        for _ in 0..4 {
            let longer =
                filters.iter().flat_map(|one: &Vec<&str>| words.map(|word| [one.as_slice(), &[word]].concat()));
            filters = filters.iter().cloned().chain(longer).collect();
        }
        filters.retain(|one| !one.is_empty());
        let closed = filters.iter().take(90).map(|one| [one.as_slice(), &["#"]].concat());
        let all: Vec<String> = filters.iter().take(400).cloned().chain(closed).map(|one| one.join("/")).collect();
        for wide in &all {
            for narrow in &all {
                for both_ways in [false, true] {
                    let expected = related_level_by_level(wide, narrow, both_ways);
                    assert_eq!(related(wide, narrow, both_ways), expected, "{wide} {narrow} {both_ways}");
                }
            }
        }
    }

    #[test]
    fn characters_that_no_topic_has_are_found_wherever_they_stand() {
        for length in 1..=20 {
            for at in 0..length {
                for bad in ["\u{1}", "\u{1f}", "\u{7f}", "\u{80}", "\u{9f}", "\u{fdd0}", "\u{fffe}", "\u{10ffff}"] {
                    let text: String = (0..length).map(|n| if n == at { bad } else { "~" }).collect();
                    assert!(check_topic(&text).is_err(), "{text:?}");
                }
                for good in [" ", "~", "\u{a0}", "\u{e9}", "\u{fffd}", "\u{10000}"] {
                    let text: String = (0..length).map(|n| if n == at { good } else { "~" }).collect();
                    assert!(check_topic(&text).is_ok(), "{text:?}");
                }
            }
        }
    }
}
