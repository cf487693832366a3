//! What operators say about identity.

use super::certificate::NameSource;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A way to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The verified TLS client certificate.
    Certificate,
    /// The password file.
    Password,
    /// A JSON web token in place of a password.
    Jwt,
    /// Modules with the `access` hook.
    Module,
}

/// Whether clients that do not say who they are may come in by a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anonymous {
    /// If they come from this machine.
    #[default]
    Loopback,
    /// All.
    Always,
    /// None.
    Never,
}

/// See the head of this file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Ways to a name, in the order in which they are tried. Default certificate, password, jwt, module.
    pub order: Vec<Method>,
    /// Users with their passwords; none: nobody has one.
    pub password_file: Option<PathBuf>,
    /// Tokens; none: no token is taken.
    pub tokens: Option<TokenSettings>,
    /// Which part of a certificate is the name. Default the common name.
    pub certificate_name: NameSource,
    /// The name of clients that may come in without one; none: they stay without.
    pub default_user: Option<Arc<str>>,
    /// By name of the listener. One that is not named here lets nobody in who does not say who they are.
    pub anonymous: HashMap<Arc<str>, Anonymous>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            order: vec![Method::Certificate, Method::Password, Method::Jwt, Method::Module],
            password_file: None,
            tokens: None,
            certificate_name: NameSource::default(),
            default_user: None,
            anonymous: HashMap::new(),
        }
    }
}

/// What makes a token one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// A JSON Web Key Set (RFC 7517) with keys for RS256, ES256 and HS256.
    pub keys_file: PathBuf,
    /// The issuer (`iss`) that a token must name; empty: any.
    pub issuer: String,
    /// The audience (`aud`) that a token must name; empty: any.
    pub audience: String,
    /// The claim that is the client's name. Default `sub`.
    pub name_claim: String,
}

/// Bounds of the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Threads that hash passwords. Each takes about 19 MiB while it does. Default 1.
    pub hashing_threads: usize,
    /// Passwords that wait to be hashed; more clients are told that the broker is busy. Half of them may come from one
    /// address. Default 1,024.
    pub hashing_queue_max: usize,
    /// Longest time that the refusal of a wrong proof takes, in milliseconds. The first ten from an address take no time, then
    /// 50 ms and twice as long with each; an address is forgotten after a minute. 0: no time. Default 1,000.
    pub failure_delay_milliseconds_max: u64,
    /// Addresses of which that is known. Default 65,536.
    pub failing_addresses_max: usize,
    /// Connections of one identity at the same time. Default 100,000.
    pub connections_per_identity_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hashing_threads: 1,
            hashing_queue_max: 1024,
            failure_delay_milliseconds_max: 1000,
            failing_addresses_max: 65_536,
            connections_per_identity_max: 100_000,
        }
    }
}

/// Longest user name in bytes.
pub(super) const NAME_BYTES_MAX: usize = 256;
/// Longest password in bytes.
pub(super) const PASSWORD_BYTES_MAX: usize = 4096;
/// Longest token, and longest step of an exchange, in bytes.
pub(super) const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Largest file of users or keys in bytes.
pub(super) const FILE_BYTES_MAX: u64 = 64 << 20;
/// Keys in a key set.
pub(super) const KEYS_MAX: usize = 64;
