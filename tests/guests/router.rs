//! Answers as its configuration says, for the filters that it names.

use pliant_guest::prelude::*;

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Router {
    filters: Vec<String>,
    /// `keep`, `readdress`, `replace`, `discard`, `refuse`, `unfit`, `measure` or `first-bytes`.
    verdict: String,
    /// Of `readdress`, `replace` and what is also published.
    topic: String,
    payload: String,
    /// How many messages to publish too, each with this payload.
    also: usize,
    /// Of `replace` and what is also published: 0 to 2.
    qos: u8,
    expiry_seconds: Option<u32>,
}

impl Module for Router {
    type Config = Self;

    fn new(config: Self) -> Result<Self, Refusal> {
        Ok(config)
    }

    fn manifest(&self) -> Manifest {
        Manifest { routing: Interest::filters(self.filters.clone()), ..Manifest::default() }
    }
}

impl Router {
    fn message(&self) -> Message {
        let mut message = Message::new(&self.topic, self.payload.as_bytes());
        message.envelope.guarantee = match self.qos {
            0 => Guarantee::AtMostOnce,
            1 => Guarantee::AtLeastOnce,
            _ => Guarantee::ExactlyOnce,
        };
        message.envelope.expiry_seconds = self.expiry_seconds;
        message
    }
}

impl Routing for Router {
    fn on_publish(&self, _: &Client, mut envelope: Envelope, payload: &Payload) -> Decision {
        let mut decision = match self.verdict.as_str() {
            "readdress" => {
                envelope.topic = self.topic.clone();
                Decision::readdress(envelope)
            }
            "replace" => Decision::replace(self.message()),
            "discard" => Decision::discard(),
            "refuse" => Decision::refuse(Refusal { kind: RefusalKind::QuotaExceeded, reason: self.payload.clone() }),
            "unfit" => Decision::refuse(Refusal::payload_invalid("unfit")),
            "measure" => {
                let size = payload.size();
                Decision::readdress(envelope.property("bytes", size.to_string()))
            }
            "first-bytes" => {
                let bytes = payload.read(1, 2);
                Decision::readdress(envelope.property("bytes", String::from_utf8_lossy(&bytes)))
            }
            _ => Decision::keep(),
        };
        for _ in 0..self.also {
            decision = decision.also(self.message());
        }
        decision
    }
}

pliant_guest::export!(Router with routing);
