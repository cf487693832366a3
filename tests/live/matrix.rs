//! Guests that behave badly in every way that there is, on a running broker with durable traffic and access rules beside them:
//! nothing acknowledged is lost, nobody gets what it may not have, and the others are served.
//!
//! `PLIANT_TEST_LONG=1` takes all of them, with enough messages to tell what the others notice, and prints it;
//! `PLIANT_TEST_LONG=dawdles,loops` only these kinds.

use crate::harness::{Admin, Broker, Client, Property, Publish, V5, connect, guests, property};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Mode and the topic of its wishes.
const MODES: [(&str, &str); 15] = [
    ("loops", ""),
    ("recurses", ""),
    ("eats", ""),
    ("traps", ""),
    ("log-storm", ""),
    ("state-fill", ""),
    ("print-storm", ""),
    ("leaks", ""),
    ("bad-text", ""),
    ("many-wishes", ""),
    ("wishes", "secret/wish"),
    ("delivery-loops", ""),
    ("events-loop", ""),
    ("tick-loops", ""),
    ("events-flood", "secret/flood"),
];

/// The rest.
const MORE: [(&str, &str); 27] = [
    // Within its time, on every call.
    ("dawdles", ""),
    ("traps-sometimes", ""),
    ("exits", ""),
    ("sleeps", ""),
    ("spawns", ""),
    ("opens", ""),
    ("connects", ""),
    ("environment", ""),
    ("reads-past", ""),
    ("reads-much", ""),
    ("leaks-bytes", ""),
    ("long-lines", ""),
    ("state-storm", ""),
    ("counter-storm", ""),
    ("metric-storm", ""),
    ("clock-storm", ""),
    ("retained-storm", ""),
    ("long-text", ""),
    ("wild", ""),
    ("empty", ""),
    ("long-topic", ""),
    ("answers-to-wild", ""),
    ("large", ""),
    ("some-wishes", ""),
    // To itself, until the hops are used up.
    ("wishes", "bad/wish"),
    ("ticks-always", "$SYS/forged"),
    ("reserved", ""),
];

/// Topics on which the guest is at its worst.
const TOPICS: u32 = 8;

fn long() -> bool {
    std::env::var_os("PLIANT_TEST_LONG").is_some()
}

/// The kinds to play.
fn kinds() -> Vec<(&'static str, &'static str)> {
    let Ok(named) = std::env::var("PLIANT_TEST_LONG") else { return MODES.into() };
    let all = MODES.into_iter().chain(MORE);
    if named == "1" { all.collect() } else { all.filter(|kind| named.split(',').any(|name| name == kind.0)).collect() }
}

fn deploy(admin: &Admin, mode: &str, topic: &str) {
    let config = json!({ "mode": mode, "topic": topic }).to_string();
    let config: String = config.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let path = format!("/api/v1/modules/hostile?on_failure=refuse&config={config}");
    admin.deploy(&path, &guests::component("hostile")).expect(200);
}

/// Publishes and waits for the copy, so many times; how long each took.
fn exchange(client: &mut Client, stem: &str, count: u32) -> Vec<Duration> {
    let one = |number: u32| {
        let (begun, text) = (Instant::now(), format!("{stem} {number}"));
        assert_eq!(client.publish(&Publish::new("good/x", &text, 1)), 0, "{text}");
        client.expect("good/x", &text, 1);
        begun.elapsed()
    };
    (0..count).map(one).collect()
}

fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[(times.len() * 99).div_ceil(100) - 1]
}

/// Sends to the topics until it is told to stop, at least once to each; the answer may be anything.
fn attack(at: SocketAddr, stem: &str, over: &AtomicBool) -> u32 {
    let mut attacker = connect(V5).at(at).id("attacker").open();
    let mut sent = 0;
    while !over.load(Ordering::Relaxed) || sent < TOPICS {
        attacker.publish(&Publish::new(&format!("{stem}/{}", sent % TOPICS), "x", 1));
        sent += 1;
    }
    sent
}

/// What others notice while somebody sends to these topics.
fn beside(client: &mut Client, at: SocketAddr, stem: &str, mode: &str, count: u32) -> (Vec<Duration>, u32) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let attacking = scope.spawn(|| attack(at, stem, &over));
        let times = exchange(client, mode, count);
        over.store(true, Ordering::Relaxed);
        (times, attacking.join().expect("the broker answers whoever misbehaves"))
    })
}

/// Milliseconds for which calls of the guest held their thread, processors that they waited for included: p50, p99, greatest.
fn held(admin: &Admin) -> (f64, String) {
    let info = admin.get("/api/v1/modules/hostile").expect(200).json();
    let figures = info["figures"].as_array().cloned().unwrap_or_default();
    let milliseconds = |of: &serde_json::Value, key: &str| of[key].as_f64().unwrap_or_default() / 1_000.0;
    let one = |of: &serde_json::Value| {
        let hook = of["hook"].as_str().unwrap_or_default().split('.').next().unwrap_or_default().to_owned();
        let [p50, p99, max] =
            ["p50_microseconds", "p99_microseconds", "max_microseconds"].map(|key| milliseconds(of, key));
        format!("{hook} {}/{} failed, held {p50:.1}/{p99:.1}/{max:.1} ms", of["failures"], of["calls"])
    };
    let longest = figures.iter().map(|of| milliseconds(of, "max_microseconds")).fold(0.0, f64::max);
    (longest, figures.iter().map(one).collect::<Vec<_>>().join("; "))
}

/// How often others are looked at with and without, in turns, and how often they send each time. A guest fails anew on a topic
/// once what it failed on is forgotten, after ten seconds: of several thousand messages that is less than one in a hundred.
fn rounds() -> (u32, u32) {
    if long() { (4, 1_000) } else { (1, 6) }
}

/// What others notice of one kind.
#[derive(Default)]
struct Noticed {
    calm: Vec<Duration>,
    beside: Vec<Duration>,
    /// How far the calm rounds are from each other: what the machine does by itself.
    noise: f64,
    attacks: u32,
}

impl Noticed {
    fn ratio(&mut self) -> f64 {
        p99(&mut self.beside).as_secs_f64() / p99(&mut self.calm).as_secs_f64()
    }
}

/// Looks at them with and without in turns, so that what else the machine does is in both.
fn compare(client: &mut Client, watcher: &mut Client, broker: &Broker, mode: &str) -> Noticed {
    let (admin, at) = (broker.admin(), broker.address());
    let (rounds, count) = rounds();
    let mut noticed = Noticed::default();
    let mut calm = Vec::new();
    for _ in 0..rounds {
        // Hooks beside the way of messages go on by themselves. Otherwise it stays, and is sent what it behaves on.
        let background = mode.starts_with("tick") || mode.starts_with("event");
        let switch = |to: &str| drop(admin.post(&format!("/api/v1/modules/hostile/{to}"), &json!({})).expect(200));
        if background {
            switch("disable");
        }
        let (mut times, _) = beside(client, at, "goodbye", "calm", count);
        if background {
            switch("enable");
        }
        calm.push(p99(&mut times).as_secs_f64());
        noticed.calm.append(&mut times);
        let (mut times, attacks) = beside(client, at, "bad", mode, count);
        noticed.beside.append(&mut times);
        noticed.attacks += attacks;
        for stem in ["calm", mode] {
            (0..count).for_each(|number| drop(watcher.expect("good/x", &format!("{stem} {number}"), 1)));
        }
    }
    noticed.noise = calm.iter().copied().fold(0.0, f64::max) / calm.iter().copied().fold(f64::MAX, f64::min);
    noticed
}

#[test]
fn durable_traffic_goes_on_beside_every_kind() {
    let Some(broker) = Broker::start() else { return };
    let (admin, at) = (broker.admin(), broker.address());
    let rules = json!({ "rules": [
        { "allow": ["publish", "subscribe", "receive"], "topics": ["#"] },
        { "deny": ["receive"], "topics": ["secret/#"] },
    ] });
    admin.put("/api/v1/modules/access-list/config", &rules).expect(200);
    // The one that is there all the time, and the one whose queue has to keep it.
    let all = |id: &str| connect(V5).at(at).id(id).kept().with(Property::Two(property::RECEIVE_MAXIMUM, 1_000));
    let mut watcher = all("watcher").open();
    watcher.subscribe("good/#", 1);
    watcher.subscribe("secret/#", 1);
    let mut client = connect(V5).at(at).id("client").open();
    client.subscribe("good/#", 1);
    let modes = kinds();
    let (kinds, mut over, mut slow, mut noises) = (modes.len(), Vec::new(), Vec::new(), Vec::new());
    for (mode, topic) in modes {
        deploy(&admin, mode, topic);
        let mut noticed = compare(&mut client, &mut watcher, &broker, mode);
        let (ratio, (longest, held)) = (noticed.ratio(), held(&admin));
        println!(
            "{mode}: others' p99 {:.1?} without, {:.1?} beside {} attacks: {ratio:.1}, noise {:.1}; {held}",
            p99(&mut noticed.calm),
            p99(&mut noticed.beside),
            noticed.attacks,
            noticed.noise
        );
        if ratio > 2.0 {
            over.push(format!("{mode} {ratio:.1}"));
        }
        if longest > 10.0 {
            slow.push(format!("{mode} {longest:.1} ms"));
        }
        noises.push(noticed.noise);
        admin.delete("/api/v1/modules/hostile").expect(200);
    }
    noises.sort_by(f64::total_cmp);
    println!("{} of {kinds} kinds more than double others' p99: {over:?}", over.len());
    println!("{} of {kinds} kinds held a thread for more than 10 ms in a call: {slow:?}", slow.len());
    println!("calm rounds of one kind differ by a factor of {:.1} in the median", noises[kinds / 2]);
    watcher.expect_nothing();
    client.expect_nothing();
}
