//! Components signed by the operator: Ed25519 (RFC 8032) over the bytes of the component.

use super::error::DeployError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

/// Keys with which components may be signed. Without any, a signature that is sent along is refused, since nobody can say
/// whose it is.
#[derive(Debug, Clone, Default)]
pub struct Signers {
    keys: Vec<VerifyingKey>,
    required: bool,
}

impl Signers {
    /// From lines of `ed25519 BASE64`, each with a comment behind it if that helps; empty lines and those that begin with
    /// `#` are left out. `required`: what is not signed is not put to work.
    ///
    /// # Errors
    /// Line and reason.
    pub fn read(text: &str, required: bool) -> Result<Self, String> {
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split_whitespace();
            let Some(kind) = words.next().filter(|word| !word.starts_with('#')) else { continue };
            let wrong = |why: &str| format!("line {}: {why}", number + 1);
            if kind != "ed25519" {
                return Err(wrong("expected `ed25519` and a public key in base64"));
            }
            let bytes = words.next().and_then(|word| STANDARD.decode(word).ok());
            let bytes: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
            let key = bytes.and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
            keys.push(key.ok_or_else(|| wrong("not an Ed25519 public key of 32 bytes in base64"))?);
        }
        if required && keys.is_empty() {
            return Err("signatures are required and there is no key".to_owned());
        }
        Ok(Self { keys, required })
    }

    /// Whether what is not signed is not put to work.
    pub fn are_required(&self) -> bool {
        self.required
    }

    /// Checks what came with a component.
    ///
    /// # Errors
    /// It is not signed and has to be, or not by one of these keys.
    pub fn check(&self, bytes: &[u8], signature: Option<&str>) -> Result<(), DeployError> {
        let Some(signature) = signature else {
            return if self.required { Err(DeployError::Unsigned) } else { Ok(()) };
        };
        let signature = STANDARD.decode(signature.trim()).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
        let signature = signature.ok_or(DeployError::Signature)?;
        if self.keys.is_empty() {
            return Err(DeployError::NoKeys);
        }
        match self.keys.iter().any(|key| key.verify_strict(bytes, &signature).is_ok()) {
            true => Ok(()),
            false => Err(DeployError::Signature),
        }
    }
}

/// A fresh pair of keys from 32 random bytes: the secret one in base64, and the line for [`Signers::read`].
pub fn key_pair(secret: [u8; 32]) -> (String, String) {
    let public = SigningKey::from_bytes(&secret).verifying_key();
    (STANDARD.encode(secret), format!("ed25519 {}", STANDARD.encode(public.as_bytes())))
}

/// Signs a component with a secret key as [`key_pair`] gave it; none: that is no key.
pub fn sign(secret: &str, bytes: &[u8]) -> Option<String> {
    let secret: [u8; 32] = STANDARD.decode(secret.trim()).ok()?.try_into().ok()?;
    Some(STANDARD.encode(SigningKey::from_bytes(&secret).sign(bytes).to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_known_key_signed_passes() {
        let (secret, public) = key_pair([7; 32]);
        let (other, _) = key_pair([8; 32]);
        let signers = Signers::read(&format!("# ours\n\n{public} build server\n"), true).unwrap();
        let by = |secret: &str, bytes: &[u8]| sign(secret, bytes).unwrap();
        assert_eq!(signers.check(b"component", Some(&by(&secret, b"component"))), Ok(()));
        assert_eq!(signers.check(b"component", None), Err(DeployError::Unsigned));
        let long = format!("{}AAAA", by(&secret, b"component"));
        for wrong in [by(&secret, b"another"), by(&other, b"component"), "x".into(), String::new(), long] {
            assert_eq!(signers.check(b"component", Some(&wrong)), Err(DeployError::Signature), "{wrong}");
        }
        let lenient = Signers::read(&public, false).unwrap();
        assert_eq!(lenient.check(b"component", None), Ok(()));
        assert_eq!(lenient.check(b"component", Some("x")), Err(DeployError::Signature));
        assert_eq!(Signers::default().check(b"c", Some(&by(&secret, b"c"))), Err(DeployError::NoKeys));
    }

    /// RFC 8032, section 7.1, test 2.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let hex = |text: &str| -> Vec<u8> {
            text.as_bytes()
                .chunks(2)
                .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
                .collect()
        };
        let secret = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let signature = hex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
        assert_eq!(sign(&STANDARD.encode(secret), &[0x72]), Some(STANDARD.encode(signature)));
    }

    #[test]
    fn a_wrong_file_of_keys_says_where() {
        for (text, why) in [
            ("rsa AAAA", "line 1: expected `ed25519`"),
            ("#\ned25519", "line 2: not an Ed25519 public key"),
            ("ed25519 AAAA", "line 1: not an Ed25519 public key"),
            ("", "signatures are required and there is no key"),
        ] {
            assert!(Signers::read(text, true).unwrap_err().starts_with(why), "{text}");
        }
    }
}
