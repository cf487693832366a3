//! A connection between open and close: its sessions and links, and which of them a frame is for.

use super::action::{Action, Detach, LinkId};
use super::condition::{AmqpError, ConnectionError, Error, SessionError};
use super::frame::Kind;
use super::limits::Limits;
use super::link::Links;
use super::performative::{FlowFrame, Performative, write_rare};
use super::session::Session;
use super::trouble::{Found, Trouble};
use crate::message::Time;
use fe2o3_amqp_types::definitions::Handle;
use fe2o3_amqp_types::performatives::{Begin, End};
use std::collections::VecDeque;
use std::sync::Arc;

/// What the client said in its open that it takes (2.7.1).
#[derive(Debug, Clone, Copy)]
pub struct Takes {
    /// Longest frame, in bytes.
    pub frame_bytes: u32,
    /// Highest channel.
    pub channel_max: u16,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Live {
    pub limits: Arc<Limits>,
    pub sessions: Sessions,
    pub links: Links,
    /// What is sent keeps to that.
    takes: Takes,
    /// Sessions and links that may have something to say at the end of the batch.
    marked_sessions: Vec<u16>,
    marked_links: Vec<LinkId>,
    /// Messages that are not whole, and their bytes.
    pub partials: u32,
    pub partial_bytes: u64,
    /// Links that are there only for deliveries of theirs.
    pub lingering: u32,
    /// A session that had all that it takes unsettled has room again.
    pub has_room_again: bool,
    /// Sessions with a delivery that is too long to be written at once.
    pub long: VecDeque<u16>,
    /// Empty frames, and flows that change nothing, within one second.
    idle_frames: (u64, u32),
}

/// The sessions of a connection. A session's place is the broker's channel.
#[derive(Debug, Default)]
pub struct Sessions {
    places: Vec<Option<Box<Session>>>,
    /// Places by the client's channel.
    by_channel: Vec<Option<u16>>,
}

impl Sessions {
    /// The session at this place.
    #[inline]
    pub fn at(&mut self, place: u16) -> Option<&mut Session> {
        self.places.get_mut(usize::from(place))?.as_deref_mut()
    }

    /// The session at this place.
    #[inline]
    pub fn look(&self, place: u16) -> Option<&Session> {
        self.places.get(usize::from(place))?.as_deref()
    }

    /// Where the session of this channel of the client's is.
    #[inline]
    fn place(&self, channel: u16) -> Option<u16> {
        *self.by_channel.get(usize::from(channel))?
    }

    fn free_place(&self, most: u16) -> Option<u16> {
        let free = self.places.iter().position(Option::is_none).unwrap_or(self.places.len());
        u16::try_from(free).ok().filter(|place| *place <= most)
    }

    fn add(&mut self, place: u16, session: Session) {
        let channel = usize::from(session.channel_in);
        if self.by_channel.len() <= channel {
            self.by_channel.resize(channel + 1, None);
        }
        self.by_channel[channel] = Some(place);
        let at = usize::from(place);
        if self.places.len() <= at {
            self.places.resize_with(at + 1, || None);
        }
        self.places[at] = Some(Box::new(session));
    }

    fn remove(&mut self, place: u16) {
        let session = self.places.get_mut(usize::from(place)).and_then(Option::take);
        let slot = session.and_then(|session| self.by_channel.get_mut(usize::from(session.channel_in)));
        if let Some(slot) = slot {
            *slot = None;
        }
    }
}

impl Live {
    /// A connection whose client takes so much.
    pub fn new(limits: Arc<Limits>, takes: Takes) -> Self {
        Self {
            // Longer frames than the broker takes itself would gain nothing.
            takes: Takes { frame_bytes: takes.frame_bytes.min(limits.frame_bytes_max), ..takes },
            limits,
            sessions: Sessions::default(),
            links: Links::default(),
            marked_sessions: Vec::new(),
            marked_links: Vec::new(),
            partials: 0,
            partial_bytes: 0,
            lingering: 0,
            has_room_again: false,
            long: VecDeque::new(),
            idle_frames: (0, 0),
        }
    }

    /// Longest frame that is sent, in bytes.
    #[inline]
    pub fn frame_max(&self) -> usize {
        self.takes.frame_bytes as usize
    }

    /// A frame came.
    #[inline]
    pub fn receive<'b>(
        &mut self,
        now: Time,
        channel: u16,
        performative: Performative<'b>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Action<'b>>, Box<Error>> {
        let place = match performative {
            Performative::Begin(begin) => return self.begin(channel, &begin, out).map(|()| None),
            _ => self.place(channel)?,
        };
        let ending = self.sessions.look(place).is_some_and(|session| session.is_ending);
        let found = match performative {
            Performative::End(end) => return Ok(self.end_by_peer(place, end.error, out)),
            _ if ending => Ok(None),
            Performative::Transfer(frame, payload) => self.on_transfer(now, place, &frame, payload),
            Performative::Disposition(frame) => self.on_disposition(place, &frame, out),
            Performative::Flow(frame) => self.on_flow(now, place, &frame, out),
            Performative::Attach(attach, unknown) => self.on_attach(place, *attach, unknown, out),
            Performative::Detach(detach) => self.on_detach(place, detach),
            Performative::Open(_) | Performative::Begin(_) | Performative::Close(_) => Ok(None),
        };
        match found {
            Ok(action) => Ok(action),
            Err(Trouble::Connection(error)) => Err(error),
            Err(Trouble::Session(error)) => Ok(Some(self.end(place, *error, out))),
            Err(Trouble::Link(link, error)) => Ok(self.break_link(link, *error, out)),
        }
    }

    /// Where the session of a channel is.
    #[inline]
    fn place(&self, channel: u16) -> Result<u16, Box<Error>> {
        let unknown = || Box::new(super::error(AmqpError::NotAllowed, "no session has begun on this channel"));
        self.sessions.place(channel).ok_or_else(unknown)
    }

    /// Which link a handle of the client's names.
    #[inline]
    pub fn link_of(&mut self, place: u16, handle: u32) -> Found<u32> {
        let link = self.sessions.look(place).and_then(|session| session.link_at(handle));
        link.ok_or_else(|| Trouble::session(SessionError::UnattachedHandle, "no link is attached under this handle"))
    }

    /// The client begins a session (2.7.2).
    fn begin(&mut self, channel: u16, begin: &Begin, out: &mut Vec<u8>) -> Result<(), Box<Error>> {
        let not_allowed = |why| Box::new(super::error(AmqpError::NotAllowed, why));
        if channel > self.limits.channel_max {
            return Err(Box::new(super::error(ConnectionError::FramingError, "the channel is above channel-max")));
        }
        if begin.remote_channel.is_some() {
            return Err(not_allowed("remote-channel answers a begin that was never sent"));
        }
        if self.sessions.place(channel).is_some() {
            return Err(not_allowed("a session has begun on this channel already"));
        }
        // A session is answered on a channel of the broker's, and that is none above what the client takes (2.7.1).
        let place = self.sessions.free_place(self.takes.channel_max);
        let place = place.ok_or_else(|| not_allowed("you have as many sessions as your channel-max allows"))?;
        let window = self.limits.session_window;
        let session =
            Session::new((channel, place), window, begin.next_outgoing_id, begin.incoming_window, begin.handle_max.0);
        self.sessions.add(place, session);
        let answer = Begin {
            remote_channel: Some(channel),
            next_outgoing_id: 0,
            incoming_window: window,
            outgoing_window: i32::MAX as u32,
            handle_max: Handle(self.limits.handle_max),
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        write_rare(Kind::Amqp, place, &answer, out);
        Ok(())
    }

    /// The client ends a session (2.7.8), or answers the broker's end.
    fn end_by_peer(&mut self, place: u16, error: Option<Error>, out: &mut Vec<u8>) -> Option<Action<'static>> {
        let was_ending = self.sessions.look(place)?.is_ending;
        if !was_ending {
            self.say_end(place, None, out);
        }
        let links = self.drop_links(place);
        self.sessions.remove(place);
        (!was_ending).then_some(Action::Ended { session: place, links, error })
    }

    /// Ends a session because of an error.
    pub fn end(&mut self, place: u16, error: Error, out: &mut Vec<u8>) -> Action<'static> {
        self.say_end(place, Some(error.clone()), out);
        if let Some(session) = self.sessions.at(place) {
            session.is_ending = true;
        }
        Action::Ended { session: place, links: self.drop_links(place), error: Some(error) }
    }

    fn say_end(&mut self, place: u16, error: Option<Error>, out: &mut Vec<u8>) {
        if let Some(session) = self.sessions.at(place) {
            session.say_held(out);
            write_rare(Kind::Amqp, session.channel_out, &End { error: error.map(super::condition::fitting) }, out);
        }
    }

    /// Drops all links of a session.
    fn drop_links(&mut self, place: u16) -> Vec<LinkId> {
        let links: Vec<LinkId> = self.links.iter().filter(|link| link.session == place).map(|link| link.id).collect();
        for link in &links {
            self.drop_partial(*link);
            let gone = self.links.remove(*link);
            self.lingering -= u32::from(gone.is_some_and(|gone| gone.live > 0));
        }
        links
    }

    /// Takes a link down because of an error.
    fn break_link(&mut self, link: LinkId, error: Error, out: &mut Vec<u8>) -> Option<Action<'static>> {
        let is_known = self.links.get(link).is_some_and(|link| !link.is_detached);
        self.detach(link, true, Some(error.clone()), out);
        is_known.then(|| Action::Detach(Detach { link, closed: true, error: Some(error), by_machine: true }))
    }

    /// A session has something to say at the end of the batch.
    #[inline]
    pub fn mark_session(&mut self, place: u16) {
        if let Some(session) = self.sessions.at(place).filter(|session| !session.is_marked) {
            session.is_marked = true;
            self.marked_sessions.push(place);
        }
    }

    /// The credit of a link is to be looked at at the end of the batch.
    #[inline]
    pub fn mark_link(&mut self, id: LinkId) {
        if let Some(end) = self.links.get(id).and_then(|link| link.incoming()).filter(|end| !end.is_marked) {
            end.is_marked = true;
            self.marked_links.push(id);
        }
    }

    /// See [`Connection::flush`](super::Connection::flush).
    #[inline]
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        while let Some(place) = self.marked_sessions.pop() {
            if let Some(session) = self.sessions.at(place).filter(|session| session.is_marked) {
                session.is_marked = false;
                if session.is_ending {
                    continue;
                }
                session.say_held(out);
                if session.is_window_low() {
                    session.write_flow(FlowFrame::default(), out);
                }
            }
        }
        while let Some(id) = self.marked_links.pop() {
            if let Some(end) = self.links.get(id).and_then(|link| link.incoming()) {
                end.is_marked = false;
                self.top_up(id, out);
            }
        }
    }

    /// Counts a frame that carries nothing.
    pub fn count_idle(&mut self, now: Time) -> Result<(), Box<Error>> {
        let second = now.0 / 1000;
        if self.idle_frames.0 != second {
            self.idle_frames = (second, 0);
        }
        self.idle_frames.1 += 1;
        if self.idle_frames.1 > self.limits.idle_frames_per_second_max {
            return Err(Box::new(super::error(AmqpError::ResourceLimitExceeded, "too many frames that carry nothing")));
        }
        Ok(())
    }

    /// When the oldest message that is not whole is given up; none: there is none.
    pub fn partial_deadline(&self) -> Option<Time> {
        if self.partials == 0 {
            return None;
        }
        self.partials().map(|(_, touched)| touched.plus_seconds(self.limits.partial_seconds_max)).min()
    }

    fn partials(&self) -> impl Iterator<Item = (LinkId, Time)> {
        self.links.iter().filter_map(|link| match &link.end {
            super::link::LinkEnd::Incoming(end) => Some((link.id, end.partial.as_ref()?.touched)),
            super::link::LinkEnd::Outgoing(_) => None,
        })
    }

    /// Gives up a message that stopped in the middle.
    pub fn give_up_partial(&mut self, now: Time, out: &mut Vec<u8>) -> Option<Action<'static>> {
        let seconds = self.limits.partial_seconds_max;
        let (link, _) = self.partials().find(|(_, touched)| touched.plus_seconds(seconds) <= now)?;
        let why = "the rest of a message did not come in time";
        self.break_link(link, super::error(AmqpError::ResourceLimitExceeded, why), out)
    }
}
