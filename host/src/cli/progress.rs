//! A sign of life on a terminal for work that takes longer than two seconds.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long nothing is said.
const QUIET: Duration = Duration::from_secs(2);

/// How often the line is written anew.
const INTERVAL: Duration = Duration::from_millis(250);

/// Says what is being done, until it is dropped.
pub(crate) struct Progress(Option<(Sender<()>, JoinHandle<()>)>);

impl Progress {
    /// Begins; nothing is ever written where standard error is no terminal.
    pub(crate) fn start(what: impl Into<String>) -> Self {
        let (what, begun) = (what.into(), Instant::now());
        Self::telling(move || format!("{what} … {} s", begun.elapsed().as_secs()))
    }

    /// Likewise, with words that are asked for each time.
    pub(crate) fn telling(words: impl Fn() -> String + Send + 'static) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let (end, ended) = channel::<()>();
        let show = move || {
            let mut wait = QUIET;
            let mut shown = false;
            while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                // Nobody misses a line that cannot be written.
                let _ = write!(std::io::stderr(), "\r\x1b[2K{} ", words());
                (wait, shown) = (INTERVAL, true);
            }
            if shown {
                let _ = write!(std::io::stderr(), "\r\x1b[2K");
            }
        };
        let thread = std::thread::Builder::new().name("progress".into()).spawn(show);
        Self(thread.ok().map(|thread| (end, thread)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.0.take() {
            drop(end);
            // It only writes; if it could not, there is nothing to do about it.
            let _ = thread.join();
        }
    }
}
