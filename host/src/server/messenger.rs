//! Carries requests of modules to servers outside: HTTP/1.1, over TLS where the URL says `https`. Redirects are not followed,
//! as they lead where nobody granted anything; proxies of the environment are not used.

use crate::wasm::{Errand, ErrandFailure as Failure, Messenger, Reply};
use rustls::client::danger::ServerCertVerifier;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use ureq::Agent;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, TcpConnector, Transport, TransportAdapter,
};

/// Finds whom to trust, when that is first needed.
pub(super) type Trust = Box<dyn Fn() -> Result<Arc<dyn ServerCertVerifier>, String> + Send + Sync>;

/// Connections that wait for another request, of all servers and of one, and for how long.
const IDLE_MAX: usize = 16;
const IDLE_PER_HOST_MAX: usize = 4;
const IDLE: Duration = Duration::from_secs(15);
/// Bytes of an answer's header.
const HEADER_BYTES_MAX: usize = 32 << 10;

/// What a room is given to reach servers outside.
pub(super) fn messenger(trust: Trust) -> Messenger {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .save_redirect_history(false)
        .user_agent(concat!("pliant/", env!("CARGO_PKG_VERSION")))
        .max_response_header_size(HEADER_BYTES_MAX)
        .max_idle_connections(IDLE_MAX)
        .max_idle_connections_per_host(IDLE_PER_HOST_MAX)
        .max_idle_age(IDLE)
        .build();
    let tls = Tls { trust, config: OnceLock::new() };
    let connector = ().chain(TcpConnector::default()).chain(tls);
    let agent = Agent::with_parts(config, connector, DefaultResolver::default());
    Arc::new(move |errand| carry(&agent, errand))
}

fn carry(agent: &Agent, errand: Errand) -> Result<Reply, Failure> {
    let mut request = ureq::http::Request::builder().method(&*errand.method).uri(&errand.url);
    for (name, value) in &errand.fields {
        request = request.header(&**name, &**value);
    }
    let bare = matches!(&*errand.method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "DELETE") && errand.body.is_empty();
    let patience = Some(errand.patience);
    let bad = |_| Failure::BadRequest;
    let response = if bare {
        agent.run(agent.configure_request(request.body(()).map_err(bad)?).timeout_global(patience).build())
    } else {
        agent.run(agent.configure_request(request.body(errand.body).map_err(bad)?).timeout_global(patience).build())
    };
    let limit = errand.reply_bytes_max;
    let mut response = response.map_err(|error| failure(&error, limit))?;
    let fields = response.headers().iter();
    let fields = fields.map(|(name, value)| (name.as_str().into(), value.as_bytes().into())).collect();
    let status = response.status().as_u16();
    // One more than allowed, so that what is too much is told from what just fits.
    let body = response.body_mut().with_config().limit(limit as u64 + 1).read_to_vec();
    let body = body.map_err(|error| failure(&error, limit))?;
    if body.len() > limit {
        return Err(Failure::ReplyTooLarge(limit));
    }
    Ok(Reply { status, fields, body })
}

fn failure(error: &ureq::Error, limit: usize) -> Failure {
    match error {
        ureq::Error::Timeout(_) => Failure::TimedOut,
        ureq::Error::HostNotFound => Failure::NoHost,
        ureq::Error::BodyExceedsLimit(_) => Failure::ReplyTooLarge(limit),
        ureq::Error::Tls(_) => Failure::Tls,
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => Failure::BadRequest,
        ureq::Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => Failure::Refused,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Failure::TimedOut,
            // What TLS has to object comes as such data.
            ErrorKind::InvalidData => Failure::Tls,
            _ => Failure::Other(error.to_string()),
        },
        other => Failure::Other(other.to_string()),
    }
}

/// Puts TLS on a connection where the URL asks for it.
struct Tls {
    trust: Trust,
    config: OnceLock<Arc<ClientConfig>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    fn config(&self) -> Result<Arc<ClientConfig>, ureq::Error> {
        if let Some(config) = self.config.get() {
            return Ok(config.clone());
        }
        let trust = (self.trust)().map_err(|why| {
            tracing::error!(why, "modules cannot use https");
            ureq::Error::Tls("no certificates to trust")
        })?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|_| ureq::Error::Tls("no version of TLS to speak"))?;
        let config = Arc::new(builder.dangerous().with_custom_certificate_verifier(trust).with_no_client_auth());
        Ok(self.config.get_or_init(|| config).clone())
    }
}

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, TlsTransport>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let name = host.to_owned().try_into().map_err(|_| ureq::Error::Tls("not a name for TLS"))?;
        let refused = |_| ureq::Error::Tls("TLS does not begin");
        let mut connection = ClientConnection::new(self.config()?, name).map_err(refused)?;
        let mut adapter: TransportAdapter = TransportAdapter::new(Box::new(transport), details.current_time.clone());
        adapter.set_timeout(details.timeout);
        connection.complete_io(&mut adapter)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream: StreamOwned::new(connection, adapter) })))
    }
}

/// A connection with TLS on it.
struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        self.stream.write_all(&self.buffers.output()[..amount])?;
        Ok(self.stream.flush()?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
