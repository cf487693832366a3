//! What receivers say about deliveries, and publishers about exactly-once publications.

use super::attach::Link;
use super::window::{Phase, handle_of};
use super::worker::Worker;
use super::{Answer, Attachment, Broker};
use crate::dialogue::{Closed, Event, Handle, Settlement};
use crate::message::Guarantee;
use crate::store::Change;

impl Broker {
    /// A delivery is over. What waits behind it goes out at the end of the batch.
    pub(super) fn settle(&self, worker: &mut Worker, link: &Link, handle: Handle, how: Settlement) -> Answer {
        let Some(attachment) = &link.attachment else { return Answer::None };
        let mailbox = &attachment.mailbox;
        let mut state = mailbox.lock();
        let Some(place) = state.window.position(handle) else { return Answer::None };
        let Some(flight) = state.window.at(place) else { return Answer::None };
        let fits = match how {
            Settlement::Acknowledged => flight.queued.guarantee == Guarantee::AtLeastOnce,
            Settlement::Completed => flight.phase == Phase::Received,
            Settlement::Refused => flight.queued.guarantee == Guarantee::ExactlyOnce && flight.phase == Phase::Sent,
        };
        if !fits {
            return Answer::Say(0, Event::Closed(Closed::HandleMisused));
        }
        if let Some(queued) = state.window.settle_at(place) {
            queued.forget(mailbox.id, worker.later.changes());
        }
        mailbox.note_window(&state);
        if !state.touched && !state.has_nothing() {
            state.touched = true;
            worker.touched.extend(state.outlet.clone());
        }
        Answer::None
    }

    /// The receiver has an exactly-once delivery; it hears that it may forget the handle when that is on disk.
    pub(super) fn received(&self, link: &Link, handle: Handle) -> Answer {
        let Some(attachment) = &link.attachment else { return Answer::None };
        let mailbox = &attachment.mailbox;
        let mut state = mailbox.lock();
        let Some(flight) = state.window.get(handle) else {
            return Answer::Say(0, Event::Release(handle, false));
        };
        if flight.queued.guarantee != Guarantee::ExactlyOnce {
            return Answer::Say(0, Event::Closed(Closed::HandleMisused));
        }
        let is_new = flight.phase == Phase::Sent;
        flight.phase = Phase::Received;
        let after = match flight.queued.stored {
            // Whoever takes the connection's place is not told to forget it before that either.
            true if is_new => {
                flight.queued.after = self.store.submit([Change::QueuedReceived(mailbox.id, flight.queued.number)]);
                flight.queued.after
            }
            true => self.store.submitted(),
            false => 0,
        };
        Answer::Say(after, Event::Release(handle, true))
    }

    /// The publisher will not send an exactly-once publication again. The answer waits until that is on disk: the handle
    /// may be used anew after it.
    pub(super) fn release(&self, link: &Link, handle: Handle) -> Answer {
        let Some(attachment) = &link.attachment else { return Answer::None };
        let mailbox = &attachment.mailbox;
        let known = mailbox.lock().forget_seen(handle);
        let after = match mailbox.is_durable() {
            true if known => self.store.submit([Change::SeenGone(mailbox.id, handle)]),
            // An earlier connection may have released it, and that may still be on its way to the disk.
            true => self.store.submitted(),
            false => 0,
        };
        Answer::Say(after, Event::Released(handle, known))
    }

    /// Handles of deliveries that were sent, in this connection or an earlier one, and are not settled.
    pub fn handles_under_way(&self, attachment: &Attachment) -> Vec<Handle> {
        let state = attachment.mailbox.lock();
        state.window.iter().map(|flight| handle_of(flight.queued.number)).collect()
    }

    /// The client's peer begins anew and knows nothing of earlier exactly-once publications: their handles are free.
    pub fn forget_unreleased(&self, attachment: &Attachment) {
        let mailbox = &attachment.mailbox;
        let handles = mailbox.lock().seen.take();
        if mailbox.is_durable() && !handles.is_empty() {
            self.store.submit(handles.into_iter().map(|handle| Change::SeenGone(mailbox.id, handle)));
        }
    }

    /// A delivery that the receiver does not take because it is too large for it counts as settled (MQTT 5.0, 3.1.2.11.4),
    /// but for its handle, if it was sent before (`again`) and the receiver may know it. Handle 0: an at-most-once one.
    pub fn leave_out(&self, attachment: &Attachment, handle: Handle, again: bool) {
        self.metrics.messages_oversize_total.add(1);
        if handle == 0 {
            return;
        }
        let mailbox = &attachment.mailbox;
        let mut changes = Vec::new();
        let mut state = mailbox.lock();
        let over = match again {
            true => state.window.abandon(handle, mailbox.id, &mut changes),
            false => state.window.settle(handle),
        };
        let mut is_for_others = false;
        if let Some(queued) = over {
            // Somebody else of its share may take it, but the one who sends asks no modules.
            is_for_others = queued.group.is_some();
            match is_for_others {
                true => state.unfit.change().push(queued),
                false => queued.forget(mailbox.id, &mut changes),
            }
        }
        if !changes.is_empty() {
            let after = self.store.submit(changes);
            state.window.abandonment_noted(after);
        }
        drop(state);
        if is_for_others {
            self.wake(mailbox);
        }
    }
}
