//! Store, modules, hall, listeners, admin API: in this order up, in the other down.

use super::attempt::Attempt;
use super::error::StartError;
use super::messenger::messenger;
use super::secrets::{self, Secrets};
use super::{BUNDLED, bindings, reload};
use crate::admin::{self, Api, Reload, Reloaded, Token, Tokens};
use crate::amqp::Filters;
use crate::bridge::Bridges;
use crate::broker::{Broker, Compile, Drain, Restored};
use crate::config::{Bind, ClientCertificate, Config, Listener, ProtocolName, Sources, Transport};
use crate::dialogue::Elsewhere;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::net::{self, Clock, NetConfig, SysClock, Workers};
use crate::store::Store;
use crate::wasm::{Kept, MachineCode, Modules};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A broker that runs. [`Running::stop`] takes it down; dropping it does the same without telling how it went.
pub struct Running {
    workers: Option<Workers>,
    bridges: Option<Bridges>,
    sys: Option<SysClock>,
    admin: Option<admin::Server>,
    api: Api,
    broker: Arc<Broker>,
    store: Store,
    tokens: Tokens,
    reload: Reload,
    url_file: PathBuf,
}

/// Starts a broker whose configuration is not read again.
///
/// # Errors
/// Whatever keeps it from starting; nothing is left running.
pub fn start(config: Config) -> Result<Running, StartError> {
    build(config, None, &Attempt::default())
}

/// Starts a broker that can read its configuration again.
///
/// # Errors
/// As [`start`].
pub fn start_from(config: Config, sources: Sources) -> Result<Running, StartError> {
    start_watched(config, sources, &Attempt::default())
}

/// The same; somebody may end the start before it is over.
///
/// # Errors
/// As [`start`].
pub fn start_watched(config: Config, sources: Sources, attempt: &Attempt) -> Result<Running, StartError> {
    build(config, Some(sources), attempt)
}

fn build(config: Config, sources: Option<Sources>, attempt: &Attempt) -> Result<Running, StartError> {
    let clock = Clock::start();
    let now = move || clock.now();
    let metrics = Arc::new(Metrics::default());
    let (store, loaded) =
        Store::open(&config.data_dir, &config.store, config.durability.into(), metrics.clone(), clock.now())?;
    attempt.has_store(&store)?;
    let auth = config.auth.settings(&config.listeners);
    let identity = Identity::open(auth, config.auth.limits.clone(), metrics.clone())?;
    let tokens = secrets::tokens(&config.data_dir, &config.admin, Token::open)?;
    let kept = Kept {
        modules: loaded.modules,
        versions: loaded.module_versions,
        state: loaded.state,
        machine_code: machine_code(&config),
        signers: secrets::signers(&config.signing).map_err(StartError::Signers)?,
    };
    let modules =
        Modules::open(config.wasm, store.clone(), kept, BUNDLED, bindings(&config)?, metrics.clone(), Arc::new(now))?;
    if let Some(program) = &config.program {
        modules.set_compiler(program.clone());
    }
    modules.set_grants(super::modules::grants(&config));
    let ca_file = config.http_ca_file.clone();
    let trust = move || crate::bridge::verifier((!ca_file.as_os_str().is_empty()).then_some(&*ca_file));
    modules.set_messenger(messenger(Box::new(trust)));
    let limits = Arc::new(config.amqp.clone());
    let compile: Compile = Arc::new(move |words| Filters::kept(words, &limits));
    let restored = Restored {
        mailboxes: loaded.mailboxes,
        retained: loaded.retained,
        wills: loaded.wills,
        tags: loaded.tags,
        next_mailbox_id: loaded.next_mailbox_id,
        next_log_id: loaded.next_log_id,
        starts: loaded.starts,
        compile: Some(compile),
    };
    let broker =
        Broker::open(config.broker.clone(), store.clone(), restored, Arc::new(modules.clone()), metrics, clock.now());
    broker.lend_encoding(Arc::new(crate::amqp::Wording(Arc::new(config.amqp.clone()))));
    introduce(&broker, &store, &modules, clock);
    if !config.redirect.server.is_empty() {
        let to = Elsewhere { server: config.redirect.server.as_str().into(), permanent: config.redirect.permanent };
        broker.set_drain(Some(Drain { to, clients_per_second: 0 }));
    }
    attempt.open_doors()?;
    // Taken before the listeners serve: a client that is let in has a broker that can be watched.
    let address = config.admin.bind.address();
    let admin_listener = admin::bind(address).map_err(|error| StartError::admin(address, &error))?;
    // Before the first publisher, so that nothing passes the bridges by.
    let tells = config.sys.interval_seconds > 0;
    let bridges = Bridges::start(&broker, Arc::new(now), &config.bridges, &config.data_dir, tells)?;
    let workers = Workers::start(broker.clone(), clock, net_config(&config, identity.clone()))?;
    let interval = Duration::from_secs(config.sys.interval_seconds.into());
    let sys = (!interval.is_zero()).then(|| SysClock::start(broker.clone(), clock, interval));
    let reload = match sources {
        Some(sources) => {
            let secrets = Secrets { modules: modules.clone(), tokens: tokens.clone() };
            reload::from_sources(sources, config.clone(), secrets, identity, workers.certificates())
        }
        None => Arc::new(|| Ok(Reloaded::default())) as Reload,
    };
    let api = Api::new(broker.clone(), Arc::new(now), config.admin.limits.clone(), reload.clone());
    api.set_bridges(bridges.figures());
    let open = config.listeners.iter().filter(|listener| listener.enabled);
    api.set_listeners(open.map(|listener| listener.name.clone()).collect());
    let admin = admin::Server::start(admin_listener, api.clone(), tokens.clone())
        .map_err(|error| StartError::admin(address, &error))?;
    let url_file = config.data_dir.join("admin.url");
    let running = Running {
        workers: Some(workers),
        bridges: Some(bridges),
        sys,
        admin: Some(admin),
        api,
        broker,
        store,
        tokens,
        reload,
        url_file,
    };
    running.announce(&config);
    Ok(running)
}

/// What modules were compiled to before.
fn machine_code(config: &Config) -> Option<MachineCode> {
    let bytes_max = config.wasm.machine_code_bytes_max;
    match config.machine_code_dir.as_os_str().is_empty() {
        true => MachineCode::open(&config.data_dir.join("compiled"), bytes_max),
        false => MachineCode::open(&config.machine_code_dir, bytes_max),
    }
}

/// Tells the rooms of each other what they may not know by themselves. None of them keeps the hall alive.
fn introduce(broker: &Arc<Broker>, store: &Store, modules: &Modules, clock: Clock) {
    let hall = Arc::downgrade(broker);
    store.on_commit(Box::new(move |sequence| {
        if let Some(broker) = hall.upgrade() {
            broker.committed(sequence);
        }
    }));
    let hall = Arc::downgrade(broker);
    modules.set_retained(Arc::new(move |topic| hall.upgrade()?.retained_message(topic, clock.now())));
}

fn net_config(config: &Config, identity: Identity) -> NetConfig {
    // The disk's thread, slow modules, whoever compiles, and the kernel's side of the network want one too.
    let all_but_one = || std::thread::available_parallelism().map_or(1, |processors| processors.get().max(2) - 1);
    NetConfig {
        workers: if config.workers == 0 { all_but_one() } else { config.workers },
        listeners: config
            .listeners
            .iter()
            .filter(|listener| listener.enabled)
            .map(|listener| listener_config(listener, &config.net))
            .collect(),
        identity,
        limits: config.net.clone(),
        mqtt: Arc::new(config.mqtt.clone()),
        amqp: Arc::new(config.amqp.clone()),
    }
}

fn listener_config(listener: &Listener, limits: &net::Limits) -> net::ListenerConfig {
    let transport = listener.transport;
    let speaks = match listener.protocol {
        ProtocolName::Mqtt => net::Speaks::Mqtt,
        ProtocolName::Amqp => net::Speaks::Amqp,
        ProtocolName::Any => net::Speaks::Any,
    };
    net::ListenerConfig {
        name: listener.name.clone(),
        bind: match &listener.bind {
            Bind::Path(path) => net::Address::Unix(path.clone()),
            bind if transport == Transport::Quic => net::Address::Quic(bind.address()),
            bind => net::Address::Tcp(bind.address()),
        },
        speaks,
        tls: tls_files(listener),
        starts_with_tls: transport.is_tls(),
        web: transport.is_web().then(|| net::WebSocketRules {
            path: listener.path.clone(),
            origins: listener.origins.0.clone(),
            message_bytes_max: limits.websocket_message_bytes_max,
            mqtt: speaks != net::Speaks::Amqp,
            amqp: speaks != net::Speaks::Mqtt,
        }),
        proxies: listener.proxy_protocol.0.clone(),
        optional: listener.implied,
    }
}

/// The files behind a listener's TLS; none: it has no TLS.
pub(super) fn tls_files(listener: &Listener) -> Option<net::TlsFiles> {
    let tls = &listener.tls;
    (!tls.certificate.as_os_str().is_empty()).then(|| net::TlsFiles {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
        client: (tls.client_certificate != ClientCertificate::None).then(|| net::ClientFiles {
            authorities: tls.client_ca.clone(),
            revoked: (!tls.client_crl.as_os_str().is_empty()).then(|| tls.client_crl.clone()),
            required: tls.client_certificate == ClientCertificate::Required,
        }),
        protocols: match listener.protocol {
            _ if listener.transport.is_web() => vec!["http/1.1"],
            ProtocolName::Mqtt => vec!["mqtt"],
            ProtocolName::Amqp => vec!["amqp"],
            ProtocolName::Any => vec!["mqtt", "amqp"],
        },
        quic: listener.transport == Transport::Quic,
    })
}

impl Running {
    /// Where a listener is, by its name.
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.workers.as_ref()?.address(listener)
    }

    /// Where the admin API is; none once it has stopped.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(admin::Server::address)
    }

    /// What a caller of the admin API has to send.
    pub fn admin_token(&self) -> String {
        self.tokens.secret()
    }

    /// The hall.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// Reads the configuration again.
    ///
    /// # Errors
    /// What is wrong with it; nothing changed.
    pub fn reload(&self) -> Result<Reloaded, String> {
        (self.reload)()
    }

    /// Takes the broker down: no more clients, a word to those that are there, everything to disk. False: the disk did
    /// not take everything.
    pub fn stop(mut self) -> bool {
        self.take_down()
    }

    fn take_down(&mut self) -> bool {
        let Some(workers) = self.workers.take() else { return true };
        self.api.set_ready(false);
        self.sys = None;
        // They say goodbye themselves; what comes after that waits for the next start.
        self.bridges = None;
        workers.stop();
        self.admin = None;
        // Only says where a running broker is; a file that stays behind is written anew at the next start.
        let _ = std::fs::remove_file(&self.url_file);
        let all_on_disk = self.store.close();
        match all_on_disk {
            true => tracing::info!("stopped; everything is on disk"),
            false => tracing::error!("stopped; the disk did not take everything"),
        }
        all_on_disk
    }

    /// Says in the log what runs, and where the command line finds the admin API.
    fn announce(&self, config: &Config) {
        for listener in config.listeners.iter().filter(|listener| listener.enabled) {
            let (protocol, transport) = (listener.protocol, listener.transport);
            let address = match &listener.bind {
                Bind::Path(_) => Some(listener.bind.clone()),
                Bind::Address(_) | Bind::Unset => self.address(&listener.name).map(Bind::Address),
            };
            let Some(address) = address else { continue };
            tracing::info!(listener = listener.name, %address, %protocol, %transport, "listening");
        }
        if let Some(address) = self.admin_address() {
            if let Err(error) = std::fs::write(&self.url_file, format!("http://{address}\n")) {
                tracing::warn!(%error, "cannot write where the admin API is; the command line will need --admin");
            }
            tracing::info!(%address, "admin API");
        }
        let modules = self.broker.modules().list();
        let modules: Vec<_> = modules.iter().filter(|m| m.version.is_some()).map(|m| &*m.name).collect();
        tracing::info!(
            data_dir = %config.data_dir.display(),
            durability = %config.durability,
            modules = modules.join(","),
            "pliant {} runs",
            env!("CARGO_PKG_VERSION")
        );
        if config.durability == crate::config::DurabilityName::Relaxed {
            tracing::warn!("durability is relaxed: a crash loses what was acknowledged since the last sync");
        }
        self.api.set_ready(true);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.take_down();
    }
}
