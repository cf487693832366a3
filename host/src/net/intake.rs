//! From bytes to requests: what a connection has read goes through its protocol machine, packet by packet, into the hall.

use super::amqp::Side;
use super::connection::Connection;
use super::detect::{AMQP_TLS, Detected, detect};
use super::ending::End;
use super::machine::{Machine, Say};
use super::partial::rest_of;
use super::session::Fault;
use crate::broker::Answer;
use crate::client::{Departure, Protocol};
use crate::dialogue::{Closed, Event, Request};
use crate::identity::Circumstances;
use crate::message::Time;
use crate::mqtt::{Action, Step};

impl Connection {
    /// Bytes came into the shared buffer.
    pub(super) fn bytes(&mut self, now: Time, count: usize) -> Result<(), End> {
        let context = self.context.clone();
        context.broker.metrics().bytes_received_total.add(count as u64);
        if self.newcomer.ticket.is_outside() {
            self.newcomer.ticket.charge(count).map_err(End::Crowded)?;
        }
        let buffer = context.read_buffer.borrow();
        let bytes = &buffer[..count];
        if !self.layered {
            return self.plain(now, bytes);
        }
        let mut plain = context.plain_buffer.borrow_mut();
        plain.clear();
        self.fault = self.outlet.receive(now, bytes, &mut plain).err().map(Box::new);
        if matches!(self.machine, Machine::Unknown) {
            self.learn()?;
        }
        self.plain(now, &plain)
    }

    /// Takes note of what the transport has found out.
    fn learn(&mut self) -> Result<(), End> {
        let mut out = self.outlet.lock();
        if let Some(session) = &out.session {
            self.newcomer.learn(session).map_err(End::Crowded)?;
        }
        if out.session.as_ref().is_some_and(|session| session.is_over()) {
            out.session = None;
            self.layered = false;
        }
        Ok(())
    }

    /// Bytes came for the protocol.
    fn plain(&mut self, now: Time, bytes: &[u8]) -> Result<(), End> {
        let ended = if self.partial.is_empty() {
            let (used, ended) = self.packets(now, bytes);
            self.partial.extend_from_slice(&bytes[used..]);
            ended
        } else {
            self.partial.extend_from_slice(bytes);
            self.partial_packets(now)
        };
        self.flush(now)?;
        ended?;
        let most = self.context.broker.partial_bytes_max();
        if self.partial_weight.note(self.partial.capacity(), most) {
            return Err(End::Closed(Closed::QuotaExceeded));
        }
        Ok(())
    }

    /// Looks at the first bytes for the protocol; how many of them were not its own.
    fn recognise(&mut self, now: Time, bytes: &[u8]) -> Result<usize, End> {
        let detected = match self.newcomer.subprotocol() {
            Some(protocol) => Detected::Protocol(protocol),
            None => detect(self.newcomer.entrance.speaks, self.newcomer.can_upgrade(), bytes),
        };
        match detected {
            Detected::More => Ok(0),
            Detected::Protocol(Protocol::Amqp) => {
                let circumstances = Circumstances {
                    listener: self.newcomer.entrance.name.clone(),
                    peer: self.newcomer.peer.clone(),
                    certificate: self.newcomer.certificate().cloned(),
                };
                let (context, outlet) = (self.context.clone(), self.outlet.clone());
                context.peers.add(&outlet);
                let side = Side::new(context, outlet, circumstances, self.newcomer.opened);
                self.machine = Machine::Amqp(Box::new(side));
                Ok(0)
            }
            Detected::Protocol(protocol) => {
                let machine = self.newcomer.machine(protocol, &self.context.mqtt);
                self.machine = machine.ok_or(End::Refused(Departure::ProtocolViolation))?;
                Ok(0)
            }
            Detected::AmqpTls => {
                self.outlet.send(now, |_, bytes| bytes.extend_from_slice(AMQP_TLS));
                let session = self.newcomer.upgrade().map_err(|error| End::Fault(Fault::Tls(error)))?;
                self.outlet.lock().session = Some(session);
                self.layered = true;
                // What came behind the header is the handshake's; a protocol cannot have begun yet.
                let mut plain = Vec::new();
                self.fault = self.outlet.receive(now, &bytes[AMQP_TLS.len()..], &mut plain).err().map(Box::new);
                Ok(bytes.len())
            }
        }
    }

    pub(super) fn partial_packets(&mut self, now: Time) -> Result<(), End> {
        let bytes = std::mem::take(&mut self.partial);
        let (used, ended) = self.packets(now, &bytes);
        if used < bytes.len() {
            self.partial = rest_of(bytes, used);
        }
        ended
    }

    /// Works off whole packets; how many bytes those were.
    fn packets(&mut self, now: Time, bytes: &[u8]) -> (usize, Result<(), End>) {
        let (used, ended) = self.whole_packets(now, bytes);
        let is_over = || self.context.is_turn_over(&self.context.worker.borrow());
        self.held_back = used < bytes.len() && (!self.reads() || is_over());
        (used, ended)
    }

    /// Stands behind what is not said yet: clients take it for a sign that all before it was worked off. While the disk fails that
    /// would never be said, and whoever hears nothing at all goes (3.1.2.10).
    fn pong(&mut self) {
        let comes_in = || self.answers.iter().any(|(_, say)| matches!(say, Say::Event(Event::Attached(_))));
        if self.answers.is_empty() || self.context.broker.store().is_healthy() || comes_in() {
            self.answers.push_back((0, Say::Pong));
        } else {
            self.answers.push_front((0, Say::Pong));
        }
    }

    fn whole_packets(&mut self, now: Time, bytes: &[u8]) -> (usize, Result<(), End>) {
        let mut used = 0;
        if matches!(self.machine, Machine::Unknown) && !bytes.is_empty() {
            match self.recognise(now, bytes) {
                Ok(count) => used = count,
                Err(end) => return (bytes.len(), Err(end)),
            }
        }
        if let Machine::Amqp(side) = &mut self.machine {
            let (count, ended) = side.frames(now, &bytes[used..]);
            return (used + count, ended.map_err(End::from));
        }
        let context = self.context.clone();
        let mut worker = context.worker.borrow_mut();
        while used < bytes.len() && self.reads() && !context.is_turn_over(&worker) {
            let Machine::Mqtt(inbound) = &mut self.machine else { break };
            let (length, action) = match inbound.receive(now, &bytes[used..]) {
                Ok(Step::Packet { length, action }) => (length, action),
                Ok(Step::NeedMore { .. }) => break,
                Err(violation) => return (used, Err(End::Violation(violation))),
            };
            used += length;
            worker.packet_read();
            let request = match action {
                Action::Request(request) => request,
                Action::Pong => {
                    self.pong();
                    continue;
                }
                Action::Reply(bytes) => {
                    self.answers.push_back((0, Say::Bytes(bytes)));
                    continue;
                }
            };
            let taken = match request {
                Request::Attach(attach) => self.arrive(&mut worker, now, attach),
                Request::Authenticate(step) => self.step(&mut worker, now, step),
                request => {
                    match context.broker.handle(&mut worker, &mut self.link, now, request) {
                        Answer::Say(after, event) => self.answers.push_back((after, Say::Event(event))),
                        Answer::Left(after) => return (used, Err(End::Detached(after))),
                        Answer::None | Answer::Parked => {}
                    }
                    Ok(())
                }
            };
            if taken.is_err() {
                return (used, taken);
            }
        }
        (used, Ok(()))
    }

    /// Goes on with a publication that waited for room.
    pub(super) fn resume(&mut self, now: Time) -> Result<(), End> {
        if matches!(self.machine, Machine::Amqp(_)) {
            self.retry = None;
            return self.amqp_woken(now);
        }
        if self.admission.waits_for_way() {
            // Whoever has the place does not answer: it is taken all the same.
            self.retry = None;
            let context = self.context.clone();
            self.inquire(&mut context.worker.borrow_mut(), now)?;
        }
        let answer = self.context.broker.resume(&mut self.context.worker.borrow_mut(), &mut self.link, now);
        if let Answer::Say(after, event) = answer {
            self.answers.push_back((after, Say::Event(event)));
        }
        self.retry = None;
        let ended = if self.link.is_parked() { Ok(()) } else { self.partial_packets(now) };
        self.flush(now)?;
        ended
    }
}
