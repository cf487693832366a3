//! Publications about which modules are asked that take long: on threads of their own, while the publisher waits and nobody else
//! does. Only publishers that can be made to wait go this way ([`Outlet::connection`](super::Outlet::connection)); one has at
//! most one on the way, so that the order of its messages stays.

use super::attach::{Link, Parked};
use super::publish::{Decision, Publication, Waiting};
use super::route::Route;
use super::worker::Worker;
use super::{Answer, Broker, Outlet};
use crate::client::Client;
use crate::message::{Guarantee, Message, Refusal, RefusalKind, Time};
use crate::wasm::{Back, Chain, stand_back};
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};

/// A message that modules are to be asked about on another thread: see [`Broker::go_round`].
pub struct Detour {
    client: Arc<Client>,
    message: Message,
    route: Arc<Route>,
    /// The plan that the message began with.
    chain: Arc<Chain>,
    answer: Owed,
}

/// The answer that a publisher waits for: where nobody gives it, its message is refused.
struct Owed {
    outlet: Arc<dyn Outlet>,
    said: Said,
}

impl Owed {
    fn give(self, decision: Decision) {
        *self.said.lock() = Some(decision);
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.said.lock().get_or_insert_with(|| {
            Decision::Refused(Refusal::new(RefusalKind::Unavailable, "nobody could ask the modules about it"))
        });
        self.outlet.wake();
    }
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
    stand_back(Back::ALittle);
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
            attachment.mailbox.lock().forget_seen(publication.handle);
        }
        let said = Said::default();
        let answer = Owed { outlet: link.outlet.clone(), said: said.clone() };
        self.metrics.publications_aside_total.add(1);
        take(Detour { client: client.clone(), message, route, chain: worker.chain.clone(), answer });
        link.parked = Some(Parked::Elsewhere(Box::new(Awaited { publication, said })));
        Answer::Parked
    }

    /// Asks the modules, on a thread that has the time, and wakes the publisher.
    pub fn go_round(&self, worker: &mut Worker, now: Time, detour: Detour) {
        let Detour { client, message, route, chain, answer } = detour;
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
        answer.give(decision);
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
                // It has not waited for room yet.
                let waiting = Waiting::new(decided, Publication { since: now, ..awaited.publication });
                self.try_again(worker, link, now, waiting)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Hall, Peer, hall};
    use super::*;
    use crate::broker::Limits;
    use crate::dialogue::Event;
    use crate::message::Envelope;
    use crate::topic::Topic;
    use std::sync::mpsc::{Receiver, channel};

    const LEAST: Guarantee = Guarantee::AtLeastOnce;

    /// A hall whose slow messages come out at the other end.
    fn with_detours(limits: Limits) -> (Hall, Receiver<Detour>) {
        let hall = hall(limits);
        let (give, take) = channel();
        hall.broker.on_detour(Box::new(move |detour| give.send(detour).unwrap()));
        (hall, take)
    }

    /// Publishes to `a` as if modules took long.
    fn publish_aside(hall: &mut Hall, peer: &mut Peer, handle: u16) {
        let topic = Topic::new("a", &Default::default()).unwrap();
        let route = hall.broker.route_of(&mut hall.worker, &topic);
        let envelope = Envelope { topic, guarantee: LEAST, retain: false, expires: None, properties: None, hops: 0 };
        let publication = Publication { guarantee: LEAST, handle, since: hall.now };
        let message = (Message::new(envelope, 0, b"x"), route);
        let answer = hall.broker.send_round(&mut hall.worker, &mut peer.link, message, publication);
        assert!(matches!(answer, Answer::Parked));
    }

    fn is_refused(answer: &Answer) -> bool {
        matches!(answer, Answer::Say(_, Event::Published { outcome: Err(_), .. }))
    }

    #[test]
    fn a_message_that_nobody_answers_about_is_refused() {
        let (mut hall, taken) = with_detours(Limits::default());
        let (mut publisher, _) = hall.attach("p", true, 0, 10);
        publish_aside(&mut hall, &mut publisher, 1);
        drop(taken.recv().unwrap());
        assert_eq!(publisher.probe.wakes.load(std::sync::atomic::Ordering::Relaxed), 1);
        let answer = hall.broker.resume(&mut hall.worker, &mut publisher.link, hall.now);
        assert!(is_refused(&answer), "{answer:?}");
    }

    #[test]
    fn the_time_that_modules_took_is_no_time_of_a_wait_for_room() {
        let limits = Limits { queue_messages_max: 1, publisher_wait_milliseconds_max: 10_000, ..Default::default() };
        let (mut hall, taken) = with_detours(limits);
        let (mut subscriber, _) = hall.attach("s", true, 0, 1);
        hall.subscribe(&mut subscriber, "a", LEAST);
        let (mut publisher, _) = hall.attach("p", true, 0, 10);
        hall.publish(&mut publisher, "a", LEAST, 1, b"x");
        publish_aside(&mut hall, &mut publisher, 2);
        for (seconds, refused) in [(11, false), (9, false), (2, true)] {
            hall.now = hall.now.plus_seconds(seconds);
            let detours: Vec<Detour> = taken.try_iter().collect();
            detours.into_iter().for_each(|detour| hall.broker.go_round(&mut hall.worker, hall.now, detour));
            let answer = hall.broker.resume(&mut hall.worker, &mut publisher.link, hall.now);
            assert_eq!(is_refused(&answer), refused, "{seconds}: {answer:?}");
        }
    }
}
