//! Publications about which modules are asked that take long: on threads of their own, while the publisher waits and nobody else
//! does. Only publishers that can be made to wait go this way ([`Outlet::connection`](super::Outlet::connection)); one has at
//! most one on the way, so that the order of its messages stays.

use super::attach::{Link, Parked};
use super::publish::{Decision, Publication, Waiting};
use super::route::Route;
use super::worker::Worker;
use super::{Answer, Broker, Outlet};
use crate::client::Client;
use crate::message::{Guarantee, Message, Time};
use crate::wasm::{Chain, stand_back};
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};

/// A message that modules are to be asked about on another thread: see [`Broker::go_round`].
pub struct Detour {
    client: Arc<Client>,
    message: Message,
    route: Arc<Route>,
    /// The plan that the message began with.
    chain: Arc<Chain>,
    outlet: Arc<dyn Outlet>,
    said: Said,
}

/// What the modules said, once they did.
type Said = Arc<Mutex<Option<Decision>>>;

/// Takes a message to a thread that has the time.
type Take = Box<dyn Fn(Detour) + Send + Sync>;

/// Who takes such messages; nobody before the threads are there.
#[derive(Default)]
pub struct Detours(OnceLock<Take>);

/// A publication that waits for what modules say elsewhere.
pub(super) struct Awaited {
    publication: Publication,
    said: Said,
}

/// For a thread that asks modules which take long: threads that serve clients come before it.
pub fn detour_worker(broker: &Broker) -> Worker {
    stand_back();
    broker.worker()
}

impl Broker {
    /// Sets who takes messages to the threads that have the time. Later calls do nothing.
    pub fn on_detour(&self, take: Take) {
        // A second one is ignored, as said.
        let _ = self.detours.0.set(take);
    }

    /// Whether modules that are to be asked about a message take long, and somebody else can ask them.
    pub(super) fn takes_long(&self, worker: &Worker, link: &Link, message: &Message) -> bool {
        worker.chain.takes_long(message.topic().as_str())
            && worker.gathering.is_none()
            && link.outlet.connection().is_some()
            && self.detours.0.get().is_some()
    }

    /// Sends a message to a thread that has the time, and lets its publisher wait.
    pub(super) fn send_round(
        &self,
        worker: &mut Worker,
        link: &mut Link,
        (message, route): (Message, Arc<Route>),
        publication: Publication,
    ) -> Answer {
        let (Some(client), Some(take)) = (&link.client, self.detours.0.get()) else { return Answer::None };
        if publication.guarantee == Guarantee::ExactlyOnce
            && let Some(attachment) = &link.attachment
        {
            // Taken anew by whoever goes on.
            attachment.mailbox.lock().seen.remove(&publication.handle);
        }
        let said = Said::default();
        let (chain, outlet) = (worker.chain.clone(), link.outlet.clone());
        self.metrics.publications_aside_total.add(1);
        take(Detour { client: client.clone(), message, route, chain, outlet, said: said.clone() });
        link.parked = Some(Parked::Elsewhere(Box::new(Awaited { publication, said })));
        Answer::Parked
    }

    /// Asks the modules, on a thread that has the time, and wakes the publisher.
    pub fn go_round(&self, worker: &mut Worker, now: Time, detour: Detour) {
        let Detour { client, message, route, chain, outlet, said } = detour;
        worker.refresh_for(self, &client.id);
        worker.chain = chain;
        let decision = match self.judge(worker, now, &client, message, route) {
            Decision::Go(decided, route) => match self.check_form(worker, &decided, &route) {
                Ok(()) => Decision::Go(decided, route),
                Err(refusal) => Decision::Refused(refusal),
            },
            refused => refused,
        };
        worker.flush(self, now);
        *said.lock() = Some(decision);
        outlet.wake();
    }

    /// Goes on with a publication, if the modules have said what becomes of it.
    pub(super) fn come_back(&self, worker: &mut Worker, link: &mut Link, now: Time, awaited: Box<Awaited>) -> Answer {
        let said = awaited.said.lock().take();
        match said {
            None => {
                link.parked = Some(Parked::Elsewhere(awaited));
                Answer::Parked
            }
            Some(Decision::Refused(refusal)) => self.refuse(worker, link, refusal, awaited.publication),
            Some(Decision::Go(decided, _)) => {
                let waiting = Waiting::new(decided, awaited.publication);
                self.try_again(worker, link, now, waiting)
            }
        }
    }
}
