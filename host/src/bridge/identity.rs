//! This broker's id towards others: made at the first start, kept beside the store.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

/// Sixteen hexadecimal digits. Two brokers with a copy of the same data directory have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeId(String);

const DIGITS: usize = 16;

impl NodeId {
    /// Reads it from a file, or makes the file where it is missing or, since a start was cut short, empty.
    ///
    /// # Errors
    /// The file cannot be read or made, or holds something else.
    pub fn open(path: &Path) -> io::Result<Self> {
        match File::open(path) {
            Ok(file) => {
                let mut text = String::new();
                file.take(256).read_to_string(&mut text)?;
                if text.is_empty() {
                    return Self::make(OpenOptions::new().write(true).open(path)?);
                }
                let id = text.trim();
                let fits = id.len() == DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
                fits.then(|| Self(id.to_owned())).ok_or_else(|| {
                    io::Error::new(ErrorKind::InvalidData, format!("expected {DIGITS} hexadecimal digits"))
                })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Self::make(OpenOptions::new().write(true).create_new(true).open(path)?)
            }
            Err(error) => Err(error),
        }
    }

    fn make(mut file: File) -> io::Result<Self> {
        let id = format!("{:016x}", rand::random::<u64>());
        file.write_all(format!("{id}\n").as_bytes())?;
        file.sync_all()?;
        Ok(Self(id))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.id");
        let id = NodeId::open(&path).unwrap();
        assert_eq!(id.as_str().len(), DIGITS);
        assert_eq!(NodeId::open(&path).unwrap(), id);
        std::fs::write(&path, "").unwrap();
        let id = NodeId::open(&path).unwrap();
        assert_eq!(NodeId::open(&path).unwrap(), id, "a start that was cut short is made good");
        std::fs::write(&path, "something else").unwrap();
        assert_eq!(NodeId::open(&path).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
