//! Sets and deletes retained messages, also on topics that others set, and looks after each restart what is there.

use super::{Actor, Dice, Site, stamp};
use crate::harness::*;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

/// Topics, all of them used by all keepers.
const TOPICS: u64 = 6;
/// Messages under way at the same time.
const WINDOW: usize = 8;
/// Comes last in every replay.
const LAST: &str = "kept/~";

/// What all keepers have said: by topic and number.
pub type Ledger = Arc<Mutex<BTreeMap<String, BTreeMap<u32, Entry>>>>;

/// One retained message.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// It deletes.
    is_empty: bool,
    sent: u64,
    /// When it was answered, or when there was nobody left to answer.
    over: Option<u64>,
    is_acknowledged: bool,
}

/// See the head of this file.
pub struct Keeper {
    id: String,
    ledger: Ledger,
    dice: Dice,
    faults: Vec<String>,
}

impl Keeper {
    /// One of several with the same ledger.
    pub fn new(number: u32, ledger: Ledger, dice: Dice) -> Self {
        Self { id: format!("keeper-{number}"), ledger, dice, faults: Vec::new() }
    }

    /// Before anything else.
    pub fn set_up(site: &Site) {
        connect(V5).at(site.at).open().publish(&Publish::new(LAST, "0", 1).retained());
    }

    fn next(&mut self) -> Publish {
        let topic = format!("kept/{}", self.dice.below(TOPICS));
        let is_empty = self.dice.once_in(6);
        let mut ledger = self.ledger.lock().unwrap();
        let entries = ledger.entry(topic.clone()).or_default();
        let number = entries.last_key_value().map_or(0, |(last, _)| last + 1);
        entries.insert(number, Entry { is_empty, sent: stamp(), over: None, is_acknowledged: false });
        let payload = if is_empty { String::new() } else { number.to_string() };
        Publish::new(&topic, payload, 1).retained().with(Property::User("number".into(), number.to_string()))
    }

    fn end(&self, topic: &str, number: u32, is_acknowledged: bool) {
        let mut ledger = self.ledger.lock().unwrap();
        let entry = ledger.get_mut(topic).and_then(|entries| entries.get_mut(&number)).expect("it was sent");
        (entry.over, entry.is_acknowledged) = (Some(stamp()), is_acknowledged);
    }

    fn publish(&mut self, site: &Site, under_way: &mut HashMap<u16, (String, u32)>) {
        let Some(mut client) = connect(V5).at(site.at).id(&self.id).try_open() else { return };
        let mut last_id = 0;
        loop {
            while under_way.len() < WINDOW && !site.is_ending() {
                let message = self.next();
                last_id = last_id % 60_000 + 1;
                let number = message.properties.user()[0].1.parse().expect("its number");
                under_way.insert(last_id, (message.topic.clone(), number));
                client.try_send_publish(&message.id(last_id));
            }
            if under_way.is_empty() {
                return client.disconnect();
            }
            match client.try_receive() {
                Ok(Packet::Puback(ack)) if ack.code < 0x80 => {
                    let (topic, number) = under_way.remove(&ack.id).expect("an identifier that is under way");
                    self.end(&topic, number, true);
                }
                Ok(other) => self.faults.push(format!("{}: {other:?}", self.id)),
                Err(_) => return,
            }
        }
    }
}

impl Actor for Keeper {
    fn act(&mut self, site: &Site) {
        let mut under_way = HashMap::new();
        self.publish(site, &mut under_way);
        for (topic, number) in under_way.into_values() {
            self.end(&topic, number, false);
        }
    }

    fn faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }
}

/// What is wrong with the retained messages of a broker that nobody uses at this moment: a value that some acknowledged
/// one has replaced, or none where none was deleted last.
pub fn look(site: &Site, ledger: &Ledger) -> Vec<String> {
    let mut faults = Vec::new();
    let mut client = connect(V5).at(site.at).open();
    client.subscribe("kept/#", 0);
    let mut found = BTreeMap::new();
    loop {
        let message = client.take();
        if message.topic == LAST {
            break;
        }
        found.insert(message.topic.clone(), message.text().parse::<u32>().unwrap_or(u32::MAX));
    }
    let mut ledger = ledger.lock().unwrap();
    for (topic, entries) in ledger.iter_mut() {
        // After this one was over, another one that was acknowledged was sent.
        let is_replaced = |over: u64| entries.values().any(|entry| entry.is_acknowledged && entry.sent > over);
        let is_possible = |entry: &Entry| !is_replaced(entry.over.unwrap_or(u64::MAX));
        let fault = match found.get(topic) {
            Some(number) => match entries.get(number) {
                Some(entry) if !entry.is_empty && is_possible(entry) => None,
                Some(entry) => Some(format!("{topic} is {number}, which was replaced: {entry:?}")),
                None => Some(format!("{topic} is {number}, which nobody sent")),
            },
            None => {
                let is_deleted = entries.values().any(|entry| entry.is_empty && is_possible(entry));
                let is_new = entries.values().all(|entry| !entry.is_acknowledged);
                (!is_deleted && !is_new).then(|| format!("{topic} has lost its retained message"))
            }
        };
        faults.extend(fault);
        // What was replaced for certain need not be looked at again.
        let last = entries.values().filter(|entry| entry.is_acknowledged).map(|entry| entry.sent).max();
        entries.retain(|_, entry| is_recent(entry, last));
    }
    faults
}

fn is_recent(entry: &Entry, last: Option<u64>) -> bool {
    entry.over.is_none_or(|over| last.is_none_or(|last| over >= last))
}
