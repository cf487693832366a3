//! `pliant pub`: send messages, and know that they arrived.

use super::connect::{ConnectArgs, qos, words};
use super::progress::Progress;
use super::tunnel::Tunnel;
use super::{Failure, Outcome, amqp, output};
use crate::topic::{Limits, Topic};
use clap::Args;
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason, PubCompReason, PubRecReason, PublishProperties};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop};
use std::io::{BufRead, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Messages read ahead from standard input.
pub(super) const AHEAD: usize = 64;

#[derive(Debug, Clone, Args)]
pub(crate) struct PublishArgs {
    /// Topic
    pub(super) topic: String,
    /// Payload
    #[arg(conflicts_with_all = ["file", "lines"])]
    message: Option<String>,
    /// Payload from a file; `-`: all of standard input
    #[arg(long, short, value_name = "FILE", conflicts_with = "lines")]
    file: Option<PathBuf>,
    /// One message for each line of standard input
    #[arg(long, short)]
    lines: bool,
    /// Quality of service
    #[arg(long, short, value_name = "0|1|2", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(super) qos: u8,
    /// Keep it as the topic's last value
    #[arg(long, short)]
    pub(super) retain: bool,
    /// Send it so many times
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Seconds until the message is worthless
    #[arg(long, value_name = "SECONDS")]
    pub(super) expiry: Option<u32>,
    /// MIME type of the payload
    #[arg(long, value_name = "TYPE")]
    pub(super) content_type: Option<String>,
    /// Where an answer is expected
    #[arg(long, value_name = "TOPIC")]
    pub(super) response_topic: Option<String>,
    /// What an answer has to carry
    #[arg(long, value_name = "TEXT")]
    pub(super) correlation_data: Option<String>,
    /// A user property; may be given more than once
    #[arg(long = "property", short, value_name = "NAME=VALUE")]
    properties: Vec<String>,
    /// Give up after so many seconds without an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) timeout: u64,
    /// Print what came of it as JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) connect: ConnectArgs,
}

/// What came of the messages.
#[derive(Default)]
struct Sent {
    /// Messages handed to the connection.
    handed: u64,
    /// Of those, on the wire (at most once) or acknowledged.
    done: u64,
    /// Of those, without a subscriber, as far as the broker said.
    unmatched: u64,
}

pub(crate) fn run(args: &PublishArgs) -> Outcome {
    let properties = args.properties()?;
    Topic::new(&args.topic, &Limits::default())
        .map_err(|error| Failure::Usage(format!("{:?}: {error}", args.topic)))?;
    // Over AMQP it is an address.
    if let Some(topic) = args.response_topic.as_ref().filter(|_| !args.connect.is_amqp()) {
        Topic::new(topic, &Limits::default())
            .map_err(|error| Failure::Usage(format!("--response-topic {topic:?}: {error}")))?;
    }
    args.connect.check_session()?;
    if args.connect.is_amqp() {
        return amqp::publish(args, properties.user_properties);
    }
    let (mut options, tunnel) = args.connect.link()?;
    // What waits in a session that was kept is for whoever subscribed, not for this.
    options.set_manual_acks(true);
    let (client, events) = AsyncClient::new(options, AHEAD);
    let more = args.payloads()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    let sent = runtime.block_on(async {
        tunnel.as_ref().map_or(Ok(()), Tunnel::open)?;
        send(args, properties, client, events, more, tunnel.as_ref()).await
    })?;
    if args.json {
        return output::json(&serde_json::json!({ "sent": sent.done, "no_subscriber": sent.unmatched }));
    }
    Ok(())
}

/// Where payloads come from.
enum Source {
    Bytes(Vec<u8>),
    Lines,
}

impl Source {
    fn read(self, times: u64, to: &mpsc::Sender<Result<Vec<u8>, String>>) {
        match self {
            Self::Bytes(bytes) => {
                for _ in 0..times {
                    if to.blocking_send(Ok(bytes.clone())).is_err() {
                        return;
                    }
                }
            }
            Self::Lines => {
                for line in std::io::stdin().lock().split(b'\n') {
                    let line = line.map_err(|error| format!("cannot read standard input: {error}"));
                    for _ in 0..times {
                        if to.blocking_send(line.clone()).is_err() {
                            return;
                        }
                    }
                }
            }
        }
    }
}

impl PublishArgs {
    /// Payload after payload, each as often as it is to be sent.
    pub(super) fn payloads(&self) -> Result<mpsc::Receiver<Result<Vec<u8>, String>>, Failure> {
        let (payloads, more) = mpsc::channel(AHEAD);
        let (source, times) = (self.source()?, self.count);
        std::thread::spawn(move || source.read(times, &payloads));
        Ok(more)
    }

    fn source(&self) -> Result<Source, Failure> {
        if self.lines {
            return Ok(Source::Lines);
        }
        let bytes = match (&self.message, &self.file) {
            (Some(message), _) => message.clone().into_bytes(),
            (None, Some(path)) if path.as_os_str() == "-" => {
                let mut bytes = Vec::new();
                std::io::stdin().read_to_end(&mut bytes).map_err(Failure::failed)?;
                bytes
            }
            (None, Some(path)) => std::fs::read(path)
                .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))?,
            (None, None) => Vec::new(),
        };
        Ok(Source::Bytes(bytes))
    }

    fn properties(&self) -> Result<PublishProperties, Failure> {
        let user = self.properties.iter().map(|property| match property.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(Failure::Usage(format!("--property {property}: expected NAME=VALUE"))),
        });
        Ok(PublishProperties {
            message_expiry_interval: self.expiry,
            response_topic: self.response_topic.clone(),
            correlation_data: self.correlation_data.clone().map(|data| data.into_bytes().into()),
            user_properties: user.collect::<Result<_, _>>()?,
            content_type: self.content_type.clone(),
            ..PublishProperties::default()
        })
    }
}

/// Hands over payload after payload and watches what comes of them. The time-out runs while there is something to wait
/// for, and begins anew with each acknowledgement.
async fn send(
    args: &PublishArgs,
    properties: PublishProperties,
    client: AsyncClient,
    events: EventLoop,
    mut more: mpsc::Receiver<Result<Vec<u8>, String>>,
    tunnel: Option<&Tunnel>,
) -> Result<Sent, Failure> {
    let (polling, mut told) = watch(events);
    let mut sent = Sent::default();
    let mut open = true;
    let mut connected = false;
    let patience = Duration::from_secs(args.timeout);
    let mut last = Instant::now();
    let (_progress, told_done) = progress();
    while open || sent.done < sent.handed {
        let waiting = !connected || sent.done < sent.handed;
        let until = if waiting { last + patience } else { Instant::now() + patience };
        tokio::select! {
            event = told.recv() => {
                let event = event.ok_or_else(|| Failure::Failed("the connection is over".to_owned()))?;
                let event = event.map_err(|error| args.connect.broken(tunnel, &error, connected))?;
                connected |= matches!(event, Event::Incoming(Packet::ConnAck(_)));
                if sent.see(&event, args.qos)? {
                    last = Instant::now();
                    told_done.store(sent.done, Ordering::Relaxed);
                }
            }
            payload = more.recv(), if open && connected && sent.handed - sent.done < AHEAD as u64 => match payload {
                Some(payload) => {
                    let payload = payload.map_err(Failure::Failed)?;
                    if sent.handed == sent.done {
                        last = Instant::now();
                    }
                    sent.handed += 1;
                    let given = client.try_publish_with_properties(&args.topic, qos(args.qos), args.retain, payload, properties.clone());
                    given.map_err(|error| Failure::Failed(format!("{}: {error}", args.topic)))?;
                }
                None => open = false,
            },
            () = tokio::time::sleep_until(until.into()), if waiting => {
                return Err(Failure::Failed(format!("{}: no answer within {} s", args.connect.url(), args.timeout)));
            }
        }
    }
    if client.try_disconnect().is_ok() {
        let said = async {
            while !matches!(told.recv().await, Some(Ok(Event::Outgoing(Outgoing::Disconnect)) | Err(_)) | None) {}
        };
        // Nothing depends on it any more: whoever is slow here is not waited for.
        let _ = tokio::time::timeout(Duration::from_secs(1), said).await;
    }
    polling.abort();
    // Ends when it was aborted, and with it the library's socket.
    let _ = polling.await;
    if let Some(tunnel) = tunnel {
        tunnel.finish().await;
    }
    Ok(sent)
}

/// Tells on a terminal how many messages are done, which it is told.
pub(super) fn progress() -> (Progress, Arc<AtomicU64>) {
    let done = Arc::new(AtomicU64::new(0));
    let seen = done.clone();
    (Progress::telling(move || format!("publishing … {} messages", seen.load(Ordering::Relaxed))), done)
}

/// Polls the connection without a break, as long as somebody listens: a poll that is given up leaves bytes behind that
/// nobody sends.
fn watch(mut events: EventLoop) -> (JoinHandle<()>, mpsc::Receiver<Result<Event, ConnectionError>>) {
    let (tell, told) = mpsc::channel(AHEAD);
    let polling = tokio::spawn(async move {
        loop {
            let event = events.poll().await;
            let is_over = event.is_err();
            if tell.send(event).await.is_err() || is_over {
                return;
            }
        }
    });
    (polling, told)
}

impl Sent {
    /// Takes note of an event; whether a message is over with it.
    fn see(&mut self, event: &Event, qos: u8) -> Result<bool, Failure> {
        let refused = |reason: String| Err(Failure::Failed(format!("the broker refused the message: {reason}")));
        match event {
            Event::Outgoing(Outgoing::Publish(_)) if qos == 0 => {}
            Event::Incoming(Packet::PubAck(ack)) => match ack.reason {
                PubAckReason::Success => {}
                PubAckReason::NoMatchingSubscribers => self.unmatched += 1,
                reason => {
                    let said = ack.properties.as_ref().and_then(|more| more.reason_string.as_ref());
                    return refused(words(reason, said));
                }
            },
            Event::Incoming(Packet::PubRec(rec)) => {
                match rec.reason {
                    PubRecReason::Success => {}
                    PubRecReason::NoMatchingSubscribers => self.unmatched += 1,
                    reason => {
                        let said = rec.properties.as_ref().and_then(|more| more.reason_string.as_ref());
                        return refused(words(reason, said));
                    }
                }
                return Ok(false);
            }
            Event::Incoming(Packet::PubComp(comp)) => {
                if comp.reason != PubCompReason::Success {
                    return refused(words(comp.reason, None));
                }
            }
            Event::Incoming(Packet::Disconnect(farewell)) => {
                let said = farewell.properties.as_ref().and_then(|more| more.reason_string.as_ref());
                let why = words(farewell.reason_code, said);
                return Err(Failure::Failed(format!("the broker ended the connection: {why}")));
            }
            _ => return Ok(false),
        }
        self.done += 1;
        Ok(true)
    }
}
