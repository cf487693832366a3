//! Users and keys as they were read last.

use super::certificate::{Certificate, NameSource};
use super::password_file::{PasswordFile, User};
use super::settings::{Anonymous, Method, Settings, TokenSettings};
use super::token::Tokens;
use hashbrown::HashMap;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

/// Why users or keys cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(String);

/// By what somebody came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Voucher {
    /// Nothing, by a listener and from where strangers may come in.
    Stranger(Arc<str>, Arc<str>),
    /// A certificate, by this part of it.
    Certificate(NameSource),
    /// A module's word.
    Module,
    /// The password file, with the mark of the entry.
    User(Arc<str>, Box<[u8; 32]>),
    /// A token, with the mark of the key that has signed it, and what tokens had to say then.
    Token(Box<[u8; 32]>, Arc<TokenSettings>),
}

/// Why somebody is in, to be looked at again when users, keys or certificates are read again.
#[derive(Debug, Clone)]
pub(crate) struct Grounds {
    pub name: Option<Arc<str>>,
    pub voucher: Voucher,
    /// What it has shown in its TLS handshake, whether or not it came in by that.
    pub certificate: Option<Arc<Certificate>>,
}

/// Remembered proofs; at this number all are forgotten.
const REMEMBERED_MAX: usize = 100_000;

/// Someone of whom nobody knows the password.
static DECOY: LazyLock<User> =
    LazyLock::new(|| User::new(&rand::random::<[u8; 32]>(), false).expect("a password of 32 bytes will do"));

/// Makes what is shown of users that do not exist look like what is shown of those that do.
static SECRET: LazyLock<[u8; 32]> = LazyLock::new(rand::random);

const PASSWORD_FILE: &str = "auth.password_file";
const KEYS_FILE: &str = "auth.jwt.keys_file";

/// What is wrong with the files that the settings name: the key of each, and why.
pub fn problems(settings: &Settings) -> Vec<(&'static str, String)> {
    let users = settings.password_file.as_deref().and_then(|path| PasswordFile::read(path).err());
    let tokens = settings.tokens.as_ref().and_then(|tokens| Tokens::load(tokens).err());
    let named = |key| move |why| (key, why);
    users.map(named(PASSWORD_FILE)).into_iter().chain(tokens.map(named(KEYS_FILE))).collect()
}

/// See the head of this file.
pub(crate) struct Keyring {
    pub(super) settings: Settings,
    pub(super) users: Option<PasswordFile>,
    pub(super) tokens: Option<Tokens>,
    /// Of users whose password was right: a digest under a secret that dies with the process, so that clients that all come
    /// back at once need not all be hashed again.
    proved: Mutex<HashMap<Arc<str>, [u8; 32]>>,
}

impl Keyring {
    pub fn load(settings: Settings) -> Result<Self, LoadError> {
        let named = |key: &'static str| move |why: String| LoadError(format!("{key}: {why}"));
        let users = settings.password_file.as_deref().map(PasswordFile::read).transpose();
        let tokens = settings.tokens.as_ref().map(Tokens::load).transpose();
        let keyring = Self {
            users: users.map_err(named(PASSWORD_FILE))?,
            tokens: tokens.map_err(named(KEYS_FILE))?,
            settings,
            proved: Mutex::default(),
        };
        if keyring.users.is_some() {
            LazyLock::force(&DECOY);
        }
        Ok(keyring)
    }

    /// Whether somebody who came in by this may stay: it is there, the way that it opened is not closed, and leads to the same
    /// name.
    pub fn holds(&self, grounds: &Grounds) -> bool {
        let Grounds { name, voucher, certificate } = grounds;
        if certificate.as_ref().is_some_and(|certificate| !certificate.is_believed()) {
            return false;
        }
        match voucher {
            Voucher::Stranger(listener, peer) => {
                self.admits_anonymous(listener, peer) && *name == self.settings.default_user
            }
            Voucher::Certificate(source) => {
                let now = self.certificate_name();
                let read = || certificate.as_ref()?.read(now)?.name;
                self.tries(Method::Certificate) && (now == *source || read() == *name)
            }
            Voucher::Module => self.tries(Method::Module),
            Voucher::User(name, mark) => {
                let users = self.users.as_ref().filter(|_| self.tries(Method::Password));
                users.and_then(|users| users.get(name)).is_some_and(|(_, user)| user.mark == **mark)
            }
            Voucher::Token(mark, said) => {
                let tokens = self.tokens.as_ref().filter(|_| self.tries(Method::Jwt));
                tokens.is_some_and(|tokens| tokens.take(mark, said))
            }
        }
    }

    /// Whether passwords can be checked here.
    pub fn checks_passwords(&self) -> bool {
        self.tries(Method::Password) && self.users.is_some()
    }

    /// Whether tokens can be checked here.
    pub fn checks_tokens(&self) -> bool {
        self.tries(Method::Jwt) && self.tokens.is_some()
    }

    /// Whether a method stands in the order.
    pub fn tries(&self, method: Method) -> bool {
        self.settings.order.contains(&method)
    }

    /// Whether modules come before this method.
    pub fn asks_modules_before(&self, method: Method) -> bool {
        let at = |method| self.settings.order.iter().position(|one| *one == method);
        at(Method::Module).is_some_and(|modules| at(method).is_none_or(|method| modules < method))
    }

    /// Which part of a certificate is the name.
    pub fn certificate_name(&self) -> NameSource {
        self.settings.certificate_name
    }

    /// A user, or the decoy.
    pub fn user(&self, name: &str) -> (Option<Arc<str>>, User) {
        match self.users.as_ref().and_then(|users| users.get(name)) {
            Some((name, user)) => (Some(name.clone()), user.clone()),
            None => (None, DECOY.clone()),
        }
    }

    /// Bytes that follow from a name and from nothing that can be known.
    pub fn pretence(&self, name: &str) -> [u8; 32] {
        let digest = super::scram_keys::Hash::Sha256.mac(&*SECRET, &[b"salt", name.as_bytes()]);
        digest.try_into().expect("SHA-256 has 32 bytes")
    }

    /// Whether the user has proved to know this password before.
    pub fn was_proved(&self, name: &str, password: &[u8]) -> bool {
        let tag = tag(name, password);
        // Both digests are beyond whoever asks, so that how far they agree tells nothing.
        self.proved.lock().get(name).is_some_and(|known| Sha256::digest(known) == Sha256::digest(tag))
    }

    /// The user has.
    pub fn note_proof(&self, name: &Arc<str>, password: &[u8]) {
        let tag = tag(name, password);
        let mut proved = self.proved.lock();
        if proved.len() >= REMEMBERED_MAX {
            proved.clear();
        }
        proved.insert(name.clone(), tag);
    }

    /// Whether a client from there may come in by this listener without saying who it is.
    pub fn admits_anonymous(&self, listener: &str, peer: &str) -> bool {
        match self.settings.anonymous.get(listener) {
            Some(Anonymous::Always) => true,
            // The peer decides, not the listener: a proxy on this machine may bring strangers (W07).
            Some(Anonymous::Loopback) => {
                peer.parse::<SocketAddr>().is_ok_and(|peer| peer.ip().to_canonical().is_loopback())
                    || peer.starts_with("unix")
            }
            Some(Anonymous::Never) | None => false,
        }
    }
}

fn tag(name: &str, password: &[u8]) -> [u8; 32] {
    let length = (name.len() as u64).to_le_bytes();
    let digest = super::scram_keys::Hash::Sha256.mac(&*SECRET, &[b"proof", &length, name.as_bytes(), password]);
    digest.try_into().expect("SHA-256 has 32 bytes")
}
