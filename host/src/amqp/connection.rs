//! The life of a connection: protocol headers, open, sessions, close, and the time by which something must have come.

use super::action::{AttachReply, DeliveryId, LinkId, Opening, Outgoing, SaslOutcome, Step, Undelivered};
use super::attach::some_array;
use super::condition::{AmqpError, Error, Fault, Fields, error, fitting};
use super::frame::{self, FRAME_BYTES_MIN, Frame, HEADER_BYTES, Kind, Protocol};
use super::limits::Limits;
use super::live::{Live, Takes};
use super::performative::{self, Performative, write_rare};
use super::state::State;
use super::{Action, sasl};
use crate::message::Time;
use fe2o3_amqp_types::performatives::{ChannelMax, Close, MaxFrameSize, Open};
use serde_amqp::Value;
use serde_amqp::primitives::Symbol;
use std::sync::Arc;

/// What a listener tells its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The broker's container-id.
    pub container_id: Arc<str>,
    /// SASL mechanisms on offer. Empty: no SASL layer.
    pub mechanisms: Vec<Symbol>,
    /// A client that begins without SASL is shown the SASL header and sent away.
    pub sasl_required: bool,
    /// The TLS header is answered. Never on a connection that is encrypted already.
    pub tls_offered: bool,
    /// What the broker can do.
    pub offered_capabilities: Vec<Symbol>,
    /// Product, version and the like.
    pub properties: Fields,
}

/// See the head of the room.
#[derive(Debug)]
pub struct Connection {
    limits: Arc<Limits>,
    profile: Arc<Profile>,
    phase: Phase,
    /// When the connection was made.
    begun: Time,
    /// When the last frame was read.
    heard: Time,
    heartbeat: Option<Heartbeat>,
}

#[derive(Debug)]
enum Phase {
    /// A protocol header comes.
    Header(Layer),
    /// TLS is on its way.
    Tls,
    /// A SASL frame comes.
    Sasl(Exchange),
    /// Whoever authenticates has the word.
    Proving(Exchange),
    /// Open comes.
    Open,
    /// The hall has the word.
    Opening(Takes),
    /// Sessions and links.
    Live(Box<Live>),
    /// The last word was said.
    Over,
}

/// What has been settled before a protocol header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// Nothing, or TLS.
    Bottom,
    /// The client is who it says it is.
    Proven,
}

/// How far a SASL exchange is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Exchange {
    /// Frames that the client has sent.
    steps: u32,
}

/// What the client wants to hear even if there is nothing to say (2.4.5).
#[derive(Debug, Clone, Copy)]
struct Heartbeat {
    every_milliseconds: u64,
    next: Time,
}

impl Connection {
    /// A connection that was just made. `profile` says what it offers.
    pub fn new(limits: Arc<Limits>, profile: Arc<Profile>, now: Time) -> Self {
        Self { limits, profile, phase: Phase::Header(Layer::Bottom), begun: now, heard: now, heartbeat: None }
    }

    /// Reads at most one frame from the start of `bytes`, which is all that the connection has so far. What the machine
    /// answers by itself goes to `out`.
    ///
    /// # Errors
    /// The connection is to be closed when `out` has been sent.
    #[inline]
    pub fn receive<'b>(&mut self, now: Time, bytes: &'b [u8], out: &mut Vec<u8>) -> Result<Step<'b>, Fault> {
        let bytes_max = match &self.phase {
            Phase::Live(_) => self.limits.frame_bytes_max,
            Phase::Header(layer) => return self.header(*layer, bytes, out),
            Phase::Sasl(_) | Phase::Open => self.limits.opening_frame_bytes_max,
            Phase::Tls | Phase::Proving(_) | Phase::Opening(_) => return Ok(Step::Wait),
            // What comes after the last word is not read.
            Phase::Over => return Ok(Step::Frame { length: bytes.len(), action: None }),
        };
        let frame = match frame::read(bytes, bytes_max) {
            Ok(Ok(frame)) => frame,
            Ok(Err(length)) => return Ok(Step::NeedMore { length }),
            Err(fault) => return Err(self.fail(fault.error, out)),
        };
        self.heard = now;
        match self.frame(now, &frame, out) {
            Ok(action) => Ok(Step::Frame { length: frame.length, action }),
            Err(error) => Err(self.fail(*error, out)),
        }
    }

    #[inline]
    fn frame<'b>(
        &mut self,
        now: Time,
        frame: &Frame<'b>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Action<'b>>, performative::Bad> {
        if let Phase::Sasl(exchange) = self.phase {
            return self.sasl_frame(exchange, frame).map(Some);
        }
        if frame.kind != Kind::Amqp {
            return Err(Box::new(error(AmqpError::NotAllowed, "a SASL frame comes after authentication")));
        }
        if frame.body.is_empty() {
            return match &mut self.phase {
                Phase::Live(live) => live.count_idle(now).map(|()| None),
                _ => Err(Box::new(error(AmqpError::NotAllowed, "the first frame is not open"))),
            };
        }
        let performative = performative::read(frame.body, &self.limits)?;
        match (&mut self.phase, performative) {
            (Phase::Live(_), Performative::Close(close)) => {
                self.say_close(None, out);
                self.phase = Phase::Over;
                Ok(Some(Action::Closed { error: close.error }))
            }
            (Phase::Live(_), Performative::Open(_)) => {
                Err(Box::new(error(AmqpError::NotAllowed, "open comes a second time")))
            }
            (Phase::Live(live), performative) => live.receive(now, frame.channel, performative, out),
            (_, Performative::Open(_)) if frame.channel != 0 => {
                // 2.4.1
                Err(Box::new(error(AmqpError::NotAllowed, "open comes on channel 0 only")))
            }
            (_, Performative::Open(open)) => self.opened(now, *open).map(Some),
            _ => Err(Box::new(error(AmqpError::NotAllowed, "the first frame is not open"))),
        }
    }

    /// A protocol header comes (2.2). What is offered is shown to a client that asks for something else.
    fn header<'b>(&mut self, layer: Layer, bytes: &[u8], out: &mut Vec<u8>) -> Result<Step<'b>, Fault> {
        let has_sasl = !self.profile.mechanisms.is_empty() && layer == Layer::Bottom;
        let needs_sasl = self.profile.sasl_required && layer == Layer::Bottom;
        let has_tls = self.profile.tls_offered && layer == Layer::Bottom;
        let asked = match Protocol::read(bytes) {
            Ok(None) => return Ok(Step::NeedMore { length: Some(HEADER_BYTES) }),
            Ok(Some(asked)) => Some(asked),
            Err(()) => None,
        };
        let step = |action| Ok(Step::Frame { length: HEADER_BYTES, action });
        match asked {
            Some(Protocol::Amqp) if !needs_sasl => {
                out.extend_from_slice(&Protocol::Amqp.header());
                self.phase = Phase::Open;
                step(None)
            }
            Some(Protocol::Sasl) if has_sasl => {
                out.extend_from_slice(&Protocol::Sasl.header());
                sasl::write_mechanisms(&self.profile.mechanisms, out);
                self.phase = Phase::Sasl(Exchange { steps: 0 });
                step(None)
            }
            Some(Protocol::Tls) if has_tls => {
                out.extend_from_slice(&Protocol::Tls.header());
                self.phase = Phase::Tls;
                step(Some(Action::StartTls))
            }
            _ => {
                let offered = if needs_sasl { Protocol::Sasl } else { Protocol::Amqp };
                out.extend_from_slice(&offered.header());
                self.phase = Phase::Over;
                Err(Fault::new(AmqpError::NotAllowed, "this protocol is not offered here"))
            }
        }
    }

    /// A frame of the SASL layer came.
    fn sasl_frame(&mut self, exchange: Exchange, frame: &Frame<'_>) -> Result<Action<'static>, performative::Bad> {
        let action = if exchange.steps == 0 {
            sasl::read_init(frame, &self.profile.mechanisms, &self.limits)?
        } else {
            sasl::read_response(frame, &self.limits)?
        };
        if exchange.steps >= self.limits.sasl_steps_max {
            return Err(Box::new(error(AmqpError::ResourceLimitExceeded, "the exchange has too many steps")));
        }
        self.phase = Phase::Proving(Exchange { steps: exchange.steps + 1 });
        Ok(action)
    }

    /// Open came (2.7.1).
    fn opened<'b>(&mut self, now: Time, open: Open) -> Result<Action<'b>, performative::Bad> {
        let invalid = |why| Err(performative::invalid(why));
        if open.container_id.len() > self.limits.name_bytes_max {
            return invalid("container-id is too long");
        }
        if open.max_frame_size.0 < FRAME_BYTES_MIN {
            return invalid("max-frame-size is below 512");
        }
        let idle = open.idle_time_out.filter(|milliseconds| *milliseconds > 0);
        if let Some(milliseconds) = idle {
            if milliseconds < self.limits.idle_milliseconds_min {
                return invalid("idle-time-out is shorter than the broker can keep");
            }
            let every_milliseconds = u64::from(milliseconds) / 2;
            self.heartbeat = Some(Heartbeat { every_milliseconds, next: now.plus_milliseconds(every_milliseconds) });
        }
        self.phase = Phase::Opening(Takes { frame_bytes: open.max_frame_size.0, channel_max: open.channel_max.0 });
        Ok(Action::Open(Box::new(Opening {
            container_id: open.container_id.into(),
            hostname: open.hostname.map(Into::into),
            desired_capabilities: open.desired_capabilities.map(|array| array.0).unwrap_or_default(),
            offered_capabilities: open.offered_capabilities.map(|array| array.0).unwrap_or_default(),
            properties: open.properties.unwrap_or_default(),
        })))
    }

    /// Says what is wrong, in the words of the layer that the connection is at.
    #[cold]
    fn fail(&mut self, error: Error, out: &mut Vec<u8>) -> Fault {
        match self.phase {
            Phase::Sasl(_) | Phase::Proving(_) => sasl::write_outcome(SaslOutcome::Auth, None, out),
            _ => self.say_close(Some(error.clone()), out),
        }
        self.phase = Phase::Over;
        Fault { error }
    }

    /// Writes close, and open before it if that was not said (2.4.3). Below that layer there are no words.
    fn say_close(&mut self, error: Option<Error>, out: &mut Vec<u8>) {
        match &mut self.phase {
            Phase::Open | Phase::Opening(_) => self.say_open(true, out),
            Phase::Live(live) => live.flush(out),
            Phase::Header(_) | Phase::Tls | Phase::Sasl(_) | Phase::Proving(_) | Phase::Over => return,
        }
        write_rare(Kind::Amqp, 0, &Close { error: error.map(fitting) }, out);
    }

    /// `fails`: close follows, which clients that wait for open only would take for an end of what was there.
    fn say_open(&self, fails: bool, out: &mut Vec<u8>) {
        let mut properties = self.profile.properties.clone();
        if fails {
            properties.insert(Symbol::from("amqp:connection-establishment-failed"), Value::Bool(true));
        }
        let idle = self.limits.idle_milliseconds_max / 2;
        let open = Open {
            container_id: self.profile.container_id.to_string(),
            hostname: None,
            max_frame_size: MaxFrameSize(self.limits.frame_bytes_max),
            channel_max: ChannelMax(self.limits.channel_max),
            idle_time_out: (idle > 0).then_some(idle),
            outgoing_locales: None,
            incoming_locales: None,
            offered_capabilities: some_array(self.profile.offered_capabilities.clone()),
            desired_capabilities: None,
            properties: (!properties.is_empty()).then_some(properties),
        };
        write_rare(Kind::Amqp, 0, &open, out);
    }

    fn live(&mut self) -> Option<&mut Live> {
        match &mut self.phase {
            Phase::Live(live) => Some(live),
            _ => None,
        }
    }

    /// When [`Self::tick`] wants to be called; none: never.
    pub fn deadline(&self) -> Option<Time> {
        let live = match &self.phase {
            Phase::Live(live) => live,
            Phase::Over => return None,
            _ => return Some(self.begun.plus_seconds(self.limits.open_seconds_max)),
        };
        let silence = self.silence_deadline();
        let heartbeat = self.heartbeat.map(|heartbeat| heartbeat.next);
        [silence, heartbeat, live.partial_deadline()].into_iter().flatten().min()
    }

    fn silence_deadline(&self) -> Option<Time> {
        let idle = self.limits.idle_milliseconds_max;
        (idle > 0).then(|| self.heard.plus_milliseconds(idle.into()))
    }

    /// Does what is due: heart-beats, deliveries that stopped in the middle, silence. At most one action a call; call again
    /// as long as [`Self::deadline`] has passed.
    ///
    /// # Errors
    /// The client was silent for too long: the connection is to be closed when `out` has been sent.
    pub fn tick(&mut self, now: Time, out: &mut Vec<u8>) -> Result<Option<Action<'static>>, Fault> {
        if self.deadline().is_none_or(|at| now < at) {
            return Ok(None);
        }
        let late = |why| error(AmqpError::ResourceLimitExceeded, why);
        if !matches!(self.phase, Phase::Live(_)) {
            return Err(self.fail(late("open did not come in time"), out));
        }
        if self.silence_deadline().is_some_and(|at| at <= now) {
            return Err(self.fail(late("nothing came for longer than idle-time-out allows"), out));
        }
        if let Some(heartbeat) = self.heartbeat.as_mut().filter(|heartbeat| heartbeat.next <= now) {
            heartbeat.next = now.plus_milliseconds(heartbeat.every_milliseconds);
            frame::write_empty(out);
        }
        Ok(self.live().and_then(|live| live.give_up_partial(now, out)))
    }

    /// The TLS handshake is done: the client begins again with a protocol header. From now on this profile holds, which
    /// offers no TLS.
    pub fn tls_started(&mut self, profile: Arc<Profile>) {
        if matches!(self.phase, Phase::Tls) {
            self.profile = profile;
            self.phase = Phase::Header(Layer::Bottom);
        }
    }

    /// Asks a client that authenticates for its next answer.
    pub fn sasl_challenge(&mut self, challenge: &[u8], out: &mut Vec<u8>) {
        if let Phase::Proving(exchange) = self.phase {
            sasl::write_challenge(challenge, out);
            self.phase = Phase::Sasl(exchange);
        }
    }

    /// Ends the SASL exchange. After anything but [`SaslOutcome::Ok`] the connection is to be closed when `out` has been sent.
    pub fn sasl_outcome(&mut self, outcome: SaslOutcome, additional: Option<&[u8]>, out: &mut Vec<u8>) {
        if matches!(self.phase, Phase::Proving(_)) {
            sasl::write_outcome(outcome, additional, out);
            self.phase = if outcome == SaslOutcome::Ok { Phase::Header(Layer::Proven) } else { Phase::Over };
        }
    }

    /// Whether the client is in.
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live(_))
    }

    /// Something more that is offered to this client, to be said before [`Self::open`].
    pub fn also_offer(&mut self, capability: &str) {
        Arc::make_mut(&mut self.profile).offered_capabilities.push(Symbol::from(capability));
    }

    /// Lets the client in.
    pub fn open(&mut self, now: Time, out: &mut Vec<u8>) {
        if let Phase::Opening(takes) = self.phase {
            self.heard = now;
            self.say_open(false, out);
            self.phase = Phase::Live(Box::new(Live::new(self.limits.clone(), takes)));
        }
    }

    /// Ends the connection by the broker's will. Nothing may follow.
    pub fn close(&mut self, error: Option<Error>, out: &mut Vec<u8>) {
        self.say_close(error, out);
        self.phase = Phase::Over;
    }

    /// Answers an attach, and gives a sending client its credit.
    pub fn attach(&mut self, link: LinkId, reply: AttachReply, out: &mut Vec<u8>) {
        if let Some(live) = self.live() {
            live.attach(link, reply, out);
        }
    }

    /// Whether the client takes a frame with this answer to its attach (2.7.1); of the unsettled map any part will do (2.7.3).
    pub fn fits(&self, link: LinkId, reply: &AttachReply) -> bool {
        match &self.phase {
            Phase::Live(live) => live.fits(link, reply),
            _ => true,
        }
    }

    /// Answers an attach with no (2.6.3): the link comes up without a terminus, and is closed.
    pub fn refuse(&mut self, link: LinkId, error: Error, out: &mut Vec<u8>) {
        if let Some(live) = self.live() {
            live.refuse(link, error, out);
        }
    }

    /// Takes a link down, or answers the client that did it. A link that the client closes is closed whatever `closed` says.
    pub fn detach(&mut self, link: LinkId, closed: bool, error: Option<Error>, out: &mut Vec<u8>) {
        if let Some(live) = self.live() {
            live.detach(link, closed, error, out);
        }
    }

    /// Deliveries of a link that stay live when both sides have detached it, as nobody has closed it or spoken of an error
    /// (2.7.6). To one that receives: their [`Outgoing::token`]s.
    pub fn outstanding(&self, link: LinkId) -> Vec<u64> {
        match &self.phase {
            Phase::Live(live) => live.outstanding(link),
            _ => Vec::new(),
        }
    }

    /// Whether a link is there, be it only for its deliveries.
    pub fn is_there(&self, link: LinkId) -> bool {
        matches!(&self.phase, Phase::Live(live) if live.links.look(link).is_some())
    }

    /// Ends the session of a link because of an error. Its links, which are returned, are gone.
    pub fn end(&mut self, link: LinkId, error: Error, out: &mut Vec<u8>) -> Vec<LinkId> {
        let Some(live) = self.live() else { return Vec::new() };
        let Some(at) = live.links.get(link).map(|link| link.session) else { return Vec::new() };
        match live.end(at, error, out) {
            Action::Ended { links, .. } => links,
            _ => Vec::new(),
        }
    }

    /// How many deliveries a sending client may have unanswered from now on. What it was granted before is not taken back.
    pub fn grant(&mut self, link: LinkId, credit: u32, out: &mut Vec<u8>) {
        if let Some(live) = self.live() {
            live.grant(link, credit, out);
        }
    }

    /// Says what becomes of a delivery from a client. `settled`: and forgets it. Deliveries that follow each other and
    /// are accepted are told together, at [`Self::flush`]. Ignored if link or delivery are gone.
    #[inline]
    pub fn settle(&mut self, link: LinkId, delivery: DeliveryId, state: &State, settled: bool, out: &mut Vec<u8>) {
        if let Some(live) = self.live() {
            live.settle(link, delivery, state, settled, out);
        }
    }

    /// Says what was held back to be said together. To be called at the end of each batch.
    #[inline]
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        if let Some(live) = self.live() {
            live.flush(out);
        }
    }

    /// How many deliveries may begin now on a link to a client.
    #[inline]
    pub fn room(&self, link: LinkId) -> u32 {
        match &self.phase {
            Phase::Live(live) => live.room(link),
            _ => 0,
        }
    }

    /// Whether, since this was asked last, a session got room that had as much unsettled as it may. Its client need not say
    /// anything more: all its links are to be looked at.
    pub fn has_room_again(&mut self) -> bool {
        self.live().is_some_and(|live| std::mem::take(&mut live.has_room_again))
    }

    /// Bytes of messages of which not all has come.
    pub fn partial_bytes(&self) -> usize {
        match &self.phase {
            Phase::Live(live) => usize::try_from(live.partial_bytes).unwrap_or(usize::MAX),
            _ => 0,
        }
    }

    /// The client could not be heard until now.
    pub fn excuse_silence(&mut self, now: Time) {
        self.heard = now;
    }

    /// Whether the client wants to hear when nothing is left to deliver.
    pub fn drains(&self, link: LinkId) -> bool {
        matches!(&self.phase, Phase::Live(live) if live.drains(link))
    }

    /// Sends a message if there is room, in as many frames as it takes; what the session's window does not take now follows
    /// by itself, and what is too long to be written at once by [`Self::go_on`].
    ///
    /// # Errors
    /// Nothing was sent.
    #[inline]
    pub fn deliver(
        &mut self,
        link: LinkId,
        outgoing: &Outgoing<'_>,
        out: &mut Vec<u8>,
    ) -> Result<DeliveryId, Undelivered> {
        self.live().ok_or(Undelivered::NoRoom)?.deliver(link, outgoing, out)
    }

    /// Goes on with deliveries that are too long to be written at once, until `out` is as long as `enough`.
    #[inline]
    pub fn go_on(&mut self, enough: usize, out: &mut Vec<u8>) {
        if let Some(live) = self.live().filter(|live| !live.long.is_empty()) {
            live.go_on(enough, out);
        }
    }

    /// Nothing is left that could be delivered, but for so many that the broker holds back itself: takes back the credit of a
    /// client that drains (2.6.7), and tells it. Nothing to do for one that does not.
    pub fn drained(&mut self, link: LinkId, available: u32, out: &mut Vec<u8>) {
        if let Some(live) = self.live() {
            live.drained(link, available, out);
        }
    }

    /// Whether the session of this link has as many deliveries that are not settled as the broker lets it have.
    pub fn waits_for_outcomes(&self, link: LinkId) -> bool {
        matches!(&self.phase, Phase::Live(live) if live.waits_for_outcomes(link))
    }

    /// Answers a flow that asks for one (2.7.4): where the link is, and how many deliveries wait for it.
    pub fn answer_flow(&mut self, link: LinkId, available: u32, out: &mut Vec<u8>) {
        if let Some(live) = self.live() {
            live.answer_flow(link, available, out);
        }
    }

    /// How many deliveries wait for the client: told with a flow that follows what is delivered.
    pub fn set_available(&mut self, link: LinkId, available: u32) {
        if let Some(end) = self.live().and_then(|live| live.links.get(link)).and_then(|link| link.outgoing()) {
            end.available = available;
        }
    }

    /// Settles a delivery to a client that has said its outcome and waits (receiver settles second), or takes the broker's
    /// last word on one. Ignored if it is gone.
    pub fn settle_outgoing(&mut self, link: LinkId, delivery: DeliveryId, state: Option<&State>, out: &mut Vec<u8>) {
        if let Some(live) = self.live() {
            live.settle_outgoing(link, delivery, state, out);
        }
    }
}
