//! Topic patterns: MQTT filters in which `%u` and `%c` stand for names.

use pliant_guest::prelude::*;

/// A checked pattern.
#[derive(Debug)]
pub struct Pattern {
    levels: Vec<Level>,
}

#[derive(Debug)]
enum Level {
    /// `+`
    One,
    /// `#`
    Rest,
    /// Exactly this, once names are filled in.
    Text(Vec<Part>),
}

#[derive(Debug)]
enum Part {
    Fixed(String),
    User,
    Client,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// In words, for an operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut levels = Vec::new();
        for level in text.split('/') {
            levels.push(match level {
                "+" => Level::One,
                "#" => Level::Rest,
                text => Level::Text(parts(text)?),
            });
        }
        // What is asked about is the filter alone: such a rule would fit nothing, and deny nobody.
        if text.starts_with("$share/") {
            return Err(format!(
                "`{text}`: a shared subscription is asked about by its filter; leave `$share/NAME/` out"
            ));
        }
        // Names do not matter for whether it is a filter.
        Filter::parse(text).map_err(|why| format!("`{text}` is no filter: {why}"))?;
        Ok(Pattern { levels })
    }

    /// Whether everything that `asked`, the levels of a topic or a filter, stands for fits this pattern. `strict`: wildcards at the
    /// beginning do not fit what begins with `$`, as in MQTT.
    pub fn covers(&self, asked: &[&str], client: &Client, strict: bool) -> bool {
        let is_reserved = || asked.first().is_some_and(|first| first.starts_with('$'));
        if strict && is_reserved() && matches!(self.levels.first(), Some(Level::One | Level::Rest)) {
            return false;
        }
        let mut asked = asked.iter().copied();
        for level in &self.levels {
            match (level, asked.next()) {
                // `a/#` fits `a`, too.
                (Level::Rest, _) => return true,
                (_, None) => return false,
                (Level::One, Some("#")) => return false,
                (Level::One, Some(_)) => {}
                // A wildcard that is asked for is not the name that looks like it.
                (Level::Text(_), Some("+" | "#")) => return false,
                (Level::Text(parts), Some(text)) if fits(parts, text, client) => {}
                (Level::Text(_), Some(_)) => return false,
            }
        }
        asked.next().is_none()
    }
}

/// Whether the text is what the parts say.
fn fits(parts: &[Part], text: &str, client: &Client) -> bool {
    let mut rest = text;
    for part in parts {
        let part = match part {
            Part::Fixed(fixed) => Some(fixed.as_str()),
            Part::User => client.identity.as_deref(),
            Part::Client => Some(client.id.as_str()),
        };
        // An empty name is none.
        match part.filter(|part| !part.is_empty()).and_then(|part| rest.strip_prefix(part)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.is_empty()
}

fn parts(level: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut fixed = String::new();
    let mut rest = level.chars();
    while let Some(c) = rest.next() {
        let part = match (c, if c == '%' { rest.next() } else { None }) {
            ('%', Some('%')) => None,
            ('%', Some('u')) => Some(Part::User),
            ('%', Some('c')) => Some(Part::Client),
            ('%', _) => return Err(format!("in `{level}`, `%` is followed by neither `u`, `c` nor `%`")),
            _ => None,
        };
        match part {
            Some(part) => {
                if !fixed.is_empty() {
                    parts.push(Part::Fixed(core::mem::take(&mut fixed)));
                }
                parts.push(part);
            }
            None => fixed.push(c),
        }
    }
    if !fixed.is_empty() {
        parts.push(Part::Fixed(fixed));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pliant_guest::testing;

    /// By the words of the documentation, the slow way.
    fn covers_by_the_book(pattern: &[&str], asked: &[&str]) -> bool {
        match (pattern, asked) {
            (["#"], _) | ([], []) => true,
            (["+", ..], ["#"]) => false,
            (["+", pattern @ ..], [_, asked @ ..]) => covers_by_the_book(pattern, asked),
            // Asked for is more than one name.
            ([_, ..], ["+" | "#", ..]) => false,
            ([level, pattern @ ..], [name, asked @ ..]) => {
                level.replace("%u", "ann").replace("%c", "c1") == *name && covers_by_the_book(pattern, asked)
            }
            _ => false,
        }
    }

    /// All that up to three of these levels make, also with `#` behind.
    fn all_of(words: &[&'static str]) -> Vec<Vec<&'static str>> {
        let mut all = vec![vec![]];
        for _ in 0..3 {
            let longer =
                all.iter().flat_map(|one: &Vec<&str>| words.iter().map(|word| [one.as_slice(), &[word]].concat()));
            all = [vec![vec![]], longer.collect()].concat();
        }
        let closed: Vec<_> = all.iter().map(|one| [one.as_slice(), &["#"]].concat()).collect();
        all.extend(closed);
        all.retain(|one| one.len() > 1 || one.iter().any(|level| !level.is_empty()));
        all
    }

    #[test]
    fn patterns_cover_what_their_levels_say() {
        let client = Client { identity: Some("ann".into()), ..testing::client("c1") };
        let asked = all_of(&["", "a", "an", "ann", "xc1", "+"]);
        let (mut some, mut none) = (0, 0);
        for levels in all_of(&["", "a", "an", "%u", "x%c", "+"]) {
            let pattern = Pattern::parse(&levels.join("/")).expect("a pattern");
            for asked in &asked {
                let expected = covers_by_the_book(&levels, asked);
                assert_eq!(pattern.covers(asked, &client, true), expected, "{levels:?} {asked:?}");
                *(if expected { &mut some } else { &mut none }) += 1;
            }
        }
        assert!(some > 5_000 && none > 5_000, "{some} {none}");
    }
}
