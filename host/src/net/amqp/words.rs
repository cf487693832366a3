//! Refusals in AMQP's words.

use crate::amqp::{AmqpError, ConnectionError, Error, Fields, LinkError, Symbol, Value, error};
use crate::dialogue::{Closed, Elsewhere};
use crate::message::{Refusal, RefusalKind};

/// The error that says the same.
pub fn refused(refusal: &Refusal) -> Error {
    let reason = refusal.reason.clone();
    match refusal.kind {
        RefusalKind::NotAuthorized | RefusalKind::BadCredentials => error(AmqpError::UnauthorizedAccess, reason),
        RefusalKind::NameInvalid | RefusalKind::TopicInvalid => error(AmqpError::InvalidField, reason),
        RefusalKind::NotFound => error(AmqpError::NotFound, reason),
        RefusalKind::PayloadInvalid => error(AmqpError::DecodeError, reason),
        RefusalKind::QuotaExceeded => error(AmqpError::ResourceLimitExceeded, reason),
        RefusalKind::NotSupported => error(AmqpError::NotImplemented, reason),
        RefusalKind::Unavailable | RefusalKind::Unspecified => error(AmqpError::InternalError, reason),
    }
}

/// Why a link was taken down by the hall.
pub fn link_ended(why: &Closed) -> Error {
    match why {
        Closed::TakenOver => error(LinkError::Stolen, "another link has taken its place"),
        Closed::Deleted => error(AmqpError::ResourceDeleted, "what it was attached to is gone"),
        Closed::NotAuthorized(why) => error(AmqpError::UnauthorizedAccess, &**why),
        Closed::MessageTooLarge => {
            error(LinkError::MessageSizeExceeded, "the next message is longer than your max-message-size")
        }
        _ => error(LinkError::DetachForced, "the broker ended it"),
    }
}

/// Why a connection ends by the broker's will.
pub fn connection_ended(why: &Closed) -> Error {
    let reason = match why {
        Closed::Elsewhere(to) => return elsewhere(to),
        Closed::ShuttingDown => "the broker shuts down",
        Closed::TakenOver => "another connection has taken its place",
        _ => "an operator ended it",
    };
    error(ConnectionError::ConnectionForced, reason)
}

/// Another connection of this container is there, and both want to be the only one. In the words that Qpid's clients know.
pub fn container_taken() -> Error {
    let info = [(Symbol::from("invalid-field"), Value::Symbol(Symbol::from("container-id")))];
    let why = "a connection of this container-id is there, and wants to be the only one";
    Error { info: Some(Box::new(info.into_iter().collect())), ..error(AmqpError::InvalidField, why) }
}

/// The first of the servers, as AMQP has it (2.8.16); where none is named the client may find one by itself.
fn elsewhere(to: &Elsewhere) -> Error {
    let reason = "clients of this broker are sent elsewhere";
    let Some((host, port)) = to.server.split_whitespace().next().and_then(Elsewhere::host_and_port) else {
        return error(ConnectionError::ConnectionForced, reason);
    };
    let mut info = Fields::new();
    info.insert(Symbol::from("network-host"), Value::String(host.to_owned()));
    if let Some(port) = port {
        info.insert(Symbol::from("port"), Value::Ushort(port));
    }
    Error { info: Some(Box::new(info)), ..error(ConnectionError::Redirect, reason) }
}
