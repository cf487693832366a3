//! What an address means, and for how long a terminus stays.

use crate::amqp::{Array, Outcome, Source, Symbol, TerminusExpiryPolicy};
use crate::broker::{self, Parting, link_names};
use sha2::{Digest as _, Sha256};

/// Addresses of dynamic nodes begin like this. What they are they were made as, whatever a client that answers says.
const TEMPORARY: &str = "/temporary/";

/// Addresses of queues that are made when somebody names them.
const QUEUES: &str = "/queues/";

/// Addresses of exchanges.
const EXCHANGES: &str = "/exchanges/";

/// Bytes of the longest name of a link that stands with each of its exactly-once publications.
const PUBLISHING_BYTES: usize = 128;

/// What an address means: clients of Azure's name a node by its whole URL, `amqps://HOST/queues/NAME`.
pub fn node(address: &str) -> &str {
    let (scheme, rest) = address.split_once("://").unwrap_or_default();
    if !["amqp", "amqps"].into_iter().any(|own| scheme.eq_ignore_ascii_case(own)) {
        return address;
    }
    let path = &rest[rest.find('/').unwrap_or(rest.len())..];
    let is_own = [QUEUES, EXCHANGES, TEMPORARY].into_iter().any(|own| path.starts_with(own));
    if is_own { path } else { path.strip_prefix('/').unwrap_or(path) }
}

/// Whether a node is a queue: by its address, or because the client says so.
pub fn is_queue(address: &str, capabilities: Option<&Array<Symbol>>) -> bool {
    broker::is_address_of_queue(address) || (has(capabilities, "queue") && !address.starts_with(TEMPORARY))
}

/// Whether a capability is among those.
pub fn has(capabilities: Option<&Array<Symbol>>, name: &str) -> bool {
    capabilities.is_some_and(|all| all.0.iter().any(|symbol| symbol.0 == name))
}

/// What a terminus is of.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    /// A queue; otherwise a topic.
    pub is_queue: bool,
    /// A subscription that several links share.
    pub is_shared: bool,
    /// It was made for the link.
    pub is_dynamic: bool,
}

impl Node {
    /// Those of the capabilities that are asked for that it has (3.5.3, 3.5.4).
    pub fn capabilities(self, asked: Option<&Array<Symbol>>) -> Option<Array<Symbol>> {
        let has = |symbol: &&Symbol| match symbol.0.as_str() {
            "queue" => self.is_queue,
            "topic" => !self.is_queue,
            "shared" | "global" => self.is_shared,
            "temporary-queue" => self.is_dynamic && self.is_queue,
            "temporary-topic" => self.is_dynamic && !self.is_queue,
            _ => false,
        };
        let has: Vec<Symbol> = asked?.0.iter().filter(has).cloned().collect();
        (!has.is_empty()).then_some(Array(has))
    }
}

/// Whether an address is that of a dynamic node, which may be gone.
pub fn is_dynamic(address: &str) -> bool {
    address.starts_with(TEMPORARY)
}

/// A new address for a dynamic node that is a queue if one is asked for, and otherwise a topic: nobody can guess it.
pub fn dynamic(capabilities: Option<&Array<Symbol>>) -> String {
    let is_queue = has(capabilities, "queue") || has(capabilities, "temporary-queue");
    if is_queue { broker::address_of_temporary_queue() } else { topic() }
}

/// A new topic that nobody can guess.
pub fn topic() -> String {
    format!("{TEMPORARY}{:032x}", rand::random::<u128>())
}

/// What becomes of a delivery that its receiver settles without a word (3.5.3): what the source says, else released.
pub fn default_outcome(source: Option<&Source>) -> Outcome {
    source.and_then(|source| source.default_outcome.as_ref()).map_or(Outcome::Released, Outcome::of)
}

/// Whether a sender can be told that a message is rejected: what it names no outcomes for may have any (3.5.3).
pub fn knows_rejected(source: Option<&Source>) -> bool {
    let outcomes = source.and_then(|source| source.outcomes.as_ref());
    outcomes.is_none_or(|outcomes| outcomes.0.is_empty() || has(Some(outcomes), "amqp:rejected:list"))
}

/// How a sender hears that its message is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// By the outcome rejected, which says why.
    Rejected,
    /// By another outcome that it knows.
    Other(Outcome),
    /// By the end of its link.
    EndsLink,
}

impl Refusal {
    /// What the source can hear (3.5.3). Accepted is no answer, whatever it says of defaults.
    pub fn of(source: Option<&Source>) -> Self {
        if knows_rejected(source) {
            return Self::Rejected;
        }
        let default = source.and_then(|source| source.default_outcome.as_ref()).map(Outcome::of);
        let lists = |name| has(source.and_then(|source| source.outcomes.as_ref()), name);
        match default {
            Some(Outcome::Rejected(_)) => Self::Rejected,
            Some(outcome @ (Outcome::Released | Outcome::Modified(_))) => Self::Other(outcome),
            _ if lists("amqp:released:list") => Self::Other(Outcome::Released),
            _ if lists("amqp:modified:list") => Self::Other(Outcome::Modified(Box::default())),
            _ => Self::EndsLink,
        }
    }
}

/// For how long a subscription outlives its link (3.5.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stay {
    /// Its time begins when this ends.
    pub with: With,
    /// Its time, in seconds; `u32::MAX`: for ever.
    pub seconds: u32,
}

/// What a subscription lasts as long as at least; each ends no later than the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum With {
    /// The link.
    Link,
    /// Its session.
    Session,
    /// Its connection.
    Connection,
}

impl Stay {
    /// No longer than the link.
    pub const NOT: Self = Self { with: With::Link, seconds: 0 };
    /// For ever.
    pub const EVER: Self = Self { with: With::Link, seconds: u32::MAX };

    /// No longer than so many seconds.
    pub fn within(self, seconds_max: u32) -> Self {
        Self { seconds: self.seconds.min(seconds_max), ..self }
    }

    /// As a source says it: the policy and the timeout.
    pub fn policy(self) -> (TerminusExpiryPolicy, u32) {
        match (self.with, self.seconds) {
            (With::Link, u32::MAX) => (TerminusExpiryPolicy::Never, 0),
            (With::Link, seconds) => (TerminusExpiryPolicy::LinkDetach, seconds),
            (With::Session, seconds) => (TerminusExpiryPolicy::SessionEnd, seconds),
            (With::Connection, seconds) => (TerminusExpiryPolicy::ConnectionClose, seconds),
        }
    }

    /// How a receiver goes when its link, session or connection ends.
    pub fn parting(self, ended: With) -> Parting {
        if self.with > ended { Parting::Held(self.seconds) } else { Parting::Kept(self.seconds) }
    }
}

/// As the source says.
pub fn stay(source: &Source) -> Stay {
    let seconds = source.timeout;
    match source.expiry_policy {
        TerminusExpiryPolicy::Never => Stay::EVER,
        TerminusExpiryPolicy::LinkDetach => Stay { with: With::Link, seconds },
        TerminusExpiryPolicy::SessionEnd => Stay { with: With::Session, seconds },
        TerminusExpiryPolicy::ConnectionClose => Stay { with: With::Connection, seconds },
    }
}

/// Whether a subscription is one that several links share (the capability that JMS's clients ask for).
pub fn is_shared(source: &Source) -> bool {
    has(source.capabilities.as_ref(), "shared") && !source.dynamic
}

/// The name of a shared subscription: the link's up to `|`, behind which clients number their links.
pub fn shared_name(link: &str) -> &str {
    link.split('|').next().unwrap_or(link)
}

/// The name of the mailbox of a shared subscription: its own, within the container, or with capability `global` within the broker.
pub fn shared_mailbox(source: &Source, container: &str, link: &str, stays: bool) -> String {
    let within = (!has(source.capabilities.as_ref(), "global")).then_some(container);
    link_names::shared(within, shared_name(link), stays)
}

/// The name under which exactly-once publications of a sending link are remembered, each of them: of a long one the digest.
pub fn publishing(identity: Option<&str>, container: &str, link: &str) -> Box<str> {
    let name = format!("{}\0{container}\0{link}", identity.unwrap_or_default());
    if name.len() <= PUBLISHING_BYTES {
        return name.into();
    }
    // A name has U+0000 in it, a digest has not.
    Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::{node, publishing};

    /// RFC 3986, 3.1: schemes are written in either case.
    #[test]
    fn a_url_means_the_node_that_its_path_names() {
        for (address, means) in [
            ("amqps://host/home/kitchen", "home/kitchen"),
            ("amqp://user@host:5672/home", "home"),
            ("amqps://host//home", "/home"),
            ("amqps://host/queues/x", "/queues/x"),
            ("amqps://host:5671//queues/x", "/queues/x"),
            ("amqp://[::1]:5672/exchanges/e/k", "/exchanges/e/k"),
            ("amqps://host/temporary/1", "/temporary/1"),
            ("amqps://host/$management", "$management"),
            ("amqps://host/$mqtt.to.c.publish", "$mqtt.to.c.publish"),
            ("amqps://host/queue/x", "queue/x"),
            ("AMQPS://Host/queues/x", "/queues/x"),
            ("Amqp://host/home", "home"),
            ("amqps://host", ""),
            ("home/amqp://x", "home/amqp://x"),
            ("/queues/x", "/queues/x"),
        ] {
            assert_eq!(node(address), means, "{address}");
        }
    }

    /// It stands in the store with each publication that is not settled.
    #[test]
    fn a_long_name_of_a_link_is_remembered_by_its_digest() {
        assert_eq!(&*publishing(Some("ann"), "c", "l"), "ann\0c\0l");
        let long = "x".repeat(4_096);
        let names = [publishing(None, &long, "1"), publishing(None, &long, "2"), publishing(Some("ann"), &long, "1")];
        assert!(names.iter().all(|name| name.len() == 64 && !name.contains('\0')));
        assert!(names[0] != names[1] && names[0] != names[2]);
        assert_eq!(names[0], publishing(None, &long, "1"));
    }
}
