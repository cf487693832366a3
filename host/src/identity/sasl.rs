//! What the simple mechanisms say: PLAIN (RFC 4616), EXTERNAL (RFC 4422), OAUTHBEARER (RFC 7628), ANONYMOUS (RFC 4505).

use super::inquiry::Circumstances;
use super::keyring::Keyring;
use super::scram;
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

/// What a client says in OAUTHBEARER.
pub(super) struct Bearer<'a> {
    /// Whom it wants to act for.
    pub authority: Option<String>,
    pub token: &'a [u8],
}

/// None: it is not a message of OAUTHBEARER (RFC 7628, 3.1), or it has no token.
pub(super) fn bearer(message: &[u8]) -> Option<Bearer<'_>> {
    let text = std::str::from_utf8(message).ok()?;
    let (header, rest) = text.split_once('\u{1}')?;
    // The header of RFC 5801, 4: a flag, for no binding to a channel, and whom to act for; a comma behind each.
    let (flag, authority) = header.strip_suffix(',')?.split_once(',')?;
    if !matches!(flag, "n" | "y") {
        return None;
    }
    let is_name = |named: &str| named.len() > 2 && !named.contains(',');
    let authority = match authority {
        "" => None,
        named => Some(scram::unescaped(named.strip_prefix("a=")?).filter(|_| is_name(named))?),
    };
    let mut fields = rest.strip_suffix("\u{1}\u{1}")?.split('\u{1}');
    let value = fields.find_map(|field| field.strip_prefix("auth="))?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim().as_bytes();
    scheme.eq_ignore_ascii_case("bearer").then_some(Bearer { authority, token })
}
