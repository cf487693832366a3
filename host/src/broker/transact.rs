//! Several publications and disposals as one unit: all of them take effect, or none.

use super::attach::Link;
use super::bare::{PublishBare, Taken};
use super::worker::Worker;
use super::{Attachment, Broker};
use crate::dialogue::Disposal;
use crate::message::{Refusal, RefusalKind, Time};
use crate::store::Sequence;

/// An entry that a receiver disposes of.
pub struct Retired<'a> {
    /// Its hold on the mailbox.
    pub attachment: &'a Attachment,
    /// Which entry.
    pub number: u64,
    /// What becomes of it.
    pub disposal: &'a Disposal,
}

impl Broker {
    /// Carries out a transaction. What can be known beforehand to refuse a message refuses the whole; a routing module that
    /// refuses one of them when its turn comes takes out that one only.
    ///
    /// # Errors
    /// Nothing was done.
    pub fn transact(
        &self,
        worker: &mut Worker,
        link: &mut Link,
        now: Time,
        publications: Vec<PublishBare<'_>>,
        retired: Vec<Retired<'_>>,
    ) -> Result<Sequence, Refusal> {
        worker.refresh(self);
        if !self.store.is_healthy() {
            return Err(Refusal::new(RefusalKind::Unavailable, "the disk does not take anything"));
        }
        let scope = link.scope.clone();
        for publish in &publications {
            let route = self.route(worker, &scope, publish.name)?;
            if route.targets.iter().any(|target| self.has_no_room(target)) {
                return Err(Refusal::new(RefusalKind::QuotaExceeded, "a receiver's queue is full"));
            }
        }
        worker.gathering = Some(Box::default());
        for publish in publications {
            if let Taken::Parked = self.publish_bare(worker, link, now, publish, None) {
                link.parked = None;
                self.metrics.messages_dropped_total.add(1);
            }
        }
        for Retired { attachment, number, disposal } in retired {
            self.dispose(worker, now, attachment, &[number], disposal);
        }
        let staged = worker.gathering.take().unwrap_or_default();
        Ok(self.commit(worker, *staged))
    }
}
