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

    /// What the names stand for if all that `text`, a topic or a filter, matches fits this
    /// pattern. `#` may stand for one level and the rest; the bare name before it does not count.
    pub fn bind<'t>(&self, text: &'t str) -> Option<Bound<'_, 't>> {
        if text.starts_with('$') && !self.begins_with_dollar() {
            return None;
        }
        let mut bound = Bound::new();
        // A rule that does not fit is done with at once, however long a name somebody says.
        let mut given = Some(text);
        let mut levels = self.levels.iter();
        while let Some(level) = levels.next() {
            given = match (level, given) {
                (Level::Rest(name), rest) => {
                    bound.push((name, rest.into_iter().flat_map(|rest| rest.split('/')).collect()));
                    return Some(bound);
                }
                (Level::One(name), Some("#")) => {
                    let [Level::Rest(rest)] = levels.as_slice() else { return None };
                    bound.push((name, vec!["+"]));
                    bound.push((rest, vec!["#"]));
                    return Some(bound);
                }
                (Level::One(name), Some(text)) => {
                    let (value, rest) = text.split_once('/').map_or((text, None), |(value, rest)| (value, Some(rest)));
                    bound.push((name, vec![value]));
                    rest
                }
                (Level::Fixed(fixed), Some(text)) => match text.strip_prefix(&**fixed)? {
                    "" => None,
                    behind => Some(behind.strip_prefix('/')?),
                },
                _ => return None,
            }
        }
        given.is_none().then_some(bound)
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
