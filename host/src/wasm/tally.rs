//! What is counted of the versions of one module, by number, for as long as they are kept: one that is put aside as it fails is
//! the one that somebody wants to look at.

use super::meter::{HookFigures, Meter};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Of one module.
#[derive(Default)]
pub(super) struct Tallies(Mutex<BTreeMap<u64, Vec<Arc<Tally>>>>);

/// Of one version, since this process made it ready.
#[derive(Default)]
pub(super) struct Tally(Mutex<Meters>);

#[derive(Default)]
struct Meters {
    live: Vec<Arc<Meter>>,
    gone: Meter,
}

impl Tallies {
    /// For a version with this number, which may have been ready before.
    pub(super) fn begin(&self, number: u64) -> Arc<Tally> {
        let mut numbers = self.0.lock();
        let known = numbers.entry(number).or_default();
        // Those that nobody counts in any more become one.
        let sum = Tally::default();
        known.retain(|tally| {
            let is_live = Arc::strong_count(tally) > 1;
            if !is_live {
                sum.0.lock().gone.absorb(&tally.sum());
            }
            is_live
        });
        let begun = Arc::<Tally>::default();
        known.extend([Arc::new(sum), begun.clone()]);
        begun
    }

    /// Of all that had this number.
    pub(super) fn figures(&self, number: u64) -> Vec<HookFigures> {
        let sum = Meter::default();
        for tally in self.0.lock().get(&number).into_iter().flatten() {
            sum.absorb(&tally.sum());
        }
        sum.figures()
    }

    /// A version is not kept any more.
    pub(super) fn forget(&self, number: u64) {
        self.0.lock().remove(&number);
    }
}

impl Tally {
    /// A meter for one thread, to be given back with [`Tally::retire_meter`].
    pub(super) fn new_meter(&self) -> Arc<Meter> {
        let meter = Arc::new(Meter::default());
        self.0.lock().live.push(meter.clone());
        meter
    }

    /// Threads that have, or had, an instance.
    pub(super) fn threads(&self) -> usize {
        self.0.lock().live.len()
    }

    pub(super) fn retire_meter(&self, meter: &Arc<Meter>) {
        let mut meters = self.0.lock();
        meters.live.retain(|live| !Arc::ptr_eq(live, meter));
        meters.gone.absorb(meter);
    }

    /// All meters as one.
    pub(super) fn sum(&self) -> Meter {
        let sum = Meter::default();
        let meters = self.0.lock();
        sum.absorb(&meters.gone);
        meters.live.iter().for_each(|meter| sum.absorb(meter));
        sum
    }

    /// As [`Tally::sum`] of what is asked for, without the rest.
    pub(super) fn total(&self, of: impl Fn(&Meter) -> u64) -> u64 {
        let meters = self.0.lock();
        meters.live.iter().map(|meter| &**meter).chain([&meters.gone]).map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::meter::Hook;
    use super::*;

    #[test]
    fn a_version_that_comes_back_counts_on() {
        let tallies = Tallies::default();
        let calls = |number| tallies.figures(number).iter().map(|figures| figures.calls).sum::<u64>();
        let mut longest = 0;
        for round in 1..=20 {
            let tally = tallies.begin(7);
            let (one, two) = (tally.new_meter(), tally.new_meter());
            one.record(Hook::Route, 1_000, false);
            two.record(Hook::Retain, 1_000, true);
            tally.retire_meter(&one);
            assert_eq!((calls(7), calls(8), tally.threads()), (2 * round, 0, 1));
            longest = longest.max(tallies.0.lock()[&7].len());
        }
        assert!(longest <= 3, "{longest}");
        tallies.forget(7);
        assert_eq!(calls(7), 0);
    }
}
