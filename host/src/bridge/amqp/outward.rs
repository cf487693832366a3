//! One route out: a consumer of the hall and a sending link.

use super::super::LISTENER;
use super::super::mapping::Way;
use super::super::retry::Retry;
use super::super::seat::{Bell, Hall};
use super::super::thread::Plan;
use super::form;
use super::words;
use crate::broker::{Attachment, Parting, Receive, Source, Take};
use crate::client::{Client, Protocol, Scope};
use crate::dialogue::{Consignment, Disposal, RetainHandling, SubscribeFilter, SubscribeOptions};
use crate::message::Guarantee;
use crate::metrics::RouteState;
use fe2o3_amqp::link::SendError;
use fe2o3_amqp::types::definitions::{AmqpError, ErrorCondition};
use fe2o3_amqp::types::messaging::{Data, Outcome};
use fe2o3_amqp::types::primitives::Binary;
use fe2o3_amqp::{Sendable, Sender};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
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

/// One route.
pub struct Outward {
    pub plan: Rc<Plan>,
    pub hall: Hall,
    pub way: Way,
    /// Its place among the bridge's routes.
    pub at: usize,
    /// The other broker's id, if it is one of ours and has told it.
    pub peer: Option<Arc<str>>,
    pub holding: Holding,
}

/// What became of one message.
struct Ended {
    number: u64,
    /// How often the route had been stuck when it was sent.
    round: u64,
    outcome: Result<Outcome, SendError>,
}

/// What the other broker says of a message.
enum Said {
    Taken,
    /// It does not take it now.
    NotNow(String),
    /// It will never take it.
    Never(String),
}

/// How the route gets on.
struct Pace {
    retry: Retry,
    /// How often it was stuck.
    round: u64,
    /// It is stuck: nothing is sent before then, and one message after that.
    until: Option<Instant>,
}

impl Outward {
    /// Sends what comes, until the link breaks or the bridge is stopped.
    pub async fn run(self, mut sender: Sender, mut stopped: watch::Receiver<bool>) -> Result<(), String> {
        let mut under_way: JoinSet<Ended> = JoinSet::new();
        let mut pace = Pace { retry: Retry::new(&self.plan.settings), round: 0, until: None };
        let window = usize::from(self.plan.settings.window);
        while !*stopped.borrow() {
            let room = match pace.until {
                Some(until) if Instant::now() < until || !under_way.is_empty() => 0,
                Some(_) => 1,
                None => window.saturating_sub(under_way.len()),
            };
            for consignment in self.holding.some(room) {
                let Some(message) = self.message(&consignment) else { continue };
                let (number, round) = (consignment.number, pace.round);
                let message = Data(Binary::from(message));
                let sendable = Sendable::builder().message(message).settled(self.way.route.qos == 0).build();
                let handed = tokio::select! {
                    handed = sender.send_batchable(sendable) => handed,
                    _ = stopped.changed() => return Ok(()),
                };
                match handed {
                    Ok(handed) => drop(under_way.spawn(async move { Ended { number, round, outcome: handed.await } })),
                    Err(SendError::MessageSizeExceeded(why)) => self.refused(number, &why.to_string()),
                    Err(error) => return Err(error.to_string()),
                }
            }
            self.hall.flush();
            if let Some(why) = self.holding.bell.closed() {
                return Err(format!("the hall ended the session's connection: {why:?}"));
            }
            let pause = pace.until.filter(|until| under_way.is_empty() && Instant::now() < *until);
            tokio::select! {
                Some(ended) = under_way.join_next() => self.ended(ended.map_err(|error| error.to_string())?, &mut pace)?,
                () = sleep_until(pause) => {}
                () = self.holding.bell.notify.notified() => {}
                _ = stopped.changed() => {}
            }
        }
        // What is under way comes again.
        let _ = sender.detach().await;
        Ok(())
    }

    /// A message as it leaves; none: it does not.
    fn message(&self, consignment: &Consignment) -> Option<Vec<u8>> {
        let peer = self.peer.as_deref();
        match form::outgoing(&self.plan, &self.way, peer, consignment, self.hall.now()) {
            Ok(Some(message)) => return Some(message),
            Ok(None) => {
                self.plan.figures.looped_total.add(1);
                self.holding.dispose(consignment.number, &Disposal::Accepted);
            }
            Err(reason) => {
                self.refused(consignment.number, &format!("this broker cannot write it for the other one: {reason}"));
            }
        }
        None
    }

    fn ended(&self, ended: Ended, pace: &mut Pace) -> Result<(), String> {
        let Ended { number, round, outcome } = ended;
        match said(outcome.map_err(|error| error.to_string())?) {
            Said::Taken => {
                self.plan.figures.sent_total.add(1);
                self.holding.dispose(number, &Disposal::Accepted);
            }
            Said::Never(reason) => self.refused(number, &reason),
            Said::NotNow(reason) => {
                // In its old place, before what came later.
                self.holding.dispose(number, &Disposal::Released);
                if round == pace.round {
                    pace.round += 1;
                    pace.until = Some(Instant::now() + pace.retry.next_wait());
                    self.plan.note(&self.hall, self.at, RouteState::Stuck, &reason);
                }
                return Ok(());
            }
        }
        if pace.until.is_some() && round == pace.round {
            pace.until = None;
            pace.retry.reset();
            self.plan.note(&self.hall, self.at, RouteState::Up, "");
        }
        Ok(())
    }

    fn refused(&self, number: u64, reason: &str) {
        self.plan.figures.refused_total.add(1);
        let (bridge, route) = (&self.plan.settings.name, &self.plan.figures.routes[self.at].name);
        tracing::warn!(bridge, route, reason, "a message cannot go to the other broker, for good; it is rejected");
        self.holding.dispose(number, &Disposal::Rejected);
    }
}

/// For ever, if there is no such time.
pub async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// A message is lost if it is rejected for what it is. A full queue is no reason for that, and neither is none.
fn said(outcome: Outcome) -> Said {
    match outcome {
        Outcome::Accepted(_) => Said::Taken,
        Outcome::Rejected(rejected) => match rejected.error {
            None => Said::NotNow("it rejects a message and does not say why".to_owned()),
            Some(error) => {
                let reason = words::said(&error);
                match error.condition {
                    ErrorCondition::AmqpError(
                        AmqpError::ResourceLimitExceeded
                        | AmqpError::ResourceLocked
                        | AmqpError::InternalError
                        | AmqpError::NotFound
                        | AmqpError::ResourceDeleted,
                    ) => Said::NotNow(reason),
                    _ => Said::Never(reason),
                }
            }
        },
        Outcome::Released(_) => Said::NotNow("it releases a message".to_owned()),
        other => Said::NotNow(format!("it does not take a message: {other:?}")),
    }
}
