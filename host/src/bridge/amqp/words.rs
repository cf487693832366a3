//! What the client library's errors mean, for people.

use super::packing::WRAP_BYTES;
use crate::amqp::Fault;
use fe2o3_amqp::connection::{self, ConnectionStopReason, OpenError};
use fe2o3_amqp::link::{
    DetachError, DispositionError, LinkStateError, MessageSizeExceeded, ReceiverAttachError, RecvError, SendError,
    SenderAttachError, SessionStopReason,
};
use fe2o3_amqp::session::BeginError;
use fe2o3_amqp::transport;
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
        OpenError::RemoteClosed => CLOSED.to_owned(),
        OpenError::RemoteClosedWithError(error) => format!("{CLOSED}: {}", said(error)),
        OpenError::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
            "it closed the connection without an answer: no AMQP 1.0 there, or only over TLS (amqps://)".to_owned()
        }
        // Of an alert of TLS the library has too few bytes for a header, and says only that.
        OpenError::Io(error) if error.to_string().contains("bytes remaining") => {
            "what it answers is no AMQP 1.0; if it speaks TLS there, say amqps://".to_owned()
        }
        OpenError::Io(error) => error.to_string(),
        OpenError::TransportError(error) => carried(error),
        OpenError::IllegalState => OUT_OF_ORDER.to_owned(),
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

/// Why a connection that was open is over.
pub fn closing(error: &connection::Error) -> String {
    match error {
        connection::Error::TransportError(error) => carried(error),
        connection::Error::RemoteClosed => CLOSED.to_owned(),
        connection::Error::RemoteClosedWithError(error) => format!("{CLOSED}: {}", said(error)),
        connection::Error::NotImplemented(what) | connection::Error::NotFound(what) => {
            let what = what.as_deref().map_or(String::new(), |what| format!(" ({what})"));
            format!("{OUT_OF_ORDER}{what}")
        }
        _ => OUT_OF_ORDER.to_owned(),
    }
}

const OUT_OF_ORDER: &str = "it says what does not belong there";

/// It hung up, or said goodbye.
pub const CLOSED: &str = "it closed the connection";

/// What happened to the bytes.
fn carried(error: &transport::Error) -> String {
    match error {
        transport::Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => CLOSED.to_owned(),
        transport::Error::Io(error) => error.to_string(),
        transport::Error::IdleTimeoutElapsed => "nothing came from it for too long (keep_alive_seconds)".to_owned(),
        transport::Error::DecodeError(why) => format!("it sends a frame that cannot be read: {why}"),
        transport::Error::NotImplemented(_) => "it sends a frame that is not known here".to_owned(),
        transport::Error::FramingError => "it sends what is no frame".to_owned(),
    }
}

/// Why there is no session.
pub fn beginning(error: &BeginError) -> String {
    match error {
        BeginError::RemoteEnded => "it ended the session".to_owned(),
        BeginError::RemoteEndedWithError(error) => format!("it ended the session: {}", said(error)),
        BeginError::ConnectionStopped(why) => over(why),
        BeginError::LocalChannelMaxReached => "it takes no more sessions on a connection".to_owned(),
        BeginError::IllegalState | BeginError::ConnectionNotOpened => "the connection is not open".to_owned(),
    }
}

/// Why there is no sending link.
pub fn sending(error: &SenderAttachError) -> String {
    match error {
        SenderAttachError::RemoteClosedWithError(error) => said(error),
        SenderAttachError::SessionStopped(why) => stopped(why),
        SenderAttachError::IllegalState => OF_BEFORE.to_owned(),
        error => error.to_string(),
    }
}

/// Why there is no receiving link.
pub fn receiving(error: &ReceiverAttachError) -> String {
    match error {
        ReceiverAttachError::RemoteClosedWithError(error) => said(error),
        ReceiverAttachError::SessionStopped(why) => stopped(why),
        ReceiverAttachError::IllegalState => OF_BEFORE.to_owned(),
        error => error.to_string(),
    }
}

/// The library's illegal state of an attach: it begins with nothing, and the other side with something.
const OF_BEFORE: &str = "it goes on with deliveries of an earlier link";

/// Why nothing can be sent on a link any more.
pub fn sent(error: SendError) -> String {
    match error {
        SendError::LinkStateError(error) => link(&error),
        SendError::Detached(error) => detached(error),
        SendError::MessageSizeExceeded(why) => too_large(&why),
        SendError::NonTerminalDeliveryState => "it settles a message without an outcome".to_owned(),
        SendError::IllegalDeliveryState => "it answers as if the message were of a transaction".to_owned(),
        SendError::MessageEncodeError => "the message cannot be written".to_owned(),
    }
}

/// Why a message is too long for it.
pub fn too_large(why: &MessageSizeExceeded) -> String {
    format!("it takes no message of more than {} bytes", why.max_size.saturating_sub(WRAP_BYTES as u64))
}

/// Why nothing more can be received on a link.
pub fn received(error: &RecvError) -> String {
    let words = match error {
        RecvError::LinkStateError(error) => return link(error),
        RecvError::TransferLimitExceeded => "it sends more messages than there is credit for",
        RecvError::DeliveryIdIsNone => "it sends a message without a delivery-id",
        RecvError::DeliveryTagIsNone => "it sends a message without a delivery-tag",
        RecvError::MessageDecode(_) => "it sends a message that cannot be read",
        RecvError::IllegalRcvSettleModeInTransfer => "it wants a message settled in a way that was not agreed on",
        RecvError::InconsistentFieldInMultiFrameDelivery => "it sends parts of different messages as one",
        RecvError::MessageSizeExceeded(_) => "it sends a message that is longer than was agreed",
        RecvError::TransactionalAcquisitionIsNotImeplemented => "it sends a message as if it were of a transaction",
    };
    words.to_owned()
}

/// Why an outcome cannot be told.
pub fn disposing(error: &DispositionError) -> String {
    match error {
        DispositionError::SessionStopped(why) => stopped(why),
        DispositionError::IllegalState => "the link is over".to_owned(),
    }
}

/// Why a link is over.
fn link(error: &LinkStateError) -> String {
    match error {
        LinkStateError::SessionStopped(why) => stopped(why),
        LinkStateError::RemoteDetached => "it detached the link".to_owned(),
        LinkStateError::RemoteDetachedWithError(error) => format!("it detached the link: {}", said(error)),
        LinkStateError::RemoteClosed => "it closed the link".to_owned(),
        LinkStateError::RemoteClosedWithError(error) => format!("it closed the link: {}", said(error)),
        LinkStateError::IllegalState | LinkStateError::ExpectImmediateDetach => "the link is over".to_owned(),
    }
}

/// The same, of a link on which nothing was done.
pub fn detached(error: DetachError) -> String {
    link(&error.into())
}

fn stopped(why: &SessionStopReason) -> String {
    match why {
        SessionStopReason::Ended => "the session is over".to_owned(),
        SessionStopReason::EndedWithError(error) => format!("this side ended the session: {}", said(error)),
        SessionStopReason::RemoteEnded => "it ended the session".to_owned(),
        SessionStopReason::RemoteEndedWithError(error) => format!("it ended the session: {}", said(error)),
        SessionStopReason::ConnectionStopped(why) => over(why),
    }
}

fn over(why: &ConnectionStopReason) -> String {
    match why {
        ConnectionStopReason::Closed => "the connection is over".to_owned(),
        ConnectionStopReason::ClosedWithError(error) => format!("this side closed the connection: {}", said(error)),
        ConnectionStopReason::RemoteClosed => CLOSED.to_owned(),
        ConnectionStopReason::RemoteClosedWithError(error) => format!("{CLOSED}: {}", said(error)),
    }
}

/// Condition and description.
pub fn said(error: &Error) -> String {
    let whole = Fault { error: error.clone() }.to_string();
    whole.strip_suffix(": ").map_or(whole.clone(), str::to_owned)
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
    fn no_reason_is_in_the_librarys_own_form() {
        use fe2o3_amqp::types::definitions::AmqpError;
        let error = || Error::new(AmqpError::ResourceDeleted, "bye".to_owned(), None);
        let of_link = |state| sent(SendError::LinkStateError(state));
        let ended = SessionStopReason::ConnectionStopped(ConnectionStopReason::RemoteClosedWithError(error()));
        for (text, expected) in [
            (of_link(LinkStateError::RemoteClosedWithError(error())), "it closed the link: amqp:resource-deleted: bye"),
            (received(&RecvError::LinkStateError(LinkStateError::RemoteDetached)), "it detached the link"),
            (detached(DetachError::SessionStopped(ended)), "it closed the connection: amqp:resource-deleted: bye"),
            (beginning(&BeginError::RemoteEndedWithError(error())), "it ended the session: amqp:resource-deleted: bye"),
            (closing(&connection::Error::RemoteClosed), "it closed the connection"),
            (closing(&transport::Error::DecodeError("x".into()).into()), "it sends a frame that cannot be read: x"),
            (said(&Error::new(AmqpError::NotFound, None, None)), "amqp:not-found"),
        ] {
            assert_eq!(text, expected);
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
