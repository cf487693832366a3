//! The broker under test: one that all rows share, or one of a row's own; in this process, on ports that the system gives.

use super::http::Admin;
use host::config::{Config, Sources};
use host::server::{self, Running};
use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// Where the broker that rows share listens for MQTT: one with defaults, or the one that `PLIANT_TEST_BROKER=host:port`
/// names.
pub fn address() -> SocketAddr {
    outside().unwrap_or_else(|| shared().address())
}

/// The admin API of the broker that rows share. None, and a word about it, where that is an outside one.
pub fn admin() -> Option<Admin> {
    if is_outside() {
        eprintln!("left out: this row needs an admin API");
        return None;
    }
    Some(shared().admin())
}

/// Where the broker that rows share listens for AMQP. None, and a word about it, where that is an outside one.
pub fn amqp_address() -> Option<SocketAddr> {
    if is_outside() {
        eprintln!("left out: this row needs a listener for AMQP");
        return None;
    }
    Some(shared().at("amqp"))
}

/// Whether rows run against an outside broker.
pub fn is_outside() -> bool {
    outside().is_some()
}

/// The outside broker, if one is named.
fn outside() -> Option<SocketAddr> {
    let named = std::env::var("PLIANT_TEST_BROKER").ok()?;
    Some(named.to_socket_addrs().expect("PLIANT_TEST_BROKER is host:port").next().expect("it has an address"))
}

fn shared() -> &'static Broker {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    SHARED.get_or_init(|| {
        sweep(Path::new(env!("CARGO_TARGET_TMPDIR")));
        Broker::launch(|_| {}, data_dir())
    })
}

/// A data directory below the target directory, named after this process.
pub fn data_dir() -> TempDir {
    let prefix = format!("data-{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a place for data")
}

/// Where brokers of this process leave what their modules were compiled to, for each other: it is the same ones each time.
pub fn machine_code() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("data-{}-compiled", std::process::id()))
}

/// Removes what processes have left behind that are no more: a broker that lives as long as its process never tidies up.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix("data-").and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        let is_over = |process| Path::new("/proc").is_dir() && !Path::new(&format!("/proc/{process}")).exists();
        if process.is_some_and(is_over) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// What a row changes of the defaults.
pub type Adjust = Box<dyn Fn(&mut Config) + Send + Sync>;

/// A running broker with its data. It stops when it is dropped.
pub struct Broker {
    running: Option<Running>,
    adjust: Adjust,
    data: TempDir,
}

impl Broker {
    /// A broker of the row's own, with defaults. None, and a word about it, where rows run against an outside broker.
    pub fn start() -> Option<Self> {
        Self::start_with(|_| {})
    }

    /// As [`Broker::start`], with other settings.
    pub fn start_with(adjust: impl Fn(&mut Config) + Send + Sync + 'static) -> Option<Self> {
        if outside().is_some() {
            eprintln!("left out: this row needs a broker of its own");
            return None;
        }
        Some(Self::launch(adjust, data_dir()))
    }

    /// A broker that reads this file, and reads it again on a reload; its ports are given by the system.
    pub fn start_from(file: &Path) -> Option<Self> {
        if outside().is_some() {
            eprintln!("left out: this row needs a broker of its own");
            return None;
        }
        let data = data_dir();
        let any_port = ["listener.mqtt.bind", "listener.ws.bind", "admin.bind"];
        let mut flags: Vec<String> = any_port.iter().map(|key| format!("{key}=127.0.0.1:0")).collect();
        flags.push(format!("data_dir={}", data.path().display()));
        let sources = Sources { file: Some(file.to_path_buf()), environment: Vec::new(), flags };
        let config = sources.load().expect("a configuration that is right");
        let running = server::start_from(config, sources).expect("a broker that starts");
        Some(Self { running: Some(running), adjust: Box::new(|_| {}), data })
    }

    fn launch(adjust: impl Fn(&mut Config) + Send + Sync + 'static, data: TempDir) -> Self {
        let adjust: Adjust = Box::new(adjust);
        let running = server::start(config(&adjust, data.path())).expect("a broker that starts");
        Self { running: Some(running), adjust, data }
    }

    /// Stops it in order and starts it again on the same data.
    pub fn restart(mut self) -> Self {
        assert!(self.running().stop(), "the disk did not take everything");
        self.running = Some(server::start(config(&self.adjust, self.data.path())).expect("a broker that starts again"));
        self
    }

    fn running(&mut self) -> Running {
        self.running.take().expect("it runs until it is dropped")
    }

    fn runs(&self) -> &Running {
        self.running.as_ref().expect("it runs until it is dropped")
    }

    /// Where it listens for MQTT.
    pub fn address(&self) -> SocketAddr {
        self.runs().address("mqtt").expect("a listener of that name")
    }

    /// Where the listener of this name is.
    pub fn at(&self, listener: &str) -> SocketAddr {
        self.runs().address(listener).unwrap_or_else(|| panic!("no listener {listener}"))
    }

    /// Its admin API.
    pub fn admin(&self) -> Admin {
        let address = self.runs().admin_address().expect("an admin API");
        Admin { address, token: self.runs().admin_token() }
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.data.path().to_path_buf()
    }
}

fn config(adjust: &Adjust, data: &Path) -> Config {
    // Two, whatever the machine has: clients of different threads meet.
    let mut config = Config { data_dir: data.to_path_buf(), workers: 2, ..Config::default() };
    let any_port: host::config::Bind = "127.0.0.1:0".parse().expect("an address");
    config.admin.bind = any_port.clone();
    for listener in &mut config.listeners {
        listener.bind = any_port.clone();
    }
    config.machine_code_dir = machine_code();
    adjust(&mut config);
    config
}
