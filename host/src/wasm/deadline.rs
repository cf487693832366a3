//! How long a call of a guest may take: told in time of a processor, looked at when the epoch moves on.

use super::ticker::{Awake, Waker};
use cpu_time::ThreadTime;
use std::time::Duration;

/// Ticks that a call may last beside four times its own, whatever it has used of a processor.
const WAITING_TICKS_MAX: u64 = 200;

/// What one call may use, and what it has used. A guest that did nothing but wait for a processor is not to blame, so the
/// clock on the wall only stops what lasts many times as long.
pub(super) struct Deadline {
    allowed: Duration,
    ticks_max: u64,
    /// Ticks at which the call was seen.
    ticks: u64,
    /// The thread's processor time at the first of them; what was used before is less than a tick, and for free.
    since: Duration,
    /// Since then: the next tick will come.
    awake: Option<Awake>,
}

impl Deadline {
    /// Of a call that may use so many milliseconds of a processor.
    pub(super) fn after(milliseconds: u64) -> Self {
        Self {
            allowed: Duration::from_millis(milliseconds),
            ticks_max: Self::ticks_max(milliseconds),
            ticks: 0,
            since: Duration::ZERO,
            awake: None,
        }
    }

    fn ticks_max(milliseconds: u64) -> u64 {
        milliseconds.saturating_mul(4).saturating_add(WAITING_TICKS_MAX)
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
        let used = ThreadTime::now().as_duration();
        if self.ticks == 0 {
            self.since = used;
            self.awake = waker.hold();
        }
        self.ticks += 1;
        self.ticks > self.ticks_max || used.saturating_sub(self.since) >= self.allowed
    }
}
