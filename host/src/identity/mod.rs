//! Who a client is: from a password, a token, a certificate, an exchange of several steps, or nothing.
//!
//! Nothing here is a socket or a clock: what a client brings and the time go in, a name or a refusal comes out. Passwords
//! are hashed on threads of this room's own; everything else is decided where it is asked.
//!
//! | File | Job |
//! |---|---|
//! | `settings` | what operators say: order, files, bounds |
//! | `inquiry` | one client's way to a name, step by step; every protocol drives this |
//! | `keyring` | users and keys as they were read last |
//! | `password_file`, `scram_keys` | the file of users: read, written, verified |
//! | `scram`, `sasl` | the server's side of the mechanisms |
//! | `token` | JSON web tokens |
//! | `certificate`, `subject` | from a verified certificate to a name, and whether it would still be taken |
//! | `hashing` | the threads that hash |
//! | `failures` | wrong proofs by address |
//! | `ledger` | who is in by which proof, so that a proof that is withdrawn ends its connections |

mod certificate;
mod failures;
mod hashing;
mod inquiry;
mod keyring;
mod ledger;
mod password_file;
mod sasl;
mod scram;
mod scram_keys;
mod settings;
mod subject;
mod token;

#[cfg(test)]
mod certificate_tests;
#[cfg(test)]
mod tests;

pub use certificate::{Authorities, Certificate, NameSource, out_of_time};
pub use failures::network;
pub use inquiry::{Circumstances, Claim, Identified, Inquiry, Progress, Question};
pub use keyring::{LoadError, problems};
pub use ledger::{Login, Withdrawn};
pub use password_file::{PasswordFile, User, WriteError, check_name};
pub use sasl::MECHANISMS;
pub use settings::{Anonymous, Limits, Method, Settings, TokenSettings};

use crate::message::Time;
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use failures::Failures;
use hashing::Hashing;
use keyring::Keyring;
use ledger::Ledger;
use parking_lot::Mutex;
use std::sync::Arc;

/// Everybody who may come in, and everybody who did. Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

pub(crate) struct Inner {
    keyring: ArcSwap<Keyring>,
    hashing: Hashing,
    failures: Failures,
    ledger: Ledger,
    limits: Limits,
    metrics: Arc<Metrics>,
    /// One reload at a time.
    reloading: Mutex<()>,
}

impl Identity {
    /// Reads what the settings name and starts the hashing threads.
    ///
    /// # Errors
    /// A file that cannot be read or is not what it should be, with its line.
    pub fn open(settings: Settings, limits: Limits, metrics: Arc<Metrics>) -> Result<Self, LoadError> {
        let keyring = Keyring::load(settings)?;
        Ok(Self(Arc::new(Inner {
            keyring: ArcSwap::from_pointee(keyring),
            hashing: Hashing::start(&limits),
            failures: Failures::new(&limits),
            ledger: Ledger::default(),
            limits,
            metrics,
            reloading: Mutex::new(()),
        })))
    }

    /// Reads users and keys again and ends the connections of those whose proof does not hold any more; how many those
    /// were.
    ///
    /// # Errors
    /// As [`Identity::open`]; then everything stays as it was.
    pub fn reload(&self, settings: Settings) -> Result<usize, LoadError> {
        let _one = self.0.reloading.lock();
        let keyring = Keyring::load(settings)?;
        self.0.keyring.store(Arc::new(keyring));
        // Who comes in between was let in by the new keys, or is found here.
        Ok(self.sweep())
    }

    /// Ends the connections of those whose proof does not hold any more, as certificates may that were read again; how many
    /// those were.
    pub fn sweep(&self) -> usize {
        let keyring = self.0.keyring.load();
        let ended = self.0.ledger.end(|grounds| !keyring.holds(grounds));
        self.0.metrics.logins_withdrawn_total.add(ended as u64);
        ended
    }

    /// Ends the connections whose proof has run out by now. To be called several times a second.
    pub fn tick(&self, now: Time) {
        self.0.failures.tick(now);
        let ended = self.0.ledger.expire(now);
        self.0.metrics.logins_withdrawn_total.add(ended as u64);
    }

    /// Names of the SASL mechanisms that a client of this listener may use, best first.
    pub fn mechanisms(&self, circumstances: &Circumstances) -> Vec<&'static str> {
        let keyring = self.0.keyring.load();
        sasl::offered(&keyring, circumstances)
    }

    /// Enters somebody who was identified into the ledger: until the answer is dropped, `close` may be called, from any
    /// thread, when the proof does not hold any more. `replaces`: it takes the place of one of its own connections, which
    /// is not counted, as it goes.
    ///
    /// # Errors
    /// The identity has as many connections as it may have, or the proof was withdrawn meanwhile.
    pub fn admit(
        &self,
        identified: &Identified,
        replaces: bool,
        close: Box<dyn Fn(Withdrawn) + Send + Sync>,
    ) -> Result<Login, crate::message::Refusal> {
        let most = self.0.limits.connections_per_identity_max.saturating_add(usize::from(replaces));
        let login = self.0.ledger.enter(identified, close, most);
        let login = login.inspect_err(|_| self.0.metrics.authentications_failed_total.add(1))?;
        // A reload may have come between the proof and the entry.
        if !self.0.keyring.load().holds(&identified.grounds) {
            self.0.metrics.authentications_failed_total.add(1);
            return Err(inquiry::denied());
        }
        Ok(login)
    }
}
