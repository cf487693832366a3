//! Modules without a broker: a store in memory, a clock that stands, and one worker's instances.

use crate::harness::guests;
use host::client::{Client, Protocol, Scope};
use host::message::{Envelope, Guarantee, Message, Time};
use host::metrics::Metrics;
use host::store::{Durability, Limits as StoreLimits, Store};
use host::topic::{Limits as TopicLimits, Topic};
use host::wasm::{
    Binding, Chain, Clock, DeployOptions, Deployed, Guests, Kept, Limits, Modules, OnFailure, Outcome, Verdict,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub struct Rig {
    pub modules: Modules,
    pub guests: Guests,
    pub metrics: Arc<Metrics>,
    time: Arc<AtomicU64>,
}

/// Few and small, so that many rigs fit into one process; calls have time on a busy machine.
pub fn limits() -> Limits {
    Limits { instances_max: 16, call_milliseconds_max: 100, configure_milliseconds_max: 2_000, ..Limits::default() }
}

impl Rig {
    pub fn new() -> Self {
        Self::with(limits())
    }

    pub fn with(limits: Limits) -> Self {
        let metrics = Arc::new(Metrics::default());
        let (store, _) = Store::in_memory(&StoreLimits::default(), Durability::Commit, metrics.clone());
        Self::open(limits, store, Kept::default(), Vec::new()).expect("no modules, no errors")
    }

    pub fn open(
        limits: Limits,
        store: Store,
        kept: Kept,
        configured: Vec<Binding>,
    ) -> Result<Self, host::wasm::OpenError> {
        let metrics = Arc::new(Metrics::default());
        let time = Arc::new(AtomicU64::new(1_000_000));
        let shown = time.clone();
        let clock: Clock = Arc::new(move || Time(shown.load(Ordering::SeqCst)));
        let bundled = [("renames", &*guests::component("renames"))];
        let modules = Modules::open(limits, store, kept, &bundled, configured, metrics.clone(), clock)?;
        let guests = Guests::new(&modules);
        Ok(Self { modules, guests, metrics, time })
    }

    pub fn pass_milliseconds(&self, milliseconds: u64) {
        self.time.fetch_add(milliseconds, Ordering::SeqCst);
    }

    /// Deploys a guest under a name, with order, policy and configuration.
    pub fn deploy(&self, name: &str, guest: &str, order: i32, on_failure: OnFailure, config: &str) -> Deployed {
        let options = DeployOptions {
            order: Some(order),
            on_failure: Some(on_failure),
            config: Some(config.to_owned()),
            ..DeployOptions::default()
        };
        self.modules.deploy(name, &guests::component(guest), options).expect("deploys")
    }

    /// Deploys a guest as a canary.
    pub fn canary(&self, name: &str, guest: &str, percent: u8, config: &str) -> Deployed {
        let options =
            DeployOptions { canary: Some(percent), config: Some(config.to_owned()), ..DeployOptions::default() };
        self.modules.deploy(name, &guests::component(guest), options).expect("deploys")
    }

    /// Wishes of all modules.
    pub fn past_the_hop_limit(&self) -> u64 {
        let unmet = self.modules.unmet_wishes();
        unmet.iter().filter(|(_, reason, _)| *reason == "hops").map(|(.., count)| count).sum()
    }

    pub fn chain(&self) -> Arc<Chain> {
        self.modules.chain()
    }

    pub fn route(&mut self, topic: &str, payload: &[u8]) -> Verdict {
        let chain = self.chain();
        chain.side_of("c1").route(&mut self.guests, &client(), message(topic, payload))
    }

    /// What came of it, in a word.
    pub fn routed(&mut self, topic: &str) -> String {
        match self.route(topic, b"payload").outcome {
            Outcome::Pass(message) => format!("pass {}", message.topic()),
            Outcome::Discard => "discard".to_owned(),
            Outcome::Refuse(refusal) => format!("refuse {:?}", refusal.kind),
        }
    }
}

pub fn scope() -> Scope {
    Scope { listener: "mqtt".into(), protocol: Protocol::Mqtt, identity: Some("ann".into()) }
}

pub fn client() -> Client {
    Client { id: "c1".into(), container: None, scope: scope().into(), peer: "127.0.0.1:5".into() }
}

pub fn envelope(topic: &str) -> Envelope {
    Envelope {
        topic: Topic::new(topic, &TopicLimits::default()).unwrap(),
        guarantee: Guarantee::AtLeastOnce,
        retain: false,
        expires: None,
        properties: None,
        hops: 0,
    }
}

pub fn message(topic: &str, payload: &[u8]) -> Message {
    Message::new(envelope(topic), 7, payload)
}

/// The value of a user property of what passed.
pub fn property(verdict: &Verdict, name: &str) -> Option<String> {
    let Outcome::Pass(message) = &verdict.outcome else { return None };
    let properties = message.envelope().properties.as_ref()?;
    properties.user.iter().find(|(n, _)| &**n == name).map(|(_, value)| value.to_string())
}
