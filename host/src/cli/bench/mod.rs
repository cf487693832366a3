//! `pliant bench`: publishers and subscribers against a running broker, counted and timed, by MQTT or by AMQP 1.0.

mod amqp;
mod arrivals;
mod connection;
mod heard;
mod publisher;
mod report;
mod scenario;
mod subscriber;

use super::connect::ConnectArgs;
use super::progress::Progress;
use super::{Failure, Outcome, output};
use clap::Args;
use connection::Connection;
use hdrhistogram::Histogram;
use heard::Heard;
use report::Report;
use scenario::{LoadArgs, Plan, Scenario};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

/// Publisher, number of the message and time at which it left, at the beginning of each payload.
const STAMP_BYTES: usize = 20;

/// How long subscribers are waited for once nothing more comes.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Args)]
pub(crate) struct BenchArgs {
    /// What to play; without one a single publisher and a single subscriber
    #[arg(value_enum)]
    scenario: Option<Scenario>,
    #[command(flatten)]
    load: LoadArgs,
    /// AMQP: the node that publisher and subscriber number N of p2p and durable use, with N in place of {}; otherwise topics
    #[arg(long, value_name = "ADDRESS")]
    node: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// What all threads of one run share.
struct Run {
    plan: Plan,
    login: ConnectArgs,
    node: Option<String>,
    /// First level of all topics, so that runs do not hear each other.
    root: String,
    begun: Instant,
    sent: AtomicU64,
    received: AtomicU64,
    stop: AtomicBool,
}

impl Run {
    fn connect(&self, role: &str, number: u32, clean: bool) -> Result<Connection, Failure> {
        let options = self.login.options()?;
        let id = format!("{}-{role}-{number}", self.root.replace('/', "-"));
        let login = options.credentials().map(|login| (login.username, login.password));
        Connection::open(&options.broker_address(), id, login, clean)
    }

    fn micros(&self) -> u64 {
        self.begun.elapsed().as_micros() as u64
    }

    /// The content of a publisher's message.
    fn payload(&self, publisher: u32, number: u64) -> Vec<u8> {
        let mut payload = vec![0; self.plan.size as usize];
        payload[..4].copy_from_slice(&publisher.to_be_bytes());
        payload[4..12].copy_from_slice(&number.to_be_bytes());
        payload[12..STAMP_BYTES].copy_from_slice(&self.micros().to_be_bytes());
        payload
    }

    /// Where it goes.
    fn topic(&self, publisher: u32, number: u64) -> String {
        format!("{}/{publisher}/{}", self.root, number % self.plan.topics)
    }
}

pub(crate) fn run(args: &BenchArgs) -> Outcome {
    let by_amqp = args.connect.is_amqp();
    check(args, by_amqp)?;
    let run = Arc::new(Run {
        plan: Plan::new(args.scenario, &args.load),
        login: args.connect.clone(),
        node: args.node.clone(),
        root: format!("bench/{:08x}", rand::random::<u32>()),
        begun: Instant::now(),
        sent: AtomicU64::new(0),
        received: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    });
    let watched = run.clone();
    let progress = Progress::telling(move || {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        format!("{} sent, {} received", count(&watched.sent), count(&watched.received))
    });
    let report = match args.scenario {
        Some(Scenario::Connections) => arrivals::play(&run),
        Some(Scenario::Retained) => retained(&run),
        _ if by_amqp => {
            let subscriber = |number| amqp::subscriber(&run, number);
            live(&run, subscriber, |number| amqp::publisher(&run, number))
        }
        _ => {
            let _others = subscriber::others(&run)?;
            live(&run, |number| subscriber::open(&run, number), |number| publisher::open(&run, number))
        }
    };
    drop(progress);
    let report = report?;
    if args.json { output::json(&report) } else { report.print() }
}

/// Whether the scenario can be played in this protocol.
fn check(args: &BenchArgs, by_amqp: bool) -> Outcome {
    let url = args.connect.url();
    if !by_amqp && !url.starts_with("mqtt://") {
        return Err(Failure::Usage(format!("--url {url}: the bench speaks mqtt://, amqp:// and amqps://")));
    }
    let is_of_mqtt = matches!(args.scenario, Some(Scenario::Connections | Scenario::Retained | Scenario::Routing));
    if by_amqp && (is_of_mqtt || args.load.has_filters()) {
        return Err(Failure::Usage("connections, retained, routing and --filters are for mqtt://".to_owned()));
    }
    let has_pairs = matches!(args.scenario, Some(Scenario::P2p | Scenario::Durable));
    if args.node.is_some() && !(by_amqp && has_pairs) {
        return Err(Failure::Usage("--node is for p2p and durable over amqp://".to_owned()));
    }
    Ok(())
}

/// Subscribers listen while publishers publish.
fn live<S, P>(
    run: &Arc<Run>,
    subscriber: impl Fn(u32) -> Result<S, Failure>,
    publisher: impl Fn(u32) -> Result<P, Failure>,
) -> Result<Report, Failure>
where
    S: FnOnce() -> Result<Heard, Failure> + Send + 'static,
    P: FnOnce() -> Result<(), Failure> + Send + 'static,
{
    let subscribers = start("subscriber", run.plan.subscribers, subscriber)?;
    let publishers = (0..run.plan.publishers).map(publisher).collect::<Result<Vec<_>, _>>()?;
    let begun = run.micros();
    let publishers = spawn("publisher", publishers)?;
    let sent = publishers.into_iter().map(join).collect::<Result<Vec<_>, _>>();
    let published = run.micros() - begun;
    if sent.is_ok() {
        wait_for_copies(run);
    }
    run.stop.store(true, Ordering::Relaxed);
    let heard = subscribers.into_iter().map(join).collect::<Result<Vec<_>, _>>();
    sent?;
    Ok(Report::new(run, begun, published, heard?))
}

/// Publishers set values; then subscribers come and are sent all of them. The values are deleted in the end.
fn retained(run: &Arc<Run>) -> Result<Report, Failure> {
    let begun = run.micros();
    let publishers = start("publisher", run.plan.publishers, |number| publisher::open(run, number))?;
    publishers.into_iter().map(join).collect::<Result<Vec<_>, _>>()?;
    let published = run.micros() - begun;
    let subscribers = start("subscriber", run.plan.subscribers, |number| subscriber::open(run, number))?;
    wait_for_copies(run);
    run.stop.store(true, Ordering::Relaxed);
    let heard = subscribers.into_iter().map(join).collect::<Result<Vec<_>, _>>()?;
    publisher::forget(run)?;
    Ok(Report::new(run, begun, published, heard))
}

/// Makes so many connections, then lets each run on a thread of its own.
fn start<T: Send + 'static, W: FnOnce() -> Result<T, Failure> + Send + 'static>(
    name: &str,
    many: u32,
    open: impl Fn(u32) -> Result<W, Failure>,
) -> Result<Vec<JoinHandle<Result<T, Failure>>>, Failure> {
    let work = (0..many).map(open).collect::<Result<Vec<_>, _>>()?;
    spawn(name, work)
}

/// Lets each run on a thread of its own.
fn spawn<T: Send + 'static, W: FnOnce() -> Result<T, Failure> + Send + 'static>(
    name: &str,
    work: Vec<W>,
) -> Result<Vec<JoinHandle<Result<T, Failure>>>, Failure> {
    let spawn = |work| std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(Failure::failed);
    work.into_iter().map(spawn).collect()
}

fn join<T>(thread: JoinHandle<Result<T, Failure>>) -> Result<T, Failure> {
    thread.join().unwrap_or_else(|_| Err(Failure::Failed("a thread of the bench panicked".to_owned())))
}

/// Until all copies are there, or none came for a while.
fn wait_for_copies(run: &Run) {
    let expected = run.plan.expected(run.sent.load(Ordering::Relaxed));
    let (mut seen, mut since) = (0, Instant::now());
    while seen < expected && since.elapsed() < PATIENCE {
        sleep(LOOK);
        let now = run.received.load(Ordering::Relaxed);
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
}

/// Microseconds, up to an hour, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("these bounds are in order")
}
