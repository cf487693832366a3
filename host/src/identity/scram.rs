//! The server's side of SCRAM (RFC 5802, 7677) without channel binding.

use super::keyring::Keyring;
use super::scram_keys::{Hash, ITERATIONS, ScramKeys};
use super::settings::NAME_BYTES_MAX;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Longest nonce of a client, in bytes.
const NONCE_BYTES_MAX: usize = 512;

/// After the client's first message.
pub(super) struct Scram {
    hash: Hash,
    /// None: there is no such user, which shows only at the end.
    user: Option<(Arc<str>, [u8; 32])>,
    keys: ScramKeys,
    /// The client's header in base 64, as it has to come again.
    binding: String,
    nonce: String,
    /// What both sides sign, as far as it was said.
    said: String,
}

/// Somebody has proved to know the password.
pub(super) struct Proved {
    pub name: Arc<str>,
    pub mark: [u8; 32],
    /// The server's last message, by which it proves to know the keys.
    pub last: Box<[u8]>,
}

impl Scram {
    /// Reads the client's first message; the exchange, and the server's first message. None: it is not one.
    pub fn begin(keyring: &Keyring, hash: Hash, first: &[u8], nonce: &str) -> Option<(Self, Box<[u8]>)> {
        let text = std::str::from_utf8(first).ok()?;
        let mut fields = text.splitn(3, ',');
        let (flag, authority, bare) = (fields.next()?, fields.next()?, fields.next()?);
        // `p=`: a binding to a channel, which was not offered.
        if !matches!(flag, "n" | "y") {
            return None;
        }
        let mut fields = bare.split(',');
        let name = unescaped(fields.next()?.strip_prefix("n=")?)?;
        let theirs = fields.next()?.strip_prefix("r=")?;
        let printable = |b: u8| (0x21..=0x7e).contains(&b);
        if theirs.is_empty() || theirs.len() > NONCE_BYTES_MAX || !theirs.bytes().all(printable) {
            return None;
        }
        // Nobody acts for somebody else.
        if !authority.is_empty() && unescaped(authority.strip_prefix("a=")?)? != name {
            return None;
        }
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return None;
        }
        let (known, user) = keyring.user(&name);
        let keys = known.as_ref().and_then(|_| user.scram(hash)).cloned();
        let user = known.filter(|_| keys.is_some()).map(|name| (name, user.mark));
        let keys = keys.unwrap_or_else(|| pretended(hash, &keyring.pretence(&name)));
        let nonce = format!("{theirs}{nonce}");
        let answer = format!("r={nonce},s={},i={}", BASE64_STANDARD.encode(&keys.salt), keys.iterations);
        let binding = BASE64_STANDARD.encode(&text[..text.len() - bare.len()]);
        let said = format!("{bare},{answer}");
        Some((Self { hash, user, keys, binding, nonce, said }, answer.into_bytes().into()))
    }

    /// Reads the client's last message. None: it has proved nothing.
    pub fn end(self, last: &[u8]) -> Option<Proved> {
        let text = std::str::from_utf8(last).ok()?;
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let mut fields = without_proof.split(',');
        if fields.next()?.strip_prefix("c=")? != self.binding || fields.next()?.strip_prefix("r=")? != self.nonce {
            return None;
        }
        let proof = BASE64_STANDARD.decode(proof).ok().filter(|proof| proof.len() == self.hash.length())?;
        let said = format!("{},{without_proof}", self.said);
        let mut key = self.hash.mac(&self.keys.stored, &[said.as_bytes()]);
        key.iter_mut().zip(&proof).for_each(|(byte, proof)| *byte ^= proof);
        // Digests of both, so that the time taken tells nothing of what is kept.
        let stored = self.hash.digest(&key);
        if Sha256::digest(&stored) != Sha256::digest(&self.keys.stored) {
            return None;
        }
        let signature = self.hash.mac(&self.keys.server, &[said.as_bytes()]);
        let (name, mark) = self.user?;
        Some(Proved { name, mark, last: format!("v={}", BASE64_STANDARD.encode(signature)).into_bytes().into() })
    }
}

/// Keys of somebody who does not exist.
fn pretended(hash: Hash, seed: &[u8; 32]) -> ScramKeys {
    let stored = hash.mac(seed, &[b"stored"]);
    ScramKeys { hash, iterations: ITERATIONS, salt: seed[..16].to_vec(), server: stored.clone(), stored }
}

/// A name as it stands in a message (RFC 5802, 5.1): `=2C` is a comma, `=3D` an equals sign.
pub(super) fn unescaped(text: &str) -> Option<String> {
    let mut name = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        name.push_str(&rest[..at]);
        name.push(match rest.get(at..at + 3)? {
            "=2C" => ',',
            "=3D" => '=',
            _ => return None,
        });
        rest = &rest[at + 3..];
    }
    name.push_str(rest);
    Some(name)
}
