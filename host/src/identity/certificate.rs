//! From a certificate that was verified in the TLS handshake to a name.

use super::password_file::check_name;
use super::subject;
use crate::message::Time;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Whom a listener believes about clients' certificates.
pub trait Authorities: Send + Sync {
    /// How often that has changed.
    fn changes(&self) -> u64;

    /// Whether they vouch for this chain now: the client's own certificate, then those that lead to a root.
    fn vouch(&self, chain: &[Box<[u8]>]) -> bool;
}

/// What a client has shown in its TLS handshake, which was checked there.
pub struct Certificate {
    chain: Box<[Box<[u8]>]>,
    authorities: Arc<dyn Authorities>,
    /// The change of the authorities after which they were asked last.
    asked: AtomicU64,
}

impl Certificate {
    /// A chain, in DER, that was checked when the authorities had changed so often; none: it is empty.
    pub fn new(chain: Box<[Box<[u8]>]>, authorities: Arc<dyn Authorities>, changes: u64) -> Option<Arc<Self>> {
        (!chain.is_empty()).then(|| Arc::new(Self { chain, authorities, asked: changes.into() }))
    }

    /// Whether it would still be taken.
    pub(super) fn is_believed(&self) -> bool {
        let changes = self.authorities.changes();
        if self.asked.load(Ordering::Relaxed) == changes {
            return true;
        }
        let is_believed = self.authorities.vouch(&self.chain);
        if is_believed {
            self.asked.store(changes, Ordering::Relaxed);
        }
        is_believed
    }

    /// What the client's own certificate says; none: it is not one.
    pub(super) fn read(&self, source: NameSource) -> Option<Read> {
        read(&self.chain[0], source)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate")
    }
}

/// Which part of a certificate is the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameSource {
    /// The common name (CN) of its subject.
    #[default]
    CommonName,
    /// The first DNS name among the subject's alternative names.
    Dns,
    /// The first address of electronic mail among them.
    Email,
    /// The first URI among them.
    Uri,
    /// The whole subject, as in `CN=meter-7, O=Plant`.
    Subject,
}

impl NameSource {
    /// As in "it has no usable ...".
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::CommonName => "common name, or more than one",
            Self::Dns => "DNS name",
            Self::Email => "address of electronic mail",
            Self::Uri => "URI",
            Self::Subject => "subject",
        }
    }
}

/// What a certificate says.
pub(super) struct Read {
    /// The whole subject.
    pub subject: String,
    /// The name, if it has one that will do.
    pub name: Option<Arc<str>>,
    /// Why the one that it has will not do.
    pub unusable: Option<&'static str>,
    /// When it ends.
    pub expires: Time,
}

/// What is wrong with the time of a certificate in DER, with the date; none: nothing, or it is not one.
pub fn out_of_time(der: &[u8], now: Time) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let (validity, now) = (certificate.validity(), i64::try_from(now.0 / 1000).unwrap_or(i64::MAX));
    if validity.not_after.timestamp() <= now {
        return Some(format!("has expired on {}", validity.not_after));
    }
    (validity.not_before.timestamp() > now).then(|| format!("is not valid before {}", validity.not_before))
}

/// Reads a certificate in DER; none: it is not one.
fn read(der: &[u8], source: NameSource) -> Option<Read> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = subject::text(certificate.subject());
    let alternative = |wanted: fn(&GeneralName<'_>) -> Option<String>| {
        let names = certificate.subject_alternative_name().ok()??;
        names.value.general_names.iter().find_map(wanted)
    };
    let text = |text: &str| Some(text.to_owned());
    let name = match source {
        NameSource::CommonName => {
            let mut names = certificate.subject().iter_common_name();
            // Of two common names nobody knows which one was meant.
            let first = names.next().and_then(|name| text(name.as_str().ok()?));
            first.filter(|_| names.next().is_none())
        }
        NameSource::Dns => {
            alternative(|name| if let GeneralName::DNSName(n) = name { Some((*n).to_owned()) } else { None })
        }
        NameSource::Email => {
            alternative(|name| if let GeneralName::RFC822Name(n) = name { Some((*n).to_owned()) } else { None })
        }
        NameSource::Uri => {
            alternative(|name| if let GeneralName::URI(n) = name { Some((*n).to_owned()) } else { None })
        }
        NameSource::Subject => Some(subject.clone()),
    };
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
    let unusable = name.as_deref().and_then(|name| check_name(name).err());
    Some(Read {
        name: name.filter(|_| unusable.is_none()).map(Into::into),
        unusable,
        subject,
        expires: Time(seconds.saturating_mul(1000)),
    })
}
