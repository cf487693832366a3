//! What a client had sent before its connection ends counts, its goodbye above all, whether it was read by then or not, and
//! whatever held it up: before somebody takes its place, and where it cannot be written to any more.

use super::connection::{Connection, MAKE_WAY_PATIENCE, Turn};
use super::ending::End;
use super::machine::Machine;
use crate::broker;
use crate::message::Time;
use crate::mqtt::find_goodbye;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How often it is read on.
const READS_ON_MAX: usize = 64;
/// For how long modules, a full queue or the disk hold it up while somebody waits for the place, who takes it a little later.
const HELD_UP_MAX: Duration = Duration::from_millis(1_500);
const _: () = assert!(HELD_UP_MAX.as_millis() < MAKE_WAY_PATIENCE.as_millis());
/// The same while nobody waits: as long as publishers wait for room, unless configured otherwise.
const HELD_UP_ALONE_MAX: Duration = Duration::from_secs(10);

impl Connection {
    /// Somebody comes with the same client id.
    pub(super) async fn make_way(&mut self) -> Result<(), End> {
        *self.way.change() = self.outlet.waiting_for_way();
        self.read_on(Instant::now() + HELD_UP_MAX).await?;
        self.way.clear();
        // Whoever waited may be gone, and what woke this meanwhile was not for what was read only.
        broker::Outlet::wake(&*self.outlet);
        Ok(())
    }

    /// Writing has failed: the system still has what the client had sent before (MQTT-3.14.4-3).
    pub(super) async fn last_words(&mut self) -> End {
        self.read_on(Instant::now() + HELD_UP_ALONE_MAX).await.err().unwrap_or(End::Lost)
    }

    /// Works off what the client has sent so far.
    async fn read_on(&mut self, mut until: Instant) -> Result<(), End> {
        let mut found = true;
        for _ in 0..READS_ON_MAX {
            // The runtime looks at the socket before it comes back here; what was read made room for more.
            tokio::task::yield_now().await;
            if !self.is_free_by(&mut until).await? {
                return self.take_goodbye();
            }
            let now = self.context.clock.now();
            if self.fault.is_some() {
                break;
            }
            if self.held_back {
                self.go_on(now)?;
                found = true;
                continue;
            }
            match poll_fn(|task| Poll::Ready(self.poll_socket(task))).await {
                Poll::Ready(Turn::Bytes(count)) => {
                    self.bytes(now, count)?;
                    found = true;
                }
                Poll::Ready(_) => return Err(End::Lost),
                Poll::Pending if found => found = false,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Waits until it may be read on; false: that takes too long, or is up to the client.
    async fn is_free_by(&mut self, until: &mut Instant) -> Result<bool, End> {
        loop {
            let now = self.context.clock.now();
            self.context.begin_turn(now);
            // At first too: what it waits for may have come before anybody waited here.
            self.look_for_what_holds_up(now)?;
            if self.reads() {
                return Ok(true);
            }
            if self.admission.waits() || self.outlet.is_congested() || Instant::now() >= *until {
                return Ok(false);
            }
            let at = self.retry.map_or(*until, |retry| retry.min(*until));
            // What it says does not matter: both are looked at.
            let _ = timeout_at(at, poll_fn(|task| self.outlet.poll_woken(task))).await;
            let signals = self.outlet.signals();
            if let Some(why) = signals.close {
                return Err(End::Closed(why));
            }
            if signals.make_way {
                self.way.change().append(&mut self.outlet.waiting_for_way());
                *until = (*until).min(Instant::now() + HELD_UP_MAX);
            }
        }
    }

    fn look_for_what_holds_up(&mut self, now: Time) -> Result<(), End> {
        match &self.machine {
            _ if self.reads() => Ok(()),
            Machine::Amqp(_) => self.amqp_woken(now),
            _ if self.link.is_parked() => self.resume(now),
            _ => self.flush(now),
        }
    }

    /// What was held up for too long is given up, and what came behind it: nobody was promised anything for it. A goodbye behind it
    /// counts all the same.
    fn take_goodbye(&mut self) -> Result<(), End> {
        if !matches!(self.machine, Machine::Mqtt(_)) || !self.link.is_parked() {
            return Ok(());
        }
        let Some(at) = find_goodbye(&self.partial) else { return Ok(()) };
        self.context.broker.give_up(&mut self.link);
        self.partial.drain(..at);
        self.partial_packets(self.context.clock.now())
    }
}
