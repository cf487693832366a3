//! Several publications and disposals as one unit: all of them take effect, or none.

use super::attach::Link;
use super::bare::{PublishBare, make};
use super::publish::{Decided, Decision};
use super::route::{Route, Single, Target, Terms};
use super::staged::Staged;
use super::tags::Tagged;
use super::worker::Worker;
use super::{Attachment, Broker};
use crate::dialogue::Disposal;
use crate::message::{Guarantee, Message, Refusal, RefusalKind, Time};
use crate::store::{MailboxId, Sequence};
use hashbrown::HashMap;
use std::sync::Arc;

/// An entry that a receiver disposes of.
pub struct Retired<'a> {
    /// Its hold on the mailbox.
    pub attachment: &'a Attachment,
    /// Which entry.
    pub number: u64,
    /// What becomes of it.
    pub disposal: &'a Disposal,
}

/// Messages and bytes of one transaction for each mailbox.
type Crowd = HashMap<MailboxId, (usize, usize)>;

/// What modules made of the publications.
type Judged = Vec<(Decided, Arc<Route>)>;

impl Broker {
    /// Carries out a transaction. All modules are asked and all queues are looked at before anything happens; what happens
    /// then is one unit for the store. Its effects are on disk after the returned sequence, and with them that the publications
    /// of `tags` were taken, which is known as long as of others ([`Broker::forget_tag`]).
    ///
    /// # Errors
    /// One of the publications is refused, or has no room, or one of the entries is not with its receiver any more: nothing
    /// was done.
    pub fn transact(
        &self,
        worker: &mut Worker,
        link: &mut Link,
        now: Time,
        publications: Vec<PublishBare<'_>>,
        retired: Vec<Retired<'_>>,
        tags: &[Tagged],
    ) -> Result<Sequence, Refusal> {
        let origin = publications.first().map_or(0, |publication| publication.origin);
        let go = self.judge_all(worker, link, now, publications)?;
        let mut crowd = Crowd::default();
        for (decided, route) in &go {
            self.all_has_room(now, decided, route).map_err(|full| full.refusal())?;
            for (wish, route, _) in decided.beside.promised() {
                self.joins(now, &mut crowd, wish, route)?;
            }
            if !decided.beside.is_discarded() {
                self.joins(now, &mut crowd, &decided.message, route)?;
            }
        }
        if !self.store.is_healthy() {
            return Err(Refusal::new(RefusalKind::Unavailable, "the disk does not take anything"));
        }
        let slots = self.admit_all(tags, origin)?;
        self.claim_all(worker, &retired).inspect_err(|_| self.end_slots(&slots, false))?;
        worker.gathering = Some(Staged::of_transaction());
        let mut staged = worker.stage();
        for (decided, route) in go {
            // Somebody may have filled a queue since it was looked at: its bound is exceeded, and nothing is lost.
            self.hand_out_all(worker, now, decided, &route, &mut staged);
        }
        self.commit(worker, staged);
        let tell =
            |untold: fn(&mut u32)| retired.iter().for_each(|one| untold(&mut one.attachment.mailbox.lock().untold));
        tell(|untold| *untold += 1);
        for Retired { attachment, number, disposal } in &retired {
            self.dispose(worker, now, attachment, &[*number], disposal, true);
        }
        let mut gathered = worker.gathering.take().unwrap_or_default();
        slots.iter().for_each(|slot| gathered.change(slot.change()));
        let after = self.commit(worker, gathered);
        tell(|untold| *untold -= 1);
        self.end_slots(&slots, true);
        Ok(after)
    }

    /// Whether a message has room behind those before it, wherever it goes.
    fn joins(&self, now: Time, crowd: &mut Crowd, message: &Message, route: &Route) -> Result<(), Refusal> {
        for target in &route.targets {
            let Target::Single(Single { mailbox, terms: Terms { guarantee, .. }, .. }) = target else { continue };
            if !mailbox.takes() || Self::granted(mailbox, message, *guarantee) == Guarantee::AtMostOnce {
                continue;
            }
            let (messages, bytes) = crowd.entry(mailbox.id).or_default();
            let has_room = || !mailbox.is_full_with(&self.limits, *messages, *bytes);
            if !has_room() {
                self.drop_expired(mailbox, now);
            }
            if !has_room() {
                return Err(Refusal::new(RefusalKind::QuotaExceeded, "a queue has no room for all of it"));
            }
            (*messages, *bytes) = (*messages + 1, *bytes + message.size());
        }
        Ok(())
    }

    /// Keeps the entries that are to end from whoever takes the place of their receivers.
    ///
    /// # Errors
    /// Somebody has, and gets one of them again: all are as before.
    fn claim_all(&self, worker: &mut Worker, retired: &[Retired<'_>]) -> Result<(), Refusal> {
        let claims = |one: &Retired<'_>| {
            let Attachment { mailbox, number } = one.attachment;
            let mut state = mailbox.lock();
            // Of one that has gone nobody gets anything any more.
            state.gone
                || mailbox.claim(&mut state, *number, one.number)
                || mailbox.claim_waiting(&mut state, *number, one.number)
        };
        let Some(lost) = retired.iter().position(|one| !claims(one)) else { return Ok(()) };
        for Retired { attachment: Attachment { mailbox, number }, number: entry, .. } in &retired[..lost] {
            let mut state = mailbox.lock();
            mailbox.unclaim(&mut state, *number, *entry);
            if !state.touched && !state.queue.is_empty() {
                state.touched = true;
                worker.touched.extend(state.outlet.clone());
            }
        }
        Err(Refusal::new(RefusalKind::Unavailable, "a message that is to end with it is with somebody else by now"))
    }

    /// Asks all modules about all publications.
    fn judge_all(
        &self,
        worker: &mut Worker,
        link: &mut Link,
        now: Time,
        publications: Vec<PublishBare<'_>>,
    ) -> Result<Judged, Refusal> {
        let mut judged = Judged::default();
        let Some(client) = link.client.clone() else { return Ok(judged) };
        worker.refresh_for(self, &client.id);
        let scope = link.scope.clone();
        for publish in publications {
            worker.tally.received += 1;
            worker.tally.received_bytes += publish.encoded.len() as u64;
            let route = self.route(worker, &scope, publish.name)?;
            self.may_publish(worker, &client, &mut link.permits, &route.topic)?;
            let Some(message) = make(&route, now, publish) else { continue };
            match self.judge(worker, now, &client, message, route) {
                Decision::Refused(refusal) => return Err(refusal),
                Decision::Go(decided, route) => judged.push((decided, route)),
            }
        }
        Ok(judged)
    }
}
