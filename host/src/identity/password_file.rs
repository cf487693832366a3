//! The file of users: a line each, written by `pliant user`.
//!
//! `name:argon2id-hash:SCRAM-SHA-256-keys:SCRAM-SHA-512-keys`; the keys may be missing, and with them the mechanism. In
//! names `%`, `:` and what does not print are written as `%` and two hexadecimal digits. Empty lines and those that begin
//! with `#` are left alone. A line that is none of this makes the whole file wrong: it is not guessed whom it meant.

use super::scram_keys::{Hash, ITERATIONS, ScramKeys};
use super::settings::{FILE_BYTES_MAX, NAME_BYTES_MAX, PASSWORD_BYTES_MAX};
use argon2::password_hash::PasswordHasher;
use argon2::{Argon2, PasswordHash, PasswordVerifier};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// One user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// In the format of the Password Hashing Competition, as Argon2 writes it.
    hash: Box<str>,
    scram: Vec<ScramKeys>,
    /// What tells this entry from a former one of the same name.
    pub(super) mark: [u8; 32],
}

/// Why a file of users cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The name will not do.
    #[error("{0}")]
    Name(&'static str),
    /// The password will not do.
    #[error("a password has 1 to 4,096 bytes")]
    Password,
    /// The system has no random numbers.
    #[error("no random numbers: {0}")]
    Random(String),
}

/// Whether this may be somebody's name.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("a user name has at least one character");
    }
    if name.len() > NAME_BYTES_MAX {
        return Err("a user name has at most 256 bytes");
    }
    if name.chars().any(char::is_control) {
        return Err("a user name has no control characters");
    }
    if name.starts_with("bridge/") {
        return Err("user names that begin with bridge/ are those of the broker's own bridges");
    }
    Ok(())
}

impl User {
    /// A user with this password; without keys for SCRAM if so wanted, since trying passwords against those is cheaper
    /// than against the hash.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn new(password: &[u8], with_scram: bool) -> Result<Self, WriteError> {
        if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
            return Err(WriteError::Password);
        }
        let random = |error: argon2::password_hash::Error| WriteError::Random(error.to_string());
        let hash = Argon2::default().hash_password_with_salt(password, &rand::random::<[u8; 16]>()).map_err(random)?;
        let keys = |hash| ScramKeys::new(hash, password, &rand::random::<[u8; 16]>(), ITERATIONS);
        let scram = if with_scram { vec![keys(Hash::Sha256), keys(Hash::Sha512)] } else { Vec::new() };
        Ok(Self::from_parts(hash.to_string().into(), scram))
    }

    fn from_parts(hash: Box<str>, scram: Vec<ScramKeys>) -> Self {
        let text = std::iter::once(hash.to_string()).chain(scram.iter().map(ScramKeys::to_text));
        let text: Vec<String> = text.collect();
        let mark = Hash::Sha256.digest(text.join(":").as_bytes());
        Self { hash, scram, mark: mark.try_into().expect("SHA-256 has 32 bytes") }
    }

    /// Whether this is the password. Takes its time.
    pub fn verify(&self, password: &[u8]) -> bool {
        let hash = PasswordHash::new(&self.hash);
        let fits = password.len() <= PASSWORD_BYTES_MAX;
        fits && hash.is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
    }

    /// Keys for a mechanism.
    pub fn scram(&self, hash: Hash) -> Option<&ScramKeys> {
        self.scram.iter().find(|keys| keys.hash == hash)
    }

    fn line(&self, name: &str) -> String {
        let keys: String = self.scram.iter().map(|keys| format!(":{}", keys.to_text())).collect();
        format!("{}:{}{keys}\n", escaped(name), self.hash)
    }
}

/// All users.
#[derive(Clone, Default)]
pub struct PasswordFile {
    users: BTreeMap<Arc<str>, User>,
}

impl PasswordFile {
    /// Reads a file.
    ///
    /// # Errors
    /// In words, with the line; nothing of its content.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = read_text(path)?;
        Self::parse(&text).map_err(|why| format!("{}:{why}", path.display()))
    }

    /// From the text of a file.
    ///
    /// # Errors
    /// In words, with the number of the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut users = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim_end_matches('\r');
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why: &str| format!("{}: {why}", at + 1);
            let (name, user) = entry(line).map_err(wrong)?;
            if users.insert(name, user).is_some() {
                return Err(wrong("the user stands in the file twice"));
            }
        }
        Ok(Self { users })
    }

    /// The text of a file.
    pub fn to_text(&self) -> String {
        let head = "# Users of Pliant: written by `pliant user`, one line each.\n".to_owned();
        self.users.iter().fold(head, |text, (name, user)| text + &user.line(name))
    }

    /// Puts the file in place of what is there, with its owner, group and mode, or of what is not, readable by its owner alone;
    /// and never half of it.
    ///
    /// # Errors
    /// What the system says, or that this process may not give the file to its owner.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        // A link is followed, so that the file behind it is what changes.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{:08x}", rand::random::<u32>()));
        let beside = path.with_file_name(name);
        let written = self.write_beside(&beside, fs::metadata(&path).ok()).and_then(|()| fs::rename(&beside, &path));
        if written.is_err() {
            // The first error is the one to tell.
            let _ = fs::remove_file(&beside);
        }
        written
    }

    fn write_beside(&self, path: &Path, former: Option<fs::Metadata>) -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        if let Some(former) = former {
            take_after(&file, &former)?;
        }
        file.write_all(self.to_text().as_bytes())?;
        file.sync_all()
    }

    /// Adds a user or changes the password of one; true if it is new.
    ///
    /// # Errors
    /// The name will not do.
    pub fn add(&mut self, name: &str, user: User) -> Result<bool, WriteError> {
        check_name(name).map_err(WriteError::Name)?;
        Ok(self.users.insert(name.into(), user).is_none())
    }

    /// Takes a user out; false: there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        self.users.remove(name).is_some()
    }

    /// One user, with its name as it is kept.
    pub fn get(&self, name: &str) -> Option<(&Arc<str>, &User)> {
        self.users.get_key_value(name)
    }

    /// All names and the mechanisms that each can use beside a plain password.
    pub fn names(&self) -> impl Iterator<Item = (&str, Vec<&'static str>)> {
        let mechanisms = |user: &User| user.scram.iter().map(|keys| keys.hash.mechanism()).collect();
        self.users.iter().map(move |(name, user)| (&**name, mechanisms(user)))
    }
}

/// Gives a file owner, group and mode of the one that it replaces: a broker that could read that one can read this one.
fn take_after(file: &fs::File, former: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (former.uid(), former.gid()) {
        let failed = |error: io::Error| {
            let (user, group) = (former.uid(), former.gid());
            let why = format!(
                "it cannot be left to its owner (user {user}, group {group}): {error}; run this as that user, or root"
            );
            io::Error::new(error.kind(), why)
        };
        fchown(file, Some(former.uid()), Some(former.gid())).map_err(failed)?;
    }
    file.set_permissions(former.permissions())
}

/// A whole file, within bounds.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    let failed = |why: String| format!("cannot read {}: {why}", path.display());
    let file = fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(failed(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn entry(line: &str) -> Result<(Arc<str>, User), &'static str> {
    let mut fields = line.split(':');
    let name = fields.next().and_then(unescaped).ok_or("the user name is not written as it should be")?;
    check_name(&name)?;
    let hash = fields.next().ok_or("there is no password hash")?;
    let read = PasswordHash::new(hash).map_err(|_| "the password hash is not one")?;
    if read.algorithm.as_str() != "argon2id" || read.hash.is_none() || read.salt.is_none() {
        return Err("the password hash is not one of argon2id");
    }
    let mut scram = Vec::new();
    for field in fields {
        let keys = ScramKeys::from_text(field).ok_or("the keys for SCRAM are not written as they should be")?;
        scram.push(keys);
    }
    Ok((name.into(), User::from_parts(hash.into(), scram)))
}

fn escaped(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        match c {
            '%' | ':' | '#' => text.push_str(&format!("%{:02X}", c as u32)),
            c => text.push(c),
        }
    }
    text
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$";

    #[test]
    fn names_of_all_kinds_come_back() {
        let user = User::new(b"secret", true).unwrap();
        let mut file = PasswordFile::default();
        for name in ["ann", "a:b", "100%", "#1", "Jörg Müller", "x-]", "a/b", "+", "  "] {
            assert!(file.add(name, user.clone()).unwrap(), "{name}");
        }
        let again = PasswordFile::parse(&file.to_text()).unwrap();
        assert!(again.users == file.users);
        let (_, found) = again.get("a:b").unwrap();
        assert!(found.verify(b"secret") && !found.verify(b"Secret") && !found.verify(b""));
        assert!(found.scram(Hash::Sha256).is_some() && found.scram(Hash::Sha512).is_some());
    }

    #[test]
    fn what_will_not_do_is_refused() {
        let mut file = PasswordFile::default();
        let user = User::new(b"x", false).unwrap();
        for name in ["", "a\nb", "a\0", &"x".repeat(257)] {
            assert!(file.add(name, user.clone()).is_err(), "{name:?}");
        }
        assert!(User::new(b"", true).is_err() && User::new(&[b'x'; 4097], true).is_err());
    }

    /// S11: a malformed line is not a user, and no file with one is taken.
    #[test]
    fn a_line_that_is_none_makes_the_file_wrong_and_is_named_by_its_number() {
        let hash = User::new(b"x", false).unwrap().hash;
        let good = format!("ann:{hash}\n");
        for (line, why) in [
            ("bob", "no password hash"),
            ("bob:", "not one"),
            ("bob::", "not one"),
            ("bob:secret", "not one"),
            (":x", "at least one character"),
            ("b%zzb:x", "user name"),
            (&format!("bob:{HASH}"), "not one"),
            (&format!("bob:{hash}:SCRAM-SHA-256$1$a$b$c"), "SCRAM"),
            (&format!("bob:{}", hash.replace("argon2id", "argon2i")), "argon2id"),
            (good.trim(), "twice"),
        ] {
            let error = PasswordFile::parse(&format!("# users\n\n{good}{line}\n")).err().expect(line);
            assert!(error.starts_with("4: ") && error.contains(why), "{line}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(PasswordFile::parse(&format!("# users\r\n\r\n{good}")).is_ok());
    }
}
