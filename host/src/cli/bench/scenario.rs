//! What is played: a scenario's figures, each of which an option may change.

use clap::{Args, ValueEnum};
use mqttbytes::QoS;

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
    /// Clients come one after the other and stay; their number is that of the publishers
    Connections,
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
    /// Payload, in bytes; its first 20 carry what is measured
    #[arg(long, value_name = "BYTES", default_value_t = 256, value_parser = clap::value_parser!(u32).range(20..=16_777_216))]
    size: u32,
    /// Messages of each publisher [default: 100000, or the scenario's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
    /// Messages a second of each publisher; otherwise as fast as they are taken
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// Topics that each publisher uses in turn
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    topics: Option<u32>,
    /// Filters that somebody else subscribes to and that match nothing
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    filters: Option<u32>,
    /// Publications that may be unacknowledged at the same time (QoS 1 and 2)
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
}

impl LoadArgs {
    /// Whether somebody else is to subscribe, too.
    pub fn has_filters(&self) -> bool {
        self.filters.is_some_and(|filters| filters > 0)
    }
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
    pub qos: QoS,
    pub size: u32,
    pub messages: u64,
    pub rate: Option<u64>,
    /// Topics of each publisher.
    pub topics: u64,
    pub filters: u32,
    pub window: u16,
}

impl Plan {
    pub fn new(scenario: Option<Scenario>, args: &LoadArgs) -> Self {
        use Scenario::{Connections, Durable, FanIn, FanOut, Modules, P2p, Retained, Routing, Shared};
        let (publishers, subscribers, messages) = match scenario {
            None => (1, 1, 100_000),
            Some(P2p | Routing | Durable | Modules) => (10, 10, 100_000),
            Some(FanIn) => (100, 1, 10_000),
            Some(FanOut) => (1, 1_000, 1_000),
            Some(Shared) => (10, 8, 100_000),
            Some(Retained) => (1, 1, 100_000),
            Some(Connections) => (1_000, 0, 1),
        };
        let pairs = matches!(scenario, Some(P2p | Routing | Durable | Modules));
        let publishers = args.publishers.unwrap_or(publishers);
        let messages = args.messages.unwrap_or(messages);
        let own_topics = matches!(scenario, Some(Modules | Retained));
        Self {
            publishers,
            subscribers: if pairs { publishers } else { args.subscribers.unwrap_or(subscribers) },
            pairs,
            shared: args.shared || scenario == Some(Shared),
            durable: scenario == Some(Durable),
            retain: scenario == Some(Retained),
            qos: match args.qos {
                0 => QoS::AtMostOnce,
                1 => QoS::AtLeastOnce,
                _ => QoS::ExactlyOnce,
            },
            size: args.size,
            messages,
            rate: args.rate,
            topics: if own_topics { messages } else { args.topics.unwrap_or(1).into() },
            filters: args.filters.unwrap_or(if scenario == Some(Routing) { 1_000 } else { 0 }),
            window: args.window,
        }
    }

    /// Copies that arrive if none is lost.
    pub fn expected(&self, sent: u64) -> u64 {
        match (self.subscribers, self.shared || self.pairs) {
            (0, _) => 0,
            (_, true) => sent,
            (many, false) => sent * u64::from(many),
        }
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
    }
}
