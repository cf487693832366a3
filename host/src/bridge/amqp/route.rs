//! One route of a connection: a session and a link of its own, tried again for as long as the connection stands.

use super::super::mapping::Way;
use super::super::retry::Retry;
use super::super::seat::{Bell, Hall};
use super::super::settings::Direction;
use super::super::thread::Plan;
use super::holding::Holding;
use super::inward::Inward;
use super::outward::Outward;
use super::packing::with_wraps;
use super::words;
use crate::amqp::{NODE_PROPERTY, TOPICS_PROPERTY};
use crate::broker::Link;
use crate::metrics::RouteState;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::definitions::{Fields, ReceiverSettleMode, SenderSettleMode};
use fe2o3_amqp::types::messaging::{Source, Target, TerminusDurability, TerminusExpiryPolicy};
use fe2o3_amqp::types::primitives::{Symbol, Value};
use fe2o3_amqp::{Receiver, Sender};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// How long a broken route waits for the news that the whole connection is over.
const NEWS: Duration = Duration::from_millis(250);
/// How long the other broker may take to hear a goodbye.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a route wants of its connection.
pub enum Ask {
    /// A session.
    Session(oneshot::Sender<Result<SessionHandle<()>, String>>),
    /// Nothing; its link is up, or was refused, for the first time.
    Tried,
}

/// Why a route cannot live on in this connection.
pub struct Fault(pub String);

/// One route.
pub struct Route {
    pub plan: Rc<Plan>,
    pub hall: Hall,
    pub way: Way,
    /// Its place among the bridge's routes.
    pub at: usize,
    pub direction: Direction,
    /// The number under which the connection publishes here.
    pub origin: u64,
    pub ask: mpsc::Sender<Ask>,
    pub stopped: watch::Receiver<bool>,
}

impl Route {
    /// Runs until the bridge is stopped.
    pub async fn run(mut self) -> Result<(), Fault> {
        let mut retry = Retry::new(&self.plan.settings);
        let mut is_first = true;
        while !*self.stopped.borrow() {
            let (session, attached) = self.open().await?;
            let mut session = session;
            let lasted = Instant::now();
            let up = attached.is_ok();
            if up {
                self.note(RouteState::Up, "");
            }
            let ended = match attached {
                Ok(attached) => {
                    self.tried(&mut is_first).await;
                    self.work(attached).await
                }
                Err(reason) => Err(reason),
            };
            let Err(reason) = ended else { break };
            let wait = retry.next_wait_after(if up { lasted.elapsed() } else { Duration::ZERO });
            // If the connection is over, this task ends here.
            tokio::time::sleep(NEWS).await;
            self.note(RouteState::Broken, &reason);
            self.tried(&mut is_first).await;
            let _ = tokio::time::timeout(FAREWELL, session.end()).await;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = self.stopped.changed() => {}
            }
        }
        Ok(())
    }

    /// Says that it has been tried.
    async fn tried(&self, is_first: &mut bool) {
        if std::mem::take(is_first) {
            // Without a connection there is nobody to hear it.
            let _ = self.ask.send(Ask::Tried).await;
        }
    }

    fn note(&self, state: RouteState, reason: &str) {
        self.plan.note(&self.hall, self.at, state, reason);
    }

    /// A session, and a link in it or why there is none.
    async fn open(&mut self) -> Result<(SessionHandle<()>, Result<Attached, String>), Fault> {
        let (to, begun) = oneshot::channel();
        let silent = |_| Fault("it does not answer in time".to_owned());
        let patience = Duration::from_secs(self.plan.settings.connect_seconds_max.into());
        let gone = || Fault("the connection is over".to_owned());
        self.ask.send(Ask::Session(to)).await.map_err(|_| gone())?;
        let begun = tokio::time::timeout(patience, begun).await.map_err(silent)?;
        let mut session = begun.map_err(|_| gone())?.map_err(Fault)?;
        // Whoever gave up here would leave half a link behind, which the library closes: that takes a durable subscription
        // with it. So it is the connection that is given up.
        let attached = tokio::time::timeout(patience, self.attach(&mut session)).await.map_err(silent)?;
        Ok((session, attached))
    }

    async fn attach(&self, session: &mut SessionHandle<()>) -> Result<Attached, String> {
        Ok(match self.direction {
            Direction::In => Attached::In(self.receiver(session).await?),
            _ => Attached::Out(self.sender(session).await?),
        })
    }

    fn sender_settles(&self) -> SenderSettleMode {
        if self.way.route.qos == 0 { SenderSettleMode::Settled } else { SenderSettleMode::Unsettled }
    }

    async fn sender(&self, session: &mut SessionHandle<()>) -> Result<Sender, String> {
        let (plan, way) = (&self.plan, &self.way);
        // Without an address each message says where it goes. A queue that is made on the way is to outlive a restart, as
        // the one that a route in asks for.
        let target = match way.route.remote.as_str() {
            "" => Target::builder().build(),
            address => Target::builder().address(address).durable(TerminusDurability::Configuration).build(),
        };
        let attached = Sender::builder()
            .name(format!("{}/{:08x}/out", plan.client_id, way.number))
            .target(target)
            .sender_settle_mode(self.sender_settles())
            .properties(self.introduction())
            .attach(session)
            .await;
        attached.map_err(|error| format!("it refuses the link to {:?}: {}", way.route.remote, words::sending(&error)))
    }

    async fn receiver(&self, session: &mut SessionHandle<()>) -> Result<Receiver, String> {
        let (plan, way) = (&self.plan, &self.way);
        let address = way.route.remote_source();
        let source = Source::builder()
            .address(address.as_str())
            .durable(TerminusDurability::UnsettledState)
            .expiry_policy(TerminusExpiryPolicy::Never);
        let attached = Receiver::builder()
            .name(format!("{}/{:08x}/in", plan.client_id, way.number))
            .source(source.build())
            .sender_settle_mode(self.sender_settles())
            .receiver_settle_mode(ReceiverSettleMode::First)
            .max_message_size(with_wraps(plan.settings.message_bytes_max.into()))
            .credit_mode(CreditMode::Auto(u32::from(plan.settings.window)))
            .properties(self.introduction())
            .attach(session)
            .await;
        attached.map_err(|error| format!("it refuses the link from {address}: {}", words::receiving(&error)))
    }

    /// A broker of ours answers with its own id.
    fn introduction(&self) -> Fields {
        let node = Value::String(self.plan.node.to_string());
        [(Symbol::from(NODE_PROPERTY), node)].into_iter().collect()
    }

    /// The other broker's id, if it is one of ours and has told it. It may be this one.
    fn peer(&self, said: &Option<Fields>) -> Option<Arc<str>> {
        match said.as_ref()?.get(&Symbol::from(NODE_PROPERTY)) {
            // Where nobody answers, the library shows what was said to them.
            Some(Value::String(node)) if tells_topics(said) || **node != *self.plan.node => Some(node.as_str().into()),
            _ => None,
        }
    }

    async fn work(&mut self, attached: Attached) -> Result<(), String> {
        let (plan, hall, way) = (self.plan.clone(), self.hall.clone(), self.way.clone());
        match attached {
            Attached::Out(sender) => {
                let peer = sender.properties(|said| self.peer(said));
                let holding = Holding::take(&hall, &plan, &way, self.origin)?;
                Outward { plan, hall, way, at: self.at, peer, holding }.run(sender, self.stopped.clone()).await
            }
            Attached::In(receiver) => {
                let (peer, tells_topics) = receiver.properties(|said| (self.peer(said), tells_topics(said)));
                let bell = Arc::new(Bell::default());
                let link = Link::of(bell.clone(), Arc::new(plan.client.clone()));
                let inward =
                    Inward { plan, hall, way, at: self.at, peer, tells_topics, bell, link, origin: self.origin };
                inward.run(receiver, self.stopped.clone()).await
            }
        }
    }
}

/// Whether a broker of ours says that it will tell of each message which topic it is of. A bridge does not say that.
fn tells_topics(said: &Option<Fields>) -> bool {
    let said = said.as_ref().and_then(|said| said.get(&Symbol::from(TOPICS_PROPERTY)));
    said == Some(&Value::Bool(true))
}

/// A link that is up.
enum Attached {
    In(Receiver),
    Out(Sender),
}
