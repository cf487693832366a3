//! What is played: a scenario's figures, each of which an option may change.

use clap::{Args, ValueEnum};
use mqttbytes::QoS;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Scenario {
    /// Each publisher has a subscriber of its own
    P2p,
    /// 100 publishers, one subscriber to all of them
    FanIn,
    /// One publisher, 1,000 subscribers
    FanOut,
    /// p2p beside 1,000 filters of somebody else
    Routing,
    /// Eight subscribers share what ten publishers send
    Shared,
    /// p2p to sessions that outlive their connections: each message is on the disk before it is acknowledged
    Durable,
    /// p2p with a new topic for each message, so that modules are asked about each
    Modules,
    /// Values are kept for as many topics as there are messages; then a subscriber comes for all of them
    Retained,
    /// What is published for sessions that are away is kept; then their clients come for it
    Offline,
    /// Clients come one after the other and stay; their number is that of the publishers
    Connections,
    /// Clients come and go, one after the other; their number is that of the publishers
    Storm,
}

impl Scenario {
    /// Whether subscribers listen while publishers publish, for as long as they are let.
    pub fn is_live(self) -> bool {
        !matches!(self, Self::Retained | Self::Offline | Self::Connections | Self::Storm)
    }
}

/// Options of the load; each has a default that follows from the scenario.
#[derive(Debug, Clone, Args)]
pub(super) struct LoadArgs {
    /// Connections that publish [default: 1, or the scenario's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    publishers: Option<u32>,
    /// Connections that subscribe, each to all topics of the run; 0: nobody listens [default: 1, or the scenario's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=20_000))]
    subscribers: Option<u32>,
    /// Subscribers share one subscription, so that each message goes to one of them
    #[arg(long)]
    shared: bool,
    /// Quality of service of publications and subscriptions
    #[arg(long, short, value_name = "0|1|2", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// Quality of service of subscriptions, if it is another one
    #[arg(long, value_name = "0|1|2", value_parser = clap::value_parser!(u8).range(0..=2))]
    subscribe_qos: Option<u8>,
    /// Payload, in bytes; its first 20 carry what is measured
    #[arg(long, value_name = "BYTES", default_value_t = 256, value_parser = clap::value_parser!(u32).range(20..=16_777_216))]
    size: u32,
    /// Messages of each publisher [default: 100000, or the scenario's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
    /// Publish for so long, in place of so many messages; only this time is measured
    #[arg(long, value_name = "SECONDS", conflicts_with = "messages", value_parser = seconds)]
    seconds: Option<Duration>,
    /// Publish for so long before --seconds begin
    #[arg(long, value_name = "SECONDS", requires = "seconds", conflicts_with = "messages", default_value = "0", value_parser = seconds)]
    warm_up: Duration,
    /// Messages a second of each publisher; otherwise as fast as they are taken
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// Topics that each publisher uses in turn
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    topics: Option<u32>,
    /// Filters that somebody else subscribes to and that match nothing
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    filters: Option<u32>,
    /// Publications of one publisher that may be unacknowledged at the same time (QoS 1 and 2)
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
    /// The window holds until the copies have arrived, too, and for QoS 0 as well: nothing gathers in the broker
    #[arg(long)]
    await_copies: bool,
}

impl LoadArgs {
    /// Whether it asks for what only MQTT has here.
    pub fn is_of_mqtt(&self) -> bool {
        self.await_copies || self.filters.is_some_and(|filters| filters > 0)
    }

    /// Whether it goes by time.
    pub fn is_timed(&self) -> bool {
        self.seconds.is_some()
    }
}

/// Reads a time in seconds, which may have a point.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text} is no number of seconds"))?;
    let bounded = Duration::try_from_secs_f64(seconds).ok().filter(|time| *time <= SECONDS_MAX);
    bounded.ok_or_else(|| format!("expected 0 to {} seconds", SECONDS_MAX.as_secs()))
}

/// Longest time that is measured.
const SECONDS_MAX: Duration = Duration::from_secs(86_400);

/// Topics of a publisher that takes a new one for each message and goes by time.
const TOPICS_OF_TIME: u64 = 1 << 32;

/// How long is played.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timed {
    pub warm_up: Duration,
    pub measured: Duration,
}

/// What is played, settled.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub publishers: u32,
    pub subscribers: u32,
    /// Subscriber n hears publisher n and nobody else.
    pub pairs: bool,
    pub shared: bool,
    pub durable: bool,
    pub retain: bool,
    /// Clients that do nothing else go at once.
    pub leaves: bool,
    pub qos: QoS,
    pub subscribe_qos: QoS,
    pub size: u32,
    /// Messages of each publisher, if it does not go by time.
    pub messages: u64,
    pub timed: Option<Timed>,
    pub rate: Option<u64>,
    /// Topics of each publisher.
    pub topics: u64,
    pub filters: u32,
    pub window: u16,
    pub await_copies: bool,
}

impl Plan {
    pub fn new(scenario: Option<Scenario>, args: &LoadArgs) -> Self {
        use Scenario::{Connections, Durable, FanIn, FanOut, Modules, Offline, P2p, Retained, Routing, Shared, Storm};
        let (publishers, subscribers, messages) = match scenario {
            None => (1, 1, 100_000),
            Some(P2p | Routing | Durable | Modules) => (10, 10, 100_000),
            Some(FanIn) => (100, 1, 10_000),
            Some(FanOut) => (1, 1_000, 1_000),
            Some(Shared) => (10, 8, 100_000),
            Some(Retained | Offline) => (1, 1, 100_000),
            Some(Connections | Storm) => (1_000, 0, 1),
        };
        let pairs = matches!(scenario, Some(P2p | Routing | Durable | Modules));
        let publishers = args.publishers.unwrap_or(publishers);
        let timed = args.seconds.map(|measured| Timed { warm_up: args.warm_up, measured });
        let messages = if timed.is_some() { u64::MAX } else { args.messages.unwrap_or(messages) };
        let own_topics = matches!(scenario, Some(Modules | Retained));
        let subscribers = if pairs { publishers } else { args.subscribers.unwrap_or(subscribers) };
        let is_live = scenario.is_none_or(Scenario::is_live);
        Self {
            publishers,
            subscribers,
            pairs,
            shared: args.shared || scenario == Some(Shared),
            durable: matches!(scenario, Some(Durable | Offline)),
            retain: scenario == Some(Retained),
            leaves: scenario == Some(Storm),
            qos: level(args.qos),
            subscribe_qos: level(args.subscribe_qos.unwrap_or(args.qos)),
            size: args.size,
            messages,
            timed,
            rate: args.rate,
            topics: if own_topics { messages.min(TOPICS_OF_TIME) } else { args.topics.unwrap_or(1).into() },
            filters: args.filters.unwrap_or(if scenario == Some(Routing) { 1_000 } else { 0 }),
            window: args.window,
            await_copies: args.await_copies && is_live && subscribers > 0,
        }
    }

    /// Copies that arrive if none is lost.
    pub fn expected(&self, sent: u64) -> u64 {
        match (self.subscribers, self.shared || self.pairs) {
            (0, _) => 0,
            (_, true) => sent,
            (many, false) => sent.saturating_mul(many.into()),
        }
    }
}

/// From 0, 1 or 2; the argument parser lets nothing else through.
fn level(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        load: LoadArgs,
    }

    #[test]
    fn options_change_a_scenario_and_copies_follow_from_it() {
        let plan = |scenario, line: &[&str]| {
            let line = Line::try_parse_from([&["bench"], line].concat()).map_err(|error| error.to_string());
            Plan::new(scenario, &line.unwrap().load)
        };
        let plain = plan(None, &["--subscribers", "3"]);
        assert_eq!((plain.publishers, plain.topics, plain.expected(10)), (1, 1, 30));
        let pairs = plan(Some(Scenario::Durable), &["--publishers", "4"]);
        assert_eq!((pairs.subscribers, pairs.durable, pairs.expected(10)), (4, true, 10));
        let shared = plan(Some(Scenario::Shared), &[]);
        assert_eq!((shared.subscribers, shared.expected(10)), (8, 10));
        assert_eq!(plan(Some(Scenario::Routing), &["--filters", "7"]).filters, 7);
        assert_eq!(plan(Some(Scenario::Modules), &["--messages", "9"]).topics, 9);
        let timed = plan(Some(Scenario::FanOut), &["--seconds", "0.5", "--await-copies", "--qos", "2"]);
        assert_eq!(timed.timed.map(|timed| timed.measured), Some(Duration::from_millis(500)));
        assert!(timed.await_copies && timed.subscribe_qos == QoS::ExactlyOnce);
        let retained = plan(Some(Scenario::Retained), &["--await-copies", "--subscribe-qos", "0"]);
        assert!(!retained.await_copies, "nobody hears what is published");
        assert!(retained.qos == QoS::AtLeastOnce && retained.subscribe_qos == QoS::AtMostOnce);
    }

    #[test]
    fn a_time_is_a_number_of_seconds() {
        for (text, expected) in [("0", Some(0)), ("0.25", Some(250)), ("86400", Some(86_400_000))] {
            assert_eq!(seconds(text).ok(), expected.map(Duration::from_millis), "{text}");
        }
        for text in ["", "x", "-1", "NaN", "inf", "86401", "1e300"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
