//! A broker with a listener of each kind, and certificates made for the run.

use crate::harness::quic::{self, Quic};
use crate::harness::wire::{Web, Wire, upgrade};
use crate::harness::{Admin, Broker, data_dir};
use host::config::{Bind, ClientCertificate, Config, Listener, Tls, Transport};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
};
use rcgen::{RevokedCertParams, SerialNumber};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// A way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Tcp,
    Tls,
    Ws,
    Wss,
    Unix,
    Quic,
}

/// All of them.
pub const WAYS: [Way; 6] = [Way::Tcp, Way::Tls, Way::Ws, Way::Wss, Way::Unix, Way::Quic];

/// A certificate authority and what it signs.
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let folder = data_dir();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Rows of Pliant");
        let key = KeyPair::generate().unwrap();
        fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Signs a certificate for this name, in `STEM.pem` and `STEM.key`.
    pub fn sign(&self, stem: &str, name: &str) {
        self.sign_with(stem, name, |_| {});
    }

    /// The same, for so many seconds from now on.
    pub fn sign_for(&self, stem: &str, name: &str, seconds: u64) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let end = Duration::from_secs(now.as_secs() + seconds);
        self.sign_with(stem, name, |params| params.not_after = rcgen::date_time_ymd(1970, 1, 1) + end);
    }

    pub fn sign_with(&self, stem: &str, name: &str, adjust: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        adjust(&mut params);
        let key = KeyPair::generate().unwrap();
        fs::write(self.path(&format!("{stem}.pem")), params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        fs::write(self.path(&format!("{stem}.key")), key.serialize_pem()).unwrap();
    }

    /// Signs a list of revoked certificates, of these serial numbers, in `crl.pem`.
    pub fn revoke(&self, serials: &[u64]) {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: rcgen::date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2024, 1, 1),
            next_update: rcgen::date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        fs::write(self.path("crl.pem"), list.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
    }

    /// What a listener is told.
    pub fn tls(&self, client_certificate: ClientCertificate) -> Tls {
        let asks = client_certificate != ClientCertificate::None;
        Tls {
            certificate: self.path("server.pem"),
            key: self.path("server.key"),
            client_ca: if asks { self.path("ca.pem") } else { PathBuf::new() },
            client_crl: PathBuf::new(),
            client_certificate,
        }
    }

    /// A client that trusts the authority, with a certificate of its own if one is named.
    pub fn client(&self, own: Option<&str>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        Arc::new(match own {
            None => builder.with_no_client_auth(),
            Some(stem) => {
                let chain = CertificateDer::pem_file_iter(self.path(&format!("{stem}.pem"))).unwrap();
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{stem}.key"))).unwrap();
                builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
            }
        })
    }

    /// The same over QUIC, of a client that asks for these protocols (ALPN).
    pub fn quic_client(&self, own: Option<&str>, protocols: &[&str]) -> quinn::ClientConfig {
        let mut config = (*self.client(own)).clone();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        quic::config(config)
    }

    /// A QUIC connection, or why there is none.
    pub fn dial_quic(&self, address: SocketAddr, own: Option<&str>) -> Result<Quic, quinn::ConnectionError> {
        quic::connect(self.quic_client(own, &["mqtt"]), address).map(Quic::open)
    }

    /// A TLS connection, before its handshake.
    pub fn dial(&self, address: SocketAddr, own: Option<&str>) -> StreamOwned<ClientConnection, TcpStream> {
        dial(self.client(own), address)
    }

    /// The same, of a client that asks for these protocols (ALPN).
    pub fn dial_asking(&self, address: SocketAddr, protocols: &[&str]) -> StreamOwned<ClientConnection, TcpStream> {
        let mut config = (*self.client(None)).clone();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        dial(Arc::new(config), address)
    }
}

/// A TLS connection of this client, before its handshake.
pub fn dial(config: Arc<ClientConfig>, address: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
    let socket = TcpStream::connect(address).expect("a broker that listens");
    socket.set_nodelay(true).unwrap();
    wrap(config, socket)
}

/// TLS on a socket on which something was said already.
pub fn wrap(config: Arc<ClientConfig>, socket: TcpStream) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(config, name).unwrap(), socket)
}

/// A listener of this name at any port.
pub fn listener(name: &str, transport: Transport) -> Listener {
    Listener { transport, bind: "127.0.0.1:0".parse().unwrap(), ..Listener::named(name) }
}

/// A broker that can be reached in every way.
pub struct Rig {
    pub broker: Broker,
    pub authority: Authority,
}

impl Rig {
    pub fn start() -> Option<Self> {
        Self::start_with(|_| {})
    }

    /// With other settings.
    pub fn start_with(adjust: impl Fn(&mut Config) + Send + Sync + 'static) -> Option<Self> {
        let authority = Authority::new();
        authority.sign("server", "localhost");
        authority.sign("client", "alice");
        let tls = authority.tls(ClientCertificate::None);
        let socket = authority.path("mqtt.socket");
        let broker = Broker::start_with(move |config| {
            let tls = || tls.clone();
            config.listeners.push(Listener { tls: tls(), ..listener("mqtts", Transport::Tls) });
            config.listeners.push(Listener { tls: tls(), ..listener("wss", Transport::Wss) });
            config.listeners.push(Listener { tls: tls(), ..listener("quic", Transport::Quic) });
            config.listeners.push(Listener { bind: Bind::Path(socket.clone()), ..listener("unix", Transport::Unix) });
            adjust(config);
        })?;
        Some(Self { broker, authority })
    }

    pub fn address(&self, way: Way) -> SocketAddr {
        self.broker.at(match way {
            Way::Tcp => "mqtt",
            Way::Tls => "mqtts",
            Way::Ws => "ws",
            Way::Wss => "wss",
            Way::Quic => "quic",
            Way::Unix => panic!("a Unix socket has no address"),
        })
    }

    /// A connection on which MQTT can begin.
    pub fn dial(&self, way: Way) -> Box<dyn Wire> {
        let request = upgrade("/mqtt", "mqtt", "");
        match way {
            Way::Tls => Box::new(self.authority.dial(self.address(way), None)),
            Way::Wss => {
                Box::new(Web::open(self.authority.dial(self.address(way), None), &request).expect("a WebSocket"))
            }
            Way::Ws => Box::new(Web::open(self.dial_raw(way), &request).expect("a WebSocket")),
            Way::Tcp | Way::Unix | Way::Quic => self.dial_raw(way),
        }
    }

    /// A socket on which nothing was said.
    pub fn dial_raw(&self, way: Way) -> Box<dyn Wire> {
        if way == Way::Unix {
            return Box::new(UnixStream::connect(self.authority.path("mqtt.socket")).expect("a broker that listens"));
        }
        if way == Way::Quic {
            return Box::new(self.authority.dial_quic(self.address(way), None).expect("a broker that listens"));
        }
        let stream = TcpStream::connect(self.address(way)).expect("a broker that listens");
        stream.set_nodelay(true).unwrap();
        Box::new(stream)
    }

    /// A figure of `/metrics`.
    pub fn figure(&self, name: &str) -> u64 {
        figure(&self.broker, name)
    }
}

/// A figure of `/metrics`, in whole units.
pub fn figure(broker: &Broker, name: &str) -> u64 {
    figure_of(&broker.admin(), name)
}

/// The same from an admin API.
pub fn figure_of(admin: &Admin, name: &str) -> u64 {
    let text = admin.get("/metrics").expect(200);
    let line = text.text().lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    let line = line.unwrap_or_else(|| panic!("no figure {name}"));
    line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).expect("a number") as u64
}

/// Waits until something holds, as long as a row waits for anything.
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !holds() {
        assert!(begin.elapsed().as_secs() < 30, "waited in vain: {what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// The resident memory of a process, in bytes.
pub fn resident(process: u32) -> u64 {
    let text = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status")).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("a process with memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
}
