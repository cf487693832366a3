//! A connection to another broker, plain or over TLS, and the password for it.

use super::settings::Settings;
use super::target::Target;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::fmt::Debug;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What a client of another broker reads from and writes to.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Debug> Stream for T {}

/// Connects; over TLS if it is said whom to trust. The caller bounds the time that it may take.
///
/// # Errors
/// Why it could not, for people.
pub async fn dial(target: &Target, tls: Option<Arc<ClientConfig>>) -> Result<Box<dyn Stream>, String> {
    let plain = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(|error| error.to_string())?;
    plain.set_nodelay(true).map_err(|error| error.to_string())?;
    let Some(tls) = tls else { return Ok(Box::new(plain)) };
    let name = ServerName::try_from(target.host.clone()).map_err(|error| format!("{}: {error}", target.host))?;
    let secured = TlsConnector::from(tls).connect(name, plain).await;
    Ok(Box::new(secured.map_err(|error| unsecured(&error))?))
}

/// Why there is no TLS, for people.
pub fn unsecured(error: &std::io::Error) -> String {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return "it closed the connection instead of agreeing on TLS: perhaps it does not speak TLS there".to_owned();
    }
    let reason = error.get_ref().and_then(|reason| reason.downcast_ref::<rustls::Error>());
    match reason {
        Some(rustls::Error::InvalidMessage(_)) => format!("it does not speak TLS there ({error})"),
        _ => format!("TLS: {error}"),
    }
}

/// User and password; none: the bridge does not say who it is. Read anew for each connection, so that a new password
/// needs no restart.
pub fn login(settings: &Settings) -> Result<Option<(String, String)>, String> {
    if settings.user.is_empty() {
        return Ok(None);
    }
    let password = if !settings.password_env.is_empty() {
        let name = &settings.password_env;
        std::env::var(name).map_err(|_| format!("the environment has no variable {name}, or it is no text"))?
    } else if !settings.password_file.as_os_str().is_empty() {
        let path = &settings.password_file;
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        text.lines().next().unwrap_or_default().to_owned()
    } else {
        String::new()
    };
    Ok(Some((settings.user.clone(), password)))
}
