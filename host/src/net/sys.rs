//! The clock behind the `$SYS` tree: a thread that looks at the counters every so often.

use super::Clock;
use crate::broker::{Broker, SysTree};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// The thread, until it is dropped.
pub struct SysClock {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SysClock {
    /// Publishes the tree now and then at each interval.
    pub fn start(broker: Arc<Broker>, clock: Clock, interval: Duration) -> Self {
        let (stop, stopped) = channel::<()>();
        let body = move || {
            let mut worker = broker.worker();
            let mut tree = SysTree::new(clock.now());
            loop {
                tree.publish(&broker, &mut worker, clock.now());
                // The other end is dropped when the broker stops.
                if stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("sys".into()).spawn(body);
        Self { stop: Some(stop), thread: Some(thread.expect("the system has room for a few threads at the start")) }
    }
}

impl Drop for SysClock {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was told by its own hook.
            let _ = thread.join();
        }
    }
}
