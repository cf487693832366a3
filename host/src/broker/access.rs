//! What modules say of who may come in, and what they may do: asked at every way in and out, remembered for as long as the
//! answers hold. Where no module decides over access, nothing here costs anything.
//!
//! | Way | Asked where | Remembered with |
//! |---|---|---|
//! | a publication | `publish`, `bare`, before routing modules see it; again after a wait | the connection |
//! | a subscription, a queue; one to which others subscribe already, of each who joins | `subscribing`, `receive` | nothing |
//! | a session's filters that a service adds | `sessions`, before any of them is added | nothing |
//! | a copy | `route`, when a topic's way is worked out | the route |
//! | a copy that was queued under other modules, a retained message, one that is sent again | `decide`, before it leaves | the mailbox |
//! | a copy for those who share a subscription of AMQP and have different rights | `decide`, of each of them | the copy |
//! | a copy that another member of a share is to get | `deliver`, when the first one does not take it | the mailbox |
//! | a copy by a queue's binding, of who bound it | `route`, `decide` | the route |
//! | a consumer of a queue | `decide`, before the first entry leaves; here, for those who wait for one, when modules change | the consumer |
//! | a will | `wills`, when it is left and when it is due | nothing |
//! | a sending link, and the address of dead letters that a client sets | `queues` | nothing |
//! | a request to `$management`, and a filter that is bound | `queues` | nothing |
//! | what comes by HTTP or from a module | `publish` | nothing |

use super::mailbox::Mailbox;
use super::route::Target;
use super::worker::Worker;
use super::{Broker, Link, queues};
use crate::client::Client;
use crate::dialogue::Closed;
use crate::message::{Refusal, RefusalKind};
use crate::topic::Topic;
use crate::wasm::{Action, Chain, Credentials, Guests};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a client brought to prove who it is.
#[derive(Clone, Copy)]
pub struct Proof<'a> {
    /// As it said.
    pub user: Option<&'a str>,
    /// As it said.
    pub password: Option<&'a [u8]>,
    /// Subject of its verified certificate.
    pub certificate_subject: Option<&'a str>,
}

/// What modules say of who a client is: a name; nothing, as none of them knows; or that it may not come in.
pub type Said = Result<Option<String>, Refusal>;

/// Bytes of a topic, on average, for which there is room where answers are remembered: a topic may have 65,535.
const BYTES_A_TOPIC: usize = 128;

/// Answers that modules gave about one client, in one direction.
#[derive(Default)]
pub struct Permits {
    /// Of the chain that gave them.
    generation: u64,
    /// Whom they are about.
    client: Option<Arc<Client>>,
    answers: HashMap<Topic, bool>,
    /// Of those topics.
    bytes: usize,
    /// The topic that was asked about last.
    last: Option<Topic>,
}

impl Permits {
    fn get(&self, generation: u64, client: &Arc<Client>, topic: &Topic) -> Option<bool> {
        let holds = self.generation == generation && self.client.as_ref().is_some_and(|own| Arc::ptr_eq(own, client));
        holds.then(|| self.answers.get(topic).copied())?
    }

    fn put(&mut self, generation: u64, client: &Arc<Client>, topic: Topic, may: bool, most: usize) {
        let holds = self.generation == generation && self.client.as_ref().is_some_and(|own| Arc::ptr_eq(own, client));
        let bytes = topic.as_str().len();
        if !holds || self.answers.len() >= most || self.bytes + bytes > most * BYTES_A_TOPIC {
            self.answers.clear();
            (self.generation, self.client, self.bytes) = (generation, Some(client.clone()), 0);
        }
        if self.answers.insert(topic, may).is_none() {
            self.bytes += bytes;
        }
    }
}

/// Receivers of a mailbox, by their numbers, that may not have something of it.
pub(super) type Denied = SmallVec<[u64; 2]>;

/// Whether somebody may have something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum May {
    Yes,
    No,
    /// A module failed: not now.
    NotNow,
}

impl May {
    /// `failed`: a no follows from a module's failure.
    fn said(may: bool, failed: bool) -> Self {
        match (may, failed) {
            (true, _) => Self::Yes,
            (false, false) => Self::No,
            (false, true) => Self::NotNow,
        }
    }
}

/// The words for every no.
pub(super) fn denied() -> Refusal {
    Refusal::new(RefusalKind::NotAuthorized, "not authorized")
}

/// The words for a consumer that has lost its right.
pub(super) fn may_not_consume() -> Closed {
    Closed::NotAuthorized("it may not consume this queue any more".into())
}

impl Broker {
    /// Asks the modules who this is. None: one of them may wait for servers outside, so a patient worker is to ask.
    pub fn authenticate(&self, worker: &mut Worker, client: &Client, proof: Proof<'_>) -> Option<Said> {
        match client.id.is_empty() {
            // It has not said yet who it is, or is to be given an id: what runs beside a canary is asked.
            true => worker.refresh(self),
            false => worker.refresh_for(self, &client.id),
        }
        let chain = worker.chain.clone();
        if chain.waits_to_authenticate() && !worker.guests.is_patient() {
            return None;
        }
        let Proof { user, password, certificate_subject } = proof;
        let credentials = Credentials { client, username: user, password, certificate_subject };
        Some(chain.authenticate(&mut worker.guests, credentials))
    }

    /// Asks whether a client may; an error says that it may not.
    pub(super) fn check(
        &self,
        worker: &mut Worker,
        client: &Client,
        action: Action,
        topic: &str,
    ) -> Result<(), Refusal> {
        if !worker.chain.wants_access() {
            return Ok(());
        }
        let chain = worker.chain.clone();
        self.ask(&chain, &mut worker.guests, client, action, topic).then_some(()).ok_or_else(denied)
    }

    fn ask(&self, chain: &Chain, guests: &mut Guests, client: &Client, action: Action, topic: &str) -> bool {
        let may = chain.authorize(guests, client, action, topic) != Some(false);
        if !may {
            self.metrics.access_denied_total.add(1);
        }
        may
    }

    /// Whether the client of a connection may publish to a topic of the broker.
    #[inline(always)]
    pub(super) fn may_publish(
        &self,
        worker: &mut Worker,
        client: &Arc<Client>,
        permits: &mut Option<Box<Permits>>,
        topic: &Topic,
    ) -> Result<(), Refusal> {
        if worker.chain.wants_access() { self.ask_to_publish(worker, client, permits, topic) } else { Ok(()) }
    }

    fn ask_to_publish(
        &self,
        worker: &mut Worker,
        client: &Arc<Client>,
        permits: &mut Option<Box<Permits>>,
        topic: &Topic,
    ) -> Result<(), Refusal> {
        let chain = worker.chain.clone();
        let permits = permits.get_or_insert_default();
        permits.last = Some(topic.clone());
        let may = match permits.get(chain.generation(), client, topic) {
            Some(known) => known,
            None => {
                let failures = worker.guests.failures();
                let may = self.ask(&chain, &mut worker.guests, client, Action::Publish, topic.as_str());
                // What follows from a module's failure holds for this message only.
                if worker.guests.failures() == failures {
                    let most = self.limits.permits_remembered_max;
                    permits.put(chain.generation(), client, topic.clone(), may, most);
                }
                may
            }
        };
        may.then_some(()).ok_or_else(denied)
    }

    /// As [`Self::may_publish`], of a publication that has waited.
    pub(super) fn may_still_publish(&self, worker: &mut Worker, link: &mut Link) -> Result<(), Refusal> {
        let Some(topic) = link.permits.as_ref().and_then(|permits| permits.last.clone()) else { return Ok(()) };
        let client = link.client.as_ref().ok_or_else(denied)?;
        self.may_publish(worker, client, &mut link.permits, &topic)
    }

    /// Whether whoever receives from a mailbox may get messages of a topic, else its owner. Queues are nobody's: who bound them is
    /// asked about here, and their consumers when they consume.
    pub(super) fn may_receive(&self, chain: &Chain, guests: &mut Guests, mailbox: &Mailbox, topic: &Topic) -> May {
        match self.who_may_receive(chain, guests, mailbox, topic) {
            // Each copy is asked about when it leaves.
            (May::Yes, but) if !but.is_empty() => May::NotNow,
            (may, _) => may,
        }
    }

    /// The same, and those receivers that share it and may not, where others may.
    pub(super) fn who_may_receive(
        &self,
        chain: &Chain,
        guests: &mut Guests,
        mailbox: &Mailbox,
        topic: &Topic,
    ) -> (May, Denied) {
        let none = Denied::new();
        if !chain.wants_access() {
            return (May::Yes, none);
        }
        if chain.is_access_closed() {
            return (May::NotNow, none);
        }
        let state = mailbox.lock();
        if queues::is_queue(&state.client) {
            drop(state);
            return (self.may_be_bound(chain, guests, mailbox, topic), none);
        }
        if state.is_shared_by_several() {
            let sharers: Vec<_> =
                state.consuming.consumers.iter().map(|one| (one.number, one.client.clone())).collect();
            drop(state);
            return self.which_may_receive(chain, guests, &sharers, topic);
        }
        let client = state.consuming.consumers.first().map_or(&state.client, |one| &one.client).clone();
        drop(state);
        (self.one_may_receive(chain, guests, mailbox, &client, topic), none)
    }

    fn which_may_receive(
        &self,
        chain: &Chain,
        guests: &mut Guests,
        sharers: &[(u64, Arc<Client>)],
        topic: &Topic,
    ) -> (May, Denied) {
        let failures = guests.failures();
        let may_not =
            |(_, client): &&(u64, Arc<Client>)| !self.ask(chain, guests, client, Action::Receive, topic.as_str());
        let denied: Denied = sharers.iter().filter(may_not).map(|(number, _)| *number).collect();
        match guests.failures() != failures {
            true => (May::NotNow, Denied::new()),
            false if denied.len() == sharers.len() => (May::No, Denied::new()),
            false => (May::Yes, denied),
        }
    }

    fn one_may_receive(
        &self,
        chain: &Chain,
        guests: &mut Guests,
        mailbox: &Mailbox,
        client: &Arc<Client>,
        topic: &Topic,
    ) -> May {
        let known = mailbox.lock().permits.as_ref().and_then(|permits| permits.get(chain.generation(), client, topic));
        if let Some(known) = known {
            return May::said(known, false);
        }
        let failures = guests.failures();
        let may = self.ask(chain, guests, client, Action::Receive, topic.as_str());
        let failed = guests.failures() != failures;
        if !failed {
            let most = self.limits.permits_remembered_max;
            let mut state = mailbox.lock();
            let permits = state.permits.get_or_insert_default();
            permits.put(chain.generation(), client, topic.clone(), may, most);
        }
        May::said(may, failed)
    }

    /// Whether somebody who bound a queue to filters of this topic may get its messages: a binding lets nobody have what its
    /// subscription would not.
    fn may_be_bound(&self, chain: &Chain, guests: &mut Guests, queue: &Mailbox, topic: &Topic) -> May {
        let binders: Vec<_> = {
            let state = queue.lock();
            let all = state.subscriptions.values().filter(|one| one.filter.matches(topic.as_str()));
            all.map(|one| one.binder.clone()).collect()
        };
        let failures = guests.failures();
        let may = |binder: &Option<Arc<Client>>| {
            let Some(binder) = binder else { return true };
            self.ask(chain, guests, binder, Action::Receive, topic.as_str())
        };
        let any = binders.is_empty() || binders.iter().any(may);
        May::said(any, !any && guests.failures() != failures)
    }

    /// Whether a client may consume a queue, and get what is in it.
    pub(super) fn may_consume(&self, chain: &Chain, guests: &mut Guests, client: &Client, address: &str) -> May {
        if !chain.wants_access() {
            return May::Yes;
        }
        let failures = guests.failures();
        let may = [Action::Subscribe, Action::Receive]
            .into_iter()
            .all(|action| self.ask(chain, guests, client, action, address));
        May::said(may, chain.is_access_closed() || guests.failures() != failures)
    }

    /// Leaves out of a topic's way whoever may not get its messages. True: of somebody a module could not say, so copies are
    /// to be asked about when they leave.
    pub(super) fn leave_out_denied(
        &self,
        chain: &Chain,
        guests: &mut Guests,
        topic: &Topic,
        targets: &mut Vec<Target>,
    ) -> bool {
        if !chain.wants_access() {
            return false;
        }
        let mut is_open = false;
        let mut may_not = |mailbox: &Mailbox| {
            let may = self.may_receive(chain, guests, mailbox, topic);
            is_open |= may == May::NotNow;
            may == May::No
        };
        targets.retain_mut(|target| match target {
            Target::Single(single) => !may_not(&single.mailbox),
            Target::Group(group, _, denied) => {
                *denied =
                    group.mailboxes().iter().filter(|mailbox| may_not(mailbox)).map(|mailbox| mailbox.id).collect();
                true
            }
        });
        is_open
    }

    /// Ends the connections of those who consume a queue and may not any more, if modules have changed since the last time.
    pub(super) fn recheck_consumers(&self, worker: &mut Worker) {
        let generation = worker.chain.generation();
        if self.rechecked.swap(generation, Ordering::AcqRel) == generation || !worker.chain.wants_access() {
            return;
        }
        for mailbox in self.directory.all() {
            let state = mailbox.lock();
            if !queues::is_queue(&state.client) || state.consuming.consumers.is_empty() {
                continue;
            }
            let address = state.client.id.clone();
            let consumers: Vec<_> = state
                .consuming
                .consumers
                .iter()
                .map(|consumer| (consumer.client.clone(), consumer.outlet.clone()))
                .collect();
            drop(state);
            for (client, outlet) in consumers {
                let chain = worker.chain_for(&client.id);
                if self.may_consume(&chain, &mut worker.guests, &client, &address) == May::No {
                    outlet.close(may_not_consume());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::nobody;
    use crate::client::Protocol;
    use crate::topic::Limits;

    /// 1,024 topics of 65,000 bytes were remembered in each direction, and stayed with a kept session.
    #[test]
    fn answers_about_topics_are_weighed_and_not_only_counted() {
        let scope = nobody("mqtt", Protocol::Mqtt);
        let client = Arc::new(Client { id: "c".into(), container: None, scope, peer: "".into() });
        let topic = |number: usize, bytes: usize| {
            Topic::new(&format!("{number:04}{}", "x".repeat(bytes)), &Limits::default()).unwrap()
        };
        let mut permits = Permits::default();
        (0..1000).for_each(|number| permits.put(1, &client, topic(number, 100), true, 1024));
        assert_eq!(permits.answers.len(), 1000, "topics of a common length all are");
        for number in 0..100 {
            permits.put(1, &client, topic(number, 60_000), number % 2 == 0, 1024);
            let held: usize = permits.answers.keys().map(|topic| topic.as_str().len()).sum();
            assert!(held == permits.bytes && held <= 1024 * BYTES_A_TOPIC, "{held}");
            assert_eq!(permits.get(1, &client, &topic(number, 60_000)), Some(number % 2 == 0));
        }
    }
}
