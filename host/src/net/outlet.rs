//! The writing half of a connection: what any thread may use that has something for its client.
//!
//! Whoever fills a mailbox flushes it from where it stands: the bytes of all that the mailbox holds go out with one system
//! call, and neither a task nor a wake-up lies between publisher and subscriber. If somebody else is writing already, a
//! flag makes that one look again. Only what the socket does not take waits for the connection's own task.

use super::Limits;
use super::machine::{Say, Stop, Writer};
use super::session::{Fault, Session};
use super::transport::Writing;
use crate::broker::{Attachment, Broker};
use crate::dialogue::Closed;
use crate::message::{Time, Weight};
use crate::rare::Rare;
use crate::{broker, mqtt};
use atomic_waker::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context as TaskContext, Poll};

/// Somebody came to write while another one did.
const AGAIN: u8 = 1;
/// The task is to look at what it waits for.
const WAKE: u8 = 2;
/// The connection is to end.
const CLOSE: u8 = 4;
/// The socket took less than there was.
const BLOCKED: u8 = 8;
/// Writing failed: the connection is dead.
const BROKEN: u8 = 16;
/// So much waits for the socket that nothing more is read from the client: it does not read either.
const CONGESTED: u8 = 32;
/// Somebody waits to take the client's place.
const MAKE_WAY: u8 = 64;

/// Bytes that may wait for a socket without being counted.
const WEIGHED: usize = 64 << 10;

/// See the head of this file.
pub struct Outlet {
    /// Of all that there were.
    number: u64,
    socket: Writing,
    broker: Arc<Broker>,
    batch_bytes: usize,
    flags: AtomicU8,
    orders: Mutex<Rare<Orders>>,
    /// Of the task that reads this connection.
    pub waker: AtomicWaker,
    out: Mutex<Out>,
}

/// What only one may use at a time.
pub struct Out {
    /// Makes bytes.
    pub writer: Writer,
    /// Where deliveries come from, from the moment at which the client has been told that it is in.
    pub attachment: Option<Attachment>,
    /// Deliveries wait for an answer that has to go before them.
    pub holding: bool,
    /// What lies between the protocol and the socket; none: nothing does.
    pub session: Option<Box<Session>>,
    unsent: Rare<Unsent>,
    /// Bytes that the socket took since the connection was opened.
    taken: u64,
}

/// What the socket did not take, as it goes to the socket.
#[derive(Default)]
struct Unsent {
    bytes: Vec<u8>,
    /// Of those, what it has taken since.
    sent: usize,
    /// Where it is much: it counts as messages do.
    _weight: Option<Weight>,
}

/// What the task is to do.
#[derive(Default)]
struct Orders {
    closed: Option<Closed>,
    /// Who waits to take the client's place: connections that have not come in yet, whose number is bounded.
    way: Vec<WayMade>,
}

/// Tells whoever waits to take a client's place, at the latest when it is dropped.
pub struct WayMade(Option<Box<dyn FnOnce() + Send>>);

impl Drop for WayMade {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell();
        }
    }
}

/// What the task has to look at.
pub struct Signals {
    /// Somebody waits to take the client's place.
    pub make_way: bool,
    /// Something that it waited for may have come.
    pub wake: bool,
    /// The connection is to end.
    pub close: Option<Closed>,
    /// Writing failed.
    pub broken: bool,
}

/// Connections that there were.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Beside it, for what is wrapped.
    static WRAPPED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Out {
    /// Makes what goes to the socket of what the protocol says.
    fn wrap(&mut self, scratch: &mut Vec<u8>) {
        let Some(session) = &mut self.session else { return };
        WRAPPED.with_borrow_mut(|wrapped| {
            wrapped.clear();
            session.wrap(scratch, wrapped);
            std::mem::swap(scratch, wrapped);
        });
    }
}

impl Outlet {
    /// For a connection that has said nothing yet.
    pub fn new(socket: Writing, session: Option<Box<Session>>, broker: Arc<Broker>, limits: &Limits) -> Self {
        let writer = Writer::Silent;
        let out = Out { writer, attachment: None, holding: false, session, unsent: Rare::default(), taken: 0 };
        Self {
            number: CONNECTIONS.fetch_add(1, Ordering::Relaxed),
            socket,
            broker,
            batch_bytes: limits.batch_bytes,
            flags: AtomicU8::new(0),
            orders: Mutex::default(),
            waker: AtomicWaker::new(),
            out: Mutex::new(out),
        }
    }

    /// The socket.
    pub fn socket(&self) -> &Writing {
        &self.socket
    }

    /// Whether the task has to look at something. One load where there is nothing.
    pub fn has_signals(&self) -> bool {
        self.flags.load(Ordering::Acquire) & (WAKE | CLOSE | BROKEN | MAKE_WAY) != 0
    }

    /// Whether bytes wait for the socket.
    pub fn is_blocked(&self) -> bool {
        self.flags.load(Ordering::Acquire) & BLOCKED != 0
    }

    /// Whether so much waits for the socket that the client has to read before it is read from. It never will where writing
    /// has failed.
    pub fn is_congested(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & (CONGESTED | BROKEN) == CONGESTED
    }

    /// Waits for a signal that comes anew: that writing failed stays.
    pub fn poll_woken(&self, task: &TaskContext<'_>) -> Poll<()> {
        self.waker.register(task.waker());
        match self.flags.load(Ordering::Acquire) & (WAKE | CLOSE | MAKE_WAY) {
            0 => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }

    /// Takes the signals.
    pub fn signals(&self) -> Signals {
        let flags = self.flags.fetch_and(!(WAKE | CLOSE | MAKE_WAY), Ordering::AcqRel);
        let close = if flags & CLOSE != 0 { self.orders.lock().change().closed.take() } else { None };
        let make_way = flags & MAKE_WAY != 0;
        Signals { make_way, wake: flags & WAKE != 0, close, broken: flags & BROKEN != 0 }
    }

    /// Takes those who wait for the client's place.
    pub fn waiting_for_way(&self) -> Vec<WayMade> {
        self.orders.lock().changed().map_or_else(Vec::new, |orders| std::mem::take(&mut orders.way))
    }

    fn signal(&self, flag: u8) {
        self.flags.fetch_or(flag, Ordering::AcqRel);
        self.waker.wake();
    }

    /// How many bytes the socket has taken since the connection was opened.
    pub fn taken(&self) -> u64 {
        self.look(|out| out.taken)
    }

    /// Looks at the writing half where nothing is about to be sent. Whoever came meanwhile to send could not, and has gone: the
    /// task does it.
    pub fn look<T>(&self, look: impl FnOnce(&Out) -> T) -> T {
        let answer = look(&self.out.lock());
        if self.flags.load(Ordering::SeqCst) & AGAIN != 0 {
            self.signal(WAKE);
        }
        answer
    }

    /// The writing half, waiting for it. Nobody holds it for longer than one write takes, and whoever does sends afterwards,
    /// or has it before or after anybody else may: others who came meanwhile rely on that.
    pub fn lock(&self) -> MutexGuard<'_, Out> {
        self.out.lock()
    }

    /// Lets `first` put bytes in front, then sends them with all that the mailbox holds.
    pub fn send(&self, now: Time, first: impl FnOnce(&mut Out, &mut Vec<u8>)) {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut out = self.out.lock();
            scratch.clear();
            first(&mut out, scratch);
            if out.unsent.is_blank() {
                self.pump(&mut out, scratch, now);
            } else {
                // What was said meanwhile counts as waiting, too: a client that does not read is not read from in the end.
                if let Writer::Amqp(wire) = &mut out.writer {
                    wire.take_front(scratch);
                }
                out.wrap(scratch);
                self.write(&mut out, scratch);
                self.pump_unsent(&mut out, scratch, now);
            }
            drop(out);
            self.catch_up(scratch, now);
        });
    }

    /// Takes what came off the socket through the session, and sends what that has to answer by itself.
    ///
    /// # Errors
    /// Why there will be no more. What stands in `plain` still counts.
    pub fn receive(&self, now: Time, wire: &[u8], plain: &mut Vec<u8>) -> Result<(), Fault> {
        self.through_session(now, |session, reply| match session {
            Some(session) => session.receive(wire, plain, reply),
            None => {
                plain.extend_from_slice(wire);
                Ok(())
            }
        })
    }

    /// Says goodbye in the words of the transport.
    pub fn close_session(&self, now: Time) {
        self.through_session(now, |session, wire| session.into_iter().for_each(|session| session.close(wire)));
    }

    fn through_session<T>(&self, now: Time, ask: impl FnOnce(Option<&mut Session>, &mut Vec<u8>) -> T) -> T {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut out = self.out.lock();
            scratch.clear();
            let answer = ask(out.session.as_deref_mut(), scratch);
            self.write(&mut out, scratch);
            drop(out);
            self.catch_up(scratch, now);
            answer
        })
    }

    /// Sends what the mailbox holds, and again while others come with more.
    fn catch_up(&self, scratch: &mut Vec<u8>, now: Time) {
        // In one order with the lock for all threads: either the flag is seen here, or its setter gets the lock.
        while self.flags.load(Ordering::SeqCst) & AGAIN != 0 {
            let Some(mut out) = self.out.try_lock() else { return };
            self.flags.fetch_and(!AGAIN, Ordering::AcqRel);
            scratch.clear();
            self.pump_unsent(&mut out, scratch, now);
        }
    }

    fn pump_unsent(&self, out: &mut Out, scratch: &mut Vec<u8>, now: Time) {
        let Out { unsent, taken, .. } = out;
        if let Some(Unsent { bytes, sent, .. }) = unsent.changed() {
            let Some(count) = self.try_write(&bytes[*sent..]) else { return };
            *sent += count;
            *taken += count as u64;
            if *sent < bytes.len() {
                return self.signal(BLOCKED);
            }
            unsent.clear();
        }
        if self.flags.fetch_and(!(BLOCKED | CONGESTED), Ordering::AcqRel) & CONGESTED != 0 {
            // Its task may read again.
            self.waker.wake();
        }
        scratch.clear();
        self.pump(out, scratch, now);
    }

    /// Fills `scratch` from the mailbox and writes it, until there is no more or the socket has had enough.
    fn pump(&self, out: &mut Out, scratch: &mut Vec<u8>, now: Time) {
        loop {
            if scratch.is_empty() && out.writer.is_amid() && !self.write_rest(out) {
                return;
            }
            self.fill(out, scratch, now);
            if scratch.is_empty() {
                return;
            }
            let more = scratch.len() >= self.batch_bytes;
            out.wrap(scratch);
            if !self.write(out, scratch) {
                return;
            }
            scratch.clear();
            // One large message is no reason to keep its memory for ever.
            scratch.shrink_to(4 * self.batch_bytes);
            if !more {
                return;
            }
        }
    }

    /// Writes the rest of a long delivery from where it lies, if nothing stands between the protocol and the socket; false: the
    /// socket has had enough, or is dead.
    fn write_rest(&self, out: &mut Out) -> bool {
        while out.session.is_none()
            && let Some(rest) = out.writer.rest()
        {
            let length = rest.len();
            let Some(count) = self.try_write(rest) else { return false };
            out.taken += count as u64;
            out.writer.has_written(count);
            if count < length {
                self.signal(BLOCKED | CONGESTED);
                return false;
            }
        }
        true
    }

    /// Writes to the socket, behind what it has not taken yet; false: it has had enough, or is dead.
    fn write(&self, out: &mut Out, wire: &[u8]) -> bool {
        let count = match out.unsent.is_blank() {
            true if wire.is_empty() => return true,
            true => self.try_write(wire),
            false => Some(0),
        };
        let Some(count) = count else { return false };
        out.taken += count as u64;
        if count == wire.len() {
            return out.unsent.is_blank();
        }
        let Unsent { bytes, sent, _weight } = out.unsent.change();
        if *sent > bytes.len() / 2 {
            // Whoever always leaves a little is not to make it grow.
            bytes.drain(..*sent);
            *sent = 0;
        }
        bytes.extend_from_slice(&wire[count..]);
        let waits = bytes.len() - *sent;
        if waits > WEIGHED {
            *_weight = Some(Weight::new(waits));
        }
        let congested = waits > 4 * self.batch_bytes || out.writer.is_amid();
        self.signal(if congested { BLOCKED | CONGESTED } else { BLOCKED });
        false
    }

    /// Puts what the mailbox holds behind what is there, up to a batch.
    pub fn fill(&self, out: &mut Out, scratch: &mut Vec<u8>, now: Time) {
        if let Writer::Amqp(wire) = &mut out.writer {
            return wire.fill(&self.broker, now, scratch, self.batch_bytes);
        }
        let writer = &mut out.writer;
        // An answer that waits for a disk which fails may never come.
        let holding = out.holding && self.broker.store().is_healthy();
        while !writer.go_on(self.batch_bytes, scratch) && !holding {
            let Some(attachment) = &out.attachment else { return };
            let mut stop = None;
            self.broker.drain(attachment, now, &mut |outgoing| {
                stop = writer.deliver(now, &outgoing, scratch).err();
                scratch.len() < self.batch_bytes && stop.is_none()
            });
            match stop {
                None => return,
                Some(Stop::Begun) => {}
                // Its place in the window is free again.
                Some(Stop::Oversize { handle, again }) => self.broker.leave_out(attachment, handle, again),
            }
        }
    }

    /// How many bytes the socket took; none: it is dead.
    /// Whether the socket takes something of what waits, if it is asked itself: that there is room is said only when a good part of
    /// its buffer is free, for which a client that reads slowly takes minutes.
    pub fn takes_a_little(&self) -> bool {
        let mut out = self.out.lock();
        let Out { unsent, writer, session, taken, .. } = &mut *out;
        let mut count = 0;
        if let Some(Unsent { bytes, sent, .. }) = unsent.changed() {
            count = self.written(self.socket.write_a_little(&bytes[*sent..])).unwrap_or(0);
            *sent += count;
        } else if session.is_none()
            && let Some(rest) = writer.rest()
        {
            count = self.written(self.socket.write_a_little(rest)).unwrap_or(0);
            writer.has_written(count);
        }
        *taken += count as u64;
        drop(out);
        if self.flags.load(Ordering::SeqCst) & AGAIN != 0 {
            self.signal(WAKE);
        }
        count > 0
    }

    fn try_write(&self, bytes: &[u8]) -> Option<usize> {
        self.written(self.socket.try_write(bytes))
    }

    fn written(&self, written: io::Result<usize>) -> Option<usize> {
        match written {
            Ok(count) => {
                self.broker.metrics().bytes_sent_total.add(count as u64);
                Some(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(0),
            Err(_) => {
                self.signal(BROKEN);
                None
            }
        }
    }

    /// Says one thing and nothing more.
    pub fn last_word(&self, now: Time, word: impl FnOnce(&mut Writer, &mut Vec<u8>)) {
        self.send(now, |out, bytes| {
            let before = bytes.len();
            word(&mut out.writer, bytes);
            self.broker.metrics().answers_sent_total.add(u64::from(bytes.len() > before));
            out.attachment = None;
        });
    }

    /// Says why the client has to go because it broke the rules.
    pub fn violation(&self, now: Time, violation: &mqtt::Violation) {
        self.last_word(now, |writer, bytes| writer.violation(violation, bytes));
    }

    /// Says why the connection ends.
    pub fn farewell(&self, now: Time, why: Closed) {
        let say = Say::Event(crate::dialogue::Event::Closed(why));
        self.last_word(now, |writer, bytes| {
            writer.say(&say, bytes);
        });
    }
}

impl broker::Outlet for Outlet {
    fn flush(&self, now: Time) {
        self.flags.fetch_or(AGAIN, Ordering::SeqCst);
        SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => self.catch_up(&mut scratch, now),
            // A flush from within a flush, which no path takes; the task will do it.
            Err(_) => self.signal(WAKE),
        });
    }

    fn wake(&self) {
        self.signal(WAKE);
    }

    fn make_way(&self, then: Box<dyn FnOnce() + Send>) {
        self.orders.lock().change().way.push(WayMade(Some(then)));
        self.signal(MAKE_WAY);
    }

    fn connection(&self) -> Option<u64> {
        Some(self.number)
    }

    fn close(&self, why: Closed) {
        self.orders.lock().change().closed = Some(why);
        self.signal(CLOSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Outlet as _, tests::hall};
    use crate::net::transport::Accepted;

    /// A message that comes while the task looks when it is to wake up would wait for the next one.
    #[tokio::test]
    async fn whoever_comes_to_send_while_somebody_looks_is_not_forgotten() {
        let (ours, _theirs) = tokio::net::UnixStream::pair().unwrap();
        let socket = Writing::Unix(ours.into_split().1);
        let outlet = Outlet::new(socket, None, hall(Default::default()).broker, &Limits::default());
        outlet.look(|_| outlet.flush(Time(0)));
        assert!(outlet.has_signals(), "the task is to look again");
        assert!(outlet.signals().wake);
        outlet.flush(Time(0));
        assert_eq!(outlet.look(|out| out.taken), 0);
        assert!(!outlet.has_signals(), "nobody came");
    }
    /// The system says that there is room when a third of what it holds has left; a client that reads slowly takes something all the
    /// time.
    #[tokio::test]
    async fn a_socket_that_is_read_slowly_takes_a_little_before_it_is_said_to_have_room() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ours = listener.accept().unwrap().0;
        ours.set_nonblocking(true).unwrap();
        let (_read, socket) = Accepted::Tcp(ours).adopt().unwrap().split().unwrap_or_else(|_| panic!("it is TCP"));
        let outlet = Outlet::new(socket, None, hall(Default::default()).broker, &Limits::default());
        outlet.send(Time(0), |_, bytes| bytes.resize(32 << 20, 7));
        assert!(outlet.is_blocked());
        while outlet.takes_a_little() {}
        let (mut read, before) = (0, outlet.look(|out| out.taken));
        while !outlet.takes_a_little() {
            read += std::io::Read::read(&mut peer, &mut vec![0; 64 << 10]).unwrap() as u64;
        }
        assert!(read < before / 4, "{read} of {before}");
        assert!(outlet.look(|out| out.taken) > before);
    }
}
