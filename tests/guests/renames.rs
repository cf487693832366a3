//! Puts a prefix before every name, and takes it away for those who are shown one.

use pliant_guest::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Renames {
    prefix: String,
}

impl Module for Renames {
    type Config = Self;

    fn new(config: Self) -> Result<Self, Refusal> {
        Ok(config)
    }
}

impl TopicMapping for Renames {
    fn publish_topic(&self, scope: &Scope, name: &str) -> Result<String, Refusal> {
        match name {
            "forbidden" => Err(Refusal { kind: RefusalKind::TopicInvalid, reason: "forbidden".into() }),
            "forever" => loop {
                std::hint::spin_loop();
            },
            "who" => Ok(format!("{}/{}", scope.listener, scope.identity.as_deref().unwrap_or("-"))),
            "long" => Ok("x".repeat(70_000)),
            "wild" => Ok("a/#".into()),
            name => Ok(format!("{}{name}", self.prefix)),
        }
    }

    fn subscribe_filter(&self, _: &Scope, filter: &str) -> Result<String, Refusal> {
        Ok(format!("{}{filter}", self.prefix))
    }

    fn deliver_name(&self, _: &Scope, topic: &str) -> String {
        topic.strip_prefix(&self.prefix).unwrap_or(topic).into()
    }
}

pliant_guest::export!(Renames with topic_mapping);
