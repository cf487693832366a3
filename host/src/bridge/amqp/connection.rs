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
use fe2o3_amqp::connection::{self, ConnectionHandle};
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::types::definitions::{AmqpError, ConnectionError, Error, ErrorCondition};
use fe2o3_amqp::{Connection, Session};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// How often those who work on what came before the end of a connection get their turn, and the pause between two.
const LAST_TURNS: u32 = 10;
const LAST_PAUSE: Duration = Duration::from_millis(5);
/// How long is waited for what the library says of the end, and for its last word to leave.
const LAST_WORDS: Duration = Duration::from_millis(100);
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
            let reason = scissors.fault().map_or(reason, |broken| broken.to_string());
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
    let lasted = begun.elapsed();
    work_off().await;
    let reason = match scissors.fault() {
        None => reason,
        Some(broken) => {
            let condition: ErrorCondition =
                if broken.is_framing { ConnectionError::FramingError.into() } else { AmqpError::DecodeError.into() };
            let why = Error::new(condition, broken.words.clone(), None);
            let _ = tokio::time::timeout(LAST_WORDS, connection.close_with_error(why)).await;
            broken.to_string()
        }
    };
    scissors.cut();
    Err(Lost { reason, lasted })
}

/// The routes carry out what came before the end.
async fn work_off() {
    for _ in 0..LAST_TURNS {
        tokio::time::sleep(LAST_PAUSE).await;
    }
}

fn hung_up() -> String {
    words::CLOSED.to_owned()
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

/// Why the connection is over, after its bytes have ended.
fn last_words(closed: Result<(), connection::Error>) -> String {
    match closed {
        Err(error @ connection::Error::RemoteClosedWithError(_)) => words::closing(&error),
        _ => hung_up(),
    }
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
                        begun = Session::begin(connection) => begun.map_err(|error| words::beginning(&error)),
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
                // Where bytes end the library says no more than that it did not expect it.
                return Some(tokio::select! {
                    biased;
                    () = scissors.ended() => last_words(closed),
                    () = std::future::ready(()) => closed.map_or_else(|error| words::closing(&error), |()| hung_up()),
                });
            }
            () = scissors.ended() => {
                if scissors.fault().is_some() {
                    return Some(hung_up());
                }
                let closed = tokio::time::timeout(LAST_WORDS, connection.on_close()).await;
                return Some(closed.map_or_else(|_| hung_up(), last_words));
            }
            _ = stopped.changed() => return None,
        }
    }
}
