//! How often a version was asked, how often it failed and how long it took: written by one thread without a lock, read
//! by anybody.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which function of a module is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Hook {
    PublishTopic,
    SubscribeFilter,
    DeliverName,
    Route,
    Retain,
    Replay,
    WillRegistered,
    WillDue,
    Authenticate,
    Authorize,
    Deliver,
    Events,
    Tick,
    ToAmqp,
    FromAmqp,
}

const HOOKS: [Hook; 15] = [
    Hook::PublishTopic,
    Hook::SubscribeFilter,
    Hook::DeliverName,
    Hook::Route,
    Hook::Retain,
    Hook::Replay,
    Hook::WillRegistered,
    Hook::WillDue,
    Hook::Authenticate,
    Hook::Authorize,
    Hook::Deliver,
    Hook::Events,
    Hook::Tick,
    Hook::ToAmqp,
    Hook::FromAmqp,
];

impl Hook {
    /// Whether the module may wait for servers outside meanwhile.
    pub(super) fn may_wait(self) -> bool {
        matches!(self, Self::Authenticate | Self::Tick)
    }

    /// Interface and function, as the contract names them.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::PublishTopic => "topic-mapping.publish-topic",
            Self::SubscribeFilter => "topic-mapping.subscribe-filter",
            Self::DeliverName => "topic-mapping.deliver-name",
            Self::Route => "routing.on-publish",
            Self::Retain => "retain-policy.on-publish",
            Self::Replay => "retain-policy.on-subscribe",
            Self::WillRegistered => "will-handling.on-register",
            Self::WillDue => "will-handling.on-departure",
            Self::Authenticate => "access.authenticate",
            Self::Authorize => "access.authorize",
            Self::Deliver => "delivery.on-deliver",
            Self::Events => "events.on-events",
            Self::Tick => "timers.on-tick",
            Self::ToAmqp => "translation.to-amqp",
            Self::FromAmqp => "translation.from-amqp",
        }
    }
}

/// Sub-buckets of each power of two: what is read off is right to within an eighth.
const SUB_BITS: u32 = 3;
const SUB: usize = 1 << SUB_BITS;
/// Enough for 2^36 ns, over a minute.
const BUCKETS: usize = SUB * 35;

/// Figures of one version on one thread, or of all threads that are gone.
#[derive(Default)]
pub(super) struct Meter {
    hooks: [OnceLock<Box<HookMeter>>; HOOKS.len()],
}

struct HookMeter {
    calls: AtomicU64,
    failures: AtomicU64,
    nanoseconds: AtomicU64,
    longest: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

/// Figures of one function of a module.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct HookFigures {
    /// Interface and function, such as `routing.on-publish`.
    pub hook: &'static str,
    /// Calls, the failed ones included.
    pub calls: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Time of all calls.
    pub seconds_total: f64,
    /// Half of the calls took no longer, give or take an eighth.
    pub p50_microseconds: f64,
    /// Of a hundred calls 99 took no longer, give or take an eighth.
    pub p99_microseconds: f64,
    /// The longest call.
    pub max_microseconds: f64,
}

impl HookMeter {
    fn answered(&self) -> u64 {
        self.calls.load(Ordering::Relaxed).saturating_sub(self.failures.load(Ordering::Relaxed))
    }

    fn new() -> Box<Self> {
        let buckets = [const { AtomicU64::new(0) }; BUCKETS];
        Box::new(Self {
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            buckets,
        })
    }
}

/// Adds where only one thread ever writes: no locked instruction.
fn add(to: &AtomicU64, n: u64) {
    to.store(to.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

/// Likewise.
fn raise(to: &AtomicU64, n: u64) {
    if n > to.load(Ordering::Relaxed) {
        to.store(n, Ordering::Relaxed);
    }
}

fn bucket(nanoseconds: u64) -> usize {
    let n = nanoseconds as usize;
    if n < SUB {
        return n;
    }
    let power = n.ilog2();
    let sub = (n >> (power - SUB_BITS)) & (SUB - 1);
    ((power - SUB_BITS + 1) as usize * SUB + sub).min(BUCKETS - 1)
}

/// The greatest value of a bucket, in nanoseconds.
fn upper(bucket: usize) -> u64 {
    if bucket < SUB {
        return bucket as u64;
    }
    let power = (bucket / SUB) as u32 + SUB_BITS - 1;
    let sub = (bucket % SUB) as u64;
    (1 << power) + ((sub + 1) << (power - SUB_BITS)) - 1
}

impl Meter {
    /// To be called by one thread only.
    pub(super) fn record(&self, hook: Hook, nanoseconds: u64, failed: bool) {
        let meter = self.hooks[hook as usize].get_or_init(HookMeter::new);
        add(&meter.calls, 1);
        add(&meter.failures, u64::from(failed));
        add(&meter.nanoseconds, nanoseconds);
        raise(&meter.longest, nanoseconds);
        add(&meter.buckets[bucket(nanoseconds)], 1);
    }

    /// Takes over what another one counted. To be called under a lock, on a meter that no thread records in.
    pub(super) fn absorb(&self, other: &Self) {
        for (to, from) in self.hooks.iter().zip(&other.hooks) {
            let Some(from) = from.get() else { continue };
            let to = to.get_or_init(HookMeter::new);
            let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
            add(&to.calls, read(&from.calls));
            add(&to.failures, read(&from.failures));
            add(&to.nanoseconds, read(&from.nanoseconds));
            raise(&to.longest, read(&from.longest));
            for (to, from) in to.buckets.iter().zip(&from.buckets) {
                add(to, read(from));
            }
        }
    }

    /// Calls of these functions that did not fail, roughly while one goes on.
    pub(super) fn answered(&self, hooks: &[Hook]) -> u64 {
        let counted = hooks.iter().filter_map(|hook| self.hooks[*hook as usize].get());
        counted.map(|meter| meter.answered()).sum()
    }

    /// What was counted, for each function that was called.
    pub(super) fn figures(&self) -> Vec<HookFigures> {
        let counted = HOOKS.iter().filter_map(|hook| Some((hook, self.hooks[*hook as usize].get()?)));
        counted.map(|(hook, meter)| meter.figures(hook.name())).collect()
    }
}

impl HookMeter {
    fn figures(&self, hook: &'static str) -> HookFigures {
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let counts: Vec<u64> = self.buckets.iter().map(read).collect();
        let sum: u64 = counts.iter().sum();
        let quantile = |percent: u64| {
            let wanted = (sum * percent).div_ceil(100);
            let mut seen = 0;
            let found = counts.iter().position(|count| {
                seen += count;
                seen >= wanted
            });
            upper(found.unwrap_or(0)).min(read(&self.longest)) as f64 / 1_000.0
        };
        HookFigures {
            hook,
            calls: read(&self.calls),
            failures: read(&self.failures),
            seconds_total: read(&self.nanoseconds) as f64 / 1e9,
            p50_microseconds: quantile(50),
            p99_microseconds: quantile(99),
            max_microseconds: read(&self.longest) as f64 / 1_000.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_within_an_eighth_of_the_value() {
        for n in [0, 1, 7, 8, 9, 15, 16, 100, 999, 5_000, 1_000_000, 5_000_000_000] {
            let upper = upper(bucket(n));
            assert!(upper >= n && upper - n <= n / 8, "{n} {upper}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_and_sums_survive_absorption() {
        let one = Meter::default();
        for n in 1..=100 {
            one.record(Hook::Route, n * 1_000, n == 7);
        }
        let sum = Meter::default();
        sum.absorb(&one);
        sum.absorb(&one);
        let figures = sum.figures();
        assert_eq!(figures.len(), 1);
        assert_eq!((figures[0].calls, figures[0].failures), (200, 2));
        assert!((45.0..60.0).contains(&figures[0].p50_microseconds), "{figures:?}");
        assert!((95.0..115.0).contains(&figures[0].p99_microseconds), "{figures:?}");
        assert!((99.9..100.1).contains(&figures[0].max_microseconds), "{figures:?}");
    }
}
