//! What each bridge to another broker counts and how it stands, for the admin API.

use super::Counter;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a bridge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BridgeState {
    /// It tries to reach the other broker.
    #[default]
    Connecting,
    /// Messages flow.
    Connected,
    /// It waits before it tries again.
    Waiting,
    /// The broker stops.
    Stopped,
}

impl BridgeState {
    /// As the API and the log call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
        }
    }
}

/// The state of a bridge with its history.
#[derive(Debug, Clone, Default)]
pub struct BridgeStanding {
    /// Now.
    pub state: BridgeState,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
    /// Why the last connection ended, or could not be made; empty: none has yet.
    pub last_error: String,
}

/// How one route of a bridge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RouteState {
    /// The bridge is not connected.
    #[default]
    Down,
    /// Messages flow.
    Up,
    /// Messages wait: whoever is to get them does not take them now.
    Stuck,
    /// The other broker does not let it in, or its link broke; it is tried again.
    Broken,
}

impl RouteState {
    /// As the API and the log call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Up => "up",
            Self::Stuck => "stuck",
            Self::Broken => "broken",
        }
    }
}

/// The state of a route with its history.
#[derive(Debug, Clone, Default)]
pub struct RouteStanding {
    /// Now.
    pub state: RouteState,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
    /// Why it is stuck or broken; else empty.
    pub reason: String,
}

/// One route of a bridge, in one direction.
#[derive(Debug, Default)]
pub struct RouteFigures {
    /// Direction and source, as in `in site/#`.
    pub name: String,
    standing: Mutex<RouteStanding>,
    held: AtomicUsize,
}

impl RouteFigures {
    /// One that has not begun.
    pub fn new(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    /// How it stands.
    pub fn standing(&self) -> RouteStanding {
        lock(&self.standing).clone()
    }

    /// Notes another state and why, and says what it was before; none: the same. The first reason of a state stays.
    pub fn set(&self, state: RouteState, now: u64, reason: &str) -> Option<RouteState> {
        let mut standing = lock(&self.standing);
        let was = standing.state;
        if was == state {
            return None;
        }
        *standing = RouteStanding { state, since: now, reason: reason.to_owned() };
        Some(was)
    }

    /// Messages in its hands that whoever is to get them does not take now.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Notes how many there are.
    pub fn set_held(&self, messages: usize) {
        self.held.store(messages, Ordering::Relaxed);
    }
}

/// One bridge.
#[derive(Debug, Default)]
pub struct BridgeFigures {
    /// Its name in the configuration.
    pub name: String,
    /// The other broker, without secrets.
    pub remote: String,
    /// The ids of its sessions in the hall.
    pub sessions: Vec<Arc<str>>,
    /// Its routes, those that lead out first.
    pub routes: Vec<RouteFigures>,
    standing: Mutex<BridgeStanding>,
    /// Connections that were made.
    pub connections_total: Counter,
    /// Messages that the other broker has taken.
    pub sent_total: Counter,
    /// Messages taken from the other broker.
    pub received_total: Counter,
    /// Messages that were here before, or passed too many bridges; they go no further.
    pub looped_total: Counter,
    /// Messages that one side refused for good, and that are gone.
    pub refused_total: Counter,
}

impl BridgeFigures {
    /// One that has not begun.
    pub fn new(name: String, remote: String, sessions: Vec<Arc<str>>, routes: Vec<RouteFigures>) -> Self {
        Self { name, remote, sessions, routes, ..Self::default() }
    }

    /// How it stands.
    pub fn standing(&self) -> BridgeStanding {
        lock(&self.standing).clone()
    }

    /// Notes another state; an error stays until there is another one.
    pub fn set(&self, state: BridgeState, now: u64, error: Option<&str>) {
        let mut standing = lock(&self.standing);
        if standing.state != state || standing.since == 0 {
            (standing.state, standing.since) = (state, now);
        }
        if let Some(error) = error {
            standing.last_error = error.to_owned();
        }
    }
}

fn lock<T>(standing: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked left whole words behind.
    standing.lock().unwrap_or_else(PoisonError::into_inner)
}
