//! Topic aliases (5.0, 3.3.2.3.4), a table for each direction. Both live as long as the connection, no longer
//! (MQTT-3.3.2-7), and neither exists before the first alias is used.

use super::violation::Violation;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// The aliases that a client set.
#[derive(Debug, Default)]
pub struct IncomingAliases {
    /// By alias, from 1 on.
    topics: Vec<Option<Box<str>>>,
    bytes: usize,
}

impl IncomingAliases {
    /// What the publication's topic is: `topic`, which the alias then stands for, or if that is empty what the alias
    /// stood for. `maximum` and `bytes_max` bound the table.
    pub fn resolve<'b>(
        &'b mut self,
        alias: u16,
        topic: &'b str,
        maximum: u16,
        bytes_max: u32,
    ) -> Result<&'b str, Violation> {
        if alias == 0 || alias > maximum {
            return Err(Violation::AliasInvalid);
        }
        let index = usize::from(alias - 1);
        if topic.is_empty() {
            return self.topics.get(index).and_then(Option::as_deref).ok_or(Violation::AliasUnknown);
        }
        if self.topics.len() <= index {
            self.topics.resize(index + 1, None);
        }
        let slot = &mut self.topics[index];
        if slot.as_deref() != Some(topic) {
            let bytes = self.bytes - slot.as_ref().map_or(0, |old| old.len()) + topic.len();
            if bytes > bytes_max as usize {
                return Err(Violation::AliasBytes);
            }
            self.bytes = bytes;
            *slot = Some(topic.into());
        }
        Ok(topic)
    }
}

/// The aliases that the broker set: the topics it used last.
#[derive(Debug)]
pub struct OutgoingAliases {
    topics: Vec<Used>,
    maximum: u16,
    clock: u32,
}

#[derive(Debug)]
struct Used {
    hash: u64,
    topic: Arc<str>,
    at: u32,
}

/// How a topic is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alias {
    /// The client knows this alias: the topic is left out.
    Known(u16),
    /// Topic and alias are sent; once they are, [`OutgoingAliases::set`] must be told.
    New(u16),
    /// The topic is sent alone.
    None,
}

/// A topic of at most so many bytes is not worth an alias, which takes three.
const SHORT: usize = 4;

impl OutgoingAliases {
    /// An empty table of at most `maximum` aliases.
    pub fn new(maximum: u16) -> Self {
        Self { topics: Vec::new(), maximum, clock: 0 }
    }

    /// How to send a topic. Takes time linear in the size of the table, which is small. A new topic takes the place of
    /// the one that was used longest ago.
    pub fn find(&mut self, topic: &str) -> Alias {
        if topic.len() <= SHORT || self.maximum == 0 {
            return Alias::None;
        }
        self.clock = self.clock.wrapping_add(1);
        let hash = xxh3_64(topic.as_bytes());
        if let Some(index) = self.topics.iter().position(|used| used.hash == hash && *used.topic == *topic) {
            self.topics[index].at = self.clock;
            return Alias::Known(index as u16 + 1);
        }
        if self.topics.len() < usize::from(self.maximum) {
            return Alias::New(self.topics.len() as u16 + 1);
        }
        let age = |used: &Used| self.clock.wrapping_sub(used.at);
        let oldest = (0..self.topics.len()).max_by_key(|index| age(&self.topics[*index]));
        oldest.map_or(Alias::None, |index| Alias::New(index as u16 + 1))
    }

    /// That a new alias was sent with its topic.
    pub fn set(&mut self, alias: u16, topic: Arc<str>) {
        let used = Used { hash: xxh3_64(topic.as_bytes()), topic, at: self.clock };
        match self.topics.get_mut(usize::from(alias) - 1) {
            Some(slot) => *slot = used,
            None => self.topics.push(used),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incoming_aliases_are_bounded() {
        let mut aliases = IncomingAliases::default();
        for (alias, topic, expected) in [
            (0, "a", Err(Violation::AliasInvalid)), // MQTT-3.3.2-8
            (3, "a", Err(Violation::AliasInvalid)), // MQTT-3.3.2-9
            (1, "", Err(Violation::AliasUnknown)),  // P06
            (2, "abc", Ok("abc")),
            (2, "", Ok("abc")),
            (1, "", Err(Violation::AliasUnknown)),
            (2, "defghi", Ok("defghi")),
            (2, "", Ok("defghi")),
            (1, "jklmnop", Err(Violation::AliasBytes)), // P07
            (1, "jkl", Ok("jkl")),
            (2, "x", Ok("x")),
            (1, "jklmnop", Ok("jklmnop")),
        ] {
            assert_eq!(aliases.resolve(alias, topic, 2, 10), expected, "{alias} {topic:?}");
        }
    }

    #[test]
    fn outgoing_aliases_go_to_the_topics_used_last() {
        let mut aliases = OutgoingAliases::new(2);
        let mut send = |topic: &str| {
            let alias = aliases.find(topic);
            if let Alias::New(number) = alias {
                aliases.set(number, topic.into());
            }
            alias
        };
        for (topic, expected) in [
            ("short/er", Alias::New(1)),
            ("abc", Alias::None),
            ("short/er", Alias::Known(1)),
            ("topic/2", Alias::New(2)),
            ("short/er", Alias::Known(1)),
            ("topic/3", Alias::New(2)),
            ("topic/2", Alias::New(1)),
            ("topic/3", Alias::Known(2)),
        ] {
            assert_eq!(send(topic), expected, "{topic}");
        }
    }

    #[test]
    fn an_alias_that_was_not_sent_is_not_used() {
        let mut aliases = OutgoingAliases::new(1);
        assert_eq!(aliases.find("topic"), Alias::New(1));
        assert_eq!(aliases.find("topic"), Alias::New(1));
    }
}
