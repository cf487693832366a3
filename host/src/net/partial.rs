//! What the beginnings of packets that are not yet whole take, on all connections together.
//!
//! Each of them may become as large as the largest packet, and the client may leave it so for as long as it says something
//! now and then. So they have a bound of their own, and whoever makes more of it past that has to go.

use crate::message::Weight;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Looked at again when the room for a beginning has grown or shrunk by so much: smaller packets cost nothing.
const STEP: usize = 4 << 10;

static ALL: AtomicUsize = AtomicUsize::new(0);

/// What one connection's takes.
#[derive(Default)]
pub(super) struct Partial(Option<Box<Counted>>);

struct Counted {
    bytes: usize,
    /// It is on its way to become a message.
    _weight: Weight,
}

impl Counted {
    fn new(bytes: usize) -> Self {
        ALL.fetch_add(bytes, Ordering::Relaxed);
        Self { bytes, _weight: Weight::new(bytes) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ALL.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Leaves the rest of bytes of which so many are used. The room that a long packet took does not stay for the little behind it.
pub(super) fn rest_of(mut bytes: Vec<u8>, used: usize) -> Vec<u8> {
    if bytes.capacity() > STEP && bytes.len() - used < bytes.capacity() / 4 {
        return bytes[used..].to_vec();
    }
    bytes.drain(..used);
    bytes
}

impl Partial {
    /// Takes note that it has room for so many bytes now. True: it has grown, and all together take more than `most`.
    #[inline]
    pub fn note(&mut self, bytes: usize, most: usize) -> bool {
        if bytes < STEP && self.0.is_none() {
            return false;
        }
        self.count(bytes / STEP * STEP, most)
    }

    #[cold]
    fn count(&mut self, bytes: usize, most: usize) -> bool {
        let before = self.0.as_ref().map_or(0, |counted| counted.bytes);
        if bytes == before {
            return false;
        }
        self.0 = None;
        self.0 = (bytes > 0).then(|| Box::new(Counted::new(bytes)));
        bytes > before && ALL.load(Ordering::Relaxed) > most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_grows_past_the_bound_has_to_go() {
        let mut small = Partial::default();
        assert!(!small.note(STEP - 1, 0) && small.0.is_none());
        let (mut one, mut other) = (Partial::default(), Partial::default());
        // Connections of other rows count as well.
        let most = 1 << 40;
        assert!(!one.note(most, 2 * most));
        assert!(other.note(most + STEP, 2 * most), "together they take more");
        assert!(!one.note(most, 2 * most), "it has not grown");
        assert!(!other.note(0, 2 * most) && other.0.is_none());
        assert!(!one.note(most + STEP, 2 * most));
    }

    #[test]
    fn the_room_of_a_long_packet_does_not_stay() {
        let long: Vec<u8> = (0..STEP * 8).map(|n| n as u8).collect();
        for left in [1, 100, STEP, 7 * STEP] {
            let rest = rest_of(long.clone(), long.len() - left);
            assert_eq!(rest, long[long.len() - left..]);
            assert!(rest.capacity() <= 4 * left.max(STEP), "{} for {left}", rest.capacity());
        }
    }
}
