//! What a route out holds in the hall: a consumer, whose entries stay there until the other broker has answered.

use super::super::LISTENER;
use super::super::mapping::Way;
use super::super::seat::{Bell, Hall};
use super::super::thread::Plan;
use crate::broker::{Attachment, OF_BRIDGES, Parting, Receive, Source, Take};
use crate::client::{Client, Protocol, Scope};
use crate::dialogue::{Consignment, Disposal, RetainHandling, SubscribeFilter, SubscribeOptions};
use crate::message::Guarantee;
use std::sync::Arc;

/// A route's hold on what it takes from the hall. It lets go when it is dropped, and what it listens to is kept.
pub struct Holding {
    hall: Hall,
    pub bell: Arc<Bell>,
    link: crate::broker::Link,
}

impl Holding {
    /// Takes it; `origin` is the number under which the same connection publishes here.
    ///
    /// # Errors
    /// What the hall refuses.
    pub fn take(hall: &Hall, plan: &Plan, way: &Way, origin: u64) -> Result<Self, String> {
        let bell = Arc::new(Bell::default());
        let address = way.route.local_source();
        let source = match is_queue(&address) {
            true => Source::Queue { address: address.into(), browses: false, link: "".into() },
            false => {
                let options = SubscribeOptions {
                    guarantee: Guarantee::from_level(way.route.qos).unwrap_or_default(),
                    no_local: true,
                    retain_as_published: true,
                    retain_handling: RetainHandling::IfNew,
                    identifier: None,
                };
                let filter = SubscribeFilter { name: address.into(), share: None, options };
                Source::Subscription { filter: Some(filter), expiry_seconds: u32::MAX, clean: false, shared: false }
            }
        };
        let receive = Receive { client: session(plan, way), origin, source, predicate: None };
        let now = hall.now();
        let received = hall.broker.receive(&mut hall.worker.borrow_mut(), now, bell.clone(), receive);
        let link = received.map_err(|refusal| refusal.reason)?.link;
        hall.flush();
        Ok(Self { hall: hall.clone(), bell, link })
    }

    /// Up to so many messages.
    pub fn some(&self, most: usize) -> Vec<Consignment> {
        let mut found = Vec::new();
        // Guests may have to be asked about what waits, and that is done on the client's own thread.
        let now = self.hall.now();
        self.hall.broker.refill(&mut self.hall.worker.borrow_mut(), &self.link, now);
        let Some(attachment) = self.link.attachment() else { return found };
        if most > 0 {
            self.hall.broker.consume(attachment, self.hall.now(), false, &mut |consignment| {
                found.push(consignment);
                if found.len() < most { Take::More } else { Take::Enough }
            });
        }
        found
    }

    /// Says what becomes of one of them.
    pub fn dispose(&self, number: u64, how: &Disposal) {
        let Some(attachment): Option<&Attachment> = self.link.attachment() else { return };
        let now = self.hall.now();
        self.hall.broker.dispose(&mut self.hall.worker.borrow_mut(), now, attachment, &[number], how, true);
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let now = self.hall.now();
        self.hall.broker.part(&mut self.hall.worker.borrow_mut(), now, &self.link, Parting::Kept(u32::MAX));
        self.hall.flush();
    }
}

/// The name of the session behind a route.
pub fn session_id(bridge: &str, way: &Way) -> Arc<str> {
    format!("{OF_BRIDGES}{bridge}/{:08x}", way.number).into()
}

fn session(plan: &Plan, way: &Way) -> Client {
    let id = session_id(&plan.settings.name, way);
    let scope = Scope { listener: LISTENER.into(), protocol: Protocol::Amqp, identity: Some(id.clone()) }.into();
    Client { id, container: None, scope, peer: plan.client.peer.clone() }
}

/// Whether an address names a queue, not a topic.
pub fn is_queue(address: &str) -> bool {
    address.starts_with("/queues/")
}
