//! The hooks beside the way of a message: decides over copies, makes a dead-letter topic, ticks, and translates.

use pliant_guest::prelude::*;

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Beside {
    /// Of copies and lost messages.
    filters: Vec<String>,
    tick_milliseconds: Option<u32>,
}

impl Module for Beside {
    type Config = Self;

    fn new(config: Self) -> Result<Self, Refusal> {
        Ok(config)
    }

    fn manifest(&self) -> Manifest {
        Manifest {
            delivery: Interest::filters(self.filters.clone()),
            tick_milliseconds: self.tick_milliseconds,
            ..Manifest::default()
        }
    }
}

/// Whoever is called `blind` gets nothing; everybody else is told who they are.
impl Delivery for Beside {
    fn on_deliver(&self, subscriber: &Client, envelope: Envelope, payload: &Payload) -> Outcome {
        match payload.text().as_deref() {
            Some("as it is") => return Outcome::Pass,
            Some("trap") => panic!("as it was asked to"),
            Some("worthless") => {
                let envelope = Envelope { expiry_seconds: Some(0), ..envelope };
                return Outcome::Replace(Message { envelope, payload: payload.to_vec() });
            }
            _ => {}
        }
        if subscriber.id.contains("blind") {
            return Outcome::Withhold;
        }
        let level = envelope.guarantee as u8;
        let text = format!("{} for {} at {level}", payload.text().unwrap_or_default(), subscriber.id);
        Outcome::Replace(Message { envelope, payload: text.into_bytes() })
    }
}

impl Events for Beside {
    fn on_events(&self, events: Vec<Event>) -> Vec<Message> {
        let told = |event| {
            let (kind, what) = match event {
                Event::Connected(client) => ("connected", client.id),
                Event::Disconnected((client, how)) => ("disconnected", format!("{} {}", client.id, how.name())),
                Event::Subscribed((client, filter)) => ("subscribed", format!("{} {filter}", client.id)),
                Event::Unsubscribed((client, filter)) => ("unsubscribed", format!("{} {filter}", client.id)),
                Event::Lost((envelope, _)) if envelope.topic.starts_with("told/") => return None,
                Event::Lost((envelope, loss)) => ("lost", format!("{} {loss:?}", envelope.topic)),
            };
            Some(Message::new(format!("told/{kind}"), what.into_bytes()))
        };
        events.into_iter().filter_map(told).collect()
    }
}

impl Timers for Beside {
    fn on_tick(&self, now_milliseconds: u64) -> Vec<Message> {
        vec![Message::new("told/tick", now_milliseconds.to_string())]
    }
}

impl Translation for Beside {
    fn to_amqp(&self, envelope: &Envelope, payload: &Payload) -> Result<AmqpForm, Refusal> {
        if payload.is_empty() {
            return Err(Refusal::payload_invalid("nothing to translate"));
        }
        let head = AmqpMessage {
            durable: envelope.guarantee != Guarantee::AtMostOnce,
            // None of the three is a module's to say.
            ttl: Some(1),
            delivery_count: 7,
            delivery_annotations: vec![("x-opt-mine".into(), AmqpValue::Boolean(true))],
            message_annotations: vec![("x-opt-retain".into(), AmqpValue::Boolean(envelope.retain))],
            message_id: Some(AmqpValue::Uuid(vec![7; if payload.size() == 1 { 3 } else { 16 }])),
            to: Some(envelope.topic.clone()),
            reply_to: envelope.response_topic.clone(),
            correlation_id: envelope.correlation_data.clone().map(AmqpValue::Binary),
            content_type: envelope.content_type.clone(),
            ..AmqpMessage::new(AmqpBody::Data(Vec::new()))
        };
        Ok(AmqpForm { head, body: None })
    }

    fn from_amqp(&self, topic: &str, message: AmqpMessage) -> Result<(Envelope, Vec<u8>), Refusal> {
        let mut envelope = Envelope { response_topic: message.reply_to.clone(), ..Envelope::new(topic) };
        if let Some(ttl) = message.ttl {
            envelope = envelope.property("ttl", ttl.to_string());
        }
        for (name, value) in &message.application_properties {
            envelope = envelope.property(name, format!("{value:?}"));
        }
        match message.body {
            AmqpBody::Data(bytes) if bytes == b"trap" => panic!("as it was asked to"),
            AmqpBody::Data(bytes) if bytes == b"refuse" => Err(Refusal::payload_invalid("as it was asked to")),
            AmqpBody::Data(bytes) => Ok((envelope, bytes)),
            AmqpBody::Value(value) => Ok((envelope, format!("{value:?}").into_bytes())),
            AmqpBody::Sequence(lists) => Ok((envelope, lists.concat())),
        }
    }
}

pliant_guest::export!(Beside with delivery, events, timers, translation);
