//! What modules say of who may come in, and what they may do.

use super::Broker;
use super::worker::Worker;
use crate::client::Client;
use crate::message::Refusal;
use crate::wasm::Credentials;

/// What a client brought to prove who it is.
#[derive(Clone, Copy)]
pub struct Proof<'a> {
    /// As it said.
    pub user: Option<&'a str>,
    /// As it said.
    pub password: Option<&'a [u8]>,
    /// Subject of its verified certificate.
    pub certificate_subject: Option<&'a str>,
}

impl Broker {
    /// Asks the modules who this is; none: no module knows.
    ///
    /// # Errors
    /// A module does not let it in, or failed.
    pub fn authenticate(
        &self,
        worker: &mut Worker,
        client: &Client,
        proof: Proof<'_>,
    ) -> Result<Option<String>, Refusal> {
        worker.refresh(self);
        let chain = worker.chain.clone();
        let Proof { user, password, certificate_subject } = proof;
        chain.authenticate(&mut worker.guests, Credentials { client, username: user, password, certificate_subject })
    }
}
