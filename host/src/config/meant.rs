//! The configuration as meant: what the rooms are built from. Its `Default` is what runs without any configuration.

use super::auth::{AllowAnonymous, Auth};
use crate::wasm::HostGrant;
use crate::{admin, amqp, bridge, broker, mqtt, net, store, topic, wasm};
use ipnet::IpNet;
use serde_json::Value as Json;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the store and the admin token are. Default `data` in the working directory.
    pub data_dir: PathBuf,
    /// Threads that serve connections; 0: one for each processor but one, at least one. Default 0.
    pub workers: usize,
    /// Where clients come in, by name. Default: `mqtt` and `ws`.
    pub listeners: Vec<Listener>,
    /// How clients prove who they are.
    pub auth: Auth,
    /// The admin API.
    pub admin: Admin,
    /// When a message counts as kept.
    pub durability: DurabilityName,
    /// Bounds of the store.
    pub store: store::Limits,
    /// Bounds of sockets and connections.
    pub net: net::Limits,
    /// Bounds of MQTT.
    pub mqtt: mqtt::Limits,
    /// Bounds of AMQP.
    pub amqp: amqp::Limits,
    /// What the broker tells about itself in messages.
    pub sys: Sys,
    /// Where clients are to go instead.
    pub redirect: Redirect,
    /// Bounds of queues, subscriptions and retained messages.
    pub broker: broker::Limits,
    /// Bounds on modules.
    pub wasm: wasm::Limits,
    /// Whom modules trust over `https`: roots in PEM form; empty: the system's.
    pub http_ca_file: PathBuf,
    /// Where machine code of modules is kept; empty: in `compiled` of the data directory.
    pub machine_code_dir: PathBuf,
    /// Bounds on topic names; what the rooms have of them follows this.
    pub topic: topic::Limits,
    /// Modules that are named in the configuration, and the bundled ones, by name.
    pub modules: Vec<Module>,
    /// Bridges to other brokers, by name. Default none.
    pub bridges: Vec<bridge::Settings>,
    /// Who may have signed what is deployed.
    pub signing: Signing,
    /// This program, whose child tries components before they are compiled; no setting. None: nothing is tried first.
    pub program: Option<PathBuf>,
}

/// An address at which clients come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// How it is called in the configuration, the log and towards modules.
    pub name: String,
    /// Whether it is opened. Default true.
    pub enabled: bool,
    /// Nobody asked for it: it is there by default, and the broker starts without it where its address is taken.
    pub implied: bool,
    /// What is spoken. Default `mqtt`.
    pub protocol: ProtocolName,
    /// By what means. Default `tcp`.
    pub transport: Transport,
    /// Address and port, or the path of a Unix socket. Needed.
    pub bind: Bind,
    /// Certificates; needed for `tls`, `wss` and `quic`. On a `tcp` listener AMQP clients may ask for TLS if there is one.
    pub tls: Tls,
    /// Path of WebSockets. Default `/mqtt`.
    pub path: String,
    /// Pages whose scripts may open WebSockets. Default none but this machine's own.
    pub origins: List<net::PageOrigin>,
    /// Load balancers that begin each connection with a PROXY header, as networks. If there are any, nobody else may
    /// connect. Default none.
    pub proxy_protocol: List<IpNet>,
    /// Let clients in that do not say who they are. Default: those that come from this machine.
    pub allow_anonymous: AllowAnonymous,
}

/// What the broker tells about itself in messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sys {
    /// Seconds between two looks at what the `$SYS` topics tell; 0: there are none. Default 10.
    pub interval_seconds: u32,
}

/// Where clients are to go instead.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redirect {
    /// `host` or `host:port`, several of them separated by spaces; empty: clients are welcome here. Default empty.
    pub server: String,
    /// For good, or for now. Default for now.
    pub permanent: bool,
}

/// The files behind a listener's TLS, in PEM form. All empty: no TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// The broker's certificate, then those that lead to its root.
    pub certificate: PathBuf,
    /// The private key of the first certificate.
    pub key: PathBuf,
    /// Roots of clients' certificates.
    pub client_ca: PathBuf,
    /// What the authorities of clients' certificates have revoked; empty: nobody asks. Read again on a reload.
    pub client_crl: PathBuf,
    /// Whether clients are asked for a certificate. Default `none`.
    pub client_certificate: ClientCertificate,
}

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientCertificate {
    /// No.
    #[default]
    None,
    /// Those that have one may show it.
    Optional,
    /// Those that have none are turned away.
    Required,
}

/// Where a listener is; port 0 asks the system for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// Not said.
    Unset,
    /// Address and port.
    Address(SocketAddr),
    /// Path of a Unix socket.
    Path(PathBuf),
}

/// Values of one kind, written as a list, or as text with commas between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Who may have signed what is deployed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signing {
    /// Lines of `ed25519 BASE64`; empty: no key is known. Default empty.
    pub keys_file: PathBuf,
    /// Whether what is not signed is refused. Default false.
    pub required: bool,
}

/// Protocols that a listener can speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolName {
    /// MQTT 3.1, 3.1.1 and 5.0.
    Mqtt,
    /// AMQP 1.0.
    Amqp,
    /// Either; the first bytes tell.
    Any,
}

/// When a message counts as kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurabilityName {
    /// When it is synced to disk.
    Commit,
    /// At once; it is synced soon after.
    Relaxed,
}

impl From<DurabilityName> for store::Durability {
    fn from(name: DurabilityName) -> Self {
        match name {
            DurabilityName::Commit => Self::Commit,
            DurabilityName::Relaxed => Self::Relaxed,
        }
    }
}

/// Means of transport that a listener can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Plain TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket over TCP.
    Ws,
    /// WebSocket over TLS.
    Wss,
    /// A Unix socket.
    Unix,
    /// A stream of QUIC, over UDP; MQTT only.
    Quic,
}

impl Transport {
    /// TLS begins with the first byte.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// There is no such listener without a certificate.
    pub fn needs_certificate(self) -> bool {
        self.is_tls() || self == Self::Quic
    }

    /// What is spoken comes in WebSocket frames.
    pub fn is_web(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// The admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Address and port; a loopback address. Default `127.0.0.1:9880`.
    pub bind: Bind,
    /// Where the bearer token is; empty: `admin.token` in the data directory.
    pub token_file: PathBuf,
    /// Where the token of those is who may only look; empty: there is none. Default empty.
    pub read_token_file: PathBuf,
    /// Bounds of the API.
    pub limits: admin::Limits,
}

/// A module that is to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Module {
    /// Its name; for a bundled one the name of that.
    pub name: String,
    /// Whether it is asked. Default true.
    pub enabled: bool,
    /// The component; empty: the bundled one of that name.
    pub path: PathBuf,
    /// Modules of a hook are asked by ascending order, then by name. Default 10.
    pub order: i32,
    /// What happens to a message on which the module fails. Default `refuse`.
    pub on_failure: OnFailure,
    /// What the module is given. Default an empty table.
    pub config: Json,
    /// Hosts outside that it may speak to by HTTP. Default none. An entry with these and nothing else is about a module
    /// that is deployed while the broker runs.
    pub http_hosts: List<HostGrant>,
    /// Whether anything but its name and its hosts was written; no setting.
    pub says_more: bool,
}

/// What happens to a message on which a module fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// It is refused to its publisher.
    Refuse,
    /// It goes on as if the module were not there.
    Bypass,
    /// Its publisher is told it was taken, and nobody gets it.
    Discard,
}

impl Default for Config {
    fn default() -> Self {
        let mqtt = Listener { bind: Bind::Address(loopback(1883)), ..Listener::named("mqtt") };
        let ws = Listener {
            implied: true,
            transport: Transport::Ws,
            bind: Bind::Address(loopback(8083)),
            ..Listener::named("ws")
        };
        let amqp = Listener {
            implied: true,
            protocol: ProtocolName::Amqp,
            bind: Bind::Address(loopback(5672)),
            ..Listener::named("amqp")
        };
        Self {
            data_dir: "data".into(),
            workers: 0,
            listeners: vec![amqp, mqtt, ws],
            auth: Auth::default(),
            admin: Admin::default(),
            durability: DurabilityName::Commit,
            store: store::Limits::default(),
            net: net::Limits::default(),
            mqtt: mqtt::Limits::default(),
            amqp: amqp::Limits::default(),
            sys: Sys { interval_seconds: 10 },
            redirect: Redirect::default(),
            broker: broker::Limits::default(),
            wasm: wasm::Limits::default(),
            topic: topic::Limits::default(),
            bridges: Vec::new(),
            http_ca_file: PathBuf::new(),
            machine_code_dir: PathBuf::new(),
            signing: Signing::default(),
            program: None,
            modules: [
                Module { enabled: false, ..Module::named("access-list") },
                Module::named("exchanges"),
                Module::named("retain-rules"),
                Module::named("topic-rules"),
                Module::named("translate"),
                Module::named("will-rules"),
            ]
            .into(),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            bind: Bind::Address(loopback(9880)),
            token_file: PathBuf::new(),
            read_token_file: PathBuf::new(),
            limits: admin::Limits::default(),
        }
    }
}

impl Listener {
    /// One about which nothing but its name is known.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            enabled: true,
            implied: false,
            protocol: ProtocolName::Mqtt,
            transport: Transport::Tcp,
            bind: Bind::Unset,
            tls: Tls::default(),
            path: "/mqtt".to_owned(),
            origins: List::default(),
            proxy_protocol: List::default(),
            allow_anonymous: AllowAnonymous::default(),
        }
    }
}

impl Module {
    /// One about which nothing but its name is known.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            enabled: true,
            path: PathBuf::new(),
            order: 10,
            on_failure: OnFailure::Refuse,
            config: Json::Object(serde_json::Map::new()),
            http_hosts: List::default(),
            says_more: false,
        }
    }

    /// Whether it is about nothing but the hosts of a module that is deployed while the broker runs.
    pub fn only_grants(&self) -> bool {
        let bundled = Config::default().modules.iter().any(|bundled| bundled.name == self.name);
        !self.says_more && self.path.as_os_str().is_empty() && !bundled && !self.http_hosts.0.is_empty()
    }
}

impl Bind {
    /// The address; of anything else any address and port. A checked configuration has one where it is asked.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Address(address) => *address,
            Self::Unset | Self::Path(_) => loopback(0),
        }
    }

    /// Whether the system gives only one of both: it is the same address and port, or one takes a port of all addresses.
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Address(a), Self::Address(b)) => {
                // The unspecified one of IPv6 is for IPv4, too.
                let takes =
                    |all: &SocketAddr, one: &SocketAddr| all.ip().is_unspecified() && (all.is_ipv6() || one.is_ipv4());
                a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || takes(a, b) || takes(b, a))
            }
            (a, b) => a == b && matches!(a, Self::Path(_)),
        }
    }

    /// Whether only this machine can reach it. True for none.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.ip().to_canonical().is_loopback(),
            Self::Unset | Self::Path(_) => true,
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => Ok(()),
            Self::Address(address) => address.fmt(f),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

impl FromStr for Bind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('/') {
            return Ok(Self::Path(text.into()));
        }
        let text = text.replace("localhost:", "127.0.0.1:");
        text.parse().map(Self::Address).map_err(
            |_| "expected address:port, as in 127.0.0.1:1883 or [::1]:1883; for transport unix a path with a /",
        )
    }
}

/// A closed set of words in the configuration.
macro_rules! words {
    ($type:ident: $($word:literal => $variant:ident),+) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let known = [$($word),+].join(", ");
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("expected one of {known}")),
                }
            }
        }
    };
}

words!(ProtocolName: "mqtt" => Mqtt, "amqp" => Amqp, "any" => Any);
words!(Transport: "tcp" => Tcp, "tls" => Tls, "ws" => Ws, "wss" => Wss, "unix" => Unix, "quic" => Quic);
words!(ClientCertificate: "none" => None, "optional" => Optional, "required" => Required);
words!(OnFailure: "refuse" => Refuse, "bypass" => Bypass, "discard" => Discard);
words!(DurabilityName: "commit" => Commit, "relaxed" => Relaxed);

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
