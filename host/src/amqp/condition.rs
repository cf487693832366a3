//! Error conditions by name (2.8.15 to 2.8.18, 4.5.8), and the fault that ends a connection.

pub use fe2o3_amqp_types::definitions::{
    AmqpError, ConnectionError, Error, ErrorCondition, Fields, LinkError, SessionError,
};
pub use fe2o3_amqp_types::transaction::TransactionError;
use std::fmt;

/// An error with a condition and words for people.
pub fn error(condition: impl Into<ErrorCondition>, description: impl Into<String>) -> Error {
    Error::new(condition, description.into(), None)
}

/// The connection has to end. Where the protocol has words for it, they are among the bytes to send already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What the client is told, if it can be told.
    pub error: Error,
}

impl Fault {
    /// A fault with a condition and words for people.
    pub fn new(condition: impl Into<ErrorCondition>, description: impl Into<String>) -> Self {
        Self { error: error(condition, description) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let condition = name(&self.error.condition);
        write!(f, "{condition}: {}", self.error.description.as_deref().unwrap_or_default())
    }
}

impl std::error::Error for Fault {}

/// The symbol of a condition.
pub fn name(condition: &ErrorCondition) -> String {
    let symbol: fe2o3_amqp_types::primitives::Symbol = match condition {
        ErrorCondition::AmqpError(error) => error.into(),
        ErrorCondition::ConnectionError(error) => error.into(),
        ErrorCondition::SessionError(error) => error.into(),
        ErrorCondition::LinkError(error) => error.into(),
        ErrorCondition::TransactionError(error) => error.into(),
        ErrorCondition::Custom(symbol) => symbol.clone(),
    };
    symbol.0
}

/// Longest description that is sent, in bytes: the error has to fit into the shortest frame that a client may insist on.
const DESCRIPTION_BYTES_MAX: usize = 300;

/// The error with a description that fits.
pub(super) fn fitting(mut error: Error) -> Error {
    if let Some(description) = &mut error.description
        && description.len() > DESCRIPTION_BYTES_MAX
    {
        let end = (0..=DESCRIPTION_BYTES_MAX).rev().find(|end| description.is_char_boundary(*end)).unwrap_or(0);
        description.truncate(end);
    }
    error
}
