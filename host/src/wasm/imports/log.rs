//! `log`: lines in the broker's log and in the module's own list of recent lines.

use super::super::bindings::pliant::broker::log::{Host, Level};
use super::super::instance::Cell;
use super::super::limits::Limits;
use super::super::quota::Window;
use crate::message::Time;
use parking_lot::Mutex;
use std::borrow::Cow;
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
    per_second_max: u64,
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    recent: VecDeque<LogLine>,
    /// Lines that were ever written.
    written: u64,
    /// Lines of the module's own in this second.
    own: Window,
}

impl Log {
    pub(in super::super) fn new(limits: &Limits) -> Self {
        Self {
            kept: limits.log_lines_kept,
            bytes_max: limits.log_line_bytes_max,
            per_second_max: limits.log_lines_per_second_max,
            lines: Mutex::default(),
        }
    }

    /// Whether the module may write one more line in this second.
    fn has_room(&self, now: Time) -> bool {
        self.lines.lock().own.take(now, self.per_second_max, 1)
    }

    /// Keeps a line, in place of the oldest one where there are too many.
    pub(in super::super) fn keep(&self, time: Time, level: LogLevel, line: &str) {
        let line: Box<str> = plain(line, self.bytes_max).into();
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

/// Without its end of line, cut, and with control characters written out: a module may neither begin lines that look like the
/// broker's own, nor tell the operator's terminal what to do.
pub(in super::super) fn plain(line: &str, bytes_max: usize) -> Cow<'_, str> {
    let line = line.trim_end_matches(['\r', '\n']);
    let line = &line[..line.floor_char_boundary(bytes_max)];
    let harmless = |c: char| c == '\t' || !c.is_control();
    if line.chars().all(harmless) {
        return line.into();
    }
    let mut plain = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        if harmless(c) { plain.push(c) } else { plain.extend(c.escape_default()) }
    }
    plain.truncate(plain.floor_char_boundary(bytes_max));
    plain.into()
}

impl Cell {
    /// A line that the module wrote, by this interface or to standard output.
    pub(in super::super) fn write_line(&mut self, level: LogLevel, line: &str) {
        if self.warms_up {
            return;
        }
        let services = &self.services;
        let now = (services.clock)();
        if !services.log.has_room(now) {
            return services.refusals.log.add(1);
        }
        let line = &*plain(line, services.limits.log_line_bytes_max);
        let module = &*services.module;
        match level {
            LogLevel::Trace => tracing::trace!(target: "module", module, "{line}"),
            LogLevel::Debug => tracing::debug!(target: "module", module, "{line}"),
            LogLevel::Info => tracing::info!(target: "module", module, "{line}"),
            LogLevel::Warn => tracing::warn!(target: "module", module, "{line}"),
            LogLevel::Error => tracing::error!(target: "module", module, "{line}"),
        }
        services.log.keep(now, level, line);
        self.hear(line);
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
        let log = Log::new(&Limits { log_lines_kept: 2, log_line_bytes_max: 4, ..Limits::default() });
        for line in ["one", "two\r\n", "drei€"] {
            log.keep(Time(1), LogLevel::Info, line);
        }
        let lines: Vec<_> = log.list().into_iter().map(|line| (line.number, line.line)).collect();
        assert_eq!(lines, [(2, Box::from("two")), (3, Box::from("drei"))]);
    }

    #[test]
    fn what_is_no_text_is_written_out() {
        for (line, expected) in [
            ("a\tb", "a\tb"),
            ("a\nERROR b\n", "a\\nERROR b"),
            ("\0\u{1b}[2J", "\\u{0}\\u{1b}[2J"),
            ("\u{9b}", "\\u{9b}"),
            ("größer", "größer"),
        ] {
            assert_eq!(plain(line, 100), expected);
        }
        assert_eq!(plain("\0\0\0\0", 4).len(), 4);
    }
}
