//! One route in: a receiving link and a publisher of the hall.

use super::super::mapping::Way;
use super::super::seat::{Bell, Hall};
use super::super::thread::Plan;
use super::form::{self, Any, Known};
use super::outward::is_queue;
use crate::amqp::sections::Sections;
use crate::broker::{Link, PublishBare, Taken};
use crate::message::{Bare, Guarantee, RefusalKind};
use crate::store::Sequence;
use fe2o3_amqp::link::delivery::DeliveryInfo;
use fe2o3_amqp::types::messaging::Body;
use fe2o3_amqp::types::primitives::Value;
use fe2o3_amqp::{Delivery, Receiver};
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::watch;

/// One route.
pub struct Inward {
    pub plan: Rc<Plan>,
    pub hall: Hall,
    pub way: Way,
    pub bell: Arc<Bell>,
    pub link: Link,
    pub origin: u64,
    pub went_well: Rc<Cell<bool>>,
}

/// What the hall says of one message.
enum Said {
    /// It is taken, once so much is on disk.
    Taken(Sequence),
    /// It never will be.
    Never(String),
}

impl Inward {
    /// A queue that is to get all of it is made now: what comes before its first consumer waits in it.
    ///
    /// # Errors
    /// The hall makes none.
    pub fn prepare(&mut self) -> Result<(), String> {
        if !is_queue(&self.way.route.local) {
            return Ok(());
        }
        let (hall, now) = (self.hall.clone(), self.hall.now());
        let mut worker = hall.worker.borrow_mut();
        let made = hall.broker.queue_to_send_to(&mut worker, &mut self.link, now, &self.way.route.local);
        made.map_err(|refusal| format!("{}: {}", self.way.route.local, refusal.reason))
    }

    /// Takes what comes, until the link breaks or the bridge is stopped.
    pub async fn run(mut self, mut receiver: Receiver, mut stopped: watch::Receiver<bool>) -> Result<(), String> {
        let mut waiting: VecDeque<(Sequence, DeliveryInfo)> = VecDeque::new();
        let window = usize::from(self.plan.settings.window);
        let failed = |error: &dyn std::fmt::Display| error.to_string();
        while !*stopped.borrow() {
            tokio::select! {
                received = receiver.recv(), if waiting.len() < window => {
                    let delivery: Delivery<Body<Value>> = received.map_err(|error| failed(&error))?;
                    let (info, message) = delivery.into_parts();
                    match self.take(message).await? {
                        Said::Taken(after) => waiting.push_back((after, info)),
                        Said::Never(reason) => {
                            self.plan.figures.refused_total.add(1);
                            let bridge = &self.plan.settings.name;
                            tracing::warn!(bridge, reason, "a message from the other broker is refused here for good");
                            receiver.reject(info, None).await.map_err(|error| failed(&error))?;
                        }
                    }
                    self.hall.flush();
                }
                () = self.bell.notify.notified() => {}
                _ = stopped.changed() => {}
            }
            while waiting.front().is_some_and(|(after, _)| self.is_on_disk(*after)) {
                if let Some((_, info)) = waiting.pop_front() {
                    self.went_well.set(true);
                    receiver.accept(info).await.map_err(|error| failed(&error))?;
                }
            }
        }
        let _ = receiver.detach().await;
        Ok(())
    }

    fn is_on_disk(&self, after: Sequence) -> bool {
        if self.hall.broker.is_committed(after) {
            return true;
        }
        self.hall.broker.await_answer(after, self.bell.clone());
        self.hall.broker.is_committed(after)
    }

    async fn take(&mut self, mut message: Any) -> Result<Said, String> {
        let via = form::via(&message);
        if via.iter().any(|node| *node == *self.plan.node) || via.len() > self.plan.settings.hops_max as usize {
            self.plan.figures.looped_total.add(1);
            return Ok(Said::Taken(0));
        }
        let to = message.properties.as_ref().and_then(|said| said.to.clone());
        let Some(name) = self.name(to.as_deref()) else {
            return Ok(Said::Never(format!("its address {to:?} leads nowhere here")));
        };
        form::mark(&mut message, via, &self.plan.node);
        let Known { bytes, guarantee, retain, blank, header } = match form::incoming(message) {
            Ok(known) => known,
            Err(reason) => return Ok(Said::Never(reason)),
        };
        if let Err(error) = Sections::scan(&bytes, &crate::amqp::Limits::default()) {
            return Ok(Said::Never(format!("{error:?}")));
        }
        let most = Guarantee::from_level(self.way.route.qos).unwrap_or_default();
        let handover = most.min(Guarantee::AtLeastOnce);
        let publish = PublishBare {
            name: &name,
            guarantee: guarantee.min(most),
            retain,
            expiry_milliseconds: header.ttl.map(u64::from),
            bare: Bare { handover, blank, durable: header.durable, priority: header.priority.0 },
            origin: self.origin,
            encoded: &bytes,
        };
        let (hall, now) = (self.hall.clone(), self.hall.now());
        let mut taken = hall.broker.publish_bare(&mut hall.worker.borrow_mut(), &mut self.link, now, publish, None);
        loop {
            match taken {
                Taken::Yes(after, _) => {
                    self.plan.figures.received_total.add(1);
                    return Ok(Said::Taken(after));
                }
                Taken::No(refusal) => {
                    return match refusal.kind {
                        RefusalKind::NotAuthorized | RefusalKind::TopicInvalid | RefusalKind::PayloadInvalid => {
                            Ok(Said::Never(refusal.reason))
                        }
                        // It stays there and comes again.
                        _ => Err(format!("a message cannot be taken here now: {}", refusal.reason)),
                    };
                }
                Taken::Parked => {
                    hall.flush();
                    self.bell.notify.notified().await;
                    let now = hall.now();
                    taken = hall.broker.resume_bare(&mut hall.worker.borrow_mut(), &mut self.link, now, None);
                }
            }
        }
    }

    /// What a message is called here.
    fn name(&self, to: Option<&str>) -> Option<String> {
        let route = &self.way.route;
        if !route.local.is_empty() {
            return Some(route.local.clone());
        }
        let is_wild = route.filter.contains(['+', '#']);
        to.and_then(|to| self.way.inward(to)).or_else(|| (!is_wild).then(|| route.local_source()))
    }
}
