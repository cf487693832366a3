//! The gateway itself: what EnMasse's design has a front end do (1.5), with fe2o3-amqp towards the broker.

use super::packets::{Message as Said, Mqtt, Packet};
use super::{control_of, publish_of};
use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::definitions::{self, LinkError, ReceiverSettleMode, SenderSettleMode};
use fe2o3_amqp::types::messaging::annotations::OwnedKey;
use fe2o3_amqp::types::messaging::{Body, Data, Header, Message, MessageAnnotations, MessageId, Outcome, Properties};
use fe2o3_amqp::types::primitives::{Binary, OrderedMap, Value};
use fe2o3_amqp::{Connection, Delivery, Receiver, Sender, Session};
use std::collections::HashMap;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// A running gateway; it stops when it is dropped.
pub struct Gateway {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Gateway {
    /// In front of the broker that listens there for AMQP.
    pub fn start(broker: SocketAddr) -> Self {
        let (stop, stopped) = oneshot::channel();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let thread = std::thread::spawn(move || {
            super::super::run(async move {
                let listener = TcpListener::from_std(listener).expect("a listener");
                tokio::pin!(stopped);
                loop {
                    tokio::select! {
                        _ = &mut stopped => return,
                        came = listener.accept() => {
                            let (stream, _) = came.expect("a client");
                            tokio::task::spawn_local(serve(stream, broker));
                        }
                    }
                }
            });
        });
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens for MQTT.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()) || std::thread::panicking(), "the gateway panicked");
    }
}

type Came = Delivery<Body<Value>>;

/// One client and its connection to the broker.
struct Front {
    mqtt: Mqtt,
    id: String,
    session: SessionHandle<()>,
    service: Sender,
    publish: Receiver,
    will: Option<Sender>,
    releases: Option<Sender>,
    /// By topic, and whether it is for QoS 2.
    senders: HashMap<(String, bool), Sender>,
    /// Deliveries that wait for the client, by packet identifier.
    waiting: HashMap<u16, Came>,
    /// Packet identifiers of those that were received, by message-id.
    received: HashMap<String, u16>,
    /// Releases that wait for the client.
    released: HashMap<u16, Came>,
    last_packet: u16,
}

async fn serve(stream: TcpStream, broker: SocketAddr) {
    stream.set_nodelay(true).expect("no delay");
    let mut mqtt = Mqtt::new(stream);
    let Some(Packet::Connect { id, clean, keep_alive, will }) = mqtt.read().await else { return };
    let mut builder = Connection::builder().container_id(&id[..]);
    if keep_alive > 0 {
        builder = builder.idle_time_out(u32::from(keep_alive) * 1000);
    }
    let mut connection = builder.open(&format!("amqp://{broker}")[..]).await.expect("a connection");
    let mut session = Session::begin(&mut connection).await.expect("a session");
    let mut control =
        Receiver::attach(&mut session, format!("control-{id}"), control_of(&id)).await.expect("the control address");
    let mut service = Sender::attach(&mut session, format!("ss-{id}"), "$mqtt.subscriptionservice").await.expect("SS");
    let mut lwt = None;
    if let Some(will) = will {
        let mut sender = Sender::attach(&mut session, &id[..], "$mqtt.lwtservice").await.expect("LWTS");
        assert!(accepted(&sender.send(published(&will, Some("will"))).await.expect("an outcome")));
        lwt = Some(sender);
    }
    let properties = |subject: &str| {
        Properties::builder().subject(subject).correlation_id(publish_of(&id)).reply_to(control_of(&id)).build()
    };
    let asked =
        Message::builder().properties(properties(if clean { "close" } else { "list" })).value(Value::Null).build();
    assert!(accepted(&service.send(asked).await.expect("an outcome")));
    let mut present = false;
    if !clean {
        let answer: Delivery<Body<Value>> = control.recv().await.expect("AMQP_SUBSCRIPTIONS");
        control.accept(&answer).await.expect("it is settled");
        present = matches!(answer.body(), Body::Value(map) if matches!(&map.0, Value::Map(map) if !map.is_empty()));
    }
    mqtt.write(0x20, &[u8::from(present), 0]).await;
    let publish = Receiver::builder()
        .name(format!("publish-{id}"))
        .source(publish_of(&id))
        .sender_settle_mode(SenderSettleMode::Unsettled)
        .receiver_settle_mode(ReceiverSettleMode::First)
        .attach(&mut session)
        .await
        .expect("the publish address");
    let front = Front {
        mqtt,
        id,
        session,
        service,
        publish,
        will: lwt,
        releases: None,
        senders: HashMap::new(),
        waiting: HashMap::new(),
        received: HashMap::new(),
        released: HashMap::new(),
        last_packet: 0,
    };
    front.run(connection, clean).await;
}

fn accepted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Accepted(_))
}

/// AMQP_PUBLISH, or with this subject AMQP_WILL (1.4).
fn published(said: &Said, subject: Option<&str>) -> Message<Body<Value>> {
    let annotations = MessageAnnotations::builder()
        .insert("x-opt-retain-message", said.retain)
        .insert("x-opt-mqtt-qos", said.qos)
        .build();
    let mut properties = Properties::builder().to(said.topic.clone()).build();
    properties.subject = subject.map(Into::into);
    Message {
        header: Some(Header { durable: said.qos > 0, delivery_count: said.duplicate.into(), ..Header::default() }),
        delivery_annotations: None,
        message_annotations: Some(annotations),
        properties: Some(properties),
        application_properties: None,
        body: Body::Data(vec![Data(Binary::from(said.payload.clone()))].into()),
        footer: None,
    }
}

fn annotation<'m>(message: &'m Message<Body<Value>>, name: &str) -> Option<&'m Value> {
    let annotations = &message.message_annotations.as_ref()?.0;
    annotations
        .iter()
        .find(|(key, _)| matches!(key, OwnedKey::Symbol(key) if key.as_str() == name))
        .map(|(_, value)| value)
}

impl Front {
    async fn run(mut self, mut connection: ConnectionHandle<()>, clean: bool) {
        let is_clean = loop {
            tokio::select! {
                packet = self.mqtt.read() => match packet {
                    None => break false,
                    Some(Packet::Disconnect) => break true,
                    Some(packet) => self.client_says(packet).await,
                },
                came = self.publish.recv() => match came {
                    Ok(came) => self.broker_says(came).await,
                    // Somebody else has the session now.
                    Err(_) => break false,
                },
            }
        };
        if clean {
            let properties = Properties::builder().subject("close").correlation_id(publish_of(&self.id)).build();
            let _ = self.service.send(Message::builder().properties(properties).value(Value::Null).build()).await;
        }
        if let Some(will) = self.will.take() {
            let lost = definitions::Error::new(LinkError::DetachForced, "client lost".to_owned(), None);
            let _ = if is_clean { will.detach().await } else { will.detach_with_error(lost).await };
        }
        let _ = self.session.end().await;
        let _ = connection.close().await;
    }

    async fn client_says(&mut self, packet: Packet) {
        match packet {
            Packet::Publish { message, packet } => self.publish(message, packet).await,
            Packet::Subscribe { packet, filters } => {
                let map: OrderedMap<Value, Value> = filters
                    .iter()
                    .map(|(name, qos)| (Value::from(name.clone()), Value::from(qos.to_string())))
                    .collect();
                let done = self.ask("subscribe", packet, Value::Map(map)).await;
                let codes = filters.iter().map(|(_, qos)| if done { *qos } else { 0x80 });
                let body: Vec<u8> = packet.to_be_bytes().into_iter().chain(codes).collect();
                self.mqtt.write(0x90, &body).await;
            }
            Packet::Unsubscribe { packet, filters } => {
                let list = Value::List(filters.into_iter().map(Value::from).collect());
                assert!(self.ask("unsubscribe", packet, list).await);
                self.mqtt.ack(0xB0, packet).await;
            }
            Packet::Ack(first, packet) => self.acknowledged(first, packet).await,
            Packet::Ping => self.mqtt.write(0xD0, &[]).await,
            Packet::Connect { .. } | Packet::Disconnect => {}
        }
    }

    async fn ask(&mut self, subject: &str, packet: u16, body: Value) -> bool {
        let properties = Properties::builder()
            .message_id(u64::from(packet))
            .subject(subject)
            .correlation_id(publish_of(&self.id))
            .build();
        let asked = Message::builder().properties(properties).value(body).build();
        accepted(&self.service.send(asked).await.expect("an outcome"))
    }

    /// A link for QoS 0 and 1 of each topic, and another one that settles second for QoS 2 (1.3).
    async fn publish(&mut self, message: Said, packet: u16) {
        let key = (message.topic.clone(), message.qos == 2);
        if !self.senders.contains_key(&key) {
            let settles = if key.1 { ReceiverSettleMode::Second } else { ReceiverSettleMode::First };
            let sender = Sender::builder()
                .name(format!("{}-{}", key.0, key.1))
                .target(&key.0[..])
                .sender_settle_mode(SenderSettleMode::Unsettled)
                .receiver_settle_mode(settles)
                .attach(&mut self.session)
                .await
                .expect("a topic");
            self.senders.insert(key.clone(), sender);
        }
        let sender = self.senders.get_mut(&key).expect("it was just made");
        let outcome = sender.send(published(&message, None)).await.expect("an outcome");
        assert!(accepted(&outcome), "{outcome:?}");
        match message.qos {
            0 => {}
            1 => self.mqtt.ack(0x40, packet).await,
            _ => self.mqtt.ack(0x50, packet).await,
        }
    }

    async fn acknowledged(&mut self, first: u8, packet: u16) {
        match first {
            // PUBACK: settle the delivery.
            0x40 => self.settle_waiting(packet).await,
            // PUBREC: the broker takes the release, then the delivery is settled.
            0x50 => {
                let id = self
                    .waiting
                    .get(&packet)
                    .and_then(|came| came.message().properties.clone())
                    .and_then(|p| p.message_id);
                let id = id.expect("a QoS 2 message has an id");
                self.received.insert(format!("{id:?}"), packet);
                assert!(self.release(id).await);
                self.settle_waiting(packet).await;
            }
            // PUBREL of the client's own publication, which the broker has.
            0x62 => self.mqtt.ack(0x70, packet).await,
            // PUBCOMP: settle the release.
            _ => {
                if let Some(came) = self.released.remove(&packet) {
                    self.publish.accept(&came).await.expect("it is settled");
                }
            }
        }
    }

    async fn settle_waiting(&mut self, packet: u16) {
        if let Some(came) = self.waiting.remove(&packet) {
            self.publish.accept(&came).await.expect("it is settled");
        }
    }

    async fn release(&mut self, id: MessageId) -> bool {
        if self.releases.is_none() {
            let address = format!("$mqtt.{}.pubrel", self.id);
            self.releases = Some(Sender::attach(&mut self.session, address.clone(), address).await.expect("pubrel"));
        }
        let sender = self.releases.as_mut().expect("it was just made");
        let properties = Properties::builder().subject("pubrel").message_id(id).build();
        accepted(
            &sender
                .send(Message::builder().properties(properties).value(Value::Null).build())
                .await
                .expect("an outcome"),
        )
    }

    async fn broker_says(&mut self, came: Came) {
        let message = came.message();
        let properties = message.properties.clone().unwrap_or_default();
        if properties.subject.as_deref() == Some("pubrel") {
            let id = format!("{:?}", properties.message_id.expect("a release has an id"));
            let packet = self.received.remove(&id).unwrap_or_else(|| next(&mut self.last_packet));
            self.released.insert(packet, came);
            self.mqtt.ack(0x62, packet).await;
            return;
        }
        let header = message.header.clone().unwrap_or_default();
        let by_header = u8::from(header.durable);
        let qos = match annotation(message, "x-opt-mqtt-qos") {
            Some(Value::Ubyte(qos)) => *qos,
            _ => by_header,
        };
        let said = Said {
            topic: properties.to.expect("a topic").to_string(),
            payload: match message.body {
                Body::Data(ref parts) => parts.iter().flat_map(|Data(bytes)| bytes.to_vec()).collect(),
                _ => Vec::new(),
            },
            qos,
            retain: annotation(message, "x-opt-retain-message") == Some(&Value::Bool(true)),
            duplicate: header.delivery_count > 0,
        };
        let packet = if qos > 0 { next(&mut self.last_packet) } else { 0 };
        self.mqtt.publish(&said, packet).await;
        if qos == 0 {
            self.publish.accept(&came).await.expect("it is settled");
        } else {
            self.waiting.insert(packet, came);
        }
    }
}

fn next(last: &mut u16) -> u16 {
    *last = last.checked_add(1).unwrap_or(1);
    *last
}
