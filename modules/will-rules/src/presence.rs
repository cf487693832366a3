//! Presence topics: `online` and `offline`, retained.

use pliant_guest::filter::{check_topic, is_forbidden};
use pliant_guest::prelude::*;
use pliant_guest::template::Template;

/// Where presence is announced.
#[derive(Debug)]
pub struct Presence {
    topic: Template,
}

impl Presence {
    /// From the configured topic.
    ///
    /// # Errors
    /// In words: why it will not do.
    pub fn new(topic: &str) -> Result<Self, String> {
        check_topic(topic).map_err(|why| format!("`{topic}` is no topic: {why}"))?;
        let template = Template::parse(topic, &["client", "user"])?;
        if !topic.contains("{client}") {
            return Err(format!("`{topic}` lacks `{{client}}`, so that all clients would share one topic"));
        }
        Ok(Presence { topic: template })
    }

    /// A client connected.
    pub fn came(&self, client: &Client) -> Option<Message> {
        self.announce(client, "online")
    }

    /// A client is gone, unless another connection goes on for it.
    pub fn gone(&self, client: &Client, how: Departure) -> Option<Message> {
        (how != Departure::TakenOver).then(|| self.announce(client, "offline"))?
    }

    fn announce(&self, client: &Client, state: &str) -> Option<Message> {
        let topic: Result<String, ()> = self.topic.fill(|place| {
            Ok(match place {
                "client" => one_level(&client.id),
                _ => client.identity.as_deref().map_or("anonymous".into(), one_level),
            })
        });
        let topic = topic.ok()?;
        if let Err(why) = check_topic(&topic) {
            log::warn(format!("no presence for client `{}`: {why}", client.id));
            return None;
        }
        Some(Message::new(topic, state).guarantee(Guarantee::AtLeastOnce).retained())
    }
}

/// An id as one level of a topic.
fn one_level(id: &str) -> String {
    let mut level = String::with_capacity(id.len());
    for c in id.chars() {
        match c {
            '%' => level.push_str("%25"),
            '/' => level.push_str("%2F"),
            '+' => level.push_str("%2B"),
            '#' => level.push_str("%23"),
            c if is_forbidden(c) => {
                let mut bytes = [0; 4];
                c.encode_utf8(&mut bytes).bytes().for_each(|byte| level.push_str(&format!("%{byte:02X}")));
            }
            c => level.push(c),
        }
    }
    level
}
