//! `metrics`: figures of a module's own, exported beside the broker's.

use super::super::bindings::pliant::broker::metrics::Host;
use super::super::instance::Cell;
use super::super::limits::NAME_BYTES_MAX;
use parking_lot::Mutex;
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
pub(in super::super) struct Figures(Mutex<BTreeMap<Box<str>, Figure>>);

impl Figures {
    pub(in super::super) fn list(&self) -> Vec<(Box<str>, Figure)> {
        self.0.lock().iter().map(|(name, figure)| (name.clone(), *figure)).collect()
    }

    /// Nothing happens to a name that is not one (`[a-z_][a-z0-9_]*`), to one past the limit, and to a name that
    /// already stands for a figure of the other kind; false: so it was.
    fn change(&self, limit: usize, name: &str, new: Figure) -> bool {
        if !is_name(name) {
            return false;
        }
        let mut figures = self.0.lock();
        let room = figures.len() < limit;
        match (figures.get_mut(name), new) {
            (Some(Figure::Count(sum)), Figure::Count(delta)) => *sum = sum.saturating_add(delta),
            (Some(Figure::Gauge(value)), Figure::Gauge(now)) => *value = now,
            (None, new) if room => {
                figures.insert(name.into(), new);
            }
            _ => return false,
        }
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
        if !self.rehearses && !services.figures.change(services.limits.figures_max, name, new) {
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
        assert!(figures.change(2, "a", Figure::Count(2)));
        assert!(figures.change(2, "a", Figure::Count(3)));
        assert!(!figures.change(2, "a", Figure::Gauge(1.0)));
        assert!(figures.change(2, "b", Figure::Gauge(0.5)));
        assert!(!figures.change(2, "c", Figure::Count(1)));
        for bad in ["", "9a", "a-b", "A", "a b", "a\n", "a\"", "a\0", "a\\"] {
            assert!(!figures.change(9, bad, Figure::Count(1)), "{bad:?}");
        }
        // A counter that began anew would be taken for a restart.
        assert!(figures.change(2, "a", Figure::Count(u64::MAX)));
        let expected = vec![("a".into(), Figure::Count(u64::MAX)), ("b".into(), Figure::Gauge(0.5))];
        assert_eq!(figures.list(), expected);
    }
}
