//! Queues and bindings under the names that a client knows them by. What has none, such as what lies outside of its mount point, it
//! is not shown.

use super::worker::Worker;
use super::{Broker, QueueInfo};
use crate::client::Scope;
use crate::store::QueueRecord;
use std::sync::Arc;

/// Modules name topics only: levels that stand for `+` and `#` of a filter meanwhile.
const STAND_INS: [(&str, &str); 2] = [("+", "pliant:one"), ("#", "pliant:rest")];

impl Broker {
    /// A queue as clients of a scope know it: under this address, or (none) the one that its topic has for them. None: they know
    /// none of it.
    pub fn as_known_to(
        &self,
        worker: &mut Worker,
        scope: &Scope,
        info: QueueInfo,
        address: Option<&str>,
    ) -> Option<QueueInfo> {
        if !worker.chain.wants_mapping() {
            return Some(info);
        }
        let address = match address {
            Some(address) => address.into(),
            None => Self::name_known_to(worker, scope, &info.address)?,
        };
        let record = QueueRecord {
            dead_letters: match info.record.dead_letters.as_deref() {
                Some("") => Some("".into()),
                topic => topic.and_then(|topic| Self::name_known_to(worker, scope, topic)).map(Into::into),
            },
            bindings: (info.record.bindings.iter())
                .filter_map(|filter| Self::filter_known_to(worker, scope, filter).map(Into::into))
                .collect(),
            ..(*info.record).clone()
        };
        Some(QueueInfo { address: address.into(), record: Arc::new(record), ..info })
    }

    /// Whether clients know all queues, under the names that the broker has for them.
    pub fn knows_all_names(&self, worker: &mut Worker) -> bool {
        worker.refresh(self);
        !worker.chain.wants_mapping()
    }

    /// The name that leads clients of a scope to a topic.
    fn name_known_to(worker: &mut Worker, scope: &Scope, topic: &str) -> Option<String> {
        let chain = worker.chain.clone();
        let name = chain.deliver_name(&mut worker.guests, scope, topic).unwrap_or_else(|| topic.to_owned());
        let leads_to = chain.publish_topic(&mut worker.guests, scope, &name).ok()?;
        (leads_to.as_deref().unwrap_or(&name) == topic).then_some(name)
    }

    /// The filter of theirs that is this one.
    fn filter_known_to(worker: &mut Worker, scope: &Scope, filter: &str) -> Option<String> {
        let chain = worker.chain.clone();
        let topic = each_level(filter, STAND_INS);
        let name = chain.deliver_name(&mut worker.guests, scope, &topic).unwrap_or(topic);
        let name = each_level(&name, STAND_INS.map(|(wildcard, stand_in)| (stand_in, wildcard)));
        let leads_to = chain.subscribe_filter(&mut worker.guests, scope, &name).ok()?;
        (leads_to.as_deref().unwrap_or(&name) == filter).then_some(name)
    }
}

/// Puts other words in place of levels.
fn each_level(name: &str, words: [(&str, &str); 2]) -> String {
    let mut levels: Vec<&str> = name.split('/').collect();
    for level in &mut levels {
        if let Some((_, other)) = words.iter().find(|(word, _)| word == level) {
            *level = other;
        }
    }
    levels.join("/")
}
