//! What any thread may use that has something for an AMQP client, one at a time: the machine, and the links on which it
//! sends. Bytes leave in the order in which the machine made them.

use super::door::{Bell, Door};
use super::tag;
use crate::amqp::sections::{self, Header};
use crate::amqp::{self, LinkId, Outgoing, Published, Undelivered};
use crate::broker::{self, Attachment, Broker, Take};
use crate::dialogue::Consignment;
use crate::message::Time;
use std::sync::Arc;

/// See the head of this file.
pub struct Wire {
    /// The protocol.
    pub machine: amqp::Connection,
    /// What the machine said and nobody has sent yet.
    pub front: Vec<u8>,
    links: Vec<Option<Sender>>,
    bell: Arc<Bell>,
    limits: Arc<amqp::Limits>,
    /// For headers, used again and again.
    head: Vec<u8>,
}

/// A link on which the broker sends.
struct Sender {
    door: Arc<Door>,
    attachment: Attachment,
    /// Nothing is awaited for what is sent.
    settles: bool,
    /// Entries that the client remembers, by ascending number.
    resumed: Vec<u64>,
    /// Messages are of a client's session.
    is_session: bool,
    /// Each message says which topic it is of.
    tells_topics: bool,
    /// Those of them of which it has a part.
    partial: Vec<u64>,
}

impl Sender {
    /// What comes once more after it was resumed is a new delivery (2.7.5).
    #[inline]
    fn has_resumed(&mut self, number: u64) {
        if let Ok(at) = self.resumed.binary_search(&number) {
            self.resumed.remove(at);
            self.partial.retain(|other| *other != number);
        }
    }
}

/// How a link on which the broker sends is to be served.
pub struct Serving {
    /// Its way.
    pub door: Arc<Door>,
    /// Where its messages come from.
    pub attachment: Attachment,
    /// All deliveries are settled.
    pub settles: bool,
    /// Entries that the client remembers from an earlier life of the link.
    pub resumed: Vec<u64>,
    /// Messages are of a client's session, and say what MQTT says.
    pub is_session: bool,
    /// Each message says which topic it is of: the client is a bridge of another broker of ours.
    pub tells_topics: bool,
    /// Those of them of which it has a part.
    pub partial: Vec<u64>,
}

impl Wire {
    /// Around a machine.
    pub fn new(machine: amqp::Connection, bell: Arc<Bell>, limits: Arc<amqp::Limits>) -> Self {
        Self { machine, front: Vec::new(), links: Vec::new(), bell, limits, head: Vec::new() }
    }

    /// Begins to send on a link.
    pub fn serve(&mut self, serving: Serving) {
        let Serving { door, attachment, settles, mut resumed, is_session, tells_topics, partial } = serving;
        resumed.sort_unstable();
        let at = door.link.index();
        if self.links.len() <= at {
            self.links.resize_with(at + 1, || None);
        }
        door.ring();
        self.links[at] = Some(Sender { door, attachment, settles, resumed, is_session, tells_topics, partial });
    }

    /// Sends nothing more on a link.
    pub fn leave(&mut self, link: LinkId) {
        if let Some(place) = self.links.get_mut(link.index())
            && place.as_ref().is_some_and(|sender| sender.door.link == link)
        {
            *place = None;
        }
    }

    /// Lets go of everything that holds on to the connection.
    pub fn leave_all(&mut self) {
        self.links.clear();
        self.bell.take_down();
    }

    /// A link, or all of them, may have got room.
    pub fn ring(&self, link: Option<LinkId>) {
        match link {
            Some(link) => {
                if let Some(Some(sender)) = self.links.get(link.index()) {
                    sender.door.ring();
                }
            }
            None => self.links.iter().flatten().for_each(|sender| sender.door.ring()),
        }
    }

    /// Puts what was said behind what is there.
    pub fn take_front(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.front);
    }

    /// Puts what was said, and what mailboxes hold for links with room, behind what is there, up to a batch.
    pub fn fill(&mut self, broker: &Broker, now: Time, out: &mut Vec<u8>, batch_bytes: usize) {
        if !self.front.is_empty() {
            self.take_front(out);
        }
        if !self.machine.is_live() {
            return;
        }
        loop {
            self.machine.go_on(batch_bytes, out);
            if self.machine.has_room_again() {
                self.ring(None);
            }
            let ready = self.bell.ready();
            if ready.is_empty() {
                return;
            }
            for door in ready {
                door.answered();
                if out.len() >= batch_bytes || !self.send(&door, broker, now, out, batch_bytes) {
                    door.ring();
                }
            }
            if out.len() >= batch_bytes {
                return;
            }
        }
    }

    /// Sends what a link may have; false: there may be more.
    fn send(&mut self, door: &Door, broker: &Broker, now: Time, out: &mut Vec<u8>, batch_bytes: usize) -> bool {
        let Self { machine, links, head, limits, .. } = self;
        let Some(Some(sender)) = links.get_mut(door.link.index()) else { return true };
        if sender.door.link != door.link {
            return true;
        }
        let mut room = machine.room(door.link);
        let drains = machine.drains(door.link);
        if room == 0 {
            if drains {
                drained_without_room(machine, sender, out);
            }
            return true;
        }
        let mut full = false;
        let attachment = sender.attachment.clone();
        let done = broker.consume(&attachment, now, sender.settles, &mut |consignment| {
            if drains {
                machine.set_available(door.link, attachment.depth());
            }
            match deliver(machine, sender, &consignment, now, limits, head, out) {
                Ok(_) => sender.has_resumed(consignment.number),
                Err(Undelivered::TooLarge) => return Take::Not,
                // The room was asked for; a link that has gone meanwhile gives back what it has.
                Err(Undelivered::NoRoom) => {}
            }
            // Not one less: a long message takes many frames of the session's window.
            room = machine.room(door.link);
            full = out.len() >= batch_bytes;
            if room == 0 || full { Take::Enough } else { Take::More }
        });
        if drains && done && room > 0 {
            machine.drained(door.link, 0, out);
        } else if drains && room == 0 {
            drained_without_room(machine, sender, out);
        }
        !(full && room > 0)
    }
}

/// Nothing more can be sent now, and whoever drains is told so if it finds the end, or has to settle something first: a flow
/// needs no window (2.6.7).
fn drained_without_room(machine: &mut amqp::Connection, sender: &Sender, out: &mut Vec<u8>) {
    let (link, waiting) = (sender.door.link, sender.attachment.waiting());
    if waiting == 0 || machine.waits_for_outcomes(link) {
        machine.drained(link, waiting, out);
    }
}

fn deliver(
    machine: &mut amqp::Connection,
    sender: &Sender,
    consignment: &Consignment,
    now: Time,
    limits: &amqp::Limits,
    head: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<amqp::DeliveryId, Undelivered> {
    let message = &consignment.message;
    let bare = message.as_bare();
    let tag = tag::of(sender.attachment.mailbox.id, consignment.number);
    head.clear();
    let expires = message.envelope().expires;
    let header = Header {
        durable: bare.is_some_and(|bare| bare.durable),
        priority: bare.map_or(4, |bare| bare.priority),
        // What lives longer than can be said here says until when (3.2.4).
        ttl_milliseconds: expires.and_then(|at| u32::try_from(at.since(now)).ok()),
        first_acquirer: !consignment.duplicate && consignment.failures == 0,
        delivery_count: consignment.failures,
    };
    if sender.is_session && !broker::is_private(message) {
        let published = Published {
            topic: consignment.name.as_deref().unwrap_or(message.topic().as_str()),
            level: message.envelope().guarantee.min(consignment.guarantee).level(),
            retain: consignment.retain,
            number: consignment.number,
            identifiers: &consignment.identifiers,
            header: Header { delivery_count: consignment.failures.max(consignment.duplicate.into()), ..header },
        };
        if let Some(behind) = published.write(message.payload(), limits, head) {
            return machine.deliver(sender.door.link, &outgoing(sender, consignment, &tag, &[head, behind]), out);
        }
        head.clear();
    }
    sections::header(&header, head);
    if sender.tells_topics {
        let topic = consignment.name.as_deref().unwrap_or(message.topic().as_str()).to_owned();
        let (name, topic) = (amqp::Symbol::from(amqp::TOPIC_ANNOTATION), amqp::Value::String(topic));
        sections::delivery_annotations([(&name, &topic)], head);
    }
    // What was kept as a topic's last value says so, and what comes live does not.
    let says_retain = message.envelope().retain != consignment.retain || consignment.retain;
    let flag = says_retain.then_some(("x-opt-retain-message", consignment.retain));
    let notes = consignment.notes.as_deref().unwrap_or_default();
    let annotated = match flag.is_some() || !notes.is_empty() {
        true => amqp::annotated(message.payload(), flag, notes, limits),
        false => None,
    };
    let behind = match &annotated {
        Some((annotations, behind)) => {
            head.extend_from_slice(annotations);
            behind
        }
        None => message.payload(),
    };
    machine.deliver(sender.door.link, &outgoing(sender, consignment, &tag, &[head, behind]), out)
}

/// What the client has a part of comes again from its beginning (3.4.1).
static BEGINNING: amqp::State = amqp::State::Received { section: 0, offset: 0 };

fn outgoing<'m>(sender: &Sender, consignment: &'m Consignment, tag: &'m [u8], parts: &'m [&'m [u8]]) -> Outgoing<'m> {
    Outgoing {
        token: consignment.number,
        tag,
        format: 0,
        settled: sender.settles,
        resume: sender.resumed.binary_search(&consignment.number).is_ok(),
        state: sender.partial.contains(&consignment.number).then_some(&BEGINNING),
        parts,
        shared: Some(&consignment.message),
    }
}
