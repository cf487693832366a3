//! Going back by hand: to what was active before, or to a version by its number. A trial ends here only for who says so, or for who
//! says nothing while there is one.

use super::error::DeployError;
use super::modules::Modules;
use super::registry::Entry;
use super::report::Deployed;
use std::collections::BTreeSet;

/// Where a module is to go back to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rollback {
    /// This version. Without it: a canary is taken back, or, where there is none, what was active before is put to work.
    pub to: Option<u64>,
    /// The version that has to be active, or on trial where that is to end: whoever asks twice goes back once.
    pub from: Option<u64>,
    /// A canary is to be taken back, and nothing else is to happen.
    pub canary: bool,
}

impl From<Option<u64>> for Rollback {
    fn from(to: Option<u64>) -> Self {
        Self { to, ..Self::default() }
    }
}

/// What a rollback does.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    EndCanary,
    Version(u64),
}

impl Rollback {
    fn target(self, entry: &Entry) -> Result<Target, DeployError> {
        let name = || entry.services.module.to_string();
        let canary = entry.canary.as_ref().map(|canary| canary.version.number);
        let is_from_canary = self.to.is_none() && canary.is_some() && self.from == canary;
        if self.from.is_some() && self.from != entry.chosen && !is_from_canary {
            return Err(DeployError::NotFrom { name: name(), active: entry.chosen });
        }
        match (self.to, canary) {
            (_, None) if self.canary => Err(DeployError::NoCanary(name())),
            (_, Some(_)) if self.canary => Ok(Target::EndCanary),
            (Some(number), _) => Ok(Target::Version(number)),
            (None, Some(canary)) if self.from.is_some() && !is_from_canary => {
                Err(DeployError::OnTrial { name: name(), canary })
            }
            (None, Some(_)) => Ok(Target::EndCanary),
            (None, None) if entry.chosen.is_none() => Err(DeployError::Off(name())),
            (None, None) => match entry.before() {
                Some(number) if number > 0 => Ok(Target::Version(number)),
                _ if entry.comes_from_configuration() => match entry.is_configured_off() {
                    // Not without being named.
                    true => Err(DeployError::ToConfiguration(name())),
                    false => Ok(Target::Version(0)),
                },
                _ if entry.left_out(0).is_empty() => Err(DeployError::NothingOlder(name())),
                _ => Err(DeployError::OlderUnfit { name: name(), versions: listed(&entry.left_out(0)) }),
            },
        }
    }
}

fn listed(versions: &[u64]) -> String {
    versions.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

impl Modules {
    /// Goes back to a version that is kept, with its configuration, order and policy. Back to what the broker's configuration says
    /// is off, where that says so: version 0 may have no rules, and with those nobody may do anything.
    pub fn rollback(&self, name: &str, back: impl Into<Rollback>) -> Result<Deployed, DeployError> {
        let (inner, back) = (self.inner(), back.into());
        let target = |entry: &Entry| {
            self.check(name, Some(entry))?;
            back.target(entry)
        };
        let mut at_hand = inner.at_hand(name, |entry| {
            Ok(match target(entry)? {
                Target::Version(number) if number != 0 || !entry.is_configured_off() => Some(number),
                _ => None,
            })
        })?;
        let mut entry = at_hand.entry;
        // What was passed over is of interest to who did not say where to.
        let passed = |entry: &Entry, to: u64| if back.to.is_none() { entry.left_out(to) } else { Vec::new() };
        match (at_hand.version.take(), target(&entry)?) {
            (Some(version), _) => {
                let skipped = passed(&entry, version.number);
                if back.to.is_none() && version.number == 0 {
                    entry.begins_with_configuration();
                }
                let done = inner.activate(entry, version, None)?;
                Ok(Deployed { skipped, ..done })
            }
            (None, Target::Version(_)) => {
                entry.follow_configuration();
                let off = inner.commit(entry, Vec::new())?;
                Ok(Deployed { off_as_configured: true, ..off })
            }
            (None, Target::EndCanary) => {
                entry.canary = None;
                inner.commit(entry, Vec::new())
            }
        }
    }
}

impl Entry {
    /// What was active before and is not in quarantine, the last one first.
    pub(super) fn active_before(&self) -> impl Iterator<Item = u64> {
        let fits = |number: &u64| !self.quarantined.contains_key(number) && self.material(*number).is_some();
        self.former.iter().rev().copied().filter(fits)
    }

    /// Whether what the configuration says may be what was there before all that was deployed.
    fn comes_from_configuration(&self) -> bool {
        self.base.is_some() && self.chosen.is_some_and(|chosen| chosen > 0) && !self.quarantined.contains_key(&0)
    }

    /// What was before all that was deployed: behind it there is nothing to go back to, whether it was active itself or not.
    fn begins_with_configuration(&mut self) {
        if !self.former.contains(&0) {
            self.former.insert(0, 0);
        }
    }

    fn before(&self) -> Option<u64> {
        self.chosen?;
        self.active_before().next()
    }

    /// The versions that are passed over on the way back to another one: those in between, and those in quarantine that were active
    /// after it.
    fn left_out(&self, to: u64) -> Vec<u64> {
        let Some(chosen) = self.chosen else { return Vec::new() };
        let between = self.stored.keys().copied().filter(|number| *number > to && *number < chosen);
        let after = self.former.iter().rev().copied().take_while(|number| *number != to);
        let quarantined = after.filter(|number| self.quarantined.contains_key(number));
        between.chain(quarantined).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Notes what was active when another version takes its place. Back at a version that was active before, what came after that is
    /// forgotten: who goes back twice does not come to where they were.
    pub(super) fn note_former(&mut self, next: u64) {
        let before = self.chosen.or(self.resting).filter(|before| *before != next);
        match self.former.iter().position(|number| *number == next) {
            Some(at) => self.former.truncate(at),
            None => self.former.extend(before),
        }
    }
}
