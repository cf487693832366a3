//! The bearer token: made once, kept in a file that only its owner reads, compared in constant time.

use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

/// Greatest token file, in bytes.
const BYTES_MAX: u64 = 4096;

/// Shortest token that is taken, in characters.
const LENGTH_MIN: usize = 16;

/// What a caller of the admin API has to know. Its value appears in no log and no answer.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// The token in this file, which is made with mode 0600 if it is not there, or if there is nothing in it: a start may have
    /// been cut short. Wider access rights are taken away.
    ///
    /// # Errors
    /// The file cannot be read or made, or holds no token of at least 16 characters.
    pub fn open(path: &Path) -> io::Result<Self> {
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(file) => Self::make(file),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let found = std::fs::metadata(path)?;
                if found.is_file() && found.len() == 0 {
                    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
                    return Self::make(OpenOptions::new().write(true).open(path)?);
                }
                Self::read(path)
            }
            Err(error) => Err(error),
        }
    }

    /// The token in this file.
    ///
    /// # Errors
    /// The file cannot be read, or holds no token.
    pub fn load(path: &Path) -> io::Result<Self> {
        let mut text = String::new();
        File::open(path)?.take(BYTES_MAX).read_to_string(&mut text)?;
        let token = text.trim();
        if token.len() < LENGTH_MIN || !token.bytes().all(|b| b.is_ascii_graphic()) {
            let reason = format!("it holds no token of at least {LENGTH_MIN} characters");
            return Err(io::Error::new(ErrorKind::InvalidData, reason));
        }
        Ok(Self(token.to_owned()))
    }

    /// Whether [`Token::open`] could use this file, which is left as it is.
    ///
    /// # Errors
    /// As there.
    pub fn look(path: &Path) -> io::Result<()> {
        match std::fs::metadata(path) {
            Ok(found) if found.is_file() && found.len() == 0 => Ok(()),
            _ => Self::load(path).map(drop).map_err(replaceable),
        }
    }

    /// Its value, for whoever has to send it.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Whether `other` is this token. Takes the same time wherever they differ.
    pub fn is(&self, other: &[u8]) -> bool {
        let (ours, theirs) = (Sha256::digest(self.0.as_bytes()), Sha256::digest(other));
        ours.iter().zip(theirs.iter()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }

    fn make(mut file: File) -> io::Result<Self> {
        let token: String = rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(file, "{token}")?;
        file.sync_all()?;
        Ok(Self(token))
    }

    /// The token in this file, which is not made. Wider access rights are taken away.
    ///
    /// # Errors
    /// As with [`Token::load`].
    pub fn read(path: &Path) -> io::Result<Self> {
        let mode = std::fs::metadata(path)?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "the admin token could be read by others; its mode is set to 0600");
            std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        }
        Self::load(path).map_err(replaceable)
    }
}

/// Of the broker's own token, what to do about it.
fn replaceable(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::InvalidData => {
            io::Error::new(error.kind(), format!("{error}; delete it, and a start makes a new one"))
        }
        _ => error,
    }
}

/// The tokens that open the API now. A clone is about the same ones.
#[derive(Clone)]
pub struct Tokens(Arc<RwLock<Pair>>);

/// Of those who may do everything, and of those who may only look.
type Pair = (Token, Option<Token>);

/// What a caller with a right token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum May {
    Everything,
    Look,
}

impl Tokens {
    /// One for everything, and one for looking, if there is to be one.
    pub fn new(token: Token, reader: Option<Token>) -> Self {
        Self(Arc::new(RwLock::new((token, reader))))
    }

    /// Puts others in their place, for all that comes from here on. Whether the one for everything is another one, and the other.
    pub fn replace(&self, other: &Self) -> (bool, bool) {
        let (token, reader) = other.0.read().clone();
        let mut held = self.0.write();
        let (former, former_reader) = std::mem::replace(&mut *held, (token, reader));
        (
            former.secret() != held.0.secret(),
            former_reader.as_ref().map(Token::secret) != held.1.as_ref().map(Token::secret),
        )
    }

    /// The value of the one for everything.
    pub fn secret(&self) -> String {
        self.0.read().0.secret().to_owned()
    }

    /// Lets somebody in who brings this.
    pub(super) fn admit(&self, given: &[u8]) -> Admitted {
        Admitted { tokens: self.clone(), given: given.into() }
    }

    /// What whoever brings this may do; none: it is no token.
    pub(super) fn allow(&self, given: &[u8]) -> Option<May> {
        let (token, reader) = &*self.0.read();
        match token.is(given) {
            true => Some(May::Everything),
            false => reader.as_ref().is_some_and(|reader| reader.is(given)).then_some(May::Look),
        }
    }
}

/// Who was let in, for as long as what they brought is a token.
#[derive(Clone)]
pub(super) struct Admitted {
    tokens: Tokens,
    given: Arc<[u8]>,
}

impl Admitted {
    /// Whether they would be let in now.
    pub(super) fn is_so_still(&self) -> bool {
        self.tokens.allow(&self.given).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_token_is_made_once_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.token");
        let first = Token::open(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(first.secret().len(), 64);
        assert_eq!(Token::open(&path).unwrap().secret(), first.secret());
        std::fs::write(&path, "").unwrap();
        let again = Token::open(&path).unwrap();
        assert_eq!((again.secret().len(), mode(&path)), (64, 0o600), "a start that was cut short is made good");
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(Token::open(&path).unwrap().secret(), again.secret());
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn only_the_same_token_is_the_token() {
        let token = Token("0123456789abcdef".to_owned());
        for (other, same) in
            [("0123456789abcdef", true), ("0123456789abcdeg", false), ("0123456789abcde", false), ("", false)]
        {
            assert_eq!(token.is(other.as_bytes()), same, "{other}");
        }
    }

    #[test]
    fn a_file_without_a_token_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for content in ["short", "has space in it here"] {
            let path = dir.path().join("t");
            std::fs::write(&path, content).unwrap();
            assert!(Token::open(&path).is_err(), "{content:?}");
        }
    }
}
