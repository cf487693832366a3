//! Instructions that a message costs between the bytes of its PUBLISH and the bytes of its copies, counted by valgrind's
//! callgrind: the same on a busy machine and on a quiet one, so that a loss on the busy path shows.
//!
//! ```text
//! cargo bench --bench instructions               compares with benches/instructions.baseline, fails above 5 % more
//! cargo bench --bench instructions -- --write    writes the baseline anew
//! ```

use host::broker::{Broker, Limits, Link, Outlet, Restored, Worker};
use host::client::{Client, Protocol, Scope};
use host::dialogue::{Attached, Closed, Event, Outgoing, Routed};
use host::message::{Guarantee, Time};
use host::metrics::Metrics;
use host::mqtt::{Action, Inbound, Limits as MqttLimits, Outbound, Step};
use host::store::{Durability, Store};
use host::wasm::{Clock, Kept, Modules};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

/// More than this is a loss: per cent above the baseline.
const LOSS_MAX: f64 = 5.0;
/// What is counted is the difference of two runs, so that start and end cost nothing. Both are past the warm-up.
const MESSAGES: [u64; 2] = [2_000, 6_000];
const NOW: Time = Time(1);

/// Name, QoS, subscribers, other subscriptions in the trie, payload bytes.
const SCENARIOS: [(&str, u8, usize, usize, usize); 4] = [
    ("publish QoS 0 64 B", 0, 1, 0, 64),
    ("publish QoS 1 256 B", 1, 1, 0, 256),
    ("publish QoS 0 64 B to 100", 0, 100, 0, 64),
    ("publish QoS 0 64 B past 10,000 filters", 0, 1, 10_000, 64),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [scenario, messages] = &arguments[..]
        && let (Ok(scenario), Ok(messages)) = (scenario.parse(), messages.parse())
    {
        play(scenario, messages);
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("valgrind is not installed: no instructions are counted");
        return if std::env::var_os("CI").is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.baseline");
    let counted: Vec<f64> = (0..SCENARIOS.len()).map(count).collect();
    if arguments.iter().any(|argument| argument == "--write") {
        let mut text = String::new();
        for (scenario, count) in SCENARIOS.iter().zip(&counted) {
            let _ = writeln!(text, "{}\t{count:.0}", scenario.0);
        }
        std::fs::write(&file, text).expect("the baseline can be written");
    }
    compare(&std::fs::read_to_string(&file).unwrap_or_default(), &counted)
}

fn compare(baseline: &str, counted: &[f64]) -> ExitCode {
    let mut lost = false;
    for (scenario, count) in SCENARIOS.iter().zip(counted) {
        let before = baseline.lines().filter_map(|line| line.split_once('\t')).find(|line| line.0 == scenario.0);
        let Some(before) = before.and_then(|line| line.1.parse::<f64>().ok()) else {
            println!("{:<40} {count:>8.0} instructions a message, no baseline: -- --write makes it", scenario.0);
            lost = true;
            continue;
        };
        let change = (count / before - 1.0) * 100.0;
        lost |= change > LOSS_MAX;
        let verdict = if change > LOSS_MAX { ": a loss" } else { "" };
        println!("{:<40} {count:>8.0} instructions a message, {change:+.1} %{verdict}", scenario.0);
    }
    if lost { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Instructions a message of one scenario.
fn count(scenario: usize) -> f64 {
    let [few, many] = MESSAGES.map(|messages| {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(std::env::current_exe().expect("this program has a path"))
            .args([scenario.to_string(), messages.to_string()])
            .output()
            .expect("valgrind runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let collected = said.lines().find_map(|line| line.split_once("Collected : "));
        let count = collected.and_then(|(_, count)| count.trim().parse::<u64>().ok());
        count.unwrap_or_else(|| panic!("callgrind counted nothing: {said}"))
    });
    (many as f64 - few as f64) / (MESSAGES[1] - MESSAGES[0]) as f64
}

struct Nowhere;

impl Outlet for Nowhere {
    fn flush(&self, _now: Time) {}
    fn wake(&self) {}
    fn close(&self, _why: Closed) {}
}

/// A connection without a socket.
struct Player {
    inbound: Inbound,
    outbound: Outbound,
    link: Link,
    sent: Vec<u8>,
}

impl Player {
    fn new(broker: &Broker, worker: &mut Worker, id: &str) -> Self {
        let limits = Arc::new(MqttLimits::default());
        let mut inbound = Inbound::new(limits, "mqtt".into(), "127.0.0.1:1".into(), NOW);
        let scope = Arc::new(Scope { listener: "mqtt".into(), protocol: Protocol::Mqtt, identity: None });
        let link = Link::new(Arc::new(Nowhere), scope.clone());
        let mut connect = b"\x10\0\0\x04MQTT\x04\x02\0\x3C\0".to_vec();
        connect.push(id.len() as u8);
        connect.extend_from_slice(id.as_bytes());
        connect[1] = (connect.len() - 2) as u8;
        let outbound = inbound.outbound();
        let mut player = Self { inbound, outbound, link, sent: Vec::with_capacity(64 * 1024) };
        player.receive(broker, worker, &connect);
        player.outbound = player.inbound.outbound();
        let client = Arc::new(Client { id: id.into(), container: None, scope, peer: "127.0.0.1:1".into() });
        let attached = Attached { client, resumed: false, assigned: false, expiry_seconds: 0, proof: None };
        player.event(&Event::Attached(attached));
        player
    }

    fn receive(&mut self, broker: &Broker, worker: &mut Worker, packet: &[u8]) {
        match self.inbound.receive(NOW, packet) {
            Ok(Step::Packet { action: Action::Request(request), .. }) => {
                broker.handle(worker, &mut self.link, NOW, request)
            }
            other => panic!("not asked of the hall: {other:?}"),
        };
    }

    fn event(&mut self, event: &Event) {
        self.sent.clear();
        let _ = self.outbound.event(event, &mut self.sent);
    }

    /// Encodes what waits; settles it if it has to be. Returns how many copies that were.
    fn drain(&mut self, broker: &Broker, worker: &mut Worker, qos: u8) -> usize {
        self.sent.clear();
        let mut handles = Vec::new();
        let (outbound, sent) = (&mut self.outbound, &mut self.sent);
        let attachment = self.link.attachment().expect("it is attached");
        let mut copies = 0;
        broker.drain(attachment, NOW, &mut |outgoing| {
            if qos > 0
                && let Outgoing::Deliver(delivery) = &outgoing
            {
                handles.push(delivery.handle);
            }
            copies += 1;
            assert_eq!(outbound.deliver(NOW, &outgoing, sent), host::mqtt::Written::Whole);
            true
        });
        for handle in handles {
            let [high, low] = handle.to_be_bytes();
            self.receive(broker, worker, &[0x40, 2, high, low]);
        }
        copies
    }
}

/// None are in place: callgrind would spend its minutes in their compiler. A message on a topic seen before calls none of the
/// bundled ones anyway; `benches/guest_call.rs` has what a call costs.
fn modules(store: &Store, metrics: &Arc<Metrics>) -> Arc<Modules> {
    let clock: Clock = Arc::new(|| NOW);
    let opened =
        Modules::open(Default::default(), store.clone(), Kept::default(), &[], Vec::new(), metrics.clone(), clock);
    Arc::new(opened.expect("no modules fail"))
}

/// Publishes so many messages; what happens before the first is the same for any number.
fn play(scenario: usize, messages: u64) {
    let (_, qos, subscribers, others, payload) = SCENARIOS[scenario];
    let metrics = Arc::new(Metrics::default());
    let (store, _) = Store::in_memory(&Default::default(), Durability::Relaxed, metrics.clone());
    let modules = modules(&store, &metrics);
    let broker = Broker::open(Limits::default(), store, Restored::default(), modules, metrics, NOW);
    let mut worker = broker.worker();
    let subscribe = |player: &mut Player, filter: &str, worker: &mut Worker| {
        let mut packet = vec![0x82, (filter.len() + 5) as u8, 0, 1, 0, filter.len() as u8];
        packet.extend_from_slice(filter.as_bytes());
        packet.push(qos);
        player.receive(&broker, worker, &packet);
    };
    let mut players: Vec<Player> = (0..subscribers)
        .map(|at| {
            let mut player = Player::new(&broker, &mut worker, &format!("subscriber-{at}"));
            subscribe(&mut player, "home/+/temperature", &mut worker);
            player
        })
        .collect();
    let mut idle = Player::new(&broker, &mut worker, "idle");
    for at in 0..others {
        subscribe(&mut idle, &format!("site/{}/room/{at}/#", at % 100), &mut worker);
    }
    let mut publisher = Player::new(&broker, &mut worker, "publisher");
    let topic = b"home/kitchen/temperature";
    let mut body = vec![0, topic.len() as u8];
    body.extend_from_slice(topic);
    if qos > 0 {
        body.extend_from_slice(&[0, 7]);
    }
    body.resize(body.len() + payload, 7);
    let mut packet = vec![0x30 | qos << 1];
    match body.len() {
        length @ 0..128 => packet.push(length as u8),
        length => packet.extend_from_slice(&[(length % 128) as u8 | 0x80, (length / 128) as u8]),
    }
    packet.extend_from_slice(&body);
    let guarantee = if qos == 0 { Guarantee::AtMostOnce } else { Guarantee::AtLeastOnce };
    let answer = Event::Published { handle: 7, guarantee, outcome: Ok(Routed::Matched) };
    let mut copies = 0;
    for _ in 0..messages {
        publisher.receive(&broker, &mut worker, &packet);
        worker.flush(&broker, NOW);
        if qos > 0 {
            publisher.event(&answer); // gives the place in its quota back
        }
        for player in &mut players {
            copies += player.drain(&broker, &mut worker, qos);
        }
    }
    assert_eq!(copies as u64, messages * subscribers as u64, "every copy arrives");
}
