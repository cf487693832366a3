//! What only those mailboxes have whose entries are taken one by one: nothing is kept for it in others.

use super::consumers::{Consumer, Held};
use super::mailbox::State;
use super::queued::Queued;
use super::several::Sharing;
use super::told::Told;
use crate::rare::Blank;
use crate::store::QueueRecord;
use hashbrown::HashMap;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, LazyLock};

/// See the head of this file.
#[derive(Default)]
pub struct Consuming {
    /// They.
    pub consumers: Vec<Consumer>,
    /// The number of the one that came last.
    pub came_last: u64,
    /// Entries that they have.
    pub held: HashMap<u64, Held>,
    /// Entries that wait for one consumer, which was told on its return that it gets them again.
    pub promised: BTreeMap<u64, u64>,
    /// What receivers said of entries that have come back from the store since: each is held in the name of whoever said it.
    pub told: Vec<(u64, Told)>,
    /// The last receiver, if the mailbox lasts as long as something that receiver came with, and its seconds from then on.
    pub held_by: Option<(u64, u32)>,
    /// Of a queue: the generation of modules that keep something from a receiver; 0: none does.
    pub withheld_under: u64,
    /// Entries that nobody could deal with, and for which there is no room where they are to go. They count as waiting.
    pub unburied: VecDeque<Queued>,
    /// Somebody will look at those.
    pub is_burial_due: bool,
    /// What waits is being shared out.
    pub sharing: Sharing,
    /// If this is a queue: its settings.
    pub kept_as: Option<Arc<QueueRecord>>,
}

impl Blank for Consuming {
    fn blank() -> &'static Self {
        static BLANK: LazyLock<Consuming> = LazyLock::new(Consuming::default);
        &BLANK
    }
}

impl State {
    /// An entry that a receiver has.
    pub fn held_mut(&mut self, number: u64) -> Option<&mut Held> {
        self.consuming.changed()?.held.get_mut(&number)
    }

    /// The same: nobody has it any more.
    pub fn take_held(&mut self, number: u64) -> Option<Held> {
        self.consuming.changed()?.held.remove(&number)
    }

    /// A receiver.
    pub fn consumer_mut(&mut self, number: u64) -> Option<&mut Consumer> {
        self.consuming.changed()?.consumers.iter_mut().find(|consumer| consumer.number == number)
    }

    /// Whether what a receiver says of entries that are in nobody's hands counts: it is there, or nobody has come since it has gone,
    /// and the entry is not promised to another one.
    pub fn may_end(&self, consumer: u64, entry: u64) -> bool {
        let Consuming { consumers, came_last, promised, .. } = &*self.consuming;
        let is_current = match consumers.is_empty() {
            true => *came_last == consumer,
            false => consumers.iter().any(|one| one.number == consumer),
        };
        is_current && promised.get(&entry).is_none_or(|holder| *holder == consumer)
    }

    /// Somebody has to look at what nobody could deal with, and nobody is going to yet.
    pub fn burial_falls_due(&mut self) -> bool {
        let Some(consuming) = self.consuming.changed() else { return false };
        !consuming.unburied.is_empty() && !std::mem::replace(&mut consuming.is_burial_due, true)
    }
}
