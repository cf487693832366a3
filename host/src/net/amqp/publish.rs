//! Messages from the client on their way into the hall.

use super::address::{self, Refusal};
use super::outcome::Told;
use super::services::{self, Service};
use super::side::{End, Side};
use super::words;
use crate::amqp::sections::{Body, RawValue, Sections};
use crate::amqp::{AmqpError, DeliveryId, Error, LinkError, LinkId, State, Symbol, Tag, Transfer, Value, error};
use crate::broker::{Admission, PublishBare, Slot, Taken};
use crate::dialogue::Routed;
use crate::message::{Bare, Guarantee, RefusalKind, Time};
use crate::net::context::Context;

/// A publication that waits for room in somebody's queue.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    link: LinkId,
    delivery: DeliveryId,
    /// What the client was promised.
    handover: Guarantee,
    /// The name of its link and the tag, if it is exactly-once.
    tag: Option<(Box<str>, Box<[u8]>)>,
    /// The tag, whatever it is.
    delivery_tag: Tag,
}

/// Why a message is not taken.
struct Refused {
    why: Error,
    /// It is where the message is to go, which a link for any address let it say (see [`Side::unroutable`]).
    is_address: bool,
}

impl From<Error> for Refused {
    fn from(why: Error) -> Self {
        Self { why, is_address: false }
    }
}

/// Why nothing is published under a tag.
enum NotNew {
    /// There is an answer already.
    Answered(Taken),
    /// The same, to a delivery of this attach.
    Repeated(Taken),
    /// The link is another connection's.
    Stolen,
}

fn no_way(why: Error) -> Refused {
    Refused { why, is_address: true }
}

impl Side {
    pub(super) fn transfer(&mut self, now: Time, transfer: Transfer<'_>) {
        let Transfer { link, delivery, settled, .. } = transfer;
        if let Err(Refused { why, is_address }) = self.take_in(now, &transfer) {
            self.context.broker.metrics().messages_refused_total.add(1);
            self.log_refused(&why);
            if let Some(State::Transactional { txn, .. }) = transfer.state.as_deref() {
                self.spoil(txn, &why);
            }
            if is_address && self.is_unheard(&transfer) {
                self.unroutable(now, &transfer, why);
            } else if !settled {
                self.refuse_message(now, (link, delivery), &transfer.tag, why);
            }
        }
    }

    /// Some clients send what is rejected again and again, and tell nobody why: the log says it, once a connection.
    #[cold]
    fn log_refused(&mut self, why: &Error) {
        if !std::mem::replace(&mut self.has_told_refusal, true) {
            let client = self.client.as_ref().map_or("", |client| &client.id);
            let why = why.description.as_deref().unwrap_or_default();
            tracing::warn!(client, peer = %self.peer, why, "a message is rejected; others of this connection are not told");
        }
    }

    /// Whether nobody would hear that a message is rejected.
    fn is_unheard(&self, transfer: &Transfer<'_>) -> bool {
        let rejects =
            matches!(self.end(transfer.link), Some(End::Incoming(incoming)) if incoming.refusal == Refusal::Rejected);
        transfer.settled || !rejects
    }

    /// A message says itself where to, and cannot go there: if its sender would not hear of it otherwise, its link is ended, and
    /// the error says of which message it is (Anonymous Terminus 1.0, 2.2.2).
    fn unroutable(&mut self, now: Time, transfer: &Transfer<'_>, why: Error) {
        self.answers.push_back((0, ended(now, transfer.link, &transfer.tag, why)));
    }

    /// A message that is not settled is not taken: its sender hears so in a way that it knows (3.5.3).
    fn refuse_message(&mut self, now: Time, (link, delivery): (LinkId, DeliveryId), tag: &[u8], why: Error) {
        let refusal = match self.end(link) {
            Some(End::Incoming(incoming)) => &incoming.refusal,
            _ => &Refusal::Rejected,
        };
        let state = match refusal {
            Refusal::Rejected => State::rejected(why),
            Refusal::Other(outcome) => State::Ended(outcome.clone()),
            Refusal::EndsLink => return self.answers.push_back((0, ended(now, link, tag, why))),
        };
        self.answers.push_back((0, Told::Incoming { link, delivery, state, settled: true }));
    }

    /// A delivery is resumed: whether that is all there is to do about it.
    fn is_resumed(&mut self, transfer: &Transfer<'_>) -> bool {
        let Some(End::Incoming(incoming)) = self.end(transfer.link) else { return false };
        let (context, link_name) = (&self.context, &incoming.name);
        let is_known = context.broker.has_tag(link_name, &transfer.tag);
        let has_ended = matches!(transfer.state.as_deref(), Some(State::Ended(_)));
        if transfer.settled && (has_ended || is_known) {
            // It came before; its publisher knows now, too. Perhaps the broker has forgotten it meanwhile: its publisher may
            // have come back once more before this was read.
            context.broker.forget_tag(link_name, &transfer.tag);
            return true;
        }
        if is_known || self.transactions.has_post(transfer.link, &transfer.tag) {
            return false;
        }
        // What is resumed and not known here is not looked at (2.7.5): its sender keeps it, and its credit comes back.
        if !transfer.settled {
            let (link, delivery, state) = (transfer.link, transfer.delivery, State::RELEASED);
            self.answers.push_back((0, Told::Incoming { link, delivery, state, settled: true }));
        }
        true
    }

    /// Hands a message to the hall.
    fn take_in(&mut self, now: Time, transfer: &Transfer<'_>) -> Result<(), Refused> {
        let context = self.context.clone();
        if transfer.format != 0 {
            return Err(error(AmqpError::NotImplemented, "only message format 0 is known").into());
        }
        if transfer.resume && self.is_resumed(transfer) {
            return Ok(());
        }
        let sections = Sections::scan(&transfer.bytes, &context.amqp).map_err(|why| *why)?;
        if self.serve(now, transfer, &sections)? {
            return Ok(());
        }
        let Some(End::Incoming(incoming)) = self.end(transfer.link) else { return Ok(()) };
        let properties = sections.properties();
        self.check_user(properties.user_id)?;
        let name = match (&incoming.address, properties.to.map(address::node)) {
            (Some(address), _) => address.clone(),
            (None, Some(to)) if !to.is_empty() => to.into(),
            (None, _) => {
                let why = "the message does not say where to (`to`)";
                return Err(no_way(error(AmqpError::PreconditionFailed, why)));
            }
        };
        if address::is_dynamic(&name) && retains(&sections) {
            let why = "nothing is retained at a dynamic node: it goes with its link";
            return Err(error(AmqpError::NotAllowed, why).into());
        }
        let (is_relay, second) = (incoming.address.is_none(), incoming.second);
        let link_name = incoming.name.clone();
        if is_relay && (address::is_queue(&name, None) || is_for_queue(&sections) && !address::is_dynamic(&name)) {
            self.may_send_to(now, &name, true).map_err(no_way)?;
        }
        let handover = match (transfer.settled, second && !transfer.settles_first) {
            (true, _) => Guarantee::AtMostOnce,
            (false, false) => Guarantee::AtLeastOnce,
            (false, true) => Guarantee::ExactlyOnce,
        };
        if let Some(State::Transactional { txn, .. }) = transfer.state.as_deref()
            // One that is known was committed, and its publisher has not heard of it.
            && !(handover == Guarantee::ExactlyOnce && context.broker.has_tag(&link_name, &transfer.tag))
        {
            return Ok(self.post(now, transfer, txn, &name, handover)?);
        }
        let tag = (handover == Guarantee::ExactlyOnce).then(|| (link_name, Box::from(&transfer.tag[..])));
        let (link, delivery, delivery_tag) = (transfer.link, transfer.delivery, transfer.tag.clone());
        let waiting = Waiting { link, delivery, handover, tag, delivery_tag };
        let slot = match self.slot(&context, &waiting) {
            Ok(slot) => slot,
            Err(NotNew::Repeated(_)) if !transfer.resume => {
                // To take it for the other one would lose it (2.6.12).
                let why = "the delivery-tag is that of another delivery which is not settled";
                self.end_link(now, transfer.link, &error(AmqpError::NotAllowed, why));
                return Ok(());
            }
            Err(NotNew::Answered(answer) | NotNew::Repeated(answer)) => {
                self.answer_publication(now, &waiting, answer);
                return Ok(());
            }
            Err(NotNew::Stolen) => {
                let why = "the link goes on over another connection";
                self.end_link(now, transfer.link, &error(LinkError::Stolen, why));
                return Ok(());
            }
        };
        let publish = publication(&sections, &name, handover, self.origin, now);
        let taken = {
            let mut worker = context.worker.borrow_mut();
            context.broker.publish_bare(&mut worker, &mut self.publisher, now, publish, slot)
        };
        if let Taken::No(refusal) = &taken
            && is_relay
            && matches!(refusal.kind, RefusalKind::NotAuthorized | RefusalKind::TopicInvalid)
            && self.is_unheard(transfer)
        {
            self.unroutable(now, transfer, words::refused(refusal));
            return Ok(());
        }
        self.answer_publication(now, &waiting, taken);
        Ok(())
    }

    /// A message to a service of the broker's own; false: it is for the hall.
    fn serve(&mut self, now: Time, transfer: &Transfer<'_>, sections: &Sections<'_>) -> Result<bool, Error> {
        let (link, delivery) = (transfer.link, transfer.delivery);
        let Some(Some((_, End::Incoming(incoming)))) = self.links.get_mut(link.index()) else { return Ok(false) };
        let service = match (&incoming.service, &incoming.address) {
            (None, None) => sections.properties().to.map(address::node).and_then(services::service),
            (service, _) => service.clone(),
        };
        if service.is_some() && matches!(transfer.state.as_deref(), Some(State::Transactional { .. })) {
            return Err(error(AmqpError::NotImplemented, "the broker's own services take part in no transaction"));
        }
        let after = match service {
            None => return Ok(false),
            Some(Service::Sessions) => {
                let asking = incoming.asking.clone();
                self.session_request(now, &asking, sections)?
            }
            Some(Service::Releases(id)) => self.release_request(&id, sections)?,
            Some(Service::Wills) if incoming.address.is_none() => {
                return Err(error(AmqpError::PreconditionFailed, "a will needs a link of its client's name"));
            }
            Some(Service::Management) => self.management_request(now, sections)?,
            Some(Service::Wills) => {
                let Some(will) = incoming.will.take() else { return Ok(true) };
                let kept = self.will_request(now, &will, sections);
                if let Some(Some((_, End::Incoming(incoming)))) = self.links.get_mut(link.index()) {
                    incoming.will = Some(will);
                }
                match kept {
                    Ok(after) => after,
                    // What is no will ends the link.
                    Err(why) => {
                        self.end_link(now, link, &why);
                        return Ok(true);
                    }
                }
            }
        };
        if !transfer.settled {
            let state = State::ACCEPTED;
            self.answers.push_back((after, Told::Incoming { link, delivery, state, settled: true }));
        }
        Ok(true)
    }

    /// Whoever is known may not say that somebody else made a message.
    pub(super) fn check_user(&self, user_id: Option<&[u8]>) -> Result<(), Error> {
        let identity = self.client.as_ref().and_then(|client| client.scope.identity.clone());
        match (user_id, identity) {
            (Some(said), Some(known)) if !said.is_empty() && said != known.as_bytes() => {
                Err(error(AmqpError::UnauthorizedAccess, "user-id is not the name of the authenticated user"))
            }
            _ => Ok(()),
        }
    }

    /// The right to publish under a tag, if there is one.
    fn slot<'a>(&self, context: &Context, waiting: &'a Waiting) -> Result<Option<Slot<'a>>, NotNew> {
        let Some((name, tag)) = &waiting.tag else { return Ok(None) };
        match context.broker.admit(name, tag, self.origin) {
            Admission::New(slot) => Ok(Some(slot)),
            // Its publisher has not heard of it.
            Admission::Known(after) => Err(NotNew::Answered(Taken::Yes(after, Routed::Matched))),
            Admission::Repeated(after) => Err(NotNew::Repeated(Taken::Yes(after, Routed::Matched))),
            Admission::Full(refusal) => Err(NotNew::Answered(Taken::No(refusal))),
            Admission::Stolen => Err(NotNew::Stolen),
        }
    }

    fn answer_publication(&mut self, now: Time, waiting: &Waiting, taken: Taken) {
        let (link, delivery) = (waiting.link, waiting.delivery);
        match taken {
            Taken::Parked => self.waiting = Some(waiting.clone()),
            _ if waiting.handover == Guarantee::AtMostOnce => {}
            Taken::Yes(after, _) => {
                let (state, settled) = (State::ACCEPTED, waiting.handover == Guarantee::AtLeastOnce);
                self.answers.push_back((after, Told::Incoming { link, delivery, state, settled }));
            }
            Taken::No(refusal) => {
                self.refuse_message(now, (link, delivery), &waiting.delivery_tag, words::refused(&refusal));
            }
        }
    }

    /// Goes on with a publication that waited for room.
    pub(super) fn go_on(&mut self, now: Time) {
        let Some(waiting) = self.waiting.take() else { return };
        let context = self.context.clone();
        let slot = match self.slot(&context, &waiting) {
            Ok(slot) => slot,
            Err(answer) => {
                context.broker.give_up(&mut self.publisher);
                if let NotNew::Answered(answer) | NotNew::Repeated(answer) = answer {
                    self.answer_publication(now, &waiting, answer);
                }
                return;
            }
        };
        let taken = {
            let mut worker = context.worker.borrow_mut();
            context.broker.resume_bare(&mut worker, &mut self.publisher, now, slot)
        };
        self.answer_publication(now, &waiting, taken);
    }
}

/// The end of a link over one of its messages, which the error names.
fn ended(now: Time, link: LinkId, tag: &[u8], mut why: Error) -> Told {
    let tag = Value::Binary(tag.to_vec().into());
    why.info = Some(Box::new([(Symbol::from("delivery-tag"), tag)].into_iter().collect()));
    Told::Ended { link, now, why }
}

/// What the hall has to know of a message.
pub(super) fn publication<'a>(
    sections: &Sections<'a>,
    name: &'a str,
    handover: Guarantee,
    origin: u64,
    now: Time,
) -> PublishBare<'a> {
    let header = sections.header();
    // A message may also say when it is worthless (3.2.4); if it says both, what is over first counts.
    // Older clients write 0, or less, where they have nothing to say.
    let until = sections.properties().absolute_expiry_time.filter(|at| *at > 0).and_then(|at| u64::try_from(at).ok());
    let left = until.map(|at| Time(at).since(now));
    let level = ["x-opt-mqtt-qos", "x-opt-qos"].into_iter().find_map(|name| {
        let value = said(sections, name)?;
        let number = value.as_integer().or_else(|| value.as_str()?.trim().parse().ok());
        number.and_then(|level| u8::try_from(level).ok())
    });
    let declared = level.and_then(Guarantee::from_level);
    let by_durable = if header.durable { Guarantee::AtLeastOnce } else { Guarantee::AtMostOnce };
    let blank = match sections.body() {
        Body::Nothing => true,
        Body::Data(bytes) => bytes.is_empty(),
        Body::Value(value) => {
            value.is_null() || value.as_binary().is_some_and(<[u8]>::is_empty) || value.as_str() == Some("")
        }
        // As the payload of a PUBLISH they are joined.
        Body::DataMany(mut parts) => parts.all(|part| part.as_binary().is_some_and(<[u8]>::is_empty)),
        Body::Sequence(_) => false,
    };
    PublishBare {
        name,
        guarantee: declared.unwrap_or(by_durable),
        retain: retains(sections),
        expiry_milliseconds: header.ttl_milliseconds.map(u64::from).into_iter().chain(left).min(),
        bare: Bare { handover, blank, durable: header.durable, priority: header.priority },
        origin,
        encoded: sections.kept(),
    }
}

/// What a message says as message annotation, or, as in a draft of the design, as delivery annotation.
fn said<'m>(sections: &Sections<'m>, name: &str) -> Option<RawValue<'m>> {
    let of_delivery = || sections.delivery_annotations().find(|(key, _)| key.as_symbol() == Some(name));
    sections.message_annotation(name).or_else(|| of_delivery().map(|(_, value)| value))
}

/// Whether its address is said to be a queue's, as JMS's clients say it where a link has no target that could: the
/// annotation `x-opt-jms-dest` is 0 for a queue, 1 for a topic (AMQP JMS Mapping 1.0).
fn is_for_queue(sections: &Sections<'_>) -> bool {
    sections.message_annotation("x-opt-jms-dest").and_then(|kind| kind.as_integer()) == Some(0)
}

/// Whether it is to be kept as its topic's last value.
fn retains(sections: &Sections<'_>) -> bool {
    let said = ["x-opt-retain-message", "x-opt-retain"].into_iter().find_map(|name| said(sections, name));
    said.and_then(|value| value.as_bool()).unwrap_or(false)
}
