//! Copies that delivery modules have to be asked about before they leave. The connection's own thread asks, under no lock;
//! other threads send what is cleared and stop before what is not.
//!
//! What was promised stays where it is while a module fails ([`super::pause`]).

use super::access::{Denied, May, may_not_consume};
use super::attach::Link;
use super::mailbox::{Mailbox, State};
use super::queued::Queued;
use super::worker::Worker;
use super::{Attachment, Broker, queues};
use crate::client::Client;
use crate::dialogue::Handle;
use crate::message::{FormMissing, Guarantee, Message, Time};
use crate::store::Change;
use crate::wasm::{Chain, Leaves};
use std::sync::Arc;

/// Copies decided about at once, so that one client does not hold its thread for long.
const COPIES_A_TURN: usize = 64;
/// The same of a queue: another receiver may come first, about whom modules are asked anew.
const ENTRIES_A_TURN: usize = 8;
/// Nor beyond the copy at which modules had taken so long, nanoseconds.
const TIME_A_TURN: u64 = 2_000_000;

/// Where a copy stands.
#[derive(Clone, Copy)]
enum Place {
    /// Under way on an earlier connection, to be sent again.
    Flight(Handle),
    /// In one of the queues, by its arrival.
    Waiting(u64),
}

/// A copy to ask about.
struct Asked {
    place: Place,
    message: Message,
    guarantee: Guarantee,
    retain: bool,
}

impl Asked {
    fn new(place: Place, queued: &Queued) -> Self {
        Self { place, message: queued.message.clone(), guarantee: queued.guarantee, retain: queued.retain }
    }
}

/// What modules said.
enum Said {
    /// It leaves: itself or another message, by a name of the receiver's own.
    Leaves { instead: Option<Message>, name: Option<Arc<str>> },
    /// This receiver of a queue does not get it.
    Others,
    /// They have failed on it for this receiver for too long, and answer about others.
    GivenUp,
    /// Nobody gets it.
    Nobodys,
}

/// What comes of what they said.
#[derive(Default)]
struct Effects {
    changes: Vec<Change>,
    /// Entries of a queue that nobody who is there may have, as modules fail on them.
    failed: Vec<Queued>,
    /// Something is kept from a receiver, whom others may get it.
    withholds: bool,
}

/// Who is about to get the copies.
struct Receiver {
    /// Its number among the receivers of a queue; 0: the mailbox is its own.
    number: u64,
    client: Arc<Client>,
    /// Where in the queue it looks.
    start: usize,
    copies_max: usize,
}

impl Receiver {
    fn of(state: &State, number: u64, generation: u64) -> Self {
        let start = state.begins_at(number, generation);
        let consumer = state.consuming.consumers.iter().find(|one| one.number == number);
        match consumer.filter(|_| queues::is_queue(&state.client)) {
            Some(one) => Self { number, client: one.client.clone(), start, copies_max: ENTRIES_A_TURN },
            None => Self { number: 0, client: state.client.clone(), start, copies_max: COPIES_A_TURN },
        }
    }

    fn is_of_queue(&self) -> bool {
        self.number != 0
    }
}

impl Broker {
    /// Asks the modules about the next copies that they want to see; false: there were none.
    pub(super) fn decide(&self, worker: &mut Worker, link: &Link, now: Time) -> bool {
        let Some(attachment) = &link.attachment else { return false };
        let mailbox = &attachment.mailbox;
        if let Some(client) = &link.client {
            worker.refresh_for(self, &client.id);
        }
        let chain = worker.chain.clone();
        let generation = chain.delivery_generation();
        if generation == 0 {
            return false;
        }
        let mut state = mailbox.lock();
        let consumes = state.consuming.consumers.iter().any(|consumer| consumer.number == attachment.number);
        if (state.attachment != attachment.number && !consumes)
            || state.is_paused_for(attachment.number, generation, now)
        {
            return false;
        }
        let is_permitted =
            state.consuming.consumers.iter().all(|one| one.number != attachment.number || one.permitted == generation);
        if !is_permitted && queues::is_queue(&state.client) {
            drop(state);
            return self.permit(worker, &chain, attachment, now);
        }
        let receiver = Receiver::of(&state, attachment.number, generation);
        let names = receiver.is_of_queue() && chain.renames_deliveries();
        let asked = undecided(&mut state, &receiver, generation, |message| {
            // What services answer is for whoever asked.
            let concerns = || names || chain.wants_access() || chain.wants_delivery(message.topic().as_str());
            !super::sessions::is_private(message) && concerns()
        });
        drop(state);
        if asked.is_empty() {
            return false;
        }
        let begun = worker.guests.spent().nanoseconds;
        let mut answers: Vec<(Place, Said, Denied)> = Vec::with_capacity(asked.len());
        let mut failed = None;
        for asked in asked {
            if worker.guests.spent().nanoseconds.wrapping_sub(begun) >= TIME_A_TURN {
                break;
            }
            let (said, denied) = self.say(worker, &chain, mailbox, &receiver, &asked);
            match said {
                None if asked.guarantee == Guarantee::AtMostOnce => {
                    worker.tally.dropped += 1;
                    answers.push((asked.place, Said::Nobodys, denied));
                }
                None if self.is_given_up(&chain, mailbox, receiver.number, &asked.message, now) => {
                    if !receiver.is_of_queue() {
                        self.tell_given_up(&asked.message);
                    }
                    answers.push((asked.place, Said::GivenUp, denied));
                }
                None => {
                    failed = Some(asked.message);
                    break;
                }
                Some(said) => answers.push((asked.place, said, denied)),
            }
        }
        let mut state = mailbox.lock();
        let mut effects = Effects::default();
        if state.attachment == attachment.number || consumes {
            for (place, said, denied) in answers {
                carry_out(mailbox, &mut state, (generation, receiver.number), place, (said, &denied), &mut effects);
            }
            mailbox.note_window(&state);
        }
        if failed.is_some() {
            self.pause(&chain, mailbox, (&mut state, receiver.number), failed, now);
        } else if let Some(pause) = state.pause_of(receiver.number) {
            *pause = None;
        }
        if effects.withholds {
            self.watch_withheld(mailbox, &mut state, generation, now);
        }
        if !effects.changes.is_empty() {
            let after = self.store.submit(effects.changes);
            state.window.abandonment_noted(after);
        }
        if !effects.failed.is_empty() {
            // Meanwhile they are neither in the queue nor set aside.
            state.untold += 1;
            drop(state);
            self.set_aside(now, attachment, effects.failed, true);
            mailbox.lock().untold -= 1;
        }
        true
    }

    /// What the modules say about one copy (none: not now), and which of those who share it may not have it.
    fn say(
        &self,
        worker: &mut Worker,
        chain: &Arc<Chain>,
        mailbox: &Mailbox,
        receiver: &Receiver,
        asked: &Asked,
    ) -> (Option<Said>, Denied) {
        let (may, denied) = self.who_may_receive(chain, &mut worker.guests, mailbox, asked.message.topic());
        let said = match may {
            May::Yes => self.as_modules_have_it(worker, chain, receiver, asked),
            May::No => Some(Said::Nobodys),
            May::NotNow => None,
        };
        (said, denied)
    }

    fn as_modules_have_it(
        &self,
        worker: &mut Worker,
        chain: &Arc<Chain>,
        receiver: &Receiver,
        asked: &Asked,
    ) -> Option<Said> {
        let Asked { message, guarantee, retain, .. } = asked;
        let topic = message.topic().as_str();
        let client = &receiver.client;
        let name = match receiver.is_of_queue() && chain.renames_deliveries() {
            true => chain.deliver_name(&mut worker.guests, &client.scope, topic).map(Arc::from),
            false => None,
        };
        let leaves = |instead| Some(Said::Leaves { instead, name });
        if !chain.wants_delivery(topic) {
            return leaves(None);
        }
        let Ok(shown) = self.shown(worker, message) else {
            return match message.in_form(false) {
                Err(FormMissing::NotYet) => None,
                // What has no form for modules has none for them to decide about.
                _ => leaves(None),
            };
        };
        match chain.leaves(&mut worker.guests, client, &shown, *guarantee, *retain) {
            Leaves::Instead(made) => leaves(Some(self.altered(worker, chain, message, &shown, made))),
            Leaves::AsItIs => leaves(None),
            Leaves::Not if receiver.is_of_queue() => Some(Said::Others),
            Leaves::Not => Some(Said::Nobodys),
            Leaves::NotNow => None,
        }
    }

    /// Asks whether a consumer may have what is in a queue. Whoever may not loses its link.
    fn permit(&self, worker: &mut Worker, chain: &Chain, attachment: &Attachment, now: Time) -> bool {
        let mailbox = &attachment.mailbox;
        let mut state = mailbox.lock();
        let address = state.client.id.clone();
        let Some(client) = state.consumer_mut(attachment.number).map(|one| one.client.clone()) else { return false };
        drop(state);
        let may = self.may_consume(chain, &mut worker.guests, &client, &address);
        let mut state = mailbox.lock();
        match may {
            May::Yes => {
                if let Some(consumer) = state.consumer_mut(attachment.number) {
                    consumer.permit(chain.delivery_generation());
                }
            }
            May::No => {
                let outlet = state.consumer_mut(attachment.number).map(|consumer| consumer.outlet.clone());
                drop(state);
                outlet.inspect(|outlet| outlet.close(may_not_consume()));
            }
            May::NotNow => self.pause(chain, mailbox, (&mut state, attachment.number), None, now),
        }
        true
    }
}

/// The next copies about which modules are to be asked, in the order in which they leave, from where the receiver looks; those
/// that no module wants to see are cleared on the way.
fn undecided(state: &mut State, receiver: &Receiver, generation: u64, wanted: impl Fn(&Message) -> bool) -> Vec<Asked> {
    let mut asked = Vec::new();
    for flight in state.window.unsent() {
        if flight.queued.cleared != generation {
            if wanted(&flight.queued.message) {
                asked.push(Asked::new(Place::Flight(flight.handle), &flight.queued));
            } else {
                flight.queued.cleared = generation;
            }
        }
        if asked.len() == receiver.copies_max {
            return asked;
        }
    }
    let replayed = state.replaying.changed().map(|replaying| (&mut replaying.replayed, 0));
    let queues = [(&mut state.queue, receiver.start), (&mut state.express, 0)];
    for (queue, start) in replayed.into_iter().chain(queues) {
        // Each queue has its share, so that none holds up another; what is cleared at the front is bounded by it, too.
        for queued in queue.iter_mut().skip(start).take(COPIES_A_TURN * 4) {
            if queued.is_cleared_for(receiver.number, generation) || queued.is_not_for(receiver.number, generation) {
                continue;
            }
            if wanted(&queued.message) {
                asked.push(Asked::new(Place::Waiting(queued.arrival), queued));
            } else {
                queued.forget_answer();
                (queued.cleared, queued.cleared_for, queued.instead) = (generation, 0, None);
            }
            if asked.len() >= receiver.copies_max {
                break;
            }
        }
    }
    asked
}

fn carry_out(
    mailbox: &Mailbox,
    state: &mut State,
    (generation, receiver): (u64, u64),
    place: Place,
    (said, denied): (Said, &[u64]),
    effects: &mut Effects,
) {
    let is_it = |queued: &Queued| matches!(place, Place::Waiting(arrival) if queued.arrival == arrival);
    // What is retained comes to the next one of those who share: none of them may be one that may not have it.
    let is_over = matches!(said, Said::Nobodys) || (matches!(said, Said::GivenUp) && receiver == 0);
    if is_over || (!denied.is_empty() && state.replaying.replayed.iter().any(is_it)) {
        return withhold(mailbox, state, place, &mut effects.changes);
    }
    let is_kept_from_some = matches!(said, Said::Others | Said::GivenUp) || !denied.is_empty();
    effects.withholds |= is_kept_from_some;
    let there = if is_kept_from_some { state.consumers_there() } else { Vec::new() };
    let queued = match place {
        Place::Flight(handle) => state.window.get(handle).map(|flight| &mut flight.queued),
        Place::Waiting(arrival) => {
            let replayed = state.replaying.changed().map(|replaying| &mut replaying.replayed);
            let queues = replayed.into_iter().chain([&mut state.queue, &mut state.express]);
            queues.flatten().find(|queued| queued.arrival == arrival)
        }
    };
    // It may have gone meanwhile.
    let Some(queued) = queued else { return };
    if let Some(handling) = queued.handling.as_mut().filter(|_| receiver == 0) {
        handling.withheld.1.clear();
    }
    denied.iter().for_each(|number| queued.withhold_from(*number, generation, &there));
    match said {
        Said::Leaves { instead, name } => {
            (queued.cleared, queued.cleared_for, queued.instead) = (generation, receiver, instead);
            if receiver != 0 {
                queued.name = name;
            }
        }
        Said::Others => queued.withhold_from(receiver, generation, &there),
        Said::GivenUp => {
            queued.withhold_from(receiver, generation, &there);
            let untaken = |queued: &Queued| is_it(queued) && state.taker_of(queued, generation).is_none();
            if let Some(queued) = state.queue.iter().position(untaken).and_then(|at| state.queue.remove(at)) {
                mailbox.count(&queued, false);
                effects.failed.push(queued);
            }
        }
        // See above.
        Said::Nobodys => {}
    }
}

/// Above at-most-once it counts as delivered.
fn withhold(mailbox: &Mailbox, state: &mut State, place: Place, changes: &mut Vec<Change>) {
    let gone = match place {
        Place::Flight(handle) => state.window.abandon(handle, mailbox.id, changes),
        Place::Waiting(arrival) => {
            let is_it = |queued: &Queued| queued.arrival == arrival;
            if let Some(at) = state.replaying.replayed.iter().position(is_it) {
                state.replaying.change().replayed.remove(at)
            } else {
                let waiting = [&mut state.queue, &mut state.express];
                let found = waiting.into_iter().find_map(|queue| {
                    let at = queue.iter().position(is_it)?;
                    queue.remove(at)
                });
                found.inspect(|queued| mailbox.count(queued, false))
            }
        }
    };
    if let Some(queued) = gone {
        queued.forget(mailbox.id, changes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue_tests::{Consumer, dead_letters, texts};
    use super::super::tests::{Hall, hall};
    use super::*;

    /// Modules of which these rows tell.
    const GENERATION: u64 = 7;

    fn number(of: &Consumer) -> u64 {
        of.link.attachment().unwrap().number
    }

    /// A queue with one entry, and two receivers.
    fn one_for_two() -> (Hall, Consumer, Consumer, Arc<Mailbox>) {
        let mut hall = hall(Default::default());
        let (a, b) = (hall.at_queue(false), hall.at_queue(false));
        hall.fill(1);
        let mailbox = a.link.attachment().unwrap().mailbox.clone();
        (hall, a, b, mailbox)
    }

    /// Modules say this of the first entry, for a receiver and of others.
    fn say(mailbox: &Mailbox, receiver: u64, said: Said, denied: &[u64]) -> Effects {
        let (mut state, mut effects) = (mailbox.lock(), Effects::default());
        let place = Place::Waiting(state.queue[0].arrival);
        carry_out(mailbox, &mut state, (GENERATION, receiver), place, (said, denied), &mut effects);
        assert!(effects.changes.is_empty() && effects.withholds);
        effects
    }

    fn is_kept_from(mailbox: &Mailbox, receiver: &Consumer, generation: u64) -> bool {
        mailbox.lock().queue[0].is_not_for(number(receiver), generation)
    }

    #[test]
    fn what_modules_fail_on_for_one_receiver_of_a_queue_stays_for_others_and_is_a_dead_letter_without_them() {
        let (mut hall, a, b, mailbox) = one_for_two();
        assert!(say(&mailbox, number(&a), Said::GivenUp, &[]).failed.is_empty());
        assert_eq!([&a, &b].map(|one| is_kept_from(&mailbox, one, GENERATION)), [true, false]);
        let failed = say(&mailbox, number(&b), Said::GivenUp, &[]).failed;
        assert_eq!((failed.len(), mailbox.depth()), (1, 0));
        hall.broker.set_aside(hall.now, b.link.attachment().unwrap(), failed, true);
        hall.broker.tick(&mut hall.worker, hall.now);
        let letters = dead_letters(&mut hall);
        assert_eq!(texts(&hall.consume(&letters, 9)), ["0"]);
    }

    /// What a receiver said itself, that the entry is for others, holds whatever modules say.
    #[test]
    fn what_modules_keep_from_a_receiver_they_keep_as_long_as_they_are_asked() {
        let (_hall, a, b, mailbox) = one_for_two();
        mailbox.lock().queue[0].leave_to_others(number(&b), &[number(&a), number(&b)]);
        // For a queue, and for a subscription that is shared.
        for (receiver, said, denied) in
            [(number(&a), Said::Others, None), (0, Said::Leaves { instead: None, name: None }, Some(number(&a)))]
        {
            say(&mailbox, receiver, said, denied.as_slice());
            for (generation, kept) in [(GENERATION, true), (GENERATION + 1, false), (0, false)] {
                assert_eq!(is_kept_from(&mailbox, &a, generation), kept, "{generation}");
                assert!(is_kept_from(&mailbox, &b, generation));
            }
        }
    }

    #[test]
    fn a_name_that_one_receiver_of_a_queue_has_for_a_topic_is_not_told_to_the_next() {
        let (hall, a, b, mailbox) = one_for_two();
        let said = |generation| {
            let mut state = mailbox.lock();
            let entry = &mut state.queue[0];
            (entry.cleared, entry.cleared_for, entry.name) = (GENERATION, number(&a), Some("of/a".into()));
            entry.instead = Some(entry.message.clone());
            if generation != 0 {
                let receiver = Receiver::of(&state, number(&b), generation);
                assert!(undecided(&mut state, &receiver, generation, |_| false).is_empty());
            }
        };
        said(GENERATION + 1);
        assert!(mailbox.lock().queue[0].name.is_none() && mailbox.lock().queue[0].instead.is_none());
        // Without any module nobody is asked.
        said(0);
        assert_eq!(hall.consume(&b, 1)[0].name, None);
    }

    #[test]
    fn what_modules_fail_on_for_one_receiver_of_a_queue_holds_up_no_other() {
        let (hall, a, b, mailbox) = one_for_two();
        let chain = hall.worker.chain.clone();
        let is_paused =
            |one: &Consumer| mailbox.lock().is_paused_for(number(one), chain.delivery_generation(), hall.now);
        let mut state = mailbox.lock();
        let message = state.queue[0].message.clone();
        hall.broker.pause(&chain, &mailbox, (&mut state, number(&a)), Some(message.clone()), hall.now);
        drop(state);
        assert_eq!([&a, &b].map(is_paused), [true, false]);
        hall.broker.pause(&chain, &mailbox, (&mut mailbox.lock(), 0), Some(message), hall.now);
        assert_eq!([&a, &b].map(is_paused), [true, true], "what has no form has none for anybody");
    }
}
