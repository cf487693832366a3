//! What modules failed on, on its way out. What was promised stays where it is, with what is behind it, and is asked about again
//! a second later, for as long as the modules fail. One message on which they fail while they answer about others is given up
//! after a while: whoever sent it is not to hold up its receiver, and everybody who sends to that one, for ever.

use super::Broker;
use super::consumers::Consumer;
use super::mailbox::{Mailbox, State};
use crate::message::{Message, Time};
use crate::store::MailboxId;
use crate::wasm::{Chain, EventKinds, Happening, Loss};

/// How long it stands still, seconds.
const PAUSE_SECONDS: u32 = 1;
/// For how long one message holds up what is behind it, while others have answers.
const ONE_MESSAGE_SECONDS: u32 = 60;
/// How many of those.
const OTHERS: u64 = 60;

/// What holds up a mailbox, or one receiver of a queue.
pub struct Pause {
    /// Of the delivery modules under which it began: under others it is over.
    generation: u64,
    /// They are not asked before.
    until: Time,
    /// The message on which they failed, since when they do, and what they had answered then.
    about: Option<Message>,
    since: Time,
    answered: u64,
}

impl State {
    /// Whether modules have just failed on what is next, and are not to be asked now.
    pub fn is_paused(&self, generation: u64, now: Time) -> bool {
        self.pause.as_ref().is_some_and(|pause| pause.holds(generation, now))
    }

    /// The same for one receiver.
    pub fn is_paused_for(&self, receiver: u64, generation: u64, now: Time) -> bool {
        let is_it = |one: &&Consumer| one.number == receiver;
        let own = self.consuming.consumers.iter().find(is_it).and_then(|one| one.pause.as_ref());
        self.is_paused(generation, now) || own.is_some_and(|pause| pause.holds(generation, now))
    }

    /// The pause of a receiver of a queue, or, for 0, that of the mailbox; none: the receiver has gone.
    pub fn pause_of(&mut self, receiver: u64) -> Option<&mut Option<Box<Pause>>> {
        match receiver {
            0 => Some(&mut self.pause),
            _ => self.consumer_mut(receiver).map(|one| &mut one.pause),
        }
    }
}

impl Pause {
    fn holds(&self, generation: u64, now: Time) -> bool {
        self.generation == generation && now < self.until
    }

    fn is_about(&self, message: &Message) -> bool {
        self.about.as_ref().is_some_and(|about| about.is(message))
    }

    /// Whether this message alone is what modules fail on.
    fn gives_up(&self, message: &Message, now: Time, answered: u64) -> bool {
        self.is_about(message)
            && now >= self.since.plus_seconds(ONE_MESSAGE_SECONDS)
            && answered >= self.answered + OTHERS
    }
}

impl Broker {
    /// Modules have failed on a message, or on whether a consumer may have any.
    pub(super) fn pause(
        &self,
        chain: &Chain,
        mailbox: &Mailbox,
        (state, receiver): (&mut State, u64),
        about: Option<Message>,
        now: Time,
    ) {
        let until = now.plus_seconds(PAUSE_SECONDS);
        let Some(pause) = state.pause_of(receiver) else { return };
        let before = pause.take().filter(|before| about.as_ref().is_some_and(|about| before.is_about(about)));
        let (since, answered) =
            before.map_or_else(|| (now, chain.answered()), |before| (before.since, before.answered));
        let generation = chain.delivery_generation();
        *pause = Some(Box::new(Pause { generation, until, about, since, answered }));
        self.metrics.deliveries_paused_total.add(1);
        self.deadlines.decision(until, mailbox.id);
    }

    /// Whether one message has held up what is behind it for too long, and others were answered about meanwhile.
    pub(super) fn is_given_up(
        &self,
        chain: &Chain,
        mailbox: &Mailbox,
        receiver: u64,
        message: &Message,
        now: Time,
    ) -> bool {
        let mut state = mailbox.lock();
        let pause = state.pause_of(receiver).and_then(|pause| pause.as_ref());
        if !pause.is_some_and(|pause| pause.gives_up(message, now, chain.answered())) {
            return false;
        }
        let consumer = state.consuming.consumers.iter().find(|one| one.number == receiver);
        let client = consumer.map_or(&state.client, |one| &one.client).id.clone();
        drop(state);
        tracing::warn!(
            client = %client.escape_debug(),
            topic = message.topic().as_str(),
            "modules fail on this message and answer about others: it is given up for this client"
        );
        true
    }

    /// What was given up is counted, and told.
    pub(super) fn tell_given_up(&self, message: &Message) {
        self.metrics.messages_dropped_total.add(1);
        self.happened(EventKinds::LOST, || Happening::Lost(message.clone(), Loss::Rejected));
    }

    /// Modules keep something from a receiver of a queue: once others are asked, it looks again.
    pub(super) fn watch_withheld(&self, mailbox: &Mailbox, state: &mut State, generation: u64, now: Time) {
        if std::mem::replace(&mut state.consuming.change().withheld_under, generation) == 0 {
            self.deadlines.withheld(now.plus_seconds(PAUSE_SECONDS), mailbox.id);
        }
    }

    /// Whether that is so.
    pub(super) fn look_at_withheld(&self, id: MailboxId, now: Time) {
        let Some(mailbox) = self.directory.by_id(id) else { return };
        let mut state = mailbox.lock();
        let under = state.consuming.changed().map_or(0, |consuming| std::mem::take(&mut consuming.withheld_under));
        if under != self.modules.delivery_generation() {
            drop(state);
            return self.decide_again(id);
        }
        if !state.queue.is_empty() || !state.consuming.held.is_empty() {
            self.watch_withheld(&mailbox, &mut state, under, now);
        }
    }

    /// Modules may be asked again about what waits in a mailbox.
    pub(super) fn decide_again(&self, id: MailboxId) {
        let Some(mailbox) = self.directory.by_id(id) else { return };
        let state = mailbox.lock();
        let consumers = state.consuming.consumers.iter().map(|consumer| consumer.outlet.clone());
        let outlets: Vec<_> = state.outlet.iter().cloned().chain(consumers).collect();
        drop(state);
        outlets.iter().for_each(|outlet| outlet.wake());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Envelope, Guarantee};
    use crate::topic::{Limits, Topic};

    fn message() -> Message {
        let topic = Topic::new("a", &Limits::default()).unwrap();
        let guarantee = Guarantee::AtLeastOnce;
        Message::new(Envelope { topic, guarantee, retain: false, expires: None, properties: None, hops: 0 }, 0, b"")
    }

    /// As long as modules answer about nothing, nothing is given up.
    #[test]
    fn one_message_is_given_up_where_others_have_answers() {
        let (one, other) = (message(), message());
        let (since, until) = (Time(1_000), Time(2_000));
        let pause = Pause { generation: 1, until, about: Some(one.clone()), since, answered: 5 };
        for (message, now, answered, given_up) in [
            (&one, 60_999, 1_000, false),
            (&one, 61_000, 5, false),
            (&one, 3_600_000, 64, false),
            (&one, 61_000, 65, true),
            (&other, 61_000, 65, false),
        ] {
            assert_eq!(pause.gives_up(message, Time(now), answered), given_up, "{now} {answered}");
        }
    }
}
