//! Retain policy and will handling that answer as the configuration says.

use pliant_guest::prelude::*;

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Answers {
    /// `store`, `store-60`, `leave`, `delete`, `refuse`; else as flagged.
    retention: String,
    unflagged: Option<Vec<String>>,
    by_topic: bool,
    /// At most so many stored values for a new subscription.
    newest: Option<u32>,
    /// `none`, `refuse`; else the will with its delay raised by a second.
    will: String,
    /// Published when a will is due, beside the will.
    beside: Vec<String>,
}

impl Module for Answers {
    type Config = Self;

    fn new(config: Self) -> Result<Self, Refusal> {
        Ok(config)
    }

    fn manifest(&self) -> Manifest {
        Manifest {
            unflagged_retain: self.unflagged.clone().map(Interest::filters),
            retain_by_topic: self.by_topic,
            ..Manifest::default()
        }
    }
}

fn no() -> Refusal {
    Refusal { kind: RefusalKind::NotAuthorized, reason: "no".into() }
}

impl RetainPolicy for Answers {
    fn on_publish(&self, _: &Client, _: &Envelope, _: &Payload) -> Retention {
        match self.retention.as_str() {
            "store" => Retention::Store(None),
            "store-60" => Retention::Store(Some(60)),
            "leave" => Retention::Leave,
            "delete" => Retention::Delete,
            "refuse" => Retention::Refuse(no()),
            _ => Retention::AsFlagged,
        }
    }

    fn on_subscribe(&self, _: &Client, _: &str, _: u64) -> Replay {
        match self.newest {
            None => Replay::All,
            Some(0) => Replay::None,
            Some(count) => Replay::Newest(count),
        }
    }
}

impl WillHandling for Answers {
    fn on_register(&self, _: &Client, mut will: Will) -> Result<Option<Will>, Refusal> {
        match self.will.as_str() {
            "none" => Ok(None),
            "refuse" => Err(no()),
            _ => {
                will.delay_seconds += 1;
                Ok(Some(will))
            }
        }
    }

    fn on_departure(&self, owner: &Client, will: Will, how: Departure) -> Vec<Message> {
        let beside = self.beside.iter().map(|topic| Message::new(topic, format!("{} {how:?}", owner.id)));
        core::iter::once(will.message).chain(beside).collect()
    }
}

pliant_guest::export!(Answers with retain_policy, will_handling);
