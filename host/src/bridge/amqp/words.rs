//! What the client library's errors mean, for people.

use crate::amqp::Fault;
use fe2o3_amqp::connection::OpenError;
use fe2o3_amqp::link::{ReceiverAttachError, SenderAttachError, SessionStopReason};
use fe2o3_amqp::types::definitions::Error;
use fe2o3_amqp::types::sasl::SaslCode;
use std::io::ErrorKind;

/// The first bytes of a TLS alert.
const ALERT: [u8; 2] = [0x15, 0x03];

/// Why a connection was not opened. `has_user`: with a user name.
pub fn opening(error: &OpenError, has_user: bool) -> String {
    match error {
        OpenError::SaslError { code: SaslCode::Auth, .. } if has_user => "wrong user name or password".to_owned(),
        OpenError::SaslError { code: SaslCode::Auth, .. } => "it lets nobody in without a user name".to_owned(),
        OpenError::SaslError { .. } => "it cannot check who this is now".to_owned(),
        // The library finds its mechanism not among those that are offered.
        OpenError::NotImplemented(_) if has_user => "it takes no user name with a password (SASL PLAIN)".to_owned(),
        OpenError::NotImplemented(_) => "it lets nobody in without a user name".to_owned(),
        OpenError::ProtocolHeaderMismatch(found) => other_protocol(found),
        OpenError::RemoteClosed => "it closed the connection".to_owned(),
        OpenError::RemoteClosedWithError(error) => format!("it closed the connection: {}", said(error)),
        OpenError::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
            "it closed the connection without an answer: no AMQP 1.0 there, or only over TLS (amqps://)".to_owned()
        }
        // Of an alert of TLS the library has too few bytes for a header, and says only that.
        OpenError::Io(error) if error.to_string().contains("bytes remaining") => {
            "what it answers is no AMQP 1.0; if it speaks TLS there, say amqps://".to_owned()
        }
        OpenError::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

fn other_protocol(found: &[u8]) -> String {
    match found {
        [b'A', b'M', b'Q', b'P', _, major, minor, revision] => {
            format!("it does not speak AMQP 1.0 there; it offers {major}.{minor}.{revision}")
        }
        found if found.starts_with(&ALERT) => "it speaks TLS there: say amqps://".to_owned(),
        _ => "it does not speak AMQP there".to_owned(),
    }
}

/// Why there is no sending link.
pub fn sending(error: &SenderAttachError) -> String {
    match error {
        SenderAttachError::RemoteClosedWithError(error) => said(error),
        SenderAttachError::SessionStopped(why) => stopped(why),
        error => error.to_string(),
    }
}

/// Why there is no receiving link.
pub fn receiving(error: &ReceiverAttachError) -> String {
    match error {
        ReceiverAttachError::RemoteClosedWithError(error) => said(error),
        ReceiverAttachError::SessionStopped(why) => stopped(why),
        error => error.to_string(),
    }
}

fn stopped(why: &SessionStopReason) -> String {
    match why {
        SessionStopReason::RemoteEndedWithError(error) => said(error),
        why => format!("the session is over: {why:?}"),
    }
}

/// Condition and description.
pub fn said(error: &Error) -> String {
    Fault { error: error.clone() }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_protocols_are_told_apart() {
        for (found, expected) in [
            (&b"AMQP\x00\x00\x09\x01"[..], "it offers 0.9.1"),
            (b"\x15\x03\x01\x00\x02\x02\x46\x00", "amqps://"),
            (b"HTTP/1.1", "does not speak AMQP there"),
        ] {
            let text = opening(&OpenError::ProtocolHeaderMismatch(found.to_vec().into()), false);
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn who_is_not_let_in_is_told_why() {
        let wrong = OpenError::SaslError { code: SaslCode::Auth, additional_data: None };
        assert_eq!(opening(&wrong, true), "wrong user name or password");
        assert_eq!(opening(&wrong, false), "it lets nobody in without a user name");
        assert_eq!(opening(&OpenError::NotImplemented(None), false), "it lets nobody in without a user name");
    }
}
