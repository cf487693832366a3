//! What an address means, and for how long a terminus stays.

use crate::amqp::{Array, Source, Symbol, TerminusExpiryPolicy};
use crate::broker::OF_LINKS;

/// Addresses that begin like this are queues.
const QUEUES: &str = "/queues/";
/// Seconds for which a terminus that was only detached waits for its return, where its client wants it to stay until the end
/// of the session or connection.
const DETACHED_SECONDS_MIN: u32 = 60;

/// Whether a node is a queue: by its address, or because the client says so.
pub fn is_queue(address: &str, capabilities: Option<&Array<Symbol>>) -> bool {
    address.strip_prefix(QUEUES).is_some_and(|name| !name.is_empty()) || has(capabilities, "queue")
}

/// Whether a capability is among those.
pub fn has(capabilities: Option<&Array<Symbol>>, name: &str) -> bool {
    capabilities.is_some_and(|all| all.0.iter().any(|symbol| symbol.0 == name))
}

/// A new address for a dynamic node: nobody can guess it.
pub fn dynamic() -> String {
    format!("/temporary/{:032x}", rand::random::<u128>())
}

/// For how long a subscription outlives its link, in seconds; `u32::MAX`: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stay {
    /// The link was detached and not closed.
    pub detached: u32,
    /// The session or the connection ended.
    pub lost: u32,
}

/// As the source says.
pub fn stay(source: &Source) -> Stay {
    let timeout = source.timeout;
    match source.expiry_policy {
        TerminusExpiryPolicy::Never => Stay { detached: u32::MAX, lost: u32::MAX },
        TerminusExpiryPolicy::LinkDetach => Stay { detached: timeout, lost: timeout },
        TerminusExpiryPolicy::SessionEnd | TerminusExpiryPolicy::ConnectionClose => {
            Stay { detached: timeout.max(DETACHED_SECONDS_MIN), lost: timeout }
        }
    }
}

/// The name of the mailbox of a receiving link. Links of one container have it for all times; `unique` sets those apart that
/// end with their connection.
pub fn mailbox(container: &str, link: &str, unique: Option<u64>) -> String {
    let container = container.replace('%', "%25").replace('/', "%2F");
    match unique {
        None => format!("{OF_LINKS}{container}/{link}"),
        Some(number) => format!("{OF_LINKS}{container}/{number}/{link}"),
    }
}

/// The name under which exactly-once publications of a sending link are remembered.
pub fn publishing(identity: Option<&str>, container: &str, link: &str) -> Box<str> {
    format!("{}\0{container}\0{link}", identity.unwrap_or_default()).into()
}
