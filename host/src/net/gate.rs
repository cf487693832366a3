//! Who may come in while how many others are there: bounds on connections that hold before anything is known of a client.

use super::Limits;
use super::seldom::Seldom;
use crate::identity::network;
use crate::metrics::Metrics;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Why a connection is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Crowded {
    /// [`Limits::connections_max`].
    #[error("too many connections")]
    Total,
    /// [`Limits::connections_per_address_max`].
    #[error("too many connections from one address")]
    Address,
    /// [`Limits::unauthenticated_max`].
    #[error("too many connections that have not said who they are")]
    Unauthenticated,
    /// [`Limits::unauthenticated_bytes_max`], and the common reserve is used up.
    #[error("too many bytes before it said who it is")]
    Bytes,
}

/// See the head of this file. One for all threads.
pub struct Gate {
    limits: Limits,
    metrics: Arc<Metrics>,
    open: AtomicUsize,
    unauthenticated: AtomicUsize,
    /// Bytes of the common reserve that are lent.
    lent: AtomicUsize,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    bucket: Mutex<Bucket>,
    turned_away: Mutex<Seldom>,
}

/// Connections that may be accepted now, refilled as time goes by.
struct Bucket {
    accepts: f64,
    filled: Instant,
}

/// Descriptors that connections leave for the store, the admin API and the listeners; of few: half.
const FILES_RESERVED: u64 = 128;

/// How many connections there may be: as configured, and as many as the system lets this process have files. Asks for as
/// many files as it may.
pub fn connections_max(wanted: usize) -> usize {
    // Where more cannot be had, those that there are have to do.
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(u64::MAX);
    let most = usize::try_from(files - FILES_RESERVED.min(files / 2)).unwrap_or(usize::MAX);
    if most < wanted && most < 10_000 {
        tracing::warn!(
            connections = most,
            files,
            "the system's bound on open files bounds connections: raise it (ulimit -n, LimitNOFILE=)"
        );
    }
    wanted.min(most)
}

impl Gate {
    /// Nobody is there.
    pub fn new(limits: Limits, metrics: Arc<Metrics>) -> Self {
        let bucket = Bucket { accepts: f64::from(limits.accepts_per_second_max), filled: Instant::now() };
        Self {
            limits,
            metrics,
            open: AtomicUsize::new(0),
            unauthenticated: AtomicUsize::new(0),
            lent: AtomicUsize::new(0),
            addresses: Mutex::default(),
            bucket: Mutex::new(bucket),
            turned_away: Mutex::default(),
        }
    }

    /// How long to wait before one more is accepted; none: not at all. What waits stays in the system's queue.
    pub fn pace(&self, now: Instant) -> Option<Duration> {
        let rate = f64::from(self.limits.accepts_per_second_max);
        let mut bucket = self.bucket.lock();
        let refill = now.saturating_duration_since(bucket.filled).as_secs_f64() * rate;
        bucket.accepts = (bucket.accepts + refill).min(rate);
        bucket.filled = now;
        bucket.accepts -= 1.0;
        (bucket.accepts < 0.0).then(|| Duration::from_secs_f64(-bucket.accepts / rate))
    }

    /// Lets one in; none as address: over a Unix socket, or from a load balancer, whose header is still to come.
    ///
    /// # Errors
    /// Which bound is reached. It is counted, and logged now and then.
    pub fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Ticket, Crowded> {
        self.enter(address).inspect_err(|crowded| self.refuse(*crowded, address, Instant::now()))
    }

    fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Ticket, Crowded> {
        let mut ticket =
            Ticket { gate: self.clone(), address: None, in_total: false, outside: false, lent: 0, bytes: 0 };
        ticket.in_total = take(&self.open, self.limits.connections_max);
        if !ticket.in_total {
            return Err(Crowded::Total);
        }
        ticket.outside = take(&self.unauthenticated, self.limits.unauthenticated_max);
        if !ticket.outside {
            return Err(Crowded::Unauthenticated);
        }
        ticket.settle_at(address)?;
        Ok(ticket)
    }

    fn refuse(&self, crowded: Crowded, address: Option<IpAddr>, now: Instant) {
        self.metrics.connections_refused_total.add(1);
        if let Some(connections) = self.turned_away.lock().next(now) {
            let connections_max = self.limits.connections_max;
            tracing::warn!(reason = %crowded, ?address, connections, connections_max, "connections are turned away");
        }
    }
}

/// Adds one, unless there are so many.
fn take(count: &AtomicUsize, most: usize) -> bool {
    let next = |count: usize| (count < most).then_some(count + 1);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
}

/// One connection's place. It is free again when this is dropped.
pub struct Ticket {
    gate: Arc<Gate>,
    address: Option<IpAddr>,
    in_total: bool,
    /// It has not said who it is.
    outside: bool,
    /// Bytes of the common reserve.
    lent: usize,
    /// Bytes that it sent before it said who it is.
    bytes: usize,
}

impl Ticket {
    /// Whether the client has not said who it is yet.
    pub fn is_outside(&self) -> bool {
        self.outside
    }

    /// The client has said who it is and is in.
    pub fn let_in(&mut self) {
        if std::mem::take(&mut self.outside) {
            self.gate.unauthenticated.fetch_sub(1, Ordering::Relaxed);
            self.give_back();
        }
    }

    /// What it had of the common reserve is there for others.
    pub fn give_back(&mut self) {
        self.gate.lent.fetch_sub(std::mem::take(&mut self.lent), Ordering::Relaxed);
    }

    /// Counts bytes of one that has not said who it is. What is more than each may send comes out of a reserve for all.
    ///
    /// # Errors
    /// [`Crowded::Bytes`].
    pub fn charge(&mut self, count: usize) -> Result<(), Crowded> {
        let limits = &self.gate.limits;
        self.bytes += count;
        let more = self.bytes.saturating_sub(limits.unauthenticated_bytes_max).saturating_sub(self.lent);
        if !self.outside || more == 0 {
            return Ok(());
        }
        let most = limits.unauthenticated_reserve_bytes;
        let next = |lent: usize| lent.checked_add(more).filter(|lent| *lent <= most);
        if self.gate.lent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_err() {
            self.gate.refuse(Crowded::Bytes, self.address, Instant::now());
            return Err(Crowded::Bytes);
        }
        self.lent += more;
        Ok(())
    }

    /// The real address was read off a PROXY header.
    ///
    /// # Errors
    /// [`Crowded::Address`].
    pub fn comes_from(&mut self, address: IpAddr) -> Result<(), Crowded> {
        self.leave_address();
        let settled = self.settle_at(Some(address));
        if let Err(crowded) = settled {
            self.gate.refuse(crowded, Some(address), Instant::now());
        }
        settled
    }

    fn settle_at(&mut self, address: Option<IpAddr>) -> Result<(), Crowded> {
        let Some(address) = address.map(network) else { return Ok(()) };
        let most = self.gate.limits.connections_per_address_max;
        let mut addresses = self.gate.addresses.lock();
        let count = addresses.entry(address).or_default();
        if *count >= most {
            return Err(Crowded::Address);
        }
        *count += 1;
        self.address = Some(address);
        Ok(())
    }

    fn leave_address(&mut self) {
        let Some(address) = self.address.take() else { return };
        let mut addresses = self.gate.addresses.lock();
        if let Some(count) = addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address);
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.let_in();
        self.leave_address();
        if self.in_total {
            self.gate.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(limits: Limits) -> Arc<Gate> {
        Arc::new(Gate::new(limits, Arc::default()))
    }

    fn ip(last: u8) -> Option<IpAddr> {
        Some([10, 0, 0, last].into())
    }

    #[test]
    fn each_bound_turns_away_and_lets_in_again() {
        let limits = Limits { connections_max: 3, connections_per_address_max: 2, ..Limits::default() };
        let gate = gate(limits);
        let first = gate.admit(ip(1)).ok();
        let _second = gate.admit(ip(1)).ok();
        assert_eq!(gate.admit(ip(1)).err(), Some(Crowded::Address));
        let mapped = Some("::ffff:10.0.0.1".parse().unwrap());
        assert_eq!(gate.admit(mapped).err(), Some(Crowded::Address), "one address, however it is written");
        let _unix = gate.admit(None).unwrap_or_else(|_| panic!("it has no address"));
        assert_eq!(gate.admit(ip(2)).err(), Some(Crowded::Total));
        assert_eq!(gate.metrics.connections_refused_total.get(), 3);
        drop(first);
        assert!(gate.admit(ip(1)).is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let gate = gate(Limits { connections_per_address_max: 2, ..Limits::default() });
        let from = |ip: &str| gate.admit(Some(ip.parse().unwrap()));
        let _two = (from("2001:db8:0:1::1").ok().unwrap(), from("2001:db8:0:1:ffff::2").ok().unwrap());
        assert_eq!(from("2001:db8:0:1:2:3:4:5").err(), Some(Crowded::Address));
        assert!(from("2001:db8:0:2::1").is_ok(), "another customer");
    }

    #[test]
    fn those_who_are_in_make_room_for_those_who_are_not() {
        let gate = gate(Limits { unauthenticated_max: 1, ..Limits::default() });
        let mut first = gate.admit(ip(1)).ok().unwrap();
        assert_eq!(gate.admit(ip(2)).err(), Some(Crowded::Unauthenticated));
        first.let_in();
        first.let_in();
        let second = gate.admit(ip(2)).ok();
        assert!(second.is_some());
        drop(second);
        drop(first);
        assert!(gate.addresses.lock().is_empty());
        assert_eq!((gate.open.load(Ordering::Relaxed), gate.unauthenticated.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn bytes_above_what_each_may_send_come_out_of_a_reserve() {
        let limits = Limits { unauthenticated_bytes_max: 100, unauthenticated_reserve_bytes: 50, ..Limits::default() };
        let gate = gate(limits);
        let (mut first, mut second) = (gate.admit(ip(1)).ok().unwrap(), gate.admit(ip(2)).ok().unwrap());
        assert_eq!(first.charge(140), Ok(()));
        assert_eq!(second.charge(100), Ok(()));
        assert_eq!(second.charge(11), Err(Crowded::Bytes));
        first.let_in();
        assert_eq!(first.charge(1_000_000), Ok(()), "who is in is not counted");
        assert_eq!(second.charge(1), Ok(()), "what the first one had is free again");
    }

    #[test]
    fn the_address_of_a_header_counts() {
        let gate = gate(Limits { connections_per_address_max: 1, ..Limits::default() });
        let mut first = gate.admit(None).ok().unwrap();
        let mut second = gate.admit(None).unwrap_or_else(|_| panic!("nobody knows yet where it comes from"));
        assert_eq!(first.comes_from([1, 2, 3, 4].into()), Ok(()));
        assert_eq!(second.comes_from([1, 2, 3, 4].into()), Err(Crowded::Address));
    }

    #[test]
    fn those_who_are_turned_away_are_told_of_once_in_a_while_with_their_number() {
        let (mut turned_away, start) = (Seldom::default(), Instant::now());
        let told: Vec<_> = [0, 1, 9_999, 10_000, 10_001, 30_000]
            .map(|after| turned_away.next(start + Duration::from_millis(after)))
            .into_iter()
            .collect();
        assert_eq!(told, [Some(1), None, None, Some(3), None, Some(2)]);
    }

    #[test]
    fn accepts_are_spread_over_time() {
        let gate = gate(Limits { accepts_per_second_max: 10, ..Limits::default() });
        let start = Instant::now();
        let waits: Vec<_> = (0..12).map(|_| gate.pace(start)).collect();
        assert!(waits[..10].iter().all(Option::is_none), "a second's worth at once");
        assert!(waits[11].is_some_and(|wait| wait > Duration::from_millis(150)), "{waits:?}");
        assert_eq!(gate.pace(start + Duration::from_secs(2)), None);
    }
}
