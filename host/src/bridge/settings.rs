//! What the configuration says of a bridge, and what can be wrong with it.

use super::mapping::overlap;
use super::target::{Scheme, Target};
use crate::topic::{self, Filter};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// One bridge. Its name and its routes make its sessions: a bridge of another name begins with an empty queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How it is called in the configuration, the log and the admin API.
    pub name: String,
    /// Whether it runs. One that does not run has no queue. Default true.
    pub enabled: bool,
    /// The other broker: `mqtt://`, `mqtts://`, `amqp://` or `amqps://`, a host, a port. Needed.
    pub url: String,
    /// Version of MQTT; none: 5. Not for AMQP.
    pub version: Option<MqttVersion>,
    /// Client identifier, or container-id, over there; empty: one made of this broker's id and the bridge's name.
    pub client_id: String,
    /// User name over there; empty: none.
    pub user: String,
    /// File whose first line is the password; empty: none.
    pub password_file: PathBuf,
    /// Environment variable that holds the password; empty: none.
    pub password_env: String,
    /// Roots of the other broker's certificate, in PEM form; empty: the system's.
    pub ca_file: PathBuf,
    /// The bridge's own certificate and what leads to its root, in PEM form; empty: none.
    pub certificate: PathBuf,
    /// The key of that certificate.
    pub key: PathBuf,
    /// Seconds of silence after which the bridge asks whether the other broker is still there. Default 30.
    pub keep_alive_seconds: u16,
    /// Shortest and longest wait before a connection is tried again, in milliseconds, a random part comes on top. Default
    /// 1,000 and 60,000.
    pub retry_milliseconds_min: u64,
    /// See there.
    pub retry_milliseconds_max: u64,
    /// Seconds that making a connection may take. Default 30.
    pub connect_seconds_max: u32,
    /// Messages under way at the same time in each direction. Default 256.
    pub window: u16,
    /// Greatest packet, or message, that is taken, in bytes. Default 16 MiB.
    pub message_bytes_max: u32,
    /// Brokers that a message may have come through; one that came through more goes no further. Default 8.
    pub hops_max: u32,
    /// What goes where. At least one.
    pub routes: Vec<Route>,
}

/// Which messages cross, and under which name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Which way.
    pub direction: Direction,
    /// Topics, as a filter below the prefixes.
    pub filter: String,
    /// Highest quality of service, 0 to 2. Default 1.
    pub qos: u8,
    /// What stands before the topic here; not part of it there.
    pub local_prefix: String,
    /// What stands before the topic there; not part of it here.
    pub remote_prefix: String,
    /// AMQP: the address here, a topic or a queue, instead of filter and prefix.
    pub local: String,
    /// AMQP: the address of a node there, instead of filter and prefix.
    pub remote: String,
    /// AMQP, out: what becomes of a message that the other broker releases. Default: it waits.
    pub released: Released,
}

/// What becomes of a message that an AMQP broker releases, as RabbitMQ does where no queue is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Released {
    /// It is sent again after a while, those of its topic wait behind it.
    #[default]
    Kept,
    /// It is dropped, as one that is rejected.
    Dropped,
}

/// Which way messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From here to there.
    Out,
    /// From there to here.
    In,
    /// Both ways.
    Both,
}

/// Versions of MQTT that a bridge speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttVersion {
    /// 3.1.1: no properties, so no guard against loops that lead over more than one bridge.
    V311,
    /// 5.0.
    V5,
}

impl Settings {
    /// One about which nothing but its name is known.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            enabled: true,
            url: String::new(),
            version: None,
            client_id: String::new(),
            user: String::new(),
            password_file: PathBuf::new(),
            password_env: String::new(),
            ca_file: PathBuf::new(),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            keep_alive_seconds: 30,
            retry_milliseconds_min: 1000,
            retry_milliseconds_max: 60_000,
            connect_seconds_max: 30,
            window: 256,
            message_bytes_max: 16 << 20,
            hops_max: 8,
            routes: Vec::new(),
        }
    }

    /// The version of MQTT that is spoken.
    pub fn mqtt_version(&self) -> MqttVersion {
        self.version.unwrap_or(MqttVersion::V5)
    }

    /// What is wrong with it as a whole, and under which key.
    pub fn problem(&self, limits: &topic::Limits) -> Option<(&'static str, String)> {
        let name = &self.name;
        let target = match Target::read(&self.url) {
            Ok(target) => target,
            Err(_) if self.url.is_empty() => {
                return Some(("url", format!("bridge {name} needs url, the other broker")));
            }
            Err(reason) => return Some(("url", format!("bridge {name}: {reason}"))),
        };
        if target.scheme == Scheme::Amqp && self.version.is_some() {
            let message = format!("bridge {name}: version is one of MQTT; AMQP is always 1.0");
            return Some(("version", message));
        }
        let given = |path: &PathBuf| !path.as_os_str().is_empty();
        if given(&self.certificate) != given(&self.key) {
            return Some(("certificate", format!("bridge {name} needs both certificate and key, two PEM files")));
        }
        if !target.is_tls && (given(&self.ca_file) || given(&self.certificate)) {
            let message = format!("bridge {name}: certificates mean nothing without TLS; say mqtts:// or amqps://");
            return Some(("url", message));
        }
        if given(&self.password_file) && !self.password_env.is_empty() {
            return Some(("password_env", format!("bridge {name}: password_file or password_env, not both")));
        }
        if self.user.is_empty() && (given(&self.password_file) || !self.password_env.is_empty()) {
            return Some(("user", format!("bridge {name} has a password but no user")));
        }
        if self.retry_milliseconds_min > self.retry_milliseconds_max {
            let message = format!("bridge {name}: retry_milliseconds_min is greater than retry_milliseconds_max");
            return Some(("retry_milliseconds_min", message));
        }
        if self.routes.is_empty() {
            return Some(("routes", format!("bridge {name} needs at least one route")));
        }
        let wrong = |(at, reason): (usize, String)| ("routes", format!("bridge {name}, route {}: {reason}", at + 1));
        let each = self.routes.iter().enumerate();
        let of_one = each.filter_map(|(at, route)| Some((at, route.problem(target.scheme, limits)?))).next();
        of_one.or_else(|| self.clash(target.scheme)).map(wrong)
    }

    /// Two routes that do not go together: the number of the second, and why.
    fn clash(&self, scheme: Scheme) -> Option<(usize, String)> {
        let routes: Vec<(usize, Route)> =
            self.routes.iter().enumerate().flat_map(|(at, route)| route.ways().map(move |way| (at, way))).collect();
        for (n, (at, route)) in routes.iter().enumerate() {
            for (other_at, other) in &routes[..n] {
                let same_way = route.direction == other.direction;
                let source = |route: &Route| match route.direction {
                    Direction::In => route.remote_source(),
                    _ => route.local_source(),
                };
                if same_way && source(route) == source(other) {
                    return Some((*at, format!("it takes the same messages as route {}", other_at + 1)));
                }
                if scheme == Scheme::Mqtt
                    && self.mqtt_version() == MqttVersion::V311
                    && !same_way
                    && overlap(&route.remote_source(), &other.remote_source())
                {
                    let reason = format!(
                        "with MQTT 3.1.1 what it brings would go round: route {} goes the other way with topics of the same \
                         names; use version = \"5\", or other names",
                        other_at + 1
                    );
                    return Some((*at, reason));
                }
            }
        }
        None
    }

    /// The routes of one direction.
    pub(super) fn going(&self, direction: Direction) -> Vec<Route> {
        self.routes.iter().flat_map(Route::ways).filter(|route| route.direction == direction).collect()
    }
}

impl Default for Route {
    fn default() -> Self {
        let nothing = String::new;
        Self {
            direction: Direction::Out,
            filter: nothing(),
            qos: 1,
            local_prefix: nothing(),
            remote_prefix: nothing(),
            local: nothing(),
            remote: nothing(),
            released: Released::default(),
        }
    }
}

impl Route {
    /// A route for each way that it goes.
    fn ways(&self) -> impl Iterator<Item = Self> + use<> {
        let ways: &[Direction] = match self.direction {
            Direction::Out => &[Direction::Out],
            Direction::In => &[Direction::In],
            Direction::Both => &[Direction::Out, Direction::In],
        };
        let route = self.clone();
        ways.iter().map(move |way| Self { direction: *way, ..route.clone() })
    }

    /// How the log and the API call it: direction and source.
    pub fn shown(&self) -> String {
        let source = if self.direction == Direction::In { self.remote_source() } else { self.local_source() };
        format!("{} {source}", self.direction)
    }

    /// The filter, or the address, of what it takes here.
    pub fn local_source(&self) -> String {
        if self.local.is_empty() { format!("{}{}", self.local_prefix, self.filter) } else { self.local.clone() }
    }

    /// The filter, or the address, of what it takes there.
    pub fn remote_source(&self) -> String {
        if self.remote.is_empty() { format!("{}{}", self.remote_prefix, self.filter) } else { self.remote.clone() }
    }

    /// A key that would go unheard beside an address.
    fn idle_key(&self) -> Option<String> {
        let (local, remote) = (!self.local.is_empty(), !self.remote.is_empty());
        let idle = |key: &str, why: &str| Some(format!("{key} means nothing beside {why}"));
        if local && remote && !self.filter.is_empty() {
            return idle("filter", "local and remote, which name both sides");
        }
        if local && !self.local_prefix.is_empty() {
            return idle("local_prefix", "local");
        }
        if remote && !self.remote_prefix.is_empty() {
            return idle("remote_prefix", "remote");
        }
        if local && !remote && self.direction == Direction::Out {
            return Some("local needs remote: an address there for what comes from an address here".to_owned());
        }
        let is_wild = self.filter.contains(['+', '#']);
        (remote && !local && self.direction == Direction::In && is_wild).then(|| {
            "what comes from remote gets one topic here: say it as local, or as a filter without wildcards".to_owned()
        })
    }

    fn problem(&self, scheme: Scheme, limits: &topic::Limits) -> Option<String> {
        if scheme == Scheme::Mqtt && !(self.local.is_empty() && self.remote.is_empty()) {
            return Some("local and remote name AMQP addresses; with MQTT it is filter and prefixes".to_owned());
        }
        if self.released != Released::Kept && (scheme == Scheme::Mqtt || self.direction == Direction::In) {
            return Some("released is of what goes out over AMQP".to_owned());
        }
        if self.filter.is_empty() && (self.local.is_empty() || self.remote.is_empty()) {
            return Some("it needs a filter".to_owned());
        }
        if let Some(reason) = self.idle_key() {
            return Some(reason);
        }
        if self.direction == Direction::Both && !(self.local.is_empty() && self.remote.is_empty()) {
            return Some("an address belongs to one direction, out or in".to_owned());
        }
        let whole = [&self.local_prefix, &self.remote_prefix].map(|prefix| format!("{prefix}{}", self.filter));
        for name in whole.iter().filter(|_| !self.filter.is_empty()) {
            if let Err(error) = Filter::new(name, limits) {
                return Some(format!("{name:?}: {error}"));
            }
        }
        if [self.local_source(), self.remote_source()].iter().any(|name| name.starts_with("$share/")) {
            let how =
                "a bridge takes no part in a shared subscription ($share): give it a session or a queue of its own";
            return Some(how.to_owned());
        }
        for prefix in [&self.local_prefix, &self.remote_prefix] {
            if prefix.contains(['+', '#', '\0']) {
                return Some(format!("{prefix:?}: a prefix has no wildcards"));
            }
        }
        None
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Out => "out",
            Self::In => "in",
            Self::Both => "both",
        })
    }
}

impl FromStr for Direction {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "out" => Self::Out,
            "in" => Self::In,
            "both" => Self::Both,
            _ => return Err("expected one of out, in, both"),
        })
    }
}

impl fmt::Display for MqttVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V311 => "3.1.1",
            Self::V5 => "5",
        })
    }
}

impl FromStr for MqttVersion {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "3.1.1" => Self::V311,
            "5" => Self::V5,
            _ => return Err("expected \"3.1.1\" or \"5\""),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge(url: &str, routes: &[Route]) -> Settings {
        Settings { url: url.to_owned(), routes: routes.to_vec(), ..Settings::named("b") }
    }

    fn route(direction: Direction, filter: &str) -> Route {
        Route { direction, filter: filter.to_owned(), ..Route::default() }
    }

    #[test]
    fn what_is_wrong_is_said_under_its_key() {
        use Direction::{Both, In, Out};
        let v311 = |routes: &[Route]| Settings { version: Some(MqttVersion::V311), ..bridge("mqtt://h", routes) };
        let good = route(Out, "a/#");
        let address = |direction, filter: &str, local: &str, remote: &str| Route {
            local: local.into(),
            remote: remote.into(),
            ..route(direction, filter)
        };
        let amqp = |route: Route| bridge("amqp://h", &[route]);
        let prefixed = |local: &str, remote: &str, route| Route {
            local_prefix: local.into(),
            remote_prefix: remote.into(),
            ..route
        };
        for (settings, expected) in [
            (bridge("mqtt://h", std::slice::from_ref(&good)), None),
            (bridge("amqps://h:1", std::slice::from_ref(&good)), None),
            (bridge("", std::slice::from_ref(&good)), Some(("url", "needs url"))),
            (bridge("http://h", std::slice::from_ref(&good)), Some(("url", "unknown"))),
            (bridge("mqtt://h", &[]), Some(("routes", "at least one"))),
            (bridge("mqtt://h", &[route(Out, "")]), Some(("routes", "route 1: it needs a filter"))),
            (bridge("mqtt://h", &[route(Out, "a/#/b")]), Some(("routes", "whole last one"))),
            (bridge("mqtt://h", &[good.clone(), good.clone()]), Some(("routes", "same messages as route 1"))),
            (bridge("mqtt://h", &[route(Both, "a/#")]), None),
            (v311(&[route(Both, "a/#")]), Some(("routes", "would go round"))),
            (v311(&[route(Out, "a/#"), route(In, "b/#")]), None),
            (v311(&[route(Out, "a/+/c"), route(In, "+/b/#")]), Some(("routes", "route 2"))),
            (
                bridge("mqtt://h", &[Route { remote: "/queues/a".into(), ..good.clone() }]),
                Some(("routes", "AMQP addresses")),
            ),
            (
                bridge("mqtt://h", &[Route { local_prefix: "+/".into(), ..good.clone() }]),
                Some(("routes", "no wildcards")),
            ),
            (
                Settings { key: "k".into(), ..bridge("mqtts://h", std::slice::from_ref(&good)) },
                Some(("certificate", "both")),
            ),
            (Settings { ca_file: "c".into(), ..bridge("mqtt://h", std::slice::from_ref(&good)) }, Some(("url", "TLS"))),
            (
                Settings { version: Some(MqttVersion::V5), ..bridge("amqp://h", std::slice::from_ref(&good)) },
                Some(("version", "one of MQTT")),
            ),
            (amqp(address(Out, "", "/queues/a", "/queue/a")), None),
            (amqp(address(Out, "a/#", "", "/queue/a")), None),
            (amqp(address(In, "/queue/a", "b", "")), None),
            (amqp(address(In, "b", "", "/queue/a")), None),
            (amqp(address(Out, "a/#", "/queues/a", "b")), Some(("routes", "filter means nothing beside local and"))),
            (amqp(address(Out, "a", "/queues/a", "")), Some(("routes", "local needs remote"))),
            (amqp(address(In, "a/#", "", "/queue/a")), Some(("routes", "gets one topic here"))),
            (amqp(prefixed("x/", "", address(Out, "", "a", "b"))), Some(("routes", "local_prefix means nothing"))),
            (amqp(prefixed("", "x/", address(Out, "a", "", "b"))), Some(("routes", "remote_prefix means nothing"))),
            (Settings { password_env: "P".into(), ..bridge("mqtt://h", &[good]) }, Some(("user", "no user"))),
        ] {
            let problem = settings.problem(&topic::Limits::default());
            match (&problem, expected) {
                (None, None) => {}
                (Some((key, reason)), Some((at, part))) if *key == at && reason.contains(part) => {}
                _ => panic!("{settings:?}: {problem:?}"),
            }
        }
    }
}
