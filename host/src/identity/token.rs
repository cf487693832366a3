//! JSON web tokens (RFC 7519) signed with RS256, ES256 or HS256 by a key of ours.

use super::password_file::{check_name, read_text};
use super::settings::{KEYS_MAX, TOKEN_BYTES_MAX, TokenSettings};
use crate::message::Time;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// How far a clock that makes tokens may be ahead of ours, in milliseconds.
const AHEAD: u64 = 60_000;
/// The last second of the year 9999: a later expiry is a mistake.
const EXPIRY_MAX: f64 = 253_402_300_799.0;
/// Shortest secret for HS256, in bytes (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// Keys, and what a token must say.
pub(super) struct Tokens {
    keys: Vec<Key>,
    settings: Arc<TokenSettings>,
}

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
    mark: [u8; 32],
}

/// A token that is good.
#[derive(Debug)]
pub(super) struct Token {
    /// Whose.
    pub name: Arc<str>,
    /// Until when.
    pub expires: Time,
    /// Which key has signed it.
    pub mark: [u8; 32],
    /// What it had to say.
    pub said: Arc<TokenSettings>,
}

/// Whether this looks like a token. What does is never taken for a password where tokens are in use, so that the time an
/// answer takes tells nothing about users.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    let fits =
        |part: &[u8]| !part.is_empty() && part.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    bytes.starts_with(b"eyJ") && bytes.split(|b| *b == b'.').filter(|part| fits(part)).count() == 3
}

impl Tokens {
    /// Reads the key set.
    pub fn load(settings: &TokenSettings) -> Result<Self, String> {
        let text = read_text(&settings.keys_file)?;
        let wrong = |why: String| format!("{}: {why}", settings.keys_file.display());
        let keys = keys(&text).map_err(wrong)?;
        Ok(Self { keys, settings: Arc::new(settings.clone()) })
    }

    /// Whether a token is still taken that this key has signed, and that says what tokens had to say then.
    pub fn take(&self, mark: &[u8; 32], said: &TokenSettings) -> bool {
        let asks = |now: &str, then: &str| now.is_empty() || now == then;
        let TokenSettings { issuer, audience, name_claim, .. } = &*self.settings;
        let is_signed = self.keys.iter().any(|key| key.mark == *mark);
        // Another claim may be another name, and the token is not kept.
        let says = asks(issuer, &said.issuer) && asks(audience, &said.audience) && *name_claim == said.name_claim;
        is_signed && says
    }

    /// Reads a token and believes nothing in it but after its signature.
    ///
    /// # Errors
    /// In words for the log; nothing of the token.
    pub fn verify(&self, now: Time, token: &[u8]) -> Result<Token, &'static str> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err("the token is too long");
        }
        check_header(token)?;
        let header = jsonwebtoken::decode_header(token).map_err(|_| "the token's header is not one")?;
        let fits = |key: &&Key| {
            key.algorithm == header.alg && (header.kid.is_none() || key.id.is_none() || key.id == header.kid)
        };
        let mut validation = Validation::new(header.alg);
        validation.required_spec_claims.clear();
        // Held against our own clock below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        let mut candidates = self.keys.iter().filter(fits);
        let signed = candidates.find_map(|key| {
            let read = jsonwebtoken::decode::<Map<String, Value>>(token, &key.key, &validation).ok()?;
            Some((read.claims, key.mark))
        });
        let (claims, mark) = signed.ok_or("no key of ours has signed the token")?;
        let expires = self.check(now, &claims)?;
        let name = claims.get(&self.settings.name_claim).and_then(Value::as_str);
        let name = name.ok_or("the token names nobody")?;
        check_name(name)?;
        Ok(Token { name: name.into(), expires, mark, said: self.settings.clone() })
    }

    fn check(&self, now: Time, claims: &Map<String, Value>) -> Result<Time, &'static str> {
        let expires =
            claims.get("exp").and_then(milliseconds).ok_or("the token does not say properly when it expires")?;
        let expires = Time(expires);
        if expires <= now {
            return Err("the token has expired");
        }
        if let Some(begin) = claims.get("nbf") {
            let begin = milliseconds(begin).ok_or("the token does not say properly when it begins")?;
            if begin > now.0.saturating_add(AHEAD) {
                return Err("the token is not valid yet");
            }
        }
        let TokenSettings { issuer, audience, .. } = &*self.settings;
        if !issuer.is_empty() && claims.get("iss").and_then(Value::as_str) != Some(issuer) {
            return Err("the token is of another issuer");
        }
        let meant = match claims.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(audience)),
            _ => false,
        };
        if !audience.is_empty() && !meant {
            return Err("the token is for another audience");
        }
        Ok(expires)
    }
}

/// A time in a token, in milliseconds: a number of seconds, with a fraction or without (RFC 7519, 2, "NumericDate"; S15). None:
/// a text, or out of range.
fn milliseconds(value: &Value) -> Option<u64> {
    let seconds = value.as_f64().filter(|seconds| (0.0..=EXPIRY_MAX).contains(seconds))?;
    // It is in range, and exact for whole seconds.
    Some((seconds * 1000.0) as u64)
}

/// A header with extensions that must be understood is not (RFC 7515, 4.1.11).
fn check_header(token: &[u8]) -> Result<(), &'static str> {
    let header = token.split(|b| *b == b'.').next().unwrap_or_default();
    let json = BASE64_URL_SAFE_NO_PAD.decode(header).map_err(|_| "the token's header is not one")?;
    let header: Map<String, Value> = serde_json::from_slice(&json).map_err(|_| "the token's header is not one")?;
    if header.contains_key("crit") { Err("the token's header has extensions") } else { Ok(()) }
}

fn keys(text: &str) -> Result<Vec<Key>, String> {
    #[derive(serde::Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    // What serde says would show the place, and with it the text, of a secret.
    let set: Set = serde_json::from_str(text).map_err(|_| "it is not a JSON Web Key Set".to_owned())?;
    if set.keys.len() > KEYS_MAX {
        return Err(format!("it has more than {KEYS_MAX} keys"));
    }
    let mut keys = Vec::new();
    for (at, value) in set.keys.iter().enumerate() {
        let wrong = |why: &str| format!("key {}: {why}", at + 1);
        let jwk: Jwk = serde_json::from_value(value.clone()).map_err(|_| wrong("it is not a key"))?;
        let signs = jwk.common.public_key_use.as_ref().is_none_or(|wanted| *wanted == PublicKeyUse::Signature);
        let Some(algorithm) = algorithm(&jwk).filter(|_| signs) else { continue };
        let key = DecodingKey::from_jwk(&jwk).map_err(|_| wrong("it is not a key"))?;
        if algorithm == Algorithm::HS256 && key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() < SECRET_BYTES_MIN) {
            return Err(wrong("a secret for HS256 has at least 32 bytes"));
        }
        let mark = Sha256::digest(value.to_string().as_bytes()).into();
        keys.push(Key { id: jwk.common.key_id, algorithm, key, mark });
    }
    if keys.is_empty() {
        return Err("it has no key for RS256, ES256 or HS256".to_owned());
    }
    Ok(keys)
}

/// What a key is for; none: nothing of ours.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    let (algorithm, said) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKey(_) => (Algorithm::HS256, KeyAlgorithm::HS256),
        _ => return None,
    };
    jwk.common.key_algorithm.is_none_or(|other| other == said).then_some(algorithm)
}
