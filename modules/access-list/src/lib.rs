//! Decides by users, groups and topic patterns who may publish, subscribe and receive what.
//!
//! Once it is switched on, what no rule allows is denied:
//!
//! ```json
//! {
//!   "groups": { "staff": ["ann", "bob"] },
//!   "rules": [
//!     { "allow": ["publish", "subscribe"], "groups": ["staff"], "topics": ["home/#"] },
//!     { "deny": ["publish"], "users": ["bob"], "topics": ["home/alarm/#"] },
//!     { "allow": ["publish"], "users": ["*"], "topics": ["users/%u/#", "devices/%c/state"] },
//!     { "allow": ["subscribe"], "anonymous": true, "topics": ["news/+"] }
//!   ]
//! }
//! ```
//!
//! # Rules
//! | Field | Meaning |
//! |---|---|
//! | `allow` or `deny` | what the rule is about: `publish`, `subscribe`, `receive` |
//! | `topics` | MQTT filters over the broker's topics. `%u` in them is the client's user name, `%c` its client id |
//! | `users`, `groups`, `clients` | user names (`*`: everybody who has one), groups, client ids; one of them has to fit |
//! | `anonymous` | `true`: clients without a user name |
//! | `listener`, `protocol` | only clients of this listener, of this protocol (`mqtt`, `amqp`, `http`, `module`) |
//!
//! A rule that names nobody is about everybody. A rule that denies wins over all that allow, wherever it stands.
//!
//! - `publish`: sending to a topic; also a will, when it is left and when it is due.
//! - `subscribe`: asking for a filter, and getting the messages it matches. A filter is allowed if one rule allows all that it
//!   matches, and denied if one rule denies all of it; where only a part of it is denied, those messages are kept back.
//!   A shared subscription is asked about by its filter: rules leave `$share/NAME/` out.
//! - `receive`: getting messages, for what other rules let somebody subscribe more widely than it may read, or has in a
//!   subscription from earlier.
//!
//! # Names in topics
//! `%u` and `%c` stand for exactly the name, whatever characters it has: a client called `#` or `+` gains nothing by that,
//! one whose name holds `/` fits no such rule, nor does `%u` fit a client without a user name. `%%` is a percent sign.
//!
//! # What no rule is about
//! `default` is `deny` unless it says `allow`, or `ask` to leave the decision to the next module with this hook. What comes
//! by the admin API or from a module (`protocol` `http` or `module`) is the operator's own: it is denied only where a rule
//! that names its protocol says so.
#![cfg_attr(target_family = "wasm", no_std)]
extern crate alloc;

mod pattern;
mod rule;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use pliant_guest::access::{Action, Credentials};
use pliant_guest::prelude::*;

use crate::rule::{Rule, RuleConfig, Verdict};

/// The configuration as the operator writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    groups: BTreeMap<String, Vec<String>>,
    rules: Vec<RuleConfig>,
    default: Default,
}

/// What is said where no rule is.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Default {
    /// No.
    #[default]
    Deny,
    /// Yes.
    Allow,
    /// Nothing: the next module decides.
    Ask,
}

/// The module, its configuration checked.
#[derive(Debug)]
pub struct AccessList {
    rules: Vec<Rule>,
    default: Default,
}

impl Module for AccessList {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Refusal> {
        Ok(AccessList { rules: rule::check(config.rules, &config.groups)?, default: config.default })
    }
}

impl Access for AccessList {
    fn authenticate(&self, _: &Credentials) -> Option<Result<String, Refusal>> {
        None
    }

    fn authorize(&self, client: &Client, action: Action, topic: &str) -> Option<bool> {
        match rule::judge(&self.rules, client, action, topic) {
            Verdict::Denied => Some(false),
            Verdict::Allowed => Some(true),
            Verdict::Nothing if matches!(client.protocol, Protocol::Http | Protocol::Module) => None,
            Verdict::Nothing => match self.default {
                Default::Deny => Some(false),
                Default::Allow => Some(true),
                Default::Ask => None,
            },
        }
    }
}

pliant_guest::export!(AccessList with access);
