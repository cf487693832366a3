//! Guests that behave badly in every way that there is, on a running broker with durable traffic and access rules beside them:
//! nothing acknowledged is lost, nobody gets what it may not have, and the others are served.
//!
//! `PLIANT_TEST_LONG=1` takes all of them, with enough messages to tell what the others notice, and prints it.

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

/// The longest that calls of the guest took, with p50 and failures, for people.
fn held(admin: &Admin) -> String {
    let info = admin.get("/api/v1/modules/hostile").expect(200).json();
    let one = |figures: &serde_json::Value| {
        let milliseconds = |key: &str| figures[key].as_f64().unwrap_or_default() / 1_000.0;
        let hook = figures["hook"].as_str().unwrap_or_default().split('.').next().unwrap_or_default().to_owned();
        let (p50, p99) = (milliseconds("p50_microseconds"), milliseconds("p99_microseconds"));
        format!("{hook} {}/{} failed, {p50:.1}/{p99:.1} ms", figures["failures"], figures["calls"])
    };
    info["figures"].as_array().into_iter().flatten().map(one).collect::<Vec<_>>().join("; ")
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
    let (modes, count) = if long() { ([&MODES[..], &MORE[..]].concat(), 1_000) } else { (MODES.into(), 6) };
    let mut worst = 0.0_f64;
    for (mode, topic) in modes {
        // The same client sends as much without the guest: what it costs the others is not the guest's doing.
        let (mut before, _) = beside(&mut client, at, "calm", "before", count);
        deploy(&admin, mode, topic);
        let (mut during, attacks) = beside(&mut client, at, "bad", mode, count);
        for (stem, count) in [("before", count), (mode, count)] {
            (0..count).for_each(|number| drop(watcher.expect("good/x", &format!("{stem} {number}"), 1)));
        }
        let (quiet, loud) = (p99(&mut before), p99(&mut during));
        let ratio = loud.as_secs_f64() / quiet.as_secs_f64();
        worst = worst.max(ratio);
        println!("{mode}: others' p99 {quiet:.1?} before, {loud:.1?} beside {attacks} attacks; {}", held(&admin));
        admin.delete("/api/v1/modules/hostile").expect(200);
    }
    println!("greatest ratio {worst:.1}");
    watcher.expect_nothing();
    client.expect_nothing();
}
