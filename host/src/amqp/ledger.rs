//! Deliveries of a session that are not settled, by delivery-id: a serial number (RFC 1982) that only grows.

use std::collections::VecDeque;

/// Whether `a` comes before `b`.
pub fn is_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Gaps that are not worth closing.
const GAPS: usize = 64;

/// See the head of this file. What is taken out of the middle leaves a gap until all before it is gone.
#[derive(Debug)]
pub struct Ledger<T> {
    entries: VecDeque<(u32, Option<T>)>,
    live: usize,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), live: 0 }
    }
}

impl<T> Ledger<T> {
    /// How many there are. The memory is bound by them, too: there are never many more gaps.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Adds one. Its id comes after all others but where a long delivery, which began earlier, has ended later.
    #[inline]
    pub fn push(&mut self, id: u32, entry: T) {
        self.live += 1;
        let is_last = self.entries.back().is_none_or(|last| is_before(last.0, id));
        let at = if is_last { self.entries.len() } else { self.entries.partition_point(|one| is_before(one.0, id)) };
        self.entries.insert(at, (id, Some(entry)));
    }

    fn position(&self, id: u32) -> Option<usize> {
        let first = self.entries.front()?.0;
        let offset = id.wrapping_sub(first);
        // Without jumps in the ids, which is usual, the distance is the place.
        let guess = offset as usize;
        if self.entries.get(guess).is_some_and(|entry| entry.0 == id) {
            return Some(guess);
        }
        self.entries.binary_search_by_key(&offset, |entry| entry.0.wrapping_sub(first)).ok()
    }

    /// The entry of this id.
    pub fn get(&self, id: u32) -> Option<&T> {
        self.entries.get(self.position(id)?)?.1.as_ref()
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        let at = self.position(id)?;
        self.entries.get_mut(at)?.1.as_mut()
    }

    /// Takes the entry of this id out.
    #[inline]
    pub fn remove(&mut self, id: u32) -> Option<T> {
        let at = self.position(id)?;
        let entry = self.entries.get_mut(at)?.1.take()?;
        self.live -= 1;
        self.close_gaps();
        Some(entry)
    }

    /// Visits what lies from `first` to `last`, both included; what `keep` does not want goes. The work is bound by what is
    /// there.
    pub fn visit(&mut self, first: u32, last: u32, mut keep: impl FnMut(u32, &T) -> bool) {
        let Some(front) = self.entries.front().map(|entry| entry.0) else { return };
        let start = if is_before(first, front) {
            0
        } else {
            let offset = first.wrapping_sub(front);
            self.entries.partition_point(|entry| entry.0.wrapping_sub(front) < offset)
        };
        for (id, slot) in self.entries.range_mut(start..) {
            if is_before(last, *id) {
                break;
            }
            if slot.as_ref().is_some_and(|entry| !keep(*id, entry)) {
                *slot = None;
                self.live -= 1;
            }
        }
        self.close_gaps();
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.entries.iter().filter_map(|(id, entry)| Some((*id, entry.as_ref()?)))
    }

    /// Takes out what `keep` does not want.
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        for (_, slot) in &mut self.entries {
            if slot.as_ref().is_some_and(|entry| !keep(entry)) {
                *slot = None;
                self.live -= 1;
            }
        }
        self.close_gaps();
    }

    fn close_gaps(&mut self) {
        if self.live == 0 {
            self.entries.clear();
            return;
        }
        while self.entries.front().is_some_and(|entry| entry.1.is_none()) {
            self.entries.pop_front();
        }
        if self.entries.len() > 2 * self.live + GAPS {
            self.entries.retain(|entry| entry.1.is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ledger: &mut Ledger<char>, first: u32, last: u32) -> Vec<u32> {
        let mut seen = Vec::new();
        ledger.visit(first, last, |id, _| {
            seen.push(id);
            true
        });
        seen
    }

    #[test]
    fn ids_wrap_around() {
        let mut ledger = Ledger::default();
        for id in [u32::MAX - 1, u32::MAX, 0, 1] {
            ledger.push(id, 'x');
        }
        assert_eq!(ids(&mut ledger, u32::MAX, 0), [u32::MAX, 0]);
        assert_eq!(ledger.remove(0), Some('x'));
        assert_eq!(ledger.remove(0), None);
        assert_eq!(ids(&mut ledger, u32::MAX - 5, 9), [u32::MAX - 1, u32::MAX, 1]);
    }

    /// 2.7.5: frames of several links may come in turns.
    #[test]
    fn one_that_began_earlier_finds_its_place() {
        let mut ledger = Ledger::default();
        for id in [u32::MAX, 2, 1, 0, 4, u32::MAX - 1, 3] {
            ledger.push(id, 'x');
        }
        assert_eq!(ids(&mut ledger, u32::MAX - 1, 9), [u32::MAX - 1, u32::MAX, 0, 1, 2, 3, 4]);
        for id in [3, u32::MAX - 1, 0, 4, 2, 1, u32::MAX] {
            assert_eq!(ledger.remove(id), Some('x'), "{id}");
        }
    }

    #[test]
    fn one_that_stays_long_holds_nobody_up() {
        let mut ledger = Ledger::default();
        ledger.push(0, 'x');
        for id in 1..10_000 {
            ledger.push(id, 'y');
            assert_eq!(ledger.remove(id), Some('y'));
        }
        assert!(ledger.len() == 1 && ledger.entries.len() <= 2 + GAPS, "{}", ledger.entries.len());
        ledger.push(10_000, 'z');
        assert_eq!(ids(&mut ledger, 0, 10_000), [0, 10_000]);
    }

    #[test]
    fn ids_may_jump() {
        let mut ledger = Ledger::default();
        for id in [3, 10, 11, 500] {
            ledger.push(id, 'x');
        }
        assert_eq!(ledger.get(4), None);
        assert!(ledger.get(500).is_some());
        assert_eq!(ids(&mut ledger, 4, 499), [10, 11]);
        ledger.visit(0, 11, |_, _| false);
        assert_eq!(ledger.len(), 1);
        assert_eq!(ledger.remove(500), Some('x'));
        assert_eq!(ledger.len(), 0);
    }
}
