//! Names of messages on both sides of a bridge.

use super::settings::Route;
use super::target::Scheme;
use crate::topic::{Filter, Limits};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use xxhash_rust::xxh3::xxh3_64;

/// A route with what is looked up for each message.
#[derive(Debug, Clone)]
pub struct Way {
    /// As configured.
    pub route: Route,
    /// The same after a restart, whatever else the configuration says: entries of the queue carry it.
    pub number: u32,
    local: Option<Filter>,
    remote: Option<Filter>,
    /// There the topic is a routing key behind the name of an exchange, percent-encoded as RabbitMQ 4 and our module `exchanges`
    /// want it: a slash would end it.
    is_key: bool,
}

/// What stands in a key as it is (RFC 3986, 2.3).
const KEY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Way {
    /// Of a route that was checked.
    pub fn new(route: Route, scheme: Scheme) -> Self {
        let words = [&route.filter, &route.local_prefix, &route.remote_prefix, &route.local, &route.remote];
        let words: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), &[0]].concat()).collect();
        // An identifier of MQTT, 1 to 268,435,455.
        let number = (xxh3_64(&words) as u32 & 0x0FFF_FFFF).max(1);
        let filter = |name: String| Filter::new(&name, &Limits::default()).ok();
        let is_key = scheme == Scheme::Amqp && route.remote_prefix.starts_with("/exchanges/");
        Self { number, local: filter(route.local_source()), remote: filter(route.remote_source()), is_key, route }
    }

    /// What a topic here is called there; none: it does not go this way.
    pub fn outward(&self, topic: &str) -> Option<String> {
        let matches = self.local.as_ref().is_some_and(|filter| filter.matches(topic));
        let rest = topic.strip_prefix(&*self.route.local_prefix).filter(|_| matches)?;
        let name = match self.is_key {
            true => format!("{}{}", self.route.remote_prefix, utf8_percent_encode(rest, KEY)),
            false => format!("{}{rest}", self.route.remote_prefix),
        };
        Some(name).filter(|name| !name.is_empty())
    }

    /// What a topic there is called here; none: it does not come this way.
    pub fn inward(&self, topic: &str) -> Option<String> {
        let decoded = if self.is_key { percent_decode_str(topic).decode_utf8().ok()? } else { topic.into() };
        let topic = &*decoded;
        let matches = self.remote.as_ref().is_some_and(|filter| filter.matches(topic));
        let rest = topic.strip_prefix(&*self.route.remote_prefix).filter(|_| matches)?;
        Some(format!("{}{rest}", self.route.local_prefix)).filter(|name| !name.is_empty())
    }
}

/// Whether there is a topic that both filters match.
pub fn overlap(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.split('/').peekable(), b.split('/').peekable());
    loop {
        match (a.next(), b.next()) {
            (None, None) | (Some("#"), _) | (_, Some("#")) => return true,
            (Some(x), Some(y)) if x == y || x == "+" || y == "+" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_taken_off_and_put_on() {
        let route = |filter: &str, local: &str, remote: &str| {
            let (filter, local_prefix, remote_prefix) = (filter.into(), local.into(), remote.into());
            Way::new(Route { filter, local_prefix, remote_prefix, ..Route::default() }, Scheme::Amqp)
        };
        for (way, topic, out, back) in [
            (route("a/#", "", ""), "a/b", Some("a/b"), Some("a/b")),
            (route("a/#", "", ""), "b", None, None),
            (route("a/#", "", "/exchanges/e/"), "a/b c", Some("/exchanges/e/a%2Fb%20c"), None),
            (route("a/#", "", "/exchanges/e/"), "/exchanges/e/a%2Fb%20c", None, Some("a/b c")),
            (route("#", "", "site/1/"), "a/b", Some("site/1/a/b"), None),
            (route("#", "here/", "there/"), "here/x", Some("there/x"), None),
            (route("#", "here/", "there/"), "there/x", None, Some("here/x")),
            (route("t/+", "", "r/"), "t/1", Some("r/t/1"), None),
            (route("#", "", ""), "$SYS/x", None, None),
        ] {
            assert_eq!(way.outward(topic).as_deref(), out, "{topic} out");
            assert_eq!(way.inward(topic).as_deref(), back, "{topic} in");
        }
    }

    #[test]
    fn overlaps_are_found() {
        for (a, b, expected) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a/+", "a/b", true),
            ("a/+", "+/b", true),
            ("a/+", "a/b/c", false),
            ("a/#", "a", true),
            ("a/#", "b/#", false),
            ("#", "x/y", true),
            ("a/+/c", "+/b/#", true),
        ] {
            assert_eq!((overlap(a, b), overlap(b, a)), (expected, expected), "{a} and {b}");
        }
    }
}
