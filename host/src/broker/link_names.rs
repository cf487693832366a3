//! Names of the mailboxes of receiving links of AMQP. Those that are kept stand in the store: what makes them never changes.
//!
//! | Name | Of what |
//! |---|---|
//! | `$amqp/CONTAINER/LINK` | a link that comes back |
//! | `$amqp/%link/CONTAINER/NUMBER/LINK` | a link that does not, on the connection of this number |
//! | `$amqp/%shared/CONTAINER/NAME` | a subscription that links of a container share |
//! | `$amqp/%shared//NAME` | one that those of all containers share |
//! | `$amqp/%volatile/…` | likewise, which ends with its links |
//! | `$amqp//ID` | answers of the subscription service to the client of this name |
//!
//! In a container's id `%` and `/` are escaped, so that none is called like the words that begin with `%`.

/// Mailboxes of links, and not of clients, have names that begin like this.
pub const OF_LINKS: &str = "$amqp/";

const ALONE: &str = "%link";
const SHARED: &str = "%shared";
const VOLATILE: &str = "%volatile";

fn escaped(container: &str) -> String {
    container.replace('%', "%25").replace('/', "%2F")
}

/// Of a link that comes back: containers have it for all times.
pub fn kept(container: &str, link: &str) -> String {
    format!("{OF_LINKS}{}/{link}", escaped(container))
}

/// Of a link that ends with its connection.
pub fn alone(container: &str, connection: u64, link: &str) -> String {
    format!("{OF_LINKS}{ALONE}/{}/{connection}/{link}", escaped(container))
}

/// Of a subscription that links share: those of one container, or all (none). One that lasts no longer than its links is another
/// one than one of the same name that stays: JMS has both, and its clients give both the same name.
pub fn shared(container: Option<&str>, name: &str, stays: bool) -> String {
    let kind = if stays { SHARED } else { VOLATILE };
    format!("{OF_LINKS}{kind}/{}/{name}", container.map(escaped).unwrap_or_default())
}

/// Of the answers that the subscription service gives to a client. No container has an empty name.
pub fn answers(id: &str) -> String {
    format!("{OF_LINKS}/{id}")
}

/// The container id in such a name, or what stands for it; none: it is not in there.
pub fn container(name: &str) -> Option<String> {
    let (first, rest) = name.strip_prefix(OF_LINKS)?.split_once('/')?;
    let container = match first {
        "" => return Some(rest.to_owned()),
        ALONE | SHARED | VOLATILE => rest.split_once('/')?.0,
        container => container,
    };
    (!container.is_empty()).then(|| container.replace("%2F", "/").replace("%25", "%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_container_and_no_two_are_the_same() {
        let mut names = Vec::new();
        for id in ["a", "a/b", "a%2Fb", "%link", "%shared", "1", "a/1"] {
            let of = |name: String| {
                assert_eq!(container(&name).as_deref(), Some(id), "{name}");
                name
            };
            for link in ["l", "1/l", "a/1/l", ""] {
                names.push(of(kept(id, link)));
                names.push(of(alone(id, 1, link)));
                names.extend([true, false].map(|stays| of(shared(Some(id), link, stays))));
            }
            names.push(of(answers(id)));
        }
        for link in ["l", "a/l"] {
            names.extend([true, false].map(|stays| shared(None, link, stays)));
            assert_eq!(container(&shared(None, link, true)), None);
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!(container("client"), None);
    }
}
