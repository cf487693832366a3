//! A link on which the client sends (2.6, 2.7.5): credit, and messages that come in several frames.

use super::action::{Action, DeliveryId, Forgotten, LinkId, Transfer};
use super::condition::{AmqpError, LinkError, SessionError};
use super::ledger::is_before;
use super::link::LinkEnd;
use super::live::Live;
use super::performative::{FlowFrame, TransferFrame};
use super::session::Arrived;
use super::state::{State, Tag};
use super::transaction;
use super::trouble::{Found, Trouble};
use crate::message::Time;
use smallvec::smallvec;
use std::borrow::Cow;

/// Longest delivery-tag (2.8.7).
pub const TAG_BYTES_MAX: usize = 32;

/// See the head of this file.
#[derive(Debug)]
pub struct IncomingLink {
    /// Deliveries that the client may have unanswered.
    pub credit_max: u32,
    /// The most that may ever be: its part of what its session may have unsettled.
    pub share: u32,
    /// How many it may still begin.
    pub credit: u32,
    /// How many it has begun, and where that began.
    pub delivery_count: u32,
    /// How many are not settled here.
    pub unanswered: u32,
    /// How many of them wait for the end of a transaction. They take up no credit, for no more of them may be settled before
    /// that than the client wants, and a transaction may be longer than the credit.
    pub posted: u32,
    /// Longest message, in bytes.
    pub message_bytes_max: u64,
    /// Its messages are about transactions.
    pub is_coordinator: bool,
    /// The receiver settles second: what came is remembered until the client has forgotten it.
    pub settles_second: bool,
    /// Waits in the list of those whose credit is looked at at the end of the batch.
    pub is_marked: bool,
    /// The client was told only some of what is unsettled: it may resume, and send nothing new (2.7.3).
    pub resumes_only: bool,
    /// A message that is not whole.
    pub partial: Option<Box<Partial>>,
}

/// A message of which not all has come.
#[derive(Debug)]
pub struct Partial {
    delivery: DeliveryId,
    tag: Tag,
    format: u32,
    settled: bool,
    settles_first: bool,
    resume: bool,
    state: Option<Box<State>>,
    /// What has come.
    pub bytes: Vec<u8>,
    /// When the last of it came.
    pub touched: Time,
}

impl IncomingLink {
    /// A link that has no credit yet.
    pub fn new(delivery_count: u32, message_bytes_max: u64, is_coordinator: bool) -> Self {
        Self {
            credit_max: 0,
            share: 0,
            credit: 0,
            delivery_count,
            unanswered: 0,
            posted: 0,
            message_bytes_max,
            is_coordinator,
            settles_second: false,
            is_marked: false,
            resumes_only: false,
            partial: None,
        }
    }

    /// A delivery is settled.
    pub fn settled(&mut self, arrived: &Arrived) {
        self.unanswered = self.unanswered.saturating_sub(1);
        self.posted = self.posted.saturating_sub(arrived.is_posted.into());
    }

    /// Gives credit if enough was used up to be worth a frame; whether it did. Beside the credit there may be so many that
    /// wait for a transaction.
    #[inline]
    fn top_up(&mut self, unsettled_max: u32) -> bool {
        let posted = self.posted.min(unsettled_max.saturating_sub(self.credit_max));
        let unanswered = self.unanswered.saturating_sub(posted);
        let used = self.credit_max.saturating_sub(self.credit).saturating_sub(unanswered);
        // Without any left the client can send nothing more, however little it is.
        let worth_it = used > 0 && (used >= self.credit_max / 2 || self.credit == 0);
        if worth_it {
            self.credit += used;
        }
        worth_it
    }

    /// What a flow of this link says.
    pub fn flow(&self, handle: u32) -> FlowFrame<'static> {
        FlowFrame {
            handle: Some(handle),
            delivery_count: Some(self.delivery_count),
            link_credit: Some(self.credit),
            ..FlowFrame::default()
        }
    }
}

impl Live {
    /// A transfer frame came.
    #[inline]
    pub fn on_transfer<'b>(
        &mut self,
        now: Time,
        at: u16,
        frame: &TransferFrame<'_>,
        payload: &'b [u8],
    ) -> Found<Option<Action<'b>>> {
        let Some(session) = self.sessions.at(at) else { return Ok(None) };
        if !session.take_incoming() {
            return Err(Trouble::session(SessionError::WindowViolation, "more transfers than the window has room for"));
        }
        if session.is_window_low() {
            self.mark_session(at);
        }
        let link = self.link_of(at, frame.handle)?;
        let Some(link) = self.links.at(link) else { return Ok(None) };
        let id = link.id;
        if !link.is_up() {
            return self.ignore_transfer(at, frame);
        }
        let Some(end) = link.incoming() else {
            return Err(Trouble::link(id, AmqpError::NotAllowed, "the broker is the sender on this link"));
        };
        if let Some(partial) = &mut end.partial {
            partial.go_on(frame)?;
            return self.part(now, at, id, frame, payload);
        }
        self.first_part(now, at, id, frame, payload)
    }

    /// Whether a session has as many deliveries that are not settled as it may, beside those that wait for the end of a
    /// transaction, of which transactions have bounds of their own.
    #[cold]
    fn is_overdrawn(&mut self, at: u16) -> bool {
        let posted: usize = self.incoming_of(at).map(|end| end.posted as usize).sum();
        let unsettled_max = self.limits.unsettled_max as usize;
        self.sessions
            .at(at)
            .is_some_and(|session| session.arrived.len() - posted.min(session.arrived.len()) >= unsettled_max)
    }

    /// The links of a session on which the client sends.
    fn incoming_of(&self, at: u16) -> impl Iterator<Item = &IncomingLink> {
        self.links.iter().filter_map(move |link| match &link.end {
            LinkEnd::Incoming(end) if link.session == at => Some(end),
            _ => None,
        })
    }

    /// How many deliveries a new link may have unsettled, so that all links of its session together never have more than the
    /// session may: what `wish` says while there is room, less and less as half of that is given away, and from the other
    /// half as much for each link that there may be.
    pub fn share_of(&self, at: u16, wish: u32) -> u32 {
        let half = self.limits.unsettled_max / 2;
        let links_max = self.limits.links_max.min(self.limits.handle_max.saturating_add(1));
        let least = (half / links_max.max(1)).max(1);
        let given: u32 = self.incoming_of(at).map(|end| end.share.saturating_sub(least)).sum();
        wish.min(least + half.saturating_sub(given) / 4)
    }

    /// A transfer on a link that is going down.
    fn ignore_transfer<'b>(&mut self, at: u16, frame: &TransferFrame<'_>) -> Found<Option<Action<'b>>> {
        if let (Some(session), Some(delivery)) = (self.sessions.at(at), frame.delivery_id)
            && session.last_arrived.is_none_or(|last| is_before(last, delivery))
        {
            session.last_arrived = Some(delivery);
        }
        Ok(None)
    }

    /// The first frame of a delivery came.
    #[inline]
    fn first_part<'b>(
        &mut self,
        now: Time,
        at: u16,
        id: LinkId,
        frame: &TransferFrame<'_>,
        payload: &'b [u8],
    ) -> Found<Option<Action<'b>>> {
        let invalid = |why| Trouble::session(AmqpError::InvalidField, why);
        let delivery = frame.delivery_id.ok_or_else(|| invalid("delivery-id is missing"))?;
        let tag = frame.tag.ok_or_else(|| invalid("delivery-tag is missing"))?;
        if tag.len() > TAG_BYTES_MAX {
            return Err(invalid("a delivery-tag has up to 32 bytes"));
        }
        let Some(session) = self.sessions.at(at) else { return Ok(None) };
        if session.last_arrived.is_some_and(|last| !is_before(last, delivery)) {
            return Err(invalid("delivery-id does not come after the last one"));
        }
        session.last_arrived = Some(delivery);
        if session.arrived.len() >= self.limits.unsettled_max as usize && self.is_overdrawn(at) {
            return Err(Trouble::session(AmqpError::ResourceLimitExceeded, "too many deliveries are not settled"));
        }
        let Some(end) = self.links.get(id).and_then(|link| link.incoming()) else { return Ok(None) };
        if end.resumes_only && !frame.resume {
            let why = "the unsettled map was not complete: only deliveries that are resumed may come";
            return Err(Trouble::link(id, AmqpError::NotAllowed, why));
        }
        let settles_first = match frame.receiver_settles {
            None => false,
            Some(mode) => settles_first(id, mode, end.settles_second)?,
        };
        end.credit = end.credit.checked_sub(1).ok_or_else(|| {
            Trouble::link(id, LinkError::TransferLimitExceeded, "more deliveries than there was credit for")
        })?;
        end.delivery_count = end.delivery_count.wrapping_add(1);
        if frame.aborted {
            // What is resumed only to be aborted is settled with it (2.6.13, 2.7.5).
            let gone = frame.resume.then(|| Forgotten { link: id, delivery, tag: Tag::from_slice(tag) });
            self.mark_link(id);
            return Ok(gone.map(|gone| Action::Forgotten(smallvec![gone])));
        }
        let state = match frame.state {
            Some(raw) => Some(Box::new(State::read(raw).map_err(Trouble::Session)?)),
            None => None,
        };
        let (settled, format) = (frame.settled.unwrap_or(false), frame.format.unwrap_or(0));
        if frame.more {
            let partial = Partial {
                delivery,
                tag: Tag::from_slice(tag),
                format,
                settled,
                settles_first,
                resume: frame.resume,
                state,
                bytes: Vec::new(),
                touched: now,
            };
            end.partial = Some(Box::new(partial));
            self.partials += 1;
            return self.part(now, at, id, frame, payload);
        }
        if payload.len() as u64 > end.message_bytes_max {
            return Err(too_large(id));
        }
        let bytes = Cow::Borrowed(payload);
        let tag = Tag::from_slice(tag);
        let resume = frame.resume;
        self.whole(at, Transfer { link: id, delivery, tag, format, settled, settles_first, resume, state, bytes })
    }

    /// Adds to the message that is not whole, or drops it.
    fn part<'b>(
        &mut self,
        now: Time,
        at: u16,
        id: LinkId,
        frame: &TransferFrame<'_>,
        payload: &'b [u8],
    ) -> Found<Option<Action<'b>>> {
        if frame.aborted {
            self.drop_partial(id);
            self.mark_link(id);
            return Ok(None);
        }
        let bytes_max = self.limits.partial_bytes_max;
        let Some(end) = self.links.get(id).and_then(|link| link.incoming()) else { return Ok(None) };
        let Some(partial) = &mut end.partial else { return Ok(None) };
        if (partial.bytes.len() + payload.len()) as u64 > end.message_bytes_max {
            return Err(too_large(id));
        }
        if self.partial_bytes + payload.len() as u64 > bytes_max {
            let why = "the messages of this connection that are not whole take too much room";
            return Err(Trouble::link(id, AmqpError::ResourceLimitExceeded, why));
        }
        self.partial_bytes += payload.len() as u64;
        partial.bytes.extend_from_slice(payload);
        partial.touched = now;
        if frame.more {
            return Ok(None);
        }
        let Some(partial) = self.take_partial(id) else { return Ok(None) };
        let Partial { delivery, tag, format, settled, settles_first, resume, state, bytes, .. } = partial;
        let bytes = Cow::Owned(bytes);
        self.whole(at, Transfer { link: id, delivery, tag, format, settled, settles_first, resume, state, bytes })
    }

    /// A whole message is there.
    #[inline]
    fn whole<'b>(&mut self, at: u16, transfer: Transfer<'b>) -> Found<Option<Action<'b>>> {
        let id = transfer.link;
        let Some(end) = self.links.get(id).and_then(|link| link.incoming()) else { return Ok(None) };
        let is_coordinator = end.is_coordinator;
        if transfer.settled {
            self.mark_link(id);
        } else {
            end.unanswered += 1;
            let tag = if end.settles_second && !transfer.settles_first { transfer.tag.clone() } else { Tag::new() };
            if let Some(session) = self.sessions.at(at) {
                session.arrived.push(transfer.delivery, Arrived { link: id, tag, is_posted: false });
            }
        }
        if is_coordinator {
            return transaction::read(&transfer, &self.limits).map(Some);
        }
        Ok(Some(Action::Transfer(transfer)))
    }

    /// Takes what has come of a message.
    fn take_partial(&mut self, id: LinkId) -> Option<Partial> {
        let partial = self.links.get(id)?.incoming()?.partial.take()?;
        self.partials -= 1;
        self.partial_bytes -= partial.bytes.len() as u64;
        Some(*partial)
    }

    /// The client settles deliveries of a session that are not whole yet: nobody waits for their outcome (2.6.12). All that it
    /// costs where there is none is the question.
    pub fn settle_partials(&mut self, at: u16, is_meant: impl Fn(DeliveryId) -> bool) {
        let partials = self.partials as usize;
        let of_links = self.links.iter_mut().filter_map(|link| match &mut link.end {
            LinkEnd::Incoming(end) => Some((link.session, end.partial.as_mut()?)),
            LinkEnd::Outgoing(_) => None,
        });
        if partials > 0 {
            let here =
                of_links.take(partials).filter(|(session, partial)| *session == at && is_meant(partial.delivery));
            here.for_each(|(_, partial)| partial.settled = true);
        }
    }

    /// Forgets what has come of a message.
    pub fn drop_partial(&mut self, id: LinkId) {
        drop(self.take_partial(id));
    }

    /// See [`Connection::grant`](super::Connection::grant).
    pub fn grant(&mut self, id: LinkId, credit: u32, out: &mut Vec<u8>) {
        let Some(end) = self.links.get(id).filter(|link| link.is_up()).and_then(|link| link.incoming()) else { return };
        end.credit_max = credit.min(end.share);
        self.top_up(id, out);
    }

    /// Tells the client of more credit if that is worth a frame.
    pub fn top_up(&mut self, id: LinkId, out: &mut Vec<u8>) {
        let Some(link) = self.links.get(id).filter(|link| link.is_up() && link.is_told) else { return };
        let (at, handle) = (link.session, link.handle_out);
        let Some(end) = link.incoming() else { return };
        if end.top_up(self.limits.unsettled_max) {
            let flow = end.flow(handle);
            if let Some(session) = self.sessions.at(at) {
                session.write_flow(flow, out);
            }
        }
    }

    /// See [`Connection::settle`](super::Connection::settle).
    #[inline]
    pub fn settle(&mut self, id: LinkId, delivery: DeliveryId, state: &State, settled: bool, out: &mut Vec<u8>) {
        let frame_max = self.frame_max();
        let Some(link) = self.links.get(id) else { return };
        let at = link.session;
        let Some(end) = link.incoming() else { return };
        let Some(session) = self.sessions.at(at) else { return };
        let Some(arrived) = session.arrived.get_mut(delivery).filter(|arrived| arrived.link == id) else { return };
        let is_posted = !settled && matches!(state, State::Transactional { .. });
        if is_posted && !std::mem::replace(&mut arrived.is_posted, true) {
            end.posted += 1;
        }
        if settled && let Some(arrived) = session.arrived.remove(delivery) {
            end.settled(&arrived);
        }
        session.answer(delivery, state, settled, frame_max, out);
        self.mark_session(at);
        if settled || is_posted {
            self.mark_link(id);
        }
        if settled {
            self.is_settled(id);
        }
    }
}

impl Partial {
    /// Whether a frame goes on with this delivery (2.7.5): what it repeats must be the same.
    fn go_on(&mut self, frame: &TransferFrame<'_>) -> Found<()> {
        let same = frame.delivery_id.is_none_or(|id| id == self.delivery)
            && frame.tag.is_none_or(|tag| tag == self.tag.as_slice())
            && frame.format.is_none_or(|format| format == self.format);
        if !same {
            let why = "a delivery begins on a link before the one before it is whole";
            return Err(Trouble::session(AmqpError::InvalidField, why));
        }
        self.settled |= frame.settled.unwrap_or(false);
        if let Some(raw) = frame.state {
            self.state = Some(Box::new(State::read(raw).map_err(Trouble::Session)?));
        }
        Ok(())
    }
}

/// What a transfer says of when its receiver settles (2.7.5): it may not ask for more than the link has.
#[cold]
fn settles_first(id: LinkId, mode: u8, link_settles_second: bool) -> Found<bool> {
    match mode {
        0 => Ok(link_settles_second),
        1 if link_settles_second => Ok(false),
        1 => {
            let why = "rcv-settle-mode of a transfer is second, and of its link first";
            Err(Trouble::link(id, AmqpError::InvalidField, why))
        }
        _ => Err(Trouble::session(AmqpError::InvalidField, "rcv-settle-mode is neither first nor second")),
    }
}

fn too_large(id: LinkId) -> Trouble {
    Trouble::link(id, LinkError::MessageSizeExceeded, "the message is longer than this link takes")
}
