//! What a server keeps for SCRAM (RFC 5802, 7677): salt, iterations and two keys, from which no password follows but by
//! trying.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

/// Iterations for new users.
pub(super) const ITERATIONS: u32 = 16_384;
/// Fewer are not read (RFC 7677, 4), nor more, which would be the client's burden.
const ITERATIONS_RANGE: std::ops::RangeInclusive<u32> = 4096..=10_000_000;

/// The hash of a mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

impl Hash {
    /// The name of the mechanism.
    pub fn mechanism(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// Of this mechanism.
    pub fn of_mechanism(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha512].into_iter().find(|hash| hash.mechanism() == name)
    }

    /// Bytes of a hash.
    pub fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// H.
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    /// HMAC.
    pub fn mac(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        fn mac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
            let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().to_vec()
        }
        match self {
            Self::Sha256 => mac::<Hmac<Sha256>>(key, parts),
            Self::Sha512 => mac::<Hmac<Sha512>>(key, parts),
        }
    }

    /// Hi: PBKDF2 with one block.
    fn salted(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        fn salted<M: Mac + KeyInit + Clone>(password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
            // Keyed once: the key costs as much as a round.
            let keyed = <M as KeyInit>::new_from_slice(password).expect("HMAC takes keys of any length");
            let mut block = keyed.clone().chain_update(salt).chain_update([0, 0, 0, 1]).finalize().into_bytes();
            let mut sum = block.to_vec();
            for _ in 1..iterations {
                block = keyed.clone().chain_update(&block).finalize().into_bytes();
                sum.iter_mut().zip(&block).for_each(|(sum, byte)| *sum ^= byte);
            }
            sum
        }
        match self {
            Self::Sha256 => salted::<Hmac<Sha256>>(password, salt, iterations),
            Self::Sha512 => salted::<Hmac<Sha512>>(password, salt, iterations),
        }
    }
}

/// What is kept for one user and one mechanism.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// Of which mechanism.
    pub hash: Hash,
    /// How often the password is hashed.
    pub iterations: u32,
    /// Of the user.
    pub salt: Vec<u8>,
    /// H(ClientKey).
    pub stored: Vec<u8>,
    /// ServerKey.
    pub server: Vec<u8>,
}

impl ScramKeys {
    /// From a password.
    pub fn new(hash: Hash, password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let prepared = std::str::from_utf8(password).ok().and_then(|text| stringprep::saslprep(text).ok());
        let password = prepared.as_deref().map_or(password, str::as_bytes);
        let salted = hash.salted(password, salt, iterations);
        let stored = hash.digest(&hash.mac(&salted, &[b"Client Key"]));
        let server = hash.mac(&salted, &[b"Server Key"]);
        Self { hash, iterations, salt: salt.to_vec(), stored, server }
    }

    /// As in the password file: `SCRAM-SHA-256$16384$salt$stored$server`.
    pub fn to_text(&self) -> String {
        let encode = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        let (salt, stored, server) = (encode(&self.salt), encode(&self.stored), encode(&self.server));
        format!("{}${}${salt}${stored}${server}", self.hash.mechanism(), self.iterations)
    }

    /// From what [`Self::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split('$').collect();
        let [mechanism, iterations, salt, stored, server] = fields[..] else { return None };
        let hash = Hash::of_mechanism(mechanism)?;
        let iterations = iterations.parse().ok().filter(|count| ITERATIONS_RANGE.contains(count))?;
        let decode = |text: &str| BASE64_STANDARD.decode(text).ok();
        let keys = Self { hash, iterations, salt: decode(salt)?, stored: decode(stored)?, server: decode(server)? };
        let right = (8..=64).contains(&keys.salt.len())
            && keys.stored.len() == hash.length()
            && keys.server.len() == hash.length();
        right.then_some(keys)
    }
}
