//! Links come up and go down (2.6.3 to 2.6.6).

use super::action::{
    Action, Attach, AttachReply, Detach, Direction, LinkId, ReceiverSettles, SenderSettles, Sink, Unsettled,
};
use super::condition::{AmqpError, ConnectionError, Error, Fields, LinkError, SessionError, error, fitting};
use super::frame::Kind;
use super::incoming_link::{IncomingLink, TAG_BYTES_MAX};
use super::link::{Link, LinkEnd};
use super::live::Live;
use super::outgoing_link::OutgoingLink;
use super::performative::write_rare;
use super::state::{State, Tag};
use super::trouble::{Found, Trouble};
use fe2o3_amqp_types::definitions::{Handle, ReceiverSettleMode, Role, SenderSettleMode};
use fe2o3_amqp_types::messaging::{DeliveryState, TargetArchetype};
use fe2o3_amqp_types::performatives::{Attach as AttachFrame, Detach as DetachFrame};
use fe2o3_amqp_types::transaction::{Coordinator, TxnCapability};
use serde_amqp::primitives::Binary;
use serde_amqp::primitives::{Array, OrderedMap, Symbol};

/// An attach that refuses has so many bytes, or fewer, beside the name of its link.
const REFUSAL_BYTES: usize = 128;

impl Live {
    /// An attach came; `unknown`: with something that is not known here.
    pub fn on_attach(
        &mut self,
        at: u16,
        frame: AttachFrame,
        unknown: Option<Box<Error>>,
        out: &mut Vec<u8>,
    ) -> Found<Option<Action<'static>>> {
        let handle = frame.handle.0;
        if handle > self.limits.handle_max {
            return Err(Trouble::connection(ConnectionError::FramingError, "the handle is above handle-max"));
        }
        if frame.name.len() + REFUSAL_BYTES > self.frame_max() {
            let why = "no answer with this link name fits into your max-frame-size";
            return Err(Trouble::session(AmqpError::FrameSizeTooSmall, why));
        }
        let direction = match frame.role {
            Role::Sender => Direction::Incoming,
            Role::Receiver => Direction::Outgoing,
        };
        let used = self.sessions.look(at).and_then(|session| session.link_at(handle));
        if used.is_some() {
            return Err(Trouble::session(SessionError::HandleInUse, "another link is attached under this handle"));
        }
        let (there, most) = (self.links.len() - self.lingering as usize, self.limits.links_max as usize);
        let is_too_many = there >= most;
        // What was refused is there until its client has detached it, too.
        if there >= most + (most / 4).max(1) {
            return Err(Trouble::session(AmqpError::ResourceLimitExceeded, "too many links"));
        }
        let stolen = if is_too_many { None } else { self.steal(&frame.name, direction, out) };
        let Some(session) = self.sessions.at(at) else { return Ok(None) };
        let Some(handle_out) = session.take_handle() else {
            return Err(Trouble::session(AmqpError::ResourceLimitExceeded, "no handle is left below your handle-max"));
        };
        let end = self.new_end(&frame, direction);
        let id = self.links.add(|id| Link {
            id,
            session: at,
            name: frame.name.as_str().into(),
            handle_out,
            is_told: false,
            peer_detached: None,
            is_detached: false,
            is_over: false,
            live: 0,
            end,
        });
        if let Some(session) = self.sessions.at(at) {
            session.set_link(handle, id.index);
        }
        let checked = match unknown {
            _ if is_too_many => Err(error(AmqpError::ResourceLimitExceeded, "too many links")),
            Some(why) => Err(*why),
            None => self.check_attach(&frame, direction),
        };
        if let Err(error) = checked {
            self.refuse(id, error, out);
            // However long it is.
            if let Some(link) = self.links.get(id) {
                link.name = Box::default();
            }
            // The hall has never heard of it; of the one before it, it has.
            return Ok(stolen.map(|link| {
                Action::Detach(Detach { link, closed: false, error: Some(stolen_error()), by_machine: true })
            }));
        }
        Ok(Some(Action::Attach(Box::new(words(id, at, stolen, direction, frame)))))
    }

    fn new_end(&self, frame: &AttachFrame, direction: Direction) -> LinkEnd {
        match direction {
            Direction::Incoming => {
                let is_coordinator = matches!(frame.target.as_deref(), Some(TargetArchetype::Coordinator(_)));
                let count = frame.initial_delivery_count.unwrap_or(0);
                LinkEnd::Incoming(IncomingLink::new(count, self.limits.message_bytes_max, is_coordinator))
            }
            Direction::Outgoing => LinkEnd::Outgoing(OutgoingLink {
                message_bytes_max: frame.max_message_size.unwrap_or(0),
                ..OutgoingLink::default()
            }),
        }
    }

    /// What is wrong with an attach that needs no knowledge of nodes.
    fn check_attach(&self, frame: &AttachFrame, direction: Direction) -> Result<(), Error> {
        let invalid = |why| Err(error(AmqpError::InvalidField, why));
        let bytes_max = self.limits.name_bytes_max;
        if frame.name.is_empty() {
            return invalid("the name of the link is empty");
        }
        if frame.name.len() > bytes_max {
            let why = format!("the name of the link has more than {bytes_max} bytes");
            return Err(error(AmqpError::InvalidField, why));
        }
        match direction {
            Direction::Incoming => {
                let Some(target) = &frame.target else { return invalid("the target is missing") };
                if frame.initial_delivery_count.is_none() {
                    return invalid("initial-delivery-count is missing");
                }
                if matches!(&**target, TargetArchetype::Target(target) if target.dynamic && target.address.is_some()) {
                    return invalid("a target is dynamic or has an address");
                }
            }
            Direction::Outgoing => {
                // Without one a receiver looks for what it left behind (2.6.3).
                if frame.source.as_ref().is_some_and(|source| source.dynamic && source.address.is_some()) {
                    return invalid("a source is dynamic or has an address");
                }
            }
        }
        let unsettled = frame.unsettled.as_ref();
        if unsettled.is_some_and(|map| map.len() > self.limits.unsettled_entries_max) {
            return Err(error(AmqpError::ResourceLimitExceeded, "the unsettled map has too many entries"));
        }
        if unsettled.is_some_and(|map| map.keys().any(|tag| tag.len() > TAG_BYTES_MAX)) {
            return invalid("a delivery-tag has up to 32 bytes");
        }
        Ok(())
    }

    /// Detaches the link that has this name, if there is one (2.6.1). One that is there only for deliveries of its former life
    /// ends with that.
    fn steal(&mut self, name: &str, direction: Direction, out: &mut Vec<u8>) -> Option<LinkId> {
        let goes_down = |link: &Link| link.peer_detached.is_some() && !link.is_detached && !link.is_over;
        let is_there = |link: &Link| link.is_up() || link.live > 0 || goes_down(link);
        let known = |link: &&Link| is_there(link) && link.direction() == direction && *link.name == *name;
        let (id, is_up, live) = self.links.iter().find(known).map(|link| (link.id, link.is_up(), link.live))?;
        if is_up {
            self.detach(id, false, Some(stolen_error()), out);
        } else if live > 0 {
            self.lingering -= 1;
            self.remove_link(id);
        } else if let Some(link) = self.links.get(id) {
            link.is_over = true;
        }
        Some(id)
    }

    /// A detach came.
    pub fn on_detach(&mut self, at: u16, frame: DetachFrame) -> Found<Option<Action<'static>>> {
        let link = self.link_of(at, frame.handle.0)?;
        let Some(link) = self.links.at(link) else { return Ok(None) };
        let (id, was_detached) = (link.id, link.is_detached);
        link.peer_detached = Some(frame.closed);
        link.is_over |= frame.closed || frame.error.is_some();
        if let Some(session) = self.sessions.at(at) {
            session.clear_link(frame.handle.0, id.index);
            if session.pending.as_ref().is_some_and(|pending| pending.link == id) {
                session.pending = None;
                self.has_room_again = true;
            }
        }
        self.drop_partial(id);
        if was_detached {
            self.forget_link(id);
            return Ok(None);
        }
        Ok(Some(Action::Detach(Detach { link: id, closed: frame.closed, error: frame.error, by_machine: false })))
    }

    /// See [`Connection::attach`](super::Connection::attach).
    pub fn attach(&mut self, id: LinkId, reply: AttachReply, out: &mut Vec<u8>) {
        let limits = self.limits.clone();
        let credit = reply.credit.unwrap_or(limits.link_credit);
        let at = self.links.look(id).map(|link| link.session);
        let share = at.map_or(0, |at| self.share_of(at, limits.link_credit.max(credit)));
        let Some(link) = self.links.get(id).filter(|link| !link.is_told && !link.is_detached) else { return };
        link.is_told = true;
        if let LinkEnd::Incoming(end) = &mut link.end {
            end.settles_second = reply.receiver_settles == ReceiverSettles::Second;
            end.share = share;
            end.credit_max = credit.min(share);
            let asked = reply.message_bytes_max.unwrap_or(limits.message_bytes_max);
            end.message_bytes_max = asked.min(limits.message_bytes_max);
        }
        let frame = answer(link, reply);
        let at = link.session;
        let is_incomplete = self.write_attach(at, frame, out);
        if let Some(end) = self.links.get(id).and_then(|link| link.incoming()) {
            end.resumes_only = is_incomplete;
        }
        self.top_up(id, out);
        if let Some(end) = self.links.get(id).and_then(|link| link.outgoing()).filter(|end| end.is_asked) {
            let available = std::mem::take(&mut end.available);
            end.is_asked = false;
            self.answer_flow(id, available, out);
        }
    }

    /// Writes an attach. If it is longer than the client takes, the unsettled map is what can be cut (2.7.3); whether it is
    /// not complete.
    fn write_attach(&mut self, at: u16, mut frame: AttachFrame, out: &mut Vec<u8>) -> bool {
        let Some(channel) = self.sessions.look(at).map(|session| session.channel_out) else { return false };
        let bytes_max = self.frame_max();
        loop {
            let start = out.len();
            write_rare(Kind::Amqp, channel, &frame, out);
            let map = frame.unsettled.as_mut().filter(|map| !map.is_empty());
            let Some(map) = map.filter(|_| out.len() - start > bytes_max) else {
                return frame.incomplete_unsettled;
            };
            out.truncate(start);
            let half = map.len() / 2;
            map.drain(half..);
            frame.incomplete_unsettled = true;
        }
    }

    /// See [`Connection::fits`](super::Connection::fits).
    pub fn fits(&self, id: LinkId, reply: &AttachReply) -> bool {
        let Some(link) = self.links.look(id) else { return true };
        // The map may be cut down to nothing.
        let least = AttachReply { unsettled: Some(Unsettled::new()), incomplete_unsettled: true, ..reply.clone() };
        let mut out = Vec::new();
        write_rare(Kind::Amqp, 0, &answer(link, least), &mut out);
        out.len() <= self.frame_max()
    }

    /// See [`Connection::refuse`](super::Connection::refuse).
    pub fn refuse(&mut self, id: LinkId, error: Error, out: &mut Vec<u8>) {
        self.tell_refused(id, out);
        self.detach(id, true, Some(error), out);
    }

    /// Answers an attach without a terminus.
    fn tell_refused(&mut self, id: LinkId, out: &mut Vec<u8>) {
        let Some(link) = self.links.get(id).filter(|link| !link.is_told) else { return };
        let is_sender = link.direction() == Direction::Outgoing;
        let reply = AttachReply {
            sender_settles: SenderSettles::Mixed,
            receiver_settles: ReceiverSettles::First,
            source: None,
            sink: None,
            unsettled: None,
            incomplete_unsettled: false,
            message_bytes_max: None,
            credit: Some(0),
            offered_capabilities: Vec::new(),
            desired_capabilities: Vec::new(),
            properties: Fields::new(),
        };
        // The client's own terminus is shown as it was where that is known without keeping it: an empty one.
        let reply = if is_sender {
            AttachReply { sink: Some(Sink::Target(Box::default())), ..reply }
        } else {
            AttachReply { source: Some(Box::default()), ..reply }
        };
        self.attach(id, reply, out);
    }

    /// See [`Connection::detach`](super::Connection::detach).
    pub fn detach(&mut self, id: LinkId, closed: bool, error: Option<Error>, out: &mut Vec<u8>) {
        if self.links.get(id).is_none_or(|link| link.is_detached) {
            return;
        }
        self.tell_refused(id, out);
        self.drop_partial(id);
        let Some(link) = self.links.get(id) else { return };
        link.is_detached = true;
        let (at, handle, peer) = (link.session, link.handle_out, link.peer_detached);
        let closed = closed || peer == Some(true);
        link.is_over |= closed || error.is_some();
        if let Some(session) = self.sessions.at(at) {
            session.say_held(out);
            if session.pending.as_ref().is_some_and(|pending| pending.link == id) {
                session.pending = None;
                self.has_room_again = true;
            }
            let detach = DetachFrame { handle: Handle(handle), closed, error: error.map(fitting) };
            write_rare(Kind::Amqp, session.channel_out, &detach, out);
        }
        if peer.is_some() {
            self.forget_link(id);
        }
    }

    /// Both sides have detached.
    fn forget_link(&mut self, id: LinkId) {
        if self.linger(id) {
            return;
        }
        let Some(link) = self.links.look(id) else { return };
        let (at, handle) = (link.session, link.handle_out);
        if let Some(session) = self.sessions.at(at) {
            session.release_handle(handle);
        }
        self.remove_link(id);
    }

    /// Nothing is left of a link.
    fn remove_link(&mut self, id: LinkId) {
        let Some(link) = self.links.remove(id) else { return };
        let Some(session) = self.sessions.at(link.session) else { return };
        match link.end {
            LinkEnd::Incoming(_) => session.arrived.retain(|arrived| arrived.link != id),
            LinkEnd::Outgoing(_) => {
                self.has_room_again |= session.sent.len() >= self.limits.unsettled_max as usize;
                session.sent.retain(|sent| sent.link != id);
            }
        }
    }
}

/// The answer to an attach.
fn answer(link: &Link, reply: AttachReply) -> AttachFrame {
    let (role, bytes_max) = match &link.end {
        LinkEnd::Incoming(end) => (Role::Receiver, Some(end.message_bytes_max)),
        LinkEnd::Outgoing(_) => (Role::Sender, reply.message_bytes_max),
    };
    AttachFrame {
        name: link.name.to_string(),
        handle: Handle(link.handle_out),
        initial_delivery_count: (role == Role::Sender).then_some(0),
        role,
        snd_settle_mode: reply.sender_settles.into(),
        rcv_settle_mode: reply.receiver_settles.into(),
        source: reply.source,
        target: reply.sink.map(|sink| Box::new(sink.into())),
        unsettled: reply.unsettled.map(to_map),
        incomplete_unsettled: reply.incomplete_unsettled,
        max_message_size: bytes_max,
        offered_capabilities: some_array(reply.offered_capabilities),
        desired_capabilities: some_array(reply.desired_capabilities),
        properties: (!reply.properties.is_empty()).then_some(reply.properties),
    }
}

fn stolen_error() -> Error {
    error(LinkError::Stolen, "the link was attached again")
}

/// An attach in the words of the room.
fn words(link: LinkId, session: u16, stolen: Option<LinkId>, direction: Direction, frame: AttachFrame) -> Attach {
    Attach {
        link,
        session,
        stolen,
        name: frame.name.into(),
        direction,
        sender_settles: match frame.snd_settle_mode {
            SenderSettleMode::Unsettled => SenderSettles::Unsettled,
            SenderSettleMode::Settled => SenderSettles::Settled,
            SenderSettleMode::Mixed => SenderSettles::Mixed,
        },
        receiver_settles: match frame.rcv_settle_mode {
            ReceiverSettleMode::First => ReceiverSettles::First,
            ReceiverSettleMode::Second => ReceiverSettles::Second,
        },
        source: frame.source,
        sink: frame.target.map(|target| match *target {
            TargetArchetype::Target(target) => Sink::Target(Box::new(target)),
            TargetArchetype::Coordinator(coordinator) => {
                let capabilities = coordinator.capabilities.map(|array| array.0).unwrap_or_default();
                Sink::Coordinator(capabilities.iter().map(Symbol::from).collect())
            }
        }),
        unsettled: frame.unsettled.map(from_map),
        incomplete_unsettled: frame.incomplete_unsettled,
        message_bytes_max: frame.max_message_size.filter(|max| *max > 0),
        desired_capabilities: frame.desired_capabilities.map(|array| array.0).unwrap_or_default(),
        offered_capabilities: frame.offered_capabilities.map(|array| array.0).unwrap_or_default(),
        properties: frame.properties.unwrap_or_default(),
    }
}

impl From<Sink> for TargetArchetype {
    fn from(sink: Sink) -> Self {
        match sink {
            Sink::Target(target) => Self::Target(*target),
            Sink::Coordinator(capabilities) => {
                let can = |capability: &TxnCapability| {
                    use TxnCapability::{LocalTransactions, MultiSsnsPerTxn, MultiTxnsPerSsn};
                    matches!(capability, LocalTransactions | MultiTxnsPerSsn | MultiSsnsPerTxn)
                };
                let known = capabilities.into_iter().filter_map(|symbol| TxnCapability::try_from(symbol).ok());
                let known: Vec<TxnCapability> = known.filter(can).collect();
                let capabilities = (!known.is_empty()).then_some(Array(known));
                Self::Coordinator(Coordinator { capabilities })
            }
        }
    }
}

impl From<SenderSettles> for SenderSettleMode {
    fn from(mode: SenderSettles) -> Self {
        match mode {
            SenderSettles::Unsettled => Self::Unsettled,
            SenderSettles::Settled => Self::Settled,
            SenderSettles::Mixed => Self::Mixed,
        }
    }
}

impl From<ReceiverSettles> for ReceiverSettleMode {
    fn from(mode: ReceiverSettles) -> Self {
        match mode {
            ReceiverSettles::First => Self::First,
            ReceiverSettles::Second => Self::Second,
        }
    }
}

/// Capabilities, if there are any.
pub fn some_array(symbols: Vec<Symbol>) -> Option<Array<Symbol>> {
    (!symbols.is_empty()).then_some(Array(symbols))
}

/// States pass between the two forms as bytes: both read and write the same.
fn from_map(map: OrderedMap<Binary, Option<DeliveryState>>) -> Unsettled {
    let state = |state: DeliveryState| State::read(&serde_amqp::to_vec(&state).ok()?).ok();
    map.into_inner().into_iter().map(|(tag, known)| (Tag::from_slice(&tag), known.and_then(state))).collect()
}

fn to_map(unsettled: Unsettled) -> OrderedMap<Binary, Option<DeliveryState>> {
    let state = |state: State| {
        let mut bytes = Vec::new();
        state.write(&mut bytes);
        serde_amqp::from_slice(&bytes).ok()
    };
    let mut map = OrderedMap::new();
    for (tag, known) in unsettled {
        map.insert(Binary::from(tag.to_vec()), known.and_then(state));
    }
    map
}
