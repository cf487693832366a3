//! The address of another broker.

/// What is spoken there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// MQTT.
    Mqtt,
    /// AMQP 1.0.
    Amqp,
}

/// Where another broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What is spoken.
    pub scheme: Scheme,
    /// Over TLS.
    pub is_tls: bool,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Target {
    /// Reads `mqtt://`, `mqtts://`, `amqp://` or `amqps://` with a host and perhaps a port.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(url: &str) -> Result<Self, String> {
        let shown = without_secrets(url);
        if shown != url {
            return Err(format!("{shown}: a URL holds no user name and no password; there are settings for them"));
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(format!("{url}: expected a scheme, as in mqtt://127.0.0.1:1883"));
        };
        let (scheme_meant, is_tls, port) = match scheme {
            "mqtt" => (Scheme::Mqtt, false, 1883),
            "mqtts" => (Scheme::Mqtt, true, 8883),
            "amqp" => (Scheme::Amqp, false, 5672),
            "amqps" => (Scheme::Amqp, true, 5671),
            _ => return Err(format!("{url}: {scheme}:// is unknown; expected mqtt, mqtts, amqp or amqps")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, port.parse().map_err(|_| format!("{url}: {port} is no port"))?)
            }
            _ => (authority, port),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(['@', '?', '/']) {
            return Err(format!("{url}: expected {scheme}://HOST or {scheme}://HOST:PORT"));
        }
        Ok(Self { scheme: scheme_meant, is_tls, host: host.to_owned(), port })
    }
}

/// A URL as it may be shown: without what stands before an @.
pub fn without_secrets(url: &str) -> String {
    let begin = url.find("://").map_or(0, |at| at + 3);
    // A password may hold a slash that ought to be written in another way: everything before the last @ is suspect.
    match url.rfind('@').filter(|at| *at >= begin) {
        Some(at) => format!("{}***{}", &url[..begin], &url[at..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let at = |scheme, is_tls, host: &str, port| Ok(Target { scheme, is_tls, host: host.to_owned(), port });
        for (url, expected) in [
            ("mqtt://h", at(Scheme::Mqtt, false, "h", 1883)),
            ("mqtts://10.0.0.1:1/", at(Scheme::Mqtt, true, "10.0.0.1", 1)),
            ("amqp://[::1]", at(Scheme::Amqp, false, "::1", 5672)),
            ("amqps://[::1]:7", at(Scheme::Amqp, true, "::1", 7)),
            ("h:1883", Err("expected a scheme")),
            ("ws://h", Err("unknown")),
            ("mqtt://h:x", Err("no port")),
            ("mqtt://u@h", Err("mqtt://***@h: a URL holds no user name")),
            ("mqtt://u:s/e:c@r@h:1", Err("mqtt://***@h:1: a URL")),
            ("u:secret@h", Err("***@h: a URL")),
            ("amqp://", Err("expected amqp://HOST")),
            ("amqp://h/vhost", Err("expected amqp://HOST")),
        ] {
            match (Target::read(url), expected) {
                (Ok(target), Ok(expected)) => assert_eq!(target, expected, "{url}"),
                (Err(reason), Err(part)) => assert!(reason.contains(part), "{reason}"),
                (read, _) => panic!("{url}: {read:?}"),
            }
        }
    }
}
