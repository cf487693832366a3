//! What can be wrong with a configuration, and where it stands.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file and a line in it, from 1.
    File(Arc<Path>, usize),
    /// A variable of the environment, by name.
    Environment(String),
    /// A flag of the command line, as written up to its `=`.
    Flag(String),
    /// A flag of the command line of which it cannot be told what it sets.
    Unreadable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(flag) | Self::Unreadable(flag) => f.write_str(flag),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where; none for what nobody wrote.
    pub origin: Option<Origin>,
    /// What, as one line.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(Origin::Flag(flag)) => {
                // It names the key already.
                let key = flag.strip_prefix("--set ").unwrap_or_default();
                let rest = self.message.strip_prefix(key).and_then(|rest| rest.strip_prefix(": "));
                write!(f, "{flag}: {}", rest.unwrap_or(&self.message))
            }
            Some(origin) => write!(f, "{origin}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// All that is wrong with a configuration, in the order in which it was read; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl ConfigError {
    /// Whether all of it are flags that cannot be read: then the program was called in a wrong way. A setting that is wrong
    /// is that wherever it stands.
    pub fn is_usage(&self) -> bool {
        self.0.iter().all(|problem| matches!(problem.origin, Some(Origin::Unreadable(_))))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
