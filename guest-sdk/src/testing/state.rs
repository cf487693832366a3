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
            self.set(now, key, value, None)?;
        }
        Ok(same)
    }

    pub(crate) fn add(&mut self, now: u64, key: &str, delta: i64) -> Result<i64, StateError> {
        let entry = self.alive(now, key);
        let value = entry.and_then(|e| e.value.as_slice().try_into().ok()).map_or(0, i64::from_le_bytes);
        let ends = entry.and_then(|e| e.ends);
        let sum = value.saturating_add(delta);
        self.set(now, key, &sum.to_le_bytes(), None)?;
        if let Some(entry) = self.entries.get_mut(key) {
            entry.ends = ends;
        }
        Ok(sum)
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
    fn a_counter_starts_at_zero_and_stays_within_its_bounds() {
        let mut state = State::default();
        assert_eq!(state.add(0, "n", 2), Ok(2));
        assert_eq!(state.add(0, "n", -5), Ok(-3));
        assert_eq!(state.get(0, "n"), Some((-3_i64).to_le_bytes().to_vec()));
        assert_eq!(state.add(0, "n", i64::MIN), Ok(i64::MIN));
        state.set(0, "n", b"text", None).unwrap();
        assert_eq!(state.add(0, "n", 1), Ok(1), "what is no counter counts as 0");
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
