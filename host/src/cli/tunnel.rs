//! TLS, WebSocket and QUIC for `pliant pub` and `pliant sub`: the client library speaks to a socket of this process's own, in a
//! folder that only its user can enter, and what it says is carried on from there.

use super::Failure;
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::fmt::Display;
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tungstenite::client::{IntoClientRequest, client_with_config};
use tungstenite::handshake::HandshakeError;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

/// Bytes that are carried at once.
const CHUNK: usize = 65_536;
/// Greatest WebSocket message that is taken, in bytes: MQTT's greatest packet and a batch of others.
const MESSAGE_BYTES_MAX: usize = 320 << 20;

/// Where the bytes go.
#[derive(Debug, Clone)]
pub(super) struct Route {
    /// Name or address of the broker.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What is trusted; none: no TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// Over QUIC, which has TLS of its own.
    pub is_quic: bool,
    /// Path of the WebSocket; none: there is none.
    pub web: Option<String>,
}

/// A socket of this process's own with a way from there to the broker. It is gone when this is dropped.
pub(super) struct Tunnel {
    route: Route,
    folder: PathBuf,
    /// Why the way broke last; the library only sees that it did.
    failure: Arc<Mutex<Option<String>>>,
    open: Mutex<Option<Open>>,
}

/// What runs in the background.
struct Open {
    accepting: JoinHandle<()>,
    /// Closed when nothing is carried any more.
    over: mpsc::Receiver<()>,
}

/// How long the last bytes may take on their way.
const PATIENCE: Duration = Duration::from_secs(5);

impl Tunnel {
    /// Prepares one.
    pub fn new(route: Route) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("pliant-{:032x}", rand::random::<u128>()));
        std::fs::DirBuilder::new().mode(0o700).create(&folder).map_err(Failure::failed)?;
        Ok(Self { route, folder, failure: Arc::default(), open: Mutex::default() })
    }

    /// Where the library is to connect.
    pub fn path(&self) -> PathBuf {
        self.folder.join("mqtt")
    }

    /// Opens the socket and carries what comes, in the background.
    pub fn open(&self) -> Result<(), Failure> {
        let listener = UnixListener::bind(self.path()).map_err(Failure::failed)?;
        let (route, failure) = (self.route.clone(), self.failure.clone());
        let (carries, over) = mpsc::channel(1);
        let accepting = tokio::spawn(async move {
            while let Ok((inner, _)) = listener.accept().await {
                let (route, failure, carries) = (route.clone(), failure.clone(), carries.clone());
                tokio::spawn(async move {
                    if let Err(reason) = carry(&route, inner, &failure).await {
                        *failure.lock() = Some(reason);
                    }
                    drop(carries);
                });
            }
        });
        *self.open.lock() = Some(Open { accepting, over });
        Ok(())
    }

    /// Waits until the last bytes are on their way. The library's socket must be closed.
    pub async fn finish(&self) {
        let Some(Open { accepting, mut over }) = self.open.lock().take() else { return };
        accepting.abort();
        // Whoever is slow here is not waited for.
        let _ = tokio::time::timeout(PATIENCE, over.recv()).await;
    }

    /// Why the connection broke: what was seen here, or else what the library says.
    pub fn explain(&self, error: &dyn Display) -> String {
        self.failure.lock().take().unwrap_or_else(|| error.to_string())
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        // What stays behind is an empty folder of this user's.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Whatever bytes travel on.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

async fn carry(route: &Route, mut inner: UnixStream, failure: &Mutex<Option<String>>) -> Result<(), String> {
    if let (true, Some(config)) = (route.is_quic, &route.tls) {
        return super::quic::carry(&route.host, route.port, config, inner, failure).await;
    }
    let tcp = TcpStream::connect((route.host.as_str(), route.port)).await.map_err(|error| error.to_string())?;
    tcp.set_nodelay(true).map_err(|error| error.to_string())?;
    let mut outer: Box<dyn Stream> = match &route.tls {
        None => Box::new(tcp),
        Some(config) => {
            let name = ServerName::try_from(route.host.clone()).map_err(|error| error.to_string())?;
            let stream = TlsConnector::from(config.clone()).connect(name, tcp).await;
            Box::new(stream.map_err(|error| crate::bridge::unsecured(&error))?)
        }
    };
    *failure.lock() = None;
    match &route.web {
        Some(path) => {
            let scheme = if route.tls.is_some() { "wss" } else { "ws" };
            let host = if route.host.contains(':') { format!("[{}]", route.host) } else { route.host.clone() };
            let url = format!("{scheme}://{host}:{}{path}", route.port);
            let web = open_web(&url, &mut outer).await?;
            carry_frames(web, inner, outer).await
        }
        None => match tokio::io::copy_bidirectional(&mut inner, &mut outer).await {
            // A refused client certificate is only heard of here.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(format!("TLS: {error}")),
            _ => Ok(()),
        },
    }
}

/// What the WebSocket library reads from and writes to, in memory.
#[derive(Default)]
struct Pipe {
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.incoming.len().min(into.len());
        into[..count].copy_from_slice(&self.incoming[..count]);
        self.incoming.drain(..count);
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn open_web(url: &str, outer: &mut Box<dyn Stream>) -> Result<WebSocket<Pipe>, String> {
    let failed = |error: &dyn Display| format!("WebSocket: {error}");
    let mut request = url.into_client_request().map_err(|error| failed(&error))?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
    let config =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX)).max_frame_size(Some(MESSAGE_BYTES_MAX));
    let mut state = client_with_config(request, Pipe::default(), Some(config));
    loop {
        let mut open = match state {
            Ok((web, _)) => return Ok(web),
            Err(HandshakeError::Failure(error)) => return Err(failed(&error)),
            Err(HandshakeError::Interrupted(open)) => open,
        };
        let pipe = open.get_mut().get_mut();
        send(outer, &mut pipe.outgoing).await.map_err(|error| failed(&error))?;
        let mut chunk = [0; 4096];
        match outer.read(&mut chunk).await {
            Ok(0) => return Err(failed(&"the broker closed the connection")),
            Ok(count) => pipe.incoming.extend_from_slice(&chunk[..count]),
            Err(error) => return Err(failed(&error)),
        }
        state = open.handshake();
    }
}

async fn send(outer: &mut Box<dyn Stream>, bytes: &mut Vec<u8>) -> io::Result<()> {
    outer.write_all(&std::mem::take(bytes)).await?;
    outer.flush().await
}

async fn carry_frames(
    mut web: WebSocket<Pipe>,
    mut inner: UnixStream,
    mut outer: Box<dyn Stream>,
) -> Result<(), String> {
    let failed = |error: &dyn Display| format!("WebSocket: {error}");
    let (mut from_inner, mut from_outer) = (vec![0; CHUNK], vec![0; CHUNK]);
    loop {
        tokio::select! {
            read = inner.read(&mut from_inner) => match read {
                Ok(0) | Err(_) => {
                    // The library is done; the broker hears so, if it is there.
                    let _ = web.close(None);
                    let _ = send(&mut outer, &mut web.get_mut().outgoing).await;
                    return Ok(());
                }
                Ok(count) => {
                    let message = Message::binary(from_inner[..count].to_vec());
                    web.send(message).map_err(|error| failed(&error))?;
                }
            },
            read = outer.read(&mut from_outer) => {
                let count = read.map_err(|error| failed(&error))?;
                if count == 0 {
                    return Ok(());
                }
                web.get_mut().incoming.extend_from_slice(&from_outer[..count]);
                loop {
                    match web.read() {
                        Ok(Message::Binary(bytes)) => {
                            if inner.write_all(&bytes).await.is_err() {
                                return Ok(());
                            }
                        }
                        Ok(_) => {}
                        Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                        Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
                        Err(error) => return Err(failed(&error)),
                    }
                }
            }
        }
        send(&mut outer, &mut web.get_mut().outgoing).await.map_err(|error| failed(&error))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_leaves_nothing_behind() {
        let route = Route { host: "localhost".into(), port: 1, tls: None, is_quic: false, web: None };
        let tunnel = Tunnel::new(route).unwrap();
        let folder = tunnel.folder.clone();
        assert!(folder.is_dir());
        drop(tunnel);
        assert!(!folder.exists());
    }
}
