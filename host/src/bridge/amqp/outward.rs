//! One route out: a consumer of the hall and a sending link.

use super::super::LISTENER;
use super::super::mapping::Way;
use super::super::seat::{Bell, Hall};
use super::super::thread::Plan;
use super::form;
use crate::broker::{Attachment, Parting, Receive, Source, Take};
use crate::client::{Client, Protocol, Scope};
use crate::dialogue::{Consignment, Disposal, RetainHandling, SubscribeFilter, SubscribeOptions};
use crate::message::Guarantee;
use fe2o3_amqp::link::SendError;
use fe2o3_amqp::types::messaging::Outcome;
use fe2o3_amqp::{Sendable, Sender};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A route's hold on what it takes from the hall. It lets go when it is dropped, and what it listens to is kept.
pub struct Holding {
    hall: Hall,
    bell: Arc<Bell>,
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
    fn some(&self, most: usize) -> Vec<Consignment> {
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

    fn dispose(&self, number: u64, how: &Disposal) {
        let Some(attachment): Option<&Attachment> = self.link.attachment() else { return };
        let now = self.hall.now();
        self.hall.broker.dispose(&mut self.hall.worker.borrow_mut(), now, attachment, &[number], how);
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
    format!("bridge/{bridge}/{:08x}", way.number).into()
}

fn session(plan: &Plan, way: &Way) -> Client {
    let id = session_id(&plan.settings.name, way);
    let scope = Scope { listener: LISTENER.into(), protocol: Protocol::Amqp, identity: Some(id.clone()) };
    Client { id, scope, peer: plan.client.peer.clone() }
}

pub fn is_queue(address: &str) -> bool {
    address.starts_with("/queues/")
}

/// Sends what comes, until the link breaks or the bridge is stopped.
pub async fn outward(
    plan: Rc<Plan>,
    hall: Hall,
    holding: Holding,
    way: Way,
    mut sender: Sender,
    went_well: Rc<Cell<bool>>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), String> {
    let mut under_way: JoinSet<(u64, Result<Outcome, SendError>)> = JoinSet::new();
    let window = usize::from(plan.settings.window);
    while !*stopped.borrow() {
        for consignment in holding.some(window.saturating_sub(under_way.len())) {
            let number = consignment.number;
            let message = match form::outgoing(&plan, &way, &consignment, hall.now()) {
                Ok(Some(message)) => message,
                Ok(None) => {
                    plan.figures.looped_total.add(1);
                    holding.dispose(number, &Disposal::Accepted);
                    continue;
                }
                Err(reason) => {
                    refused(&plan, &reason);
                    holding.dispose(number, &Disposal::Rejected);
                    continue;
                }
            };
            let sendable = Sendable::builder().message(message).settled(way.route.qos == 0).build();
            let handed = tokio::select! {
                handed = sender.send_batchable(sendable) => handed.map_err(|error| error.to_string())?,
                _ = stopped.changed() => return Ok(()),
            };
            under_way.spawn(async move { (number, handed.await) });
        }
        hall.flush();
        if let Some(why) = holding.bell.closed() {
            return Err(format!("the hall ended the session's connection: {why:?}"));
        }
        tokio::select! {
            Some(ended) = under_way.join_next() => {
                let (number, outcome) = ended.map_err(|error| error.to_string())?;
                match outcome.map_err(|error| error.to_string())? {
                    Outcome::Accepted(_) => {
                        plan.figures.sent_total.add(1);
                        went_well.set(true);
                        holding.dispose(number, &Disposal::Accepted);
                    }
                    Outcome::Rejected(why) => {
                        let reason = why.error.map(|error| format!("{error:?}")).unwrap_or_default();
                        refused(&plan, &reason);
                        holding.dispose(number, &Disposal::Rejected);
                    }
                    other => return Err(format!("it does not take a message now: {other:?}")),
                }
            }
            () = holding.bell.notify.notified() => {}
            _ = stopped.changed() => {}
        }
    }
    // What is under way comes again.
    let _ = sender.detach().await;
    Ok(())
}

fn refused(plan: &Plan, reason: &str) {
    plan.figures.refused_total.add(1);
    tracing::warn!(bridge = plan.settings.name, reason, "the other broker refuses a message for good; it is dropped");
}
