//! What an outcome means for the message that it is of.

use super::words;
use fe2o3_amqp::types::definitions::{AmqpError, ErrorCondition};
use fe2o3_amqp::types::messaging::Outcome;

/// What the other broker says of a message.
pub enum Said {
    Taken,
    /// It has not looked at it (RabbitMQ: no queue is bound there).
    Released,
    /// It does not take it now.
    NotNow(String),
    /// It will never take it.
    Never(String),
}

/// Azure Service Bus and Event Hubs reject with these what they will take later.
const LATER: [&str; 3] = ["com.microsoft:server-busy", "com.microsoft:timeout", "com.microsoft:operation-cancelled"];

impl Said {
    /// Why a message was not taken.
    pub fn reason(self) -> String {
        match self {
            Self::Taken => String::new(),
            Self::Released => "it releases a message".to_owned(),
            Self::NotNow(reason) | Self::Never(reason) => reason,
        }
    }
}

/// A message is lost if it is rejected for what it is. A full queue is no reason for that, and neither is none.
pub fn said(outcome: Outcome) -> Said {
    match outcome {
        Outcome::Accepted(_) => Said::Taken,
        Outcome::Rejected(rejected) => match rejected.error {
            None => Said::NotNow("it rejects a message and does not say why".to_owned()),
            Some(error) => {
                let reason = words::said(&error);
                match error.condition {
                    ErrorCondition::AmqpError(
                        AmqpError::ResourceLimitExceeded
                        | AmqpError::ResourceLocked
                        | AmqpError::InternalError
                        | AmqpError::NotFound
                        | AmqpError::ResourceDeleted,
                    ) => Said::NotNow(reason),
                    ErrorCondition::Custom(name) if LATER.contains(&&*name.0) => Said::NotNow(reason),
                    _ => Said::Never(reason),
                }
            }
        },
        Outcome::Released(_) => Said::Released,
        Outcome::Modified(_) => Said::NotNow("it gives a message back (modified)".to_owned()),
        _ => Said::NotNow("it does not take a message".to_owned()),
    }
}
