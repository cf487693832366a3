//! Addresses of RabbitMQ's second form, which AMQP clients use for queues and exchanges.

use pliant_guest::prelude::*;

use crate::mount::Mount;

/// Is this `/queues/NAME`, `/exchanges/NAME` or `/exchanges/NAME/KEY`, from an AMQP client?
///
/// # Errors
/// One of them without a name.
pub fn is_address(scope: &Scope, name: &str) -> Result<bool, Refusal> {
    if scope.protocol != Protocol::Amqp {
        return Ok(false);
    }
    for (start, form) in [("/queues/", "/queues/NAME"), ("/exchanges/", "/exchanges/NAME/KEY")] {
        if let Some(rest) = name.strip_prefix(start) {
            let named = rest.split('/').next().is_some_and(|part| !part.is_empty());
            return if named {
                Ok(true)
            } else {
                Err(Refusal::topic_invalid(format!("the address `{name}` lacks a name; its form is {form}")))
            };
        }
    }
    Ok(false)
}

/// Passes an address unchanged; under a mount point it is refused.
pub fn pass(address: &str, mount: Option<&Mount>) -> Result<String, Refusal> {
    match mount {
        None => Ok(address.into()),
        Some(_) => Err(Refusal::not_supported(format!(
            "the address `{address}` lies outside of the mount point of this client"
        ))),
    }
}
