//! A new version beside the active one, for some of the clients. Who belongs to it follows from the client's id, so the
//! order of one client's messages holds.

use super::chain::Chain;
use super::error::DeployError;
use super::modules::Modules;
use super::report::Deployed;
use std::sync::Arc;

/// The other side of a plan while a canary runs.
pub(super) struct Side {
    /// Makes the choice of clients another one for each canary.
    pub(super) salt: u64,
    /// Of a hundred clients, how many.
    pub(super) percent: u8,
    /// What they follow.
    pub(super) chain: Arc<Chain>,
}

impl Side {
    fn takes(&self, client: &str) -> bool {
        xxhash_rust::xxh3::xxh3_64_with_seed(client.as_bytes(), self.salt) % 100 < u64::from(self.percent)
    }
}

impl Modules {
    /// Ends a canary: every client follows it from now on.
    pub fn confirm(&self, name: &str) -> Result<Deployed, DeployError> {
        let inner = self.inner();
        let _changing = inner.changing();
        let mut entry = inner.registry().lock().entry(name)?.clone();
        self.check(name, Some(&entry))?;
        let canary = entry.canary.take().ok_or_else(|| DeployError::NoCanary(name.to_owned()))?;
        inner.check_signature(&entry, canary.version.number)?;
        entry.choose(Some(canary.version));
        inner.commit(entry, Vec::new())
    }

    /// Has more or fewer clients follow a canary. Of those who do, none leaves it where they become more, nor does anybody come to it
    /// where they become fewer.
    pub fn widen(&self, name: &str, percent: u8) -> Result<Deployed, DeployError> {
        let inner = self.inner();
        let _changing = inner.changing();
        let mut entry = inner.registry().lock().entry(name)?.clone();
        self.check(name, Some(&entry))?;
        if !(1..=100).contains(&percent) {
            return Err(DeployError::CanaryPercent(percent));
        }
        let mut canary = entry.canary.take().ok_or_else(|| DeployError::NoCanary(name.to_owned()))?;
        if percent > canary.percent {
            inner.check_signature(&entry, canary.version.number)?;
        }
        canary.percent = percent;
        entry.canary = Some(canary);
        inner.commit(entry, Vec::new())
    }
}

impl Chain {
    /// Whether some clients follow another chain.
    pub fn is_split(&self) -> bool {
        self.side.is_some()
    }

    /// The chain that a client follows: this one, or that of the canary.
    pub fn side_of<'a>(self: &'a Arc<Self>, client: &str) -> &'a Arc<Self> {
        match &self.side {
            Some(side) if side.takes(client) => &side.chain,
            _ => self,
        }
    }
}
