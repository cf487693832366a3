//! Topic filters, as MQTT has them: which names match one, and how two of them relate.

use alloc::{borrow::ToOwned, string::String, vec::Vec};

/// The longest topic or filter, in bytes (MQTT 5.0 section 1.5.4).
pub const LONGEST: usize = 65_535;

/// A valid topic filter: `+` stands for one level, `#` at the end for any number of levels,
/// also none (MQTT 5.0 section 4.7.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter {
    text: String,
    /// Where its levels end, so that whoever compares it with many others walks through it once.
    ends: Vec<usize>,
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
        let ends = text.match_indices('/').map(|(at, _)| at).chain([text.len()]).collect();
        Ok(Filter { text: text.to_owned(), ends })
    }

    /// The filter as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its levels: what stands between its slashes.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        let mut begin = 0;
        self.ends.iter().map(move |end| &self.text[core::mem::replace(&mut begin, end + 1)..*end])
    }

    /// Does a topic match? A wildcard at the start matches no topic that begins with `$`
    /// (MQTT 5.0 section 4.7.2).
    pub fn matches(&self, topic: &str) -> bool {
        !(topic.starts_with('$') && self.text.starts_with(['+', '#'])) && fits(&self.text, topic)
    }

    /// As [`Filter::matches`], for a topic that many filters are asked about: its levels, which are then found once
    /// (`topic.split('/').collect::<Vec<_>>()`). A filter costs what it is long itself, however long a level of the topic is.
    pub fn matches_levels(&self, topic: &[&str]) -> bool {
        let hidden = topic.first().is_some_and(|first| first.starts_with('$')) && self.text.starts_with(['+', '#']);
        !hidden && related(self.levels(), topic.iter().copied(), false)
    }

    /// Does every topic that matches `other` match this one too?
    pub fn covers(&self, other: &Filter) -> bool {
        let hidden = other.text.starts_with('$') && self.text.starts_with(['+', '#']);
        !hidden && related(self.levels(), other.levels(), false)
    }

    /// Is there a topic that matches both?
    pub fn overlaps(&self, other: &Filter) -> bool {
        let hidden = |a: &str, b: &str| a.starts_with('$') && b.starts_with(['+', '#']);
        !hidden(&self.text, &other.text)
            && !hidden(&other.text, &self.text)
            && related(self.levels(), other.levels(), true)
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

/// Does a topic match, but for `$`? Looks for the end of a level only where the filter has `+`: one that does not fit is done with
/// at once, however long a topic somebody has sent.
fn fits(filter: &str, topic: &str) -> bool {
    let mut rest = Some(topic);
    for level in filter.split('/') {
        rest = match (level, rest) {
            ("#", _) => return true,
            // The last is no topic, but a filter.
            (_, None | Some("#")) => return false,
            ("+", Some(text)) => text.split_once('/').map(|(_, rest)| rest),
            (fixed, Some(text)) => match text.strip_prefix(fixed) {
                Some("") => None,
                Some(behind) if behind.starts_with('/') => Some(&behind[1..]),
                _ => return false,
            },
        };
    }
    rest.is_none()
}

/// Level by level: does `wide` cover `narrow`, or, where `both_ways`, do they meet somewhere? Levels of other lengths differ at
/// once, so this costs what the shorter one is long.
fn related<'a>(
    mut wide: impl Iterator<Item = &'a str>,
    mut narrow: impl Iterator<Item = &'a str>,
    both_ways: bool,
) -> bool {
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

    /// By the words of the standard, the slow way: every way to read the filter is tried.
    fn matches_by_the_book(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            (["+", filter @ ..], [_, topic @ ..]) => matches_by_the_book(filter, topic),
            ([a, filter @ ..], [b, topic @ ..]) => a == b && matches_by_the_book(filter, topic),
            _ => false,
        }
    }

    /// All that up to four of these levels make.
    fn all_of(words: &[&'static str]) -> Vec<Vec<&'static str>> {
        let mut all = vec![vec![]];
        for _ in 0..4 {
            let longer =
                all.iter().flat_map(|one: &Vec<&str>| words.iter().map(|word| [one.as_slice(), &[word]].concat()));
            all = [vec![vec![]], longer.collect()].concat();
        }
        all.retain(|one| one.len() > 1 || one.iter().any(|level| !level.is_empty()));
        all
    }

    /// What is looked at whole, by the ends of its levels and by prefixes comes to the same.
    #[test]
    fn all_ways_to_match_are_one() {
        let mut filters = all_of(&["", "a", "ab", "+"]);
        let closed: Vec<_> = filters.iter().map(|one| [one.as_slice(), &["#"]].concat()).chain([vec!["#"]]).collect();
        filters.extend(closed);
        let topics = all_of(&["", "a", "ab", "b"]);
        for levels in filters {
            let filter = filter(&levels.join("/"));
            assert_eq!(filter.levels().collect::<Vec<_>>(), levels);
            for topic in &topics {
                let (text, expected) = (topic.join("/"), matches_by_the_book(&levels, topic));
                assert_eq!(filter.matches(&text), expected, "{filter:?} {text}");
                assert_eq!(filter.matches_levels(topic), expected, "{filter:?} {text}");
            }
        }
        assert!(!filter("+/x").matches_levels(&["$SYS", "x"]));
        assert!(filter("$SYS/+").matches_levels(&["$SYS", "x"]));
    }

    /// One filter covers another if it matches all that the other does, and meets it if it matches some of it. A level that no
    /// filter names stands for all others.
    #[test]
    fn filters_are_related_as_what_they_match() {
        let mut filters: Vec<_> = all_of(&["a", "b", "+"]).into_iter().filter(|one| one.len() < 4).collect();
        let closed: Vec<_> = filters.iter().map(|one| [one.as_slice(), &["#"]].concat()).chain([vec!["#"]]).collect();
        filters.extend(closed.into_iter().filter(|one| one.len() < 4));
        let topics: Vec<_> = all_of(&["a", "b", "other"]);
        let matched = |one: &Vec<&str>| topics.iter().map(|topic| matches_by_the_book(one, topic)).collect::<Vec<_>>();
        let known: Vec<_> = filters.iter().map(|one| (filter(&one.join("/")), matched(one))).collect();
        for (wide, by_wide) in &known {
            for (narrow, by_narrow) in &known {
                let covers = by_wide.iter().zip(by_narrow).all(|(wide, narrow)| *wide || !narrow);
                let meets = by_wide.iter().zip(by_narrow).any(|(wide, narrow)| *wide && *narrow);
                // The one thing that is not seen: a topic always has a first level.
                let unseen = (wide.as_str(), narrow.as_str()) == ("+/#", "#");
                assert_eq!(wide.covers(narrow), covers && !unseen, "{wide:?} {narrow:?}");
                assert_eq!(wide.overlaps(narrow), meets, "{wide:?} {narrow:?}");
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
