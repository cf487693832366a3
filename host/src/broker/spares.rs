//! Memory of queues that were emptied, for the next one that fills: each thread keeps a little of it, so that a mailbox
//! through which bursts go neither holds what one of them took nor asks the allocator for each.

use super::queued::Queued;
use super::window::InFlight;
use hashbrown::HashMap;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};
use std::thread::LocalKey;

/// Entries for which a table keeps room.
pub const TABLE: usize = 64;
/// Entries for which a queue keeps room while nothing is in it.
const KEPT: usize = 4;
/// Queues of a kind that a thread keeps.
const SPARES: usize = 8;
/// Entries in the longest of those.
const SPARE_LENGTH_MAX: usize = 1024;

/// Empty queues.
pub type Spares<T> = RefCell<Vec<VecDeque<T>>>;

thread_local! {
    /// For what waits.
    pub static WAITING: Spares<Queued> = const { RefCell::new(Vec::new()) };
    /// For what is under way.
    pub static UNDER_WAY: Spares<InFlight> = const { RefCell::new(Vec::new()) };
}

/// Puts an entry at the end.
#[inline(always)]
pub fn push<T>(queue: &mut VecDeque<T>, entry: T, spares: &'static LocalKey<Spares<T>>) {
    if queue.len() == queue.capacity() {
        grow(queue, spares);
    }
    queue.push_back(entry);
}

#[cold]
fn grow<T>(queue: &mut VecDeque<T>, spares: &'static LocalKey<Spares<T>>) {
    if queue.len() >= KEPT
        && let Some(mut spare) = spares.with_borrow_mut(Vec::pop)
        && spare.capacity() > queue.len()
    {
        spare.append(queue);
        *queue = spare;
    }
}

/// Gives the memory of a burst back.
#[inline]
pub fn shed<T>(queue: &mut VecDeque<T>, spares: &'static LocalKey<Spares<T>>) {
    if queue.is_empty() && queue.capacity() > KEPT {
        keep(std::mem::take(queue), spares);
    }
}

/// Gives the room of a table back from which most has gone: it would stay for as long as its client's session.
pub fn shed_table<K: Eq + Hash, V, S: BuildHasher>(table: &mut HashMap<K, V, S>) {
    if table.capacity() > TABLE && table.len() < table.capacity() / 8 {
        table.shrink_to(2 * table.len());
    }
}

fn keep<T>(spare: VecDeque<T>, spares: &'static LocalKey<Spares<T>>) {
    if spare.capacity() <= SPARE_LENGTH_MAX {
        spares.with_borrow_mut(|spares| {
            if spares.len() < SPARES {
                spares.push(spare);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static NUMBERS: Spares<usize> = const { RefCell::new(Vec::new()) };
    }

    fn filled(count: usize) -> VecDeque<usize> {
        let mut queue = VecDeque::new();
        (0..count).for_each(|number| push(&mut queue, number, &NUMBERS));
        assert!(queue.iter().copied().eq(0..count), "in order");
        queue
    }

    #[test]
    fn a_queue_that_fills_takes_the_memory_of_one_that_was_emptied() {
        let mut burst = filled(500);
        let room = burst.capacity();
        burst.clear();
        shed(&mut burst, &NUMBERS);
        assert_eq!(burst.capacity(), 0);
        let mut few = filled(KEPT);
        assert_eq!(few.capacity(), KEPT, "little takes little");
        assert_eq!(filled(KEPT + 1).capacity(), room);
        shed(&mut few, &NUMBERS);
        assert_eq!(few.len(), KEPT, "what waits stays");
        let mut huge = filled(SPARE_LENGTH_MAX + 1);
        huge.clear();
        shed(&mut huge, &NUMBERS);
        assert_eq!(NUMBERS.with_borrow(Vec::len), 0, "that goes back to the allocator");
    }

    #[test]
    fn a_table_does_not_keep_the_room_of_what_has_gone() {
        let mut table: HashMap<u32, u32> = (0..10_000).map(|number| (number, number)).collect();
        for number in 10..10_000 {
            table.remove(&number);
            shed_table(&mut table);
        }
        assert!(table.capacity() <= 2 * TABLE && (0..10).all(|number| table[&number] == number));
    }
}
