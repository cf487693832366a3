//! Lines in the broker's log, under the module's name, and in its own recent-log view.

pub use crate::worlds::every_module::pliant::broker::log::Level;

/// Writes one line.
pub fn write(level: Level, line: impl AsRef<str>) {
    #[cfg(target_family = "wasm")]
    crate::worlds::every_module::pliant::broker::log::write(level, line.as_ref());
    #[cfg(not(target_family = "wasm"))]
    crate::testing::stand_in(|host| host.log.push((level, line.as_ref().into())));
}

/// Writes a line for those who follow the module step by step.
pub fn trace(line: impl AsRef<str>) {
    write(Level::Trace, line);
}

/// Writes a line for the module's author.
pub fn debug(line: impl AsRef<str>) {
    write(Level::Debug, line);
}

/// Writes a line for the operator.
pub fn info(line: impl AsRef<str>) {
    write(Level::Info, line);
}

/// Writes a line about something the operator should look at.
pub fn warn(line: impl AsRef<str>) {
    write(Level::Warn, line);
}

/// Writes a line about something that failed.
pub fn error(line: impl AsRef<str>) {
    write(Level::Error, line);
}
