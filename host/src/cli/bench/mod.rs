//! `pliant bench`: publishers and subscribers against a running broker, counted and timed.

mod connection;
mod publisher;
mod report;
mod subscriber;

use super::connect::ConnectArgs;
use super::progress::Progress;
use super::{Failure, Outcome, output};
use clap::Args;
use connection::Connection;
use hdrhistogram::Histogram;
use mqttbytes::QoS;
use report::Report;
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
    /// Connections that publish
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    publishers: u32,
    /// Connections that subscribe, each to all topics of the run; 0: nobody listens
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=1000))]
    subscribers: u32,
    /// Subscribers share one subscription, so that each message goes to one of them
    #[arg(long)]
    shared: bool,
    /// Quality of service of publications and subscriptions
    #[arg(long, short, value_name = "0|1|2", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// Payload, in bytes; its first 20 carry what is measured
    #[arg(long, value_name = "BYTES", default_value_t = 256, value_parser = clap::value_parser!(u32).range(20..=16_777_216))]
    size: u32,
    /// Messages of each publisher
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    messages: u64,
    /// Messages a second of each publisher; otherwise as fast as they are taken
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// Topics that each publisher uses in turn
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    topics: u32,
    /// Publications that may be unacknowledged at the same time (QoS 1 and 2)
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

impl BenchArgs {
    fn qos(&self) -> QoS {
        match self.qos {
            0 => QoS::AtMostOnce,
            1 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        }
    }

    /// Copies that arrive if none is lost.
    fn expected(&self, sent: u64) -> u64 {
        match (self.subscribers, self.shared) {
            (0, _) => 0,
            (_, true) => sent,
            (many, false) => sent * u64::from(many),
        }
    }
}

/// What all threads of one run share.
struct Run {
    args: BenchArgs,
    /// First level of all topics, so that runs do not hear each other.
    root: String,
    begun: Instant,
    sent: AtomicU64,
    received: AtomicU64,
    stop: AtomicBool,
}

impl Run {
    fn connect(&self, role: &str, number: u32) -> Result<Connection, Failure> {
        let options = self.args.connect.options()?;
        let id = format!("{}-{role}-{number}", self.root.replace('/', "-"));
        let login = options.credentials().map(|login| (login.username, login.password));
        Connection::open(&options.broker_address(), id, login)
    }

    fn micros(&self) -> u64 {
        self.begun.elapsed().as_micros() as u64
    }
}

pub(crate) fn run(args: &BenchArgs) -> Outcome {
    if !args.connect.url().starts_with("mqtt://") {
        return Err(Failure::Usage(format!("--url {}: the bench speaks mqtt:// only", args.connect.url())));
    }
    let run = Arc::new(Run {
        args: args.clone(),
        root: format!("bench/{:08x}", rand::random::<u32>()),
        begun: Instant::now(),
        sent: AtomicU64::new(0),
        received: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    });
    let subscribers = start("subscriber", args.subscribers, |number| subscriber::open(&run, number))?;
    let publishers = start("publisher", args.publishers, |number| publisher::open(&run, number))?;
    let watched = run.clone();
    let progress = Progress::telling(move || {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        format!("{} sent, {} received", count(&watched.sent), count(&watched.received))
    });
    let begun = run.micros();
    let sent = publishers.into_iter().map(join).collect::<Result<Vec<_>, _>>();
    let published = run.micros() - begun;
    if sent.is_ok() {
        wait_for_copies(&run);
    }
    run.stop.store(true, Ordering::Relaxed);
    let heard = subscribers.into_iter().map(join).collect::<Result<Vec<_>, _>>();
    drop(progress);
    sent?;
    let report = Report::new(&run, begun, published, heard?);
    if args.json { output::json(&report) } else { report.print() }
}

/// Makes so many connections, then lets each run on a thread of its own.
fn start<T: Send + 'static, W: FnOnce() -> Result<T, Failure> + Send + 'static>(
    name: &str,
    many: u32,
    open: impl Fn(u32) -> Result<W, Failure>,
) -> Result<Vec<JoinHandle<Result<T, Failure>>>, Failure> {
    let work = (0..many).map(open).collect::<Result<Vec<_>, _>>()?;
    let spawn = |work| std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(Failure::failed);
    work.into_iter().map(spawn).collect()
}

fn join<T>(thread: JoinHandle<Result<T, Failure>>) -> Result<T, Failure> {
    thread.join().unwrap_or_else(|_| Err(Failure::Failed("a thread of the bench panicked".to_owned())))
}

/// Until all copies are there, or none came for a while.
fn wait_for_copies(run: &Run) {
    let expected = run.args.expected(run.sent.load(Ordering::Relaxed));
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
