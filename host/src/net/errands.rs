//! Threads that ask modules who a client is where a module may wait for servers outside: the client waits, and nobody else.
//! The queue is bounded, for all and for each address.

use crate::broker::{Broker, Proof, Said, Worker};
use crate::client::Client;
use crate::identity::network;
use crate::message::{Refusal, RefusalKind};
use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;

/// The threads. They end when [`Errands::stop`] is called.
pub(super) struct Errands {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What a client brought, kept until somebody has time for it. Never shown.
#[derive(Clone)]
pub(super) struct Brought {
    pub user: Option<Box<str>>,
    pub password: Option<Box<[u8]>>,
    pub certificate_subject: Option<Box<str>>,
}

impl Brought {
    /// A copy of what is lent.
    pub fn of(proof: Proof<'_>) -> Self {
        Self {
            user: proof.user.map(Into::into),
            password: proof.password.map(Into::into),
            certificate_subject: proof.certificate_subject.map(Into::into),
        }
    }

    fn proof(&self) -> Proof<'_> {
        Proof {
            user: self.user.as_deref(),
            password: self.password.as_deref(),
            certificate_subject: self.certificate_subject.as_deref(),
        }
    }
}

/// A question that was put; what was said comes here.
#[derive(Clone, Default)]
pub(super) struct Asked(Arc<Mutex<Option<Said>>>);

impl Asked {
    /// What was said, once.
    pub fn answer(&self) -> Option<Said> {
        self.0.lock().take()
    }
}

struct Job {
    client: Arc<Client>,
    brought: Brought,
    from: Option<IpAddr>,
    asked: Asked,
    wake: Box<dyn FnOnce() + Send>,
}

struct Shared {
    broker: Arc<Broker>,
    queue: Mutex<Queue>,
    changed: Condvar,
    queue_max: usize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Job>,
    /// How many of them come from each address.
    from: HashMap<IpAddr, usize>,
    over: bool,
}

impl Errands {
    pub fn start(broker: Arc<Broker>, threads: usize, queue_max: usize) -> Self {
        let shared =
            Arc::new(Shared { broker, queue: Mutex::default(), changed: Condvar::new(), queue_max: queue_max.max(2) });
        let spawn = |number| {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name(format!("errands-{number}")).spawn(move || shared.work());
            thread.expect("the system has room for a few threads at the start")
        };
        let threads = (0..threads.max(1)).map(spawn).collect();
        Self { shared, threads: Mutex::new(threads) }
    }

    /// Puts the question who a client is; `wake` is called when the answer is here. Where too many wait the answer is here
    /// at once, and is a no.
    pub fn ask(&self, client: Arc<Client>, brought: Brought, wake: Box<dyn FnOnce() + Send>) -> Asked {
        let asked = Asked::default();
        let from = client.peer.parse::<SocketAddr>().ok().map(|peer| network(peer.ip()));
        let job = Job { client, brought, from, asked: asked.clone(), wake };
        if let Some(job) = self.shared.submit(job) {
            job.answer(Err(Refusal::new(RefusalKind::Unavailable, "too many clients wait to be let in")));
        }
        asked
    }

    /// Lets the threads end what they do.
    pub fn stop(&self) {
        self.shared.queue.lock().over = true;
        self.shared.changed.notify_all();
        for thread in self.threads.lock().drain(..) {
            // A panic in it was printed; there is nothing more to do about it.
            let _ = thread.join();
        }
    }
}

impl Job {
    fn answer(self, said: Said) {
        *self.asked.0.lock() = Some(said);
        (self.wake)();
    }
}

impl Shared {
    /// Takes a job; gives it back if there are too many already.
    fn submit(&self, job: Job) -> Option<Job> {
        let mut queue = self.queue.lock();
        let of_address = job.from.and_then(|from| queue.from.get(&from).copied()).unwrap_or(0);
        if queue.over || queue.waiting.len() >= self.queue_max || of_address >= self.queue_max / 2 {
            return Some(job);
        }
        if let Some(from) = job.from {
            *queue.from.entry(from).or_insert(0) += 1;
        }
        queue.waiting.push_back(job);
        self.changed.notify_one();
        None
    }

    fn work(&self) {
        // Made when it is first needed: most brokers have no such module.
        let mut worker: Option<Worker> = None;
        while let Some(job) = self.next() {
            let worker = worker.get_or_insert_with(|| self.broker.patient_worker());
            let said = self.broker.authenticate(worker, &job.client, job.brought.proof());
            let failed = || Err(Refusal::new(RefusalKind::Unavailable, "modules cannot be asked"));
            job.answer(said.unwrap_or_else(failed));
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.queue.lock();
        loop {
            if queue.over {
                return None;
            }
            if let Some(job) = queue.waiting.pop_front() {
                if let Some(from) = job.from
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
