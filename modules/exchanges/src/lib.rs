//! Exchanges as RabbitMQ's users know them: what is sent to `/exchanges/NAME/KEY` goes to the queues that are bound to the
//! exchange and whose binding fits.
//!
//! Without a configuration there are none, and such an address is a topic like any other. With one:
//!
//! ```json
//! {
//!   "exchanges": [
//!     { "name": "orders", "type": "direct", "bindings": [{ "queue": "eu", "key": "order.eu" }] },
//!     { "name": "logs", "type": "topic", "bindings": [{ "queue": "errors", "key": "#.error.*" }] },
//!     { "name": "all", "type": "fanout", "bindings": [{ "queue": "a" }, { "queue": "b" }] },
//!     { "name": "docs", "type": "headers", "unroutable": "refuse",
//!       "bindings": [{ "queue": "pdf", "match": "any", "headers": { "format": "pdf", "pages": 1 } }] }
//!   ]
//! }
//! ```
//!
//! # Exchanges
//! | Type | A binding fits |
//! |---|---|
//! | `direct` | a message with its `key` |
//! | `topic` | a message whose key has words (with dots between them) as its `key` says: `*` is one word, `#` any number, anywhere |
//! | `fanout` | every message |
//! | `headers` | a message that has `all` (the default) or `any` of its `headers` as application or user properties, with these values as text; `null`: with any value |
//!
//! A queue is named as in `/queues/NAME`, or by its whole address, which begins with `/`. It gets a message once, however many
//! of its bindings fit, and keeps it as its publisher sent it. All of the queues get it or none: if one has no room, the
//! publisher waits or is refused. NAME and KEY may be percent-encoded (RFC 3986). A KEY has up to 255 bytes when that is undone,
//! as in AMQP 0-9-1; a longer one is refused as an invalid topic.
//!
//! What no binding fits is taken as a message of its address, which a subscriber of `/exchanges/#` sees, unless the exchange
//! says `"unroutable": "refuse"`. An exchange that is not there refuses.
//!
//! Up to 65 queues get one message, and all copies but the first may have 2 MiB together (less 64 KiB), headers and properties
//! included: what a call may return unless the broker is configured otherwise (`wasm.wishes_max`, `wasm.wish_bytes_max`; who
//! lowers these has to keep to less). A message that is too much is refused as past a quota, and so is the configuration of a
//! `fanout` with more queues.
#![cfg_attr(target_family = "wasm", no_std)]
extern crate alloc;

mod exchange;
mod key;
#[cfg(test)]
mod tests;

use crate::exchange::{Exchange, ExchangeConfig};
use pliant_guest::prelude::*;

/// Addresses of exchanges begin like this.
const EXCHANGES: &str = "/exchanges/";

/// The configuration as the operator writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    exchanges: Vec<ExchangeConfig>,
}

/// The module, its configuration checked.
#[derive(Debug)]
pub struct Exchanges {
    exchanges: Vec<Exchange>,
}

/// As AMQP 0-9-1 has it. What a key costs at a binding grows with it.
const KEY_BYTES_MAX: usize = 255;

impl Module for Exchanges {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Refusal> {
        let mut exchanges: Vec<Exchange> = Vec::new();
        for (index, config) in config.exchanges.into_iter().enumerate() {
            if exchanges.iter().any(|other| other.name == config.name) {
                return Err(config::entry("exchanges", index, "name", "another exchange has this name"));
            }
            exchanges.push(Exchange::new(config, index)?);
        }
        Ok(Self { exchanges })
    }

    fn manifest(&self) -> Manifest {
        Manifest { routing: Interest::filters(["/exchanges/#"]), ..Manifest::default() }
    }
}

impl Routing for Exchanges {
    fn on_publish(&self, _: &Client, envelope: Envelope, payload: &Payload) -> Decision {
        if self.exchanges.is_empty() {
            return Decision::keep();
        }
        let Some(address) = envelope.topic.strip_prefix(EXCHANGES) else { return Decision::keep() };
        let (name, key) = address.split_once('/').unwrap_or((address, ""));
        let (Some(name), Some(key)) = (key::decoded(name), key::decoded(key)) else {
            return refuse(format!("{} is not percent-encoded as it should be", envelope.topic));
        };
        if key.len() > KEY_BYTES_MAX {
            return refuse(format!("a routing key of {} bytes; up to {KEY_BYTES_MAX} are allowed", key.len()));
        }
        let Some(exchange) = self.exchanges.iter().find(|exchange| exchange.name == name) else {
            return refuse(format!("there is no exchange {name}"));
        };
        let queues = exchange.queues(&key, &envelope.user_properties);
        let Some((first, others)) = queues.split_first() else {
            return match exchange.refuses {
                true => refuse(format!("no binding of exchange {name} fits")),
                false => Decision::keep(),
            };
        };
        if let Err(refusal) = exchange::may_return(&name, others, &envelope, payload.size()) {
            return Decision::refuse(refusal);
        }
        let to = |queue: &str| Envelope { topic: queue.to_owned(), retain: false, ..envelope.clone() };
        let mut decision = Decision::readdress(to(first));
        if !others.is_empty() {
            let payload = payload.to_vec();
            for queue in others {
                decision = decision.also(Message { envelope: to(queue), payload: payload.clone() });
            }
        }
        decision
    }
}

fn refuse(reason: String) -> Decision {
    Decision::refuse(Refusal { kind: RefusalKind::TopicInvalid, reason })
}

pliant_guest::export!(Exchanges with routing);
