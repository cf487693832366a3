//! The threads that ask modules which take long about messages, while their publishers wait and nobody else does.

use super::Clock;
use crate::broker::{Broker, Detour, detour_worker};
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

/// The running threads.
pub(super) struct Detours {
    /// None: a thread is to end. Not bounded, as each connection has one under way at most.
    give: Sender<Option<Detour>>,
    threads: Vec<JoinHandle<()>>,
}

impl Detours {
    /// Starts so many threads.
    pub fn start(broker: &Arc<Broker>, clock: Clock, threads: usize) -> Self {
        let (give, take) = channel::<Option<Detour>>();
        let take = Arc::new(Mutex::new(take));
        let spawn = |number| {
            let (broker, take) = (broker.clone(), take.clone());
            let body = move || {
                let next = || take.lock().recv().ok().flatten();
                // Made when it is first needed: most brokers have no such module.
                let mut worker = None;
                let mut ask = |detour| {
                    // After a panic nobody knows what state the one at hand is in.
                    let mut asks = worker.take().unwrap_or_else(|| detour_worker(&broker));
                    broker.go_round(&mut asks, clock.now(), detour);
                    worker = Some(asks);
                };
                while let Some(detour) = next() {
                    survive(|| ask(detour));
                }
            };
            let thread = std::thread::Builder::new().name(format!("slow-modules-{number}")).spawn(body);
            thread.expect("the system has room for a few threads at the start")
        };
        let threads = (0..threads).map(spawn).collect();
        let giver = give.clone();
        // Who sends after the threads have ended is a connection that ends too.
        broker.on_detour(Box::new(move |detour| drop(giver.send(Some(detour)))));
        Self { give, threads }
    }

    /// Lets the threads end what they do.
    pub fn stop(self) {
        for _ in &self.threads {
            // They have ended already, otherwise.
            let _ = self.give.send(None);
        }
        for thread in self.threads {
            // A panic in it was printed; there is nothing more to do about it.
            let _ = thread.join();
        }
    }
}

/// A panic, which was printed, costs what it was about and not the thread.
fn survive(act: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(act));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The publisher of that message hears a refusal, as the message is dropped.
    #[test]
    fn a_thread_that_panics_over_one_message_goes_on_with_the_next() {
        let mut done = Vec::new();
        for number in 0..3 {
            survive(|| {
                assert_ne!(number, 1, "as it was asked to");
                done.push(number);
            });
        }
        assert_eq!(done, [0, 2]);
    }
}
