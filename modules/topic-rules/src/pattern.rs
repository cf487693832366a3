//! Patterns with named levels: `home/{room}/{rest...}`.

use pliant_guest::prelude::*;

/// A checked pattern.
#[derive(Debug)]
pub struct Pattern {
    text: String,
    levels: Vec<Level>,
    filter: Filter,
}

#[derive(Debug, PartialEq)]
enum Level {
    /// Stands for itself.
    Fixed(String),
    /// `{name}`: any one level.
    One(String),
    /// `{name...}`: all levels that are left, also none.
    Rest(String),
}

/// What the names of a pattern stand for in one topic or filter.
pub type Bound<'p, 't> = Vec<(&'p str, Vec<&'t str>)>;

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// In words, for an operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty".into());
        }
        let mut levels = Vec::new();
        for level in text.split('/') {
            if matches!(levels.last(), Some(Level::Rest(_))) {
                return Err(format!("in `{text}`, `...` is allowed only in the last level"));
            }
            let level = Level::parse(level).map_err(|why| format!("in `{text}`, {why}"))?;
            if level.name().is_some_and(|name| levels.iter().any(|other: &Level| other.name() == Some(name))) {
                return Err(format!("in `{text}`, a name in braces stands twice"));
            }
            levels.push(level);
        }
        let wild: Vec<&str> = levels.iter().map(Level::wild).collect();
        let filter = Filter::parse(&wild.join("/")).map_err(|why| format!("`{text}` is no topic: {why}"))?;
        Ok(Pattern { text: text.into(), levels, filter })
    }

    /// As the operator wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The filter that matches what the pattern matches.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Does it begin with a `$` of its own?
    pub fn begins_with_dollar(&self) -> bool {
        self.text.starts_with('$')
    }

    /// A name in braces that stands here and not, or not alike, in `other`, as it is written.
    pub fn name_not_in(&self, other: &Pattern) -> Option<String> {
        self.levels.iter().filter(|level| level.name().is_some()).find(|level| !other.levels.contains(level)).map(
            |level| match level {
                Level::Rest(name) => format!("{{{name}...}}"),
                other => format!("{{{}}}", other.name().unwrap_or_default()),
            },
        )
    }

    /// What the names stand for if all that `asked`, the levels of a topic or filter, matches fits
    /// this pattern. `#` may stand for one level and the rest; the bare name before it does not count.
    ///
    /// Levels, so that a text is cut once for all rules: what one costs is not to grow with what is asked about.
    pub fn bind<'t>(&self, asked: &[&'t str]) -> Option<Bound<'_, 't>> {
        if asked.first().is_some_and(|first| first.starts_with('$')) && !self.begins_with_dollar() {
            return None;
        }
        let mut bound = Bound::new();
        let mut given = asked.iter().copied();
        let mut levels = self.levels.iter();
        while let Some(level) = levels.next() {
            match (level, given.next()) {
                (Level::Rest(name), first) => {
                    bound.push((name, first.into_iter().chain(given).collect()));
                    return Some(bound);
                }
                (Level::One(name), Some("#")) => {
                    let [Level::Rest(rest)] = levels.as_slice() else { return None };
                    bound.push((name, vec!["+"]));
                    bound.push((rest, vec!["#"]));
                    return Some(bound);
                }
                (Level::One(name), Some(value)) => bound.push((name, vec![value])),
                (Level::Fixed(fixed), Some(value)) if fixed == value => {}
                _ => return None,
            }
        }
        given.next().is_none().then_some(bound)
    }

    /// The pattern with its names replaced by what they stand for.
    pub fn fill(&self, bound: &Bound) -> String {
        let mut levels: Vec<&str> = Vec::new();
        for level in &self.levels {
            match level {
                Level::Fixed(fixed) => levels.push(fixed),
                Level::One(name) | Level::Rest(name) => {
                    let values = bound.iter().find(|(bound, _)| bound == name);
                    levels.extend(values.into_iter().flat_map(|(_, values)| values));
                }
            }
        }
        levels.join("/")
    }
}

impl Level {
    fn parse(level: &str) -> Result<Self, String> {
        let Some(inner) = level.strip_prefix('{').and_then(|level| level.strip_suffix('}')) else {
            if level.contains(['{', '}']) {
                return Err(format!("`{level}` mixes braces and text; `{{name}}` stands for a whole level"));
            }
            if level.contains(['+', '#']) {
                return Err(format!(
                    "`{level}` holds a wildcard; write `{{name}}` for one level, `{{name...}}` for the rest"
                ));
            }
            return Ok(Level::Fixed(level.into()));
        };
        let (name, rest) = inner.strip_suffix("...").map_or((inner, false), |name| (name, true));
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(good) {
            return Err(format!("`{level}` needs a name of letters, digits, `_` and `-`"));
        }
        Ok(if rest { Level::Rest(name.into()) } else { Level::One(name.into()) })
    }

    fn name(&self) -> Option<&str> {
        match self {
            Level::Fixed(_) => None,
            Level::One(name) | Level::Rest(name) => Some(name),
        }
    }

    fn wild(&self) -> &str {
        match self {
            Level::Fixed(text) => text,
            Level::One(_) => "+",
            Level::Rest(_) => "#",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and their values by the words of the documentation, the slow way.
    fn bound_by_the_book(pattern: &[&str], topic: &[&str]) -> Option<Vec<String>> {
        let with = |value: String, rest: Option<Vec<String>>| Some([vec![value], rest?].concat());
        match (pattern, topic) {
            ([], []) => Some(Vec::new()),
            (["{rest...}"], topic) => Some(vec![topic.join("|")]),
            ([name, pattern @ ..], [value, topic @ ..]) if name.starts_with('{') => {
                with((*value).to_owned(), bound_by_the_book(pattern, topic))
            }
            ([a, pattern @ ..], [b, topic @ ..]) if a == b => bound_by_the_book(pattern, topic),
            _ => None,
        }
    }

    /// All that up to three of these levels make.
    fn all_of(words: &[&'static str]) -> Vec<Vec<&'static str>> {
        let mut all = vec![vec![]];
        for _ in 0..3 {
            let longer =
                all.iter().flat_map(|one: &Vec<&str>| words.iter().map(|word| [one.as_slice(), &[word]].concat()));
            all = [vec![vec![]], longer.collect()].concat();
        }
        all
    }

    #[test]
    fn names_are_bound_as_the_levels_say() {
        let topics: Vec<_> = all_of(&["", "a", "ab", "b"]).into_iter().filter(|one| !one.is_empty()).collect();
        let (mut some, mut none) = (0, 0);
        for levels in all_of(&["", "a", "ab", "{x}", "{y}", "{rest...}"]) {
            // What is no pattern: nothing at all, a name twice, something behind the rest.
            let Ok(pattern) = Pattern::parse(&levels.join("/")) else { continue };
            for topic in &topics {
                let bound = pattern.bind(topic);
                let values = bound.map(|bound| bound.iter().map(|(_, values)| values.join("|")).collect::<Vec<_>>());
                assert_eq!(values, bound_by_the_book(&levels, topic), "{levels:?} {topic:?}");
                *(if values.is_some() { &mut some } else { &mut none }) += 1;
            }
        }
        assert!(some > 500 && none > 500, "{some} {none}");
    }
}
