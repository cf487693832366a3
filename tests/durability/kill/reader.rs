//! Keeps a session with one subscription and writes down what comes, as a receiver that never forgets.

use super::{Actor, Dice, Site};
use crate::harness::*;
use std::collections::{BTreeMap, HashMap};

/// How often nothing comes at the end until it gives up.
const SILENCES_MAX: u32 = 200;

/// See the head of this file.
pub struct Reader {
    /// Its client id.
    pub id: String,
    /// What it is subscribed to, with its share.
    pub filter: String,
    /// At most this.
    pub qos: u8,
    /// Numbers by topic, in the order in which they came; of QoS 2 each exchange once.
    pub got: BTreeMap<String, Vec<u32>>,
    /// It is there once in so many rounds.
    presence: u64,
    version: Version,
    /// QoS 2 messages that are not released, by packet identifier.
    unreleased: HashMap<u16, (String, u32)>,
    dice: Dice,
    faults: Vec<String>,
}

impl Reader {
    /// One that is there in one of so many rounds.
    pub fn new(id: &str, filter: &str, qos: u8, presence: u64, version: Version, dice: Dice) -> Self {
        Self {
            id: id.to_owned(),
            filter: filter.to_owned(),
            qos,
            got: BTreeMap::new(),
            presence,
            version,
            unreleased: HashMap::new(),
            dice,
            faults: Vec::new(),
        }
    }

    /// Subscribes before anything is published.
    pub fn set_up(&self, site: &Site) {
        let mut client = connect(self.version).at(site.at).id(&self.id).kept().open();
        client.subscribe(&self.filter, self.qos);
        client.disconnect();
    }

    fn take(&mut self, client: &mut Client, message: &Publish) {
        let number = String::from_utf8_lossy(&message.payload).parse().unwrap_or(u32::MAX);
        match message.qos {
            2 => {
                let what = (message.topic.clone(), number);
                match self.unreleased.get(&message.id) {
                    Some(known) if *known == what && message.duplicate => {}
                    Some(known) => self.faults.push(format!(
                        "{}: {what:?} (DUP {}) under {}, which is {known:?}'s until its PUBREL",
                        self.id, message.duplicate, message.id
                    )),
                    None => {
                        self.unreleased.insert(message.id, what);
                        self.note(&message.topic, number);
                    }
                }
                client.try_send(&writer::ack(self.version, 0x50, message.id, 0));
            }
            qos => {
                self.note(&message.topic, number);
                if qos == 1 {
                    client.try_send(&writer::ack(self.version, 0x40, message.id, 0));
                }
            }
        }
    }

    fn note(&mut self, topic: &str, number: u32) {
        match self.got.get_mut(topic) {
            Some(numbers) => numbers.push(number),
            None => drop(self.got.insert(topic.to_owned(), vec![number])),
        }
    }

    /// At the end: whether the broker has nothing more for this client.
    fn is_drained(&self, site: &Site) -> bool {
        let client = site.admin.get(&format!("/api/v1/clients/{}", self.id)).expect(200).json();
        client["queued"] == 0 && client["in_flight"] == 0 && self.unreleased.is_empty()
    }
}

impl Actor for Reader {
    fn act(&mut self, site: &Site) {
        if !site.is_ending() && !self.dice.once_in(self.presence) {
            return;
        }
        let connecting = connect(self.version).at(site.at).id(&self.id).kept();
        let Some(mut client) = connecting.try_open() else { return };
        if !client.connack.present {
            self.faults.push(format!("{}: its session is lost", self.id));
        }
        let mut silences = 0;
        loop {
            if site.is_ending() && client.is_silent_for(std::time::Duration::from_millis(50)) {
                if self.is_drained(site) {
                    return client.disconnect();
                }
                silences += 1;
                if silences == SILENCES_MAX {
                    let known = site.admin.get(&format!("/api/v1/clients/{}", self.id)).expect(200).json();
                    return self.faults.push(format!("{}: stuck with {:?}: {known}", self.id, self.unreleased));
                }
                continue;
            }
            match client.try_receive() {
                Ok(Packet::Publish(message)) => self.take(&mut client, &message),
                Ok(Packet::Pubrel(ack)) => {
                    self.unreleased.remove(&ack.id);
                    client.try_send(&writer::ack(self.version, 0x70, ack.id, 0));
                }
                Ok(other) => self.faults.push(format!("{}: {other:?}", self.id)),
                Err(End::Closed) => return,
                Err(End::Silence) => {}
            }
        }
    }

    fn faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }
}
