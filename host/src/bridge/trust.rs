//! Whom a client of another broker trusts over TLS, and how it says who it is.

use super::settings::Settings;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

/// As the TLS library wants it. The files are read each time.
pub(super) fn config(settings: &Settings) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let ca_file = (!settings.ca_file.as_os_str().is_empty()).then_some(settings.ca_file.as_path());
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier(ca_file)?);
    let (certificate, key) = (&settings.certificate, &settings.key);
    if certificate.as_os_str().is_empty() {
        return Ok(Arc::new(builder.with_no_client_auth()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    let config = builder.with_client_auth_cert(certificates(certificate)?, secret);
    config.map(Arc::new).map_err(|error| unusable(certificate, &error))
}

/// Trusts the certificates in a PEM file, or the system's.
///
/// # Errors
/// There are none, or they are not certificates.
pub fn verifier(ca_file: Option<&Path>) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    let named = ca_file.map(certificates).transpose()?.unwrap_or_default();
    match ca_file {
        Some(path) => {
            for root in &named {
                roots.add(root.clone()).map_err(|error| unusable(path, &error))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err("the system has no certificates to trust; name a file with some".to_owned());
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let chains = chains.build().map_err(|error| error.to_string())?;
    Ok(Arc::new(Trust { chains, named }))
}

/// Trusts what leads to a root, and a server that shows a certificate of the file itself: `openssl req -x509` makes them so, with
/// the mark of an authority, which the library takes of no server.
#[derive(Debug)]
struct Trust {
    chains: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

/// The library's word for that mark. It looks at the time first.
const IS_AUTHORITY: &str = "CaUsedAsEndEntity";

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.chains.verify_server_cert(own, intermediates, name, ocsp_response, now) {
            Err(Error::InvalidCertificate(CertificateError::Other(why)))
                if why.to_string() == IS_AUTHORITY && self.named.iter().any(|named| named == own) =>
            {
                verify_server_name(&ParsedCertificate::try_from(own)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, own, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, own, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// The certificates in a PEM file, at least one.
///
/// # Errors
/// There are none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| unusable(path, &error))?;
    if found.is_empty() { Err(unusable(path, &"no certificate in PEM form")) } else { Ok(found) }
}

pub(super) fn unusable(path: &Path, error: &dyn Display) -> String {
    format!("cannot use {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use std::time::Duration;

    /// RFC 5280, 4.2.1.9: what `openssl req -x509` makes has `cA`.
    #[test]
    fn a_certificate_that_signed_itself_is_trusted_by_name_and_time_where_it_is_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let make = |stem: &str| {
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            (params.not_before, params.not_after) =
                (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2030, 1, 1));
            let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            let path = folder.path().join(stem);
            std::fs::write(&path, made.pem()).unwrap();
            (path, made.der().clone())
        };
        let ((file, own), (_, other)) = (make("own"), make("other"));
        let trust = verifier(Some(&file)).unwrap();
        let takes = |certificate: &CertificateDer<'_>, name: &str, year: u64| {
            let now = UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_557_600));
            trust.verify_server_cert(certificate, &[], &name.try_into().unwrap(), &[], now).is_ok()
        };
        assert!(takes(&own, "localhost", 2025));
        assert!(!takes(&own, "other.example", 2025), "another name");
        assert!(!takes(&own, "localhost", 2031), "it has expired");
        assert!(!takes(&other, "localhost", 2025), "it is not in the file");
    }
}
