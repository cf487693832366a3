//! A web server for modules to ask: answers by what is asked, well and badly.

use crate::harness::data_dir;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use tempfile::TempDir;

/// The server. Its threads end with the process.
pub struct Server {
    pub at: SocketAddr,
    shared: Arc<Shared>,
    root: Option<(TempDir, PathBuf)>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    requests: u32,
    redirect: String,
    /// Requests that get no answer.
    held: Vec<TcpStream>,
}

trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

impl Server {
    /// Without TLS.
    pub fn start() -> Self {
        Self::serve(None)
    }

    /// With a certificate of its own making, for `localhost`.
    pub fn start_tls() -> Self {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(["localhost".to_owned()]).and_then(|params| params.self_signed(&key));
        let certificate = certificate.expect("a certificate");
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.expect("versions").with_no_client_auth().with_single_cert(chain, key);
        let folder = data_dir();
        let file = folder.path().join("root.pem");
        std::fs::write(&file, certificate.pem()).expect("a file that can be written");
        let mut server = Self::serve(Some(Arc::new(config.expect("a configuration"))));
        server.root = Some((folder, file));
        server
    }

    fn serve(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("an address");
        let shared = Arc::<Shared>::default();
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (shared, tls) = (serving.clone(), tls.clone());
                std::thread::spawn(move || {
                    let raw = stream.try_clone().expect("a second handle");
                    let wire: Box<dyn Wire> = match tls {
                        None => Box::new(stream),
                        Some(config) => {
                            let connection = ServerConnection::new(config).expect("a connection");
                            Box::new(StreamOwned::new(connection, stream))
                        }
                    };
                    // A client that does not trust it goes.
                    let _ = shared.talk(wire, &raw);
                });
            }
        });
        Self { at, shared, root: None }
    }

    /// Where modules find it, without TLS.
    pub fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    /// The certificate to trust, in PEM form.
    pub fn root_file(&self) -> PathBuf {
        self.root.as_ref().expect("a server with TLS").1.clone()
    }

    /// Requests that came whole.
    pub fn requests(&self) -> u32 {
        self.shared.state.lock().unwrap().requests
    }

    /// Where `elsewhere` is.
    pub fn redirect_to(&self, url: &str) {
        self.shared.state.lock().unwrap().redirect = url.to_owned();
    }

    /// Waits for a request that gets no answer.
    pub fn wait_for_held(&self) {
        let state = self.shared.state.lock().unwrap();
        drop(self.shared.changed.wait_while(state, |state| state.held.is_empty()).unwrap());
    }

    /// Closes their connections.
    pub fn let_go(&self) {
        for stream in self.shared.state.lock().unwrap().held.drain(..) {
            drop(stream.shutdown(std::net::Shutdown::Both));
        }
    }
}

impl Shared {
    /// Answers one request after the other.
    fn talk(&self, wire: Box<dyn Wire>, raw: &TcpStream) -> std::io::Result<()> {
        let mut wire = BufReader::new(wire);
        loop {
            let (mut line, mut length, mut first) = (String::new(), 0, String::new());
            loop {
                line.clear();
                if wire.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                if first.is_empty() {
                    first.clone_from(&line);
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
                if line == "\r\n" {
                    break;
                }
            }
            let mut body = vec![0; length];
            wire.read_exact(&mut body)?;
            let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let mut state = self.state.lock().unwrap();
            state.requests += 1;
            let user = path.split("user=").nth(1).unwrap_or_default();
            let body = String::from_utf8_lossy(&body).into_owned();
            let answer = match (path.as_str(), user) {
                (_, "slow" | "trap" | "loop") => {
                    state.held.push(raw.try_clone()?);
                    self.changed.notify_all();
                    continue;
                }
                (_, "ann") => whole("200 OK", &format!("Ann of {body}")),
                (_, "large") => whole("200 OK", &"x".repeat(1_001)),
                (_, "nonsense") => "nonsense\r\n\r\n".to_owned(),
                (_, "closes") => return Ok(()),
                (_, "elsewhere") => {
                    format!("HTTP/1.1 302 Found\r\nLocation: {}/\r\nContent-Length: 0\r\n\r\n", state.redirect)
                }
                (_, "endless" | "headers") => {
                    drop(state);
                    return flood(&mut wire, user);
                }
                ("/tick", _) => whole("200 OK", "tick of the server"),
                ("/before", _) => whole("204 No Content", ""),
                _ => whole("403 Forbidden", "no"),
            };
            drop(state);
            wire.get_mut().write_all(answer.as_bytes())?;
            wire.get_mut().flush()?;
        }
    }
}

fn whole(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Until the other side has enough.
fn flood(wire: &mut BufReader<Box<dyn Wire>>, what: &str) -> std::io::Result<()> {
    let wire = wire.get_mut();
    wire.write_all(b"HTTP/1.1 200 OK\r\n")?;
    if what == "headers" {
        loop {
            wire.write_all(b"x-more: and more and more and more\r\n")?;
        }
    }
    wire.write_all(b"Transfer-Encoding: chunked\r\n\r\n")?;
    loop {
        wire.write_all(b"10\r\n0123456789abcdef\r\n")?;
    }
}
