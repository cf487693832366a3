//! The real binary in a process of its own, so that it can be killed.

use super::broker::is_outside;
use super::http::Admin;
use crate::house::root;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use tempfile::TempDir;

/// A `pliant serve` with its data. It is killed when it is dropped.
pub struct Process {
    child: Child,
    address: SocketAddr,
    amqp: SocketAddr,
    admin: SocketAddr,
    /// All listeners at ports.
    listeners: Vec<(String, SocketAddr)>,
    data: TempDir,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// Starts the binary on new data. None, and a word about it, where rows run against an outside broker.
    pub fn start() -> Option<Self> {
        Self::start_with(&[], None)
    }

    /// With other settings, and with a bound on its open files. They do not outlive a kill.
    pub fn start_with(settings: &[&str], files: Option<u32>) -> Option<Self> {
        if is_outside() {
            eprintln!("left out: this row needs a broker of its own");
            return None;
        }
        Some(Self::launch(super::broker::data_dir(), settings, files, &[]))
    }

    /// With other settings, and with these variables of the environment.
    pub fn start_within(environment: &[(&str, &Path)], settings: &[&str]) -> Option<Self> {
        if is_outside() {
            eprintln!("left out: this row needs a broker of its own");
            return None;
        }
        Some(Self::launch(super::broker::data_dir(), settings, None, environment))
    }

    fn launch(data: TempDir, settings: &[&str], files: Option<u32>, environment: &[(&str, &Path)]) -> Self {
        let mut command = match files {
            None => Command::new(binary()),
            Some(files) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]).arg(binary());
                shell
            }
        };
        command.envs(environment.iter().copied());
        command.arg("serve").arg("--data-dir").arg(data.path()).args(["--log", "info", "--log-format", "json"]);
        for key in ["listener.mqtt.bind", "listener.ws.bind", "listener.amqp.bind", "admin.bind"] {
            command.args(["--set", &format!("{key}=127.0.0.1:0")]);
        }
        command.args(["--set", &format!("wasm.machine_code_dir={}", super::broker::machine_code().display())]);
        // Two, whatever the machine has: clients of different threads meet.
        for setting in ["workers=2"].iter().chain(settings) {
            command.args(["--set", setting]);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().expect("pliant can be started");
        let mut lines = BufReader::new(child.stderr.take().expect("its log is piped"));
        let (mut address, mut amqp, mut admin, mut log) = (None, None, None, String::new());
        let mut listeners = Vec::new();
        while address.is_none() || amqp.is_none() || admin.is_none() {
            let begin = log.len();
            assert_ne!(lines.read_line(&mut log).unwrap(), 0, "pliant ended before it listened:\n{log}");
            let line: serde_json::Value = serde_json::from_str(&log[begin..]).unwrap_or_default();
            let at = line["address"].as_str().and_then(|text| text.parse().ok());
            if let (Some(name), Some(at)) = (line["listener"].as_str(), at) {
                listeners.push((name.to_owned(), at));
            }
            match line["listener"].as_str() {
                Some("mqtt") => address = at.or(address),
                Some("amqp") => amqp = at.or(amqp),
                Some(_) => {}
                None => admin = at.or(admin),
            }
        }
        // Its log is read on, so that the broker never waits for us.
        let log = Arc::new(Mutex::new(log));
        let rest = log.clone();
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                rest.lock().expect("nobody panics with it").extend([&line, "\n"]);
            }
        });
        let seen = "just seen";
        Self {
            child,
            address: address.expect(seen),
            amqp: amqp.expect(seen),
            admin: admin.expect(seen),
            listeners,
            data,
            log,
        }
    }

    /// Where it listens for MQTT.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for AMQP.
    pub fn amqp(&self) -> SocketAddr {
        self.amqp
    }

    /// Where the listener of this name is.
    pub fn at(&self, listener: &str) -> SocketAddr {
        let found = self.listeners.iter().find(|(name, _)| name == listener);
        found.unwrap_or_else(|| panic!("no listener {listener}")).1
    }

    /// What it has logged, a line of JSON each.
    pub fn log(&self) -> String {
        self.log.lock().expect("nobody panics with it").clone()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.data.path().to_path_buf()
    }

    /// Its admin API.
    pub fn admin(&self) -> Admin {
        let token = fs::read_to_string(self.data.path().join("admin.token")).expect("a token");
        Admin { address: self.admin, token: token.trim().to_owned() }
    }

    /// Kills it as `kill -9` does, and starts it again on the same data.
    pub fn kill_and_start(self) -> Self {
        self.kill_and_start_with(&[])
    }

    /// As [`Process::kill_and_start`], with other settings.
    pub fn kill_and_start_with(mut self, settings: &[&str]) -> Self {
        self.kill();
        let data = std::mem::replace(&mut self.data, TempDir::new().expect("a temporary directory"));
        Self::launch(data, settings, None, &[])
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The binary beside this test, built now if need be.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().expect("this test has a path");
        let profile = test.ancestors().nth(2).expect("tests lie in target/PROFILE/deps");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // With the tests beside it dependencies have the features that `cargo test` has built them with.
        cargo.current_dir(root()).args(["build", "--quiet", "--bin", "pliant", "--test", "all"]);
        cargo.arg("--target-dir").arg(profile.parent().expect("the target directory"));
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().is_ok_and(|status| status.success()), "the binary does not build");
        profile.join(format!("pliant{}", std::env::consts::EXE_SUFFIX))
    })
}
