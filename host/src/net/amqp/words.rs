//! Refusals in AMQP's words.

use crate::amqp::{AmqpError, Error, LinkError, error};
use crate::dialogue::Closed;
use crate::message::{Refusal, RefusalKind};

/// The error that says the same.
pub fn refused(refusal: &Refusal) -> Error {
    let reason = refusal.reason.clone();
    match refusal.kind {
        RefusalKind::NotAuthorized | RefusalKind::BadCredentials => error(AmqpError::UnauthorizedAccess, reason),
        RefusalKind::TopicInvalid => error(AmqpError::InvalidField, reason),
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
        Closed::ByOperator => error(AmqpError::ResourceDeleted, "what it was attached to is gone"),
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
        Closed::ShuttingDown => "the broker shuts down",
        Closed::TakenOver => "another connection has taken its place",
        _ => "an operator ended it",
    };
    error(crate::amqp::ConnectionError::ConnectionForced, reason)
}
