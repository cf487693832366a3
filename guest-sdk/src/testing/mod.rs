//! A stand-in for the broker, so that hooks can be called from native unit tests.
//!
//! On every target but Wasm, what a module asks of the broker ([`log`](crate::log),
//! [`state`](crate::state), …) goes to a stand-in that each thread, and so each test, has for
//! itself. [`configure`] makes a module as the broker would, [`Host`] sets the scene and tells
//! what the module did.
//!
//! ```
//! use pliant_guest::prelude::*;
//! use pliant_guest::testing::{self, Host};
//!
//! struct Count;
//! impl Module for Count {
//!     type Config = NoConfig;
//!     fn new(_: NoConfig) -> Result<Self, Refusal> { Ok(Count) }
//! }
//! impl Timers for Count {
//!     fn on_tick(&self, now: u64) -> Vec<Message> {
//!         let ticks = state::add("ticks", 1).expect("the store can be written");
//!         vec![Message::new("ticks", format!("{ticks} at {now}"))]
//!     }
//! }
//! pliant_guest::export!(Count with timers);
//!
//! # fn main() {
//! let host = Host::fresh();
//! host.set_clock(1_000);
//! let (module, manifest) = testing::configure::<Count>("{}").expect("no configuration is needed");
//! assert_eq!(module.on_tick(clock::now_milliseconds())[0].payload, b"1 at 1000");
//! assert_eq!(host.state("ticks"), Some(b"1".to_vec()));
//! # let _ = manifest;
//! # }
//! ```

mod state;

use std::cell::RefCell;
use std::collections::HashMap;

use self::state::State;
use crate::lifecycle::{Manifest, Module};
use crate::log::Level;
use crate::state::StateError;
use crate::topic_mapping::Scope;
use crate::types::{Client, Message, Protocol, Refusal};

/// What the stand-in holds.
#[derive(Default)]
pub(crate) struct StandIn {
    pub(crate) now: u64,
    pub(crate) log: Vec<(Level, String)>,
    pub(crate) state: State,
    pub(crate) counters: HashMap<String, u64>,
    pub(crate) gauges: HashMap<String, f64>,
    pub(crate) retained: HashMap<String, Message>,
    pub(crate) http: HashMap<String, crate::http::Response>,
}

thread_local! {
    static STAND_IN: RefCell<StandIn> = RefCell::default();
}

/// What the imports call on every target but Wasm.
pub(crate) fn stand_in<R>(call: impl FnOnce(&mut StandIn) -> R) -> R {
    STAND_IN.with_borrow_mut(call)
}

/// This thread's stand-in for the broker.
pub struct Host(());

impl Host {
    /// Forgets all that happened on this thread: the clock is at 0, nothing is stored.
    pub fn fresh() -> Self {
        stand_in(|host| *host = StandIn::default());
        Host(())
    }

    /// Sets the clock, in milliseconds since 1970-01-01T00:00:00Z.
    pub fn set_clock(&self, milliseconds: u64) {
        stand_in(|host| host.now = milliseconds);
    }

    /// Lets time pass.
    pub fn advance(&self, milliseconds: u64) {
        stand_in(|host| host.now += milliseconds);
    }

    /// Stores a message as the retained one of its topic.
    pub fn retain(&self, message: Message) {
        stand_in(|host| host.retained.insert(message.envelope.topic.clone(), message));
    }

    /// Lets every write to the state fail from now on; none: succeed again.
    pub fn fail_state(&self, error: Option<StateError>) {
        stand_in(|host| host.state.failing = error);
    }

    /// Lets a server outside answer whoever asks for this URL. Others are denied.
    pub fn answer_http(&self, url: &str, status: u16, body: impl Into<Vec<u8>>) {
        let answer = crate::http::Response { status, headers: Vec::new(), body: body.into() };
        stand_in(|host| host.http.insert(url.to_owned(), answer));
    }

    /// The value of a key in the module's state.
    pub fn state(&self, key: &str) -> Option<Vec<u8>> {
        stand_in(|host| host.state.get(host.now, key))
    }

    /// What the module logged, oldest first.
    pub fn log(&self) -> Vec<(Level, String)> {
        stand_in(|host| host.log.clone())
    }

    /// Where one of the module's counters stands.
    pub fn counter(&self, name: &str) -> u64 {
        stand_in(|host| host.counters.get(name).copied().unwrap_or(0))
    }

    /// What the module last set a gauge to.
    pub fn gauge(&self, name: &str) -> Option<f64> {
        stand_in(|host| host.gauges.get(name).copied())
    }
}

/// Makes a module from a JSON document as the broker does, with the manifest it would see.
///
/// # Errors
/// Where the document is not what the module wants, or the module refuses it.
pub fn configure<M: Module + crate::Package>(document: &str) -> Result<(M, Manifest), Refusal> {
    let module = M::new(crate::config::parse(document)?)?;
    let manifest = crate::instance::manifest(&module);
    Ok((module, manifest))
}

/// An anonymous MQTT client of this id, on the listener `mqtt`.
pub fn client(id: &str) -> Client {
    Client {
        id: id.into(),
        identity: None,
        protocol: Protocol::Mqtt,
        listener: "mqtt".into(),
        peer: "192.0.2.1:40000".into(),
    }
}

/// The scope of a client on the listener `mqtt`: anonymous if there is no identity.
pub fn scope(identity: Option<&str>) -> Scope {
    Scope { listener: "mqtt".into(), protocol: Protocol::Mqtt, identity: identity.map(Into::into) }
}
