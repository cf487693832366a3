//! One connection to another AMQP broker: opened, links attached, then a task a link.

use super::super::dial::{Stream, login};
use super::super::mapping::Way;
use super::super::mqtt::Lost;
use super::super::seat::{Bell, Hall};
use super::super::thread::Plan;
use super::cut::Cut;
use super::inward::Inward;
use super::outward::{Holding, outward};
use crate::broker::Link;
use crate::metrics::BridgeState;
use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::definitions::{ReceiverSettleMode, SenderSettleMode};
use fe2o3_amqp::types::messaging::{Source, Target, TerminusDurability, TerminusExpiryPolicy};
use fe2o3_amqp::{Connection, Receiver, Sender, Session};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
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
    let early = |reason: String| Lost { reason, went_well: false };
    let went_well = Rc::new(Cell::new(false));
    let (stream, scissors) = Cut::new(stream);
    let mut tasks = JoinSet::new();
    let patience = Duration::from_secs(plan.settings.connect_seconds_max.into());
    let hung_up = || "it closed the connection".to_owned();
    let opened = tokio::select! {
        opened = open(plan, hall, stream, &mut tasks, &went_well, stopped) => opened,
        () = tokio::time::sleep(patience) => Err("it does not answer in time".to_owned()),
        () = scissors.ended() => Err(hung_up()),
    };
    let (mut connection, mut session) = match opened {
        Ok(opened) => opened,
        Err(reason) => {
            scissors.cut();
            return Err(early(reason));
        }
    };
    plan.figures.connections_total.add(1);
    plan.say(hall, BridgeState::Connected, None);
    let reason = tokio::select! {
        Some(ended) = tasks.join_next() => match ended {
            Ok(Ok(())) => None,
            Ok(Err(reason)) => Some(reason),
            Err(error) => Some(format!("a link's task failed: {error}")),
        },
        closed = connection.on_close() => {
            Some(closed.map_or_else(|error| error.to_string(), |()| hung_up()))
        }
        () = scissors.ended() => Some(hung_up()),
        _ = stopped.changed() => None,
    };
    if reason.is_none() && *stopped.borrow() {
        let said = async {
            while tasks.join_next().await.is_some() {}
            let _ = session.end().await;
            let _ = connection.close().await;
        };
        // Nothing depends on it: whoever is slow here is not waited for.
        let _ = tokio::time::timeout(FAREWELL, said).await;
        scissors.cut();
        return Ok(());
    }
    scissors.cut();
    let reason = reason.unwrap_or_else(|| "a link ended".to_owned());
    Err(Lost { reason, went_well: went_well.get() })
}

type Opened = (ConnectionHandle<()>, SessionHandle<()>);

async fn open(
    plan: &Rc<Plan>,
    hall: &Hall,
    stream: Cut,
    tasks: &mut JoinSet<Result<(), String>>,
    went_well: &Rc<Cell<bool>>,
    stopped: &watch::Receiver<bool>,
) -> Result<Opened, String> {
    let settings = &plan.settings;
    let profile = login(settings)?.map_or(SaslProfile::Anonymous, SaslProfile::from);
    let builder = Connection::builder().container_id(plan.client_id.clone()).hostname(plan.target.host.as_str());
    let builder = builder.scheme("amqp").sasl_profile(profile);
    let builder = builder.idle_time_out(u32::from(settings.keep_alive_seconds) * 1000);
    let mut connection = builder.open_with_stream(stream).await.map_err(|error| error.to_string())?;
    let mut session = Session::begin(&mut connection).await.map_err(|error| error.to_string())?;
    let origin = hall.broker.origin();
    for way in &plan.outward {
        let sender = sender(plan, way, &mut session).await?;
        let holding = Holding::take(hall, plan, way, origin)?;
        let (plan, hall, way) = (plan.clone(), hall.clone(), way.clone());
        tasks.spawn_local(outward(plan, hall, holding, way, sender, went_well.clone(), stopped.clone()));
    }
    for way in &plan.inward {
        let receiver = receiver(plan, way, &mut session).await?;
        let bell = Arc::new(Bell::default());
        let mut inward = Inward {
            plan: plan.clone(),
            hall: hall.clone(),
            way: way.clone(),
            link: Link::of(bell.clone(), Arc::new(plan.client.clone())),
            bell,
            origin,
            went_well: went_well.clone(),
        };
        inward.prepare()?;
        tasks.spawn_local(inward.run(receiver, stopped.clone()));
    }
    Ok((connection, session))
}

async fn sender(plan: &Plan, way: &Way, session: &mut SessionHandle<()>) -> Result<Sender, String> {
    let mode = if way.route.qos == 0 { SenderSettleMode::Settled } else { SenderSettleMode::Unsettled };
    // Without an address each message says where it goes.
    let target = match way.route.remote.as_str() {
        "" => Target::builder().build(),
        address => Target::builder().address(address).build(),
    };
    let attached = Sender::builder()
        .name(format!("{}/{:08x}/out", plan.client_id, way.number))
        .target(target)
        .sender_settle_mode(mode)
        .attach(session)
        .await;
    attached.map_err(|error| format!("it refuses the link to {:?}: {error}", way.route.remote))
}

async fn receiver(plan: &Plan, way: &Way, session: &mut SessionHandle<()>) -> Result<Receiver, String> {
    let address = way.route.remote_source();
    let source = Source::builder()
        .address(address.as_str())
        .durable(TerminusDurability::UnsettledState)
        .expiry_policy(TerminusExpiryPolicy::Never);
    let mode = if way.route.qos == 0 { SenderSettleMode::Settled } else { SenderSettleMode::Unsettled };
    let attached = Receiver::builder()
        .name(format!("{}/{:08x}/in", plan.client_id, way.number))
        .source(source.build())
        .sender_settle_mode(mode)
        .receiver_settle_mode(ReceiverSettleMode::First)
        .max_message_size(u64::from(plan.settings.message_bytes_max))
        .credit_mode(CreditMode::Auto(u32::from(plan.settings.window)))
        .attach(session)
        .await;
    attached.map_err(|error| format!("it refuses the link from {address}: {error}"))
}
