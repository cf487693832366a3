//! Topic names and topic filters: what is valid, how they split into levels, and whether one matches the other.
//!
//! The rules are MQTT 5.0 section 4.7 (the same in 3.1.1), which every protocol's addresses are mapped onto. Shared
//! subscriptions (`$share/group/filter`) are a matter of the subscription, not of the filter, and unknown here.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Bounds on names. A longer or deeper name is refused before anything looks at its levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most levels of a name. Default 128.
    pub levels_max: usize,
    /// Most bytes of a name. Default and greatest possible value 65,535.
    pub bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { levels_max: 128, bytes_max: 65_535 }
    }
}

/// Why a name is not a topic or not a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// MQTT-4.7.3-1.
    #[error("a topic must have at least one character")]
    Empty,
    /// MQTT-4.7.3-2.
    #[error("a topic must not contain U+0000")]
    Null,
    /// See [`is_forbidden`].
    #[error("a topic must not contain control characters, nor what Unicode calls no characters")]
    Forbidden,
    /// MQTT-4.7.3-3 and [`Limits::bytes_max`].
    #[error("the topic is longer than allowed")]
    TooLong,
    /// [`Limits::levels_max`].
    #[error("the topic has more levels than allowed")]
    TooDeep,
    /// MQTT-4.7.0-1.
    #[error("a topic name must not contain the wildcards + and #")]
    Wildcard,
    /// MQTT-4.7.1-1 and MQTT-4.7.1-2.
    #[error("+ must be a whole level, and # the whole last one")]
    MisplacedWildcard,
}

/// A valid topic name, cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

/// A valid topic filter, cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filter(Arc<str>);

impl Topic {
    /// Checks a topic name.
    pub fn new(name: &str, limits: &Limits) -> Result<Self, NameError> {
        check_length(name, limits)?;
        if memchr::memchr3(b'+', b'#', 0, name.as_bytes()).is_some() {
            return Err(if name.contains('\0') { NameError::Null } else { NameError::Wildcard });
        }
        let is_plain = name.bytes().all(|byte| (b' '..0x7F).contains(&byte));
        if !is_plain && name.contains(is_forbidden) {
            return Err(NameError::Forbidden);
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is within other bounds than those that it was made with.
    pub fn check_length(&self, limits: &Limits) -> Result<(), NameError> {
        check_length(&self.0, limits)
    }

    /// Whether only the broker itself publishes here (MQTT 5.0, 4.7.2): all below `$SYS` but the state of bridges, and
    /// what looks like a shared subscription.
    pub fn is_reserved(&self) -> bool {
        let Some(rest) = self.0.strip_prefix('$') else { return false };
        let mut levels = levels(rest);
        match levels.next() {
            Some("SYS") => {
                let rest: Vec<&str> = levels.take(5).collect();
                !matches!(rest[..], ["broker", "connection", _, "state"])
            }
            Some("share" | "CONTROL") => true,
            _ => false,
        }
    }
}

impl Filter {
    /// Checks a topic filter.
    pub fn new(filter: &str, limits: &Limits) -> Result<Self, NameError> {
        check_length(filter, limits)?;
        if filter.contains('\0') {
            return Err(NameError::Null);
        }
        let mut levels = levels(filter).peekable();
        while let Some(level) = levels.next() {
            let wild = memchr::memchr2(b'+', b'#', level.as_bytes()).is_some();
            if wild && (level.len() > 1 || (level == "#" && levels.peek().is_some())) {
                return Err(NameError::MisplacedWildcard);
            }
        }
        Ok(Self(filter.into()))
    }

    /// The filter.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this filter contains a wildcard.
    pub fn is_wild(&self) -> bool {
        memchr::memchr2(b'+', b'#', self.0.as_bytes()).is_some()
    }

    /// Whether a topic name matches. Wildcards in the first level do not match a name that begins with `$`
    /// (MQTT-4.7.2-1). Takes time linear in the length of both.
    pub fn matches(&self, topic: &str) -> bool {
        matches(&self.0, topic)
    }
}

/// Whether a receiver may take a character in a text of MQTT for a fault and go (MQTT 5.0, 1.5.4): control characters, and what
/// Unicode calls no character.
pub fn is_forbidden(c: char) -> bool {
    let c = u32::from(c);
    c < 0x20 || (0x7F..=0x9F).contains(&c) || (0xFDD0..=0xFDEF).contains(&c) || c & 0xFFFE == 0xFFFE
}

/// The levels of a name: what stands between its slashes, so that `/a` has two.
pub fn levels(name: &str) -> impl Iterator<Item = &str> + Clone {
    name.split('/')
}

fn check_length(name: &str, limits: &Limits) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > limits.bytes_max {
        return Err(NameError::TooLong);
    }
    if name.len() >= limits.levels_max && memchr::memchr_iter(b'/', name.as_bytes()).count() >= limits.levels_max {
        return Err(NameError::TooDeep);
    }
    Ok(())
}

/// As [`Filter::matches`], for a filter that is known to be valid.
fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut names = levels(topic);
    for level in levels(filter) {
        match (level, names.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(name)) if level == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

macro_rules! name_traits {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl From<$name> for Arc<str> {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name_traits!(Topic);
name_traits!(Filter);

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> Result<Topic, NameError> {
        Topic::new(name, &Limits::default())
    }

    fn filter(name: &str) -> Result<Filter, NameError> {
        Filter::new(name, &Limits::default())
    }

    #[test]
    fn topic_names_are_checked() {
        for (name, expected) in [
            ("a", Ok(())),
            ("/", Ok(())),
            ("a//b", Ok(())),
            ("\u{feff}a", Ok(())),
            ("ß/温度", Ok(())),
            ("", Err(NameError::Empty)),
            ("a\0b", Err(NameError::Null)),
            ("a/+", Err(NameError::Wildcard)),
            ("a#", Err(NameError::Wildcard)),
            ("a\tb", Err(NameError::Forbidden)),
            ("a\u{7f}", Err(NameError::Forbidden)),
            ("a\u{85}b", Err(NameError::Forbidden)),
            ("a\u{fffe}", Err(NameError::Forbidden)),
        ] {
            assert_eq!(topic(name).map(|_| ()), expected, "{name:?}");
        }
    }

    #[test]
    fn some_names_are_the_brokers_own() {
        for (name, reserved) in [
            ("$SYS", true),
            ("$SYS/broker/uptime", true),
            ("$SYS/broker/connection/me", true),
            ("$SYS/broker/connection/me/state", false),
            ("$SYS/broker/connection/me/state/x", true),
            ("$share/g/a", true),
            ("$CONTROL/x", true),
            ("$test/test", false),
            ("$SYSTEM", false),
            ("a/$SYS", false),
        ] {
            assert_eq!(topic(name).unwrap().is_reserved(), reserved, "{name}");
        }
    }

    #[test]
    fn filters_are_checked() {
        for (name, expected) in [
            ("#", Ok(())),
            ("+", Ok(())),
            ("a/+/b", Ok(())),
            ("a/#", Ok(())),
            ("", Err(NameError::Empty)),
            ("a#", Err(NameError::MisplacedWildcard)),
            ("#/a", Err(NameError::MisplacedWildcard)),
            ("a+/b", Err(NameError::MisplacedWildcard)),
            ("a\0", Err(NameError::Null)),
        ] {
            assert_eq!(filter(name).map(|_| ()), expected, "{name:?}");
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let limits = Limits { levels_max: 3, bytes_max: 10 };
        assert!(Topic::new("a/b/c", &limits).is_ok());
        assert_eq!(Topic::new("a/b/c/d", &limits), Err(NameError::TooDeep));
        assert_eq!(Topic::new("///", &limits), Err(NameError::TooDeep));
        assert_eq!(Filter::new("aaaaaaaaaaa", &limits), Err(NameError::TooLong));
    }

    #[test]
    fn filters_match_topics() {
        for (f, t, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("#", "a", true),
            ("+", "/a", false),
            ("+/+", "/a", true),
            ("/+", "/a", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/+/c", "a//c", true),
        ] {
            assert_eq!(filter(f).unwrap().matches(t), expected, "{f} {t}");
        }
    }
}
