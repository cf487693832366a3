//! The thread on which all bridges run, each as a task that connects, works and waits.

use super::dial::dial;
use super::mapping::Way;
use super::retry::Retry;
use super::seat::{self, Hall, Listening, Seat};
use super::settings::{Direction, Settings};
use super::target::{Scheme, Target};
use super::trust;
use super::{NODE_TOPIC, NodeId, amqp, mqtt};
use crate::broker::Broker;
use crate::client::{Client, Protocol};
use crate::dialogue::Publish;
use crate::message::{Guarantee, Time};
use crate::metrics::{BridgeFigures, BridgeState, RouteFigures, RouteState};
use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::LocalSet;

/// Tells the broker's time.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// Why bridges do not start.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// This broker's id can be neither read nor made.
    #[error("cannot use {path}, this broker's id towards others: {error}")]
    Node {
        /// Where it should be.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// All that one bridge goes by.
pub struct Plan {
    pub settings: Settings,
    pub target: Target,
    pub node: Arc<str>,
    /// Its name over there.
    pub client_id: String,
    /// Its name here.
    pub client: Client,
    pub outward: Vec<Way>,
    pub inward: Vec<Way>,
    pub figures: Arc<BridgeFigures>,
    /// Which ways in the other broker has granted since the start: what it refused before is asked for again, whatever it remembers.
    pub granted: Vec<Cell<bool>>,
    /// What the MQTT broker over there ends connections over.
    pub suspects: RefCell<mqtt::Suspects>,
    /// Why the bridge is down, as the log was told last; empty: it is not, or nobody knows yet.
    told: RefCell<String>,
}

/// The bridges while they run. They end when this is dropped.
pub struct Bridges {
    figures: Vec<Arc<BridgeFigures>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Bridges {
    /// Has the hall keep from now on what goes out, and starts the bridges. `data_dir` is where this broker's id is;
    /// `is_told` says whether others may read it below `$SYS`.
    ///
    /// # Errors
    /// The id cannot be had.
    pub fn start(
        broker: &Arc<Broker>,
        clock: Clock,
        settings: &[Settings],
        data_dir: &Path,
        is_told: bool,
    ) -> Result<Self, BridgeError> {
        let (stop, stopped) = watch::channel(false);
        let wanted: Vec<_> = settings.iter().filter(|settings| settings.enabled).cloned().collect();
        let hall = Hall::new(broker.clone(), clock.clone());
        let path = data_dir.join("node.id");
        let node = NodeId::open(&path).map_err(|error| BridgeError::Node { path, error })?;
        if is_told {
            broker.set_node(node.as_str());
            broker.tell(&mut hall.worker.borrow_mut(), hall.now(), NODE_TOPIC, node.as_str());
        }
        if wanted.is_empty() {
            seat::end_others(&hall, &[]);
            return Ok(Self { figures: Vec::new(), stop, thread: None });
        }
        let make = |settings: &Settings| Plan::new(settings.clone(), node.as_str());
        let mut plans: Vec<Plan> = wanted.iter().filter_map(make).collect();
        let sessions: Vec<_> = plans.iter().flat_map(|plan| plan.figures.sessions.iter().cloned()).collect();
        seat::end_others(&hall, &sessions);
        seat::oust(&hall, &sessions);
        for plan in &mut plans {
            if let Err(reason) = plan.listen(&hall) {
                // The task tries it again.
                tracing::error!(bridge = plan.settings.name, reason, "the hall does not let the bridge listen");
            }
        }
        let figures = plans.iter().map(|plan| plan.figures.clone()).collect();
        drop(hall);
        let broker = broker.clone();
        let body = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("the system has room for an event queue at the start");
            let hall = Hall::new(broker, clock);
            LocalSet::new().block_on(&runtime, run_all(plans, hall, stopped));
        };
        let thread = std::thread::Builder::new().name("bridges".into()).spawn(body);
        let thread = Some(thread.expect("the system has room for a few threads at the start"));
        Ok(Self { figures, stop, thread })
    }

    /// What they count and how they stand.
    pub fn figures(&self) -> Vec<Arc<BridgeFigures>> {
        self.figures.clone()
    }
}

impl Drop for Bridges {
    fn drop(&mut self) {
        // The other end is gone if the thread has ended.
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was told by its own hook.
            let _ = thread.join();
        }
    }
}

impl Plan {
    /// Of settings that were checked; none: they were not.
    fn new(settings: Settings, node: &str) -> Option<Self> {
        let target = Target::read(&settings.url).ok()?;
        let client_id = match settings.client_id.as_str() {
            "" => format!("pliant-{node}-{}", settings.name),
            id => id.to_owned(),
        };
        let protocol = match target.scheme {
            Scheme::Mqtt => Protocol::Mqtt,
            Scheme::Amqp => Protocol::Amqp,
        };
        let client = seat::client(&settings.name, protocol, &format!("{}:{}", target.host, target.port));
        let ways = |direction| {
            settings.going(direction).into_iter().map(|route| Way::new(route, target.scheme)).collect::<Vec<_>>()
        };
        let (outward, inward) = (ways(Direction::Out), ways(Direction::In));
        let sessions = match target.scheme {
            Scheme::Mqtt => vec![client.id.clone()],
            Scheme::Amqp => outward.iter().map(|way| amqp::session_id(&settings.name, way)).collect(),
        };
        let routes = outward.iter().chain(&inward).map(|way| RouteFigures::new(way.route.shown())).collect();
        let figures = Arc::new(BridgeFigures::new(settings.name.clone(), settings.url.clone(), sessions, routes));
        let granted = inward.iter().map(|_| Cell::new(false)).collect();
        Some(Self {
            settings,
            target,
            node: node.into(),
            client_id,
            client,
            outward,
            inward,
            figures,
            granted,
            suspects: RefCell::default(),
            told: RefCell::default(),
        })
    }

    /// Makes the session that keeps what goes out while the other broker is away.
    fn listen(&self, hall: &Hall) -> Result<(), String> {
        if self.target.scheme == Scheme::Amqp {
            let takes = |way| amqp::Holding::take(hall, self, way, 0).map(drop);
            return self.outward.iter().try_for_each(takes);
        }
        let wanted = self.outward.iter().map(|way| Listening {
            filter: way.route.local_source(),
            guarantee: Guarantee::from_level(way.route.qos).unwrap_or_default(),
            number: way.number,
        });
        let wanted: Vec<_> = wanted.collect();
        Seat::take(hall, &self.client, 1)?.listen(&self.client, &wanted)
    }

    /// Notes how a route stands, by its place among the figures, and tells the log where that has changed.
    pub fn note(&self, hall: &Hall, at: usize, state: RouteState, reason: &str) {
        let route = &self.figures.routes[at];
        let Some(was) = route.set(state, hall.now().0, reason) else { return };
        let (bridge, route) = (&self.settings.name, &route.name);
        match state {
            // That it is up with its bridge is no news.
            RouteState::Up if was == RouteState::Down => {}
            RouteState::Up => tracing::info!(bridge, route, "a route of the bridge is up again"),
            RouteState::Stuck => tracing::warn!(bridge, route, reason, "a route of the bridge is stuck; it waits"),
            RouteState::Broken => {
                tracing::warn!(bridge, route, reason, "a route of the bridge is down; it is tried again")
            }
            RouteState::Down => {}
        }
    }

    /// Notes that nothing of a route waits any more.
    pub fn unstick(&self, hall: &Hall, at: usize) {
        if self.figures.routes[at].standing().state == RouteState::Stuck {
            self.note(hall, at, RouteState::Up, "");
        }
    }

    /// Notes how the bridge stands, and tells it where that has changed: in the log, and as the retained message
    /// `$SYS/broker/connection/NAME/state`, under Mosquitto's name.
    pub fn say(&self, hall: &Hall, state: BridgeState, error: Option<&str>) {
        let now = hall.now();
        let was = self.figures.standing();
        self.figures.set(state, now.0, error);
        if state != BridgeState::Connected {
            for route in &self.figures.routes {
                route.set(RouteState::Down, now.0, "");
                route.set_held(0);
            }
        }
        let (name, remote) = (&self.settings.name, &self.settings.url);
        if was.state == state && was.since != 0 {
            return;
        }
        match (state, error) {
            // It may be tried for days: once for each reason.
            (BridgeState::Waiting, Some(reason)) if self.told.replace(reason.to_owned()) != reason => {
                tracing::warn!(bridge = name, remote, reason, "bridge is down; it is tried again");
            }
            (BridgeState::Connected, _) => {
                self.told.take();
                tracing::info!(bridge = name, remote, "bridge is up");
            }
            (state, _) => tracing::debug!(bridge = name, remote, state = state.word(), "bridge"),
        }
        let up = |state| state == BridgeState::Connected;
        if up(was.state) == up(state) && was.since != 0 {
            return;
        }
        let topic = format!("$SYS/broker/connection/{name}/state");
        let publish = Publish {
            name: &topic,
            guarantee: Guarantee::AtMostOnce,
            retain: true,
            handle: 0,
            expiry_seconds: None,
            properties: None,
            payload: if up(state) { b"1" } else { b"0" },
        };
        let told = hall.broker.publish_as(&mut hall.worker.borrow_mut(), now, &self.client, publish);
        if let Err(refusal) = told {
            tracing::debug!(bridge = name, reason = refusal.reason, "the bridge's state cannot be published");
        }
        hall.flush();
    }
}

async fn run_all(plans: Vec<Plan>, hall: Hall, stopped: watch::Receiver<bool>) {
    let tasks: Vec<_> = plans
        .into_iter()
        .map(|plan| tokio::task::spawn_local(run(std::rc::Rc::new(plan), hall.clone(), stopped.clone())))
        .collect();
    for task in tasks {
        // A panic in it was told by its hook; the others go on.
        let _ = task.await;
    }
}

/// One bridge, until it is stopped.
async fn run(plan: std::rc::Rc<Plan>, hall: Hall, mut stopped: watch::Receiver<bool>) {
    let mut retry = Retry::new(&plan.settings);
    while !*stopped.borrow() {
        plan.say(&hall, BridgeState::Connecting, None);
        // A task of its own, so that a fault in reading what the other broker sends costs this connection only.
        let attempt = tokio::task::spawn_local(attempt(plan.clone(), hall.clone(), stopped.clone())).await;
        let lost = match attempt {
            Ok(Ok(())) => break,
            Ok(Err(lost)) => lost,
            Err(error) => {
                mqtt::Lost { reason: format!("the connection's task failed: {error}"), lasted: Duration::ZERO }
            }
        };
        plan.say(&hall, BridgeState::Waiting, Some(&lost.reason));
        let wait = retry.next_wait_after(lost.lasted);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stopped.changed() => {}
        }
    }
    plan.say(&hall, BridgeState::Stopped, None);
}

/// One connection.
async fn attempt(plan: std::rc::Rc<Plan>, hall: Hall, mut stopped: watch::Receiver<bool>) -> Result<(), mqtt::Lost> {
    let lost = |reason: String| mqtt::Lost { reason, lasted: Duration::ZERO };
    plan.listen(&hall).map_err(lost)?;
    let patience = Duration::from_secs(plan.settings.connect_seconds_max.into());
    let tls = if plan.target.is_tls { Some(trust::config(&plan.settings).map_err(lost)?) } else { None };
    let stream = tokio::select! {
        dialled = tokio::time::timeout(patience, dial(&plan.target, tls)) => {
            dialled.map_err(|_| lost("it cannot be reached in time".to_owned()))?.map_err(lost)?
        }
        _ = stopped.changed() => return Ok(()),
    };
    match plan.target.scheme {
        Scheme::Mqtt => mqtt::run(&plan, &hall, stream, &mut stopped).await,
        Scheme::Amqp => amqp::run(&plan, &hall, stream, &mut stopped).await,
    }
}
