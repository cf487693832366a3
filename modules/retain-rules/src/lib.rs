//! Decides, by topic filter, what is kept as the last value of a topic.
//!
//! Without a configuration a message is kept as its publisher flagged it. With one:
//!
//! ```json
//! {
//!   "rules": [
//!     { "filter": "state/#", "keep": "always" },
//!     { "filter": "events/#", "keep": "never" },
//!     { "filter": "sensors/+/temperature", "expire_after": 3600 },
//!     { "filter": "images/#", "refuse_over": 65536, "replay": 10 }
//!   ]
//! }
//! ```
//!
//! # Rules
//! The first rule whose filter matches the topic decides alone; a topic that none matches is
//! kept as flagged. A rule holds a filter and at least one of:
//!
//! | Field | Meaning |
//! |---|---|
//! | `keep` | `flagged` (the default): what the publisher flagged. `always`: each message, flagged or not. `never`: none, and what was kept before stays |
//! | `expire_after` | what is kept is forgotten after so many seconds, or sooner if the message itself ends sooner |
//! | `refuse_over` | a message that would be kept and is larger than so many bytes is refused to its publisher |
//! | `replay` | a new subscription is sent at most so many kept messages, the newest first; 0: none |
//!
//! An empty message that would be kept deletes what is kept, as it does without rules.
//!
//! `replay` counts for a subscription whose filter lies entirely within the rule's: the rule
//! `images/#` speaks for `images/+/small`, and not for `#`.
#![cfg_attr(target_family = "wasm", no_std)]

#[cfg(test)]
mod tests;

use pliant_guest::prelude::*;

/// The configuration as the operator writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    filter: Filter,
    keep: Option<Keep>,
    expire_after: Option<u32>,
    refuse_over: Option<u64>,
    replay: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Keep {
    Flagged,
    Always,
    Never,
}

/// The module, its configuration checked.
#[derive(Debug)]
pub struct RetainRules {
    rules: Vec<Rule>,
}

impl Module for RetainRules {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Refusal> {
        for (index, rule) in config.rules.iter().enumerate() {
            rule.check().map_err(|(field, why)| config::entry("rules", index, field, why))?;
        }
        Ok(RetainRules { rules: config.rules })
    }

    fn manifest(&self) -> Manifest {
        let always: Vec<&str> =
            self.rules.iter().filter(|rule| rule.keep() == Keep::Always).map(|rule| rule.filter.as_str()).collect();
        Manifest {
            // An empty list of filters would mean every message.
            unflagged_retain: (!always.is_empty()).then(|| Interest::filters(always)),
            retain_by_topic: self.rules.iter().all(|rule| rule.refuse_over.is_none()),
            ..Manifest::default()
        }
    }
}

impl RetainPolicy for RetainRules {
    fn on_publish(&self, _: &Client, envelope: &Envelope, payload: &Payload) -> Retention {
        // Once for all rules: what one costs is not to grow with the topic.
        let levels: Vec<&str> = envelope.topic.split('/').collect();
        match self.rules.iter().find(|rule| rule.filter.matches_levels(&levels)) {
            Some(rule) => rule.retention(envelope, payload),
            None => Retention::AsFlagged,
        }
    }

    fn on_subscribe(&self, _: &Client, filter: &str, _: u64) -> Replay {
        let Ok(asked) = Filter::parse(filter) else { return Replay::All };
        match self.rules.iter().find(|rule| rule.filter.covers(&asked)).and_then(|rule| rule.replay) {
            None => Replay::All,
            Some(0) => Replay::None,
            Some(most) => Replay::Newest(most),
        }
    }
}

pliant_guest::export!(RetainRules with retain_policy);

impl Rule {
    fn keep(&self) -> Keep {
        self.keep.unwrap_or(Keep::Flagged)
    }

    /// The field that is wrong, and why.
    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let Rule { filter: _, keep, expire_after, refuse_over, replay } = self;
        if keep.is_none() && expire_after.is_none() && refuse_over.is_none() && replay.is_none() {
            return Err(("", "it decides nothing; give `keep`, `expire_after`, `refuse_over` or `replay`"));
        }
        if self.keep() == Keep::Never && expire_after.is_some() {
            return Err(("expire_after", "nothing is kept with `keep` = `never`, so nothing can expire"));
        }
        if self.keep() == Keep::Never && refuse_over.is_some() {
            return Err(("refuse_over", "nothing is kept with `keep` = `never`, so nothing is too large for it"));
        }
        if *expire_after == Some(0) {
            return Err(("expire_after", "0 seconds keep nothing; write `keep` = `never`"));
        }
        Ok(())
    }

    fn retention(&self, envelope: &Envelope, payload: &Payload) -> Retention {
        match self.keep() {
            Keep::Never => return Retention::Leave,
            // Which leaves what is kept alone, and lets further modules have their say.
            Keep::Flagged if !envelope.retain => return Retention::AsFlagged,
            Keep::Flagged | Keep::Always => {}
        }
        if let Some(most) = self.refuse_over.filter(|most| payload.size() > *most) {
            let size = payload.size();
            let why = format!("{size} bytes, and what is kept for `{}` has at most {most}", self.filter.as_str());
            return Retention::Refuse(Refusal::quota_exceeded(why));
        }
        match (self.keep(), self.expire_after) {
            (Keep::Flagged, None) => Retention::AsFlagged,
            (_, expire_after) => Retention::Store(expire_after),
        }
    }
}
