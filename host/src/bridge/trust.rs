//! Whom a client of another broker trusts over TLS, and how it says who it is.

use super::settings::Settings;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

/// As the TLS library wants it. The files are read each time.
pub(super) fn config(settings: &Settings) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let ca_file = (!settings.ca_file.as_os_str().is_empty()).then_some(settings.ca_file.as_path());
    let builder = builder.with_root_certificates(roots(ca_file)?);
    let (certificate, key) = (&settings.certificate, &settings.key);
    if certificate.as_os_str().is_empty() {
        return Ok(Arc::new(builder.with_no_client_auth()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    let config = builder.with_client_auth_cert(certificates(certificate)?, secret);
    config.map(Arc::new).map_err(|error| unusable(certificate, &error))
}

/// The roots in a PEM file, or the system's.
///
/// # Errors
/// There are none, or they are not certificates.
pub fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            for root in certificates(path)? {
                roots.add(root).map_err(|error| unusable(path, &error))?;
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
    Ok(roots)
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
