//! The threads that ask modules which take long about messages, while their publishers wait and nobody else does.

use super::Clock;
use crate::broker::{Broker, Detour, detour_worker};
use parking_lot::Mutex;
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
                while let Some(detour) = next() {
                    let worker = worker.get_or_insert_with(|| detour_worker(&broker));
                    broker.go_round(worker, clock.now(), detour);
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
