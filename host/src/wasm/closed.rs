//! Hooks whose module is installed and does not run, such as one that a newer broker cannot load: as what it would say is not
//! known, its failure policy holds for whatever it might have been asked about.

use super::chain::OnFailure;
use std::fmt;

/// See the head of this file. Events, timers, wills and the retain policy go on without the module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Closed {
    /// Nobody may do anything, whatever the policy.
    pub(super) access: bool,
    /// No name is taken from anybody.
    pub(super) mapping: bool,
    /// No message is taken.
    pub(super) routing: bool,
    /// No copy leaves.
    pub(super) delivery: bool,
}

impl Closed {
    /// Of one module that does not run.
    pub(super) fn by(hooks: &[&str], on_failure: OnFailure) -> Self {
        let refuses = |hook| on_failure == OnFailure::Refuse && hooks.contains(&hook);
        Self {
            access: hooks.contains(&"access"),
            mapping: refuses("topic-mapping"),
            routing: refuses("routing"),
            delivery: refuses("delivery"),
        }
    }

    /// Of two.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            access: self.access || other.access,
            mapping: self.mapping || other.mapping,
            routing: self.routing || other.routing,
            delivery: self.delivery || other.delivery,
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (self.access, "access"),
            (self.mapping, "topic-mapping"),
            (self.routing, "routing"),
            (self.delivery, "delivery"),
        ];
        let names: Vec<_> = all.into_iter().filter_map(|(is_closed, name)| is_closed.then_some(name)).collect();
        if names.is_empty() { f.write_str("nothing") } else { f.write_str(&names.join(", ")) }
    }
}
