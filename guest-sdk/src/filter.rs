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

/// Is this a topic name, that is, may a message be published to it?
///
/// # Errors
/// In words: why it is none.
pub fn check_topic(topic: &str) -> Result<(), &'static str> {
    check(topic)?;
    if holds(topic, b"+#") { Err("a topic holds no `+` and no `#`") } else { Ok(()) }
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
    const LOWEST: u64 = 0x0101_0101_0101_0101;
    const HIGHEST: u64 = LOWEST << 7;
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

/// Level by level: does `wide` cover `narrow`, or, where `both_ways`, do they meet somewhere?
fn related(wide: &str, narrow: &str, both_ways: bool) -> bool {
    let (mut wide, mut narrow) = (wide.split('/'), narrow.split('/'));
    loop {
        match (wide.next(), narrow.next()) {
            (Some("#"), _) | (None, None) => return true,
            // `a/#` matches `a` too, so a filter that ends here may still meet it.
            (_, Some("#")) => return both_ways,
            (Some("+"), Some(_)) => {}
            (Some(_), Some("+")) if both_ways => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
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
                for (letter, others) in [("+", "*,\u{ab}"), ("#", "\"$\u{a3}"), ("\0", "\u{1}\u{80}\u{7f}")] {
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
}
