//! The mark on memory: past it nothing is added to what already waits, so that publishers wait or are refused while
//! receivers go on. A queue in which nothing waits goes on as ever: what is sent at once takes no memory for long.

use super::Broker;
use super::mailbox::Mailbox;
use crate::message::live_bytes;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the mark is passed.
#[derive(Default)]
pub(super) struct Memory {
    is_short: AtomicBool,
}

impl Broker {
    /// Looks at how much memory messages take. Called once a batch.
    pub(super) fn weigh(&self) {
        let (live, mark) = (live_bytes(), self.limits.memory_bytes_max);
        let was_short = self.is_short();
        // Not at once when it is a byte below, so that publishers do not start and stop with each message.
        let is_short = live >= if was_short { mark / 8 * 7 } else { mark };
        if is_short == was_short || self.memory.is_short.swap(is_short, Ordering::Relaxed) == is_short {
            return;
        }
        if is_short {
            self.metrics.memory_alarms_total.add(1);
            tracing::warn!(
                bytes = live,
                mark,
                "messages take too much memory: publishers to waiting queues have to wait"
            );
        } else {
            tracing::info!(bytes = live, "messages take less memory again: publishers go on");
        }
    }

    /// Shows how much that is.
    pub(super) fn show_weight(&self) {
        let gauge = &self.metrics.message_bytes;
        gauge.add(i64::try_from(live_bytes()).unwrap_or(i64::MAX) - gauge.get());
        self.weigh();
    }

    /// Most bytes that all packets that are not yet whole may take together: half of what messages may.
    pub fn partial_bytes_max(&self) -> usize {
        self.limits.memory_bytes_max / 2
    }

    /// Whether the mark is passed.
    pub fn is_short(&self) -> bool {
        self.memory.is_short.load(Ordering::Relaxed)
    }

    /// Whether this mailbox may hold no more than it does, for whatever reason.
    #[inline]
    pub(super) fn is_closed_for_more(&self, mailbox: &Mailbox) -> bool {
        mailbox.is_full(&self.limits) || (self.is_short() && mailbox.depth() > 0)
    }
}
