//! What the client says about messages that it got, and what it is told about those it sent.

use super::management::Reply;
use super::side::{End, Side};
use super::wire::Serving;
use crate::amqp::{AttachReply, DeliveryId, Error, Forgotten, LinkId, Outcome, Settled, State};
use crate::dialogue::{Disposal, Notes};
use crate::message::Time;

/// What is told when it is on disk.
pub(super) enum Told {
    /// A link is up: what the reply promises about subscriptions and publications holds.
    Attached { link: LinkId, reply: Box<AttachReply>, serving: Option<Box<Serving>> },
    /// A link that was up to tell what its client had not heard of is ended.
    Ended { link: LinkId, now: Time, why: Error },
    /// A link that the client has taken down is down.
    Detached { link: LinkId, closed: bool },
    /// What became of a message from the client.
    Incoming { link: LinkId, delivery: DeliveryId, state: State, settled: bool },
    /// An answer to a request about queues leaves.
    Reply(Time, Box<Reply>),
    /// The outcome of a message to the client is known for good: it may forget it.
    Outgoing { link: LinkId, delivery: DeliveryId },
}

impl Told {
    /// The link that nothing may be live of any more when this is said.
    fn may_end(&self) -> Option<LinkId> {
        match self {
            Self::Detached { link, .. } | Self::Incoming { link, .. } | Self::Outgoing { link, .. } => Some(*link),
            Self::Attached { .. } | Self::Ended { .. } | Self::Reply(..) => None,
        }
    }
}

impl Side {
    /// Says it.
    pub(super) fn tell(&mut self, told: Told) {
        let told = match told {
            Told::Reply(now, reply) => return self.reply(now, &reply),
            Told::Ended { link, now, why } => return self.end_link(now, link, &why),
            told => told,
        };
        // Its client may have taken a link down before it hears that the link was up, and hears so all the same.
        let is_up = |link| self.end(link).is_some();
        let told = match told {
            Told::Attached { link, mut reply, .. } if !is_up(link) => {
                reply.credit = Some(0);
                Told::Attached { link, reply, serving: None }
            }
            told => told,
        };
        let ended = if self.parted > 0 { told.may_end() } else { None };
        self.wire(|wire| match told {
            Told::Attached { link, reply, serving } => {
                wire.machine.attach(link, *reply, &mut wire.front);
                if let Some(serving) = serving {
                    wire.serve(*serving);
                }
            }
            Told::Detached { link, closed } => wire.machine.detach(link, closed, None, &mut wire.front),
            Told::Incoming { link, delivery, state, settled } => {
                wire.machine.settle(link, delivery, &state, settled, &mut wire.front);
            }
            Told::Outgoing { link, delivery } => {
                wire.machine.settle_outgoing(link, delivery, None, &mut wire.front);
            }
            Told::Reply(..) | Told::Ended { .. } => {}
        });
        if let Some(link) = ended {
            self.look_after(self.context.clock.now(), [link]);
        }
    }

    /// The client said something of messages that it got. Those that follow each other and are the same are told to the
    /// hall together.
    pub(super) fn outcomes(&mut self, now: Time, outcomes: &[Settled]) {
        let mut rest = outcomes;
        while let Some(first) = rest.first() {
            let same = |other: &&Settled| {
                other.link == first.link && other.state == first.state && other.settled == first.settled
            };
            let count = rest.iter().take_while(same).count();
            let (some, others) = rest.split_at(count);
            self.same_outcomes(now, first, some);
            rest = others;
        }
        self.look_after(now, outcomes.iter().map(|one| one.link));
    }

    fn same_outcomes(&mut self, now: Time, first: &Settled, all: &[Settled]) {
        let outcome = match first.state.as_deref() {
            Some(State::Ended(outcome)) => outcome.clone(),
            Some(State::Transactional { txn, outcome }) => {
                let outcome = outcome.clone().unwrap_or(Outcome::Released);
                return self.retire(now, first.link, txn, outcome, all);
            }
            // Settled without a word (3.5.3): the default outcome of the source.
            _ if first.settled => match self.end(first.link) {
                Some(End::Outgoing(receiver)) => receiver.default_outcome.clone(),
                _ => return,
            },
            _ => return,
        };
        let numbers = self.not_enlisted(first.link, first.state.is_some(), all);
        let Some(End::Outgoing(receiver)) = self.end(first.link) else { return };
        let Some(attachment) = receiver.link.attachment().cloned() else { return };
        let waits = receiver.is_parted && !receiver.is_queue;
        // What comes again under its tag is settled before: nothing is promised by that, and no two deliveries of one tag are
        // open at a time (2.6.12).
        let comes_again = matches!(outcome, Outcome::Released | Outcome::Modified(_));
        if comes_again && !first.settled {
            // Nobody looks after the link before its entries are disposed of: it may be there for them only.
            self.wire(|wire| {
                for one in all {
                    wire.machine.settle_outgoing(one.link, one.delivery, None, &mut wire.front);
                }
            });
        }
        let after = self.dispose(now, (&attachment, waits), &numbers, &disposal(outcome), !first.settled);
        if !first.settled && !comes_again {
            for one in all {
                self.answers.push_back((after, Told::Outgoing { link: one.link, delivery: one.delivery }));
            }
        }
    }

    /// The client forgot publications whose outcome it knows.
    pub(super) fn forgotten(&mut self, now: Time, forgotten: &[Forgotten]) {
        for one in forgotten {
            let Some(End::Incoming(incoming)) = self.end(one.link) else { continue };
            self.context.broker.forget_tag(&incoming.name, &one.tag);
            self.transactions.post_settled(one.link, &one.tag);
        }
        self.look_after(now, forgotten.iter().map(|one| one.link));
    }

    /// What a link is to the hall.
    pub(super) fn end(&self, link: LinkId) -> Option<&End> {
        match self.links.get(link.index()) {
            Some(Some((id, end))) if *id == link => Some(end),
            _ => None,
        }
    }
}

/// In the hall's words.
pub(super) fn disposal(outcome: Outcome) -> Disposal {
    match outcome {
        Outcome::Accepted => Disposal::Accepted,
        Outcome::Rejected(_) => Disposal::Rejected,
        Outcome::Released => Disposal::Released,
        Outcome::Modified(modified) => Disposal::Modified {
            failed: modified.delivery_failed,
            elsewhere: modified.undeliverable_here,
            notes: modified.annotations.as_deref().map(|map| Notes::new(map.to_vec())),
        },
    }
}
