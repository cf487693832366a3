//! The threads that serve connections.

use super::chores::ChoresThread;
use super::context::Context;
use super::detours::Detours;
use super::errands::Errands;
use super::gate::{Gate, connections_max};
use super::listener::{Arrival, BindError, Entrance, Listener, ListenerConfig, accept, take};
use super::opening::Newcomer;
use super::peers::Peers;
use super::round::{Round, rounds};
use super::transport::Stream;
use super::turn::Turns;
use super::{Clock, Limits};
use crate::broker::Broker;
use crate::dialogue::Closed;
use crate::identity::Identity;
use crate::message::Time;
use crate::{amqp, mqtt};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::LocalSet;

/// What this floor is built from.
pub struct NetConfig {
    /// Threads; at least 1.
    pub workers: usize,
    /// Where clients come in.
    pub listeners: Vec<ListenerConfig>,
    /// Who may come in.
    pub identity: Identity,
    /// Bounds of this floor.
    pub limits: Limits,
    /// Bounds of MQTT.
    pub mqtt: Arc<mqtt::Limits>,
    /// Bounds of AMQP.
    pub amqp: Arc<amqp::Limits>,
}

/// The running threads.
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    chores: ChoresThread,
    patient: ChoresThread,
    detours: Detours,
    errands: Arc<Errands>,
    addresses: Vec<(String, SocketAddr)>,
    entrances: Vec<Arc<Entrance>>,
    stage: watch::Sender<Stage>,
    broker: Arc<Broker>,
    crew: Arc<Crew>,
}

/// The certificates and keys of all listeners.
#[derive(Clone)]
pub struct Certificates(Vec<Arc<Entrance>>);

impl Certificates {
    /// Reads all files again. Connections that are there are not touched: whose certificate is not taken any more, `identity`
    /// finds. What is wrong with files that cannot be used:
    /// their listeners go on with what they had.
    pub fn reload(&self) -> Vec<String> {
        let offers = self.0.iter().filter_map(|entrance| Some((entrance, entrance.tls.as_ref()?)));
        let outcomes = offers.map(|(entrance, offer)| (entrance, offer.reload()));
        let failed = outcomes.filter_map(|(entrance, outcome)| Some((entrance, outcome.err()?)));
        failed
            .map(|(entrance, error)| format!("listener {} keeps its old certificate: {error}", entrance.name))
            .collect()
    }
}

/// What the threads do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Everything.
    Open,
    /// Nobody comes in any more.
    Closing,
    /// They end.
    Over,
}

/// The threads as the one that accepts sees them.
pub struct Crew {
    /// How many of them accept.
    accepting: AtomicUsize,
    /// Who may come in.
    pub gate: Arc<Gate>,
    peers: Arc<Peers>,
    members: Vec<Member>,
}

struct Member {
    connections: Arc<AtomicUsize>,
    give: UnboundedSender<Arrival>,
}

/// A thread may have more connections than the one with the fewest by this part of all.
const UNEVEN: usize = 4;
/// One slow module alone does not keep others from such a thread.
const DETOURS_MIN: usize = 2;
/// Longest time between two looks at the hall's deadlines.
const TICK_MAX: Duration = Duration::from_millis(100);
/// How long clients may take to hear that the broker goes.
const FAREWELL: Duration = Duration::from_secs(3);
/// Some may come in at the last moment: so often all are told.
const FAREWELLS_APART: Duration = Duration::from_millis(250);
/// How long the threads may take to close their listeners before clients are told, who would come back at once.
const DOORS_CLOSE: Duration = Duration::from_millis(500);

impl Crew {
    /// Connections of all threads.
    pub fn connections(&self) -> usize {
        self.members.iter().map(|member| member.connections.load(Ordering::Relaxed)).sum()
    }

    /// Serves a connection on the thread that accepted it (`own`), or hands it to the one with the fewest if that has so
    /// many fewer that it pays: a hand-over takes the socket out of one event queue and into another, and wakes a thread.
    pub fn give(&self, context: &Rc<Context>, own: usize, stream: Stream, newcomer: Newcomer) {
        let counts = || self.members.iter().map(|member| member.connections.load(Ordering::Relaxed));
        let Some((least, fewest)) = counts().enumerate().min_by_key(|(_, count)| *count) else { return };
        // Of QUIC nothing has been begun that would have to be handed over.
        let slack = if matches!(stream, Stream::Quic(_)) { 0 } else { counts().sum::<usize>() / UNEVEN };
        let at = if self.members[own].connections.load(Ordering::Relaxed) <= fewest + slack { own } else { least };
        let member = &self.members[at];
        member.connections.fetch_add(1, Ordering::Relaxed);
        if at == own {
            return take(context, stream, newcomer);
        }
        let given = match stream.release() {
            Ok(socket) => member.give.send(Arrival { socket, newcomer }).is_ok(),
            Err(_) => false,
        };
        if !given {
            member.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Workers {
    /// Opens all listeners, then starts all threads.
    pub fn start(broker: Arc<Broker>, clock: Clock, config: NetConfig) -> Result<Self, BindError> {
        let runtimes: Vec<_> = (0..config.workers.max(1)).map(|_| runtime()).collect();
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        {
            let _entered = runtimes[0].enter();
            for listener in &config.listeners {
                let open = match Listener::open(listener, &config.limits, clock) {
                    Err(error @ BindError::Address { .. }) if listener.optional => {
                        tracing::warn!("{error}; the broker runs without it");
                        continue;
                    }
                    open => open?,
                };
                addresses.extend(open.address().map(|address| (listener.name.clone(), address)));
                listeners.push(open);
            }
        }
        let entrances = listeners.iter().map(|listener| listener.entrance.clone()).collect();
        let (stage, told) = watch::channel(Stage::Open);
        let mut members = Vec::new();
        let mut receivers = Vec::new();
        for _ in &runtimes {
            let (give, receiver) = unbounded_channel();
            members.push(Member { connections: Arc::default(), give });
            receivers.push(receiver);
        }
        let connections_max = connections_max(config.limits.connections_max);
        let limits = Limits { connections_max, ..config.limits.clone() };
        let gate = Arc::new(Gate::new(limits, broker.metrics().clone()));
        let crew = Arc::new(Crew { accepting: AtomicUsize::new(members.len()), gate, peers: Arc::default(), members });
        let (errand_threads, waiting_max) = (config.limits.errand_threads, config.limits.errands_waiting_max);
        let errands = Arc::new(Errands::start(broker.clone(), errand_threads, waiting_max));
        let mut doors: Vec<_> = runtimes[1..].iter().map(|runtime| siblings(runtime, &listeners)).collect();
        doors.insert(0, listeners);
        let mut threads = Vec::new();
        for (at, ((runtime, listeners), receiver)) in runtimes.into_iter().zip(doors).zip(receivers).enumerate() {
            let connections = crew.members[at].connections.clone();
            let identity = config.identity.clone();
            let (broker, limits) = (broker.clone(), config.limits.clone());
            let (mqtt, amqp, peers) = (config.mqtt.clone(), config.amqp.clone(), crew.peers.clone());
            let errands = errands.clone();
            let (crew, told) = (crew.clone(), told.clone());
            let body = move || {
                let context = Rc::new(Context {
                    worker: RefCell::new(broker.worker()),
                    broker,
                    identity,
                    errands,
                    clock,
                    read_buffer: RefCell::new(vec![0; limits.batch_bytes]),
                    plain_buffer: RefCell::default(),
                    limits,
                    mqtt,
                    amqp,
                    peers,
                    turns: Turns::default(),
                    round: Round::default(),
                    connections,
                });
                LocalSet::new().block_on(&runtime, work(context, crew, at, listeners, receiver, told));
            };
            let thread = std::thread::Builder::new().name(format!("worker-{at}")).spawn(body);
            threads.push(thread.expect("the system has room for a few threads at the start"));
        }
        let chores = ChoresThread::start(broker.clone(), clock);
        let patient = ChoresThread::start_patient(broker.clone(), clock);
        let detours = Detours::start(&broker, clock, threads.len().max(DETOURS_MIN));
        Ok(Self { threads, chores, patient, detours, errands, addresses, entrances, stage, broker, crew })
    }

    /// Where a listener is.
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.addresses.iter().find(|(name, _)| name == listener).map(|(_, address)| *address)
    }

    /// What reads certificates and keys again.
    pub fn certificates(&self) -> Certificates {
        Certificates(self.entrances.clone())
    }

    /// All listeners at ports.
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// Accepts nothing more, tells the clients, waits a little for them, and ends the threads.
    pub fn stop(self) {
        // The receivers end with their threads, so nobody may be there to hear it.
        let _ = self.stage.send(Stage::Closing);
        wait(DOORS_CLOSE, || self.crew.accepting.load(Ordering::Relaxed) == 0);
        let until = Instant::now() + FAREWELL;
        while self.crew.connections() > 0 && Instant::now() < until {
            self.broker.close_all(&Closed::ShuttingDown);
            self.crew.peers.close_all(&Closed::ShuttingDown);
            wait(FAREWELLS_APART, || self.crew.connections() == 0);
        }
        let _ = self.stage.send(Stage::Over);
        for thread in self.threads {
            let _ = thread.join();
        }
        self.errands.stop();
        self.detours.stop();
        self.patient.stop();
        // After the last client has gone, so that modules hear of it.
        self.chores.stop();
    }
}

/// Until it is so, but no longer than this. A clock of its own will do: nothing here is compared with other times.
fn wait(longest: Duration, is_so: impl Fn() -> bool) {
    let until = Instant::now() + longest;
    while !is_so() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system has room for an event queue at the start")
}

/// The sockets through which one more thread accepts.
fn siblings(runtime: &tokio::runtime::Runtime, listeners: &[Listener]) -> Vec<Listener> {
    let _entered = runtime.enter();
    listeners.iter().filter_map(Listener::sibling).collect()
}

async fn work(
    context: Rc<Context>,
    crew: Arc<Crew>,
    at: usize,
    listeners: Vec<Listener>,
    mut arrivals: UnboundedReceiver<Arrival>,
    mut stage: watch::Receiver<Stage>,
) {
    let farewells: Vec<_> = listeners.iter().filter_map(Listener::farewell).collect();
    let accept = |listener| tokio::task::spawn_local(accept(context.clone(), crew.clone(), at, listener));
    let mut accepting: Vec<_> = listeners.into_iter().map(accept).collect();
    tokio::task::spawn_local(rounds(context.clone()));
    if at == 0 {
        tokio::task::spawn_local(tick(context.clone()));
    }
    loop {
        tokio::select! {
            arrival = arrivals.recv() => {
                let Some(Arrival { socket, newcomer }) = arrival else { break };
                match socket.adopt() {
                    Ok(stream) => take(&context, stream, newcomer),
                    Err(_) => { context.connections.fetch_sub(1, Ordering::Relaxed); }
                }
            }
            _ = stage.changed() => match *stage.borrow_and_update() {
                Stage::Open => {}
                Stage::Closing => {
                    for listener in accepting.drain(..) {
                        listener.abort();
                        // With it goes its socket.
                        let _ = listener.await;
                    }
                    crew.accepting.fetch_sub(1, Ordering::Relaxed);
                }
                Stage::Over => break,
            },
        }
    }
    for farewell in farewells {
        farewell.await;
    }
}

/// Does what is due in the hall.
async fn tick(context: Rc<Context>) {
    loop {
        let now = context.clock.now();
        context.identity.tick(now);
        let next = context.broker.tick(&mut context.worker.borrow_mut(), now);
        let wait = next.map_or(TICK_MAX, |at: Time| Duration::from_millis(at.since(now)).min(TICK_MAX));
        tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
    }
}
