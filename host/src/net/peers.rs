//! AMQP connections, each of which is to be told when the broker goes: MQTT's are told by way of their sessions, but an AMQP
//! connection may have no receiving link, or no link at all.

use super::outlet::Outlet;
use crate::broker::Outlet as _;
use crate::dialogue::Closed;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// See the head of this file.
#[derive(Default)]
pub struct Peers(Mutex<Known>);

#[derive(Default)]
struct Known {
    outlets: Vec<Weak<Outlet>>,
    /// At this length those that are gone are taken out.
    sweep_at: usize,
}

/// Connections below which nothing is taken out.
const SWEEP_MIN: usize = 64;

impl Peers {
    /// Adds one.
    pub fn add(&self, outlet: &Arc<Outlet>) {
        let mut known = self.0.lock();
        if known.outlets.len() >= known.sweep_at {
            known.outlets.retain(|outlet| outlet.strong_count() > 0);
            known.sweep_at = (known.outlets.len() * 2).max(SWEEP_MIN);
        }
        known.outlets.push(Arc::downgrade(outlet));
    }

    /// Tells all that are there.
    pub fn close_all(&self, why: &Closed) {
        let outlets = std::mem::take(&mut self.0.lock().outlets);
        outlets.iter().filter_map(Weak::upgrade).for_each(|outlet| outlet.close(why.clone()));
    }
}
