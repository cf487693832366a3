//! One route out: a consumer of the hall and a sending link.

use super::super::LISTENER;
use super::super::mapping::Way;
use super::super::retry::Retry;
use super::super::seat::{self, Bell, Hall};
use super::super::thread::Plan;
use super::form;
use super::words;
use crate::broker::{Attachment, OF_BRIDGES, Parting, Receive, Source, Take};
use crate::client::{Client, Protocol, Scope};
use crate::dialogue::{Consignment, Disposal, RetainHandling, SubscribeFilter, SubscribeOptions};
use crate::message::Guarantee;
use crate::metrics::RouteState;
use fe2o3_amqp::link::SendError;
use fe2o3_amqp::types::definitions::{AmqpError, ErrorCondition};
use fe2o3_amqp::types::messaging::{Data, Outcome};
use fe2o3_amqp::types::primitives::Binary;
use fe2o3_amqp::{Sendable, Sender};
use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long the other broker may give no credit before that is told.
const DRY: Duration = Duration::from_secs(1);

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
    format!("{OF_BRIDGES}{bridge}/{:08x}", way.number).into()
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
    topic: Box<str>,
    /// How often the route had been stuck when it was sent.
    round: u64,
    outcome: Result<Outcome, SendError>,
}

/// Messages that are sent and have no outcome yet.
type UnderWay = JoinSet<Ended>;

/// Whether the bridge goes on.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    On,
    Stop,
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
        let ended = self.serve(&mut sender, &mut stopped).await;
        self.plan.figures.routes[self.at].set_held(0);
        if ended.is_ok() {
            // What is under way comes again.
            let _ = sender.detach().await;
        }
        ended
    }

    async fn serve(&self, sender: &mut Sender, stopped: &mut watch::Receiver<bool>) -> Result<(), String> {
        let mut under_way = UnderWay::new();
        let mut pace = Pace { retry: Retry::new(&self.plan.settings), round: 0, until: None };
        let window = usize::from(self.plan.settings.window);
        while !*stopped.borrow() {
            let room = match pace.until {
                Some(until) if Instant::now() < until || !under_way.is_empty() => 0,
                Some(_) => 1,
                None => window.saturating_sub(under_way.len()),
            };
            let mut found: VecDeque<Consignment> = self.holding.some(room).into();
            let is_any = !found.is_empty();
            while let Some(consignment) = found.pop_front() {
                let handed = self.hand(sender, &consignment, found.len(), &mut under_way, &mut pace, stopped).await?;
                if handed == Next::Stop {
                    return Ok(());
                }
            }
            self.hall.flush();
            self.is_welcome()?;
            // What rang meanwhile was not looked at.
            if is_any {
                continue;
            }
            let pause = pace.until.filter(|until| under_way.is_empty() && Instant::now() < *until);
            tokio::select! {
                Some(ended) = under_way.join_next() => self.ended(ended.map_err(|error| error.to_string())?, &mut pace)?,
                () = sleep_until(pause) => {}
                () = self.holding.bell.notify.notified() => {}
                error = sender.on_detach() => return Err(words::detached(error)),
                _ = stopped.changed() => {}
            }
        }
        Ok(())
    }

    /// Whether the hall lets the route hold on.
    fn is_welcome(&self) -> Result<(), String> {
        self.holding.bell.closed().map_or(Ok(()), |why| Err(seat::told(&why)))
    }

    /// Hands one message to the link, as soon as there is credit; `behind` it others wait.
    async fn hand(
        &self,
        sender: &mut Sender,
        consignment: &Consignment,
        behind: usize,
        under_way: &mut UnderWay,
        pace: &mut Pace,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<Next, String> {
        let Some(message) = self.message(consignment) else { return Ok(Next::On) };
        let (number, round) = (consignment.number, pace.round);
        let topic: Box<str> = topic_of(consignment).into();
        let message = Data(Binary::from(message));
        let sendable = Sendable::builder().message(message).settled(self.way.route.qos == 0).build();
        let route = &self.plan.figures.routes[self.at];
        let mut patience = Some(Instant::now() + DRY);
        // To the end, whatever else happens: a long message is sent in parts.
        let mut sending = pin!(sender.send_batchable(sendable));
        let handed = loop {
            tokio::select! {
                biased;
                handed = &mut sending => break handed,
                Some(ended) = under_way.join_next() => self.ended(ended.map_err(|error| error.to_string())?, pace)?,
                () = sleep_until(patience) => {
                    patience = None;
                    route.set_held(behind + 1);
                }
                () = self.holding.bell.notify.notified() => self.is_welcome()?,
                _ = stopped.changed() => return Ok(Next::Stop),
            }
            self.hall.flush();
            if patience.is_none() {
                self.plan.note(&self.hall, self.at, RouteState::Stuck, NO_CREDIT);
            }
        };
        if patience.is_none() {
            route.set_held(0);
            if pace.until.is_none() {
                self.plan.note(&self.hall, self.at, RouteState::Up, "");
            }
        }
        match handed {
            Ok(handed) => {
                under_way.spawn(async move { Ended { number, topic, round, outcome: handed.await } });
            }
            Err(SendError::MessageSizeExceeded(why)) => self.refused(number, &topic, &words::too_large(&why)),
            Err(error) => return Err(words::sent(error)),
        }
        Ok(Next::On)
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
                let reason = format!("this broker cannot write it for the other one: {reason}");
                self.refused(consignment.number, topic_of(consignment), &reason);
            }
        }
        None
    }

    fn ended(&self, ended: Ended, pace: &mut Pace) -> Result<(), String> {
        let Ended { number, topic, round, outcome } = ended;
        match said(outcome.map_err(words::sent)?) {
            Said::Taken => {
                self.plan.figures.sent_total.add(1);
                self.holding.dispose(number, &Disposal::Accepted);
            }
            Said::Never(reason) => self.refused(number, &topic, &reason),
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

    fn refused(&self, number: u64, topic: &str, reason: &str) {
        self.plan.figures.refused_total.add(1);
        let (bridge, route) = (&self.plan.settings.name, &self.plan.figures.routes[self.at].name);
        tracing::warn!(
            bridge,
            route,
            topic,
            reason,
            "a message cannot go to the other broker, for good; it is rejected"
        );
        self.holding.dispose(number, &Disposal::Rejected);
    }
}

/// An AMQP broker's way to say "not now" of all that may come.
const NO_CREDIT: &str = "it gives no credit";

fn topic_of(consignment: &Consignment) -> &str {
    consignment.name.as_deref().unwrap_or(consignment.message.topic().as_str())
}

/// For ever, if there is no such time.
pub async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// Azure Service Bus and Event Hubs reject with these what they will take later.
const LATER: [&str; 3] = ["com.microsoft:server-busy", "com.microsoft:timeout", "com.microsoft:operation-cancelled"];

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
                    ErrorCondition::Custom(name) if LATER.contains(&&*name.0) => Said::NotNow(reason),
                    _ => Said::Never(reason),
                }
            }
        },
        Outcome::Released(_) => Said::NotNow("it releases a message".to_owned()),
        Outcome::Modified(_) => Said::NotNow("it gives a message back (modified)".to_owned()),
        _ => Said::NotNow("it does not take a message".to_owned()),
    }
}
