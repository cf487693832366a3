//! One route in: a receiving link and a publisher of the hall.

use super::super::held::{Entry, Held};
use super::super::mapping::Way;
use super::super::retry::Retry;
use super::super::seat::{Bell, Hall};
use super::super::thread::Plan;
use super::form::{Came, Known};
use super::holding::is_queue;
use super::outward::sleep_until;
use super::words;
use crate::broker::{Link, PublishBare, Taken};
use crate::message::{Bare, Guarantee, RefusalKind};
use crate::metrics::RouteState;
use crate::store::Sequence;
use fe2o3_amqp::link::delivery::DeliveryInfo;
use fe2o3_amqp::types::definitions::{AmqpError, Error};
use fe2o3_amqp::types::messaging::{Body, Message};
use fe2o3_amqp::types::primitives::Value;
use fe2o3_amqp::{Delivery, Receiver};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Bytes of messages that may wait for room here; then no more are taken from the link.
const HELD_BYTES_MAX: usize = 64 << 20;
/// How often a publication that waits for room is looked at, at least.
const LOOK: Duration = Duration::from_secs(1);
/// How long the other broker may take to hear a goodbye.
const FAREWELL: Duration = Duration::from_secs(1);

/// One route.
pub struct Inward {
    pub plan: Rc<Plan>,
    pub hall: Hall,
    pub way: Way,
    /// Its place among the bridge's routes.
    pub at: usize,
    /// The other broker's id, if it is one of ours and has told it.
    pub peer: Option<Arc<str>>,
    /// The other broker says of each message which topic it is of.
    pub tells_topics: bool,
    pub bell: Arc<Bell>,
    pub link: Link,
    pub origin: u64,
}

/// A message as the hall takes it.
struct Ready {
    known: Known,
    info: DeliveryInfo,
}

/// What the hall says of one message.
enum Said {
    /// It is taken, once so much is on disk.
    Taken(Sequence),
    /// It does not take it now.
    NotNow(String),
    /// It never will be.
    Never(String),
}

/// What is under way on the link.
struct State {
    /// Taken, and not yet on disk.
    taken: VecDeque<(Sequence, DeliveryInfo)>,
    /// Not taken yet: unsettled, so the other broker keeps them, and sends no more than its credit.
    held: Held<Ready>,
    next: u64,
}

impl Inward {
    /// A queue that is to get all of it is made now: what comes before its first consumer waits in it.
    ///
    /// # Errors
    /// The hall makes none.
    fn prepare(&mut self) -> Result<(), String> {
        if !is_queue(&self.way.route.local) {
            return Ok(());
        }
        let (hall, now) = (self.hall.clone(), self.hall.now());
        let mut worker = hall.worker.borrow_mut();
        let made = hall.broker.may_send_to(&mut worker, &mut self.link, now, &self.way.route.local, true);
        made.map_err(|refusal| format!("{}: {}", self.way.route.local, refusal.reason))
    }

    /// Takes what comes, until the link breaks or the bridge is stopped.
    pub async fn run(mut self, mut receiver: Receiver, stopped: watch::Receiver<bool>) -> Result<(), String> {
        let ended = match self.prepare() {
            Ok(()) => self.receive(&mut receiver, stopped).await,
            Err(reason) => Err(reason),
        };
        self.plan.figures.routes[self.at].set_held(0);
        // Not closed, as the library would do by itself: that would end a durable subscription.
        let _ = tokio::time::timeout(FAREWELL, receiver.detach()).await;
        ended
    }

    async fn receive(&mut self, receiver: &mut Receiver, mut stopped: watch::Receiver<bool>) -> Result<(), String> {
        let held = Held::new(Retry::new(&self.plan.settings));
        let mut state = State { taken: VecDeque::new(), held, next: 0 };
        let window = usize::from(self.plan.settings.window);
        while !*stopped.borrow() {
            let room = state.taken.len() + state.held.len() < window && state.held.bytes() < HELD_BYTES_MAX;
            tokio::select! {
                received = receiver.recv(), if room => {
                    let delivery: Delivery<Body<Value>> = received.map_err(|error| words::received(&error))?;
                    let (info, message) = delivery.into_parts();
                    self.take(info, &joined(message), &mut state, receiver).await?;
                }
                () = sleep_until(state.held.due()) => {
                    if state.held.begin(Instant::now()) {
                        while let Some(entry) = state.held.next() {
                            self.offer(entry, &mut state, receiver).await?;
                        }
                    }
                }
                () = self.bell.notify.notified() => {}
                _ = stopped.changed() => {}
            }
            self.hall.flush();
            while state.taken.front().is_some_and(|(after, _)| self.is_on_disk(*after)) {
                if let Some((_, info)) = state.taken.pop_front() {
                    receiver.accept(info).await.map_err(|error| words::disposing(&error))?;
                }
            }
            self.tell(&mut state);
        }
        Ok(())
    }

    fn tell(&self, state: &mut State) {
        let route = &self.plan.figures.routes[self.at];
        route.set_held(state.held.len());
        state.held.rest();
        if !state.held.concerns(0) {
            self.plan.unstick(&self.hall, self.at);
        }
    }

    fn is_on_disk(&self, after: Sequence) -> bool {
        self.bell.is_on_disk(&self.hall.broker, after)
    }

    /// A message came.
    async fn take(
        &mut self,
        info: DeliveryInfo,
        bytes: &[u8],
        state: &mut State,
        receiver: &mut Receiver,
    ) -> Result<(), String> {
        let most = self.plan.settings.message_bytes_max as usize;
        if bytes.len() > most {
            let reason = format!("it has {} bytes; message_bytes_max is {most}", bytes.len());
            return self.refuse(info, receiver, AmqpError::NotAllowed, &reason).await;
        }
        let came = match Came::read(bytes) {
            Ok(came) => came,
            Err(reason) => return self.refuse(info, receiver, AmqpError::DecodeError, &reason).await,
        };
        let via = &came.via;
        if via.iter().any(|node| **node == *self.plan.node) || via.len() > self.plan.settings.hops_max as usize {
            self.plan.figures.looped_total.add(1);
            state.taken.push_back((0, info));
            return Ok(());
        }
        let topic = came.topic().filter(|_| self.tells_topics);
        let Some(name) = self.name(topic.or(came.to())) else {
            let reason = match came.to() {
                Some(to) => format!("its address {to:?} leads nowhere here"),
                None => "it has no address (to), which a filter with wildcards needs".to_owned(),
            };
            return self.refuse(info, receiver, AmqpError::NotAllowed, &reason).await;
        };
        // It is the bridge that knows which broker it left: that one may fetch it from here in its turn.
        let known = match came.known(self.peer.as_deref()) {
            Ok(known) => known,
            Err(reason) => return self.refuse(info, receiver, AmqpError::DecodeError, &reason).await,
        };
        state.next += 1;
        let (order, bytes) = (state.next, known.bytes.len());
        let entry = Entry { order, route: 0, topic: name.into(), bytes, item: Ready { known, info } };
        if state.held.blocks(&entry.topic) {
            state.held.put(entry);
            return Ok(());
        }
        self.offer(entry, state, receiver).await
    }

    /// Has the hall take a message, or lets it wait.
    async fn offer(&mut self, entry: Entry<Ready>, state: &mut State, receiver: &mut Receiver) -> Result<(), String> {
        match self.publish(&entry.topic, &entry.item.known).await {
            Said::Taken(after) => {
                self.plan.figures.received_total.add(1);
                state.taken.push_back((after, entry.item.info));
                Ok(())
            }
            Said::Never(reason) => {
                let reason = format!("{}: {reason}", entry.topic);
                self.refuse(entry.item.info, receiver, AmqpError::NotAllowed, &reason).await
            }
            Said::NotNow(reason) => {
                state.held.refused(Instant::now(), entry);
                self.plan.note(&self.hall, self.at, RouteState::Stuck, &reason);
                Ok(())
            }
        }
    }

    async fn refuse(
        &self,
        info: DeliveryInfo,
        receiver: &mut Receiver,
        condition: AmqpError,
        reason: &str,
    ) -> Result<(), String> {
        self.plan.figures.refused_total.add(1);
        let (bridge, route) = (&self.plan.settings.name, &self.plan.figures.routes[self.at].name);
        tracing::warn!(bridge, route, reason, "a message from the other broker is refused here for good");
        let error = Error::new(condition, reason.to_owned(), None);
        receiver.reject(info, error).await.map_err(|error| words::disposing(&error))
    }

    async fn publish(&mut self, name: &str, known: &Known) -> Said {
        let Known { bytes, guarantee, retain, blank, header, until } = known;
        let (hall, now) = (self.hall.clone(), self.hall.now());
        let left = until.map(|at| at.since(now));
        let most = Guarantee::from_level(self.way.route.qos).unwrap_or_default();
        let handover = most.min(Guarantee::AtLeastOnce);
        let publish = PublishBare {
            name,
            guarantee: (*guarantee).min(most),
            retain: *retain,
            expiry_milliseconds: header.ttl_milliseconds.map(u64::from).into_iter().chain(left).min(),
            bare: Bare { handover, blank: *blank, durable: header.durable, priority: header.priority },
            origin: self.origin,
            encoded: bytes,
        };
        let mut taken = hall.broker.publish_bare(&mut hall.worker.borrow_mut(), &mut self.link, now, publish, None);
        loop {
            match taken {
                Taken::Yes(after, _) => return Said::Taken(after),
                Taken::No(refusal) => {
                    return match refusal.kind {
                        RefusalKind::NotAuthorized | RefusalKind::TopicInvalid | RefusalKind::PayloadInvalid => {
                            Said::Never(refusal.reason)
                        }
                        _ => Said::NotNow(refusal.reason),
                    };
                }
                Taken::Parked => {
                    hall.flush();
                    // It is refused in the end, and that nobody rings for.
                    let _ = tokio::time::timeout(LOOK, self.bell.notify.notified()).await;
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

/// The bytes of a message, which came to the library as data sections.
fn joined(message: Message<Body<Value>>) -> Vec<u8> {
    match message.body {
        Body::Data(parts) => parts.iter().flat_map(|part| part.0.iter().copied()).collect(),
        _ => Vec::new(),
    }
}
