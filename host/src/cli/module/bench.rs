//! `pliant module bench`: how long a module's hooks take, without a broker.

use super::document;
use super::limits::LimitArgs;
use crate::cli::progress::Progress;
use crate::cli::trial::Trial;
use crate::cli::{Failure, Outcome, output, plain};
use crate::client::{Client, Departure, Protocol, Scope};
use crate::message::{Envelope, Guarantee, Message, Will};
use crate::sections::{Body, Sections};
use crate::topic::{self, Topic};
use crate::wasm::{self, Action, Chain, Guests, HookFigures, LogLevel};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Payloads that hooks about messages are asked about.
const PAYLOADS: [usize; 2] = [256, 64 << 10];

/// What is never called: it is about time, servers outside or what others have done.
const UNTIMED: [&str; 4] = ["access.authenticate", "retain-policy.on-subscribe", "events.on-events", "timers.on-tick"];

/// What is called, if the module has it.
const TIMED: [&str; 11] = [
    "topic-mapping.publish-topic",
    "topic-mapping.subscribe-filter",
    "topic-mapping.deliver-name",
    "access.authorize",
    "routing.on-publish",
    "retain-policy.on-publish",
    "delivery.on-deliver",
    "will-handling.on-register",
    "will-handling.on-departure",
    "translation.to-amqp",
    "translation.from-amqp",
];

/// Of these, what a module sees by filters of its own only.
const FILTERED: [&str; 2] = ["routing.on-publish", "delivery.on-deliver"];

#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// The component
    file: PathBuf,
    /// Configuration: a file with a JSON document, or the document itself
    #[arg(long, value_name = "FILE|JSON")]
    config: Option<String>,
    #[command(flatten)]
    limits: LimitArgs,
    /// Topic of the messages
    #[arg(long, default_value = "bench/topic")]
    topic: String,
    /// Calls of each function
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    calls: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &BenchArgs) -> Outcome {
    let file = args.file.display();
    let bytes = std::fs::read(&args.file).map_err(|error| Failure::Failed(format!("cannot read {file}: {error}")))?;
    let config = args.config.as_deref().map(document).transpose()?.unwrap_or_else(|| "{}".to_owned());
    let topic = Topic::new(&args.topic, &topic::Limits::default());
    let topic = topic.map_err(|error| Failure::Usage(format!("--topic: {error}")))?;
    let (mut rows, mut hooks) = (Vec::new(), Vec::new());
    let mut works = false;
    for payload in PAYLOADS {
        let progress = Progress::start("compiling and calling");
        // A failing module is to be timed, too, rather than put into quarantine.
        let trial = Trial::new(wasm::Limits { failures_max: 0, ..args.limits.limits()? })?;
        trial.run("bench", &bytes, config.clone()).map_err(|error| Failure::Failed(format!("{file}: {error}")))?;
        let modules = trial.modules();
        let mut bench = Bench::new(modules.chain(), Guests::new(modules), &topic, payload);
        (0..args.calls).for_each(|_| bench.call());
        let info = modules.show("bench").map_err(Failure::failed)?;
        drop(progress);
        if info.failures > 0 {
            let lines = modules.logs("bench").map_err(Failure::failed)?;
            let last = lines.iter().rev().find(|line| line.level == LogLevel::Error);
            let why = last.map_or("its log does not say why", |line| &line.line);
            eprintln!("{} of {} calls failed, the last: {}", info.failures, info.calls, plain::word(why));
        }
        works |= info.calls > info.failures;
        hooks = info.hooks;
        rows.extend(info.figures.into_iter().map(|figures| (payload, figures)));
    }
    let silent = silent(&hooks, &rows, &topic);
    if rows.is_empty() {
        let why = if silent.is_empty() { "it has no hook".to_owned() } else { silent.join("; ") };
        return Err(Failure::Failed(format!("{file}: nothing was timed: {why}")));
    }
    if !works {
        return Err(Failure::Failed(format!("{file}: nothing was timed: all calls failed")));
    }
    silent.iter().for_each(|why| eprintln!("{why}"));
    if args.json {
        let row = |(payload, figures): &(usize, HookFigures)| json!({ "payload_bytes": payload, "figures": figures });
        return output::json(&rows.iter().map(row).collect::<Vec<_>>());
    }
    let cells: Vec<_> = rows
        .iter()
        .map(|(payload, figures)| {
            let mean = figures.seconds_total * 1e6 / figures.calls.max(1) as f64;
            let time = |microseconds: f64| format!("{microseconds:.2} us");
            [
                figures.hook.to_owned(),
                payload.to_string(),
                figures.calls.to_string(),
                figures.failures.to_string(),
                time(mean),
                time(figures.p50_microseconds),
                time(figures.p99_microseconds),
            ]
        })
        .collect();
    output::table(["HOOK", "PAYLOAD", "CALLS", "FAILURES", "MEAN", "P50", "P99"], &cells)
}

/// What the module has and no figure is about, each with why.
fn silent(hooks: &[&str], rows: &[(usize, HookFigures)], topic: &Topic) -> Vec<String> {
    let is_there = |name: &&str| hooks.iter().any(|hook| name.split('.').next() == Some(*hook));
    let is_timed = |name: &&str| rows.iter().any(|(_, figures)| figures.hook == *name);
    let why = |name: &str| match name {
        name if UNTIMED.contains(&name) => format!("{name} was not called: bench does not time it"),
        name if FILTERED.contains(&name) => {
            format!("{name} was not called: its filters do not match `{topic}`; say --topic")
        }
        name => format!("{name} was not called"),
    };
    TIMED.into_iter().chain(UNTIMED).filter(is_there).filter(|name| !is_timed(name)).map(why).collect()
}

/// All that a module can be asked.
struct Bench {
    chain: std::sync::Arc<Chain>,
    guests: Guests,
    client: Client,
    message: Message,
    /// The same, as it would come by AMQP.
    sections: Sections,
}

impl Bench {
    fn new(chain: std::sync::Arc<Chain>, guests: Guests, topic: &Topic, payload: usize) -> Self {
        let scope = Scope { listener: "mqtt".into(), protocol: Protocol::Mqtt, identity: Some("bench".into()) }.into();
        let client = Client { id: "bench".into(), container: None, scope, peer: "127.0.0.1:1".into() };
        let envelope = Envelope {
            topic: topic.clone(),
            guarantee: Guarantee::AtLeastOnce,
            retain: true,
            expires: None,
            properties: None,
            hops: 0,
        };
        let payload = vec![b'7'; payload];
        let message = Message::new(envelope, 0, &payload);
        let to = Some(topic.to_string());
        let sections = Sections { durable: true, to, body: Body::Data(payload), ..Sections::default() };
        Self { chain, guests, client, message, sections }
    }

    /// Each function once; answers are not looked at, failures stand in the figures.
    fn call(&mut self) {
        let Self { chain, guests, client, message, sections } = self;
        let topic = message.topic().clone();
        let _ = chain.publish_topic(guests, &client.scope, topic.as_str());
        let _ = chain.subscribe_filter(guests, &client.scope, topic.as_str());
        let _ = chain.deliver_name(guests, &client.scope, topic.as_str());
        let _ = chain.authorize(guests, client, Action::Publish, topic.as_str());
        let _ = chain.route(guests, client, message.clone());
        let _ = chain.retain(guests, client, message);
        let _ = chain.leaves(guests, client, message, Guarantee::AtLeastOnce, false);
        let will = || Will { message: message.clone(), delay_seconds: 0 };
        let _ = chain.will_registered(guests, client, will());
        let _ = chain.will_due(guests, client, will(), Departure::ConnectionLost);
        let _ = chain.to_amqp(guests, topic.as_str(), message);
        let _ = chain.from_amqp(guests, topic.as_str(), sections);
    }
}
