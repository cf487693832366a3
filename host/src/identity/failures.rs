//! Wrong proofs by address: the more of them came lately, the longer the next refusal takes. Whoever proves who it is does
//! not wait, so that nobody is kept out by what others behind the same address do.

use super::settings::Limits;
use crate::message::Time;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Refusals that take no longer than they have to.
const FREE: u32 = 10;
/// How long the first one takes after that; each next one takes twice as long.
const FIRST_MILLISECONDS: u64 = 50;
/// An address is forgotten after so much time without a wrong proof.
const FORGOTTEN_SECONDS: u32 = 60;

/// Something to do when a refusal has taken long enough.
type Tell = Box<dyn FnOnce() + Send>;

/// The table, bounded by `failing_addresses_max`, and the refusals that wait: no more than there are connections whose
/// clients have not come in.
pub(super) struct Failures {
    late: Mutex<BTreeMap<(Time, u64), Tell>>,
    /// Tells those apart that are due at the same time.
    next: AtomicU64,
    table: Mutex<HashMap<IpAddr, (u32, Time)>>,
    addresses_max: usize,
    delay_max: u64,
}

impl Failures {
    pub fn new(limits: &Limits) -> Self {
        let Limits { failing_addresses_max, failure_delay_milliseconds_max, .. } = limits;
        Self {
            late: Mutex::default(),
            next: AtomicU64::new(0),
            table: Mutex::default(),
            addresses_max: *failing_addresses_max,
            delay_max: *failure_delay_milliseconds_max,
        }
    }

    /// Calls `tell` when that time has come.
    pub fn later(&self, at: Time, tell: Tell) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.late.lock().insert((at, number), tell);
    }

    /// Calls what is due.
    pub fn tick(&self, now: Time) {
        let due = {
            let mut late = self.late.lock();
            let waiting = late.split_off(&(Time(now.0 + 1), 0));
            std::mem::replace(&mut *late, waiting)
        };
        due.into_values().for_each(|tell| tell());
    }

    /// Counts a wrong proof; how long its refusal is to take.
    pub fn note(&self, from: IpAddr, now: Time) -> Duration {
        if self.delay_max == 0 {
            return Duration::ZERO;
        }
        let from = network(from);
        let mut table = self.table.lock();
        if table.len() >= self.addresses_max && !table.contains_key(&from) {
            table.retain(|_, (_, last)| last.plus_seconds(FORGOTTEN_SECONDS) > now);
            if table.len() >= self.addresses_max {
                // Nothing is known of it, and there is an attack.
                return Duration::from_millis(self.delay_max);
            }
        }
        let (count, last) = table.entry(from).or_insert((0, now));
        if last.plus_seconds(FORGOTTEN_SECONDS) <= now {
            *count = 0;
        }
        *last = now;
        *count = count.saturating_add(1);
        match count.checked_sub(FREE + 1) {
            None => Duration::ZERO,
            Some(doublings) => Duration::from_millis((FIRST_MILLISECONDS << doublings.min(20)).min(self.delay_max)),
        }
    }
}

/// What counts as one address, wherever something is counted by address: of IPv6 the part that one customer has, and IPv4
/// however it is written.
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(addresses: usize) -> Failures {
        let limits =
            Limits { failing_addresses_max: addresses, failure_delay_milliseconds_max: 1000, ..Limits::default() };
        Failures::new(&limits)
    }

    #[test]
    fn refusals_take_longer_and_longer_up_to_a_bound_and_are_forgotten() {
        let failures = failures(10);
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        let delays: Vec<u128> = (0..18).map(|_| failures.note(ip, Time(1_000)).as_millis()).collect();
        assert_eq!(delays[..10], [0; 10]);
        assert_eq!(delays[10..], [50, 100, 200, 400, 800, 1000, 1000, 1000]);
        assert_eq!(failures.note("192.0.2.2".parse().unwrap(), Time(1_000)), Duration::ZERO, "another address");
        assert_eq!(failures.note(ip, Time(1_000).plus_seconds(61)), Duration::ZERO, "forgotten");
    }

    #[test]
    fn what_is_late_is_told_when_its_time_has_come() {
        let (failures, (tell, told)) = (failures(1), std::sync::mpsc::channel());
        for at in [30, 10, 10, 20] {
            let tell = tell.clone();
            failures.later(Time(at), Box::new(move || tell.send(at).unwrap()));
        }
        for (now, expected) in [(9, vec![]), (10, vec![10, 10]), (25, vec![20]), (30, vec![30]), (90, vec![])] {
            failures.tick(Time(now));
            assert_eq!(told.try_iter().collect::<Vec<_>>(), expected, "at {now}");
        }
    }

    #[test]
    fn the_table_is_bounded_and_a_network_of_ipv6_is_one_address() {
        let failures = failures(2);
        for host in 0..20 {
            let ip: IpAddr = format!("2001:db8::{host}").parse().unwrap();
            assert_eq!(failures.note(ip, Time(0)).is_zero(), host < 10);
        }
        assert_eq!(failures.note("192.0.2.1".parse().unwrap(), Time(0)), Duration::ZERO);
        assert_eq!(failures.note("192.0.2.2".parse().unwrap(), Time(0)), Duration::from_secs(1), "there is no room");
        assert_eq!(failures.table.lock().len(), 2);
        assert_eq!(failures.note("192.0.2.2".parse().unwrap(), Time(0).plus_seconds(61)), Duration::ZERO);
    }
}
