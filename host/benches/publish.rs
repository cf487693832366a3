//! The whole publish path in process, from a request to the subscriber's drained mailbox: without modules, with the bundled
//! ones in place, and with a topic that a module maps.

use criterion::{Criterion, criterion_group, criterion_main};
use host::broker::{Broker, Limits, Link, Outlet, Restored, Worker, nobody};
use host::client::{Client, Protocol};
use host::dialogue::{Attach, Closed, Publish, Request, Subscribe, SubscribeFilter, SubscribeOptions};
use host::message::{Guarantee, Time};
use host::metrics::Metrics;
use host::store::{Durability, Store};
use host::wasm::{Binding, Kept, Modules, OnFailure};
use std::hint::black_box;
use std::sync::Arc;

struct Nowhere;

impl Outlet for Nowhere {
    fn flush(&self, _now: Time) {}
    fn wake(&self) {}
    fn close(&self, _why: Closed) {}
}

fn modules(store: &Store, metrics: &Arc<Metrics>, configured: Vec<Binding>) -> Arc<Modules> {
    let clock: host::wasm::Clock = Arc::new(|| Time(0));
    let kept = Kept::default();
    let bundled = host::server::BUNDLED;
    let opened = Modules::open(Default::default(), store.clone(), kept, bundled, configured, metrics.clone(), clock);
    Arc::new(opened.expect("bundled modules run"))
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
    let mut link = Link::new(Arc::new(Nowhere), Arc::new(scope.clone()));
    let attach = Attach {
        client: Client { id: id.into(), scope, peer: "".into() },
        clean: true,
        expiry_seconds: 0,
        window: 1024,
        per_subscription: false,
        will: None,
        credentials: None,
        exchange: None,
        proof: None,
    };
    broker.handle(worker, &mut link, Time(1), Request::Attach(Box::new(attach)));
    link
}

fn path(criterion: &mut Criterion, name: &str, configured: Vec<Binding>, topic: &str, payload: usize) {
    let metrics = Arc::new(Metrics::default());
    let (store, _) = Store::in_memory(&Default::default(), Durability::Commit, metrics.clone());
    let modules = modules(&store, &metrics, configured);
    let broker = Broker::open(Limits::default(), store, Restored::default(), modules, metrics, Time(0));
    let mut worker = broker.worker();
    let mut subscriber = attach(&broker, &mut worker, "subscriber");
    let options = SubscribeOptions { guarantee: Guarantee::ExactlyOnce, ..Default::default() };
    let filters = vec![SubscribeFilter { name: "#".into(), share: None, options }];
    broker.handle(&mut worker, &mut subscriber, Time(1), Request::Subscribe(Subscribe { handle: 1, filters }));
    let mut publisher = attach(&broker, &mut worker, "publisher");
    let payload = vec![7u8; payload];
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
    let bundled = || ["topic-rules", "retain-rules", "will-rules"].map(|name| binding(name, "{}")).into();
    let mapped = r#"{"rules":[{"from":"home/{room}/{rest...}","to":"site/1/{room}/{rest...}"}]}"#;
    path(criterion, "publish/no-modules/256", Vec::new(), "home/kitchen/temperature", 256);
    path(criterion, "publish/bundled/256", bundled(), "home/kitchen/temperature", 256);
    path(criterion, "publish/mapped/256", vec![binding("topic-rules", mapped)], "home/kitchen/temperature", 256);
}

criterion_group!(benches, paths);
criterion_main!(benches);
