//! The drive loop of one connection: waits for bytes, signals and deadlines, and moves them between socket, protocol
//! machine and hall.

use super::authentication::Admission;
use super::context::Context;
use super::ending::End;
use super::machine::{Machine, Say};
use super::opening::Newcomer;
use super::outlet::{Outlet, WayMade};
use super::partial::Partial;
use super::session::Fault;
use super::transport::{Halves, Reading};
use crate::broker::{Link, nobody};
use crate::client::Protocol;
use crate::message::Time;
use crate::rare::Rare;
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

/// How often a connection looks whether the disk has caught up.
const DISK_RETRY: Duration = Duration::from_millis(20);
/// A deadline that is noticed so much later shows that this process did not run meanwhile.
const LATE_MILLISECONDS: u64 = 250;
/// How often a connection looks at its socket then: the runtime gets to 1,024 of them each time.
const LATE_LOOKS: usize = 64;
/// How long whoever takes a place waits for that.
pub(super) const MAKE_WAY_PATIENCE: Duration = Duration::from_secs(2);

pub struct Connection {
    pub(super) context: Rc<Context>,
    _counted: Counted,
    pub(super) read: Reading,
    pub(super) outlet: Arc<Outlet>,
    pub(super) link: Link,
    pub(super) admission: Admission,
    pub(super) newcomer: Newcomer,
    pub(super) machine: Machine,
    /// Something lies between socket and protocol.
    pub(super) layered: bool,
    /// What happened on the way from the socket, to be acted on when all that came before is worked off.
    pub(super) fault: Option<Box<Fault>>,
    /// The beginning of a packet that is not yet whole, and what follows a publication that waits for room.
    pub(super) partial: Vec<u8>,
    pub(super) partial_weight: Partial,
    /// The next turn is the one before, for its socket has more: nobody else had the thread meanwhile.
    pub(super) goes_on: bool,
    /// Whole packets may stand in `partial`: they were left there because nothing more was to be read.
    pub(super) held_back: bool,
    /// Whoever waits until what this client has sent is worked off, because it wants to take this connection's place.
    pub(super) way: Rare<Vec<WayMade>>,
    /// Answers that wait for the disk, in the order of their requests.
    pub(super) answers: VecDeque<(Sequence, Say)>,
    /// For which of them the hall will wake this connection.
    pub(super) awaited: Sequence,
    /// When a publication that waits for room is looked at again, even if nobody wakes this connection.
    pub(super) retry: Option<Instant>,
    /// The client takes nothing: until when it may, and how much it had taken when that began.
    stalled: Option<Box<(Instant, u64)>>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Why the task runs.
pub(super) enum Turn {
    Bytes(usize),
    EndOfFile,
    Fault,
    Signal,
    Writable,
    Deadline,
    /// What was held back may be worked off.
    GoOn,
}

/// What comes after a turn.
enum Then<'a> {
    Nothing,
    /// Others come first.
    Yield,
    /// What seldom happens waits in a box of its own: an idle connection takes no room for it.
    Later(Pin<Box<dyn Future<Output = Result<(), End>> + 'a>>),
}

/// One connection in the counts of its worker and of the metrics, while it lives.
pub(super) struct Counted(Rc<Context>);

impl Counted {
    /// It was counted as its worker's when it was given to it.
    pub(super) fn new(context: &Rc<Context>) -> Self {
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
pub fn open(context: Rc<Context>, (read, write): Halves, newcomer: Newcomer) -> Option<Connection> {
    let counted = Counted::new(&context);
    let session = match newcomer.session() {
        Ok(session) => session,
        Err(error) => {
            tracing::warn!(%error, "TLS cannot be offered");
            return None;
        }
    };
    let layered = session.is_some();
    let outlet = Arc::new(Outlet::new(write, session, context.broker.clone(), &context.limits));
    let link = Link::new(outlet.clone(), nobody(&newcomer.entrance.name, Protocol::Mqtt));
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
        partial_weight: Partial::default(),
        goes_on: false,
        held_back: false,
        way: Rare::default(),
        answers: VecDeque::new(),
        awaited: 0,
        retry: None,
        stalled: None,
        timer: None,
    })
}

impl Connection {
    /// Serves the connection to its end. What seldom happens waits in boxes of its own, and nothing else is kept over an
    /// `await`: an idle connection takes no room for it.
    // An `async fn` would keep the room for its argument beside that of the connection.
    #[expect(clippy::manual_async_fn)]
    pub fn serve(mut self) -> impl Future<Output = ()> {
        async move {
            let end = loop {
                let turn = poll_fn(|task| {
                    let polled = self.poll_turn(task);
                    self.goes_on &= polled.is_ready();
                    polled
                })
                .await;
                let others_came = {
                    let then = match self.act(turn) {
                        Ok(then) => then,
                        Err(end) => break end,
                    };
                    match then {
                        Then::Nothing => false,
                        Then::Yield => {
                            tokio::task::yield_now().await;
                            true
                        }
                        Then::Later(rest) => match rest.await {
                            Ok(()) => true,
                            Err(end) => break end,
                        },
                    }
                };
                self.goes_on &= !others_came;
                if let Some(pause) = self.context.pause() {
                    self.goes_on = false;
                    Box::pin(pause.pass()).await;
                }
            };
            Box::pin(self.finish(end)).await;
        }
    }

    fn act(&mut self, turn: Turn) -> Result<Then<'_>, End> {
        let now = self.context.clock.now();
        let has_had_it = self.goes_on && self.context.has_had_its_turn(now);
        if !self.goes_on {
            self.context.begin_turn(now);
        }
        self.goes_on = true;
        let then = match turn {
            Turn::Bytes(count) => self.bytes(now, count).map(|()| Then::Nothing),
            // It may still read.
            Turn::EndOfFile if !self.answers.is_empty() => Ok(Then::Later(Box::pin(async {
                self.last_answers().await;
                Err(End::Lost)
            }))),
            Turn::EndOfFile => Err(End::Lost),
            Turn::Fault => Ok(Then::Later(Box::pin(self.fail()))),
            Turn::Signal => self.signal(now),
            Turn::Writable => {
                crate::broker::Outlet::flush(&*self.outlet, now);
                self.go_on(now).map(|()| Then::Nothing)
            }
            Turn::Deadline => match self.deadline(now) {
                Err(End::Silent) => Ok(Then::Later(Box::pin(self.look_again(now)))),
                ended => ended.map(|()| Then::Nothing),
            },
            Turn::GoOn => self.go_on(now).map(|()| Then::Nothing),
        }?;
        Ok(if has_had_it && matches!(then, Then::Nothing) { Then::Yield } else { then })
    }

    /// The transport has failed. What came before that was taken, and whoever says goodbye may wait for the answer.
    async fn fail(&mut self) -> Result<(), End> {
        let fault = self.fault.take();
        self.last_answers().await;
        Err(fault.filter(|fault| **fault != Fault::Closed).map_or(End::Lost, |fault| End::Fault(*fault)))
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
            self.stalled.get_or_insert_with(|| Box::new(self.context.until_stalled(self.outlet.taken())));
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
            let store = self.context.broker.store();
            if store.is_full() && store.is_healthy() {
                // The disk is behind: more comes when it has caught up. While it fails what would have to be kept is refused, and
                // the rest flows.
                self.retry.get_or_insert_with(|| Instant::now() + DISK_RETRY);
                return self.poll_timer(task);
            }
            if let Poll::Ready(turn) = self.poll_socket(task) {
                return Poll::Ready(turn);
            }
        }
        self.poll_timer(task)
    }

    pub(super) fn poll_socket(&mut self, task: &mut TaskContext<'_>) -> Poll<Turn> {
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
    pub(super) fn reads(&self) -> bool {
        let machine_reads = match &self.machine {
            Machine::Amqp(side) => side.reads(),
            // A client that has sent too much at once hears of the first before the rest is read: many count on that.
            Machine::Mqtt(inbound) => self.answers.is_empty() || !inbound.is_spent(),
            Machine::Unknown => true,
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
        let stalled = self.stalled.as_ref().map(|stalled| stalled.0);
        next.into_iter().chain(stalled).min()
    }

    /// When the client has been silent for too long.
    fn patience(&self) -> Option<Time> {
        match &self.machine {
            Machine::Unknown => Some(self.newcomer.deadline(&self.context.limits)),
            // It is not read from. Whether it takes what it is sent, `stalled` tells.
            Machine::Mqtt(_) if !self.reads() => None,
            machine => machine.deadline(),
        }
    }

    fn deadline(&mut self, now: Time) -> Result<(), End> {
        if let Some(stalled) = self.stalled.take_if(|stalled| stalled.0 <= Instant::now())
            && self.outlet.is_blocked()
            && self.outlet.taken() == stalled.1
            && !self.outlet.takes_a_little()
        {
            return Err(End::Stalled);
        }
        let reads = self.reads();
        if let Machine::Amqp(side) = &mut self.machine
            && side.deadline().is_some_and(|at| at <= now)
        {
            let ended = side.tick(now, reads);
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

    fn signal(&mut self, now: Time) -> Result<Then<'_>, End> {
        let signals = self.outlet.signals();
        if signals.broken {
            return Ok(Then::Later(Box::pin(async { Err(self.last_words().await) })));
        }
        if let Some(why) = signals.close {
            return Err(End::Closed(why));
        }
        if signals.make_way {
            // Wakes this connection in the end, whatever else it was woken for.
            return Ok(Then::Later(Box::pin(self.make_way())));
        }
        if !signals.wake {
            return Ok(Then::Nothing);
        }
        if matches!(self.machine, Machine::Amqp(_)) {
            self.amqp_woken(now)?;
            // What is long is done in parts, each of which wakes the connection for the next; others come between.
            return Ok(if self.outlet.has_signals() { Then::Yield } else { Then::Nothing });
        }
        if self.admission.waits() {
            let context = self.context.clone();
            self.inquire(&mut context.worker.borrow_mut(), now)?;
            self.flush(now)?;
            let ended = self.partial_packets(now);
            self.flush(now)?;
            return ended.map(|()| Then::Nothing);
        }
        let fetched = self.context.broker.refill(&mut self.context.worker.borrow_mut(), &self.link, now);
        if fetched || self.link.is_parked() {
            // What is retained is looked through in parts, and others come between them.
            return Ok(Then::Later(Box::pin(async move {
                tokio::task::yield_now().await;
                self.woken(now)
            })));
        }
        self.woken(now).map(|()| Then::Nothing)
    }

    fn woken(&mut self, now: Time) -> Result<(), End> {
        if self.link.is_parked() {
            return self.resume(now);
        }
        crate::broker::Outlet::flush(&*self.outlet, now);
        self.flush(now)?;
        self.go_on(now)
    }

    /// A client seems to be silent, but it may be this process that was (stopped, or kept from running): what has come counts.
    async fn look_again(&mut self, now: Time) -> Result<(), End> {
        let late = self.patience().map_or(0, |at| now.since(at));
        for _ in 0..if late > LATE_MILLISECONDS { LATE_LOOKS } else { 1 } {
            // The runtime looks at some of the sockets before it comes back here.
            tokio::task::yield_now().await;
            if !self.reads() {
                break;
            }
            let looked = poll_fn(|task| Poll::Ready(self.poll_socket(task))).await;
            if let Poll::Ready(turn) = looked {
                let Turn::Bytes(count) = turn else { return Err(End::Lost) };
                return self.bytes(self.context.clock.now(), count);
            }
        }
        Err(End::Silent)
    }

    /// An AMQP connection has to look at what it waits for.
    pub(super) fn amqp_woken(&mut self, now: Time) -> Result<(), End> {
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
    pub(super) fn go_on(&mut self, now: Time) -> Result<(), End> {
        if !self.held_back || !self.reads() {
            return Ok(());
        }
        let ended = self.partial_packets(now);
        self.flush(now)?;
        ended
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
        assert!(task <= itself + 48 && itself <= 472, "a task of {task} bytes for a connection of {itself}");
    }
}
