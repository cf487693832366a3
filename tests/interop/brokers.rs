//! Brokers of others, each on data and ports of its own, that a row can stop and start again.

use super::is_there;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Until one of them listens, or has stopped.
const PATIENCE: Duration = Duration::from_secs(60);

/// A port below those that the system gives to connections: it is still free when a broker comes back to it.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id() % 10_000).expect("it is below 10,000");
    loop {
        let port = 20_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// A broker's process behind a shell that ends it when its input does: it ends with the test, however that ends.
struct Running {
    shell: Child,
}

impl Running {
    /// Starts a program with this environment and waits until it listens.
    fn start(program: &[&str], environment: &[(&str, String)], log: &Path, address: SocketAddr) -> Self {
        let mut command = Command::new("sh");
        // Debian has servers in /usr/sbin, which is not on everybody's path.
        command.args(["-c", "PATH=$PATH:/usr/sbin; \"$0\" \"$@\" & read -r _; kill -TERM $!; wait $!"]).args(program);
        let log_file = File::options().create(true).append(true).open(log).expect("a log");
        command.stdin(Stdio::piped()).stdout(log_file.try_clone().expect("a log")).stderr(log_file);
        command.envs(environment.iter().map(|(key, value)| (key, value)));
        let running = Self { shell: command.spawn().expect("a shell") };
        let patience = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let log = || fs::read_to_string(log).unwrap_or_default();
            assert!(Instant::now() < patience, "{} does not listen: {}", program[0], log());
            std::thread::sleep(Duration::from_millis(20));
        }
        running
    }

    /// Stops it in good order, and waits for that.
    fn stop(&mut self) {
        drop(self.shell.stdin.take());
        let patience = Instant::now() + PATIENCE;
        while self.shell.try_wait().expect("it is our child").is_none() {
            assert!(Instant::now() < patience, "it does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        drop(self.shell.wait());
    }
}

/// Eclipse Mosquitto. It keeps what it has when it is stopped.
pub struct Mosquitto {
    address: SocketAddr,
    running: Option<Running>,
    data: TempDir,
}

impl Mosquitto {
    /// None, and a word about it, where it is not installed.
    pub fn start() -> Option<Self> {
        let probe = "PATH=$PATH:/usr/sbin; command -v mosquitto";
        if !is_there("Mosquitto", Command::new("sh").args(["-c", probe])) {
            return None;
        }
        let data = TempDir::new().expect("a temporary directory");
        let port = port();
        // As root it would go on as a user that may not write here.
        let settings = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nmax_queued_messages 0\npersistence true\n\
             persistence_location {}/\n",
            data.path().display()
        );
        fs::write(data.path().join("conf"), settings).expect("a file");
        let mut own = Self { address: (Ipv4Addr::LOCALHOST, port).into(), running: None, data };
        own.start_again();
        Some(own)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn stop(&mut self) {
        self.running.take().expect("it runs").stop();
    }

    /// Starts it on what it has kept.
    pub fn start_again(&mut self) {
        let file = self.data.path().join("conf").to_string_lossy().into_owned();
        let log = self.data.path().join("log");
        self.running = Some(Running::start(&["mosquitto", "-c", &file], &[], &log, self.address));
    }
}

/// RabbitMQ with its plug-in for AMQP 1.0, and what Erlang needs beside it.
pub struct RabbitMq {
    address: SocketAddr,
    node: String,
    /// Of Erlang's distribution, and of the daemon that knows of it.
    ports: [u16; 2],
    running: Option<Running>,
    _daemon: Running,
    data: TempDir,
}

/// The script itself; the one on the path becomes another user first.
const RABBITMQ: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

impl RabbitMq {
    /// None, and a word about it, where it is not installed.
    pub fn start() -> Option<Self> {
        let probe = format!("test -x {RABBITMQ} && command -v epmd");
        if !is_there("RabbitMQ", Command::new("sh").args(["-c", &probe])) {
            return None;
        }
        let data = TempDir::new().expect("a temporary directory");
        fs::write(data.path().join("plugins"), "[rabbitmq_amqp1_0].\n").expect("a file");
        fs::write(data.path().join("rabbit.conf"), "").expect("a file");
        let (port, ports) = (port(), [port(), port()]);
        // Where Erlang finds none it starts one that stays.
        let daemon = ["epmd", "-port", &ports[1].to_string(), "-address", "127.0.0.1"];
        let address = (Ipv4Addr::LOCALHOST, ports[1]).into();
        let daemon = Running::start(&daemon, &[], &data.path().join("epmd"), address);
        let mut own = Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            node: format!("rows{port}@localhost"),
            ports,
            running: None,
            _daemon: daemon,
            data,
        };
        own.start_again();
        Some(own)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A file in its directory, which goes with it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    pub fn stop(&mut self) {
        self.running.take().expect("it runs").stop();
    }

    /// Starts it on what it has kept.
    pub fn start_again(&mut self) {
        let path = |name| self.path(name).to_string_lossy().into_owned();
        let environment = [
            ("HOME", path("")),
            ("RABBITMQ_MNESIA_BASE", path("mnesia")),
            ("RABBITMQ_LOG_BASE", path("log")),
            ("RABBITMQ_PID_FILE", path("pid")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
            ("RABBITMQ_CONFIG_FILE", path("rabbit.conf")),
            ("RABBITMQ_NODENAME", self.node.clone()),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODE_PORT", self.address.port().to_string()),
            ("RABBITMQ_DIST_PORT", self.ports[0].to_string()),
            ("ERL_EPMD_PORT", self.ports[1].to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 1:1".to_owned()),
        ];
        self.running = Some(Running::start(&[RABBITMQ], &environment, &self.path("out"), self.address));
    }
}
