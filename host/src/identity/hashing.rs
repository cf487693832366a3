//! Threads that hash passwords, with a bounded queue: a client with a wrong password costs its own time, not others'.

use super::settings::Limits;
use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
    /// What is to be done at a time; no more than there are connections that wait.
    later: BinaryHeap<Later>,
    over: bool,
}

/// The earliest is the greatest.
struct Later(Instant, Job);

impl PartialEq for Later {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Later {}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Later {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.cmp(&self.0)
    }
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

    /// Does this after a while.
    pub fn later(&self, wait: Duration, job: Job) {
        self.0.queue.lock().later.push(Later(Instant::now() + wait, job));
        self.0.changed.notify_one();
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
            let due = queue.later.peek().map(|later| later.0);
            if due.is_some_and(|due| due <= Instant::now())
                && let Some(Later(_, job)) = queue.later.pop()
            {
                return Some(job);
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
            match due {
                None => self.changed.wait(&mut queue),
                Some(due) => drop(self.changed.wait_until(&mut queue, due)),
            }
        }
    }
}
