//! The thread that serves the API.

use super::api::Api;
use super::guard::Guard;
use super::patience::{PatientListener, Work};
use super::routes::router;
use super::token::Tokens;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long calls under way may take to end when the server stops.
const PATIENCE: Duration = Duration::from_secs(2);

/// Threads for calls that block; more wait their turn.
const BLOCKING_THREADS: usize = 4;

/// Takes the address, before anything else of the API exists.
///
/// # Errors
/// The address cannot be had.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A running server. Dropping it stops it.
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts to serve those who have the token, and those who may only look.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(listener: TcpListener, api: Api, tokens: Tokens) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("admin-call")
            .build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let limits = api.limits().clone();
        let routes = router(api, Guard::new(tokens, limits.wrong_tokens_per_minute));
        let serve = async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            // Ended by the sender's word, or by its end.
            let routes = routes.into_make_service_with_connect_info::<Work>();
            let serving = axum::serve(PatientListener::new(listener, limits.connections_max), routes);
            tokio::select! {
                served = serving => served,
                _ = stopped => Ok(()),
            }
        };
        let run = move || {
            if let Err(error) = runtime.block_on(serve) {
                tracing::error!(%error, "the admin API ended");
            }
            runtime.shutdown_timeout(PATIENCE);
        };
        let thread = std::thread::Builder::new().name("admin".into()).spawn(run)?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been logged where it happened.
            let _ = thread.join();
        }
    }
}
