//! Write modules for the Pliant broker in Rust.
//!
//! A module is a Wasm component that takes decisions for the broker: a trait a hook, and one
//! macro that exports them. This is a whole one; it names the broker's site on every message:
//!
//! ```
//! use pliant_guest::prelude::*;
//!
//! struct NameSite;
//!
//! impl Module for NameSite {
//!     type Config = NoConfig;
//!     fn new(_: NoConfig) -> Result<Self, Refusal> { Ok(NameSite) }
//! }
//!
//! impl Routing for NameSite {
//!     fn on_publish(&self, _: &Client, mut envelope: Envelope, _: &Payload) -> Decision {
//!         envelope.user_properties.push(("site".into(), "plant 7".into()));
//!         Decision::readdress(envelope)
//!     }
//! }
//!
//! pliant_guest::export!(NameSite with routing);
//!
//! // And what its unit test would say; the imports go to a stand-in for the broker.
//! # fn main() {
//! use pliant_guest::testing;
//! let (module, _) = testing::configure::<NameSite>("{}").expect("needs no configuration");
//! let decision = module.on_publish(&testing::client("c1"), Envelope::new("a/b"), &Payload::from(b"1"));
//! assert!(matches!(decision.verdict, Verdict::Readdress(e) if e.user_properties.len() == 1));
//! # }
//! ```
//!
//! Its `Cargo.toml` asks for `crate-type = ["cdylib", "rlib"]` and depends on `guest-sdk`;
//! `cargo build --release --target wasm32-wasip2` makes the component.
//!
//! | To | see |
//! |---|---|
//! | decide something | the hooks: [`TopicMapping`], [`Routing`], [`RetainPolicy`], [`WillHandling`], [`Access`], [`Delivery`], [`Events`], [`Translation`], [`Timers`] |
//! | be configured | [`Module`], [`config`] |
//! | ask the broker | [`log`], [`state`], [`metrics`], [`clock`], [`retained`] |
//! | ask a server outside | `http`, with the feature of that name |
//! | work with filters and names | [`filter`], [`template`] |
//! | test without a broker | [`testing`] |
//!
//! What may be assumed of an instance, and what each answer does, is told by the contract in
//! `wit/`; the traits here carry the same names and repeat what an author needs most.
#![cfg_attr(target_family = "wasm", no_std)]
extern crate alloc;
#[cfg(all(target_family = "wasm", feature = "allocator", not(feature = "no-std")))]
extern crate std;

pub mod access;
#[cfg(any(all(target_family = "wasm", any(feature = "allocator", feature = "no-std")), test))]
mod allocator;
pub mod clock;
pub mod config;
pub mod delivery;
pub mod events;
mod export;
pub mod filter;
#[cfg(any(feature = "http", not(target_family = "wasm")))]
pub mod http;
mod instance;
pub mod lifecycle;
pub mod log;
pub mod metrics;
#[cfg(all(target_family = "wasm", feature = "no-std"))]
mod no_std;
mod payload;
pub mod prelude;
pub mod retain_policy;
pub mod retained;
pub mod routing;
pub mod state;
pub mod template;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod timers;
pub mod topic_mapping;
pub mod translation;
pub mod types;
pub mod will_handling;
#[doc(hidden)]
pub mod worlds;

pub use access::Access;
pub use delivery::Delivery;
pub use events::Events;
pub use lifecycle::Module;
pub use retain_policy::RetainPolicy;
pub use routing::Routing;
pub use timers::Timers;
pub use topic_mapping::TopicMapping;
pub use translation::Translation;
pub use will_handling::WillHandling;

#[doc(hidden)]
pub use instance::{Exported, Package};
/// For modules that do not want to name their own version of it.
pub use serde;
