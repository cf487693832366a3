//! The task's side of an AMQP connection: works off frames one after the other, keeps which link is what to the hall, and
//! says what waits for the disk when it is there.

use super::address::With;
use super::attach::{Held, Incoming, Receiver};
use super::door::Bell;
use super::outcome::Told;
use super::parted::Gone;
use super::publish::Waiting;
use super::sasl::Admission;
use super::services;
use super::transactions::Transactions;
use super::wire::Wire;
use super::words;
use crate::amqp::{self, Action, AmqpError, Error, Flow, LinkId, Profile, Step, Symbol, Value, error};
use crate::broker::{self, Link, Parting};
use crate::client::{Client, Departure, Protocol};
use crate::dialogue::Closed;
use crate::identity::Circumstances;
use crate::message::{Time, Weight};
use crate::net::context::Context;
use crate::net::machine::Writer;
use crate::net::outlet::Outlet;
use crate::store::Sequence;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

/// A connection is over, and this is how its client went.
#[derive(Debug, Clone, Copy)]
pub struct Over(pub Departure);

/// See the head of this file.
pub struct Side {
    pub(super) context: Rc<Context>,
    pub(super) outlet: Arc<Outlet>,
    pub(super) bell: Arc<Bell>,
    pub(super) listener: Arc<str>,
    pub(super) peer: Arc<str>,
    pub(super) circumstances: Circumstances,
    pub(super) admission: Admission,
    /// The number under which it publishes.
    pub(super) origin: u64,
    /// The client, once it is in.
    pub(super) client: Option<Arc<Client>>,
    /// What the hall knows as the publisher.
    pub(super) publisher: Link,
    pub(super) links: Vec<Option<(LinkId, End)>>,
    /// What they left behind. At most as many as a connection may have links.
    pub(super) held: Vec<Held>,
    /// Links that are there only for deliveries of theirs.
    pub(super) parted: usize,
    /// A publication that waits for room in somebody's queue.
    pub(super) waiting: Option<Waiting>,
    pub(super) transactions: Transactions,
    /// What is said when so much is on disk.
    pub(super) answers: VecDeque<(Sequence, Told)>,
    /// The log has said that a message of its was rejected.
    pub(super) has_told_refusal: bool,
    /// For which of them the hall will wake this connection.
    awaited: Sequence,
    /// Messages of which not all has come, and what is counted for them.
    partial: (usize, Option<Weight>),
}

/// Messages of which not all has come are looked at again when they have grown or shrunk by so many bytes.
const PARTIAL_STEP: usize = 256 * 1024;

/// What a link is to the hall.
pub(super) enum End {
    /// The client sends.
    Incoming(Box<Incoming>),
    /// The client receives.
    Outgoing(Box<Receiver>),
    /// The client begins and ends transactions.
    Coordinator {
        /// It knows the outcome rejected.
        rejects: bool,
    },
}

impl Side {
    /// A connection that speaks AMQP; `wire` goes into the outlet.
    pub fn new(context: Rc<Context>, outlet: Arc<Outlet>, circumstances: Circumstances, opened: Time) -> Self {
        let bell = Arc::new(Bell::default());
        let (listener, peer) = (circumstances.listener.clone(), circumstances.peer.clone());
        let mechanisms = context.identity.mechanisms(&circumstances);
        let machine = amqp::Connection::new(context.amqp.clone(), profile(&mechanisms), opened);
        outlet.lock().writer = Writer::Amqp(Box::new(Wire::new(machine, bell.clone(), context.amqp.clone())));
        let nobody = broker::nobody(&listener, Protocol::Amqp);
        let publisher = Link::new(outlet.clone(), nobody);
        Self {
            origin: context.broker.origin(),
            context,
            outlet,
            bell,
            listener,
            peer,
            circumstances,
            admission: Admission::default(),
            client: None,
            publisher,
            links: Vec::new(),
            held: Vec::new(),
            parted: 0,
            waiting: None,
            transactions: Transactions::default(),
            answers: VecDeque::new(),
            has_told_refusal: false,
            awaited: 0,
            partial: (0, None),
        }
    }

    /// Does something with what stands behind the outlet's lock.
    pub(super) fn wire<T>(&self, act: impl FnOnce(&mut Wire) -> T) -> Option<T> {
        match &mut self.outlet.lock().writer {
            Writer::Amqp(wire) => Some(act(wire)),
            _ => None,
        }
    }

    /// Whether more may be read: not while a publication waits for room, or too many answers wait for the disk.
    pub fn reads(&self) -> bool {
        self.waiting.is_none()
            && !self.admission.waits()
            && self.answers.len() < self.context.limits.answers_waiting_max
    }

    /// When [`Self::tick`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        self.outlet.look(|out| match &out.writer {
            Writer::Amqp(wire) => wire.machine.deadline(),
            _ => None,
        })
    }

    /// Works off whole frames; how many bytes those were.
    ///
    /// # Errors
    /// The connection is over once what was said has been sent.
    pub fn frames(&mut self, now: Time, bytes: &[u8]) -> (usize, Result<(), Over>) {
        let mut used = 0;
        while used < bytes.len() && self.reads() && !self.context.is_turn_over(&self.context.worker.borrow()) {
            let step = self.wire(|wire| wire.machine.receive(now, &bytes[used..], &mut wire.front));
            match step {
                None | Some(Ok(Step::NeedMore { .. } | Step::Wait)) => break,
                Some(Ok(Step::Frame { length, action })) => {
                    used += length;
                    let acted = action.map_or(Ok(()), |action| self.act(now, action));
                    if acted.is_err() {
                        return (used, acted);
                    }
                }
                Some(Err(fault)) => {
                    tracing::debug!(%fault, peer = %self.peer, "a client broke the rules");
                    self.context.broker.metrics().protocol_violations_total.add(1);
                    return (used, Err(Over(Departure::ProtocolViolation)));
                }
            }
        }
        (used, self.weigh_partial())
    }

    /// What has come of long messages counts as what waits does. Past the mark on memory whoever makes it more has to go.
    fn weigh_partial(&mut self) -> Result<(), Over> {
        let bytes = self.wire(|wire| wire.machine.partial_bytes()).unwrap_or_default();
        let (before, _) = self.partial;
        if bytes.abs_diff(before) < PARTIAL_STEP && (bytes > 0 || before == 0) {
            return Ok(());
        }
        self.partial = (bytes, (bytes > 0).then(|| Weight::new(bytes)));
        if bytes <= before || !self.context.broker.is_short() {
            return Ok(());
        }
        let why = error(AmqpError::ResourceLimitExceeded, "messages take too much memory; send this one later");
        self.wire(|wire| wire.machine.close(Some(why), &mut wire.front));
        Err(Over(Departure::ClosedByBroker))
    }

    /// The client has said how much it takes, and may want to hear how much there is.
    fn flowed(&self, flow: &Flow) {
        let asked = flow.link.filter(|_| flow.asks);
        let available = asked.map(|link| match self.end(link) {
            Some(End::Outgoing(receiver)) => (link, receiver.link.attachment().map_or(0, broker::Attachment::waiting)),
            _ => (link, 0),
        });
        self.wire(|wire| {
            if let Some((link, available)) = available {
                wire.machine.answer_flow(link, available, &mut wire.front);
            }
            wire.ring(flow.link.filter(|_| !flow.opens));
        });
    }

    fn act(&mut self, now: Time, action: Action<'_>) -> Result<(), Over> {
        match action {
            Action::Transfer(transfer) => self.transfer(now, transfer),
            Action::Outcomes(outcomes) => {
                self.context.worker.borrow_mut().has_looked_at(outcomes.len());
                self.outcomes(now, &outcomes);
            }
            Action::Flow(flow) => match flow.link.filter(|_| acquires(&flow)) {
                Some(link) => self.end_link(now, link, &no_acquisition()),
                None => self.flowed(&flow),
            },
            Action::Forgotten(forgotten) => self.forgotten(now, &forgotten),
            Action::Attach(attach) => self.attach(now, *attach),
            Action::Detach(detach) => self.detached(now, &detach),
            Action::Ended { session, links, .. } => {
                for link in links {
                    self.drop_link(now, link, |receiver| {
                        Gone::ended(receiver, With::Session, receiver.stay.parting(With::Session))
                    });
                }
                self.let_go(now, Some(session));
            }
            Action::Open(opening) => return self.open(now, opening),
            Action::Authenticate(asked) => return self.authenticate(now, asked),
            Action::SaslResponse(response) => return self.respond(now, &response),
            Action::StartTls => return Err(Over(Departure::ProtocolViolation)),
            Action::Declare { link, delivery, is_global } => self.declare(now, link, delivery, is_global),
            Action::Discharge { link, delivery, txn, fail } => self.discharge(now, link, delivery, &txn, fail),
            Action::Closed { .. } => return Err(Over(Departure::Clean)),
        }
        Ok(())
    }

    /// False: it may not, beside another connection of its name.
    pub(super) fn come_in(&mut self, client: Arc<Client>, sole: bool) -> bool {
        let comes = self.context.broker.comes(&client, sole);
        if comes {
            self.publisher = Link::of(self.outlet.clone(), client.clone());
            self.client = Some(client);
        }
        comes
    }

    /// What is due.
    ///
    /// # Errors
    /// The client was silent for too long.
    pub fn tick(&mut self, now: Time, reads: bool) -> Result<(), Over> {
        if !reads {
            self.wire(|wire| wire.machine.excuse_silence(now));
        }
        loop {
            let ticked = self.wire(|wire| wire.machine.tick(now, &mut wire.front));
            match ticked {
                Some(Ok(Some(action))) => self.act(now, action)?,
                Some(Ok(None)) | None => return Ok(()),
                Some(Err(_)) => {
                    self.context.broker.metrics().keep_alive_timeouts_total.add(1);
                    return Err(Over(Departure::KeepAliveExpired));
                }
            }
        }
    }

    /// Whether a publication waits for room.
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether the client is in.
    pub fn is_in(&self) -> bool {
        self.client.is_some()
    }

    /// Somebody woke the connection: links may have ended, modules are to be asked, a publication may go on.
    ///
    /// # Errors
    /// The client is not who it says it is.
    pub fn woken(&mut self, now: Time) -> Result<(), Over> {
        if self.admission.waits() {
            return self.inquire(now);
        }
        for (link, why) in self.bell.ended() {
            self.end_link(now, link, &words::link_ended(&why));
        }
        let context = self.context.clone();
        let mut worker = context.worker.borrow_mut();
        for (_, end) in self.links.iter().flatten() {
            if let End::Outgoing(receiver) = end
                && !receiver.is_parted
            {
                context.broker.refill(&mut worker, &receiver.link, now);
            }
        }
        drop(worker);
        self.go_on(now);
        self.wire(|wire| wire.ring(None));
        Ok(())
    }

    /// The hall ended a link: the client is told, and what it held is where it was.
    pub(super) fn end_link(&mut self, now: Time, link: LinkId, why: &Error) {
        if self.drop_link(now, link, |receiver| Gone::left(receiver.stay.parting(With::Link))) {
            self.wire(|wire| wire.machine.detach(link, true, Some(why.clone()), &mut wire.front));
        }
    }

    /// Says what is on disk.
    pub(super) fn say(&mut self) {
        let context = self.context.clone();
        while let Some((after, told)) = self.answers.front()
            && context.broker.is_committed(*after)
            && !(self.waiting.is_some() && matches!(told, Told::Reply(..)))
        {
            let Some((_, told)) = self.answers.pop_front() else { break };
            self.tell(told);
        }
    }

    /// Ends a batch: says what may be said.
    pub fn flush(&mut self) {
        let context = self.context.clone();
        self.say();
        self.wire(|wire| wire.machine.flush(&mut wire.front));
        if let Some((after, _)) = self.answers.front()
            && self.awaited != *after
        {
            self.awaited = *after;
            context.broker.await_answer(*after, self.outlet.clone());
        }
    }

    /// Says why the connection ends by the broker's will.
    pub fn farewell(&self, why: &Closed) {
        let error = words::connection_ended(why);
        self.wire(|wire| wire.machine.close(Some(error), &mut wire.front));
    }

    /// The connection is over: its links go, as their termini say, until that has taken a turn. Whether all have.
    pub fn drop_links(&mut self, now: Time, departure: Departure) -> bool {
        let links: Vec<LinkId> = self.links.iter().flatten().map(|(link, _)| *link).collect();
        let clean = departure == Departure::Clean;
        let by_broker = matches!(departure, Departure::TakenOver | Departure::ClosedByBroker | Departure::BrokerDown);
        let context = self.context.clone();
        links.into_iter().all(|link| {
            self.drop_link(now, link, |receiver| match clean {
                true => Gone::ended(receiver, With::Connection, Parting::Kept(receiver.stay.seconds)),
                false if by_broker => Gone::left(Parting::Lost(receiver.stay.seconds)),
                false => Gone::ended(receiver, With::Connection, Parting::Lost(receiver.stay.seconds)),
            });
            !context.has_had_its_turn(context.clock.now())
        })
    }

    /// Its links have gone; all else goes.
    pub fn finish(&mut self, now: Time, departure: Departure) {
        self.let_go(now, None);
        if let Some(client) = self.client.take() {
            self.context.broker.goes(&client, departure);
        }
        self.waiting = None;
        self.context.broker.give_up(&mut self.publisher);
        self.wire(Wire::leave_all);
    }
}

/// What is offered.
fn profile(mechanisms: &[&'static str]) -> Arc<Profile> {
    Arc::new(Profile {
        container_id: "pliant".into(),
        mechanisms: mechanisms.iter().map(|name| (*name).into()).collect(),
        // A client without it comes in as a stranger, or not.
        sasl_required: false,
        tls_offered: false,
        offered_capabilities: ["ANONYMOUS-RELAY", "SHARED-SUBS"].map(Into::into).to_vec(),
        properties: services::advertised(),
    })
}

/// Whether what comes for this credit is to be acquired within a transaction (4.4.3).
fn acquires(flow: &Flow) -> bool {
    let id = flow.properties.as_ref().and_then(|properties| properties.get(&Symbol::from("txn-id")));
    id.is_some_and(|id| *id != Value::Null)
}

/// A resource that cannot do so ends the link; deliveries outside the transaction would not be what was asked for.
fn no_acquisition() -> Error {
    error(AmqpError::NotImplemented, "messages are posted and retired in transactions, not acquired")
}
