//! QUIC for `pliant pub` and `pliant sub`: one connection with one stream, on which MQTT is spoken.

use parking_lot::Mutex;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Endpoint, VarInt};
use rustls::ClientConfig;
use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;

/// How long the last bytes may take on their way.
const PATIENCE: Duration = Duration::from_secs(2);

/// Carries what comes from `inner` to the broker and back, until either side has enough.
///
/// # Errors
/// Why there is no connection.
pub(super) async fn carry(
    host: &str,
    port: u16,
    tls: &Arc<ClientConfig>,
    mut inner: UnixStream,
    failure: &Mutex<Option<String>>,
) -> Result<(), String> {
    let failed = |error: &dyn Display| format!("QUIC: {error}");
    let found = tokio::net::lookup_host((host, port)).await.map_err(|error| error.to_string())?.next();
    let address = found.ok_or_else(|| format!("{host} has no address"))?;
    let mut tls = (**tls).clone();
    tls.alpn_protocols = vec![b"mqtt".to_vec()];
    let config = QuicClientConfig::try_from(tls).map_err(|error| failed(&error))?;
    let own: SocketAddr =
        if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let endpoint = Endpoint::client(own).map_err(|error| failed(&error))?;
    let connecting = endpoint.connect_with(quinn::ClientConfig::new(Arc::new(config)), address, host);
    let connection = connecting.map_err(|error| failed(&error))?.await.map_err(|error| failed(&error))?;
    let opened = connection.open_bi().await;
    let (send, receive) = opened.map_err(|error| alert(&connection).unwrap_or_else(|| failed(&error)))?;
    *failure.lock() = None;
    let mut outer = tokio::io::join(receive, send);
    let carried = tokio::io::copy_bidirectional(&mut inner, &mut outer).await;
    let (_, send) = outer.into_inner();
    // Whoever is slow here is not waited for.
    let _ = tokio::time::timeout(PATIENCE, send.stopped()).await;
    // A refused client certificate is only heard of here.
    let refused = matches!(connection.close_reason(), Some(quinn::ConnectionError::ConnectionClosed(_)));
    let alert = alert(&connection);
    connection.close(VarInt::from_u32(0), b"");
    let _ = tokio::time::timeout(PATIENCE, endpoint.wait_idle()).await;
    match carried {
        Err(error) if refused => Err(alert.unwrap_or_else(|| failed(&error))),
        _ => Ok(()),
    }
}

/// What TLS said at the end of a connection: its alerts are errors of QUIC from 0x100 on (RFC 9001, 4.8).
fn alert(connection: &quinn::Connection) -> Option<String> {
    let quinn::ConnectionError::ConnectionClosed(close) = connection.close_reason()? else { return None };
    let alert = u64::from(close.error_code).checked_sub(0x100).and_then(|alert| u8::try_from(alert).ok())?;
    Some(format!("QUIC: received fatal alert: {:?}", rustls::AlertDescription::from(alert)))
}
