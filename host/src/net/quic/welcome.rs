//! A connection's handshake and the opening of its stream, on the worker that it was given to.

use super::door::Coming;
use super::stream::QuicWriting;
use crate::identity::Certificate;
use crate::net::authorities::Checker;
use crate::net::connection::Counted;
use crate::net::context::Context;
use crate::net::listener::serve;
use crate::net::opening::Newcomer;
use crate::net::transport::{Halves, Reading, Writing};
use quinn::{Connection, ConnectionError, VarInt};
use rustls::pki_types::CertificateDer;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::{Instant, timeout_at};

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("it took too long")]
    TooLate,
    #[error("{0}")]
    Quic(#[from] ConnectionError),
    #[error("the listener has no certificate")]
    NoCertificate,
}

/// Serves it from its first packet on.
pub async fn welcome(context: Rc<Context>, coming: Box<Coming>, mut newcomer: Newcomer) {
    let counted = Counted::new(&context);
    match open(&context, coming, &mut newcomer).await {
        Ok(halves) => {
            // It counts itself.
            context.connections.fetch_add(1, Ordering::Relaxed);
            serve(&context, halves, newcomer);
        }
        Err(fault) => {
            let metrics = context.broker.metrics();
            match fault {
                Fault::TooLate => metrics.opening_timeouts_total.add(1),
                Fault::Quic(_) | Fault::NoCertificate => metrics.transport_faults_total.add(1),
            }
            tracing::debug!(%fault, peer = %newcomer.peer, "nothing came of a QUIC connection");
        }
    }
    drop(counted);
}

async fn open(context: &Rc<Context>, coming: Box<Coming>, newcomer: &mut Newcomer) -> Result<Halves, Fault> {
    let window = coming.window;
    let entrance = newcomer.entrance.clone();
    let offer = entrance.tls.as_ref().ok_or(Fault::NoCertificate)?;
    let deadline = |newcomer: &Newcomer| {
        let until = newcomer.deadline(&context.limits);
        Instant::from_std(context.clock.instant(until))
    };
    let checker = offer.checker();
    let (connecting, place) = coming.accept(offer)?;
    let connection = timeout_at(deadline(newcomer), connecting).await.map_err(|_| Fault::TooLate)??;
    drop(place);
    newcomer.comes_over_quic(checker.and_then(|checker| certificate(&connection, &checker)));
    let streams = timeout_at(deadline(newcomer), connection.accept_bi()).await;
    let (send, receive) = match streams {
        Ok(streams) => streams?,
        Err(_) => return Err(Fault::TooLate),
    };
    // Not even when that one is over.
    connection.set_max_concurrent_bi_streams(VarInt::from_u32(0));
    Ok((Reading::Quic(Box::new(receive)), Writing::Quic(Box::new(QuicWriting::new(connection, send, window)))))
}

/// What the client has shown, which was checked against the roots.
fn certificate(connection: &Connection, checker: &Checker) -> Option<Arc<Certificate>> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    checker.checked(&chain)
}
