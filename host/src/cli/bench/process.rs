//! What a process of this machine has cost so far, from Linux's `/proc`: CPU time and resident memory.

use crate::cli::Failure;
use std::fs;

/// Nanoseconds of a tick of `/proc/PID/stat`: `USER_HZ`, 100 a second on every architecture that Rust's standard library
/// supports (proc(5)).
const TICK: u64 = 10_000_000;

/// How far times in ticks may be ahead of exact ones: user and system time are each cut off to whole ticks.
const TICKS_OFF: u64 = 2;

/// One process, without its children.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process(pub u32);

/// One look at a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    /// CPU time of all threads that ever were, in nanoseconds, in steps of a tick.
    coarse: u64,
    /// CPU time of the threads that are, in nanoseconds; none: the kernel does not tell.
    exact: Option<u64>,
    /// Resident memory in bytes.
    pub resident: u64,
}

impl Process {
    /// Looks at it; an error where there is no such process, or no `/proc`.
    pub fn look(self) -> Result<Usage, Failure> {
        let read = |name: &str| {
            let path = format!("/proc/{}/{name}", self.0);
            fs::read_to_string(&path)
                .map_err(|error| Failure::Failed(format!("--pid {}: {path}: {error} (Linux only)", self.0)))
        };
        let odd = || Failure::Failed(format!("--pid {}: /proc says something unknown of it", self.0));
        let coarse = ticks(&read("stat")?).ok_or_else(odd)? * TICK;
        let resident = resident(&read("status")?).ok_or_else(odd)?;
        Ok(Usage { coarse, exact: self.exact(), resident })
    }

    /// The sum over its threads.
    fn exact(self) -> Option<u64> {
        let mut sum = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.0)).ok()? {
            // A thread that has just ended is missed on the coarse clock only.
            let Ok(text) = fs::read_to_string(thread.ok()?.path().join("schedstat")) else { continue };
            sum += text.split(' ').next()?.parse::<u64>().ok()?;
        }
        (sum > 0).then_some(sum)
    }
}

impl Usage {
    /// Microseconds of CPU since an earlier look: exact ones, unless threads have ended and taken theirs with them.
    pub fn micros_since(&self, earlier: &Self) -> f64 {
        let coarse = self.coarse.saturating_sub(earlier.coarse);
        let exact = self.exact.zip(earlier.exact).and_then(|(now, then)| now.checked_sub(then));
        let spent = exact.filter(|exact| exact + TICKS_OFF * TICK >= coarse).unwrap_or(coarse);
        spent as f64 / 1e3
    }
}

/// `utime` and `stime`, fields 14 and 15. Field 2 is a name, which may hold anything, in brackets.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// `VmRSS`, which is in KiB.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says_is_read() {
        let stat = "17 (a) b (c) S 1 17 17 0 -1 4194560 100 0 0 0 250 31 9 9 20 0 3 0 1 1 1";
        assert_eq!(ticks(stat), Some(281));
        assert_eq!(resident("Name:\ta\nVmRSS:\t    2048 kB\nThreads:\t3\n"), Some(2 << 20));
        for odd in ["", "17 (a", "17 (a) S 1 2"] {
            assert_eq!((ticks(odd), resident(odd)), (None, None), "{odd}");
        }
    }

    #[test]
    fn exact_time_counts_unless_a_thread_took_its_own_away() {
        let usage = |ticks: u64, exact| Usage { coarse: ticks * TICK, exact, resident: 0 };
        let start = usage(10, Some(105_000_000));
        for (now, micros) in [
            (usage(12, Some(126_500_000)), 21_500.0),
            (usage(30, Some(106_000_000)), 200_000.0),
            (usage(30, Some(1_000)), 200_000.0),
            (usage(30, None), 200_000.0),
        ] {
            assert_eq!(now.micros_since(&start), micros, "{now:?}");
        }
    }
}
