//! Threads that hash passwords, with a bounded queue. Addresses have their turn one after the other, so that a client with a wrong
//! password costs its own time, and that of others behind its address, but not everybody's.

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
    /// Jobs for each address, first come, first served; none is empty.
    lanes: HashMap<Option<IpAddr>, VecDeque<Job>>,
    /// Whose turn it is, each once.
    turns: VecDeque<Option<IpAddr>>,
    /// Jobs in all lanes.
    waiting: usize,
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
        let of_address = queue.lanes.get(&from).map_or(0, VecDeque::len);
        let of_address_max = if from.is_some() { self.0.queue_max / 2 } else { usize::MAX };
        if queue.waiting >= self.0.queue_max || of_address >= of_address_max {
            return false;
        }
        if of_address == 0 {
            queue.turns.push_back(from);
        }
        queue.lanes.entry(from).or_default().push_back(job);
        queue.waiting += 1;
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
            if let Some(job) = queue.take() {
                return Some(job);
            }
            self.changed.wait(&mut queue);
        }
    }
}

impl Queue {
    /// A job of the address whose turn it is.
    fn take(&mut self) -> Option<Job> {
        let from = self.turns.pop_front()?;
        let lane = self.lanes.get_mut(&from)?;
        let job = lane.pop_front()?;
        match lane.is_empty() {
            true => drop(self.lanes.remove(&from)),
            false => self.turns.push_back(from),
        }
        self.waiting -= 1;
        Some(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn many_jobs_of_one_address_do_not_hold_up_another() {
        let limits = Limits { hashing_threads: 1, hashing_queue_max: 8, ..Limits::default() };
        let hashing = Hashing::start(&limits);
        let address = |last: u8| Some(IpAddr::from([192, 0, 2, last]));
        let ((begun, begins), (go, wait)) = (channel(), channel::<()>());
        let first = move || {
            begun.send(()).unwrap();
            // Nothing comes: the other end goes.
            let _over = wait.recv();
        };
        assert!(hashing.submit(address(1), Box::new(first)));
        begins.recv().unwrap();
        let (done, order) = channel();
        let submit = |last: u8, name: &'static str| {
            let done = done.clone();
            hashing.submit(address(last), Box::new(move || done.send(name).unwrap()))
        };
        for name in ["a", "b", "c", "d"] {
            assert!(submit(1, name));
        }
        assert!(!submit(1, "e"), "half of the queue is an address's");
        assert!(submit(2, "x") && submit(2, "y") && submit(3, "z"));
        drop((go, done));
        let order: Vec<_> = order.iter().take(7).collect();
        assert_eq!(order, ["a", "x", "z", "b", "y", "c", "d"]);
    }
}
