//! The way from a queue to several receivers that compete for it. Each time another one comes first, and none takes more than
//! its part of what waits while others would take some: a burst goes to all of them.
//!
//! Whoever has filled the queue goes round, and comes back to those who want more. Receivers that are woken (the disk has
//! written what waits, a page was read, a module has answered) come each on its own: who has its part then wakes itself for the
//! next, and others come between.

use super::consuming::Consuming;
use super::handout::Drained;
use super::mailbox::{Mailbox, Outlet, State};
use crate::dialogue::Closed;
use crate::message::Time;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// Who was woken takes a fraction of its part each time that it comes again, as some of the others may have no credit,
const AGAIN: usize = 4;
/// but no fewer than these: each time is a turn of its connection, and a write. Those who choose take no more.
const PORTION: usize = 16;

/// See the head of this file.
pub struct Several {
    outlets: Vec<Arc<dyn Outlet>>,
    turn: Mutex<usize>,
    mailbox: Weak<Mailbox>,
}

/// How what waits is being shared out.
#[derive(Debug, Default)]
pub struct Sharing {
    /// Somebody goes round: each receiver stops when it has its part.
    is_led: bool,
    /// Receivers that had their part and would have taken more. Whoever makes that 0 comes back to all that are there.
    wanting: usize,
    /// Receivers were woken: where nobody goes round each wakes itself when it has its part, and so much is its next one. 0:
    /// they were not.
    portion: usize,
}

impl Several {
    /// The way to these.
    pub fn new(outlets: Vec<Arc<dyn Outlet>>, mailbox: Weak<Mailbox>) -> Self {
        Self { outlets, turn: Mutex::new(0), mailbox }
    }

    fn is(&self, outlet: &Arc<dyn Outlet>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(outlet), self)
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
        let mut is_again = false;
        loop {
            for outlet in self.in_turn() {
                outlet.flush(now);
                // Whoever comes behind would find nothing. Who wanted more looks once again: it may have to say that.
                if !is_again && mailbox.lock().is_shared_out() {
                    return;
                }
            }
            let next = mailbox.lock().shares_the_rest(self);
            match next {
                Some(next) if self.is(&next) => is_again = true,
                Some(next) => return next.flush(now),
                None => return,
            }
        }
    }

    fn wake(&self) {
        if let Some(mailbox) = self.mailbox.upgrade()
            && mailbox.depth() > 1
        {
            mailbox.lock().begin_portions();
        }
        self.in_turn().for_each(|outlet| outlet.wake());
    }

    fn close(&self, why: Closed) {
        self.outlets.iter().for_each(|outlet| outlet.close(why.clone()));
    }
}

impl State {
    fn begin_sharing(&mut self) {
        let takers = self.takers();
        if takers > 1 {
            // Another one may be going round, and not know all of them.
            self.share_out(takers, self.consuming.sharing.wanting);
        }
    }

    fn begin_portions(&mut self) {
        let takers = self.takers();
        if takers > 1 {
            let part = self.part(takers);
            let consuming = self.consuming.change();
            consuming.sharing.portion = (part / AGAIN).max(PORTION);
            if !consuming.sharing.is_led {
                consuming.consumers.iter_mut().for_each(|one| one.part = part);
            }
        }
    }

    fn takers(&self) -> usize {
        self.consuming.consumers.iter().filter(|one| one.takes()).count()
    }

    /// What each takes at once. Where some want not everything nobody knows how much of it they want: it is little.
    fn part(&self, takers: usize) -> usize {
        let picks = self.consuming.consumers.iter().any(|one| one.takes() && one.predicate.is_some());
        let most = if picks { PORTION } else { usize::MAX };
        (self.queue.len() / takers).clamp(1, most)
    }

    fn share_out(&mut self, takers: usize, wanting: usize) {
        let part = self.part(takers);
        let Consuming { consumers, sharing, .. } = self.consuming.change();
        consumers.iter_mut().for_each(|one| one.part = part);
        *sharing = Sharing { is_led: true, wanting, ..*sharing };
    }

    /// Whether nothing is left, and nobody wants it.
    fn is_shared_out(&mut self) -> bool {
        let is_over = self.consuming.sharing.wanting == 0 && self.has_nothing();
        if is_over {
            self.end_sharing();
        }
        is_over
    }

    /// What is left goes to those who want more, by this way: another one begins anew with those who are there now. None: nobody
    /// wants more.
    fn shares_the_rest(&mut self, leader: &Several) -> Option<Arc<dyn Outlet>> {
        let wanting = self.consuming.sharing.wanting;
        self.end_sharing();
        let next = self.outlet.clone().filter(|_| wanting > 0)?;
        if leader.is(&next) {
            self.share_out(wanting, 0);
        }
        Some(next)
    }

    /// In one step with the last look at who wants more, so that nobody is left behind.
    fn end_sharing(&mut self) {
        if let Some(Consuming { sharing, .. }) = self.consuming.changed() {
            (sharing.is_led, sharing.wanting) = (false, 0);
        }
    }

    /// A receiver has found nothing for it: those who were woken need not leave each other anything.
    pub fn end_portions(&mut self, at: usize) {
        let Consuming { consumers, sharing, .. } = self.consuming.change();
        if consumers[at].takes() {
            sharing.portion = 0;
        }
    }

    /// A receiver took an entry: whether that was the last of its part, and there is more.
    pub fn has_its_part(&mut self, at: usize, drained: &mut Drained) -> bool {
        let Sharing { is_led, portion, .. } = self.consuming.sharing;
        if !is_led && portion == 0 {
            return false;
        }
        let is_empty = self.queue.is_empty();
        let Consuming { consumers, sharing, .. } = self.consuming.change();
        let consumer = &mut consumers[at];
        consumer.part = consumer.part.saturating_sub(1);
        let stops = consumer.part == 0 && consumer.takes() && !is_empty;
        match is_led {
            _ if is_empty => sharing.portion = 0,
            true if stops => {
                sharing.wanting += 1;
                drained.has_its_part = true;
            }
            false if stops => {
                consumer.part = portion;
                drained.goes_on = Some(consumer.outlet.clone());
            }
            _ => {}
        }
        stops
    }
}
