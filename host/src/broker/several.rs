//! The way from a queue to several receivers that compete for it. Each time another one comes first, and none takes more than
//! its part of what waits while others would take some: a burst goes to all of them.

use super::consuming::Consuming;
use super::handout::Drained;
use super::mailbox::{Mailbox, Outlet, State};
use crate::dialogue::Closed;
use crate::message::Time;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// See the head of this file.
pub struct Several {
    outlets: Vec<Arc<dyn Outlet>>,
    turn: Mutex<usize>,
    mailbox: Weak<Mailbox>,
}

/// How what waits is being shared out.
#[derive(Debug, Default)]
pub struct Sharing {
    /// It is: each receiver stops when it has its part.
    is_on: bool,
    /// This is not the first round.
    is_again: bool,
    /// Receivers that had their part and would have taken more. Whoever shares out comes back to them.
    wanting: usize,
}

impl Several {
    /// The way to these.
    pub fn new(outlets: Vec<Arc<dyn Outlet>>, mailbox: Weak<Mailbox>) -> Self {
        Self { outlets, turn: Mutex::new(0), mailbox }
    }

    fn in_turn(&self) -> impl Iterator<Item = &Arc<dyn Outlet>> {
        let first = {
            let mut turn = self.turn.lock();
            *turn = (*turn + 1) % self.outlets.len().max(1);
            *turn
        };
        self.outlets[first..].iter().chain(&self.outlets[..first])
    }
}

impl Outlet for Several {
    fn flush(&self, now: Time) {
        let Some(mailbox) = self.mailbox.upgrade() else { return };
        // One entry is one receiver's.
        if mailbox.depth() > 1 {
            mailbox.lock().begin_sharing();
        }
        loop {
            for outlet in self.in_turn() {
                outlet.flush(now);
                // Whoever comes behind would find nothing.
                if mailbox.lock().is_shared_out() {
                    return;
                }
            }
            if !mailbox.lock().shares_the_rest() {
                return;
            }
        }
    }

    fn wake(&self) {
        self.in_turn().for_each(|outlet| outlet.wake());
    }

    fn close(&self, why: Closed) {
        self.outlets.iter().for_each(|outlet| outlet.close(why.clone()));
    }
}

impl State {
    fn begin_sharing(&mut self) {
        let takers = self.consuming.consumers.iter().filter(|one| one.takes()).count();
        if takers > 1 {
            self.share_out(takers, false);
        }
    }

    fn share_out(&mut self, takers: usize, is_again: bool) {
        let part = (self.queue.len() / takers).max(1);
        let consuming = self.consuming.change();
        consuming.consumers.iter_mut().for_each(|one| one.part = part);
        consuming.sharing = Sharing { is_on: true, is_again, wanting: 0 };
    }

    /// Whether nothing is left. Who wanted more looks once again: it may have to say that there is nothing.
    fn is_shared_out(&mut self) -> bool {
        let Sharing { is_again, wanting, .. } = self.consuming.sharing;
        let is_over = !is_again && wanting == 0 && self.has_nothing();
        if is_over {
            self.end_sharing();
        }
        is_over
    }

    /// What is left goes to those who want more; false: nobody does.
    fn shares_the_rest(&mut self) -> bool {
        let wanting = self.consuming.sharing.wanting;
        match wanting {
            0 => self.end_sharing(),
            _ => self.share_out(wanting, true),
        }
        wanting > 0
    }

    /// In one step with the last look at who wants more, so that nobody is left behind.
    fn end_sharing(&mut self) {
        if let Some(consuming) = self.consuming.changed() {
            consuming.sharing = Sharing::default();
        }
    }

    /// A receiver took an entry: whether that was the last of its part, and there is more.
    pub fn has_its_part(&mut self, at: usize, drained: &mut Drained) -> bool {
        if !self.consuming.sharing.is_on {
            return false;
        }
        let is_empty = self.queue.is_empty();
        let Consuming { consumers, sharing, .. } = self.consuming.change();
        let consumer = &mut consumers[at];
        consumer.part = consumer.part.saturating_sub(1);
        drained.has_its_part = consumer.part == 0 && consumer.takes() && !is_empty;
        sharing.wanting += usize::from(drained.has_its_part);
        drained.has_its_part
    }
}
