//! What `pliant pub` and `pliant sub` share: where to connect, as whom.

use super::Failure;
use clap::Args;
use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::QoS;
use std::path::PathBuf;
use std::time::Duration;

/// Greatest packet that is sent or taken, in bytes: MQTT's own bound.
const PACKET_BYTES_MAX: u32 = 268_435_455;

/// Where to connect, as whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectArgs {
    /// The broker
    #[arg(long, short, value_name = "URL", default_value = "mqtt://127.0.0.1:1883")]
    url: String,
    /// Client id; otherwise one is made up
    #[arg(long, short, value_name = "ID")]
    id: Option<String>,
    /// User name
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Seconds of silence after which the connection counts as lost
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u16).range(5..))]
    keep_alive: u16,
    /// Keep the session for so many seconds after the end
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    session_expiry: u32,
}

impl ConnectArgs {
    /// As the client library wants it.
    pub(crate) fn options(&self) -> Result<MqttOptions, Failure> {
        let (host, port) = address(&self.url)?;
        let id = self.id.clone().unwrap_or_else(|| format!("pliant-{:08x}", rand::random::<u32>()));
        let mut options = MqttOptions::new(id, host, port);
        options.set_keep_alive(Duration::from_secs(self.keep_alive.into()));
        options.set_clean_start(self.session_expiry == 0);
        options.set_session_expiry_interval((self.session_expiry > 0).then_some(self.session_expiry));
        options.set_max_packet_size(Some(PACKET_BYTES_MAX));
        if let Some(user) = &self.user {
            let password = match &self.password_file {
                Some(path) => {
                    let read = std::fs::read_to_string(path);
                    let text =
                        read.map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))?;
                    text.lines().next().unwrap_or_default().to_owned()
                }
                None => String::new(),
            };
            options.set_credentials(user, password);
        }
        Ok(options)
    }

    /// For messages: where.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// Host and port of a URL.
fn address(url: &str) -> Result<(String, u16), Failure> {
    let usage = |reason: String| Failure::Usage(format!("--url {url}: {reason}"));
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(usage("expected a scheme, as in mqtt://127.0.0.1:1883".to_owned()));
    };
    match scheme {
        "mqtt" => {}
        "mqtts" | "ws" | "wss" | "amqp" | "amqps" => {
            return Err(usage(format!("{scheme}:// is not there yet; this version has mqtt://")));
        }
        _ => return Err(usage(format!("{scheme}:// is unknown; this version has mqtt://"))),
    }
    let rest = rest.trim_end_matches('/');
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().map_err(|_| usage(format!("{port} is no port")))?)
        }
        _ => (rest, 1883),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || host.contains(['/', '@', '?']) {
        return Err(usage("expected mqtt://HOST or mqtt://HOST:PORT".to_owned()));
    }
    Ok((host.to_owned(), port))
}

/// From 0, 1 or 2; the argument parser lets nothing else through.
pub(crate) fn qos(level: u8) -> QoS {
    match level {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (url, expected) in [
            ("mqtt://localhost", Ok(("localhost", 1883))),
            ("mqtt://10.0.0.1:2883/", Ok(("10.0.0.1", 2883))),
            ("mqtt://[::1]:1", Ok(("::1", 1))),
            ("mqtt://[::1]", Ok(("::1", 1883))),
            ("localhost:1883", Err("expected a scheme")),
            ("mqtts://localhost", Err("not there yet")),
            ("http://localhost", Err("unknown")),
            ("mqtt://localhost:x", Err("no port")),
            ("mqtt://", Err("expected mqtt://HOST")),
            ("mqtt://a@b", Err("expected mqtt://HOST")),
        ] {
            match (address(url), expected) {
                (Ok((host, port)), Ok(expected)) => assert_eq!((host.as_str(), port), expected, "{url}"),
                (Err(Failure::Usage(reason)), Err(part)) => assert!(reason.contains(part), "{url}: {reason}"),
                (outcome, _) => panic!("{url}: {outcome:?}"),
            }
        }
    }
}
