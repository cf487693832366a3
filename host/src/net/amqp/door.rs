//! The way from a mailbox to a link: tells the connection which of its links has something to send.

use crate::amqp::LinkId;
use crate::broker;
use crate::dialogue::Closed;
use crate::message::Time;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the links of one connection tell it, from any thread.
pub struct Bell {
    /// None: nobody will look again. A door holds the outlet in which this bell is, so what stood here then would keep the socket.
    ready: Mutex<Option<Vec<Arc<Door>>>>,
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

impl Default for Bell {
    fn default() -> Self {
        Self { ready: Mutex::new(Some(Vec::new())), ended: Mutex::default() }
    }
}

impl Bell {
    /// A link's way.
    pub fn door(self: &Arc<Self>, link: LinkId, outlet: Arc<dyn broker::Outlet>) -> Arc<Door> {
        Arc::new(Door { link, rung: AtomicBool::new(false), bell: self.clone(), outlet })
    }

    /// The links that have something to send, since the last time.
    pub fn ready(&self) -> Vec<Arc<Door>> {
        match &mut *self.ready.lock() {
            Some(ready) if !ready.is_empty() => std::mem::take(ready),
            _ => Vec::new(),
        }
    }

    /// The connection is over: whatever comes to a mailbox now, nobody looks.
    pub fn take_down(&self) {
        *self.ready.lock() = None;
    }

    /// The links that were ended by the hall, since the last time.
    pub fn ended(&self) -> Vec<(LinkId, Closed)> {
        std::mem::take(&mut *self.ended.lock())
    }
}

impl Door {
    /// Notes that there may be something to send.
    pub fn ring(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel)
            && let Some(ready) = &mut *self.bell.ready.lock()
        {
            ready.push(self.clone());
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

#[cfg(test)]
mod tests {
    use super::*;
    use broker::Outlet as _;

    struct Socket;

    impl broker::Outlet for Socket {
        fn flush(&self, _: Time) {}

        fn wake(&self) {}

        fn close(&self, _: Closed) {}
    }

    /// What a transaction gives back to its queue while the connection ends rings once more, of a receiver that has just left.
    #[test]
    fn who_rings_after_the_end_keeps_no_socket() {
        let (bell, socket) = (Arc::new(Bell::default()), Arc::new(Socket));
        let rope = Rope(bell.door(LinkId::of_nothing(), socket.clone()));
        rope.flush(Time(1));
        assert_eq!(bell.ready().len(), 1);
        rope.0.answered();
        bell.take_down();
        rope.flush(Time(1));
        drop(rope);
        assert_eq!(Arc::strong_count(&socket), 1);
    }
}
