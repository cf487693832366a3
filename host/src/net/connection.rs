//! The drive loop of one connection: waits for bytes, signals and deadlines, and moves them between socket, protocol
//! machine and hall.

use super::amqp::{Over, Side};
use super::authentication::Admission;
use super::context::Context;
use super::detect::{AMQP_TLS, Detected, detect};
use super::gate::Crowded;
use super::linger::linger;
use super::machine::{Machine, Say, Writer};
use super::opening::Newcomer;
use super::outlet::{Outlet, WayMade};
use super::session::Fault;
use super::transport::{Reading, Stream};
use crate::broker::{Answer, Link, nobody};
use crate::client::{Departure, Protocol};
use crate::dialogue::{Closed, Detach, Event, Request};
use crate::identity::Circumstances;
use crate::message::{Guarantee, Time};
use crate::mqtt::{Action, Step, Violation};
use crate::store::Sequence;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;
use tokio::io::ReadBuf;
use tokio::time::{Instant, Sleep};

/// How often a publisher that waits for room looks again, even if nobody wakes it.
const PARKED_RETRY: Duration = Duration::from_secs(1);
/// How often a connection that goes looks whether its answers are on disk.
const DISK_LOOK: Duration = Duration::from_millis(1);
/// How often a connection looks whether the disk has caught up.
const DISK_RETRY: Duration = Duration::from_millis(20);
/// For how long the broker, when it shuts down, waits for the disk to give the answers that it owes.
const LAST_ANSWERS: Duration = Duration::from_millis(500);
/// How often a connection reads on for somebody who waits to take its place.
const MAKE_WAY_READS_MAX: usize = 64;
/// How long whoever takes a place waits for that.
pub(super) const MAKE_WAY_PATIENCE: Duration = Duration::from_secs(2);

pub struct Connection {
    pub(super) context: Rc<Context>,
    _counted: Counted,
    read: Reading,
    pub(super) outlet: Arc<Outlet>,
    pub(super) link: Link,
    pub(super) admission: Admission,
    pub(super) newcomer: Newcomer,
    machine: Machine,
    /// Something lies between socket and protocol.
    layered: bool,
    /// What happened on the way from the socket, to be acted on when all that came before is worked off.
    fault: Option<Fault>,
    /// The beginning of a packet that is not yet whole, and what follows a publication that waits for room.
    partial: Vec<u8>,
    /// Whole packets may stand in `partial`: they were left there because nothing more was to be read.
    held_back: bool,
    /// Whoever waits until what this client has sent is worked off, because it wants to take this connection's place.
    way: Vec<WayMade>,
    /// Answers that wait for the disk, in the order of their requests.
    pub(super) answers: VecDeque<(Sequence, Say)>,
    /// For which of them the hall will wake this connection.
    awaited: Sequence,
    /// When a publication that waits for room is looked at again, even if nobody wakes this connection.
    pub(super) retry: Option<Instant>,
    /// The client takes nothing: until when it may, and how much it had taken when that began.
    stalled: Option<(Instant, u64)>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Why the task runs.
enum Turn {
    Bytes(usize),
    EndOfFile,
    Fault,
    Signal,
    Writable,
    Deadline,
    /// What was held back may be worked off.
    GoOn,
}

/// How a connection ends.
pub(super) enum End {
    /// The client said goodbye: the hall knows.
    Detached,
    /// Nobody is there to hear anything.
    Lost,
    Violation(Violation),
    /// The transport broke its rules, and was told.
    Fault(Fault),
    /// A bound on connections was reached.
    Crowded(Crowded),
    /// It takes nothing of what waits for it.
    Stalled,
    Silent,
    Closed(Closed),
    /// What had to be said was said.
    Refused(Departure),
}

impl From<Over> for End {
    fn from(over: Over) -> Self {
        Self::Refused(over.0)
    }
}

/// One connection in the counts of its worker and of the metrics, while it lives.
struct Counted(Rc<Context>);

impl Counted {
    fn new(context: &Rc<Context>) -> Self {
        context.broker.metrics().connections.add(1);
        Self(context.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.broker.metrics().connections.add(-1);
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes a connection that is still to be served; none: it cannot be, and the log says why.
pub fn open(context: Rc<Context>, stream: Stream, newcomer: Newcomer) -> Option<Connection> {
    let counted = Counted::new(&context);
    let (read, write) = stream.split();
    let session = match newcomer.session() {
        Ok(session) => session,
        Err(error) => {
            tracing::warn!(%error, "TLS cannot be offered");
            return None;
        }
    };
    let layered = session.is_some();
    let outlet = Arc::new(Outlet::new(write, session, context.broker.clone(), &context.limits));
    let link = Link::new(outlet.clone(), Arc::new(nobody(&newcomer.entrance.name, Protocol::Mqtt)));
    let machine = match newcomer.entrance.only() {
        Some(protocol) if !layered => newcomer.machine(protocol, &context.mqtt).unwrap_or(Machine::Unknown),
        _ => Machine::Unknown,
    };
    Some(Connection {
        context,
        _counted: counted,
        read,
        outlet,
        link,
        admission: Admission::default(),
        newcomer,
        machine,
        layered,
        fault: None,
        partial: Vec::new(),
        held_back: false,
        way: Vec::new(),
        answers: VecDeque::new(),
        awaited: 0,
        retry: None,
        stalled: None,
        timer: None,
    })
}

impl Connection {
    /// Serves the connection to its end. What seldom happens waits in a box of its own: an idle connection takes no room
    /// for it.
    // An `async fn` would keep the room for its argument beside that of the connection.
    #[expect(clippy::manual_async_fn)]
    pub fn serve(mut self) -> impl Future<Output = ()> {
        async move {
            let end = loop {
                if let Err(end) = self.turn().await {
                    break end;
                }
            };
            Box::pin(self.finish(end)).await;
        }
    }

    async fn turn(&mut self) -> Result<(), End> {
        let turn = poll_fn(|task| self.poll_turn(task)).await;
        let now = self.context.clock.now();
        match turn {
            Turn::Bytes(count) => self.bytes(now, count),
            Turn::EndOfFile => Err(End::Lost),
            Turn::Fault => Err(match self.fault.take() {
                None | Some(Fault::Closed) => End::Lost,
                Some(fault) => End::Fault(fault),
            }),
            Turn::Signal => self.signal(now).await,
            Turn::Writable => {
                crate::broker::Outlet::flush(&*self.outlet, now);
                self.go_on(now)
            }
            Turn::Deadline => self.deadline(now),
            Turn::GoOn => self.go_on(now),
        }
    }

    fn poll_turn(&mut self, task: &mut TaskContext<'_>) -> Poll<Turn> {
        self.outlet.waker.register(task.waker());
        if self.outlet.has_signals() {
            return Poll::Ready(Turn::Signal);
        }
        if self.outlet.is_blocked() {
            if self.outlet.socket().poll_ready(task).is_ready() {
                return Poll::Ready(Turn::Writable);
            }
            self.stalled.get_or_insert_with(|| self.context.until_stalled(self.outlet.taken()));
        } else {
            self.stalled = None;
        }
        if self.reads() {
            // Looked at each time: whoever made it readable again may have been another thread.
            if self.held_back {
                return Poll::Ready(Turn::GoOn);
            }
            if self.fault.is_some() {
                return Poll::Ready(Turn::Fault);
            }
            if self.context.broker.store().is_full() {
                // The disk is behind: more comes when it has caught up.
                self.retry.get_or_insert_with(|| Instant::now() + DISK_RETRY);
                return self.poll_timer(task);
            }
            if let Poll::Ready(turn) = self.poll_socket(task) {
                return Poll::Ready(turn);
            }
        }
        self.poll_timer(task)
    }

    fn poll_socket(&mut self, task: &mut TaskContext<'_>) -> Poll<Turn> {
        let context = self.context.clone();
        let mut buffer = context.read_buffer.borrow_mut();
        let mut into = ReadBuf::new(&mut buffer);
        let result = ready!(self.read.poll_read(task, &mut into));
        Poll::Ready(match (result, into.filled().len()) {
            (Err(_), _) | (Ok(()), 0) => Turn::EndOfFile,
            (Ok(()), count) => Turn::Bytes(count),
        })
    }

    /// Whether more is to be read: not while a publication waits for room, a proof is looked at, too many answers wait for the disk, or too
    /// many bytes for the client.
    fn reads(&self) -> bool {
        let machine_reads = match &self.machine {
            Machine::Amqp(side) => side.reads(),
            _ => true,
        };
        machine_reads
            && !self.link.is_parked()
            && !self.admission.waits()
            && self.answers.len() < self.context.limits.answers_waiting_max
            && !self.outlet.is_congested()
    }

    /// The timer is set when it is first needed and moved only when it has come, so that traffic does not touch it.
    fn poll_timer(&mut self, task: &mut TaskContext<'_>) -> Poll<Turn> {
        loop {
            let at = self.next_deadline();
            let Some(at) = at else { return Poll::Pending };
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            if timer.deadline() > at {
                timer.as_mut().reset(at);
            }
            if timer.as_mut().poll(task).is_pending() {
                return Poll::Pending;
            }
            if at <= Instant::now() {
                return Poll::Ready(Turn::Deadline);
            }
            timer.as_mut().reset(at);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let keep_alive = self.patience().map(|at| Instant::from_std(self.context.clock.instant(at)));
        let next = match (keep_alive, self.retry) {
            // A client that is not read from cannot be blamed for silence.
            (_, Some(retry)) => Some(retry),
            _ if self.admission.waits() => None,
            (keep_alive, None) => keep_alive,
        };
        let stalled = self.stalled.map(|(until, _)| until);
        next.into_iter().chain(stalled).min()
    }

    /// When the client has been silent for too long.
    fn patience(&self) -> Option<Time> {
        match &self.machine {
            Machine::Unknown => Some(self.newcomer.deadline(&self.context.limits)),
            machine => machine.deadline(),
        }
    }

    fn deadline(&mut self, now: Time) -> Result<(), End> {
        if let Some((_, taken)) = self.stalled.take_if(|(until, _)| *until <= Instant::now())
            && self.outlet.is_blocked()
            && self.outlet.taken() == taken
        {
            return Err(End::Stalled);
        }
        if let Machine::Amqp(side) = &mut self.machine
            && side.deadline().is_some_and(|at| at <= now)
        {
            let ended = side.tick(now);
            self.flush(now)?;
            ended?;
        }
        if let Some(retry) = self.retry {
            return if retry <= Instant::now() { self.resume(now) } else { Ok(()) };
        }
        match self.patience() {
            Some(at) if at <= now => Err(End::Silent),
            _ => Ok(()),
        }
    }

    async fn signal(&mut self, now: Time) -> Result<(), End> {
        let signals = self.outlet.signals();
        if signals.broken {
            return Err(End::Lost);
        }
        if let Some(why) = signals.close {
            return Err(End::Closed(why));
        }
        if signals.make_way {
            Box::pin(self.make_way(now)).await?;
        }
        if signals.wake && matches!(self.machine, Machine::Amqp(_)) {
            return self.amqp_woken(now);
        }
        if signals.wake {
            if self.admission.waits() {
                let context = self.context.clone();
                self.inquire(&mut context.worker.borrow_mut(), now)?;
                self.flush(now)?;
                let ended = self.partial_packets(now);
                self.flush(now)?;
                return ended;
            }
            self.context.broker.refill(&mut self.context.worker.borrow_mut(), &self.link, now);
            if self.link.is_parked() {
                return self.resume(now);
            }
            crate::broker::Outlet::flush(&*self.outlet, now);
            self.flush(now)?;
            return self.go_on(now);
        }
        Ok(())
    }

    /// Somebody comes with the same client id: what this client had sent before that counts, its goodbye above all.
    async fn make_way(&mut self, now: Time) -> Result<(), End> {
        self.way = self.outlet.waiting_for_way();
        let mut found = true;
        for _ in 0..MAKE_WAY_READS_MAX {
            // The runtime looks at the socket before it comes back here; what was read made room for more.
            tokio::task::yield_now().await;
            if !self.reads() {
                break;
            }
            match poll_fn(|task| Poll::Ready(self.poll_socket(task))).await {
                Poll::Ready(Turn::Bytes(count)) => {
                    self.bytes(now, count)?;
                    found = true;
                }
                Poll::Ready(_) => return Err(End::Lost),
                Poll::Pending if found => found = false,
                Poll::Pending => break,
            }
        }
        self.way.clear();
        Ok(())
    }

    /// An AMQP connection has to look at what it waits for.
    fn amqp_woken(&mut self, now: Time) -> Result<(), End> {
        self.held_back |= !self.reads() && !self.partial.is_empty();
        let Machine::Amqp(side) = &mut self.machine else { return Ok(()) };
        let ended = side.woken(now);
        if !side.is_waiting() {
            self.retry = None;
        }
        self.flush(now)?;
        ended?;
        self.go_on(now)
    }

    /// Works off what was read before nothing more was to be read.
    fn go_on(&mut self, now: Time) -> Result<(), End> {
        if !self.held_back || !self.reads() {
            return Ok(());
        }
        let ended = self.partial_packets(now);
        self.flush(now)?;
        ended
    }

    /// Bytes came into the shared buffer.
    fn bytes(&mut self, now: Time, count: usize) -> Result<(), End> {
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
        self.fault = self.outlet.receive(now, bytes, &mut plain).err();
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
        ended
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
                self.fault = self.outlet.receive(now, &bytes[AMQP_TLS.len()..], &mut plain).err();
                Ok(bytes.len())
            }
        }
    }

    fn partial_packets(&mut self, now: Time) -> Result<(), End> {
        let bytes = std::mem::take(&mut self.partial);
        let (used, ended) = self.packets(now, &bytes);
        if used < bytes.len() {
            self.partial = bytes;
            self.partial.drain(..used);
        }
        ended
    }

    /// Works off whole packets; how many bytes those were.
    fn packets(&mut self, now: Time, bytes: &[u8]) -> (usize, Result<(), End>) {
        let (used, ended) = self.whole_packets(now, bytes);
        self.held_back = used < bytes.len() && !self.reads();
        (used, ended)
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
        while used < bytes.len() && self.reads() {
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
                    self.answers.push_back((0, Say::Pong));
                    continue;
                }
                Action::Reply(bytes) => {
                    self.answers.push_back((0, Say::Bytes(bytes)));
                    continue;
                }
            };
            let detaches = matches!(request, Request::Detach(_));
            let taken = match request {
                Request::Attach(attach) => self.arrive(&mut worker, now, attach),
                Request::Authenticate(step) => self.step(&mut worker, now, step),
                request => {
                    let answer = context.broker.handle(&mut worker, &mut self.link, now, request);
                    if let Answer::Say(after, event) = answer {
                        self.answers.push_back((after, Say::Event(event)));
                    }
                    Ok(())
                }
            };
            if taken.is_err() {
                return (used, taken);
            }
            if detaches {
                return (used, Err(End::Detached));
            }
        }
        (used, Ok(()))
    }

    /// Goes on with a publication that waited for room.
    fn resume(&mut self, now: Time) -> Result<(), End> {
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

    /// Ends a batch: says what may be said, sends what waits for this client, then what waits for others.
    fn flush(&mut self, now: Time) -> Result<(), End> {
        let context = self.context.clone();
        if let Machine::Amqp(side) = &mut self.machine {
            side.flush();
            if side.is_in() {
                self.newcomer.ticket.let_in();
            }
            if side.is_waiting() && self.retry.is_none() {
                self.retry = Some(Instant::now() + PARKED_RETRY);
            }
            self.outlet.send(now, |_, _| {});
            context.worker.borrow_mut().flush(&context.broker, now);
            return Ok(());
        }
        let ended = if self.answers.is_empty() { Ok(()) } else { self.answer(now) };
        context.worker.borrow_mut().flush(&context.broker, now);
        if let Some((after, _)) = self.answers.front()
            && self.awaited != *after
        {
            self.awaited = *after;
            context.broker.await_answer(*after, self.outlet.clone());
        }
        if self.link.is_parked() && self.retry.is_none() {
            self.retry = Some(Instant::now() + PARKED_RETRY);
        }
        ended
    }

    /// Says what may be said. A message that comes back to its publisher goes before the acknowledgement that ends its
    /// publication, as clients know it from other brokers.
    fn answer(&mut self, now: Time) -> Result<(), End> {
        let Self { answers, machine, newcomer, outlet, context, link, .. } = self;
        let (mut ended, mut said_so_far) = (Ok(()), 0);
        outlet.send(now, |out, bytes| {
            let mut filled = false;
            // A client hears that its exactly-once publication was taken before it gets a copy of it.
            out.holding =
                answers.iter().any(|(after, say)| is_exactly_once(say) && !context.broker.is_committed(*after));
            while let Some((after, say)) = answers.pop_front() {
                if !context.broker.is_committed(after) {
                    answers.push_front((after, say));
                    break;
                }
                if !filled && ends_publication(&say) && link.attachment().is_some_and(|own| own.mailbox.depth() > 0) {
                    filled = true;
                    outlet.fill(out, bytes, now);
                }
                if let Say::Event(event) = &say {
                    machine.answered(event);
                }
                let said = out.writer.say(&say, bytes);
                said_so_far += u64::from(said);
                match &say {
                    _ if !said => ended = Err(End::Refused(Departure::ClosedByBroker)),
                    Say::Event(Event::Attached(_)) => {
                        newcomer.ticket.let_in();
                        out.attachment = link.attachment().cloned();
                    }
                    Say::Event(Event::Refused(_)) => ended = Err(End::Refused(Departure::ClosedByBroker)),
                    Say::Event(Event::Closed(_)) => ended = Err(End::Refused(Departure::ProtocolViolation)),
                    _ => {}
                }
                if ended.is_err() {
                    out.attachment = None;
                    break;
                }
            }
            // The disk may have got further meanwhile: only what is left holds anything up.
            out.holding = answers.iter().any(|(_, say)| is_exactly_once(say));
        });
        context.broker.metrics().answers_sent_total.add(said_so_far);
        ended
    }

    /// A client that never came in has to hear why, too.
    pub(super) fn find_words(&mut self) {
        let mut out = self.outlet.lock();
        if matches!(out.writer, Writer::Silent) {
            out.writer = self.machine.writer();
        }
    }

    /// What was taken is answered before the broker goes: who has released a message and hears nothing would have to
    /// remember that (MQTT-4.3.3-6), and not every client does.
    async fn last_answers(&mut self) {
        let until = Instant::now() + LAST_ANSWERS;
        loop {
            let now = self.context.clock.now();
            self.context.worker.borrow_mut().flush(&self.context.broker, now);
            if self.answer(now).is_err() || self.answers.is_empty() || Instant::now() >= until {
                return;
            }
            tokio::time::sleep(DISK_LOOK).await;
        }
    }

    async fn finish(mut self, end: End) {
        let now = self.context.clock.now();
        let metrics = self.context.broker.metrics().clone();
        let departure = match &end {
            End::Detached => None,
            End::Lost => Some(Departure::ConnectionLost),
            End::Violation(violation) => {
                metrics.protocol_violations_total.add(1);
                self.find_words();
                self.outlet.violation(now, violation);
                tracing::debug!(%violation, "a client broke the rules");
                Some(Departure::ProtocolViolation)
            }
            End::Fault(fault) => {
                metrics.transport_faults_total.add(1);
                tracing::debug!(%fault, peer = %self.newcomer.peer, "a client broke the rules of its transport");
                Some(Departure::ProtocolViolation)
            }
            End::Crowded(bound) => {
                tracing::debug!(%bound, peer = %self.newcomer.peer, "a connection was turned away");
                Some(Departure::ProtocolViolation)
            }
            End::Stalled => {
                metrics.write_timeouts_total.add(1);
                tracing::debug!(peer = %self.newcomer.peer, "a client that takes nothing was cut off");
                Some(Departure::ConnectionLost)
            }
            End::Silent if self.newcomer.ticket.is_outside() => {
                metrics.opening_timeouts_total.add(1);
                Some(Departure::KeepAliveExpired)
            }
            End::Silent => {
                metrics.keep_alive_timeouts_total.add(1);
                self.find_words();
                if let Some(violation) = self.machine.silence() {
                    self.outlet.violation(now, &violation);
                }
                Some(Departure::KeepAliveExpired)
            }
            End::Closed(why) => {
                if *why == Closed::ShuttingDown {
                    self.last_answers().await;
                }
                self.outlet.farewell(now, why.clone());
                Some(match why {
                    Closed::ShuttingDown => Departure::BrokerDown,
                    _ => Departure::ClosedByBroker,
                })
            }
            End::Refused(departure) => Some(*departure),
        };
        if let Some(departure) = departure {
            if let Machine::Amqp(side) = &mut self.machine {
                if let End::Closed(why) = &end {
                    side.farewell(why);
                }
                side.finish(now, departure);
                self.outlet.send(now, |_, _| {});
            }
            let detach = Detach { departure, expiry_seconds: None };
            let mut worker = self.context.worker.borrow_mut();
            self.context.broker.detach(&mut worker, &mut self.link, now, detach);
        }
        self.context.worker.borrow_mut().flush(&self.context.broker, now);
        self.way.append(&mut self.outlet.waiting_for_way());
        self.way.clear();
        // Whoever said goodbye, and nothing after that, hears all that was said before: closing alone resets nothing.
        let is_over =
            matches!(end, End::Detached) && !self.layered && self.partial.is_empty() && !self.outlet.is_blocked();
        if !is_over && !matches!(end, End::Lost | End::Stalled | End::Crowded(_)) {
            self.outlet.close_session(now);
            linger(self.outlet.socket(), &mut self.read).await;
        }
    }
}

fn is_exactly_once(say: &Say) -> bool {
    matches!(say, Say::Event(Event::Published { guarantee: Guarantee::ExactlyOnce, .. }))
}

/// Whether this is the last word about a publication.
fn ends_publication(say: &Say) -> bool {
    match say {
        Say::Event(Event::Published { guarantee, .. }) => *guarantee == Guarantee::AtLeastOnce,
        _ => false,
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of<F>(_: impl Fn(Connection) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_pays_only_for_itself() {
        let (task, itself) = (bytes_of(Connection::serve), size_of::<Connection>());
        assert!(task <= itself + 128 && itself <= 640, "a task of {task} bytes for a connection of {itself}");
    }
}
