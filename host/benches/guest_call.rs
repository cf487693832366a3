//! What a call of a guest costs, as the hall makes it: translated both ways, counted and timed.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use host::client::{Client, Departure, Protocol, Scope};
use host::message::{Envelope, Guarantee, Message, Properties, Time, Will};
use host::metrics::Metrics;
use host::store::{Durability, Store};
use host::topic::{Limits as TopicLimits, Topic};
use host::wasm::{Action, Clock, DeployOptions, Guests, Kept, Modules};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

#[path = "../../tests/harness/guests.rs"]
mod guests;

fn modules(deployed: &[(&str, &str)]) -> Modules {
    let metrics = Arc::new(Metrics::default());
    let (store, _) = Store::in_memory(&Default::default(), Durability::Commit, metrics.clone());
    let clock: Clock = Arc::new(|| Time(0));
    let none = (Kept::default(), &[], Vec::new());
    let modules = Modules::open(Default::default(), store, none.0, none.1, none.2, metrics, clock);
    let modules = modules.expect("no modules, no errors");
    for (number, (guest, config)) in deployed.iter().enumerate() {
        let options = DeployOptions { config: Some((*config).to_owned()), ..DeployOptions::default() };
        modules.deploy(&format!("m{number}"), &guests::component(guest), options).expect("deploys");
    }
    modules
}

fn client() -> Client {
    let scope = Scope { listener: "mqtt".into(), protocol: Protocol::Mqtt, identity: Some("ann".into()) }.into();
    Client { id: "sensor-4711".into(), container: None, scope, peer: "127.0.0.1:50123".into() }
}

fn message(payload: usize) -> Message {
    let topic = Topic::new("plant/7/line/3/temperature", &TopicLimits::default()).expect("a topic");
    let envelope =
        Envelope { topic, guarantee: Guarantee::AtLeastOnce, retain: false, expires: None, properties: None, hops: 0 };
    Message::new(envelope, 1, &vec![b'x'; payload])
}

fn names(criterion: &mut Criterion) {
    let modules = modules(&[("renames", r#"{"prefix": "plant/7/"}"#)]);
    let (chain, mut guests, scope) = (modules.chain(), Guests::new(&modules), client().scope);
    criterion.bench_function("guest/publish_topic", |bencher| {
        bencher.iter(|| chain.publish_topic(&mut guests, &scope, black_box("line/3/temperature")));
    });
    criterion.bench_function("guest/deliver_name", |bencher| {
        bencher.iter(|| chain.deliver_name(&mut guests, &scope, black_box("plant/7/line/3/temperature")));
    });
}

fn routing(criterion: &mut Criterion) {
    let publisher = client();
    for (what, guest, config) in [
        ("keep", "router", "{}"),
        ("readdress", "router", r#"{"verdict": "readdress", "topic": "u"}"#),
        ("read_2_bytes", "router", r#"{"verdict": "first-bytes"}"#),
        ("not_interested", "router", r#"{"filters": ["other/+"]}"#),
    ] {
        let modules = modules(&[(guest, config)]);
        let (chain, mut guests) = (modules.chain(), Guests::new(&modules));
        for payload in [256, 64 << 10] {
            let message = message(payload);
            criterion.bench_function(&format!("guest/route/{what}/{payload}"), |bencher| {
                bencher.iter(|| chain.route(&mut guests, &publisher, black_box(message.clone())));
            });
        }
    }
    let modules = modules(&[("router", "{}")]);
    let (chain, mut guests) = (modules.chain(), Guests::new(&modules));
    let plain = message(256);
    let user = (0..4).map(|n| (format!("name-{n}").into(), "value".into())).collect();
    let properties = Properties { content_type: Some("text/plain".into()), user, ..Properties::default() };
    let envelope = Envelope { properties: Some(Box::new(properties)), ..plain.envelope().clone() };
    let message = Message::new(envelope, 1, plain.payload());
    criterion.bench_function("guest/route/keep_with_properties/256", |bencher| {
        bencher.iter(|| chain.route(&mut guests, &publisher, black_box(message.clone())));
    });
}

fn others(criterion: &mut Criterion) {
    let modules = modules(&[("guards", "{}"), ("answers", r#"{"retention": "leave"}"#), ("remembers", "{}")]);
    let (chain, mut guests, client) = (modules.chain(), Guests::new(&modules), client());
    criterion.bench_function("guest/authorize", |bencher| {
        bencher.iter(|| chain.authorize(&mut guests, &client, Action::Publish, black_box("open/a")));
    });
    let message = message(256);
    criterion.bench_function("guest/retain", |bencher| {
        bencher.iter(|| chain.retain(&mut guests, &client, black_box(&message)));
    });
    criterion.bench_function("guest/will_due", |bencher| {
        let will = Will { message: message.clone(), delay_seconds: 0 };
        bencher.iter(|| chain.will_due(&mut guests, &client, black_box(will.clone()), Departure::ConnectionLost));
    });
    criterion.bench_function("guest/every_import", |bencher| {
        bencher.iter(|| chain.route(&mut guests, &client, black_box(message.clone())));
    });
}

/// A hundred calls of `state` in one of `routing`; `none` is the same without them, to be taken off.
fn state(criterion: &mut Criterion) {
    // What is set goes to the store's thread, which comes behind after some seconds.
    let mut group = criterion.benchmark_group("guest/state");
    group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1)).sample_size(20);
    for (what, mode) in [("none", "behaves"), ("get_100", "state-gets"), ("set_100", "state-sets")] {
        let modules = modules(&[("hostile", &format!(r#"{{"mode": "{mode}"}}"#))]);
        let (chain, mut guests, client, message) = (modules.chain(), Guests::new(&modules), client(), message(256));
        group.bench_function(what, |bencher| {
            bencher.iter(|| chain.route(&mut guests, &client, black_box(message.clone())));
        });
    }
}

fn making(criterion: &mut Criterion) {
    let modules = modules(&[("router", "{}")]);
    let (chain, publisher, message) = (modules.chain(), client(), message(256));
    criterion.bench_function("guest/fresh_instance_and_call", |bencher| {
        bencher.iter_batched(
            || Guests::new(&modules),
            |mut guests| {
                chain.route(&mut guests, &publisher, message.clone());
                guests
            },
            BatchSize::PerIteration,
        );
    });
    let mut group = criterion.benchmark_group("guest");
    group.sample_size(10);
    let component = guests::component("router");
    group.bench_function("deploy", |bencher| {
        bencher.iter(|| {
            // A module of another name compiles anew.
            modules.remove("fresh").ok();
            modules.deploy("fresh", &component, DeployOptions::default())
        });
    });
    group.finish();
}

criterion_group!(benches, names, routing, others, state, making);
criterion_main!(benches);
