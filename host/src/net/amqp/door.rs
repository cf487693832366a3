//! The way from a mailbox to a link: tells the connection which of its links has something to send.

use crate::amqp::LinkId;
use crate::broker;
use crate::dialogue::Closed;
use crate::message::Time;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the links of one connection tell it, from any thread.
#[derive(Default)]
pub struct Bell {
    ready: Mutex<Vec<Arc<Door>>>,
    ended: Mutex<Vec<(LinkId, Closed)>>,
}

/// See the head of this file.
pub struct Door {
    /// Which link.
    pub link: LinkId,
    /// It stands in the list of those that have something to send.
    rung: AtomicBool,
    bell: Arc<Bell>,
    outlet: Arc<dyn broker::Outlet>,
}

impl Bell {
    /// A link's way.
    pub fn door(self: &Arc<Self>, link: LinkId, outlet: Arc<dyn broker::Outlet>) -> Arc<Door> {
        Arc::new(Door { link, rung: AtomicBool::new(false), bell: self.clone(), outlet })
    }

    /// The links that have something to send, since the last time.
    pub fn ready(&self) -> Vec<Arc<Door>> {
        let mut ready = self.ready.lock();
        if ready.is_empty() { Vec::new() } else { std::mem::take(&mut *ready) }
    }

    /// The links that were ended by the hall, since the last time.
    pub fn ended(&self) -> Vec<(LinkId, Closed)> {
        std::mem::take(&mut *self.ended.lock())
    }
}

impl Door {
    /// Notes that there may be something to send.
    pub fn ring(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.bell.ready.lock().push(self.clone());
        }
    }

    /// Somebody looks now: whoever comes later has to ring again.
    pub fn answered(&self) {
        self.rung.store(false, Ordering::Release);
    }
}

/// The hall's hold on a door.
pub struct Rope(pub Arc<Door>);

impl broker::Outlet for Rope {
    fn flush(&self, now: Time) {
        self.0.ring();
        self.0.outlet.flush(now);
    }

    /// The task sees to what the link waits for, and rings then: nobody who sends now is to look at it again.
    fn wake(&self) {
        self.0.outlet.wake();
    }

    fn connection(&self) -> Option<u64> {
        self.0.outlet.connection()
    }

    fn close(&self, why: Closed) {
        // What is said of a client is said of all its links, and one that loses a link only attaches again.
        if matches!(why, Closed::ShuttingDown | Closed::Elsewhere(_) | Closed::ByOperator) {
            return self.0.outlet.close(why);
        }
        self.0.bell.ended.lock().push((self.0.link, why));
        self.0.outlet.wake();
    }
}
