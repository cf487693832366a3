//! Decides, by topic filter, what becomes of wills, and announces who is present.
//!
//! Without a configuration wills are handled as the protocols say. With one:
//!
//! ```json
//! {
//!   "rules": [
//!     { "filter": "status/#", "on_take_over": false, "least_delay": 30, "add_reason": true, "add_time": true }
//!   ],
//!   "presence": "presence/{client}"
//! }
//! ```
//!
//! # Rules
//! The first rule whose filter matches the topic of the will decides alone. A rule holds a filter and
//! at least one of:
//!
//! | Field | Meaning |
//! |---|---|
//! | `on_take_over` | `false`: no will when another connection takes the client id over |
//! | `least_delay` | the will waits at least so many seconds for the client to come back; a session that ends sooner ends the wait, as ever |
//! | `add_reason` | the will gets the user property `will-reason`, such as `connection-lost` |
//! | `add_time` | the will gets the user property `will-time`, such as `2026-11-20T23:06:35.123Z`: when it is published |
//!
//! # Presence
//! `presence` is a topic in which `{client}` stands for the client id, `{user}` for its user name
//! (`anonymous` without one). There a retained `online` is published when a client connects and a
//! retained `offline` when it is gone, at least once each. In the ids, `%`, `/`, `+`, `#` and what
//! no topic may hold, such as control characters, are written as the bytes of UTF-8, `%25`, `%2F`, `%2B`,
//! `%23` and `%09`, so an id is always one level. A client whose connection is taken over stays online. Of AMQP the
//! container id is the client id; a container with several connections goes with the last one.
//!
//! A client with a will may be announced as offline twice, once when it goes and once when its will is due.
//! Where the broker is killed, clients with a session that outlives their connection are announced as offline at its
//! next start; those without stay as they were until they come back.
#![cfg_attr(target_family = "wasm", no_std)]

mod presence;
#[cfg(test)]
mod tests;

use pliant_guest::prelude::*;

use crate::presence::Presence;

/// The configuration as the operator writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    rules: Vec<Rule>,
    presence: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    filter: Filter,
    on_take_over: Option<bool>,
    least_delay: Option<u32>,
    #[serde(default)]
    add_reason: bool,
    #[serde(default)]
    add_time: bool,
}

/// The module, its configuration checked.
#[derive(Debug)]
pub struct WillRules {
    rules: Vec<Rule>,
    presence: Option<Presence>,
}

impl Module for WillRules {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Refusal> {
        let idle = |rule: &Rule| {
            rule.on_take_over.is_none() && rule.least_delay.is_none() && !rule.add_reason && !rule.add_time
        };
        if let Some(index) = config.rules.iter().position(idle) {
            let why = "it decides nothing; give `on_take_over`, `least_delay`, `add_reason` or `add_time`";
            return Err(config::entry("rules", index, "", why));
        }
        let presence = config.presence.as_deref().map(Presence::new).transpose();
        let presence = presence.map_err(|why| config::field("presence", why))?;
        Ok(WillRules { rules: config.rules, presence })
    }
}

impl WillHandling for WillRules {
    fn on_register(&self, _: &Client, mut will: Will) -> Result<Option<Will>, Refusal> {
        if let Some(least) = self.rule(&will).and_then(|rule| rule.least_delay) {
            will.delay_seconds = will.delay_seconds.max(least);
        }
        Ok(Some(will))
    }

    fn on_departure(&self, owner: &Client, mut will: Will, how: Departure) -> Vec<Message> {
        let mut published = Vec::new();
        let rule = self.rule(&will);
        let wanted = how != Departure::TakenOver || rule.and_then(|rule| rule.on_take_over) != Some(false);
        if wanted {
            let properties = &mut will.message.envelope.user_properties;
            if rule.is_some_and(|rule| rule.add_reason) {
                properties.push(("will-reason".into(), how.name().into()));
            }
            if rule.is_some_and(|rule| rule.add_time) {
                properties.push(("will-time".into(), clock::now_text()));
            }
            published.push(will.message);
        }
        published.extend(self.presence.as_ref().and_then(|presence| presence.gone(owner, how)));
        published
    }
}

impl Events for WillRules {
    fn on_events(&self, events: Vec<Event>) -> Vec<Message> {
        let Some(presence) = &self.presence else { return Vec::new() };
        let announce = |event| match event {
            Event::Connected(client) => presence.came(&client),
            Event::Disconnected((client, how)) => presence.gone(&client, how),
            _ => None,
        };
        events.into_iter().filter_map(announce).collect()
    }

    fn wanted(&self) -> EventInterest {
        EventInterest { clients: self.presence.is_some(), subscriptions: false, lost: None }
    }
}

pliant_guest::export!(WillRules with will_handling, events);

impl WillRules {
    fn rule(&self, will: &Will) -> Option<&Rule> {
        // Once for all rules: what one costs is not to grow with the topic.
        let levels: Vec<&str> = will.message.envelope.topic.split('/').collect();
        self.rules.iter().find(|rule| rule.filter.matches_levels(&levels))
    }
}
