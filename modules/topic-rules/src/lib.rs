//! Maps the names clients use to the broker's topics, and back.
//!
//! Without a configuration every name is its topic. With one:
//!
//! ```json
//! {
//!   "rules": [
//!     { "from": "home/{room}/{rest...}", "to": "site/1/{room}/{rest...}" },
//!     { "from": "cmd/{device}", "to": "devices/{device}/commands", "listener": "mqtts", "user": "fleet" }
//!   ],
//!   "mount": "tenant/{user}/"
//! }
//! ```
//!
//! # Rules
//! - `from` is a name as the client writes it, `to` the topic. `{room}` stands for one level,
//!   `{rest...}`, only at the end, for all levels that are left, also none. Both sides hold the
//!   same names in braces, so that each rule works in both directions.
//! - `listener`, `protocol` (`mqtt`, `amqp`, `http`, `module`) and `user` limit a rule to clients of
//!   which they are true.
//! - The first rule that fits is the one; a name that fits none is its own topic.
//! - Two rules for the same client may not lead to the same topic: it would have two names.
//! - A name in braces does not stand for a first level that begins with `$`, and no rule makes
//!   a topic that begins with `$` unless its `to` says so.
//!
//! # Filters
//! `+` may stand where a rule has `{room}`, `#` where it has `{rest...}`, and for both where one
//! level and the rest are left: `home/#` becomes `site/1/+/#`. The bare name before the `#`
//! (`home`) is then not part of it, as the rule does not map it. A filter that matches some names
//! that a rule rewrites and some that it does not, or names of two rules, has no single
//! counterpart and is refused. One that matches both sides of the rules entirely, such as `#`,
//! passes as it is.
//!
//! A subscriber is shown the client-side name whichever way it asked: who subscribes to
//! `site/1/#` on a listener with the rule above is sent messages named `home/…`.
//!
//! # Mount points
//! `mount` is put before each topic after the rules and taken off before a message is
//! delivered, so clients see only what is theirs. `{user}`, `{listener}` and `{protocol}` may stand
//! in it. A client without a user name is refused where `{user}` is needed, as is a user name that
//! holds `/`, `+` or `#`. For different mount points, `mounts` is a list like
//! `[{ "prefix": "tenant/{user}/", "listener": "public" }]`; the first that fits counts, then `mount`.
//!
//! # AMQP addresses
//! `/queues/NAME` and `/exchanges/NAME/KEY` of AMQP clients pass unchanged and no rule sees
//! them. Under a mount point they are refused, as they lie outside of it.
#![cfg_attr(target_family = "wasm", no_std)]
extern crate alloc;

mod amqp;
mod conditions;
mod mount;
mod pattern;
mod rule;
#[cfg(test)]
mod tests;

use pliant_guest::filter::{self, Filter};
use pliant_guest::prelude::*;

use crate::mount::{Mount, MountConfig};
use crate::rule::{Rule, RuleConfig};

/// The configuration as the operator writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    rules: Vec<RuleConfig>,
    mount: Option<String>,
    mounts: Vec<MountConfig>,
}

/// The module, its configuration checked.
#[derive(Debug)]
pub struct TopicRules {
    rules: Vec<Rule>,
    mounts: Vec<Mount>,
}

impl Module for TopicRules {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Refusal> {
        Ok(TopicRules { rules: rule::check(config.rules)?, mounts: mount::check(config.mounts, config.mount)? })
    }

    fn manifest(&self) -> Manifest {
        Manifest { delivers_as_is: self.rules.is_empty() && self.mounts.is_empty(), ..Manifest::default() }
    }
}

impl TopicMapping for TopicRules {
    fn publish_topic(&self, scope: &Scope, name: &str) -> Result<String, Refusal> {
        let mount = mount::of(&self.mounts, scope);
        if amqp::is_address(scope, name)? {
            return amqp::pass(name, mount);
        }
        let topic = rule::map_name(&self.rules, scope, name);
        keep_off_dollar(name, &topic, &self.rules, scope)?;
        let topic = mount.map_or(Ok(String::new()), |mount| mount.prefix(scope))? + &topic;
        filter::check_topic(&topic).map_err(|why| no_good(name, &topic, why))?;
        Ok(topic)
    }

    fn subscribe_filter(&self, scope: &Scope, filter: &str) -> Result<String, Refusal> {
        let mount = mount::of(&self.mounts, scope);
        if amqp::is_address(scope, filter)? {
            return amqp::pass(filter, mount);
        }
        let asked = Filter::parse(filter).map_err(|why| no_good(filter, filter, why))?;
        let mapped = rule::map_filter(&self.rules, scope, &asked)?;
        keep_off_dollar(filter, &mapped, &self.rules, scope)?;
        let mapped = mount.map_or(Ok(String::new()), |mount| mount.prefix(scope))? + &mapped;
        Filter::parse(&mapped).map_err(|why| no_good(filter, &mapped, why))?;
        Ok(mapped)
    }

    fn deliver_name(&self, scope: &Scope, topic: &str) -> String {
        if amqp::is_address(scope, topic).unwrap_or(false) {
            return topic.into();
        }
        let Some(inner) = mount::of(&self.mounts, scope).map_or(Some(topic), |mount| mount.strip(scope, topic)) else {
            // From outside of the mount point: a subscription older than the mount point.
            return topic.into();
        };
        rule::name_of(&self.rules, scope, inner).unwrap_or_else(|| inner.into())
    }
}

/// Refuses a topic that begins with `$` where neither the client nor the rule wrote that.
fn keep_off_dollar(name: &str, topic: &str, rules: &[Rule], scope: &Scope) -> Result<(), Refusal> {
    if topic.starts_with('$') && !rule::may_begin_with_dollar(rules, scope, name) {
        return Err(no_good(name, topic, "topics that begin with `$` are the broker's own"));
    }
    Ok(())
}

fn no_good(name: &str, topic: &str, why: &str) -> Refusal {
    if name == topic {
        Refusal::topic_invalid(format!("`{name}` will not do: {why}"))
    } else {
        Refusal::topic_invalid(format!("`{name}` stands for `{topic}`, which will not do: {why}"))
    }
}

pliant_guest::export!(TopicRules with topic_mapping);
