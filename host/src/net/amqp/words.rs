//! Refusals in AMQP's words.

use crate::amqp::{AmqpError, ConnectionError, Error, Fields, LinkError, Symbol, Value, error};
use crate::dialogue::{Closed, Elsewhere};
use crate::message::{Refusal, RefusalKind};

/// The error that says the same.
pub fn refused(refusal: &Refusal) -> Error {
    let reason = refusal.reason.clone();
    match refusal.kind {
        RefusalKind::NotAuthorized | RefusalKind::BadCredentials => error(AmqpError::UnauthorizedAccess, reason),
        RefusalKind::NameInvalid | RefusalKind::TopicInvalid => error(AmqpError::InvalidField, reason),
        RefusalKind::NotFound => error(AmqpError::NotFound, reason),
        RefusalKind::PayloadInvalid => error(AmqpError::DecodeError, reason),
        RefusalKind::QuotaExceeded => error(AmqpError::ResourceLimitExceeded, reason),
        RefusalKind::NotSupported => error(AmqpError::NotImplemented, reason),
        RefusalKind::Unavailable | RefusalKind::Unspecified => error(AmqpError::InternalError, reason),
    }
}

/// Why a link was taken down by the hall.
pub fn link_ended(why: &Closed) -> Error {
    match why {
        Closed::TakenOver => error(LinkError::Stolen, "another link has taken its place"),
        Closed::Deleted => error(AmqpError::ResourceDeleted, "what it was attached to is gone"),
        Closed::NotAuthorized(why) => error(AmqpError::UnauthorizedAccess, &**why),
        Closed::MessageTooLarge => {
            error(LinkError::MessageSizeExceeded, "the next message is longer than your max-message-size")
        }
        _ => error(LinkError::DetachForced, "the broker ended it"),
    }
}

/// Why a connection ends by the broker's will.
pub fn connection_ended(why: &Closed) -> Error {
    let reason = match why {
        Closed::Elsewhere(to) => return elsewhere(to),
        Closed::ShuttingDown => "the broker shuts down",
        Closed::TakenOver => "another connection has taken its place",
        _ => "an operator ended it",
    };
    error(ConnectionError::ConnectionForced, reason)
}

/// Longest name of a host, in bytes: the error has to fit into the shortest frame.
const HOST_BYTES_MAX: usize = 255;

/// The first of the servers, as AMQP has it (2.8.16); where none is named the client may find one by itself.
fn elsewhere(to: &Elsewhere) -> Error {
    let reason = "clients of this broker are sent elsewhere";
    let Some((host, port)) = to.server.split_whitespace().next().and_then(host_and_port) else {
        return error(ConnectionError::ConnectionForced, reason);
    };
    let mut info = Fields::new();
    info.insert(Symbol::from("network-host"), Value::String(host.to_owned()));
    if let Some(port) = port {
        info.insert(Symbol::from("port"), Value::Ushort(port));
    }
    Error { info: Some(Box::new(info)), ..error(ConnectionError::Redirect, reason) }
}

/// None: it is no host, or what follows it is no port.
fn host_and_port(server: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match server.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, rest)| (host, rest.strip_prefix(':')))?,
        None => server.rsplit_once(':').map_or((server, None), |(host, port)| (host, Some(port))),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_host = if server.starts_with('[') {
        host.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.chars().all(is_name)
    };
    let port = port.map(str::parse).transpose().ok()?;
    is_host.then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_told_as_a_host_and_a_port_where_it_is_one() {
        for (server, expected) in [
            ("b.example", Some(("b.example", None))),
            ("b.example:5672", Some(("b.example", Some(5672)))),
            ("10.0.0.2:5672", Some(("10.0.0.2", Some(5672)))),
            ("[2001:db8::1]:5672", Some(("2001:db8::1", Some(5672)))),
            ("[2001:db8::1]", Some(("2001:db8::1", None))),
            ("2001:db8::1", None),
            ("[b]:1", None),
            ("b:port", None),
            ("b:70000", None),
            ("amqp://b", None),
            (":5672", None),
            ("", None),
        ] {
            assert_eq!(host_and_port(server), expected, "{server}");
        }
        assert_eq!(host_and_port(&"b".repeat(256)), None);
    }
}
