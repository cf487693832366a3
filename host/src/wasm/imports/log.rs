//! `log`: lines in the broker's log and in the module's own list of recent lines.

use super::super::bindings::pliant::broker::log::{Host, Level};
use super::super::instance::Cell;
use crate::message::Time;
use parking_lot::Mutex;
use std::collections::VecDeque;

/// How serious a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For whoever writes the module.
    Trace,
    /// For whoever looks for a fault.
    Debug,
    /// For whoever runs the broker.
    Info,
    /// Something may be wrong.
    Warn,
    /// Something is wrong.
    Error,
}

/// One line of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Ascending from 1, without gaps while the module is installed.
    pub number: u64,
    /// When it was written.
    pub time: Time,
    /// How serious it is.
    pub level: LogLevel,
    /// What it says, without its end of line; cut at [`super::super::Limits::log_line_bytes_max`].
    pub line: Box<str>,
}

/// The recent lines of one module.
pub(in super::super) struct Log {
    kept: usize,
    bytes_max: usize,
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    recent: VecDeque<LogLine>,
    /// Lines that were ever written.
    written: u64,
}

impl Log {
    pub(in super::super) fn new(kept: usize, bytes_max: usize) -> Self {
        Self { kept, bytes_max, lines: Mutex::default() }
    }

    /// Keeps a line, in place of the oldest one where there are too many.
    pub(in super::super) fn keep(&self, time: Time, level: LogLevel, line: &str) {
        let line: Box<str> = cut(line, self.bytes_max).into();
        let mut lines = self.lines.lock();
        lines.written += 1;
        if lines.recent.len() >= self.kept {
            lines.recent.pop_front();
        }
        if lines.recent.len() < self.kept {
            let number = lines.written;
            lines.recent.push_back(LogLine { number, time, level, line });
        }
    }

    pub(in super::super) fn list(&self) -> Vec<LogLine> {
        self.lines.lock().recent.iter().cloned().collect()
    }
}

fn cut(line: &str, bytes_max: usize) -> &str {
    let line = line.trim_end_matches(['\r', '\n']);
    &line[..line.floor_char_boundary(bytes_max)]
}

impl Cell {
    /// A line that the module wrote, by this interface or to standard output.
    pub(in super::super) fn write_line(&mut self, level: LogLevel, line: &str) {
        let services = &self.services;
        let line = cut(line, services.limits.log_line_bytes_max);
        let module = &*services.module;
        match level {
            LogLevel::Trace => tracing::trace!(target: "module", module, "{line}"),
            LogLevel::Debug => tracing::debug!(target: "module", module, "{line}"),
            LogLevel::Info => tracing::info!(target: "module", module, "{line}"),
            LogLevel::Warn => tracing::warn!(target: "module", module, "{line}"),
            LogLevel::Error => tracing::error!(target: "module", module, "{line}"),
        }
        services.log.keep((services.clock)(), level, line);
    }
}

impl Host for Cell {
    fn write(&mut self, level: Level, line: String) -> wasmtime::Result<()> {
        self.spend()?;
        let level = match level {
            Level::Trace => LogLevel::Trace,
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        self.write_line(level, &line);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_line_makes_room_and_long_ones_are_cut_between_characters() {
        let log = Log::new(2, 4);
        for line in ["one", "two\r\n", "drei€"] {
            log.keep(Time(1), LogLevel::Info, line);
        }
        let lines: Vec<_> = log.list().into_iter().map(|line| (line.number, line.line)).collect();
        assert_eq!(lines, [(2, Box::from("two")), (3, Box::from("drei"))]);
    }
}
