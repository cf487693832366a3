//! One connection to another AMQP broker, with a task for each route.

use super::super::dial::{Stream, login};
use super::super::mqtt::Lost;
use super::super::seat::Hall;
use super::super::settings::Direction;
use super::super::thread::Plan;
use super::cut::{Cut, Scissors};
use super::packed::Packed;
use super::packing::{FRAME_BYTES_MAX, WRAP_BYTES};
use super::route::{Ask, Fault, Route};
use super::words;
use crate::metrics::BridgeState;
use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::{Connection, Session};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// How long the other broker may take to hear a goodbye.
const FAREWELL: Duration = Duration::from_secs(1);

/// Runs a connection until it breaks, or until the bridge is stopped (then there is no reason).
pub async fn run(
    plan: &Rc<Plan>,
    hall: &Hall,
    stream: Box<dyn Stream>,
    stopped: &mut watch::Receiver<bool>,
) -> Result<(), Lost> {
    let stream = Packed::new(stream, plan.settings.message_bytes_max.into());
    let (stream, scissors) = Cut::new(Box::new(stream));
    let patience = Duration::from_secs(plan.settings.connect_seconds_max.into());
    let opened = tokio::select! {
        opened = open(plan, stream) => opened,
        () = tokio::time::sleep(patience) => Err("it does not answer in time".to_owned()),
        () = scissors.ended() => Err(hung_up()),
    };
    let mut connection = match opened {
        Ok(connection) => connection,
        Err(reason) => {
            scissors.cut();
            let reason = scissors.fault().unwrap_or(reason);
            return Err(Lost { reason, lasted: Duration::ZERO });
        }
    };
    plan.figures.connections_total.add(1);
    let begun = Instant::now();
    let mut routes = start(plan, hall, stopped);
    let reason = serve(plan, hall, &mut connection, &scissors, &mut routes, stopped).await;
    let Some(reason) = reason.filter(|_| !*stopped.borrow()) else {
        let said = async {
            while routes.tasks.join_next().await.is_some() {}
            let _ = connection.close().await;
        };
        // Nothing depends on it: whoever is slow here is not waited for.
        let _ = tokio::time::timeout(FAREWELL, said).await;
        scissors.cut();
        return Ok(());
    };
    scissors.cut();
    let reason = scissors.fault().unwrap_or(reason);
    Err(Lost { reason, lasted: begun.elapsed() })
}

fn hung_up() -> String {
    "it closed the connection".to_owned()
}

async fn open(plan: &Plan, stream: Cut) -> Result<ConnectionHandle<()>, String> {
    let settings = &plan.settings;
    let profile = login(settings)?.map_or(SaslProfile::Anonymous, SaslProfile::from);
    let builder = Connection::builder().container_id(plan.client_id.clone()).hostname(plan.target.host.as_str());
    let builder = builder.scheme("amqp").sasl_profile(profile);
    let builder = builder.idle_time_out(u32::from(settings.keep_alive_seconds) * 1000);
    let has_user = !settings.user.is_empty();
    let builder = builder.max_frame_size(FRAME_BYTES_MAX + WRAP_BYTES as u32);
    builder.open_with_stream(stream).await.map_err(|error| words::opening(&error, has_user))
}

/// The routes of a connection.
struct Routes {
    tasks: JoinSet<Result<(), Fault>>,
    asks: mpsc::Receiver<Ask>,
}

fn start(plan: &Rc<Plan>, hall: &Hall, stopped: &watch::Receiver<bool>) -> Routes {
    // Each route asks for one thing at a time.
    let (ask, asks) = mpsc::channel(plan.figures.routes.len().max(1));
    let mut tasks = JoinSet::new();
    let outward = plan.outward.iter().map(|way| (Direction::Out, way));
    let inward = plan.inward.iter().map(|way| (Direction::In, way));
    let origin = hall.broker.origin();
    for (at, (direction, way)) in outward.chain(inward).enumerate() {
        let (plan, hall, way, ask) = (plan.clone(), hall.clone(), way.clone(), ask.clone());
        let route = Route { plan, hall, way, at, direction, origin, ask, stopped: stopped.clone() };
        tasks.spawn_local(route.run());
    }
    Routes { tasks, asks }
}

/// Gives the routes their sessions until the connection is over: why; none: the bridge was stopped.
async fn serve(
    plan: &Plan,
    hall: &Hall,
    connection: &mut ConnectionHandle<()>,
    scissors: &Scissors,
    routes: &mut Routes,
    stopped: &mut watch::Receiver<bool>,
) -> Option<String> {
    let mut untried = plan.figures.routes.len();
    loop {
        tokio::select! {
            Some(ended) = routes.tasks.join_next() => match ended {
                Ok(Ok(())) => return None,
                Ok(Err(fault)) => return Some(fault.0),
                Err(error) => return Some(format!("a route's task failed: {error}")),
            },
            Some(ask) = routes.asks.recv() => match ask {
                Ask::Session(to) => {
                    let begun = tokio::select! {
                        begun = Session::begin(connection) => begun.map_err(|error| error.to_string()),
                        () = scissors.ended() => return Some(hung_up()),
                    };
                    // The route may have been stopped meanwhile.
                    let _ = to.send(begun);
                }
                Ask::Tried => {
                    untried = untried.saturating_sub(1);
                    if untried == 0 {
                        plan.say(hall, BridgeState::Connected, None);
                    }
                }
            },
            closed = connection.on_close() => {
                return Some(closed.map_or_else(|error| error.to_string(), |()| hung_up()));
            }
            () = scissors.ended() => return Some(hung_up()),
            _ = stopped.changed() => return None,
        }
    }
}
