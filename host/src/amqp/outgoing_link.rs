//! A link on which the client receives: credit, drain, and messages that take several frames.

use super::action::{DeliveryId, LinkId, Outgoing, Undelivered};
use super::frame::{self, Kind};
use super::live::Live;
use super::performative::{FlowFrame, TransferFrame};
use super::session::{Sent, Session};
use super::state::{State, Tag};
use crate::message::{Message, Weight};
use std::fmt;

/// See the head of this file.
#[derive(Debug, Default)]
pub struct OutgoingLink {
    /// Deliveries that the client takes now.
    pub credit: u32,
    /// How many have begun.
    pub delivery_count: u32,
    /// The client wants to hear when nothing is left, and has not heard it yet.
    pub drain: bool,
    /// Deliveries that wait for it.
    pub available: u32,
    /// The client has asked for a flow before it was told that the link is up.
    pub is_asked: bool,
    /// Longest message that the client takes, in bytes; 0: any.
    pub message_bytes_max: u64,
}

impl OutgoingLink {
    /// Hears how much the client takes (2.6.7). What it has not heard of yet counts as used.
    pub fn hear_credit(&mut self, frame: &FlowFrame<'_>) {
        if let Some(credit) = frame.link_credit {
            let ahead = self.delivery_count.wrapping_sub(frame.delivery_count.unwrap_or(0));
            let ahead = if (ahead as i32) < 0 { 0 } else { ahead };
            self.credit = credit.saturating_sub(ahead);
        }
        self.drain = frame.drain;
    }

    /// A delivery is sent whole: if it was the last one that a client which drains takes, it is told so (2.6.7).
    pub fn used_up(&mut self, handle: u32, session: &mut Session, out: &mut Vec<u8>) {
        if self.credit == 0 && self.drain {
            self.drain = false;
            session.write_flow(self.flow(handle, true), out);
        }
    }

    /// What a flow of this link says.
    pub fn flow(&self, handle: u32, drain: bool) -> FlowFrame<'static> {
        FlowFrame {
            handle: Some(handle),
            delivery_count: Some(self.delivery_count),
            link_credit: Some(self.credit),
            available: Some(self.available),
            drain,
            ..FlowFrame::default()
        }
    }
}

/// Bytes of one message after which others have their turn, and what was written has to leave first.
pub const AT_ONCE: usize = 256 * 1024;

/// The rest of a delivery of which the window did not take all, or that is too long to be written at once. Nothing else is
/// delivered in its session before it.
pub struct Pending {
    /// On which link.
    pub link: LinkId,
    handle: u32,
    delivery: DeliveryId,
    tag: Tag,
    format: u32,
    settled: bool,
    /// What comes before the shared message, and what both weigh beside that.
    head: Vec<u8>,
    _weight: Weight,
    /// The message, and where in its payload the rest begins.
    tail: Option<(Message, usize)>,
    /// Of both.
    sent: usize,
}

impl Pending {
    fn parts(&self) -> [&[u8]; 2] {
        let tail = self.tail.as_ref().map_or(&[][..], |(message, from)| &message.payload()[*from..]);
        let sent = self.sent.min(self.head.len());
        [&self.head[sent..], &tail[self.sent - sent..]]
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("link", &self.link).field("delivery", &self.delivery).finish_non_exhaustive()
    }
}

/// Bytes of a message in pieces, taken from the front.
struct Pieces<'p, 'm> {
    parts: &'p [&'m [u8]],
    /// Taken of the first part.
    taken: usize,
    left: usize,
}

impl<'p, 'm> Pieces<'p, 'm> {
    fn new(parts: &'p [&'m [u8]]) -> Self {
        Self { parts, taken: 0, left: parts.iter().map(|part| part.len()).sum() }
    }

    #[inline]
    fn take(&mut self, mut count: usize, out: &mut Vec<u8>) {
        self.left -= count;
        while let Some(part) = self.parts.first() {
            let part = &part[self.taken..];
            if count < part.len() {
                out.extend_from_slice(&part[..count]);
                self.taken += count;
                return;
            }
            out.extend_from_slice(part);
            count -= part.len();
            self.taken = 0;
            self.parts = &self.parts[1..];
        }
    }
}

impl Session {
    /// Writes transfer frames until nothing is left, the window is full, or it is enough at once.
    #[inline]
    fn write_transfers(
        &mut self,
        head: &TransferFrame<'_>,
        pieces: &mut Pieces<'_, '_>,
        frame_max: usize,
        out: &mut Vec<u8>,
    ) {
        let enough = out.len() + AT_ONCE;
        loop {
            let start = out.len();
            frame::write(Kind::Amqp, self.channel_out, out, |out| {
                let body = out.len();
                head.write(out);
                let room = frame_max.saturating_sub(out.len() - start).max(1);
                if pieces.left > room {
                    out.truncate(body);
                    TransferFrame { more: true, ..*head }.write(out);
                }
                pieces.take(pieces.left.min(room), out);
            });
            self.take_outgoing();
            if pieces.left == 0 || self.outgoing_room() == 0 || out.len() >= enough {
                return;
            }
        }
    }

    /// Goes on with the delivery that the window did not take. Says whose it was once all of it is sent.
    pub fn send_pending(&mut self, frame_max: usize, out: &mut Vec<u8>) -> Option<LinkId> {
        if self.outgoing_room() == 0 {
            return None;
        }
        let mut pending = self.pending.take()?;
        let head = TransferFrame {
            handle: pending.handle,
            delivery_id: Some(pending.delivery),
            tag: Some(&pending.tag),
            format: Some(pending.format),
            settled: Some(pending.settled),
            ..TransferFrame::default()
        };
        let parts = pending.parts();
        let mut pieces = Pieces::new(&parts);
        let before = pieces.left;
        self.write_transfers(&head, &mut pieces, frame_max, out);
        let left = pieces.left;
        pending.sent += before - left;
        if left > 0 {
            self.pending = Some(pending);
            return None;
        }
        Some(pending.link)
    }
}

impl Live {
    /// A session may have a delivery that only waits for its next turn.
    pub fn note_long(&mut self, at: u16) {
        let waits = self.sessions.look(at).is_some_and(|one| one.pending.is_some() && one.outgoing_room() > 0);
        if waits && !self.long.contains(&at) {
            self.long.push_back(at);
        }
    }

    /// See [`Connection::go_on`](super::Connection::go_on).
    pub fn go_on(&mut self, enough: usize, out: &mut Vec<u8>) {
        let frame_max = self.frame_max();
        while out.len() < enough
            && let Some(at) = self.long.pop_front()
        {
            let Some(session) = self.sessions.at(at).filter(|session| !session.is_ending) else { continue };
            if let Some(link) = session.send_pending(frame_max, out) {
                self.is_whole(at, link, out);
                self.has_room_again = true;
            }
            self.note_long(at);
        }
    }

    /// All of a delivery has been written.
    pub fn is_whole(&mut self, at: u16, link: LinkId, out: &mut Vec<u8>) {
        if let Some(session) = self.sessions.at(at)
            && let Some(link) = self.links.get(link)
            && let handle = link.handle_out
            && let Some(end) = link.outgoing()
        {
            end.used_up(handle, session, out);
        }
    }

    /// See [`Connection::room`](super::Connection::room).
    #[inline]
    pub fn room(&self, id: LinkId) -> u32 {
        let Some(link) = self.links.look(id).filter(|link| link.is_up() && link.is_told) else { return 0 };
        let super::link::LinkEnd::Outgoing(end) = &link.end else { return 0 };
        let Some(session) = self.sessions.look(link.session) else { return 0 };
        if session.pending.is_some() {
            return 0;
        }
        let unsettled = (self.limits.unsettled_max as usize).saturating_sub(session.sent.len());
        let unsettled = u32::try_from(unsettled).unwrap_or(u32::MAX);
        end.credit.min(session.outgoing_room()).min(unsettled)
    }

    /// See [`Connection::deliver`](super::Connection::deliver).
    #[inline]
    pub fn deliver(
        &mut self,
        id: LinkId,
        outgoing: &Outgoing<'_>,
        out: &mut Vec<u8>,
    ) -> Result<DeliveryId, Undelivered> {
        if self.room(id) == 0 {
            return Err(Undelivered::NoRoom);
        }
        let frame_max = self.frame_max();
        let link = self.links.get(id).ok_or(Undelivered::NoRoom)?;
        let (at, handle) = (link.session, link.handle_out);
        let end = link.outgoing().ok_or(Undelivered::NoRoom)?;
        let mut pieces = Pieces::new(outgoing.parts);
        if end.message_bytes_max > 0 && pieces.left as u64 > end.message_bytes_max {
            return Err(Undelivered::TooLarge);
        }
        let session = self.sessions.at(at).ok_or(Undelivered::NoRoom)?;
        end.credit -= 1;
        end.delivery_count = end.delivery_count.wrapping_add(1);
        let delivery = session.next_delivery();
        if !outgoing.settled {
            session.sent.push(delivery, Sent { link: id, token: outgoing.token });
        }
        let encoded = outgoing.state.map(|state| {
            let mut encoded = Vec::new();
            state.write(&mut encoded);
            encoded
        });
        let head = TransferFrame {
            handle,
            delivery_id: Some(delivery),
            tag: Some(outgoing.tag),
            format: Some(outgoing.format),
            settled: Some(outgoing.settled),
            more: false,
            receiver_settles: None,
            state: encoded.as_deref(),
            resume: outgoing.resume,
            aborted: false,
        };
        session.write_transfers(&head, &mut pieces, frame_max, out);
        if pieces.left == 0 {
            end.used_up(handle, session, out);
        }
        if pieces.left > 0 {
            let shared = outgoing.shared.zip(outgoing.parts.last().map(|part| part.len()));
            let own = pieces.left.saturating_sub(shared.map_or(0, |(_, bytes)| bytes));
            let mut head = Vec::with_capacity(own);
            pieces.take(own, &mut head);
            // What is left now is of the shared one.
            let tail = shared.map(|(message, _)| (message.clone(), message.payload().len() - pieces.left));
            session.pending = Some(Pending {
                link: id,
                handle,
                delivery,
                tag: Tag::from_slice(outgoing.tag),
                format: outgoing.format,
                settled: outgoing.settled,
                _weight: Weight::new(head.len()),
                head,
                tail,
                sent: 0,
            });
            self.note_long(at);
        }
        Ok(delivery)
    }

    /// See [`Connection::waits_for_outcomes`](super::Connection::waits_for_outcomes).
    pub fn waits_for_outcomes(&self, id: LinkId) -> bool {
        let session = self.links.look(id).and_then(|link| self.sessions.look(link.session));
        session.is_some_and(|session| session.sent.len() >= self.limits.unsettled_max as usize)
    }

    /// See [`Connection::drained`](super::Connection::drained).
    pub fn drained(&mut self, id: LinkId, available: u32, out: &mut Vec<u8>) {
        let Some(link) = self.links.get(id).filter(|link| link.is_up() && link.is_told) else { return };
        let (at, handle) = (link.session, link.handle_out);
        let Some(end) = link.outgoing().filter(|end| end.drain) else { return };
        // Not in the middle of a delivery.
        let Some(session) = self.sessions.at(at).filter(|session| session.pending.is_none()) else { return };
        end.drain = false;
        end.delivery_count = end.delivery_count.wrapping_add(end.credit);
        end.credit = 0;
        end.available = available;
        session.write_flow(end.flow(handle, true), out);
    }

    /// See [`Connection::drains`](super::Connection::drains).
    pub fn drains(&self, id: LinkId) -> bool {
        let link = self.links.look(id).filter(|link| link.is_up());
        link.is_some_and(|link| matches!(&link.end, super::link::LinkEnd::Outgoing(end) if end.drain))
    }

    /// See [`Connection::settle_outgoing`](super::Connection::settle_outgoing).
    pub fn settle_outgoing(&mut self, id: LinkId, delivery: DeliveryId, state: Option<&State>, out: &mut Vec<u8>) {
        let Some(at) = self.links.get(id).map(|link| link.session) else { return };
        let Some(session) = self.sessions.at(at) else { return };
        if session.sent.get(delivery).is_none_or(|sent| sent.link != id) {
            return;
        }
        self.has_room_again |= session.sent.len() >= self.limits.unsettled_max as usize;
        session.sent.remove(delivery);
        let encoded = state.map(|state| {
            let mut encoded = Vec::new();
            state.write(&mut encoded);
            encoded
        });
        session.write_disposition(false, delivery, delivery, true, encoded.as_deref(), out);
        self.is_settled(id);
    }
}
