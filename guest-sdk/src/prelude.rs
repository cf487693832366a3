//! All that a module usually needs: `use pliant_guest::prelude::*;`.

pub use alloc::{
    borrow::ToOwned,
    boxed::Box,
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

pub use serde::Deserialize;

pub use crate::access::{Access, Action, Credentials};
pub use crate::config::NoConfig;
pub use crate::delivery::{Delivery, Outcome};
pub use crate::events::{Event, EventInterest, Events, Loss};
pub use crate::filter::Filter;
pub use crate::lifecycle::{Interest, Manifest, Module};
pub use crate::retain_policy::{Replay, RetainPolicy, Retention};
pub use crate::routing::{Decision, Routing, Verdict};
pub use crate::timers::Timers;
pub use crate::topic_mapping::{Scope, TopicMapping};
pub use crate::translation::{AmqpBody, AmqpForm, AmqpMessage, AmqpValue, Translation};
pub use crate::types::{Client, Departure, Envelope, Guarantee, Message, Payload, Protocol, Refusal, RefusalKind};
pub use crate::will_handling::{Will, WillHandling};
pub use crate::{clock, config, log, metrics, retained, state};
