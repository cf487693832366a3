//! Who vouches for clients' certificates: the roots of a listener and what their authorities have revoked.

use super::tls::{CLIENT_CA, CLIENT_CRL, TlsError, certificates, explain, wrong};
use crate::identity;
use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use std::path::PathBuf;
use std::sync::Arc;

/// The files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// PEM: roots of clients' certificates.
    pub authorities: PathBuf,
    /// PEM: what they have revoked; none: nobody asks. Else there is a list of each authority that signed a certificate of a
    /// chain, or the chain is not taken.
    pub revoked: Option<PathBuf>,
    /// A client without a certificate is turned away.
    pub required: bool,
}

/// What the files say.
#[derive(Debug)]
pub(super) struct Trust {
    roots: Vec<CertificateDer<'static>>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
    pub verifier: Arc<dyn ClientCertVerifier>,
    changes: u64,
}

impl ClientFiles {
    pub(super) fn load(&self, provider: &Arc<CryptoProvider>) -> Result<Trust, TlsError> {
        let (roots, revoked) = (certificates(CLIENT_CA, &self.authorities)?, self.lists()?);
        let mut store = RootCertStore::empty();
        for root in &roots {
            store.add(root.clone()).map_err(|error| wrong(CLIENT_CA, &self.authorities, error.to_string()))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider.clone());
        let verifier = verifier.with_crls(revoked.iter().cloned());
        let verifier = if self.required { verifier } else { verifier.allow_unauthenticated() };
        let verifier = verifier.build().map_err(|error| match (&error, &self.revoked) {
            (VerifierBuilderError::InvalidCrl(why), Some(path)) => wrong(CLIENT_CRL, path, format!("{why:?}")),
            _ => wrong(CLIENT_CA, &self.authorities, error.to_string()),
        })?;
        Ok(Trust { roots, revoked, verifier, changes: 0 })
    }

    fn lists(&self) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
        let Some(path) = &self.revoked else { return Ok(Vec::new()) };
        let read = || CertificateRevocationListDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
        let found = read().map_err(|error| wrong(CLIENT_CRL, path, explain(&error)))?;
        let is_empty = found.is_empty();
        let none = || wrong(CLIENT_CRL, path, "it holds no revocation list in PEM form".into());
        if is_empty { Err(none()) } else { Ok(found) }
    }

    /// What is wrong with each of them.
    pub(super) fn problems(&self) -> impl Iterator<Item = TlsError> {
        certificates(CLIENT_CA, &self.authorities).err().into_iter().chain(self.lists().err())
    }
}

/// As they were read last.
pub(super) struct Authorities(ArcSwap<Trust>);

impl Authorities {
    pub fn new(trust: Trust) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(trust)))
    }

    /// Takes over what was read again.
    pub fn replace(&self, trust: Trust) {
        let known = self.0.load();
        if (&known.roots, &known.revoked) != (&trust.roots, &trust.revoked) {
            self.0.store(Arc::new(Trust { changes: known.changes + 1, ..trust }));
        }
    }
}

impl identity::Authorities for Authorities {
    fn changes(&self) -> u64 {
        self.0.load().changes
    }

    fn vouch(&self, chain: &[Box<[u8]>]) -> bool {
        let mut chain = chain.iter().map(|der| CertificateDer::from(&**der));
        let own = chain.next();
        let others: Vec<_> = chain.collect();
        let verifier = &self.0.load().verifier;
        own.is_some_and(|own| verifier.verify_client_cert(&own, &others, UnixTime::now()).is_ok())
    }
}

/// Who checks the certificate of a handshake that begins now.
#[derive(Clone)]
pub(super) struct Checker {
    authorities: Arc<Authorities>,
    changes: u64,
}

impl Checker {
    /// To be asked for before the configuration is that the handshake goes by, so that a change between them is looked at.
    pub fn new(authorities: &Arc<Authorities>) -> Self {
        Self { authorities: authorities.clone(), changes: identity::Authorities::changes(&**authorities) }
    }

    /// What the client has shown.
    pub fn checked(&self, chain: &[CertificateDer<'_>]) -> Option<Arc<identity::Certificate>> {
        let chain = chain.iter().map(|der| der.as_ref().into()).collect();
        identity::Certificate::new(chain, self.authorities.clone(), self.changes)
    }
}
