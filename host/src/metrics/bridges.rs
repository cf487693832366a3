//! What each bridge to another broker counts and how it stands, for the admin API.

use super::Counter;
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

/// One bridge.
#[derive(Debug, Default)]
pub struct BridgeFigures {
    /// Its name in the configuration.
    pub name: String,
    /// The other broker, without secrets.
    pub remote: String,
    /// The ids of its sessions in the hall.
    pub sessions: Vec<Arc<str>>,
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
    pub fn new(name: String, remote: String, sessions: Vec<Arc<str>>) -> Self {
        Self { name, remote, sessions, ..Self::default() }
    }

    /// How it stands.
    pub fn standing(&self) -> BridgeStanding {
        self.lock().clone()
    }

    /// Notes another state; an error stays until there is another one.
    pub fn set(&self, state: BridgeState, now: u64, error: Option<&str>) {
        let mut standing = self.lock();
        if standing.state != state || standing.since == 0 {
            (standing.state, standing.since) = (state, now);
        }
        if let Some(error) = error {
            standing.last_error = error.to_owned();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BridgeStanding> {
        // Whoever panicked left whole words behind.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
