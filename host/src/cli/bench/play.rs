//! One run of a scenario against one broker: what is asked for, and what all its threads share.

use super::connection::Connection;
use super::copies::Copies;
use super::process::Process;
use super::report::Report;
use super::scenario::{LoadArgs, Plan, Scenario};
use super::{amqp, arrivals, course, publisher, subscriber};
use crate::cli::connect::ConnectArgs;
use crate::cli::progress::Progress;
use crate::cli::{Failure, Outcome};
use clap::Args;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Publisher, number of the message and time at which it left, at the beginning of each payload.
pub(super) const STAMP_BYTES: usize = 20;

#[derive(Debug, Clone, Args)]
pub(super) struct PlayArgs {
    /// What to play; without one a single publisher and a single subscriber
    #[arg(value_enum)]
    scenario: Option<Scenario>,
    #[command(flatten)]
    load: LoadArgs,
    /// AMQP: the node that publisher and subscriber number N of p2p and durable use, with N in place of {}; otherwise topics
    #[arg(long, value_name = "ADDRESS")]
    node: Option<String>,
    /// Process id of the broker, on this machine: its CPU time and memory are part of the result (Linux)
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,
    /// The broker's name in the result
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// What all threads of one run share.
pub(super) struct Run {
    pub plan: Plan,
    pub login: ConnectArgs,
    pub node: Option<String>,
    /// The broker's name, and its process.
    pub name: Option<String>,
    pub process: Option<Process>,
    /// First level of all topics, so that runs do not hear each other.
    pub root: String,
    pub begun: Instant,
    pub sent: AtomicU64,
    pub received: AtomicU64,
    pub copies: Copies,
    /// Whether what arrives now counts for the latency.
    pub is_measured: AtomicBool,
    /// Publishers are to end.
    pub enough: AtomicBool,
    /// Subscribers are to end.
    pub stop: AtomicBool,
}

impl Run {
    fn new(args: &PlayArgs) -> Self {
        let plan = Plan::new(args.scenario, &args.load);
        Self {
            copies: Copies::new(plan.publishers, plan.expected(1)),
            is_measured: AtomicBool::new(plan.timed.is_none()),
            plan,
            login: args.connect.clone(),
            node: args.node.clone(),
            name: args.name.clone(),
            process: args.pid.map(Process),
            root: format!("bench/{:08x}", rand::random::<u32>()),
            begun: Instant::now(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            enough: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        }
    }

    pub fn connect(&self, role: &str, number: u32, clean: bool) -> Result<Connection, Failure> {
        let options = self.login.options()?;
        let id = format!("{}-{role}-{number}", self.root.replace('/', "-"));
        let login = options.credentials().map(|login| (login.username, login.password));
        Connection::open(&options.broker_address(), id, login, clean)
    }

    pub fn micros(&self) -> u64 {
        self.begun.elapsed().as_micros() as u64
    }

    /// The content of a publisher's message.
    pub fn payload(&self, publisher: u32, number: u64) -> Vec<u8> {
        let mut payload = vec![0; self.plan.size as usize];
        payload[..4].copy_from_slice(&publisher.to_be_bytes());
        payload[4..12].copy_from_slice(&number.to_be_bytes());
        payload[12..STAMP_BYTES].copy_from_slice(&self.micros().to_be_bytes());
        payload
    }

    /// Where it goes.
    pub fn topic(&self, publisher: u32, number: u64) -> String {
        format!("{}/{publisher}/{}", self.root, number % self.plan.topics)
    }
}

/// Lets every thread of a run end, however the run ends.
struct Ending(Arc<Run>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.enough.store(true, Ordering::Relaxed);
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// Plays it; what comes back is its result.
pub(super) fn play(args: &PlayArgs) -> Result<Report, Failure> {
    let by_amqp = args.connect.is_amqp();
    check(args, by_amqp)?;
    let run = Arc::new(Run::new(args));
    let _ending = Ending(run.clone());
    let watched = run.clone();
    let _progress = Progress::telling(move || {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        format!("{} sent, {} received", count(&watched.sent), count(&watched.received))
    });
    match args.scenario {
        Some(Scenario::Connections | Scenario::Storm) => arrivals::play(&run),
        Some(Scenario::Retained) => course::retained(&run),
        Some(Scenario::Offline) => course::offline(&run),
        _ if by_amqp => {
            let subscriber = |number| amqp::subscriber(&run, number);
            course::live(&run, subscriber, |number| amqp::publisher(&run, number))
        }
        _ => {
            let _others = subscriber::others(&run)?;
            course::live(&run, |number| subscriber::open(&run, number), |number| publisher::open(&run, number))
        }
    }
}

/// Whether the scenario can be played in this protocol, and in this way.
fn check(args: &PlayArgs, by_amqp: bool) -> Outcome {
    use Scenario::{Connections, Durable, Offline, P2p, Retained, Routing, Storm};
    let url = args.connect.url();
    if !by_amqp && !url.starts_with("mqtt://") {
        return Err(Failure::Usage(format!("--url {url}: the bench speaks mqtt://, amqp:// and amqps://")));
    }
    let is_of_mqtt = matches!(args.scenario, Some(Connections | Offline | Retained | Routing | Storm));
    if by_amqp && (is_of_mqtt || args.load.is_of_mqtt()) {
        let reason = "connections, offline, retained, routing, storm, --filters and --await-copies are for mqtt://";
        return Err(Failure::Usage(reason.to_owned()));
    }
    let has_pairs = matches!(args.scenario, Some(P2p | Durable));
    if args.node.is_some() && !(by_amqp && has_pairs) {
        return Err(Failure::Usage("--node is for p2p and durable over amqp://".to_owned()));
    }
    if args.load.is_timed() && !args.scenario.is_none_or(Scenario::is_live) {
        return Err(Failure::Usage(
            "connections, offline, retained and storm are counted: not by --seconds".to_owned(),
        ));
    }
    Ok(())
}
