//! A client's end of QUIC: one stream, read and written like a socket.

use super::wire::Wire;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ApplicationClose, ClientConfig, Connecting, Connection, ConnectionError, Endpoint};
use quinn::{ReadError, RecvStream, SendStream, VarInt, WriteError};
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::{Builder, Handle};

/// How long a handshake may take. Only a failing row waits that long.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where all these connections live: acknowledgements go out while a row does something else.
pub fn runtime() -> &'static Handle {
    static RUNTIME: OnceLock<Handle> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        handle
    })
}

/// Waits for something to come, and no longer than a row waits for anything.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    runtime().block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("waited in vain") })
}

/// A socket that connections can be opened from.
pub fn endpoint() -> Endpoint {
    let _entered = runtime().enter();
    Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// What QUIC makes of a TLS configuration.
pub fn config(tls: rustls::ClientConfig) -> ClientConfig {
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
}

/// Begins a connection.
pub fn begin(endpoint: &Endpoint, config: ClientConfig, address: SocketAddr) -> Connecting {
    let _entered = runtime().enter();
    endpoint.connect_with(config, address, "localhost").unwrap()
}

/// A connection; or why there is none.
pub fn connect(config: ClientConfig, address: SocketAddr) -> Result<(Endpoint, Connection), ConnectionError> {
    let endpoint = endpoint();
    let connection = wait(begin(&endpoint, config, address))?;
    Ok((endpoint, connection))
}

/// A connection with its stream.
pub struct Quic {
    /// The socket.
    pub endpoint: Endpoint,
    /// The connection.
    pub connection: Connection,
    send: SendStream,
    receive: RecvStream,
    patience: Duration,
}

impl Quic {
    /// On this connection. The broker hears of the stream with the first byte.
    pub fn open((endpoint, connection): (Endpoint, Connection)) -> Self {
        let (send, receive) = wait(connection.open_bi()).expect("a broker that takes a stream");
        Self { endpoint, connection, send, receive, patience: PATIENCE }
    }

    /// The code with which the broker has closed or closes the connection.
    pub fn close_code(&self) -> u64 {
        match wait(self.connection.closed()) {
            ConnectionError::ApplicationClosed(ApplicationClose { error_code, .. }) => error_code.into_inner(),
            other => panic!("expected to be closed in order: {other}"),
        }
    }

    /// Says that nothing more comes.
    pub fn finish(&mut self) {
        self.send.finish().unwrap();
    }
}

/// A broker that closes in order is the end, anything else is a broken connection.
fn is_end(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::ApplicationClosed(close) if close.error_code == VarInt::from_u32(0))
}

impl Read for Quic {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let receive = &mut self.receive;
        let patience = self.patience;
        match runtime().block_on(async { tokio::time::timeout(patience, receive.read(into)).await }) {
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
            Ok(Ok(count)) => Ok(count.unwrap_or(0)),
            Ok(Err(ReadError::ConnectionLost(error))) if is_end(&error) => Ok(0),
            Ok(Err(error)) => Err(io::Error::new(io::ErrorKind::ConnectionReset, error)),
        }
    }
}

impl Write for Quic {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let send = &mut self.send;
        let patience = self.patience;
        match runtime().block_on(async { tokio::time::timeout(patience, send.write(bytes)).await }) {
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
            Ok(Ok(count)) => Ok(count),
            Ok(Err(error @ WriteError::ConnectionLost(_))) => Err(io::Error::new(io::ErrorKind::BrokenPipe, error)),
            Ok(Err(error)) => Err(io::Error::other(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for Quic {
    fn patience(&mut self, time: Duration) {
        self.patience = time;
    }

    fn cut(&mut self) {
        self.connection.close(VarInt::from_u32(0), b"");
    }
}
