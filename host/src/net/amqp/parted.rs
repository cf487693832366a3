//! Links that are detached and may come back, and how what they hold ends: their deliveries are live until they are settled
//! (2.7.6), or until the source goes, which settles them as it has said before (3.5.3).
//!
//! A receiver at a queue stays there meanwhile, without credit: what it holds is nobody else's, and whoever takes its place
//! takes that with it. What the receiver of a subscription held waits in its mailbox, where no one else comes; if the subscription
//! is shared it goes to the others at once, and what is said of it later counts for nothing.

use super::address::{Stay, With};
use super::attach::Receiver;
use super::outcome::disposal;
use super::side::{End, Side};
use crate::amqp::{Detach, LinkId, Outcome};
use crate::broker::{Attachment, Parting, Temporary};
use crate::dialogue::Disposal;
use crate::message::Time;
use crate::store::Sequence;

/// How a receiver goes.
pub(super) struct Gone {
    /// To the hall.
    pub how: Parting,
    /// Its source goes with it: what it holds is settled by that.
    pub settles: bool,
}

impl Gone {
    /// It is only detached, or the broker has ended it.
    pub(super) fn left(how: Parting) -> Self {
        Self { how, settles: false }
    }

    /// The client has ended link, session or connection.
    pub(super) fn ended(receiver: &Receiver, ended: With, how: Parting) -> Self {
        let is_last = receiver.policy.seconds == 0 && receiver.policy.with <= ended;
        Self { how, settles: is_last && !receiver.is_session }
    }
}

impl Side {
    /// The client has detached a link that it may attach again. Whether something of it is live.
    pub(super) fn rest(&mut self, now: Time, detach: &Detach) -> bool {
        let link = detach.link;
        if detach.closed || detach.by_machine || detach.error.is_some() {
            return false;
        }
        if self.wire(|wire| wire.machine.outstanding(link).is_empty()).unwrap_or(true) {
            return false;
        }
        let context = self.context.clone();
        let Some(Some((_, end))) = self.links.get_mut(link.index()) else { return false };
        match end {
            End::Coordinator { .. } => return false,
            End::Incoming(incoming) => {
                incoming.is_parted = true;
                context.broker.disown_tags(now, &incoming.name, self.origin);
                self.posts_lost(link);
            }
            End::Outgoing(receiver) => {
                let not = |stay: Stay| stay.with == With::Link && stay.seconds == 0;
                if receiver.is_session || not(receiver.policy) || (!receiver.is_queue && not(receiver.stay)) {
                    return false;
                }
                receiver.is_parted = true;
                let (is_queue, how) = (receiver.is_queue, receiver.stay.parting(With::Link));
                self.wire(|wire| wire.leave(link));
                if is_queue {
                    self.rest_at_queue(link);
                } else {
                    self.part(now, link, how);
                }
            }
        }
        self.parted += 1;
        true
    }

    fn rest_at_queue(&self, link: LinkId) {
        let Some(End::Outgoing(receiver)) = self.end(link) else { return };
        if let Some(attachment) = receiver.link.attachment() {
            self.context.broker.rest(&mut self.context.worker.borrow_mut(), attachment);
        }
    }

    /// Something of links was settled: those that are there only for that may be over.
    #[inline]
    pub(super) fn look_after(&mut self, now: Time, links: impl IntoIterator<Item = LinkId>) {
        if self.parted > 0 {
            links.into_iter().for_each(|link| self.look_after_parted(now, link));
        }
    }

    #[cold]
    fn look_after_parted(&mut self, now: Time, link: LinkId) {
        let is_parted = self.end(link).is_some_and(End::is_parted);
        if is_parted && !self.wire(|wire| wire.machine.is_there(link)).unwrap_or(false) {
            self.drop_link(now, link, |receiver| Gone::left(receiver.stay.parting(With::Link)));
        }
    }

    /// A source goes: what its receiver holds is settled as it has said (3.5.3), but for what ends with a transaction.
    pub(super) fn settle_by_default(&self, now: Time, link: LinkId, receiver: &Receiver) {
        if receiver.default_outcome == Outcome::Released {
            return;
        }
        let Some(attachment) = receiver.link.attachment() else { return };
        let context = &self.context;
        let numbers = context.broker.held_by(attachment, &self.retired_of(link));
        let how = disposal(receiver.default_outcome.clone());
        context.broker.dispose_unseen(&mut context.worker.borrow_mut(), now, attachment, &numbers, &how);
    }

    /// Entries that a receiver was handed are to end in this way; `waits`: they have gone back into its mailbox.
    pub(super) fn dispose(
        &self,
        now: Time,
        (attachment, waits): (&Attachment, bool),
        numbers: &[u64],
        how: &Disposal,
        awaited: bool,
    ) -> Sequence {
        let broker = &self.context.broker;
        let mut worker = self.context.worker.borrow_mut();
        if waits {
            let outcomes: Vec<_> = numbers.iter().map(|number| (*number, how.clone())).collect();
            return broker.dispose_waiting(&mut worker, now, attachment, &outcomes);
        }
        broker.dispose(&mut worker, now, attachment, numbers, how, awaited)
    }
}

impl End {
    /// The node that was made for it.
    pub(super) fn made(&mut self) -> Option<Temporary> {
        match self {
            Self::Incoming(incoming) => incoming.made.take(),
            Self::Outgoing(receiver) => receiver.made.take(),
            Self::Coordinator { .. } => None,
        }
    }

    /// Whether it is there only for its deliveries.
    pub(super) fn is_parted(&self) -> bool {
        match self {
            Self::Incoming(incoming) => incoming.is_parted,
            Self::Outgoing(receiver) => receiver.is_parted,
            Self::Coordinator { .. } => false,
        }
    }
}
