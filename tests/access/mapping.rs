//! What becomes of subscriptions when names come to mean something else: they are what their clients said, under the mapping that
//! is in force.

use crate::amqp::link::{Terms, source_with};
use crate::amqp::peer::Peer;
use crate::amqp::raw::{ACCEPTED, close, detach, disposition, source};
use crate::harness::property::SUBSCRIPTION_IDENTIFIER;
use crate::harness::{Broker, Property, Subscription, V5, connect};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn start() -> Option<Broker> {
    start_with(|| json!({}))
}

/// A broker whose configuration says this of names.
fn start_with(its: impl Fn() -> Json + Send + Sync + 'static) -> Option<Broker> {
    Broker::start_with(move |config| {
        config.wasm.call_milliseconds_max = 1000;
        let rules = config.modules.iter_mut().find(|module| module.name == "topic-rules").expect("it is bundled");
        (rules.enabled, rules.config) = (true, its());
    })
}

fn map(broker: &Broker, rules: &Json) {
    broker.admin().put("/api/v1/modules/topic-rules/config", rules).expect(200);
}

/// Of clients; what comes over the API says topics as the broker does.
fn mounted(prefix: &str) -> Json {
    json!({ "mounts": [{ "prefix": prefix, "listener": "mqtt" }, { "prefix": prefix, "listener": "amqp" }] })
}

fn mount(broker: &Broker, prefix: &str) {
    map(broker, &mounted(prefix));
}

fn roll_back(broker: &Broker) {
    broker.admin().post("/api/v1/modules/topic-rules/rollback", &json!({})).expect(200);
}

/// To a topic of the broker's.
fn say(broker: &Broker, topic: &str, payload: &str) {
    let message = json!({ "topic": topic, "payload": payload, "qos": 1 });
    broker.admin().post("/api/v1/publish", &message).expect(200);
}

/// The broker's filters, in order.
fn filters(broker: &Broker) -> Vec<String> {
    let items = broker.admin().get("/api/v1/subscriptions").expect(200).json()["items"].clone();
    let items = items.as_array().expect("a list").clone();
    let mut all: Vec<_> = items.iter().map(|item| item["filter"].as_str().expect("a filter").to_owned()).collect();
    all.sort_unstable();
    all
}

/// Waits until these are all that there are.
fn stand(broker: &Broker, expected: &[&str]) {
    let begun = Instant::now();
    loop {
        let found = filters(broker);
        if found == expected {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(50), "{found:?} instead of {expected:?}");
        thread::yield_now();
    }
}

fn figure(broker: &Broker, name: &str) -> String {
    let all = broker.admin().get("/metrics").expect(200);
    let line = all.text().lines().find(|line| line.split(' ').next().is_some_and(|it| it.ends_with(name)));
    line.unwrap_or_else(|| panic!("no {name}")).rsplit(' ').next().expect("a value").to_owned()
}

fn kept(address: &str) -> Terms<'static> {
    Terms { node: Some(source_with(address, 2, "never", None, &[])), ..Terms::default() }
}

fn take(peer: &mut Peer) -> String {
    let got = peer.delivery();
    peer.send(&disposition(true, got.id, got.id, true, ACCEPTED));
    got.text()
}

/// Tenants are kept apart from then on; nothing that is retained comes of it [MQTT-3.3.4-3].
#[test]
fn subscriptions_of_a_live_client_follow_a_mapping() {
    let Some(broker) = start() else { return };
    let mut client = connect(V5).at(broker.address()).open();
    let identifier = Property::Variable(SUBSCRIPTION_IDENTIFIER, 7);
    client.subscribe_with([identifier], &[Subscription::new("#", 1)]);
    say(&broker, "other/a", "before");
    client.expect("other/a", "before", 1);
    let retained = json!({ "topic": "t/old", "payload": "retained", "qos": 1, "retain": true });
    broker.admin().post("/api/v1/publish", &retained).expect(200);
    client.expect("t/old", "retained", 1);
    mount(&broker, "t/");
    stand(&broker, &["t/#"]);
    say(&broker, "other/a", "somebody else's");
    say(&broker, "t/a", "its own");
    let message = client.expect("a", "its own", 1);
    assert_eq!(message.properties.numbers(SUBSCRIPTION_IDENTIFIER), [7]);
    assert_eq!(figure(&broker, "subscriptions_moved_total"), "1");
    client.say("b", "as before", 1);
    client.expect("b", "as before", 1);
}

/// 3.10.4: also where modules go back to what they were. [MQTT-3.8.4-3]: the same filter is the same subscription.
#[test]
fn who_unsubscribes_after_a_change_of_names_is_subscribed_to_nothing() {
    let Some(broker) = start() else { return };
    let mut client = connect(V5).at(broker.address()).open();
    client.subscribe("cmd", 1);
    mount(&broker, "v1/");
    client.subscribe("cmd", 1);
    assert_eq!(filters(&broker), ["v1/cmd"]);
    mount(&broker, "v2/");
    assert_eq!(client.unsubscribe(&["cmd"]), [0]);
    assert_eq!(filters(&broker), [""; 0]);
    roll_back(&broker);
    client.say("cmd", "nobody's", 1);
    client.expect_nothing();
}

#[test]
fn a_kept_session_follows_while_its_client_is_away_and_back_again() {
    let Some(broker) = start() else { return };
    let of = || connect(V5).at(broker.address()).id("dev").kept();
    let mut client = of().open();
    client.subscribe("home/#", 1);
    client.disconnect();
    mount(&broker, "t/");
    stand(&broker, &["t/home/#"]);
    say(&broker, "home/a", "not for it");
    say(&broker, "t/home/a", "one");
    let mut client = of().resume();
    client.expect("home/a", "one", 1);
    client.disconnect();
    roll_back(&broker);
    let mut client = of().resume();
    assert_eq!(filters(&broker), ["home/#"], "whoever is back has its own at once");
    say(&broker, "home/a", "two");
    client.expect("home/a", "two", 1);
    client.disconnect();
    let broker = broker.restart();
    assert_eq!(filters(&broker), ["home/#"]);
}

/// The store has what names meant when the broker ran last.
#[test]
fn kept_sessions_follow_what_was_changed_between_two_runs() {
    let is_mounted = Arc::new(AtomicBool::new(false));
    let now = is_mounted.clone();
    let its = move || if now.load(Ordering::Relaxed) { mounted("t/") } else { json!({}) };
    let Some(broker) = start_with(its) else { return };
    let mut client = connect(V5).at(broker.address()).id("dev").kept().open();
    client.subscribe("home/#", 1);
    client.disconnect();
    is_mounted.store(true, Ordering::Relaxed);
    let broker = broker.restart();
    assert_eq!(filters(&broker), ["t/home/#"]);
    say(&broker, "t/home/a", "one");
    connect(V5).at(broker.address()).id("dev").kept().resume().expect("home/a", "one", 1);
    is_mounted.store(false, Ordering::Relaxed);
    assert_eq!(filters(&broker.restart()), ["home/#"]);
}

#[test]
fn names_that_are_exchanged_keep_their_subscriptions_apart() {
    let Some(broker) = start() else { return };
    let mut client = connect(V5).at(broker.address()).id("dev").kept().open();
    for (number, name) in [(1, "a"), (2, "b")] {
        let identifier = Property::Variable(SUBSCRIPTION_IDENTIFIER, number);
        client.subscribe_with([identifier], &[Subscription::new(name, 1)]);
    }
    let rule = |from: &str, to: &str| json!({ "from": from, "to": to, "listener": "mqtt" });
    map(&broker, &json!({ "rules": [rule("a", "b"), rule("b", "a")] }));
    let begun = Instant::now();
    while figure(&broker, "subscriptions_moved_total") != "2" {
        assert!(begun.elapsed() < Duration::from_secs(50));
    }
    assert_eq!(filters(&broker), ["a", "b"]);
    for (topic, name, number) in [("b", "a", 1), ("a", "b", 2)] {
        say(&broker, topic, name);
        assert_eq!(client.expect(name, name, 1).properties.numbers(SUBSCRIPTION_IDENTIFIER), [number]);
    }
}

/// [MQTT-4.8.2-4]
#[test]
fn a_share_follows_with_all_its_members() {
    let Some(broker) = start() else { return };
    let open = || connect(V5).at(broker.address()).open();
    let mut members = [open(), open()];
    members.iter_mut().for_each(|member| member.subscribe("$share/team/jobs", 1));
    mount(&broker, "t/");
    stand(&broker, &["t/jobs", "t/jobs"]);
    say(&broker, "jobs", "nobody's");
    for number in 0..4 {
        say(&broker, "t/jobs", &number.to_string());
    }
    for member in &mut members {
        let got = [member.take(), member.take()];
        assert!(got.iter().all(|one| one.topic == "jobs"));
        member.expect_nothing();
    }
}

/// MQTT has no word for it; the client stays.
#[test]
fn a_subscription_that_the_mapping_refuses_ends() {
    let Some(broker) = start() else { return };
    let mut client = connect(V5).at(broker.address()).id("dev").kept().open();
    client.subscribe("#", 1);
    mount(&broker, "tenant/{user}/");
    stand(&broker, &[]);
    say(&broker, "tenant/ann/a", "ann's");
    client.expect_nothing();
    assert_eq!(figure(&broker, "subscriptions_ended_total"), "1");
    client.disconnect();
    let broker = broker.restart();
    assert_eq!(filters(&broker), [""; 0], "on disk, too");
}

#[test]
fn receivers_of_amqp_follow_and_go_where_their_address_is_refused() {
    let Some(broker) = start() else { return };
    let mut away = Peer::of(broker.at("amqp"), "away");
    away.receiver("sub", 0, &kept("home/#"));
    away.send(&[detach(0, false), close()].concat());
    away.find(0x18);
    let mut here = Peer::of(broker.at("amqp"), "here");
    here.receiver("in", 0, &Terms { node: Some(source("home/#")), ..Terms::default() });
    mount(&broker, "t/");
    stand(&broker, &["t/home/#", "t/home/#"]);
    say(&broker, "home/a", "nobody's");
    say(&broker, "t/home/a", "one");
    assert_eq!(take(&mut here), "one");
    let mut away = Peer::of(broker.at("amqp"), "away");
    away.receiver("sub", 0, &kept("home/#"));
    assert_eq!(take(&mut away), "one");
    mount(&broker, "tenant/{user}/");
    for peer in [&mut here, &mut away] {
        assert_eq!(peer.refusal(), "amqp:unauthorized-access");
    }
    stand(&broker, &[]);
}

/// Nothing is asked again, and nothing moves.
#[test]
fn a_change_of_another_module_leaves_subscriptions_alone() {
    let Some(broker) = start() else { return };
    let calls = || {
        let all = broker.admin().get("/metrics").expect(200);
        let of_it = |line: &&str| line.contains("module_calls_total") && line.contains("subscribe");
        all.text().lines().filter(of_it).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut client = connect(V5).at(broker.address()).open();
    client.subscribe("a", 1);
    let before = calls();
    assert!(!before.is_empty());
    broker.admin().put("/api/v1/modules/retain-rules/config", &json!({})).expect(200);
    client.say("a", "x", 1);
    client.expect("a", "x", 1);
    assert_eq!(client.unsubscribe(&["b"]), [0x11]);
    let once_more = |line: &String| line.rsplit(' ').next().and_then(|it| it.parse::<u64>().ok()).expect("a count");
    let (before, after): (u64, u64) = (before.iter().map(once_more).sum(), calls().iter().map(once_more).sum());
    assert_eq!(after, before + 1, "about the filter of UNSUBSCRIBE");
    assert_eq!(figure(&broker, "subscriptions_moved_total"), "0");
}
