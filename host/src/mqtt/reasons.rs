//! What a refusal is called in each packet.

use super::packet::Version;
use crate::message::RefusalKind;

/// For CONNACK of 5.0 (table 3-1).
pub(super) fn connect_reason(kind: RefusalKind) -> u8 {
    match kind {
        RefusalKind::NotAuthorized => 0x87,
        RefusalKind::BadCredentials => 0x86,
        RefusalKind::NameInvalid => 0x85,
        RefusalKind::TopicInvalid | RefusalKind::NotFound => 0x90,
        RefusalKind::PayloadInvalid => 0x99,
        RefusalKind::QuotaExceeded => 0x97,
        RefusalKind::NotSupported => 0x83,
        RefusalKind::Unavailable => 0x88,
        RefusalKind::Unspecified => 0x80,
    }
}

/// For CONNACK before 5.0 (3.1.1, table 3.1).
pub(super) fn return_code(version: Version, kind: RefusalKind) -> u8 {
    match kind {
        // In 3.1.1 that is for user names and passwords that are malformed.
        RefusalKind::BadCredentials if version == Version::V31 => 4,
        RefusalKind::NameInvalid => 2,
        RefusalKind::NotAuthorized
        | RefusalKind::BadCredentials
        | RefusalKind::TopicInvalid
        | RefusalKind::NotFound
        | RefusalKind::PayloadInvalid => 5,
        RefusalKind::QuotaExceeded
        | RefusalKind::NotSupported
        | RefusalKind::Unavailable
        | RefusalKind::Unspecified => 3,
    }
}

/// For PUBACK and PUBREC (tables 3-4 and 3-5).
pub(super) fn publish_reason(kind: RefusalKind) -> u8 {
    match kind {
        RefusalKind::NotAuthorized | RefusalKind::BadCredentials => 0x87,
        RefusalKind::TopicInvalid | RefusalKind::NotFound => 0x90,
        RefusalKind::PayloadInvalid => 0x99,
        RefusalKind::QuotaExceeded => 0x97,
        RefusalKind::NotSupported | RefusalKind::Unavailable => 0x83,
        RefusalKind::NameInvalid | RefusalKind::Unspecified => 0x80,
    }
}

/// For SUBACK (table 3-8).
pub(super) fn subscribe_reason(kind: RefusalKind) -> u8 {
    match kind {
        RefusalKind::NotAuthorized | RefusalKind::BadCredentials => 0x87,
        RefusalKind::TopicInvalid | RefusalKind::NotFound => 0x8F,
        RefusalKind::QuotaExceeded => 0x97,
        RefusalKind::NotSupported | RefusalKind::Unavailable => 0x83,
        RefusalKind::NameInvalid | RefusalKind::PayloadInvalid | RefusalKind::Unspecified => 0x80,
    }
}

/// For UNSUBACK (table 3-9).
pub(super) fn unsubscribe_reason(kind: RefusalKind) -> u8 {
    match kind {
        RefusalKind::NotAuthorized | RefusalKind::BadCredentials => 0x87,
        RefusalKind::TopicInvalid | RefusalKind::NotFound => 0x8F,
        RefusalKind::QuotaExceeded | RefusalKind::NotSupported | RefusalKind::Unavailable => 0x83,
        RefusalKind::NameInvalid | RefusalKind::PayloadInvalid | RefusalKind::Unspecified => 0x80,
    }
}
