//! The stand-in's state: the bounds and the time-outs of the real one, kept in memory.

use std::collections::HashMap;

use crate::state::StateError;

const LONGEST_KEY: usize = 256;
const LONGEST_VALUE: usize = 64 * 1024;

#[derive(Default)]
pub(crate) struct State {
    pub(super) failing: Option<StateError>,
    entries: HashMap<String, Entry>,
}

struct Entry {
    value: Vec<u8>,
    /// Milliseconds on the stand-in's clock.
    ends: Option<u64>,
}

impl State {
    pub(crate) fn get(&self, now: u64, key: &str) -> Option<Vec<u8>> {
        self.alive(now, key).map(|entry| entry.value.clone())
    }

    pub(crate) fn set(&mut self, now: u64, key: &str, value: &[u8], ttl: Option<u32>) -> Result<(), StateError> {
        self.works()?;
        if key.len() > LONGEST_KEY || value.len() > LONGEST_VALUE {
            return Err(StateError::TooLarge);
        }
        let ends = ttl.map(|seconds| now + u64::from(seconds) * 1000);
        self.entries.insert(key.into(), Entry { value: value.into(), ends });
        Ok(())
    }

    pub(crate) fn delete(&mut self, key: &str) -> Result<(), StateError> {
        self.works()?;
        self.entries.remove(key);
        Ok(())
    }

    pub(crate) fn compare_and_set(
        &mut self,
        now: u64,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<bool, StateError> {
        let same = self.alive(now, key).map(|entry| entry.value.as_slice()) == expected;
        if same {
            self.set_keeping_time(now, key, value)?;
        }
        Ok(same)
    }

    pub(crate) fn add(&mut self, now: u64, key: &str, delta: i64) -> Result<i64, StateError> {
        let text = self.alive(now, key).and_then(|entry| std::str::from_utf8(&entry.value).ok());
        let sum = text.and_then(|text| text.parse::<i64>().ok()).unwrap_or(0).wrapping_add(delta);
        self.set_keeping_time(now, key, sum.to_string().as_bytes())?;
        Ok(sum)
    }

    fn set_keeping_time(&mut self, now: u64, key: &str, value: &[u8]) -> Result<(), StateError> {
        let ends = self.alive(now, key).and_then(|entry| entry.ends);
        self.set(now, key, value, None)?;
        if let Some(entry) = self.entries.get_mut(key) {
            entry.ends = ends;
        }
        Ok(())
    }

    fn alive(&self, now: u64, key: &str) -> Option<&Entry> {
        self.entries.get(key).filter(|entry| entry.ends.is_none_or(|ends| now < ends))
    }

    fn works(&self) -> Result<(), StateError> {
        self.failing.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_with_its_time() {
        let mut state = State::default();
        state.set(1000, "k", b"v", Some(2)).unwrap();
        assert_eq!(state.get(2999, "k"), Some(b"v".to_vec()));
        assert_eq!(state.get(3000, "k"), None);
        assert_eq!(state.compare_and_set(3000, "k", None, b"w"), Ok(true));
        assert_eq!(state.compare_and_set(3000, "k", Some(b"v"), b"x"), Ok(false));
        assert_eq!(state.get(u64::MAX, "k"), Some(b"w".to_vec()));
    }

    #[test]
    fn a_counter_starts_at_zero_and_keeps_its_time() {
        let mut state = State::default();
        assert_eq!(state.add(0, "n", 2), Ok(2));
        assert_eq!(state.add(0, "n", -5), Ok(-3));
        assert_eq!(state.get(0, "n"), Some(b"-3".to_vec()));
        state.set(0, "n", b"text", Some(1)).unwrap();
        assert_eq!(state.add(0, "n", i64::MAX), Ok(i64::MAX), "what is no counter counts as 0");
        assert_eq!(state.add(999, "n", 1), Ok(i64::MIN));
        assert_eq!(state.add(1000, "n", 1), Ok(1));
    }

    #[test]
    fn bounds_and_failures_are_told() {
        let mut state = State::default();
        assert_eq!(state.set(0, &"k".repeat(257), b"", None), Err(StateError::TooLarge));
        assert_eq!(state.set(0, "k", &vec![0; 65_537], None), Err(StateError::TooLarge));
        state.failing = Some(StateError::Unavailable);
        assert_eq!(state.set(0, "k", b"", None), Err(StateError::Unavailable));
        assert_eq!(state.delete("k"), Err(StateError::Unavailable));
    }
}
