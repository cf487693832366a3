//! The subject of a certificate as one text that no other subject has.
//!
//! Values are escaped as RFC 4514, 2.4 says; parts stand in the order of the certificate, with a space behind each comma.

use x509_parser::der_parser::asn1_rs::{Any, Tag, ToDer};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{AttributeTypeAndValue, X509Name};

/// As in `CN=meter-7, O=Plant`.
pub(super) fn text(subject: &X509Name<'_>) -> String {
    let parts = subject.iter_rdn().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join(" + "));
    parts.collect::<Vec<_>>().join(", ")
}

/// What has no name, or is no text, is told by its bytes.
fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let (kind, value) = (attribute.attr_type(), attribute.attr_value());
    match (oid2abbrev(kind, oid_registry()), characters(value)) {
        (Ok(kind), Some(text)) => format!("{kind}={}", escaped(&text)),
        (known, _) => {
            let kind = known.map_or_else(|_| kind.to_id_string(), str::to_owned);
            let bytes = value.to_der_vec().unwrap_or_default();
            format!("{kind}=#{}", bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>())
        }
    }
}

fn characters(value: &Any<'_>) -> Option<String> {
    match value.tag() {
        Tag::Utf8String
        | Tag::PrintableString
        | Tag::Ia5String
        | Tag::T61String
        | Tag::NumericString
        | Tag::VisibleString => std::str::from_utf8(value.data).ok().map(str::to_owned),
        Tag::BmpString => {
            let units = value.data.chunks(2).map(|unit| unit.try_into().map(u16::from_be_bytes));
            String::from_utf16(&units.collect::<Result<Vec<_>, _>>().ok()?).ok()
        }
        _ => None,
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        let is_first = at == 0;
        let is_last = at + character.len_utf8() == text.len();
        match character {
            '\0' => escaped.push_str("\\00"),
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => escaped.extend(['\\', character]),
            '#' if is_first => escaped.push_str("\\#"),
            ' ' if is_first || is_last => escaped.push_str("\\ "),
            _ => escaped.push(character),
        }
    }
    escaped
}
