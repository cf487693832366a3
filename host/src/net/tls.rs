//! TLS on the broker's side: what a listener offers, and one connection's part of it. Bytes in, bytes out.

use super::authorities::{Authorities, Checker, ClientFiles, Trust};
use super::clock::Clock;
use super::session::Fault;
use crate::identity::Certificate;
use crate::message::Time;
use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files behind a listener's TLS, and what it asks of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the broker's certificate, then those that lead to its root.
    pub certificate: PathBuf,
    /// PEM: the private key of the first certificate.
    pub key: PathBuf,
    /// How clients' certificates are checked; none: clients are not asked for any.
    pub client: Option<ClientFiles>,
    /// What is spoken inside, by the names of ALPN (RFC 7301). A client that asks for others only is turned away; one that
    /// asks for nothing is not.
    pub protocols: Vec<&'static str>,
    /// For QUIC: TLS 1.3 and nothing older (RFC 9001, 4.2); a client that asks for none of these protocols is turned away, too.
    pub quic: bool,
}

const QUIC_VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

const CERTIFICATE: &str = "tls.certificate";
const KEY: &str = "tls.key";
pub(super) const CLIENT_CA: &str = "tls.client_ca";
pub(super) const CLIENT_CRL: &str = "tls.client_crl";

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {}: {reason}", .path.display())]
pub struct TlsError {
    /// The setting of the listener that names the file.
    pub setting: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl TlsFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// Which one cannot be used, and why.
    pub(super) fn load(&self) -> Result<(Arc<ServerConfig>, Option<Trust>), TlsError> {
        let chain = certificates(CERTIFICATE, &self.certificate)?;
        let key = self.key()?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(if self.quic { QUIC_VERSIONS } else { rustls::DEFAULT_VERSIONS })
            .map_err(|error| wrong(CERTIFICATE, &self.certificate, error.to_string()))?;
        let trust = self.client.as_ref().map(|client| client.load(&provider)).transpose()?;
        let builder = match &trust {
            None => builder.with_no_client_auth(),
            Some(trust) => builder.with_client_cert_verifier(trust.verifier.clone()),
        };
        let certified = self.certified(chain, key, &provider)?;
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = self.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok((Arc::new(config), trust))
    }

    /// What is wrong with each of the files, or else with how they go together.
    pub fn problems(&self) -> Vec<TlsError> {
        let mut found: Vec<TlsError> = certificates(CERTIFICATE, &self.certificate).err().into_iter().collect();
        found.extend(self.key().err());
        found.extend(self.client.iter().flat_map(ClientFiles::problems));
        if found.is_empty() { self.load().err().into_iter().collect() } else { found }
    }

    /// What is wrong with the time of the broker's certificate: nobody who looks at it comes in.
    pub fn out_of_time(&self, now: Time) -> Option<String> {
        let chain = certificates(CERTIFICATE, &self.certificate).ok()?;
        let why = crate::identity::out_of_time(chain.first()?, now)?;
        Some(format!("{CERTIFICATE}: the certificate in {} {why}", self.certificate.display()))
    }

    fn certified(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, TlsError> {
        let failed = |error: rustls::Error| wrong(KEY, &self.key, error.to_string());
        match CertifiedKey::from_der(chain.clone(), key.clone_key(), provider) {
            Ok(certified) => Ok(certified),
            Err(rustls::Error::InconsistentKeys(_)) => {
                let reason = format!("it is not the key of the certificate in {}", self.certificate.display());
                Err(wrong(KEY, &self.key, reason))
            }
            // One of version 1, as simple calls of OpenSSL make it, cannot be compared with its key, and serves all the same.
            Err(rustls::Error::InvalidCertificate(_)) => {
                Ok(CertifiedKey::new(chain, provider.key_provider.load_private_key(key).map_err(failed)?))
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_file(&self.key).map_err(|error| wrong(KEY, &self.key, explain(&error)))
    }
}

pub(super) fn wrong(setting: &'static str, path: &Path, reason: String) -> TlsError {
    TlsError { setting, path: path.into(), reason }
}

pub(super) fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| wrong(setting, path, reason);
    let read = CertificateDer::pem_file_iter(path).map_err(|error| wrong(explain(&error)))?;
    let found: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| wrong(explain(&error)))?;
    if found.is_empty() { Err(wrong("it holds no certificate in PEM form".into())) } else { Ok(found) }
}

pub(super) fn explain(error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) => error.to_string(),
        rustls::pki_types::pem::Error::NoItemsFound => "it holds no key in PEM form".into(),
        other => other.to_string(),
    }
}

/// What a listener offers now; replaced as a whole when its files are read again.
pub struct Offer {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
    authorities: Option<Arc<Authorities>>,
}

impl Offer {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// As [`TlsFiles::load`].
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let (config, trust) = files.load()?;
        let offer = Self { files, config: ArcSwap::from(config), authorities: trust.map(Authorities::new) };
        offer.tell_time();
        Ok(offer)
    }

    /// Reads them again. Connections that are there go on under what they agreed on, until somebody asks whether their
    /// certificates would still be taken.
    ///
    /// # Errors
    /// As [`TlsFiles::load`]; the old offer stands then.
    pub fn reload(&self) -> Result<(), TlsError> {
        let (config, trust) = self.files.load()?;
        self.config.store(config);
        if let (Some(authorities), Some(trust)) = (&self.authorities, trust) {
            authorities.replace(trust);
        }
        self.tell_time();
        Ok(())
    }

    fn tell_time(&self) {
        if let Some(why) = self.files.out_of_time(Clock::start().now()) {
            tracing::warn!("clients will not believe the broker: {why}");
        }
    }

    /// What is offered now.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// Who checks the certificate of a client whose handshake begins now; none: it is not asked for one.
    pub(super) fn checker(&self) -> Option<Checker> {
        self.authorities.as_ref().map(Checker::new)
    }

    /// A new connection's part.
    ///
    /// # Errors
    /// What the library says.
    pub fn accept(&self) -> Result<Tls, rustls::Error> {
        let checker = self.checker();
        let mut connection = ServerConnection::new(self.current())?;
        // What is wrapped is taken out at once, so that nothing piles up here.
        connection.set_buffer_limit(None);
        Ok(Tls { connection: Box::new(connection), checker })
    }
}

/// One connection's part.
pub struct Tls {
    connection: Box<ServerConnection>,
    checker: Option<Checker>,
}

impl Tls {
    /// Whether keys are still being agreed on.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// What the client has shown, which was checked against the roots.
    pub fn certificate(&self) -> Option<Arc<Certificate>> {
        self.checker.as_ref()?.checked(self.connection.peer_certificates()?)
    }

    /// Takes bytes off the wire.
    pub(super) fn receive(&mut self, mut wire: &[u8], plain: &mut Vec<u8>, reply: &mut Vec<u8>) -> Result<(), Fault> {
        let mut ended = Ok(());
        while !wire.is_empty() && ended.is_ok() {
            // The library's buffers are empty again after each round, so that it takes some each time.
            let taken = self.connection.read_tls(&mut wire);
            if !matches!(taken, Ok(1..)) {
                ended = Err(Fault::Tls(rustls::Error::General("a record that is too long".into())));
                break;
            }
            match self.connection.process_new_packets() {
                Err(error) => ended = Err(Fault::Tls(error)),
                Ok(state) => {
                    self.take(state.plaintext_bytes_to_read(), plain);
                    if state.peer_has_closed() {
                        ended = Err(Fault::Closed);
                    }
                }
            }
        }
        self.flush(reply);
        ended
    }

    fn take(&mut self, count: usize, plain: &mut Vec<u8>) {
        let begin = plain.len();
        plain.resize(begin + count, 0);
        // It has just said that so much is there.
        let read = if count == 0 { 0 } else { self.connection.reader().read(&mut plain[begin..]).unwrap_or(0) };
        plain.truncate(begin + read);
    }

    fn flush(&mut self, wire: &mut Vec<u8>) {
        while self.connection.wants_write() {
            if !matches!(self.connection.write_tls(wire), Ok(1..)) {
                return;
            }
        }
    }

    /// Encrypts.
    pub(super) fn wrap(&mut self, plain: &[u8], wire: &mut Vec<u8>) {
        // Memory takes everything.
        let _ = self.connection.writer().write_all(plain);
        self.flush(wire);
    }

    /// Says goodbye.
    pub(super) fn close(&mut self, wire: &mut Vec<u8>) {
        self.connection.send_close_notify();
        self.flush(wire);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of version 1, as `openssl x509 -req` makes it without extensions; for localhost, valid for a hundred years.
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
        MIIBHjCBxAIUEY0CpSY1qrMCdOscF3E3Fc22qAwwCgYIKoZIzj0EAwIwDTELMAkG\n\
        A1UEAwwCY2EwIBcNMjYxMTIxMjIxODMyWhgPMjEyNjEwMjgyMjE4MzJaMBQxEjAQ\n\
        BgNVBAMMCWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABN9mtxMf\n\
        KAxPC1ZWVGRjedkk1PBoHmT/fHJxuiyB7lgh6orRg4tvZ0UIscPIQ9iqeT1sd7+V\n\
        RYdNUV0hP55tmOowCgYIKoZIzj0EAwIDSQAwRgIhAOnbAF8woTB6rKzaEQKdkfZV\n\
        GdGs5OJhY3HYgsNlgXfSAiEAuDtPCMT0yCXSvfDzpxH8YcuA//2w8JB0hlPdIEuq\n\
        feo=\n\
        -----END CERTIFICATE-----";
    const ITS_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgKTdK9Ke2WmahYp+9\n\
        R/mujVkOhJubC38x+PewhS2a6fmhRANCAATfZrcTHygMTwtWVlRkY3nZJNTwaB5k\n\
        /3xycbosge5YIeqK0YOLb2dFCLHDyEPYqnk9bHe/lUWHTVFdIT+ebZjq\n\
        -----END PRIVATE KEY-----";

    /// A certificate made without extensions, which OpenSSL does by default, is no mistake of the operator.
    #[test]
    fn a_certificate_of_version_1_serves() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let files = TlsFiles {
            certificate: file("c.pem", CERTIFICATE),
            key: file("k.pem", ITS_KEY),
            client: None,
            protocols: Vec::new(),
            quic: false,
        };
        files.load().unwrap();
        assert!(files.problems().is_empty());
        let without_key = TlsFiles { key: file("none.pem", CERTIFICATE), ..files };
        assert_eq!(without_key.load().unwrap_err().setting, KEY);
    }
}
