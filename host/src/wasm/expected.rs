//! What whoever changes a module takes it to be: a change that is made on another one is none that was meant.

use super::error::DeployError;
use super::modules::Modules;
use super::registry::{Entry, Standing};
use xxhash_rust::xxh3::xxh3_64;

/// What has to hold of a module for it to be changed. Nothing is asked for by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// It is one of these.
    pub is: Option<Tags>,
    /// It is none of these.
    pub is_not: Option<Tags>,
}

/// Modules as somebody has seen them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tags {
    /// Whatever there is.
    Any,
    /// [`ModuleInfo::tag`](super::ModuleInfo::tag) of each.
    These(Vec<String>),
}

impl Tags {
    /// Whether a module with this tag is one of them; none: there is no such module.
    pub fn have(&self, tag: Option<&str>) -> bool {
        match (self, tag) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::These(tags), Some(tag)) => tags.iter().any(|other| other == tag),
        }
    }
}

impl Modules {
    /// The same modules, for a change that is refused where something else holds. It is looked at with the right to change something.
    pub fn expecting(&self, expected: Expected) -> Self {
        Self { expected: Some(expected.into()), ..self.clone() }
    }

    /// Whether a module, which may not be there, is what is expected.
    pub(super) fn check(&self, name: &str, entry: Option<&Entry>) -> Result<(), DeployError> {
        let Some(expected) = self.expected.as_deref() else { return Ok(()) };
        let tag = entry.map(Entry::tag);
        let is = expected.is.as_ref().is_none_or(|tags| tags.have(tag.as_deref()));
        let is_not = expected.is_not.as_ref().is_none_or(|tags| !tags.have(tag.as_deref()));
        match (is && is_not, entry) {
            (true, _) => Ok(()),
            (false, None) => Err(DeployError::NotThere(name.to_owned())),
            (false, Some(entry)) => Err(DeployError::Changed { name: name.to_owned(), active: entry.chosen }),
        }
    }
}

impl Entry {
    /// Stands for what operators have made of a module, and for what a rollback would come to; what it counts is no part of it.
    pub(super) fn tag(&self) -> String {
        let sum = |config: &str| xxh3_64(config.as_bytes());
        let standing = |standing: Standing| (standing.order, standing.on_failure);
        let at_work = self.at_work();
        let material = at_work.and_then(|number| self.material(number));
        let made_of = material.map(|material| (material.digest, sum(&material.config)));
        let canary = self.canary.as_ref().map(|canary| (canary.version.number, canary.percent));
        let asked = (&self.services.module, self.chosen, at_work, made_of, standing(self.standing), canary);
        let base = self.base.as_deref().map(|base| (&base.digest, sum(&base.config), standing(base.standing)));
        // A number may be given twice, to a module that was removed and to the next one of its name.
        let stored: Vec<_> = self.stored.iter().map(|(number, stored)| (number, stored.installed)).collect();
        let all = format!("{:?}", (asked, &self.former, stored, base, self.is_configured_off()));
        format!("{:016x}", xxh3_64(all.as_bytes()))
    }
}
