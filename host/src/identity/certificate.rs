//! From a certificate that was verified in the TLS handshake to a name.

use super::password_file::check_name;
use crate::message::Time;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

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
pub(super) fn read(der: &[u8], source: NameSource) -> Option<Read> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject().to_string();
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
    Some(Read {
        name: name.filter(|name| check_name(name).is_ok()).map(Into::into),
        subject,
        expires: Time(seconds.saturating_mul(1000)),
    })
}
