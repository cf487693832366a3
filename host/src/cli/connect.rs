//! What `pliant pub` and `pliant sub` share: where to connect, as whom.

use super::Failure;
use super::trust::TlsArgs;
use super::tunnel::{Route, Tunnel};
use crate::bridge;
use clap::Args;
use rumqttc::Transport;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{ConnectionError, MqttOptions, StateError};
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Greatest packet that is sent or taken, in bytes: MQTT's own bound.
const PACKET_BYTES_MAX: u32 = 268_435_455;

/// Where to connect, as whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectArgs {
    /// The broker: mqtt://, mqtts://, ws://, wss://, quic://, amqp:// or amqps://, a host, a port; for WebSocket a path,
    /// otherwise /mqtt
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
    #[command(flatten)]
    tls: TlsArgs,
}

impl ConnectArgs {
    /// As the client library wants it.
    pub(crate) fn options(&self) -> Result<MqttOptions, Failure> {
        let Target { host, port, .. } = Target::read(&self.url)?;
        let id = self.id.clone().unwrap_or_else(|| format!("pliant-{:08x}", rand::random::<u32>()));
        self.say(MqttOptions::new(id, host, port))
    }

    /// A session that nobody can come back to is no use, and stays with the broker.
    pub(super) fn check_session(&self) -> Result<(), Failure> {
        match self.session_expiry > 0 && self.id.is_none() {
            true => Err(Failure::Usage(
                "--session-expiry keeps the session for a client that comes back by its id: name that with --id"
                    .to_owned(),
            )),
            false => Ok(()),
        }
    }

    /// With all that does not depend on the way.
    fn say(&self, mut options: MqttOptions) -> Result<MqttOptions, Failure> {
        options.set_keep_alive(Duration::from_secs(self.keep_alive.into()));
        options.set_clean_start(self.session_expiry == 0);
        options.set_session_expiry_interval((self.session_expiry > 0).then_some(self.session_expiry));
        options.set_max_packet_size(Some(PACKET_BYTES_MAX));
        if let Some(user) = &self.user {
            options.set_credentials(user, self.password()?);
        }
        Ok(options)
    }

    fn password(&self) -> Result<String, Failure> {
        let Some(path) = &self.password_file else { return Ok(String::new()) };
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))?;
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }

    /// Whether AMQP is to be spoken.
    pub(super) fn is_amqp(&self) -> bool {
        self.url.starts_with("amqp://") || self.url.starts_with("amqps://")
    }

    /// What an AMQP client needs.
    pub(super) fn amqp(&self) -> Result<AmqpLogin, Failure> {
        let target = bridge::Target::read(&self.url).map_err(|reason| Failure::Usage(format!("--url {reason}")))?;
        let tls = if target.is_tls { Some(self.tls.config()?) } else { None };
        let login = self.user.as_ref().map(|user| Ok((user.clone(), self.password()?))).transpose()?;
        let container = self.id.clone().unwrap_or_else(|| format!("pliant-{:08x}", rand::random::<u32>()));
        let idle = u32::from(self.keep_alive) * 1000;
        Ok(AmqpLogin { target, tls, login, container, idle, session_expiry: self.session_expiry })
    }

    /// What the client library connects with, and what carries that on; none: nothing has to.
    pub(super) fn link(&self) -> Result<(MqttOptions, Option<Tunnel>), Failure> {
        let Target { is_tls, is_quic, web, host, port } = Target::read(&self.url)?;
        let options = self.options()?;
        if !is_tls && web.is_none() {
            return Ok((options, None));
        }
        let tls = if is_tls { Some(self.tls.config()?) } else { None };
        let tunnel = Tunnel::new(Route { host, port, tls, is_quic, web })?;
        let mut options = MqttOptions::new(options.client_id(), tunnel.path().display().to_string(), port);
        options.set_transport(Transport::unix());
        Ok((self.say(options)?, Some(tunnel)))
    }

    /// Why the connection is no more. `was_in`: the broker had let the client in.
    pub(super) fn broken(&self, tunnel: Option<&Tunnel>, error: &ConnectionError, was_in: bool) -> Failure {
        let reason = match error {
            ConnectionError::MqttState(StateError::ConnectionAborted) if !was_in => bridge::NO_ANSWER.to_owned(),
            ConnectionError::MqttState(_) | ConnectionError::NotConnAck(_) if !was_in => {
                let others = if self.url.starts_with("mqtt://") {
                    "; if it speaks TLS there, say mqtts://, if AMQP, amqp://"
                } else {
                    ""
                };
                format!("what it answers is no MQTT{others}")
            }
            ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
                format!("the broker ended the connection: {}", words(reason_code, reason_string.as_ref()))
            }
            ConnectionError::MqttState(StateError::Io(error)) => error.to_string(),
            ConnectionError::MqttState(error) => error.to_string(),
            ConnectionError::ConnectionRefused(code) => {
                format!("the broker refused the connection: {}", words(code, None))
            }
            error => error.to_string(),
        };
        let reason = tunnel.map_or_else(|| reason.clone(), |tunnel| tunnel.explain(&reason));
        Failure::Failed(format!("{}: {reason}", self.url))
    }

    /// For messages: where.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// What an AMQP client needs to come in.
pub(super) struct AmqpLogin {
    pub target: bridge::Target,
    pub tls: Option<Arc<rustls::ClientConfig>>,
    pub login: Option<(String, String)>,
    pub container: String,
    /// Milliseconds of silence after which the connection counts as lost.
    pub idle: u32,
    /// Seconds for which a subscription stays after the end.
    pub session_expiry: u32,
}

/// What a URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    is_tls: bool,
    is_quic: bool,
    /// Path of the WebSocket.
    web: Option<String>,
    host: String,
    port: u16,
}

impl Target {
    fn read(url: &str) -> Result<Self, Failure> {
        let shown = bridge::without_secrets(url);
        let usage = |reason: String| Failure::Usage(format!("--url {shown}: {reason}"));
        if shown != url {
            return Err(usage("a URL holds no user name and no password; say --user and --password-file".to_owned()));
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(usage("expected a scheme, as in mqtt://127.0.0.1:1883".to_owned()));
        };
        let (is_tls, is_web, port) = match scheme {
            "mqtt" => (false, false, 1883),
            "mqtts" => (true, false, 8883),
            "ws" => (false, true, 8083),
            "wss" => (true, true, 8084),
            "quic" => (true, false, 14_567),
            "amqp" | "amqps" => return Err(usage(format!("{scheme}:// is not for this command"))),
            _ => {
                return Err(usage(format!(
                    "{scheme}:// is unknown; expected mqtt, mqtts, ws, wss, quic, amqp or amqps"
                )));
            }
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, port.parse().map_err(|_| usage(format!("{port} is no port")))?)
            }
            _ => (authority, port),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(['@', '?']) || (!is_web && path.len() > 1) {
            return Err(usage(format!("expected {scheme}://HOST or {scheme}://HOST:PORT")));
        }
        let path = if path.len() > 1 { path } else { "/mqtt" };
        let is_quic = scheme == "quic";
        Ok(Self { is_tls, is_quic, web: is_web.then(|| path.to_owned()), host: host.to_owned(), port })
    }
}

/// A reason of MQTT, which the library calls as `NotAuthorized`, with what the broker said about it.
pub(super) fn words(reason: impl Debug, said: Option<&String>) -> String {
    let mut words = String::new();
    for c in format!("{reason:?}").replace("QoS", "Qos").chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c);
    }
    let words = words.to_lowercase().replace("qos", "QoS");
    said.map_or_else(|| words.clone(), |said| format!("{words}: {said}"))
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
    use clap::Parser;

    #[test]
    fn reasons_are_told_in_words() {
        use rumqttc::v5::mqttbytes::v5::DisconnectReasonCode as Code;
        for (reason, said, expected) in [
            (Code::NotAuthorized, None, "not authorized"),
            (Code::QoSNotSupported, None, "QoS not supported"),
            (Code::AdministrativeAction, Some("bye".to_owned()), "administrative action: bye"),
        ] {
            let error = StateError::ServerDisconnect { reason_code: reason, reason_string: said.clone() };
            assert_eq!(words(reason, said.as_ref()), expected);
            let parsed = Arguments::parse_from(["pub", "--url", "mqtt://h"]);
            let Failure::Failed(told) = parsed.connect.broken(None, &error.into(), true) else { panic!("failed") };
            assert_eq!(told, format!("mqtt://h: the broker ended the connection: {expected}"));
        }
    }

    #[derive(clap::Parser)]
    struct Arguments {
        #[command(flatten)]
        connect: ConnectArgs,
    }

    #[test]
    fn urls_are_read() {
        let plain = |host: &str, port| (false, None, host.to_owned(), port);
        for (url, expected) in [
            ("mqtt://localhost", Ok(plain("localhost", 1883))),
            ("mqtt://10.0.0.1:2883/", Ok(plain("10.0.0.1", 2883))),
            ("mqtt://[::1]:1", Ok(plain("::1", 1))),
            ("mqtt://[::1]", Ok(plain("::1", 1883))),
            ("mqtts://localhost", Ok((true, None, "localhost".to_owned(), 8883))),
            ("ws://localhost", Ok((false, Some("/mqtt".to_owned()), "localhost".to_owned(), 8083))),
            ("wss://localhost:1/a/b", Ok((true, Some("/a/b".to_owned()), "localhost".to_owned(), 1))),
            ("quic://localhost", Ok((true, None, "localhost".to_owned(), 14_567))),
            ("quic://localhost/path", Err("expected quic://HOST")),
            ("localhost:1883", Err("expected a scheme")),
            ("http://localhost", Err("unknown")),
            ("mqtt://localhost:x", Err("no port")),
            ("mqtt://localhost/path", Err("expected mqtt://HOST")),
            ("mqtt://", Err("expected mqtt://HOST")),
            ("mqtt://a@b", Err("say --user")),
            ("ws://a:secret@b/mqtt", Err("ws://***@b/mqtt: a URL holds")),
        ] {
            let target = Target::read(url).map(|target| (target.is_tls, target.web, target.host, target.port));
            match (target, expected) {
                (Ok(target), Ok(expected)) => assert_eq!(target, expected, "{url}"),
                (Err(Failure::Usage(reason)), Err(part)) => assert!(reason.contains(part), "{url}: {reason}"),
                (outcome, _) => panic!("{url}: {outcome:?}"),
            }
        }
    }
}
