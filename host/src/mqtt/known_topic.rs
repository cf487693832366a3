//! The topic name that a client published to last: most clients have one or few, and the same bytes need no second look.

use super::packet::text;
use super::violation::Violation;

/// Longest name that is kept, in bytes: what a connection holds for it is bounded.
const LENGTH_MAX: usize = 128;

/// Who has said so many new names in a row has many: of the next ones only some are kept.
const NEW_IN_A_ROW: u8 = 8;

/// See the head of this file.
#[derive(Debug, Default)]
pub struct KnownTopic {
    name: String,
    /// Names in a row that were not the one before them.
    new: u8,
}

impl KnownTopic {
    /// Checks a topic name as [`text::topic_name`] does.
    ///
    /// # Errors
    /// The rule that it breaks.
    #[inline]
    pub fn check<'b>(&'b mut self, bytes: &'b [u8]) -> Result<&'b str, Violation> {
        if self.name.as_bytes() == bytes {
            self.new = 0;
            return Ok(&self.name);
        }
        let name = text::topic_name(bytes)?;
        if self.new < NEW_IN_A_ROW && name.len() <= LENGTH_MAX {
            self.name.clear();
            self.name.push_str(name);
        }
        // Now and then there is another try.
        self.new = (self.new + 1) % (8 * NEW_IN_A_ROW);
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(known: &mut KnownTopic, name: &str) -> bool {
        assert_eq!(known.check(name.as_bytes()), Ok(name));
        known.name == name
    }

    #[test]
    fn what_is_wrong_is_refused_each_time() {
        // MQTT-3.3.2-2, MQTT-1.5.4-1
        let mut known = KnownTopic::default();
        for _ in 0..3 {
            assert!(kept(&mut known, "a/b"));
            assert_eq!(known.check(b"a/+"), Err(Violation::TopicWildcard));
            assert_eq!(known.check(b"a/\xFF"), Err(Violation::NotUtf8));
            assert_eq!(known.check(b"a/b\0"), Err(Violation::NullCharacter));
            assert_eq!(known.check(b"a"), Ok("a"));
        }
        assert_eq!(known.check(b""), Ok(""));
    }

    #[test]
    fn a_name_is_kept_within_bounds() {
        let mut known = KnownTopic::default();
        assert!(kept(&mut known, &"a".repeat(LENGTH_MAX)));
        assert!(!kept(&mut known, &"a".repeat(LENGTH_MAX + 1)));
        assert!(known.name.capacity() <= 2 * LENGTH_MAX);
    }

    #[test]
    fn of_many_names_some_are_kept() {
        let mut known = KnownTopic::default();
        let names: Vec<String> = (0..128).map(|n| format!("a/{n}")).collect();
        let first = names.iter().filter(|name| kept(&mut known, name)).count();
        assert_eq!(first, 128 / 8);
        assert!(kept(&mut known, "b"), "there is another try");
        assert!(kept(&mut known, "b") && known.new == 0);
    }
}
