//! Why a broker does not start: one line each, for people.

use crate::{identity, net, store, wasm};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// See the head of this file.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory or its file: locked, unreadable, damaged, of a later version.
    #[error("data directory: {0}")]
    Store(#[from] store::OpenError),
    /// The admin token can be neither read nor made.
    #[error("cannot use the admin token {path}: {error}")]
    Token {
        /// Where it should be.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Who may only look could do everything.
    #[error("admin.read_token_file: it holds the token that may do everything; name a file with another one")]
    SameToken,
    /// Bridges to other brokers.
    #[error(transparent)]
    Bridge(#[from] crate::bridge::BridgeError),
    /// A module's component cannot be read.
    #[error("module {name}: cannot read {path}: {error}")]
    ModuleFile {
        /// The module.
        name: String,
        /// Its component.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A module does not run.
    #[error(transparent)]
    Modules(#[from] wasm::OpenError),
    /// The keys that sign components cannot be read.
    #[error("signing.keys_file: {0}")]
    Signers(String),
    /// Users or keys cannot be read.
    #[error(transparent)]
    Identity(#[from] identity::LoadError),
    /// A listener cannot be opened.
    #[error(transparent)]
    Listener(#[from] net::BindError),
    /// Somebody wants no broker any more.
    #[error("told to stop before it had started")]
    GivenUp,
    /// The admin API cannot be opened.
    #[error("the admin API cannot be opened at {address}: {reason}")]
    Admin {
        /// Where it was to be.
        address: SocketAddr,
        /// Why not.
        reason: String,
    },
}

impl StartError {
    pub(super) fn admin(address: SocketAddr, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::AddrInUse => "another program uses that port".to_owned(),
            io::ErrorKind::PermissionDenied => "no permission (ports below 1024 need it)".to_owned(),
            io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
            _ => error.to_string(),
        };
        Self::Admin { address, reason }
    }
}
