//! What the simple mechanisms say: PLAIN (RFC 4616), EXTERNAL (RFC 4422), OAUTHBEARER (RFC 7628), ANONYMOUS (RFC 4505).

use super::inquiry::Circumstances;
use super::keyring::Keyring;
use super::settings::{Method, PASSWORD_BYTES_MAX, TOKEN_BYTES_MAX};

/// Every mechanism, best first.
pub const MECHANISMS: [&str; 6] = ["EXTERNAL", "SCRAM-SHA-512", "SCRAM-SHA-256", "OAUTHBEARER", "PLAIN", "ANONYMOUS"];

/// What a client of this listener may use.
pub(super) fn offered(keyring: &Keyring, circumstances: &Circumstances) -> Vec<&'static str> {
    let anonymous = keyring.admits_anonymous(&circumstances.listener, &circumstances.peer);
    let checks = keyring.checks_passwords() || keyring.checks_tokens() || keyring.tries(Method::Module);
    let usable = |mechanism: &str| match mechanism {
        "EXTERNAL" => keyring.tries(Method::Certificate) && circumstances.certificate.is_some(),
        "SCRAM-SHA-512" | "SCRAM-SHA-256" => keyring.checks_passwords(),
        "OAUTHBEARER" => keyring.checks_tokens(),
        "PLAIN" => checks || anonymous,
        _ => anonymous,
    };
    MECHANISMS.into_iter().filter(|mechanism| usable(mechanism)).collect()
}

/// Name and password. None: it is not a message of PLAIN, or somebody wants to act for somebody else.
pub(super) fn plain(message: &[u8]) -> Option<(&str, &[u8])> {
    if message.len() > PASSWORD_BYTES_MAX + TOKEN_BYTES_MAX {
        return None;
    }
    let mut fields = message.splitn(3, |byte| *byte == 0);
    let (authority, name, password) = (fields.next()?, fields.next()?, fields.next()?);
    if name.is_empty() || password.is_empty() || password.contains(&0) {
        return None;
    }
    if !authority.is_empty() && authority != name {
        return None;
    }
    Some((std::str::from_utf8(name).ok()?, password))
}

/// The token. None: it is not a message of OAUTHBEARER.
pub(super) fn bearer(message: &[u8]) -> Option<&[u8]> {
    let text = std::str::from_utf8(message).ok()?;
    let (header, rest) = text.split_once('\u{1}')?;
    if !header.starts_with("n,") && !header.starts_with("y,") {
        return None;
    }
    let mut fields = rest.strip_suffix("\u{1}\u{1}")?.split('\u{1}');
    let value = fields.find_map(|field| field.strip_prefix("auth="))?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim().as_bytes())
}
