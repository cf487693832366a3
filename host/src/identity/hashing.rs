//! Threads that hash passwords, with a bounded queue: a client with a wrong password costs its own time, not others'.

use super::settings::Limits;
use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

/// Work for a hashing thread.
type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end when this is dropped.
pub(super) struct Hashing(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    queue_max: usize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Option<IpAddr>, Job)>,
    /// How many of them come from each address.
    from: HashMap<IpAddr, usize>,
    over: bool,
}

impl Hashing {
    pub fn start(limits: &Limits) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            queue_max: limits.hashing_queue_max.max(2),
        });
        for number in 0..limits.hashing_threads.max(1) {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name(format!("hashing-{number}")).spawn(move || shared.work());
            // It ends by itself.
            drop(thread.expect("the system has room for a few threads at the start"));
        }
        Self(shared)
    }

    /// Takes a job for somebody at this address; false: there are too many already.
    pub fn submit(&self, from: Option<IpAddr>, job: Job) -> bool {
        let mut queue = self.0.queue.lock();
        let of_address = from.and_then(|from| queue.from.get(&from).copied()).unwrap_or(0);
        if queue.waiting.len() >= self.0.queue_max || of_address >= self.0.queue_max / 2 {
            return false;
        }
        if let Some(from) = from {
            *queue.from.entry(from).or_insert(0) += 1;
        }
        queue.waiting.push_back((from, job));
        self.0.changed.notify_one();
        true
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        self.0.queue.lock().over = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn work(&self) {
        while let Some(job) = self.next() {
            job();
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.queue.lock();
        loop {
            if queue.over {
                return None;
            }
            if let Some((from, job)) = queue.waiting.pop_front() {
                if let Some(from) = from
                    && let Some(count) = queue.from.get_mut(&from)
                {
                    *count -= 1;
                    if *count == 0 {
                        queue.from.remove(&from);
                    }
                }
                return Some(job);
            }
            self.changed.wait(&mut queue);
        }
    }
}
