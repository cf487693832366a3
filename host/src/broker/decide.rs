//! Copies that delivery modules have to be asked about before they leave. The connection's own thread asks, under no lock;
//! other threads send what is cleared and stop before what is not.
//!
//! What was promised stays where it is while a module fails ([`super::pause`]).

use super::access::{Denied, May, may_not_consume};
use super::attach::Link;
use super::consumers::Consumer;
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
    /// Nobody gets it.
    Nobodys,
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
    fn of(state: &State, number: u64) -> Self {
        let start = state.begins_at(number);
        let consumer = state.consumers.iter().find(|one| one.number == number);
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
        let consumes = state.consumers.iter().any(|consumer| consumer.number == attachment.number);
        if (state.attachment != attachment.number && !consumes) || state.is_paused(generation, now) {
            return false;
        }
        let is_permitted =
            state.consumers.iter().all(|one| one.number != attachment.number || one.permitted == generation);
        if !is_permitted && queues::is_queue(&state.client) {
            drop(state);
            return self.permit(worker, &chain, attachment, now);
        }
        let receiver = Receiver::of(&state, attachment.number);
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
                None if self.is_given_up(&chain, mailbox, &asked.message, now) => {
                    self.tell_given_up(&asked.message);
                    answers.push((asked.place, Said::Nobodys, denied));
                }
                None => {
                    failed = Some(asked.message);
                    break;
                }
                Some(said) => answers.push((asked.place, said, denied)),
            }
        }
        let mut changes = Vec::new();
        let mut state = mailbox.lock();
        if state.attachment == attachment.number || consumes {
            for (place, said, denied) in answers {
                carry_out(mailbox, &mut state, (generation, receiver.number), place, (said, &denied), &mut changes);
            }
            mailbox.note_window(&state);
        }
        if failed.is_some() {
            self.pause(&chain, mailbox, &mut state, failed, now);
        } else {
            state.pause = None;
        }
        if !changes.is_empty() {
            let after = self.store.submit(changes);
            state.window.abandonment_noted(after);
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
        let is_it = |consumer: &&mut Consumer| consumer.number == attachment.number;
        let mut state = mailbox.lock();
        let address = state.client.id.clone();
        let Some(client) = state.consumers.iter_mut().find(is_it).map(|one| one.client.clone()) else { return false };
        drop(state);
        let may = self.may_consume(chain, &mut worker.guests, &client, &address);
        let mut state = mailbox.lock();
        match may {
            May::Yes => {
                if let Some(consumer) = state.consumers.iter_mut().find(is_it) {
                    consumer.permitted = chain.delivery_generation();
                }
            }
            May::No => {
                let outlet = state.consumers.iter_mut().find(is_it).map(|consumer| consumer.outlet.clone());
                drop(state);
                outlet.inspect(|outlet| outlet.close(may_not_consume()));
            }
            May::NotNow => self.pause(chain, mailbox, &mut state, None, now),
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
    let queues = [(&mut state.replayed, 0), (&mut state.queue, receiver.start), (&mut state.express, 0)];
    for (queue, start) in queues {
        // Each queue has its share, so that none holds up another; what is cleared at the front is bounded by it, too.
        for queued in queue.iter_mut().skip(start).take(COPIES_A_TURN * 4) {
            if queued.is_cleared_for(receiver.number, generation) || queued.is_not_for(receiver.number) {
                continue;
            }
            if wanted(&queued.message) {
                asked.push(Asked::new(Place::Waiting(queued.arrival), queued));
            } else {
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
    changes: &mut Vec<Change>,
) {
    let is_it = |queued: &Queued| matches!(place, Place::Waiting(arrival) if queued.arrival == arrival);
    // What is retained comes to the next one of those who share: none of them may be one that may not have it.
    if matches!(said, Said::Nobodys) || (!denied.is_empty() && state.replayed.iter().any(is_it)) {
        return withhold(mailbox, state, place, changes);
    }
    let is_kept_from_some = matches!(said, Said::Others) || !denied.is_empty();
    let there = if is_kept_from_some { state.consumers_there() } else { Vec::new() };
    let queued = match place {
        Place::Flight(handle) => state.window.get(handle).map(|flight| &mut flight.queued),
        Place::Waiting(arrival) => {
            let queues = [&mut state.replayed, &mut state.queue, &mut state.express];
            queues.into_iter().flatten().find(|queued| queued.arrival == arrival)
        }
    };
    // It may have gone meanwhile.
    let Some(queued) = queued else { return };
    if let Some(handling) = queued.handling.as_mut().filter(|_| receiver == 0) {
        handling.not_for.clear();
    }
    denied.iter().for_each(|number| queued.leave_to_others(*number, &there));
    match said {
        Said::Leaves { instead, name } => {
            (queued.cleared, queued.cleared_for, queued.instead) = (generation, receiver, instead);
            if receiver != 0 {
                queued.name = name;
            }
        }
        Said::Others | Said::Nobodys => {
            queued.leave_to_others(receiver, &there);
        }
    }
}

/// Above at-most-once it counts as delivered.
fn withhold(mailbox: &Mailbox, state: &mut State, place: Place, changes: &mut Vec<Change>) {
    let gone = match place {
        Place::Flight(handle) => state.window.abandon(handle, mailbox.id, changes),
        Place::Waiting(arrival) => {
            let is_it = |queued: &Queued| queued.arrival == arrival;
            if let Some(at) = state.replayed.iter().position(is_it) {
                state.replayed.remove(at)
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
