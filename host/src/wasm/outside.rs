//! What modules may ask of servers outside: to whom the operator lets a module speak, and who carries the request. The
//! network itself is an argument of the room.

use super::limits::Limits;
use super::quota::Window;
use super::ticker::Waker;
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A host that modules may speak to: a name or an address, and a port. Without a port: 80 for `http` and 443 for `https`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostGrant {
    host: Box<str>,
    port: Option<u16>,
}

/// Bytes of a host's name.
const HOST_BYTES_MAX: usize = 253;

impl HostGrant {
    fn covers(&self, host: &str, port: u16, usual: u16) -> bool {
        self.host.eq_ignore_ascii_case(host) && self.port.unwrap_or(usual) == port
    }
}

impl FromStr for HostGrant {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected host or host:port, without a scheme, a path or wildcards";
        let (host, port) = split(text).ok_or(wrong)?;
        Ok(Self { host: host.into(), port })
    }
}

impl fmt::Display for HostGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// Host and port of an authority; an address of IPv6 keeps its brackets. Nothing else, such as a user, may be in it.
fn split(authority: &str) -> Option<(&str, Option<u16>)> {
    let colon = match authority.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')? + 2;
            (end < authority.len()).then_some(end)
        }
        None => authority.find(':'),
    };
    let (host, port) = match colon {
        Some(at) => (&authority[..at], Some(authority[at..].strip_prefix(':')?)),
        None => (authority, None),
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'[' | b']' | b':');
    if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.bytes().all(fits) {
        return None;
    }
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok())?;
    match port {
        None => Some((host, None)),
        Some(port) => Some((host, Some(digits(port)?))),
    }
}

/// A request that a module makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// Such as `GET`.
    pub method: Box<str>,
    /// Scheme, authority, path and query.
    pub url: String,
    /// Header fields in their order.
    pub fields: Fields,
    /// What is sent along.
    pub body: Vec<u8>,
    /// The answer has to be whole by then.
    pub patience: Duration,
    /// Longest body of an answer.
    pub reply_bytes_max: usize,
}

/// Names and values.
pub type Fields = Vec<(Box<str>, Box<[u8]>)>;

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// Such as 200.
    pub status: u16,
    /// Header fields in their order.
    pub fields: Fields,
    /// All of it.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The operator lets this module not speak to that host, or not in this hook.
    #[error("it may not be asked")]
    Denied,
    /// The request is none, such as one without a host.
    #[error("the request is none")]
    BadRequest,
    /// More requests than one call may make.
    #[error("one call may make no more requests")]
    TooMany,
    /// More is sent than a request may have.
    #[error("the request has more than {0} bytes")]
    RequestTooLarge(usize),
    /// More came than an answer may have.
    #[error("the answer has more than {0} bytes")]
    ReplyTooLarge(usize),
    /// It took too long.
    #[error("it took too long")]
    TimedOut,
    /// There is no such host.
    #[error("there is no such host")]
    NoHost,
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// The other side is not who it has to be, or speaks no TLS.
    #[error("its certificate is not trusted, or it speaks no TLS")]
    Tls,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Carries a request and waits for its answer.
pub type Messenger = Arc<dyn Fn(Errand) -> Result<Reply, Failure> + Send + Sync>;

/// Set once by whoever owns the network; before that nobody is there.
pub(super) type MessengerSlot = Arc<OnceLock<Messenger>>;

/// What one module has of the world outside.
pub(super) struct Outside {
    hosts: ArcSwap<Vec<HostGrant>>,
    messenger: MessengerSlot,
    metrics: Arc<Metrics>,
    /// Requests of this second.
    pub(super) sent: Mutex<Window>,
    /// To be called after a wait, so that the guest is watched again.
    pub(super) waker: Waker,
}

impl Outside {
    pub(super) fn new(hosts: Vec<HostGrant>, messenger: MessengerSlot, metrics: Arc<Metrics>, waker: Waker) -> Self {
        Self { hosts: ArcSwap::from_pointee(hosts), messenger, metrics, sent: Mutex::default(), waker }
    }

    /// Says anew to whom the module may speak; false: it was so already.
    pub(super) fn grant(&self, hosts: Vec<HostGrant>) -> bool {
        let changed = **self.hosts.load() != hosts;
        self.hosts.store(Arc::new(hosts));
        changed
    }

    pub(super) fn granted(&self) -> Arc<Vec<HostGrant>> {
        self.hosts.load_full()
    }

    /// The URL, if the module may ask for it.
    pub(super) fn permit(&self, https: bool, authority: &str, path: &str) -> Result<String, Failure> {
        let (scheme, usual) = if https { ("https", 443) } else { ("http", 80) };
        let (host, port) = split(authority).ok_or(Failure::BadRequest)?;
        let covered = self.hosts.load().iter().any(|grant| grant.covers(host, port.unwrap_or(usual), usual));
        if !covered {
            return Err(Failure::Denied);
        }
        let path_fits = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !path_fits || !(path.is_empty() || path.starts_with(['/', '?'])) {
            return Err(Failure::BadRequest);
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(format!("{scheme}://{authority}{slash}{path}"))
    }

    pub(super) fn count_denied(&self) {
        self.metrics.module_http_denied_total.add(1);
    }

    /// Waits for the answer.
    pub(super) fn send(&self, errand: Errand) -> Result<Reply, Failure> {
        self.metrics.module_http_requests_total.add(1);
        let reply = match self.messenger.get() {
            Some(messenger) => messenger(errand),
            None => Err(Failure::Other("there is no network here".to_owned())),
        };
        self.metrics.module_http_failures_total.add(u64::from(reply.is_err()));
        reply
    }
}

/// Whether a call may wait for servers outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Wait {
    Yes,
    /// Others of the same hook may: where nobody granted a host, nobody waits.
    NotThisCall,
    #[default]
    NotThisHook,
}

/// What is left of one call's share of the world outside.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Share {
    pub(super) wait: Wait,
    pub(super) requests: u32,
    pub(super) patience: Duration,
}

impl Share {
    pub(super) fn of_a_call(limits: &Limits, wait: Wait) -> Self {
        let patience = Duration::from_millis(limits.http_milliseconds_max);
        Self { wait, requests: limits.http_requests_max, patience }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::ticker::Waker;

    fn outside(hosts: &[&str]) -> Outside {
        let hosts = hosts.iter().map(|host| host.parse().expect("a host")).collect();
        Outside::new(hosts, MessengerSlot::default(), Arc::default(), Waker::none())
    }

    #[test]
    fn a_host_is_granted_at_its_port() {
        let outside = outside(&["auth.example", "10.0.0.1:8080", "[::1]:9000"]);
        for (https, authority, path, expected) in [
            (true, "auth.example", "/a?b", Ok("https://auth.example/a?b")),
            (false, "AUTH.example:80", "", Ok("http://AUTH.example:80/")),
            (true, "auth.example:443", "?q", Ok("https://auth.example:443/?q")),
            (false, "10.0.0.1:8080", "/", Ok("http://10.0.0.1:8080/")),
            (true, "[::1]:9000", "/", Ok("https://[::1]:9000/")),
            (false, "auth.example:443", "/", Err(Failure::Denied)),
            (true, "auth.example:8443", "/", Err(Failure::Denied)),
            (false, "10.0.0.1", "/", Err(Failure::Denied)),
            (true, "auth.example.org", "/", Err(Failure::Denied)),
            (true, "x.auth.example", "/", Err(Failure::Denied)),
            (true, "user@auth.example", "/", Err(Failure::BadRequest)),
            (true, "auth.example:443@evil", "/", Err(Failure::BadRequest)),
            (true, "auth.example\\evil", "/", Err(Failure::BadRequest)),
            (true, "", "/", Err(Failure::BadRequest)),
            (true, "auth.example:", "/", Err(Failure::BadRequest)),
            (true, "auth.example:+443", "/", Err(Failure::BadRequest)),
            (true, "[::1", "/", Err(Failure::BadRequest)),
            (true, "auth.example", "@evil/", Err(Failure::BadRequest)),
            (true, "auth.example", ".evil/", Err(Failure::BadRequest)),
            (true, "auth.example", "/a b", Err(Failure::BadRequest)),
            (true, "auth.example", "/a\r\nHost: evil", Err(Failure::BadRequest)),
        ] {
            let permitted = outside.permit(https, authority, path);
            assert_eq!(permitted.as_deref(), expected.as_deref(), "{authority}{path}");
        }
    }

    #[test]
    fn what_is_no_host_is_not_granted() {
        for bad in ["", "a b", "http://a", "a/b", "a:99999", "a:b", "*", "[::1]x", "a:1:2"] {
            assert!(bad.parse::<HostGrant>().is_err(), "{bad}");
        }
        for good in ["a", "a.b-c:80", "127.0.0.1:1", "[::1]", "[::1]:8080"] {
            assert_eq!(good.parse::<HostGrant>().expect(good).to_string(), good);
        }
    }
}
