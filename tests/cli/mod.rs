//! The command line as people and scripts use it: results on standard output, talk on standard error, exit codes.

mod amqp;
mod broker;
mod log;
mod offline;
mod starting;

use crate::harness::binary;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a command came to.
struct Ended {
    code: Option<i32>,
    out: String,
    talk: String,
}

impl Ended {
    /// The exit code, and something that standard output or standard error contains.
    #[track_caller]
    fn expect(&self, code: i32, says: &str) {
        let said = format!("{}{}", self.out, self.talk);
        assert!(
            self.code == Some(code) && said.contains(says),
            "code {:?}, expected {code} and {says:?}:\n{said}",
            self.code
        );
        assert!(code == 0 || self.out.is_empty(), "results of a failure: {}", self.out);
    }
}

/// Runs `pliant` in a folder, with nothing of this process's settings.
fn pliant(folder: &Path, arguments: &[&str], input: &[u8]) -> Ended {
    let mut command = Command::new(binary());
    command.current_dir(folder).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PLIANT_")) {
        command.env_remove(name);
    }
    let mut child = command.spawn().expect("pliant can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A command that reads nothing closes it.
    let _ = stdin.write_all(input);
    drop(stdin);
    let ended = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it talks in UTF-8");
    Ended { code: ended.status.code(), out: text(ended.stdout), talk: text(ended.stderr) }
}
