//! One connection to another MQTT broker, from CONNECT to its end: packets in, packets out, the hall behind.

use super::super::dial::{Stream, login};
use super::super::mapping::Way;
use super::super::seat::{Hall, Seat};
use super::super::settings::MqttVersion;
use super::super::thread::Plan;
use super::super::{NODE_TOPIC, VIA};
use super::codec::{Bounds, Codec, Hello, In, Out, Packet, Verdict, Wanted};
use crate::broker::Answer;
use crate::dialogue::{Closed, Delivery, Event, Handle, Outgoing, Publish, Request, Settlement};
use crate::message::{Guarantee, RefusalKind};
use crate::metrics::BridgeState;
use crate::store::Sequence;
use bytes::BytesMut;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::Instant;

/// Bytes of packets that are gathered before they are sent.
const BATCH_BYTES: usize = 65_536;
/// Answers that may wait for the disk; at this number nothing more is read.
const ANSWERS_MAX: usize = 4096;
/// How long the other broker may take to hear a goodbye.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a connection is over.
#[derive(Debug)]
pub struct Lost {
    /// For people.
    pub reason: String,
    /// Whether messages crossed before that, so that the next try need not wait long.
    pub went_well: bool,
}

/// What is said to the other broker once so much is on disk.
#[derive(Debug, Clone, Copy)]
enum Reply {
    Puback(Handle),
    Pubrec(Handle),
    Pubrel(Handle),
    Pubcomp(Handle),
}

/// The state of one connection.
struct Connection<'a> {
    plan: &'a Plan,
    codec: Codec,
    bounds: Bounds,
    seat: Seat,
    out: BytesMut,
    answers: VecDeque<(Sequence, Reply)>,
    /// A publication waits for room in the hall: under this handle and guarantee.
    parked: Option<(Handle, Guarantee)>,
    /// The other broker's id, if it is one of ours and has told it.
    peer: Option<String>,
    /// Whether it has had its time to tell: nothing goes out before.
    is_known: bool,
    went_well: bool,
}

/// Runs a connection until it breaks, or until the bridge is stopped (then there is no reason).
pub async fn run(
    plan: &Plan,
    hall: &Hall,
    stream: Box<dyn Stream>,
    stopped: &mut watch::Receiver<bool>,
) -> Result<(), Lost> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let codec = Codec { version: plan.settings.version, bytes_max: plan.settings.message_bytes_max };
    let (mut incoming, mut out) = (BytesMut::new(), BytesMut::new());
    let early = |reason: String| Lost { reason, went_well: false };
    let login = login(&plan.settings).map_err(early)?;
    let keep_alive = plan.settings.keep_alive_seconds;
    let hello = Hello { client_id: &plan.client_id, login, keep_alive, window: plan.settings.window };
    codec.connect(hello, &mut out).map_err(early)?;
    let greeting = async {
        writer.write_all_buf(&mut out).await.map_err(|error| error.to_string())?;
        writer.flush().await.map_err(|error| error.to_string())?;
        loop {
            if let Some(packet) = codec.read(&mut incoming)? {
                return Ok(packet);
            }
            if reader.read_buf(&mut incoming).await.map_err(|error| error.to_string())? == 0 {
                return Err("it closed the connection".to_owned());
            }
        }
    };
    let patience = Duration::from_secs(plan.settings.connect_seconds_max.into());
    let answer = tokio::time::timeout(patience, greeting).await;
    let answer = answer.map_err(|_| early("no answer to CONNECT in time".to_owned()))?.map_err(early)?;
    let (session_present, bounds) = match answer {
        Packet::Connack { refusal: None, session_present, bounds } => (session_present, bounds),
        Packet::Connack { refusal: Some(refusal), .. } => return Err(early(refusal)),
        packet => return Err(early(format!("it answered CONNECT with {packet:?}"))),
    };
    let window = plan.settings.window.min(bounds.window);
    let seat = Seat::take(hall, &plan.client, window).map_err(early)?;
    let mut connection = Connection {
        plan,
        codec,
        bounds,
        seat,
        out,
        answers: VecDeque::new(),
        parked: None,
        peer: None,
        is_known: false,
        went_well: false,
    };
    connection.begin(session_present).map_err(early)?;
    plan.figures.connections_total.add(1);
    plan.say(hall, BridgeState::Connected, None);
    let ended = connection.drive(&mut reader, &mut writer, incoming, stopped).await;
    ended.map_err(|reason| Lost { reason, went_well: connection.went_well })
}

impl Connection<'_> {
    /// What is said first: subscriptions, before what waited.
    fn begin(&mut self, session_present: bool) -> Result<(), String> {
        if let (false, Some(attachment)) = (session_present, self.seat.attachment()) {
            self.seat.hall.broker.forget_unreleased(attachment);
        }
        // With 3.1.1 each subscription brings all retained messages again.
        let again = self.plan.is_first() || self.codec.version == MqttVersion::V5 || !session_present;
        let wanted = self.plan.inward.iter().map(|way| Wanted {
            filter: way.route.remote_source(),
            guarantee: guarantee(way),
            always: false,
        });
        let mut wanted: Vec<_> = wanted.filter(|_| again).collect();
        // Properties are what keeps a message from going round, so there are none with 3.1.1.
        let asks = self.codec.version == MqttVersion::V5;
        if asks {
            let filter = format!("$SYS/broker/{NODE_TOPIC}");
            // First, so that it is known when messages come.
            wanted.insert(0, Wanted { filter, guarantee: Guarantee::AtMostOnce, always: true });
        }
        self.is_known = !asks;
        if wanted.is_empty() {
            return Ok(());
        }
        let attachment = self.seat.attachment();
        let used = attachment.map_or_else(Vec::new, |own| self.seat.hall.broker.handles_under_way(own));
        let free = (1..=Handle::MAX).find(|handle| !used.contains(handle)).unwrap_or(Handle::MAX);
        self.codec.subscribe(free, &wanted, &mut self.out)?;
        if asks {
            // What it retains stands before the answer to this.
            self.codec.ping(&mut self.out)?;
        }
        Ok(())
    }

    async fn drive(
        &mut self,
        reader: &mut (impl AsyncReadExt + Unpin),
        writer: &mut (impl AsyncWriteExt + Unpin),
        mut incoming: BytesMut,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<(), String> {
        let seconds = self.bounds.keep_alive.unwrap_or(self.plan.settings.keep_alive_seconds).max(1);
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
                return Err(format!("the hall ended the session's connection: {why:?}"));
            }
            let may_read =
                self.parked.is_none() && self.answers.len() < ANSWERS_MAX && self.out.len() < 4 * BATCH_BYTES;
            if !may_read {
                heard = Instant::now();
            }
            let dead = heard + quiet + quiet / 2;
            let ping = sent.min(heard).max(asked) + quiet * 3 / 4;
            tokio::select! {
                read = reader.read_buf(&mut incoming), if may_read => {
                    if read.map_err(|error| error.to_string())? == 0 {
                        return Err("it closed the connection".to_owned());
                    }
                    heard = Instant::now();
                }
                wrote = push(writer, &mut self.out), if unflushed || !self.out.is_empty() => {
                    unflushed = wrote.map_err(|error| error.to_string())?;
                    sent = Instant::now();
                }
                () = self.seat.bell.notify.notified() => {}
                _ = stopped.changed() => {}
                () = tokio::time::sleep_until(dead) => {
                    return Err(format!("nothing came from it for {} s", (quiet + quiet / 2).as_secs()));
                }
                () = tokio::time::sleep_until(ping), if self.out.is_empty() => {
                    self.codec.ping(&mut self.out)?;
                    asked = Instant::now();
                }
            }
        }
    }

    /// All that can be done without waiting.
    fn work(&mut self, incoming: &mut BytesMut) -> Result<(), String> {
        if let Some((handle, guarantee)) = self.parked.take() {
            let answer = self.seat.resume();
            self.published(handle, guarantee, answer)?;
        }
        while self.parked.is_none() && self.answers.len() < ANSWERS_MAX {
            let Some(packet) = self.codec.read(incoming)? else { break };
            self.take(packet)?;
        }
        self.seat.refill();
        self.seat.hall.flush();
        while let Some((after, reply)) = self.answers.front().copied() {
            if !self.seat.is_on_disk(after) {
                break;
            }
            self.answers.pop_front();
            self.reply(reply)?;
        }
        self.pump()
    }

    fn reply(&mut self, reply: Reply) -> Result<(), String> {
        let out = &mut self.out;
        match reply {
            Reply::Puback(handle) => self.codec.puback(handle, out),
            Reply::Pubrec(handle) => self.codec.pubrec(handle, out),
            Reply::Pubrel(handle) => self.codec.pubrel(handle, out),
            Reply::Pubcomp(handle) => self.codec.pubcomp(handle, out),
        }
    }

    fn take(&mut self, packet: Packet) -> Result<(), String> {
        match packet {
            Packet::Publish(message) => self.publish(*message),
            Packet::Pubrel(handle) => {
                if let Answer::Say(after, _) = self.seat.ask(Request::Release(handle)) {
                    self.answers.push_back((after, Reply::Pubcomp(handle)));
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
            Packet::Suback(refused) => {
                let refused = refused.into_iter().zip(&self.plan.inward);
                for (reason, way) in refused.filter_map(|(reason, way)| Some((reason?, way))) {
                    let reason = format!("it refuses the subscription {}: {reason}", way.route.remote_source());
                    tracing::error!(bridge = self.plan.settings.name, reason);
                    self.plan.say(&self.seat.hall, BridgeState::Connected, Some(&reason));
                }
                Ok(())
            }
            Packet::Pingresp => {
                self.is_known = true;
                Ok(())
            }
            Packet::Disconnect(reason) => Err(format!("it ended the connection: {reason}")),
            Packet::Connack { .. } => Err("it sent a second CONNACK".to_owned()),
            Packet::Other => Ok(()),
        }
    }

    /// At-least-once, or what the other broker cannot take at a higher level: it has it.
    fn acknowledged(&mut self, handle: Handle, verdict: Verdict) -> Result<(), String> {
        match verdict {
            Verdict::NotNow(reason) => return Err(format!("it does not take a message now: {reason}")),
            Verdict::Never(reason) => self.refused(&reason),
            Verdict::Taken => self.plan.figures.sent_total.add(1),
        }
        if !self.settle(handle, Settlement::Acknowledged) {
            self.seat.ask(Request::Received(handle));
            self.settle(handle, Settlement::Completed);
        }
        Ok(())
    }

    /// Exactly-once, first half: it has it.
    fn received(&mut self, handle: Handle, verdict: Verdict) -> Result<(), String> {
        self.went_well = true;
        match verdict {
            Verdict::NotNow(reason) => return Err(format!("it does not take a message now: {reason}")),
            Verdict::Never(reason) => {
                self.refused(&reason);
                if !self.settle(handle, Settlement::Refused) {
                    self.settle(handle, Settlement::Completed);
                }
            }
            Verdict::Taken => {
                if let Answer::Say(after, _) = self.seat.ask(Request::Received(handle)) {
                    self.answers.push_back((after, Reply::Pubrel(handle)));
                }
            }
        }
        Ok(())
    }

    /// Whether the delivery could end in this way.
    fn settle(&mut self, handle: Handle, how: Settlement) -> bool {
        self.went_well = true;
        !matches!(self.seat.ask(Request::Settle(handle, how)), Answer::Say(_, Event::Closed(_)))
    }

    fn refused(&self, reason: &str) {
        self.plan.figures.refused_total.add(1);
        tracing::warn!(
            bridge = self.plan.settings.name,
            reason,
            "the other broker refuses a message for good; it is dropped"
        );
    }

    /// A message comes in.
    fn publish(&mut self, message: In) -> Result<(), String> {
        let In { topic, guarantee, retain, handle, expiry_seconds, mut properties, payload } = message;
        if topic.strip_prefix("$SYS/broker/") == Some(NODE_TOPIC) {
            self.peer = String::from_utf8(payload.to_vec()).ok();
            return self.taken(handle, guarantee, 0);
        }
        self.went_well = true;
        let hops = properties.iter().flat_map(|said| &said.user).filter(|(name, _)| &**name == VIA);
        let was_here = hops.clone().any(|(_, node)| **node == *self.plan.node);
        let too_far = hops.count() > self.plan.settings.hops_max as usize;
        let name = self.plan.inward.iter().find_map(|way| way.inward(&topic));
        let Some(name) = name.filter(|_| !was_here && !too_far) else {
            if was_here || too_far {
                self.plan.figures.looped_total.add(1);
            } else {
                // What an earlier configuration subscribed to comes until the other broker forgets it.
                self.plan.figures.refused_total.add(1);
            }
            return self.taken(handle, guarantee, 0);
        };
        // It is the bridge that knows which broker it left: that one may fetch it from here in its turn.
        if let Some(peer) = &self.peer {
            let said = properties.get_or_insert_default();
            if said.user.iter().all(|(name, node)| &**name != VIA || **node != **peer) {
                said.user.push((VIA.into(), peer.as_str().into()));
            }
        }
        let publish = Publish { name: &name, guarantee, retain, handle, expiry_seconds, properties, payload: &payload };
        let answer = self.seat.ask(Request::Publish(publish));
        self.published(handle, guarantee, answer)
    }

    /// What the hall says of a message that came in.
    fn published(&mut self, handle: Handle, guarantee: Guarantee, answer: Answer) -> Result<(), String> {
        match answer {
            Answer::Parked => {
                self.parked = Some((handle, guarantee));
                Ok(())
            }
            Answer::Say(after, Event::Published { outcome: Ok(_), .. }) => {
                self.plan.figures.received_total.add(1);
                self.taken(handle, guarantee, after)
            }
            Answer::Say(after, Event::Published { outcome: Err(refusal), .. }) => match refusal.kind {
                RefusalKind::NotAuthorized | RefusalKind::TopicInvalid | RefusalKind::PayloadInvalid => {
                    self.plan.figures.refused_total.add(1);
                    tracing::warn!(
                        bridge = self.plan.settings.name,
                        reason = refusal.reason,
                        "a message from the other broker is refused here for good; it is dropped"
                    );
                    self.taken(handle, guarantee, after)
                }
                // It stays there and comes again.
                _ => Err(format!("a message cannot be taken here now: {}", refusal.reason)),
            },
            Answer::Say(_, Event::Closed(why)) => Err(format!("the hall ended the session's connection: {why:?}")),
            _ => {
                self.plan.figures.received_total.add(u64::from(guarantee == Guarantee::AtMostOnce));
                Ok(())
            }
        }
    }

    /// Tells the other broker that a message is taken, once it is.
    fn taken(&mut self, handle: Handle, guarantee: Guarantee, after: Sequence) -> Result<(), String> {
        match guarantee {
            Guarantee::AtMostOnce => {}
            Guarantee::AtLeastOnce => self.answers.push_back((after, Reply::Puback(handle))),
            Guarantee::ExactlyOnce => self.answers.push_back((after, Reply::Pubrec(handle))),
        }
        Ok(())
    }

    /// Puts what waits in the session behind what is to be sent, as far as there is room.
    fn pump(&mut self) -> Result<(), String> {
        while self.is_known && self.out.len() < BATCH_BYTES {
            let Some(attachment) = self.seat.attachment().cloned() else { return Ok(()) };
            let (broker, now) = (self.seat.hall.broker.clone(), self.seat.hall.now());
            let (mut dropped, mut fault, before) = (Vec::new(), None, self.out.len());
            broker.drain(&attachment, now, &mut |outgoing| {
                let put = match outgoing {
                    Outgoing::Release(handle) => self.codec.pubrel(handle, &mut self.out),
                    Outgoing::Deliver(delivery) => self.deliver(&delivery, now, &mut dropped),
                };
                fault = fault.take().or(put.err());
                self.out.len() < BATCH_BYTES
            });
            if let Some(fault) = fault {
                return Err(fault);
            }
            let more = !dropped.is_empty();
            for (handle, guarantee) in dropped {
                let how = match guarantee {
                    Guarantee::ExactlyOnce => Settlement::Refused,
                    _ => Settlement::Acknowledged,
                };
                self.seat.ask(Request::Settle(handle, how));
            }
            // Places in the window are free again.
            if !more || self.out.len() == before {
                self.seat.hall.flush();
            }
            if !more {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Writes one delivery, or notes that it is to be dropped.
    fn deliver(
        &mut self,
        delivery: &Delivery,
        now: crate::message::Time,
        dropped: &mut Vec<(Handle, Guarantee)>,
    ) -> Result<(), String> {
        let message = &delivery.message;
        let mut drop = || dropped.extend((delivery.handle != 0).then_some((delivery.handle, delivery.guarantee)));
        let properties = message.envelope().properties.as_ref();
        let hops = properties.iter().flat_map(|said| &said.user).filter(|(name, _)| &**name == VIA);
        let goes_back = |node: &str| node == &*self.plan.node || self.peer.as_deref() == Some(node);
        let goes_round = hops.clone().any(|(_, node)| goes_back(node));
        if goes_round || hops.count() >= self.plan.settings.hops_max as usize {
            self.plan.figures.looped_total.add(1);
            drop();
            return Ok(());
        }
        let name = delivery.name.as_deref().unwrap_or(message.topic().as_str());
        let chosen = self.plan.outward.iter().find(|way| delivery.identifiers.contains(&way.number));
        let topic = chosen.and_then(|way| way.outward(name));
        let topic = topic.or_else(|| self.plan.outward.iter().find_map(|way| way.outward(name)));
        let Some(topic) = topic else {
            // Queued under an earlier configuration.
            self.plan.figures.refused_total.add(1);
            drop();
            return Ok(());
        };
        let guarantee = delivery.guarantee.min(self.bounds.guarantee_max);
        let begin = self.out.len();
        let sent = Out {
            topic,
            guarantee,
            retain: delivery.retain && self.bounds.retain,
            duplicate: delivery.duplicate && guarantee != Guarantee::AtMostOnce,
            handle: if guarantee == Guarantee::AtMostOnce { 0 } else { delivery.handle },
            message,
            now,
            node: &self.plan.node,
        };
        self.codec.publish(sent, &mut self.out)?;
        if self.out.len() - begin > self.bounds.bytes_max as usize {
            self.out.truncate(begin);
            self.refused("the message is larger than its greatest packet");
            drop();
            return Ok(());
        }
        if guarantee == Guarantee::AtMostOnce {
            self.plan.figures.sent_total.add(1);
            // It was to be more than that, and the other broker cannot take it: sent is done.
            drop();
        }
        Ok(())
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

fn guarantee(way: &Way) -> Guarantee {
    Guarantee::from_level(way.route.qos).unwrap_or_default()
}
