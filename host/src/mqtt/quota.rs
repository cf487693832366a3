//! How many publications a client has under way, known to both halves of a connection.
//!
//! The half that reads takes a place for each publication above at-most-once; the half that writes gives it back with the
//! acknowledgement that ends it, before the client can see that one. Whoever writes may be another thread.

use super::violation::Violation;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Places that were given back.
#[derive(Debug, Default)]
pub struct Returned {
    count: AtomicU32,
    any_refused: AtomicBool,
    /// QoS 2 handles whose PUBREC refused, so that no PUBREL will follow.
    refused: Mutex<Vec<u16>>,
}

impl Returned {
    /// A publication is over.
    #[inline]
    pub fn give_back(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// A QoS 2 publication is over by a PUBREC that refuses it.
    pub fn give_back_refused(&self, handle: u16) {
        self.refused.lock().push(handle);
        self.any_refused.store(true, Ordering::Release);
        self.give_back();
    }
}

/// Places that were taken.
#[derive(Debug)]
pub struct Quota {
    taken: u32,
    maximum: u16,
    returned: Arc<Returned>,
    /// QoS 2 publications that were read and not released, at most `maximum`. Absent until there is one.
    unreleased: Option<Box<HashMap<u16, Seen>>>,
}

/// Room that stays when nothing is unreleased.
const SPARE: usize = 64;

/// A QoS 2 publication as it was read last.
#[derive(Debug)]
struct Seen {
    content: u32,
    repeated: bool,
}

impl Quota {
    /// Nothing under way, and at most `maximum` allowed.
    pub fn new(maximum: u16) -> Self {
        Self { taken: 0, maximum, returned: Arc::default(), unreleased: None }
    }

    /// For the half that writes.
    pub fn returned(&self) -> Arc<Returned> {
        Arc::clone(&self.returned)
    }

    /// Whether there is no place.
    #[inline]
    pub fn is_spent(&self) -> bool {
        // Below 0 if the hall ended something that this connection did not begin.
        let under_way = self.taken.wrapping_sub(self.returned.count.load(Ordering::Acquire)) as i32;
        under_way >= i32::from(self.maximum)
    }

    /// Takes a place (MQTT-3.3.4-7).
    #[inline]
    pub fn take(&mut self) -> Result<(), Violation> {
        if self.is_spent() {
            return Err(Violation::ReceiveMaximum);
        }
        self.taken = self.taken.wrapping_add(1);
        Ok(())
    }

    /// Takes a place for a QoS 2 publication, unless its handle has one already. A client may send a message again after
    /// a reconnect only (MQTT-4.4.0-1); once is borne, but no more, as long as nothing says that it is a duplicate.
    pub fn take_exactly_once(
        &mut self,
        handle: u16,
        duplicate: bool,
        topic: &str,
        payload: &[u8],
    ) -> Result<(), Violation> {
        self.forget_refused();
        let content = content(topic, payload);
        if let Some(seen) = self.unreleased.as_mut().and_then(|table| table.get_mut(&handle)) {
            if seen.content == content && !duplicate {
                if seen.repeated {
                    return Err(Violation::RepeatedPublish);
                }
                seen.repeated = true;
            } else {
                *seen = Seen { content, repeated: false };
            }
            return Ok(());
        }
        self.take()?;
        self.unreleased.get_or_insert_default().insert(handle, Seen { content, repeated: false });
        Ok(())
    }

    /// A PUBREL was read. Its PUBCOMP gives a place back, also if no PUBLISH came before it on this connection.
    pub fn release(&mut self, handle: u16) {
        if self.unreleased.as_mut().and_then(|table| table.remove(&handle)).is_none() {
            self.taken = self.taken.wrapping_add(1);
        }
        // What a burst took is not kept for as long as the client is there.
        if self.unreleased.as_ref().is_some_and(|table| table.is_empty() && table.capacity() > SPARE) {
            self.unreleased = None;
        }
    }

    fn forget_refused(&mut self) {
        if !self.returned.any_refused.load(Ordering::Acquire) {
            return;
        }
        let mut refused = self.returned.refused.lock();
        self.returned.any_refused.store(false, Ordering::Release);
        for handle in refused.drain(..) {
            self.unreleased.as_mut().and_then(|table| table.remove(&handle));
        }
    }
}

fn content(topic: &str, payload: &[u8]) -> u32 {
    let seed = xxhash_rust::xxh3::xxh3_64(topic.as_bytes());
    xxhash_rust::xxh3::xxh3_64_with_seed(payload, seed) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_with_the_acknowledgement() {
        // MQTT-3.3.4-7
        let mut quota = Quota::new(2);
        let returned = quota.returned();
        assert_eq!((quota.take(), quota.take(), quota.take()), (Ok(()), Ok(()), Err(Violation::ReceiveMaximum)));
        returned.give_back();
        assert_eq!((quota.take(), quota.take()), (Ok(()), Err(Violation::ReceiveMaximum)));
    }

    #[test]
    fn an_unreleased_message_takes_one_place_however_often_it_is_sent() {
        // Q01, Q10
        let mut quota = Quota::new(1);
        assert_eq!(quota.take_exactly_once(7, false, "a", b"1"), Ok(()));
        for _ in 0..10 {
            assert_eq!(quota.take_exactly_once(7, true, "a", b"1"), Ok(()));
        }
        assert_eq!(quota.take_exactly_once(7, false, "a", b"2"), Ok(()));
        assert_eq!(quota.take_exactly_once(8, false, "a", b"1"), Err(Violation::ReceiveMaximum)); // Q02
        quota.release(7);
        quota.returned().give_back();
        assert_eq!(quota.take_exactly_once(8, false, "a", b"1"), Ok(()));
    }

    #[test]
    fn the_same_message_is_borne_twice() {
        // MQTT-4.4.0-1
        let mut quota = Quota::new(9);
        let mut send = |duplicate| quota.take_exactly_once(1, duplicate, "a", b"1");
        assert_eq!((send(false), send(false)), (Ok(()), Ok(())));
        assert_eq!(send(false), Err(Violation::RepeatedPublish));
        assert_eq!(send(true), Ok(()));
    }

    #[test]
    fn a_refused_handle_is_free_again() {
        let mut quota = Quota::new(1);
        for _ in 0..5 {
            assert_eq!(quota.take_exactly_once(1, false, "a", b"1"), Ok(()));
            quota.returned().give_back_refused(1);
        }
    }

    #[test]
    fn a_release_of_an_unknown_handle_changes_nothing() {
        let mut quota = Quota::new(1);
        for _ in 0..5 {
            quota.release(3);
            quota.returned().give_back();
        }
        assert_eq!((quota.take(), quota.take()), (Ok(()), Err(Violation::ReceiveMaximum)));
    }
}
