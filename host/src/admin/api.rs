//! What the handlers share: the broker, its modules, a worker of their own, and how to call what blocks.

use super::error::Problem;
use super::message::ADMIN;
use super::{Limits, Reload, patience};
use crate::broker::{BRIDGES, Broker, Outlet, Worker};
use crate::dialogue::Closed;
use crate::message::Time;
use crate::metrics::BridgeFigures;
use crate::store::Sequence;
use crate::wasm::{Clock, Modules};
use axum::http::StatusCode;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Longest wait for the disk before a caller is told that it did not answer.
const COMMIT_PATIENCE: Duration = Duration::from_secs(30);

/// See the head of this file. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    broker: Arc<Broker>,
    worker: Mutex<Worker>,
    clock: Clock,
    limits: Limits,
    reload: Reload,
    calls: Arc<Semaphore>,
    /// One: whose turn it is to deploy.
    turn: Semaphore,
    log_streams: AtomicUsize,
    ready: AtomicBool,
    bridges: OnceLock<Vec<Arc<BridgeFigures>>>,
    listeners: OnceLock<Vec<String>>,
}

impl Api {
    /// An API that is not ready yet.
    pub fn new(broker: Arc<Broker>, clock: Clock, limits: Limits, reload: Reload) -> Self {
        Self(Arc::new(Inner {
            worker: Mutex::new(broker.worker()),
            broker,
            clock,
            calls: Arc::new(Semaphore::new(limits.calls_max)),
            turn: Semaphore::new(1),
            limits,
            reload,
            log_streams: AtomicUsize::new(0),
            ready: AtomicBool::new(false),
            bridges: OnceLock::new(),
            listeners: OnceLock::new(),
        }))
    }

    /// Gives it the bridges to show; the first word holds.
    pub fn set_bridges(&self, bridges: Vec<Arc<BridgeFigures>>) {
        let _ = self.0.bridges.set(bridges);
    }

    /// The bridges, by name.
    pub(super) fn bridges(&self) -> &[Arc<BridgeFigures>] {
        self.0.bridges.get().map_or(&[], Vec::as_slice)
    }

    /// Tells it by which listeners clients come; the first word holds.
    pub fn set_listeners(&self, names: Vec<String>) {
        let _ = self.0.listeners.set(names);
    }

    /// Whether clients come by a listener of that name: the API itself and the broker's bridges count as such.
    pub(super) fn has_listener(&self, name: &str) -> bool {
        let known = self.0.listeners.get();
        known.is_none_or(|known| known.iter().any(|known| known == name)) || [ADMIN, BRIDGES].contains(&name)
    }

    /// Says whether `/readyz` shall say yes.
    pub fn set_ready(&self, ready: bool) {
        self.0.ready.store(ready, Ordering::Release);
    }

    pub(super) fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire) && self.0.broker.store().is_healthy()
    }

    pub(super) fn broker(&self) -> &Broker {
        &self.0.broker
    }

    pub(super) fn modules(&self) -> &Modules {
        self.0.broker.modules()
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(super) fn reload(&self) -> &Reload {
        &self.0.reload
    }

    pub(super) fn now(&self) -> Time {
        (self.0.clock)()
    }

    /// Runs what blocks on a thread that may.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = self.begin()?;
        self.on_a_thread(permit, call).await
    }

    /// As [`Api::blocking`], one such call after the other: one that waits for its turn holds none of the threads, and is not begun
    /// if its caller goes before that.
    pub(super) async fn blocking_in_turn<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = self.begin()?;
        let _turn = self.0.turn.acquire().await;
        self.on_a_thread(permit, call).await
    }

    fn begin(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let begun = self.0.calls.clone().try_acquire_owned();
        begun.map_err(|_| Problem::busy("as many calls run or wait as are allowed"))
    }

    async fn on_a_thread<T: Send + 'static>(
        &self,
        permit: OwnedSemaphorePermit,
        call: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let _working = patience::at_work();
        let api = self.clone();
        // It counts until it is over, whether its caller waits for that or has gone.
        let run = move || {
            let _permit = permit;
            call(&api)
        };
        let done = tokio::task::spawn_blocking(run).await;
        done.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the call broke off; the log says more"))
    }

    /// Runs `call` with the API's own worker, and sends what it left in mailboxes.
    pub(super) async fn with_worker<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Broker, &mut Worker, Time) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        self.blocking(move |api| {
            let mut worker = api.0.worker.lock();
            let now = api.now();
            let result = call(&api.0.broker, &mut worker, now);
            worker.flush(&api.0.broker, now);
            result
        })
        .await
    }

    /// Waits until so much is on disk.
    pub(super) async fn committed(&self, after: Sequence) -> Result<(), Problem> {
        if self.0.broker.is_committed(after) {
            return Ok(());
        }
        let waiter = Arc::new(Waiter(Notify::new()));
        self.0.broker.await_answer(after, waiter.clone());
        let on_disk = async {
            while !self.0.broker.is_committed(after) {
                waiter.0.notified().await;
            }
        };
        let waited = tokio::time::timeout(COMMIT_PATIENCE, on_disk).await;
        waited.map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "taken, but the disk does not answer"))
    }

    /// Counts one more follower of a log; none: there are enough.
    pub(super) fn follow(&self) -> Option<Follower> {
        let max = self.0.limits.log_streams_max;
        let counted =
            self.0.log_streams.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < max).then_some(n + 1));
        counted.is_ok().then(|| Follower(self.clone()))
    }
}

/// One follower of a log, until it is dropped.
pub(super) struct Follower(Api);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.0.log_streams.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Waits for the disk in the broker's list, as connections do.
struct Waiter(Notify);

impl Outlet for Waiter {
    fn flush(&self, _: Time) {}

    fn wake(&self) {
        self.0.notify_one();
    }

    fn close(&self, _: Closed) {}
}
