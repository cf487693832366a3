//! For which clients a rule or a mount point is meant.

use pliant_guest::prelude::*;

/// All of them must hold; what is not given holds for everybody.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditions {
    listener: Option<String>,
    protocol: Option<Protocol>,
    user: Option<String>,
}

impl Conditions {
    /// From what the operator wrote; an error is told for the field `protocol`.
    pub fn new(listener: Option<String>, protocol: Option<String>, user: Option<String>) -> Result<Self, String> {
        let protocol = match protocol {
            None => None,
            Some(name) => Some(
                Protocol::from_name(&name)
                    .ok_or_else(|| format!("`{name}` is no protocol; there are `mqtt`, `amqp`, `http` and `module`"))?,
            ),
        };
        Ok(Conditions { listener, protocol, user })
    }

    /// For everybody.
    pub fn none() -> Self {
        Conditions { listener: None, protocol: None, user: None }
    }

    /// Do they hold for this client?
    pub fn hold(&self, scope: &Scope) -> bool {
        self.listener.as_ref().is_none_or(|listener| *listener == scope.listener)
            && self.protocol.is_none_or(|protocol| protocol == scope.protocol)
            && self.user.as_ref().is_none_or(|user| scope.identity.as_ref() == Some(user))
    }

    /// Is there a client for which both hold?
    pub fn meet(&self, other: &Conditions) -> bool {
        fn meet<T: PartialEq>(a: &Option<T>, b: &Option<T>) -> bool {
            a.is_none() || b.is_none() || a == b
        }
        meet(&self.listener, &other.listener) && meet(&self.protocol, &other.protocol) && meet(&self.user, &other.user)
    }
}
