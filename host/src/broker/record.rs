//! Samples of what clients publish, for people who try a module on them offline.

use super::Broker;
use crate::client::Client;
use crate::message::{Message, Time};
use crate::topic::Filter;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Recordings that may run at the same time.
const RECORDINGS_MAX: usize = 4;

/// Bytes of messages in one recording.
const BYTES_MAX: usize = 8 << 20;

/// All that are running.
#[derive(Default)]
pub struct Recorder {
    /// Any is: one load for each message while none is.
    on: AtomicBool,
    running: Mutex<Vec<Arc<Recording>>>,
}

/// Samples by a filter.
pub struct Recording {
    filter: Filter,
    count: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    samples: Vec<Sample>,
    bytes: usize,
    full: bool,
}

/// One message as it came in.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its publisher.
    pub client: Arc<Client>,
    /// Its topic in the publisher's words.
    pub name: Box<str>,
    /// Under the broker's topic, before any module but those for topics saw it.
    pub message: Message,
    /// When it came.
    pub since: Time,
}

impl Recording {
    /// Whether it has as many samples, or bytes, as it is to have.
    pub fn is_full(&self) -> bool {
        self.state.lock().full
    }

    fn note(&self, client: &Arc<Client>, name: &str, message: &Message, now: Time) {
        if !self.filter.matches(message.topic().as_str()) {
            return;
        }
        let mut state = self.state.lock();
        if state.full {
            return;
        }
        state.bytes += message.size();
        if state.bytes <= BYTES_MAX {
            let (client, message) = (client.clone(), message.clone());
            state.samples.push(Sample { client, name: name.into(), message, since: now });
        }
        state.full = state.samples.len() >= self.count || state.bytes > BYTES_MAX;
    }
}

impl Recorder {
    /// Whether anybody takes samples.
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Notes a message for those who want it.
    #[inline]
    pub(super) fn note(&self, client: &Arc<Client>, name: &str, message: &Message, now: Time) {
        if self.is_on() {
            for recording in self.running.lock().iter() {
                recording.note(client, name, message, now);
            }
        }
    }
}

impl Broker {
    /// Begins to take up to `count` samples of messages that match a filter of the broker's; none: as many recordings run
    /// as are allowed. To be ended with [`Broker::end_recording`].
    pub fn record(&self, filter: Filter, count: usize) -> Option<Arc<Recording>> {
        let mut running = self.recorder.running.lock();
        if running.len() >= RECORDINGS_MAX {
            return None;
        }
        let recording = Arc::new(Recording { filter, count, state: Mutex::default() });
        running.push(recording.clone());
        self.recorder.on.store(true, Ordering::Relaxed);
        Some(recording)
    }

    /// Ends a recording; what it has.
    pub fn end_recording(&self, recording: &Arc<Recording>) -> Vec<Sample> {
        let mut running = self.recorder.running.lock();
        running.retain(|other| !Arc::ptr_eq(other, recording));
        self.recorder.on.store(!running.is_empty(), Ordering::Relaxed);
        drop(running);
        std::mem::take(&mut recording.state.lock().samples)
    }
}
