//! Links come and go.

use super::address::{self, Node, Refusal, Stay, With};
use super::door::Rope;
use super::management;
use super::outcome::{Told, disposal};
use super::parted::Gone;
use super::services::{self, Own, Service, WillLink};
use super::sessions::{Asking, EACH};
use super::side::{End, Side};
use super::tag;
use super::wire::Serving;
use super::words;
use crate::amqp::{
    AmqpError, Array, Attach, AttachReply, Detach, Direction, DistributionMode, Error, Filters, LinkId, NODE_PROPERTY,
    Outcome, ReceiverSettles, SenderSettles, Sink, Source, State, Symbol, TOPICS_PROPERTY, Target, TerminusDurability,
    Unsettled, Value, error,
};
use crate::broker::{self, Attachment, Parting, Receive, SessionInfo, Temporary, link_names};
use crate::client::Client;
use crate::dialogue::{RetainHandling, SubscribeFilter, SubscribeOptions};
use crate::message::{Guarantee, Time};
use crate::store::Sequence;
use std::collections::HashSet;
use std::sync::Arc;

/// A link on which the client sends.
pub(super) struct Incoming {
    /// Under which its exactly-once publications are remembered.
    pub name: Box<str>,
    /// Where to; none: each message says it.
    pub address: Option<Box<str>>,
    /// It settles second.
    pub second: bool,
    /// How it hears that a message is not taken.
    pub refusal: Refusal,
    /// It is detached, and there only for what is live of it.
    pub is_parted: bool,
    /// What it sends goes to a service of the broker's own.
    pub service: Option<Service>,
    /// The will that it stands for.
    pub will: Option<WillLink>,
    /// How it asks the subscription service.
    pub asking: Asking,
    /// The temporary queue that was made for it.
    pub made: Option<Temporary>,
}

/// A link on which it receives.
pub(super) struct Receiver {
    /// What it is to the hall.
    pub link: broker::Link,
    /// For how long its mailbox stays without it.
    pub stay: Stay,
    /// For how long its source stays, as it was said: that of a queue, too.
    pub policy: Stay,
    /// It consumes a queue.
    pub is_queue: bool,
    /// It is detached, and there only for what is live of it.
    pub is_parted: bool,
    /// Its session.
    pub session: u16,
    /// Its mailbox is a client's session, which outlives every link.
    pub is_session: bool,
    /// It waits for answers of `$management`: its target's address, and the topic that they come by.
    pub replies: Option<(Box<str>, Box<str>)>,
    /// What becomes of a delivery that is settled without a word (3.5.3).
    pub default_outcome: Outcome,
    /// The session was not there before.
    pub made_session: bool,
    /// The temporary queue that was made for it.
    pub made: Option<Temporary>,
}

impl Receiver {
    /// The name of its mailbox.
    pub(super) fn mailbox(&self) -> &str {
        self.link.client().map_or("", |client| &client.id)
    }
}

/// A subscription whose link is detached, and that lasts as long as its session or connection.
pub(super) struct Held {
    /// Whose name it has.
    client: Arc<Client>,
    /// What its receiver was to the hall.
    attachment: Attachment,
    /// Its session; none: the connection is what it lasts as long as.
    session: Option<u16>,
    /// Its time from then on.
    seconds: u32,
}

impl Held {
    fn mailbox(&self) -> &str {
        &self.client.id
    }

    fn stay(&self) -> Stay {
        let with = if self.session.is_some() { With::Session } else { With::Connection };
        Stay { with, seconds: self.seconds }
    }
}

/// What a receiver that comes back is told, and is sent again.
#[derive(Default)]
struct Resumed {
    unsettled: Option<Unsettled>,
    open: Vec<u64>,
    /// Those of which it has a part.
    partial: Vec<u64>,
    /// When what is over is so for good.
    forgotten: Sequence,
}

impl Side {
    pub(super) fn attach(&mut self, now: Time, attach: Attach) {
        if let Some(stolen) = attach.stolen {
            self.drop_link(now, stolen, |receiver| Gone::left(receiver.stay.parting(With::Link)));
        }
        let link = attach.link;
        let answered = match attach.direction {
            Direction::Incoming => self.attach_incoming(now, &attach),
            Direction::Outgoing => self.attach_outgoing(now, &attach),
        };
        if let Err(why) = answered {
            self.wire(|wire| wire.machine.refuse(link, why, &mut wire.front));
        }
    }

    fn put(&mut self, link: LinkId, end: End) {
        let at = link.index();
        if self.links.len() <= at {
            self.links.resize_with(at + 1, || None);
        }
        self.links[at] = Some((link, end));
    }

    /// Agrees with what is asked for. Whoever says which broker it is hears the same of this one: with it bridges see that a
    /// message has been here before. They are told the topic of each message, as is whoever asks for that alone.
    fn agree(&self, attach: &Attach) -> AttachReply {
        let mut reply = AttachReply::agree(attach);
        let names_itself = attach.properties.contains_key(&Symbol::from(NODE_PROPERTY));
        let node = self.context.broker.node().filter(|_| names_itself);
        if let Some(node) = node {
            reply.properties.insert(Symbol::from(NODE_PROPERTY), Value::String(node.to_string()));
        }
        let topics = Symbol::from(TOPICS_PROPERTY);
        if node.is_some() || attach.properties.get(&topics) == Some(&Value::Bool(true)) {
            reply.properties.insert(topics, Value::Bool(true));
        }
        reply
    }

    fn attach_incoming(&mut self, now: Time, attach: &Attach) -> Result<(), Error> {
        let mut reply = self.agree(attach);
        let (mut refused, mut made) = (None, None);
        let client = self.client.clone().ok_or_else(not_in)?;
        let name = address::publishing(client.scope.identity.as_deref(), &client.id, &attach.name);
        let source = attach.source.as_deref();
        let end = match &attach.sink {
            Some(Sink::Coordinator(_)) => End::Coordinator { rejects: address::knows_rejected(source) },
            Some(Sink::Target(target)) => {
                let address = target_address(target);
                if let (Some(address), true, Some(Sink::Target(told))) = (&address, target.dynamic, &mut reply.sink) {
                    told.address = Some(address.to_string());
                }
                let service = address.as_deref().and_then(services::service);
                let own = address.as_deref().filter(|_| service.is_none());
                let is_queue = own.is_some_and(|own| address::is_queue(own, target.capabilities.as_ref()));
                if let Some(Sink::Target(told)) = &mut reply.sink {
                    let node = Node { is_queue, is_shared: false, is_dynamic: target.dynamic };
                    told.capabilities = node.capabilities(target.capabilities.as_ref());
                }
                let each = attach.desired_capabilities.iter().any(|wanted| wanted.0 == EACH);
                if each && service == Some(Service::Sessions) {
                    reply.offered_capabilities.push(Symbol::from(EACH));
                }
                self.check_size(attach.link, &reply)?;
                if let Some(address) = own.filter(|_| target.dynamic) {
                    if is_queue {
                        self.may_send_to(now, address, false)?;
                    }
                    made = self.make_node(now, address, is_queue)?;
                } else if let Some(address) = own {
                    if services::is_unknown(address) {
                        return Err(no_service());
                    }
                    refused = self.may_send_to(now, address, is_queue).err();
                }
                let second = attach.receiver_settles == ReceiverSettles::Second;
                let resumes = attach.unsettled.as_ref().is_some_and(|told| !told.is_empty());
                if refused.is_none() || resumes {
                    if second {
                        self.context.broker.own_tags(&name, self.origin);
                    }
                    reply.unsettled = self.known_publications(&name, attach);
                }
                // What was taken is told first to whoever asks (2.6.13), though nothing more may come: whoever did not hear of
                // it would send it again elsewhere.
                if let Some(why) = refused.take_if(|_| reply.unsettled.is_none()) {
                    self.context.broker.disown_tags(now, &name, self.origin);
                    return Err(why);
                }
                reply.credit = refused.as_ref().map(|_| 0);
                let will = match &service {
                    Some(service) => {
                        let attached = self.attach_to_service(now, attach, service);
                        attached.inspect_err(|_| self.context.broker.disown_tags(now, &name, self.origin))?
                    }
                    None => None,
                };
                let asking = Asking { link: attach.name.clone(), each };
                End::Incoming(Box::new(Incoming {
                    name,
                    address,
                    second,
                    refusal: Refusal::of(source),
                    is_parted: false,
                    service,
                    will,
                    asking,
                    made,
                }))
            }
            None => return Err(error(AmqpError::InvalidField, "a link to send on needs a target")),
        };
        self.put(attach.link, end);
        // What was taken may not be on disk yet, nor that a will which waits for its client does so no more.
        let has_will = matches!(self.end(attach.link), Some(End::Incoming(incoming)) if incoming.will.is_some());
        let waits = has_will || reply.unsettled.is_some();
        let after = if waits { self.context.broker.store().submitted() } else { 0 };
        self.answer_attach(after, attach.link, reply, None);
        if let Some(why) = refused {
            self.answers.push_back((after, Told::Ended { link: attach.link, now, why }));
            self.say();
        }
        Ok(())
    }

    /// Nothing is done for a link whose client could not be answered (2.7.1).
    fn check_size(&self, link: LinkId, reply: &AttachReply) -> Result<(), Error> {
        let fits = self.wire(|wire| wire.machine.fits(link, reply)).unwrap_or(true);
        let why = "the answer to this attach does not fit into your max-frame-size";
        if fits { Ok(()) } else { Err(error(AmqpError::FrameSizeTooSmall, why)) }
    }

    /// Looks whether the client may send to an address, and makes its queue if it is one's and that is not there.
    pub(super) fn may_send_to(&mut self, now: Time, address: &str, is_queue: bool) -> Result<(), Error> {
        let context = self.context.clone();
        let mut worker = context.worker.borrow_mut();
        let may = context.broker.may_send_to(&mut worker, &mut self.publisher, now, address, is_queue);
        may.map_err(|refusal| words::refused(&refusal))
    }

    /// A dynamic node that is a queue is made (3.5.3, 3.5.4); of a topic there is nothing to make.
    fn make_node(&self, now: Time, address: &str, is_queue: bool) -> Result<Option<Temporary>, Error> {
        if !is_queue {
            return Ok(None);
        }
        let context = &self.context;
        let mut worker = context.worker.borrow_mut();
        let made = context.broker.make_temporary(&mut worker, &self.publisher, now, address);
        made.map(Some).map_err(|refusal| words::refused(&refusal))
    }

    /// The link that a node was made for has gone (3.5.10).
    fn end_node(&self, now: Time, made: Option<Temporary>) {
        if let Some(made) = made {
            self.context.broker.end_temporary(&mut self.context.worker.borrow_mut(), now, &made);
        }
    }

    /// What the broker remembers of a sending link. What the client has forgotten is forgotten here, too.
    fn known_publications(&self, name: &str, attach: &Attach) -> Option<Unsettled> {
        let broker = &self.context.broker;
        let asked = attach.unsettled.as_deref().unwrap_or_default().iter().map(|(tag, _)| tag);
        if !attach.incomplete_unsettled {
            let asked: HashSet<&[u8]> = asked.clone().map(|tag| &tag[..]).collect();
            let others = broker.tags(name).into_iter().filter(|tag| !asked.contains(&tag[..]));
            others.for_each(|tag| broker.forget_tag(name, &tag));
        }
        let known = asked.filter(|tag| broker.has_tag(name, tag)).map(|tag| (tag.clone(), Some(State::ACCEPTED)));
        let known: Unsettled = known.collect();
        (!known.is_empty()).then_some(known)
    }

    fn attach_outgoing(&mut self, now: Time, attach: &Attach) -> Result<(), Error> {
        let mut reply = self.agree(attach);
        let client = self.client.clone().ok_or_else(not_in)?;
        let Some(source) = attach.source.as_deref() else { return self.find_again(now, attach, reply) };
        let address: String = match &source.address {
            None if source.dynamic => address::dynamic(source.capabilities.as_ref()),
            Some(address) if !source.dynamic && !address::node(address).is_empty() => address::node(address).into(),
            _ => return Err(error(AmqpError::InvalidField, "the source needs an address, or to be dynamic")),
        };
        if address.starts_with("$share/") {
            let how = "a subscription is shared by capability `shared` of its source, not by its address";
            return Err(error(AmqpError::InvalidField, how));
        }
        let policy = address::stay(source).within(self.context.broker.limits().expiry_seconds_max);
        let (predicate, options) = self.condition(source, attach, &mut reply)?;
        let is_queue = address::is_queue(&address, source.capabilities.as_ref());
        let own = services::own(&address).filter(|_| !source.dynamic);
        if let Some(told) = &mut reply.source {
            let is_shared = own.is_none() && !is_queue && address::is_shared(source);
            let node = Node { is_queue, is_shared, is_dynamic: source.dynamic };
            told.capabilities = node.capabilities(source.capabilities.as_ref());
            // 2.6.3: what is granted, where that is less than what is asked for.
            if !is_queue && policy != address::stay(source) {
                (told.expiry_policy, told.timeout) = policy.policy();
            }
        }
        if own.is_none() && services::is_unknown(&address) {
            return Err(no_service());
        }
        let wanted = if let Some(own) = own {
            let claimed = Client { id: own.id().into(), ..(*client).clone() };
            let may = self.context.broker.may_claim(&mut self.context.worker.borrow_mut(), &claimed);
            may.map_err(|refusal| words::refused(&refusal))?;
            // A session's filters are made by the subscription service, or came with the client from MQTT.
            let source = match own {
                Own::Publish(_) => broker::Source::Session,
                Own::Control(_) => {
                    broker::Source::Subscription { filter: None, expiry_seconds: 0, clean: true, shared: false }
                }
            };
            let container = Some(own.id().into());
            let client = Client { id: own.mailbox(), container, ..claimed };
            Receive { client, origin: self.origin, source, predicate }
        } else if is_queue {
            let browses = source.distribution_mode == Some(DistributionMode::Copy);
            let id = link_names::alone(&client.id, self.origin, &attach.name);
            let link = link_names::kept(&client.id, &attach.name).into();
            let source = broker::Source::Queue { address: address.as_str().into(), browses, link };
            Receive { client: at_link(&client, &id), origin: self.origin, source, predicate }
        } else {
            let shared = address::is_shared(source);
            if shared && address::shared_name(&attach.name).is_empty() {
                let how = "a shared subscription has the name of its link up to `|`, which is empty";
                return Err(error(AmqpError::InvalidField, how));
            }
            let id = match (shared, policy.seconds > 0) {
                (true, stays) => address::shared_mailbox(source, &client.id, &attach.name, stays),
                (false, true) => link_names::kept(&client.id, &attach.name),
                (false, false) => link_names::alone(&client.id, self.origin, &attach.name),
            };
            let name = if address == management::ADDRESS { address::topic() } else { address.clone() };
            let filter = SubscribeFilter { name: name.into(), share: None, options };
            let named = at_link(&client, &id);
            // Another address under the name of a link is another subscription: what waits is of the one before.
            let kept = self.session(&named).ok().flatten();
            let clean = kept.is_some_and(|kept| {
                !kept.filters.is_empty() && kept.filters.iter().all(|(name, _)| *name != *filter.name)
            });
            let (filter, expiry_seconds) = (Some(filter), policy.seconds);
            let source = broker::Source::Subscription { filter, expiry_seconds, clean, shared };
            Receive { client: named, origin: self.origin, source, predicate }
        };
        let stay = if own.is_some() || is_queue { Stay::NOT } else { policy };
        self.receive(now, attach, wanted, (stay, policy), &address, reply)
    }

    /// A receiver without a source comes back to the subscription that it left under the name of its link (2.6.3, 2.6.12).
    fn find_again(&mut self, now: Time, attach: &Attach, mut reply: AttachReply) -> Result<(), Error> {
        let client = self.client.clone().ok_or_else(not_in)?;
        let unknown = || error(AmqpError::NotFound, "no subscription is kept under the name of this link");
        let wanted = Source { capabilities: some(&attach.desired_capabilities), ..Source::default() };
        let own = link_names::kept(&client.id, &attach.name);
        let shared = address::shared_mailbox(&wanted, &client.id, &attach.name, true);
        for (id, shared) in [(own, false), (shared, true)] {
            let named = at_link(&client, &id);
            let session = self.session(&named)?;
            let Some(kept) = session.filter(|kept| kept.until.is_none_or(|until| now < until)) else { continue };
            let Some((address, _)) = kept.filters.first() else { continue };
            // Of one that lasts as long as a session or a connection, that one knows it.
            let held = self.held.iter().find(|held| held.mailbox() == id).map(Held::stay);
            let stay = held.unwrap_or(Stay { with: With::Link, seconds: kept.expiry_seconds });
            let capabilities = Node { is_queue: false, is_shared: shared, is_dynamic: false };
            reply.source =
                Some(Box::new(as_kept(&kept, stay, capabilities.capabilities(wanted.capabilities.as_ref()))));
            let source = broker::Source::Kept { shared };
            let wanted = Receive { client: named, origin: self.origin, source, predicate: None };
            return self.receive(now, attach, wanted, (stay, stay), address, reply);
        }
        Err(unknown())
    }

    /// What a source wants of its node.
    fn condition(
        &self,
        source: &Source,
        attach: &Attach,
        reply: &mut AttachReply,
    ) -> Result<(Option<crate::dialogue::Predicate>, SubscribeOptions), Error> {
        let limits = &self.context.amqp;
        let filters = source.filter.as_ref().map(|set| Filters::compile(set, limits)).transpose();
        let filters = filters.map_err(|why| *why)?.unwrap_or_default();
        if !filters.are_none() && self.context.broker.is_short() {
            let why = "messages and filters take too much memory; attach later";
            return Err(error(AmqpError::ResourceLimitExceeded, why));
        }
        if let Some(told) = &mut reply.source {
            told.filter = (!filters.in_force.is_empty()).then(|| filters.in_force.clone());
        }
        let guarantee = match (attach.sender_settles, attach.receiver_settles) {
            (SenderSettles::Settled, _) => Guarantee::AtMostOnce,
            (_, ReceiverSettles::First) => Guarantee::AtLeastOnce,
            (_, ReceiverSettles::Second) => Guarantee::ExactlyOnce,
        };
        let options = SubscribeOptions {
            guarantee,
            no_local: filters.no_local,
            retain_as_published: false,
            retain_handling: RetainHandling::IfNew,
            identifier: None,
        };
        Ok((filters.predicate(limits.clone()), options))
    }

    fn receive(
        &mut self,
        now: Time,
        attach: &Attach,
        wanted: Receive,
        (stay, policy): (Stay, Stay),
        address: &str,
        mut reply: AttachReply,
    ) -> Result<(), Error> {
        if let Some(told) = &mut reply.source {
            // As the client wrote it, if it did: clients compare.
            told.address.get_or_insert_with(|| address.to_owned());
        }
        self.check_size(attach.link, &reply)?;
        if stay.with > With::Link {
            self.may_be_held(&wanted.client.id)?;
        }
        let replies = replies(attach, address, &wanted.source);
        let is_queue = matches!(wanted.source, broker::Source::Queue { .. });
        let is_dynamic = attach.source.as_deref().is_some_and(|source| source.dynamic);
        let made = if is_dynamic { self.make_node(now, address, is_queue)? } else { None };
        let context = self.context.clone();
        let door = self.bell.door(attach.link, self.outlet.clone());
        let received = {
            let mut worker = context.worker.borrow_mut();
            context.broker.receive(&mut worker, now, Arc::new(Rope(door.clone())), wanted)
        };
        let received = match received {
            Ok(received) => received,
            Err(refusal) => {
                self.end_node(now, made);
                return Err(words::refused(&refusal));
            }
        };
        let Some(attachment) = received.link.attachment().cloned() else { return Err(not_in()) };
        let Resumed { unsettled, open, partial, forgotten } = self.resume(now, &attachment, attach);
        reply.unsettled = unsettled;
        let is_session = matches!(services::own(address), Some(Own::Publish(_)));
        let receiver = Receiver {
            link: received.link,
            stay,
            policy,
            is_queue,
            is_parted: false,
            session: attach.session,
            is_session,
            made_session: is_session && !received.resumed,
            replies,
            default_outcome: address::default_outcome(attach.source.as_deref()),
            made,
        };
        self.held.retain(|held| held.mailbox() != receiver.mailbox());
        self.put(attach.link, End::Outgoing(Box::new(receiver)));
        let settles = attach.sender_settles == SenderSettles::Settled;
        let tells_topics = reply.properties.contains_key(&Symbol::from(TOPICS_PROPERTY));
        let serving = Serving { door, attachment, settles, resumed: open, is_session, tells_topics, partial };
        self.answer_attach(received.after.max(forgotten), attach.link, reply, Some(serving));
        Ok(())
    }

    /// Answers when so much is on disk.
    fn answer_attach(&mut self, after: Sequence, link: LinkId, reply: AttachReply, serving: Option<Serving>) {
        let (reply, serving) = (Box::new(reply), serving.map(Box::new));
        self.answers.push_back((after, Told::Attached { link, reply, serving }));
        if after == 0 && self.answers.len() == 1 {
            self.say();
        }
    }

    /// What a receiver that comes back remembers: what it is done with is over, and what it waits for is sent again under
    /// the same tag.
    fn resume(&self, now: Time, attachment: &broker::Attachment, attach: &Attach) -> Resumed {
        let broker = &self.context.broker;
        if attach.incomplete_unsettled {
            // What it does not name it may have all the same (2.7.3).
            broker.resume_only(attachment);
        }
        let Some(told) = attach.unsettled.as_deref().filter(|told| !told.is_empty()) else { return Resumed::default() };
        broker.steal(&mut self.context.worker.borrow_mut(), now, attachment);
        let (mut done, mut open, mut partial) = (Vec::new(), Vec::new(), Vec::new());
        for (tag, state) in told {
            let Some(number) = tag::number(attachment.mailbox.id, tag) else { continue };
            match state {
                // As if it had never been sent.
                Some(State::Ended(Outcome::Released)) => {}
                Some(State::Ended(outcome)) => done.push((number, disposal(outcome.clone()))),
                None => open.push(number),
                Some(State::Received { .. }) => {
                    open.push(number);
                    partial.push(number);
                }
                // It comes again.
                Some(_) => {}
            }
        }
        let forgotten = broker.dispose_waiting(&mut self.context.worker.borrow_mut(), now, attachment, &done);
        let open = broker.still_waiting(attachment, &open);
        let tag = |number: &u64| tag::of(attachment.mailbox.id, *number);
        let unsettled: Unsettled = open.iter().map(|number| (tag(number), None)).collect();
        Resumed { unsettled: (!unsettled.is_empty()).then_some(unsettled), open, partial, forgotten }
    }

    /// A session stays, unless it was made by attaching to it and nothing was ever asked of it.
    fn parting(&self, receiver: &Receiver) -> Parting {
        let info = receiver.link.client().and_then(|client| self.session(client).ok().flatten());
        match receiver.made_session && info.is_some_and(|info| info.is_empty) {
            true => Parting::Closed,
            false => Parting::Session,
        }
    }

    /// A link goes down.
    pub(super) fn detached(&mut self, now: Time, detach: &Detach) {
        let closes = detach.closed && !detach.by_machine;
        let mut is_kept = false;
        match self.links.get_mut(detach.link.index()) {
            Some(Some((_, End::Incoming(incoming)))) => {
                let (will, name) = (incoming.will.take(), incoming.name.clone());
                if let Some(will) = will {
                    self.will_link_gone(now, &will, detach.error.is_none() && !detach.by_machine);
                    is_kept = true;
                }
                if closes {
                    self.transactions.link_closed(detach.link);
                }
                // A link that is closed is not resumed: what its publisher may not know it will not ask for (2.6.6).
                is_kept |= closes && self.context.broker.forget_tags(&name);
            }
            Some(Some((_, End::Outgoing(receiver)))) => {
                let is_durable = receiver.link.attachment().is_some_and(|own| own.mailbox.is_durable());
                is_kept = closes && (is_durable || receiver.default_outcome != Outcome::Released);
            }
            _ => {}
        }
        if !self.rest(now, detach) {
            self.drop_link(now, detach.link, |receiver| match detach.closed {
                true => Gone { how: Parting::Closed, settles: closes && !receiver.is_session },
                false => Gone::ended(receiver, With::Link, receiver.stay.parting(With::Link)),
            });
        }
        if !detach.by_machine {
            // Behind what the client has not heard of its deliveries yet; what ends with the link does not come back.
            let after = if is_kept { self.context.broker.store().submitted() } else { 0 };
            self.answers.push_back((after, Told::Detached { link: detach.link, closed: detach.closed }));
            if after == 0 && self.answers.len() == 1 {
                self.say();
            }
        }
    }

    /// A subscription that outlasts its link may be left behind; how many are is bounded like links are.
    fn may_be_held(&self, mailbox: &str) -> Result<(), Error> {
        let others = self.held.iter().filter(|held| held.mailbox() != mailbox).count();
        if others < self.context.amqp.links_max as usize {
            return Ok(());
        }
        let why = "too many subscriptions wait for links that were detached: close some, or end their session";
        Err(error(AmqpError::ResourceLimitExceeded, why))
    }

    /// A session, or the connection, has ended: the time of what lasted as long begins.
    pub(super) fn let_go(&mut self, now: Time, session: Option<u16>) {
        let is_over = |held: &mut Held| session.is_none() || held.session == session;
        let context = self.context.clone();
        let mut worker = context.worker.borrow_mut();
        for held in self.held.extract_if(.., is_over) {
            context.broker.let_go(&mut worker, now, &held.attachment, held.seconds);
        }
    }

    /// The hall lets go of a receiver.
    fn part_receiver(&mut self, now: Time, link: LinkId, receiver: &Receiver, how: Parting) {
        let how = if receiver.is_session { self.parting(receiver) } else { how };
        let context = self.context.clone();
        // What ends with a transaction is nobody else's until that is discharged (4.4.2).
        let retired = self.retired_of(link);
        context.broker.part_but(&mut context.worker.borrow_mut(), now, &receiver.link, how, &retired);
        if let (Parting::Held(seconds), Some(attachment), Some(client)) =
            (how, receiver.link.attachment().cloned(), receiver.link.client().cloned())
        {
            let session = (receiver.stay.with == With::Session).then_some(receiver.session);
            self.held.push(Held { client, attachment, session, seconds });
        }
    }

    /// The same for one whose deliveries are live.
    pub(super) fn part(&mut self, now: Time, link: LinkId, how: Parting) {
        let Some(Some((_, End::Outgoing(receiver)))) = self.links.get_mut(link.index()).map(Option::take) else {
            return;
        };
        self.part_receiver(now, link, &receiver, how);
        self.put(link, End::Outgoing(receiver));
    }

    /// The hall lets go of a link; false: it had none.
    pub(super) fn drop_link(&mut self, now: Time, link: LinkId, how: impl FnOnce(&Receiver) -> Gone) -> bool {
        let Some(place) = self.links.get_mut(link.index()) else { return false };
        let Some((_, mut end)) = place.take_if(|(id, _)| *id == link) else { return false };
        self.parted -= usize::from(end.is_parted());
        let made = end.made();
        match end {
            // What it held was left where it was.
            End::Outgoing(receiver) if receiver.is_parted && !receiver.is_queue => {}
            End::Outgoing(receiver) => {
                self.wire(|wire| wire.leave(link));
                let Gone { how, settles } = how(&receiver);
                if settles {
                    self.settle_by_default(now, link, &receiver);
                }
                self.part_receiver(now, link, &receiver, how);
            }
            End::Coordinator { .. } => self.coordinator_gone(now, link),
            End::Incoming(incoming) if incoming.is_parted => {}
            End::Incoming(incoming) => {
                self.posts_lost(link);
                self.context.broker.disown_tags(now, &incoming.name, self.origin);
                if let Some(will) = &incoming.will {
                    self.will_link_gone(now, will, false);
                }
            }
        }
        self.end_node(now, made);
        true
    }
}

/// A client as the owner of the mailbox of one of its links.
fn at_link(client: &Client, mailbox: &str) -> Client {
    Client { id: mailbox.into(), container: Some(client.id.clone()), ..client.clone() }
}

/// Where a sender sends to; none: each message says it.
fn target_address(target: &Target) -> Option<Box<str>> {
    if target.dynamic {
        return Some(address::dynamic(target.capabilities.as_ref()).into());
    }
    target.address.as_deref().map(address::node).filter(|address| !address.is_empty()).map(Into::into)
}

fn no_service() -> Error {
    error(AmqpError::NotFound, "no service has this address, or messages go the other way there")
}

/// The target of a receiver at `$management`, and the topic that it is subscribed to instead.
fn replies(attach: &Attach, address: &str, source: &broker::Source) -> Option<(Box<str>, Box<str>)> {
    let broker::Source::Subscription { filter: Some(filter), .. } = source else { return None };
    let Some(Sink::Target(target)) = &attach.sink else { return None };
    let name = target.address.as_deref().filter(|_| address == management::ADDRESS)?;
    Some((name.into(), filter.name.clone()))
}

/// The source of a subscription that is there, as far as is known of it.
fn as_kept(kept: &SessionInfo, stay: Stay, capabilities: Option<Array<Symbol>>) -> Source {
    let (expiry_policy, timeout) = stay.policy();
    let filter = kept.condition.as_ref().and_then(Filters::asked_for);
    let filter = filter.or_else(|| kept.no_local.then(Filters::only_no_local));
    Source {
        durable: TerminusDurability::UnsettledState,
        expiry_policy,
        timeout,
        filter,
        capabilities,
        ..Source::default()
    }
}

fn some(capabilities: &[Symbol]) -> Option<Array<Symbol>> {
    (!capabilities.is_empty()).then(|| Array(capabilities.to_vec()))
}

fn not_in() -> Error {
    error(AmqpError::IllegalState, "the connection is not open")
}
