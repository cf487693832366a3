//! The whole publish path in process, from a request to the subscriber's drained mailbox: without modules, with the bundled
//! ones in place, with a topic that a module maps, with a chain of four modules that want every message, and with ten that
//! want none.

use criterion::{Criterion, criterion_group, criterion_main};
use host::broker::{Broker, Limits, Link, Outlet, Restored, Worker, nobody};
use host::client::{Client, Protocol};
use host::dialogue::{Attach, Closed, Publish, Request, Subscribe, SubscribeFilter, SubscribeOptions};
use host::message::{Guarantee, Time};
use host::metrics::Metrics;
use host::store::{Durability, Store};
use host::wasm::{Binding, DeployOptions, Kept, Modules, OnFailure};
use std::hint::black_box;
use std::sync::Arc;

#[path = "../../tests/harness/guests.rs"]
mod guests;

struct Nowhere;

impl Outlet for Nowhere {
    fn flush(&self, _now: Time) {}
    fn wake(&self) {}
    fn close(&self, _why: Closed) {}
}

/// Modules of the bundled ones, and guests of the rows: name and configuration.
#[derive(Default)]
struct InPlace {
    configured: Vec<Binding>,
    deployed: Vec<(&'static str, &'static str)>,
}

fn modules(store: &Store, metrics: &Arc<Metrics>, in_place: InPlace) -> Arc<Modules> {
    let clock: host::wasm::Clock = Arc::new(|| Time(0));
    let kept = Kept::default();
    let bundled = host::server::BUNDLED;
    let configured = in_place.configured;
    let opened = Modules::open(Default::default(), store.clone(), kept, bundled, configured, metrics.clone(), clock);
    let modules = opened.expect("bundled modules run");
    for (number, (guest, config)) in in_place.deployed.into_iter().enumerate() {
        let options = DeployOptions { config: Some(config.to_owned()), ..DeployOptions::default() };
        modules.deploy(&format!("m{number}"), &guests::component(guest), options).expect("deploys");
    }
    Arc::new(modules)
}

fn binding(name: &str, config: &str) -> Binding {
    Binding {
        name: name.into(),
        component: None,
        order: 10,
        on_failure: OnFailure::Refuse,
        config: config.into(),
        enabled: true,
    }
}

fn attach(broker: &Broker, worker: &mut Worker, id: &str) -> Link {
    let scope = nobody("mqtt", Protocol::Mqtt);
    let mut link = Link::new(Arc::new(Nowhere), scope.clone());
    let attach = Attach {
        client: Client { id: id.into(), container: None, scope, peer: "".into() },
        clean: true,
        expiry_seconds: 0,
        window: 1024,
        per_subscription: false,
        knows_options: true,
        will: None,
        credentials: None,
        exchange: None,
        proof: None,
    };
    broker.handle(worker, &mut link, Time(1), Request::Attach(Box::new(attach)));
    link
}

fn path(criterion: &mut Criterion, name: &str, in_place: InPlace) {
    let (topic, payload) = ("home/kitchen/temperature", vec![7u8; 256]);
    let metrics = Arc::new(Metrics::default());
    let (store, _) = Store::in_memory(&Default::default(), Durability::Commit, metrics.clone());
    let modules = modules(&store, &metrics, in_place);
    let broker = Broker::open(Limits::default(), store, Restored::default(), modules, metrics, Time(0));
    let mut worker = broker.worker();
    let mut subscriber = attach(&broker, &mut worker, "subscriber");
    let options = SubscribeOptions { guarantee: Guarantee::ExactlyOnce, ..Default::default() };
    let filters = vec![SubscribeFilter { name: "#".into(), share: None, options }];
    broker.handle(&mut worker, &mut subscriber, Time(1), Request::Subscribe(Subscribe { handle: 1, filters }));
    let mut publisher = attach(&broker, &mut worker, "publisher");
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            let publish = Publish {
                name: topic,
                guarantee: Guarantee::AtMostOnce,
                retain: false,
                handle: 0,
                expiry_seconds: None,
                properties: None,
                payload: &payload,
            };
            broker.handle(&mut worker, &mut publisher, Time(1), Request::Publish(publish));
            worker.flush(&broker, Time(1));
            let attachment = subscriber.attachment().expect("attached above");
            broker.drain(attachment, Time(1), &mut |outgoing| {
                black_box(outgoing);
                true
            });
        });
    });
}

fn paths(criterion: &mut Criterion) {
    let bundled = ["topic-rules", "retain-rules", "will-rules"].map(|name| binding(name, "{}"));
    let rules = r#"{"rules":[{"from":"home/{room}/{rest...}","to":"site/1/{room}/{rest...}"}]}"#;
    let mapped = vec![binding("topic-rules", rules)];
    let of = |deployed: Vec<_>| InPlace { deployed, ..InPlace::default() };
    path(criterion, "publish/no-modules/256", InPlace::default());
    path(criterion, "publish/bundled/256", InPlace { configured: bundled.into(), ..InPlace::default() });
    path(criterion, "publish/mapped/256", InPlace { configured: mapped, ..InPlace::default() });
    path(criterion, "publish/four-interested/256", of(vec![("router", "{}"); 4]));
    path(criterion, "publish/ten-not-interested/256", of(vec![("router", r#"{"filters": ["other/+"]}"#); 10]));
}

criterion_group!(benches, paths);
criterion_main!(benches);
