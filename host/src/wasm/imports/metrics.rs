//! `metrics`: figures of a module's own, exported beside the broker's.

use super::super::bindings::pliant::broker::metrics::Host;
use super::super::instance::Cell;
use super::super::limits::NAME_BYTES_MAX;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// One figure of a module.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Figure {
    /// Only ever grows.
    Count(u64),
    /// The value that was set last.
    Gauge(f64),
}

/// The figures of one module.
#[derive(Default)]
pub(in super::super) struct Figures(Mutex<Table>);

#[derive(Default)]
struct Table {
    figures: BTreeMap<Box<str>, Kept>,
    /// Versions that are asked now, by what names them in this process, and the newest that ever was.
    asked: SmallVec<[u64; 2]>,
    newest: u64,
    /// Sums of counters that nobody who is asked counts: whoever counts on is to go on with them.
    resting: BTreeMap<Box<str>, u64>,
}

/// A figure, and the versions that wrote it.
struct Kept {
    figure: Figure,
    by: SmallVec<[u64; 2]>,
}

impl Table {
    /// A call of a version that is not asked any more may still run. One that is newer than all is about to be.
    fn takes_from(&self, version: u64) -> bool {
        self.asked.contains(&version) || version > self.newest
    }
}

impl Figures {
    pub(in super::super) fn list(&self) -> Vec<(Box<str>, Figure)> {
        self.0.lock().figures.iter().map(|(name, kept)| (name.clone(), kept.figure)).collect()
    }

    /// These versions are asked from here on. What none of them has written goes, and makes room.
    pub(in super::super) fn are_of(&self, versions: impl Iterator<Item = u64>, limit: usize) {
        let Table { figures, asked, newest, resting } = &mut *self.0.lock();
        *asked = versions.collect();
        *newest = asked.iter().copied().fold(*newest, u64::max);
        figures.retain(|name, kept| {
            kept.by.retain(|version| asked.contains(version));
            if let (true, Figure::Count(sum)) = (kept.by.is_empty(), kept.figure) {
                if resting.len() >= limit {
                    resting.clear();
                }
                resting.insert(name.clone(), sum);
            }
            !kept.by.is_empty()
        });
    }

    /// Nothing happens to a name that is not one (`[a-z_][a-z0-9_]*`), to one past the limit, and to a name that
    /// already stands for a figure of the other kind; false: so it was.
    fn change(&self, limit: usize, version: u64, name: &str, new: Figure) -> bool {
        if !is_name(name) {
            return false;
        }
        let mut table = self.0.lock();
        let takes = table.takes_from(version);
        let room = table.figures.len() < limit;
        if let Some(kept) = table.figures.get_mut(name) {
            match (&mut kept.figure, new) {
                (Figure::Count(sum), Figure::Count(delta)) => *sum = sum.saturating_add(delta),
                (Figure::Gauge(value), Figure::Gauge(now)) => *value = now,
                _ => return false,
            }
            if takes && !kept.by.contains(&version) {
                kept.by.push(version);
            }
            return true;
        }
        if !takes || !room {
            return !takes;
        }
        let rested = table.resting.remove(name);
        let figure = match new {
            Figure::Count(delta) => Figure::Count(rested.unwrap_or(0).saturating_add(delta)),
            gauge => gauge,
        };
        table.figures.insert(name.into(), Kept { figure, by: SmallVec::from_slice(&[version]) });
        true
    }
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit();
    name.len() <= NAME_BYTES_MAX && name.bytes().all(fits) && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

impl Cell {
    fn figure(&mut self, name: &str, new: Figure) -> wasmtime::Result<()> {
        self.spend()?;
        let services = &self.services;
        if !self.rehearses && !services.figures.change(services.limits.figures_max, self.version, name, new) {
            services.refusals.metrics.add(1);
        }
        Ok(())
    }
}

impl Host for Cell {
    fn count(&mut self, name: String, delta: u64) -> wasmtime::Result<()> {
        self.figure(&name, Figure::Count(delta))
    }

    fn gauge(&mut self, name: String, value: f64) -> wasmtime::Result<()> {
        self.figure(&name, Figure::Gauge(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_bounded_and_keep_their_kind() {
        let figures = Figures::default();
        assert!(figures.change(2, 1, "a", Figure::Count(2)));
        assert!(figures.change(2, 1, "a", Figure::Count(3)));
        assert!(!figures.change(2, 1, "a", Figure::Gauge(1.0)));
        assert!(figures.change(2, 1, "b", Figure::Gauge(0.5)));
        assert!(!figures.change(2, 1, "c", Figure::Count(1)));
        for bad in ["", "9a", "a-b", "A", "a b", "a\n", "a\"", "a\0", "a\\"] {
            assert!(!figures.change(9, 1, bad, Figure::Count(1)), "{bad:?}");
        }
        // A counter that began anew would be taken for a restart.
        assert!(figures.change(2, 1, "a", Figure::Count(u64::MAX)));
        let expected = vec![("a".into(), Figure::Count(u64::MAX)), ("b".into(), Figure::Gauge(0.5))];
        assert_eq!(figures.list(), expected);
    }

    /// Names of a version that is gone would take the places of those of its successor, and show what is long over.
    #[test]
    fn figures_go_with_the_versions_that_wrote_them_and_counters_are_counted_on() {
        let figures = Figures::default();
        let names = || figures.list().into_iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
        // Before it is asked, as it is made ready.
        assert!(figures.change(2, 1, "old", Figure::Gauge(1.0)));
        figures.are_of([1].into_iter(), 2);
        assert!(figures.change(2, 1, "both", Figure::Count(3)));
        // A canary beside it.
        figures.are_of([1, 2].into_iter(), 2);
        assert!(figures.change(2, 2, "both", Figure::Count(1)));
        assert!(!figures.change(2, 2, "new", Figure::Gauge(1.0)));
        figures.are_of([2].into_iter(), 2);
        assert_eq!(names(), ["both"]);
        assert!(figures.change(2, 2, "new", Figure::Gauge(1.0)));
        // A call of the first that still runs.
        assert!(figures.change(2, 1, "old", Figure::Gauge(2.0)));
        assert_eq!(names(), ["both", "new"]);
        figures.are_of([3].into_iter(), 2);
        assert_eq!(names(), [""; 0]);
        assert!(figures.change(2, 3, "both", Figure::Count(1)));
        assert_eq!(figures.list(), [("both".into(), Figure::Count(5))]);
        figures.are_of([].into_iter(), 2);
        assert_eq!(names(), [""; 0], "it is off");
    }
}
