//! One route out: what comes goes to a sending link.
//!
//! A message that the other broker does not take now is sent again after a while, with those of its topic behind it in their
//! order; other topics go on, as long as the window has places.

use super::super::held::{Entry, Held};
use super::super::mapping::Way;
use super::super::retry::Retry;
use super::super::seat::{self, Hall};
use super::super::settings::Released;
use super::super::thread::Plan;
use super::form;
use super::holding::Holding;
use super::said::{Said, said};
use super::words;
use crate::dialogue::{Consignment, Disposal};
use crate::metrics::RouteState;
use fe2o3_amqp::link::SendError;
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
    entry: Entry<Consignment>,
    outcome: Result<Outcome, SendError>,
}

/// What the link has and the other broker has not accepted yet; no more than the window.
struct Outbox {
    held: Held<Consignment>,
    under_way: JoinSet<Ended>,
    next: u64,
    /// Something was not taken.
    is_stuck: bool,
}

/// Whether the bridge goes on.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    On,
    Stop,
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
        let held = Held::new(Retry::new(&self.plan.settings));
        let mut outbox = Outbox { held, under_way: JoinSet::new(), next: 0, is_stuck: false };
        while !*stopped.borrow() {
            let (mut found, is_any) = self.find(&mut outbox);
            while let Some(entry) = found.pop_front() {
                if self.hand(sender, entry, found.len(), &mut outbox, stopped).await? == Next::Stop {
                    return Ok(());
                }
            }
            self.hall.flush();
            self.is_welcome()?;
            self.tell_held(&mut outbox);
            // What rang meanwhile was not looked at.
            if is_any {
                continue;
            }
            tokio::select! {
                Some(ended) = outbox.under_way.join_next() => {
                    self.ended(ended.map_err(|error| error.to_string())?, &mut outbox)?;
                }
                () = sleep_until(outbox.held.due()) => {}
                () = self.holding.bell.notify.notified() => {}
                error = sender.on_detach() => return Err(words::detached(error)),
                _ = stopped.changed() => {}
            }
        }
        Ok(())
    }

    /// What is to be sent now: one message of each topic that waited long enough, those behind one that was taken, and what
    /// is new. Whether there may be more.
    fn find(&self, outbox: &mut Outbox) -> (VecDeque<Entry<Consignment>>, bool) {
        let mut found = VecDeque::new();
        if outbox.is_stuck {
            let may_ask = outbox.held.begin(Instant::now());
            while let Some(entry) = outbox.held.next() {
                if may_ask {
                    outbox.held.ask(entry.topic.clone(), entry.route);
                }
                found.push_back(entry);
            }
        }
        let taken = outbox.under_way.len() + outbox.held.len() + found.len();
        let new = self.holding.some(usize::from(self.plan.settings.window).saturating_sub(taken));
        let is_any = !(new.is_empty() && found.is_empty());
        for consignment in new {
            outbox.next += 1;
            let topic = topic_of(&consignment).into();
            let entry = Entry { order: outbox.next, route: self.at, topic, bytes: 0, item: consignment };
            if outbox.held.blocks(&entry.topic) {
                outbox.held.put(entry);
            } else {
                found.push_back(entry);
            }
        }
        (found, is_any)
    }

    /// Whether the hall lets the route hold on.
    fn is_welcome(&self) -> Result<(), String> {
        self.holding.bell.closed().map_or(Ok(()), |why| Err(seat::told(&why)))
    }

    /// Hands one message to the link, as soon as there is credit; `behind` it others wait.
    async fn hand(
        &self,
        sender: &mut Sender,
        entry: Entry<Consignment>,
        behind: usize,
        outbox: &mut Outbox,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<Next, String> {
        let Some(message) = self.message(&entry) else {
            outbox.held.taken(&entry.topic);
            return Ok(Next::On);
        };
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
                Some(ended) = outbox.under_way.join_next() => {
                    self.ended(ended.map_err(|error| error.to_string())?, outbox)?;
                }
                () = sleep_until(patience) => {
                    patience = None;
                    route.set_held(behind + 1 + outbox.held.len());
                }
                () = self.holding.bell.notify.notified() => self.is_welcome()?,
                _ = stopped.changed() => return Ok(Next::Stop),
            }
            self.hall.flush();
            if patience.is_none() {
                self.plan.note(&self.hall, self.at, RouteState::Stuck, NO_CREDIT);
            }
        };
        // Whether it still is, `tell_held` says.
        outbox.is_stuck |= patience.is_none();
        match handed {
            Ok(handed) => {
                outbox.under_way.spawn(async move { Ended { entry, outcome: handed.await } });
            }
            Err(SendError::MessageSizeExceeded(why)) => {
                self.refused(&entry, &words::too_large(&why));
                outbox.held.taken(&entry.topic);
            }
            Err(error) => return Err(words::sent(error)),
        }
        Ok(Next::On)
    }

    /// A message as it leaves; none: it does not.
    fn message(&self, entry: &Entry<Consignment>) -> Option<Vec<u8>> {
        let (consignment, now) = (&entry.item, self.hall.now());
        if consignment.message.is_expired(now) {
            // It has waited here. The hall knows what to do with it.
            self.holding.dispose(consignment.number, &Disposal::Released);
            return None;
        }
        match form::outgoing(&self.plan, &self.way, self.peer.as_deref(), consignment, now) {
            Ok(Some(message)) => return Some(message),
            Ok(None) => {
                self.plan.figures.looped_total.add(1);
                self.holding.dispose(consignment.number, &Disposal::Accepted);
            }
            Err(reason) => {
                let reason = format!("this broker cannot write it for the other one: {reason}");
                self.refused(entry, &reason);
            }
        }
        None
    }

    fn ended(&self, ended: Ended, outbox: &mut Outbox) -> Result<(), String> {
        let Ended { entry, outcome } = ended;
        match said(outcome.map_err(words::sent)?) {
            Said::Taken => {
                self.plan.figures.sent_total.add(1);
                self.holding.dispose(entry.item.number, &Disposal::Accepted);
            }
            Said::Never(reason) => self.refused(&entry, &reason),
            Said::Released if self.way.route.released == Released::Dropped => {
                self.refused(&entry, "it releases the message, and the route's `released` is \"drop\"");
            }
            not_now => {
                self.plan.note(&self.hall, self.at, RouteState::Stuck, &not_now.reason());
                outbox.is_stuck = true;
                outbox.held.refused(Instant::now(), entry);
                return Ok(());
            }
        }
        outbox.held.taken(&entry.topic);
        Ok(())
    }

    /// Tells how many wait because they were not taken.
    fn tell_held(&self, outbox: &mut Outbox) {
        if outbox.is_stuck {
            self.plan.figures.routes[self.at].set_held(outbox.held.len());
            outbox.is_stuck = !outbox.held.rest();
            if !outbox.is_stuck {
                self.plan.unstick(&self.hall, self.at);
            }
        }
    }

    fn refused(&self, entry: &Entry<Consignment>, reason: &str) {
        self.plan.figures.refused_total.add(1);
        let (bridge, route) = (&self.plan.settings.name, &self.plan.figures.routes[self.at].name);
        tracing::warn!(
            bridge,
            route,
            topic = &*entry.topic,
            reason,
            "a message cannot go to the other broker, for good; it is rejected"
        );
        self.holding.dispose(entry.item.number, &Disposal::Rejected);
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
