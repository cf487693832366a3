//! How long a call of a guest may take: told in time of a processor, looked at when the epoch moves on.

use super::ticker::{Awake, TICK, Waker};
use cpu_time::ThreadTime;
use std::time::Duration;

/// Ticks that a call may last beside four times its own, whatever it has used of a processor.
const WAITING_TICKS_MAX: u64 = 200;

/// What one call may use, and what it has used. A guest that did nothing but wait for a processor is not to blame, so the
/// clock on the wall only stops what lasts many times as long.
///
/// On a virtual machine the system may count as used what the machine below took away. A guest that runs is seen at each tick:
/// where ticks went by without it, it stood still, however much its thread is said to have used. That is not held against it
/// once in a call, for the longest time; more would let a guest hide what it does in instructions that take many ticks.
pub(super) struct Deadline {
    allowed: Duration,
    looks_max: u64,
    /// Ticks at which the call was seen.
    looks: u64,
    /// The thread's processor time at the first of them; what was used before is less than a tick, and for free.
    since: Duration,
    /// The same at the last of them, and which tick that was.
    last: (Duration, u64),
    /// The longest time for which it stood still though time was counted.
    stood: Duration,
    /// Since then: the next tick will come.
    awake: Option<Awake>,
}

impl Deadline {
    /// Of a call that may use so many milliseconds of a processor.
    pub(super) fn after(milliseconds: u64) -> Self {
        Self {
            allowed: Duration::from_millis(milliseconds),
            looks_max: milliseconds.saturating_mul(4).saturating_add(WAITING_TICKS_MAX),
            looks: 0,
            since: Duration::ZERO,
            last: (Duration::ZERO, 0),
            stood: Duration::ZERO,
            awake: None,
        }
    }

    /// The guest waited inside the host: it begins anew.
    pub(super) fn begin_anew(&mut self, milliseconds: u64) {
        *self = Self::after(milliseconds);
    }

    /// The call is over.
    pub(super) fn end(&mut self) {
        self.awake = None;
    }

    /// The call is seen at a tick. The system is asked, 0.2 us, once a tick: a call that is over before one pays nothing.
    #[cold]
    pub(super) fn is_over(&mut self, waker: &Waker) -> bool {
        if self.looks == 0 {
            self.awake = waker.hold();
        }
        self.look(ThreadTime::now().as_duration(), waker.ticks())
    }

    /// The same when the thread has used so much, and that many ticks have gone by.
    fn look(&mut self, used: Duration, ticks: u64) -> bool {
        if self.looks == 0 {
            self.since = used;
        } else {
            let (used_then, ticks_then) = self.last;
            let unseen = u32::try_from(ticks.saturating_sub(ticks_then + 1)).unwrap_or(u32::MAX);
            // Of a tick it ran at least a part: what others had of the processor after that is not counted as used.
            let stood = used.saturating_sub(used_then + TICK).min(TICK.saturating_mul(unseen));
            self.stood = self.stood.max(stood);
        }
        self.last = (used, ticks);
        self.looks += 1;
        self.looks > self.looks_max || used.saturating_sub(self.since + self.stood) >= self.allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At which of these looks, each with microseconds of a processor and ticks so far, a call of 5 ms is stopped.
    fn stopped(looks: &[(u64, u64)]) -> Option<usize> {
        let mut deadline = Deadline::after(5);
        looks.iter().position(|(used, ticks)| deadline.look(Duration::from_micros(*used), *ticks))
    }

    #[test]
    fn a_guest_that_runs_on_is_stopped_at_the_sixth_look() {
        let looks: Vec<_> = (0..10).map(|tick| (700 + tick * 1_000, 40 + tick)).collect();
        assert_eq!(stopped(&looks), Some(5));
    }

    /// Others have the processor in between: that is nothing to forgive, as it is not counted.
    #[test]
    fn a_guest_that_is_interrupted_between_looks_is_stopped_at_the_sixth_look() {
        let looks: Vec<_> = (0..10).map(|turn| (700 + turn * 1_000, 40 + turn * 4)).collect();
        assert_eq!(stopped(&looks), Some(5));
    }

    /// The thread that ticks comes late: that is no word about the guest.
    #[test]
    fn a_guest_that_runs_on_between_late_ticks_is_stopped_at_the_first_that_is_too_late() {
        assert_eq!(stopped(&[(700, 40), (4_700, 41), (8_700, 42), (12_700, 43)]), Some(2));
    }

    #[test]
    fn what_the_machine_below_takes_away_during_a_call_is_not_its_own() {
        assert_eq!(stopped(&[(700, 40), (20_700, 60), (21_300, 61), (23_700, 64)]), None);
    }

    #[test]
    fn a_guest_that_goes_on_after_the_machine_below_took_time_is_stopped_like_others() {
        let looks: Vec<_> =
            [(700, 40)].into_iter().chain((0..10).map(|tick| (20_700 + tick * 1_000, 60 + tick))).collect();
        assert_eq!(stopped(&looks), Some(5));
    }

    /// Each copies its whole memory, say.
    #[test]
    fn instructions_that_take_many_ticks_are_forgiven_once() {
        assert_eq!(stopped(&[(700, 40), (3_700, 43), (6_700, 46), (9_700, 49)]), Some(3));
    }

    #[test]
    fn a_guest_that_only_waits_for_a_processor_is_stopped_by_the_clock_after_many_ticks() {
        let looks: Vec<_> = (0..300).map(|tick| (700, tick)).collect();
        assert_eq!(stopped(&looks), Some(220));
    }
}
