//! The same over AMQP 1.0: a link each. A quality of service is a way to settle: 0 by the sender, 1 by the receiver first, 2
//! by the receiver second.

use super::LOOK;
use super::heard::Heard;
use super::play::Run;
use crate::bridge;
use crate::cli::Failure;
use crate::cli::amqp::{Opened, PUBLISHING, settling, taken};
use fe2o3_amqp::link::SendError;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::types::messaging::{
    Body, Data, Header, Message, Outcome as Said, Properties, Source, Target, TerminusDurability, TerminusExpiryPolicy,
};
use fe2o3_amqp::types::primitives::{Symbol, Value};
use fe2o3_amqp::{Delivery, Receiver, Sendable, Sender};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// Deliveries that a subscriber takes ahead.
const CREDIT: u32 = 1000;

/// Attaches; what it gives back sends all messages and waits until they are settled.
pub(super) fn publisher(
    run: &Arc<Run>,
    number: u32,
) -> Result<impl FnOnce() -> Result<(), Failure> + Send + use<>, Failure> {
    let (run, runtime) = (run.clone(), runtime()?);
    let (opened, sender) = runtime.block_on(async {
        let mut opened = Opened::open(&run.login).await?;
        let (sender_settles, _) = settling(run.plan.qos as u8);
        let target = match (&run.node, run.plan.topics) {
            (Some(node), _) => Target::from(node.replace("{}", &number.to_string())),
            (None, 1) => Target::from(run.topic(number, 0)),
            // Each message says where to.
            (None, _) => Target::builder().build(),
        };
        let attaching = Sender::builder()
            .name(format!("{}/{number}", run.root))
            .target(target)
            .sender_settle_mode(sender_settles)
            .receiver_settle_mode(PUBLISHING)
            .attach(&mut opened.session);
        let sender = attaching.await.map_err(|error| Failure::Failed(bridge::sending(&error)))?;
        Ok::<_, Failure>((opened, sender))
    })?;
    Ok(move || runtime.block_on(publish(&run, number, opened, sender)))
}

async fn publish(run: &Run, number: u32, opened: Opened, mut sender: Sender) -> Result<(), Failure> {
    let plan = &run.plan;
    let (is_settled, window) = (plan.qos as u8 == 0, usize::from(plan.window));
    let begun = Instant::now();
    let mut under_way = JoinSet::new();
    for next in 0..plan.messages {
        if run.enough.load(Ordering::Relaxed) {
            break;
        }
        if let Some(rate) = plan.rate {
            while (begun.elapsed().as_secs_f64() * rate as f64) < next as f64 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let header = Header { durable: !is_settled, ..Header::default() };
        let to = (plan.topics > 1).then(|| Properties { to: Some(run.topic(number, next)), ..Properties::default() });
        let body = Data(run.payload(number, next).into());
        let mut message = Message::from(body);
        (message.header, message.properties) = (Some(header), to);
        let sendable = Sendable::builder().message(message).settled(is_settled).build();
        let outcome = sender.send_batchable(sendable).await.map_err(|error| Failure::Failed(bridge::sent(error)))?;
        run.sent.fetch_add(1, Ordering::Relaxed);
        if is_settled {
            continue;
        }
        under_way.spawn(outcome);
        while under_way.len() >= window {
            accepted(under_way.join_next().await)?;
        }
    }
    while !under_way.is_empty() {
        accepted(under_way.join_next().await)?;
    }
    // Nothing depends on it any more.
    let _ = sender.close().await;
    opened.close().await;
    Ok(())
}

type Joined = Option<Result<Result<Said, SendError>, tokio::task::JoinError>>;

fn accepted(said: Joined) -> Result<(), Failure> {
    let Some(said) = said else { return Ok(()) };
    taken(said.map_err(Failure::failed)?.map_err(|error| Failure::Failed(bridge::sent(error)))?)
}

/// Attaches; what it gives back listens until the run is stopped.
pub(super) fn subscriber(
    run: &Arc<Run>,
    number: u32,
) -> Result<impl FnOnce() -> Result<Heard, Failure> + Send + use<>, Failure> {
    let (run, runtime) = (run.clone(), runtime()?);
    let plan = &run.plan;
    let whose = if plan.pairs { format!("/{number}") } else { String::new() };
    let address = match &run.node {
        Some(node) => node.replace("{}", &number.to_string()),
        None => format!("{}{whose}/#", run.root),
    };
    let mut source = Source::builder().address(address);
    if plan.durable && run.node.is_none() {
        source = source.durable(TerminusDurability::UnsettledState).expiry_policy(TerminusExpiryPolicy::Never);
    }
    let mut name = format!("{}/sub/{number}", run.root);
    if plan.shared {
        source = source.capabilities(vec![Symbol::from("shared"), Symbol::from("global")]);
        name = format!("{}|{number}", run.root);
    }
    let (opened, receiver) = runtime.block_on(async {
        let mut opened = Opened::open(&run.login).await?;
        let (sender_settles, receiver_settles) = settling(run.plan.qos as u8);
        let attaching = Receiver::builder()
            .name(name)
            .source(source.build())
            .sender_settle_mode(sender_settles)
            .receiver_settle_mode(receiver_settles)
            .credit_mode(CreditMode::Auto(CREDIT))
            .attach(&mut opened.session);
        let receiver = attaching.await.map_err(|error| Failure::Failed(bridge::receiving(&error)))?;
        Ok::<_, Failure>((opened, receiver))
    })?;
    Ok(move || runtime.block_on(listen(&run, opened, receiver)))
}

async fn listen(run: &Run, opened: Opened, mut receiver: Receiver) -> Result<Heard, Failure> {
    let mut heard = Heard::new(&run.plan);
    let stopped = async {
        while !run.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::pin!(stopped);
    loop {
        let received: Result<Delivery<Body<Value>>, _> = tokio::select! {
            received = receiver.recv() => received,
            () = &mut stopped => break,
        };
        let delivery = received.map_err(|error| Failure::Failed(bridge::received(&error)))?;
        let now = run.micros();
        let payload = match delivery.body() {
            Body::Data(parts) => parts.iter().next().map_or(&[][..], |part| &part.0[..]),
            _ => &[],
        };
        let noted = heard.note(run, payload, now);
        noted.map_err(|()| Failure::Failed("a message that is not of this run".to_owned()))?;
        receiver.accept(&delivery).await.map_err(|error| Failure::Failed(bridge::disposing(&error)))?;
    }
    // What outlives its link is taken away with it.
    let _ = receiver.close().await;
    opened.close().await;
    Ok(heard)
}

fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread().enable_all().build().map_err(Failure::failed)
}
