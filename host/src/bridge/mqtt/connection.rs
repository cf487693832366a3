//! One connection to another MQTT broker, from CONNECT to its end: packets in, packets out, the hall behind.

use super::super::NODE_TOPIC;
use super::super::dial::{Stream, login};
use super::super::retry::Retry;
use super::super::seat::{self, Hall, Seat};
use super::super::settings::MqttVersion;
use super::super::thread::Plan;
use super::codec::{Bounds, Codec, Hello, In, Packet, Wanted};
use super::inward::Inbox;
use super::outward::Outbox;
use super::suspects::Cut;
use crate::broker::Answer;
use crate::dialogue::{Closed, Handle, Request, Settlement};
use crate::message::Guarantee;
use crate::metrics::{BridgeState, RouteState};
use crate::store::Sequence;
use bytes::BytesMut;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::Instant;

/// Bytes of packets that are gathered before they are sent.
pub(super) const BATCH_BYTES: usize = 65_536;
/// Answers that may wait for the disk; at this number nothing more is read.
pub(super) const ANSWERS_MAX: usize = 4096;
/// Most filters of one SUBSCRIBE: AWS IoT Core takes no more.
const FILTERS_MAX: usize = 8;
/// Bytes of messages that may wait for room here; then nothing more is read.
const HELD_BYTES_MAX: usize = 64 << 20;
/// How often a publication that waits for room is looked at, at least.
const LOOK: Duration = Duration::from_secs(1);
/// How long the other broker may take to hear a goodbye.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a connection is over.
#[derive(Debug)]
pub struct Lost {
    /// For people.
    pub reason: String,
    /// For how long it stood before that.
    pub lasted: Duration,
}

/// What is said to the other broker once so much is on disk. In the order of what is answered, so not among these are
/// answers to messages that come in, which may have to wait for one that is not taken (4.6.0-2, 4.6.0-3).
#[derive(Debug, Clone, Copy)]
pub(super) enum Reply {
    Pubrel(Handle),
    Pubcomp(Handle),
}

/// The state of one connection.
pub(super) struct Connection<'a> {
    pub plan: &'a Plan,
    pub codec: Codec,
    pub bounds: Bounds,
    pub seat: Seat,
    pub out: BytesMut,
    pub replies: VecDeque<(Sequence, Reply)>,
    pub inbox: Inbox,
    /// The routes whose subscriptions it is being asked for, in that order; none: that of its id.
    asked: Vec<Option<usize>>,
    /// Those that it will be asked for after them.
    to_ask: VecDeque<Option<usize>>,
    /// When to ask again for those that it has refused.
    ask_again: Option<Instant>,
    retry: Retry,
    pub outbox: Outbox,
    /// The other broker's id, if it is one of ours and has told it.
    pub peer: Option<String>,
    /// Whether it has had its time to tell: nothing goes out before, and what comes in waits here.
    pub is_known: bool,
    early: Vec<In>,
    early_bytes: usize,
    /// Until that is answered, its identifier is not free for what goes out (MQTT 5.0, 2.2.1): nothing new does.
    pub is_subscribing: bool,
    /// The other broker has ended the connection.
    pub cut: Option<Cut>,
}

/// Runs a connection until it breaks, or until the bridge is stopped (then there is no reason).
pub async fn run(
    plan: &Plan,
    hall: &Hall,
    stream: Box<dyn Stream>,
    stopped: &mut watch::Receiver<bool>,
) -> Result<(), Lost> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let codec = Codec { version: plan.settings.mqtt_version(), bytes_max: plan.settings.message_bytes_max };
    let (mut incoming, mut out) = (BytesMut::new(), BytesMut::new());
    let early = |reason: String| Lost { reason, lasted: Duration::ZERO };
    let login = login(&plan.settings).map_err(early)?;
    let keep_alive = plan.settings.keep_alive_seconds;
    let hello = Hello { client_id: &plan.client_id, login, keep_alive, window: plan.settings.window };
    codec.connect(hello, &mut out).map_err(early)?;
    let greeting = async {
        writer.write_all_buf(&mut out).await.map_err(|error| error.to_string())?;
        writer.flush().await.map_err(|error| error.to_string())?;
        loop {
            if let Some(reason) = other_protocol(&incoming) {
                return Err(reason.to_owned());
            }
            if let Some(packet) = codec.read(&mut incoming)? {
                return Ok(packet);
            }
            if reader.read_buf(&mut incoming).await.map_err(|error| error.to_string())? == 0 {
                return Err(NO_ANSWER.to_owned());
            }
        }
    };
    let patience = Duration::from_secs(plan.settings.connect_seconds_max.into());
    let answer = tokio::time::timeout(patience, greeting).await;
    let answer = answer.map_err(|_| early("no answer to CONNECT in time".to_owned()))?.map_err(early)?;
    let (session_present, bounds) = match answer {
        Packet::Connack { refusal: None, session_present, bounds } => (session_present, bounds),
        Packet::Connack { refusal: Some(refusal), .. } => return Err(early(refusal)),
        _ => return Err(early("it answers CONNECT with another packet than CONNACK".to_owned())),
    };
    let window = plan.settings.window.min(bounds.window);
    let seat = Seat::take(hall, &plan.client, window).map_err(early)?;
    let mut connection = Connection {
        plan,
        codec,
        bounds,
        seat,
        out,
        replies: VecDeque::new(),
        inbox: Inbox::new(&plan.settings),
        asked: Vec::new(),
        to_ask: VecDeque::new(),
        ask_again: None,
        retry: Retry::new(&plan.settings),
        outbox: Outbox::new(&plan.settings),
        peer: None,
        is_known: false,
        early: Vec::new(),
        early_bytes: 0,
        is_subscribing: false,
        cut: None,
    };
    connection.begin(session_present).map_err(early)?;
    plan.figures.connections_total.add(1);
    plan.say(hall, BridgeState::Connected, None);
    (0..plan.figures.routes.len()).for_each(|at| plan.note(hall, at, RouteState::Up, ""));
    let begun = Instant::now();
    let ended = connection.drive(&mut reader, &mut writer, incoming, stopped).await;
    connection.suspect();
    ended.map_err(|reason| Lost { reason, lasted: begun.elapsed() })
}

impl Connection<'_> {
    /// What is said first: subscriptions, before what waited.
    fn begin(&mut self, session_present: bool) -> Result<(), String> {
        if let (false, Some(attachment)) = (session_present, self.seat.attachment()) {
            self.seat.hall.broker.forget_unreleased(attachment);
        }
        // With 3.1.1 each subscription brings all retained messages again.
        let again = self.codec.version == MqttVersion::V5 || !session_present;
        let asks_for = |route: &usize| again || !self.plan.granted[*route].get();
        let routes = (0..self.plan.inward.len()).filter(asks_for).map(Some);
        // Properties are what keeps a message from going round, so there are none with 3.1.1.
        let asks = self.codec.version == MqttVersion::V5;
        // First, so that it is known when messages come.
        self.to_ask = asks.then_some(None).into_iter().chain(routes).collect();
        self.is_known = !asks;
        self.subscribe()?;
        if asks {
            // What it retains stands before the answer to this.
            self.codec.ping(&mut self.out)?;
        }
        Ok(())
    }

    /// Asks for the next subscriptions, as many as any broker takes at once.
    fn subscribe(&mut self) -> Result<(), String> {
        let count = self.to_ask.len().min(FILTERS_MAX);
        self.asked = self.to_ask.drain(..count).collect();
        self.is_subscribing = count > 0;
        if count == 0 {
            return Ok(());
        }
        let attachment = self.seat.attachment();
        let used = attachment.map_or_else(Vec::new, |own| self.seat.hall.broker.handles_under_way(own));
        let free = (1..=Handle::MAX).find(|handle| !used.contains(handle)).unwrap_or(Handle::MAX);
        let wanted: Vec<_> = self.asked.iter().map(|route| self.wanted(*route)).collect();
        self.codec.subscribe(free, &wanted, &mut self.out)
    }

    fn wanted(&self, route: Option<usize>) -> Wanted {
        let Some(route) = route else {
            let filter = format!("$SYS/broker/{NODE_TOPIC}");
            return Wanted { filter, guarantee: Guarantee::AtMostOnce, always: true };
        };
        let way = &self.plan.inward[route];
        let guarantee = Guarantee::from_level(way.route.qos).unwrap_or_default();
        Wanted { filter: way.route.remote_source(), guarantee, always: false }
    }

    /// What it says of subscriptions. Those that it refuses are asked for again after a while.
    fn subscribed(&mut self, refused: Vec<Option<String>>) {
        let asked = std::mem::take(&mut self.asked).into_iter().zip(refused);
        let mut any = false;
        for (route, reason) in asked.filter_map(|(route, reason)| Some((route?, reason))) {
            let at = self.plan.outward.len() + route;
            self.plan.granted[route].set(reason.is_none());
            match reason {
                Some(reason) => {
                    let filter = self.plan.inward[route].route.remote_source();
                    let reason = format!("it refuses the subscription {filter}: {reason}");
                    self.plan.note(&self.seat.hall, at, RouteState::Broken, &reason);
                    self.plan.say(&self.seat.hall, BridgeState::Connected, Some(&reason));
                    any = true;
                }
                None if self.plan.figures.routes[at].standing().state == RouteState::Broken => {
                    self.plan.note(&self.seat.hall, at, RouteState::Up, "");
                }
                None => {}
            }
        }
        if any && self.ask_again.is_none() {
            self.ask_again = Some(Instant::now() + self.retry.next_wait());
        }
    }

    /// Subscribes again where that was refused, if it is time.
    fn subscribe_again(&mut self) -> Result<(), String> {
        if self.is_subscribing || self.ask_again.is_none_or(|due| Instant::now() < due) {
            return Ok(());
        }
        self.ask_again = None;
        let (before, routes) = (self.plan.outward.len(), &self.plan.figures.routes);
        let broken = |route: &usize| routes[before + route].standing().state == RouteState::Broken;
        self.to_ask = (0..self.plan.inward.len()).filter(broken).map(Some).collect();
        self.subscribe()
    }

    async fn drive(
        &mut self,
        reader: &mut (impl AsyncReadExt + Unpin),
        writer: &mut (impl AsyncWriteExt + Unpin),
        mut incoming: BytesMut,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<(), String> {
        // Zero: it does not look (MQTT 5.0, 3.2.2.3.14), and we still do.
        let wished = self.bounds.keep_alive.filter(|seconds| *seconds > 0);
        // It is a bound on our silence, not on how soon a dead peer is noticed.
        let own = self.plan.settings.keep_alive_seconds;
        let seconds = wished.map_or(own, |wished| wished.min(own));
        let quiet = Duration::from_secs(seconds.into());
        let (mut sent, mut heard, mut asked) = (Instant::now(), Instant::now(), Instant::now());
        let mut unflushed = false;
        loop {
            self.work(&mut incoming)?;
            let closed = self.seat.bell.closed();
            if *stopped.borrow() || closed == Some(Closed::ShuttingDown) {
                self.goodbye(writer).await;
                return Ok(());
            }
            if let Some(why) = closed {
                self.goodbye(writer).await;
                return Err(seat::told(&why));
            }
            let may_read =
                self.inbox.has_room() && self.inbox.bytes() < HELD_BYTES_MAX && self.out.len() < 4 * BATCH_BYTES;
            if !may_read {
                heard = Instant::now();
            }
            let dead = heard + quiet + quiet / 2;
            let look = self.look();
            let ping = sent.min(heard).max(asked) + quiet * 3 / 4;
            tokio::select! {
                read = reader.read_buf(&mut incoming), if may_read => {
                    let read = read.map_err(|error| self.is_cut(error.to_string(), false))?;
                    if read == 0 {
                        return Err(self.is_cut("it closed the connection".to_owned(), false));
                    }
                    heard = Instant::now();
                }
                wrote = push(writer, &mut self.out), if unflushed || !self.out.is_empty() => {
                    unflushed = wrote.map_err(|error| self.is_cut(error.to_string(), false))?;
                    sent = Instant::now();
                }
                () = self.seat.bell.notify.notified() => {}
                _ = stopped.changed() => {}
                () = tokio::time::sleep_until(dead) => {
                    return Err(format!("nothing came from it for {} s", (quiet + quiet / 2).as_secs()));
                }
                () = tokio::time::sleep_until(look.unwrap_or(dead)), if look.is_some() => {}
                () = tokio::time::sleep_until(ping), if self.out.is_empty() => {
                    self.codec.ping(&mut self.out)?;
                    asked = Instant::now();
                }
            }
        }
    }

    /// When something is to be tried again; none: nothing is.
    fn look(&self) -> Option<Instant> {
        let due = self.inbox.due().into_iter().chain(self.send_again_due()).min().map(Instant::from);
        let parked = self.inbox.is_parked().then(|| Instant::now() + LOOK);
        due.into_iter().chain(parked).chain(self.ask_again.filter(|_| !self.is_subscribing)).min()
    }

    /// All that can be done without waiting.
    fn work(&mut self, incoming: &mut BytesMut) -> Result<(), String> {
        self.try_again()?;
        self.subscribe_again()?;
        while self.inbox.has_room() {
            let Some(packet) = self.codec.read(incoming)? else { break };
            self.take(packet)?;
        }
        self.seat.refill();
        self.seat.hall.flush();
        while let Some((after, reply)) = self.replies.front().copied() {
            if !self.seat.is_on_disk(after) {
                break;
            }
            self.replies.pop_front();
            self.reply(reply)?;
        }
        self.acknowledge()?;
        self.send_again()?;
        self.pump()?;
        self.tell_held();
        Ok(())
    }

    fn reply(&mut self, reply: Reply) -> Result<(), String> {
        let out = &mut self.out;
        match reply {
            Reply::Pubrel(handle) => self.codec.pubrel(handle, out),
            Reply::Pubcomp(handle) => self.codec.pubcomp(handle, out),
        }
    }

    fn take(&mut self, packet: Packet) -> Result<(), String> {
        match packet {
            Packet::Publish(message) if self.is_known || is_its_id(&message) => self.publish(*message),
            Packet::Publish(message) => {
                self.early_bytes += size_of::<In>() + message.payload.len() + message.topic.len();
                self.early.push(*message);
                if self.early_bytes < HELD_BYTES_MAX { Ok(()) } else { self.know() }
            }
            Packet::Pubrel(handle) => {
                if let Answer::Say(after, _) = self.seat.ask(Request::Release(handle)) {
                    self.replies.push_back((after, Reply::Pubcomp(handle)));
                }
                Ok(())
            }
            Packet::Puback(handle, verdict) => self.acknowledged(handle, verdict),
            Packet::Pubrec(handle, verdict) => self.received(handle, verdict),
            Packet::Pubcomp(handle) => {
                self.settle(handle, Settlement::Completed);
                self.plan.figures.sent_total.add(1);
                Ok(())
            }
            // MQTT-3.8.4-6; its session may have what nobody asked for.
            Packet::Suback(refused) if refused.len() != self.asked.len() => {
                Err(format!("it answers {} subscriptions with {} codes", self.asked.len(), refused.len()))
            }
            Packet::Suback(refused) => {
                self.subscribed(refused);
                self.subscribe()
            }
            Packet::Pingresp => self.know(),
            Packet::Disconnect { reason, for_good } => {
                Err(self.is_cut(format!("it ended the connection: {reason}"), for_good))
            }
            Packet::Connack { .. } => Err("it sent a second CONNACK".to_owned()),
            Packet::Other => Ok(()),
        }
    }

    /// The other broker has told its id, or will not: what its session kept came before it was asked, and is taken now.
    fn know(&mut self) -> Result<(), String> {
        self.is_known = true;
        std::mem::take(&mut self.early).into_iter().try_for_each(|message| self.publish(message))
    }

    /// Notes that the other broker has ended the connection.
    fn is_cut(&mut self, reason: String, for_good: bool) -> String {
        self.cut = Some(Cut { reason: reason.clone(), for_good });
        reason
    }

    async fn goodbye(&mut self, writer: &mut (impl AsyncWriteExt + Unpin)) {
        if self.codec.disconnect(&mut self.out).is_err() {
            return;
        }
        let said = async {
            let _ = writer.write_all_buf(&mut self.out).await;
            let _ = writer.shutdown().await;
        };
        // Nothing depends on it: whoever is slow here is not waited for.
        let _ = tokio::time::timeout(FAREWELL, said).await;
    }
}

/// Whether a message says which broker it comes from.
pub(super) fn is_its_id(message: &In) -> bool {
    message.topic.strip_prefix("$SYS/broker/") == Some(NODE_TOPIC)
}

/// A connection that was closed before CONNECT was answered.
pub const NO_ANSWER: &str = "it closed the connection without an answer: no MQTT there, or only over TLS (mqtts://)";

/// What else is spoken there, by the first bytes of the answer to CONNECT; none: it may be MQTT.
pub fn other_protocol(found: &[u8]) -> Option<&'static str> {
    match found {
        // CONNACK; from some brokers DISCONNECT; AUTH, which was not asked for, is told apart later.
        [] | [0x20 | 0xE0 | 0xF0, ..] => None,
        // An alert.
        [0x15, 0x03, ..] => Some("it speaks TLS there: say mqtts://"),
        [b'A', b'M', b'Q', b'P', ..] => Some("it speaks AMQP there: say amqp://"),
        _ => Some("it does not speak MQTT there"),
    }
}

/// Writes something, or flushes where all is written; whether there is still something to flush. Nothing is lost if it is
/// given up half-way.
async fn push(writer: &mut (impl AsyncWriteExt + Unpin), out: &mut BytesMut) -> std::io::Result<bool> {
    if out.is_empty() {
        writer.flush().await?;
        return Ok(false);
    }
    match writer.write_buf(out).await? {
        0 => Err(std::io::ErrorKind::WriteZero.into()),
        _ => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_protocols_are_told_apart() {
        for (found, expected) in [
            (&b"\x20\x02\x00\x00"[..], None),
            (b"", None),
            (b"\x15\x03\x03\x00\x02\x02\x46", Some("mqtts://")),
            (b"AMQP\x00\x01\x00\x00", Some("amqp://")),
            (b"HTTP/1.1 400", Some("does not speak MQTT")),
        ] {
            let told = other_protocol(found);
            assert_eq!(told.is_some(), expected.is_some(), "{found:?}");
            assert!(told.unwrap_or_default().contains(expected.unwrap_or_default()), "{told:?}");
        }
    }
}
