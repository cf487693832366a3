//! Keys and tokens in files: who may have signed components, and who may call the admin API. Read at the start, and again with the
//! configuration.

use super::error::StartError;
use crate::admin::{Reloaded, Token, Tokens};
use crate::config::{Admin, Config, Signing, differences};
use crate::wasm::{Modules, Signers};
use std::io;
use std::path::{Path, PathBuf};

/// Where they are held.
pub(super) struct Secrets {
    pub(super) modules: Modules,
    pub(super) tokens: Tokens,
}

impl Secrets {
    /// Reads them again whether or not a setting has changed: the files may have. What cannot be used leaves what holds.
    pub(super) fn reload(&self, current: &mut Config, new: &Config, reloaded: &mut Reloaded) {
        let changes = differences(current, new).into_iter().filter(|change| change.live).map(|change| change.key);
        let changed: Vec<String> = changes.collect();
        let mut taken =
            |section: &str| reloaded.applied.extend(changed.iter().filter(|key| key.starts_with(section)).cloned());
        let mut failed = Vec::new();
        match signers(&new.signing) {
            Ok(signers) => {
                self.modules.set_signers(signers);
                current.signing = new.signing.clone();
                taken("signing.");
            }
            Err(reason) => failed.push(StartError::Signers(reason).to_string()),
        }
        // One that was there and is gone was not meant to go: whoever has it would be locked out.
        let read = if current.admin.token_file == new.admin.token_file { Token::read } else { Token::open };
        match tokens(&current.data_dir, &new.admin, read) {
            Ok(tokens) => {
                let (own, reader) = (&new.admin.token_file, &new.admin.read_token_file);
                (current.admin.token_file, current.admin.read_token_file) = (own.clone(), reader.clone());
                taken("admin.");
                let (is_other, reader_is_other) = self.tokens.replace(&tokens);
                for (key, is_other) in [("admin.token_file", is_other), ("admin.read_token_file", reader_is_other)] {
                    if is_other && !reloaded.applied.iter().any(|applied| applied == key) {
                        reloaded.applied.push(key.to_owned());
                    }
                }
            }
            Err(error) => failed.push(error.to_string()),
        }
        reloaded.failed.extend(failed);
    }
}

/// Who may have signed components.
///
/// # Errors
/// The file of keys cannot be read, or holds something else.
pub(super) fn signers(signing: &Signing) -> Result<Signers, String> {
    let path = &signing.keys_file;
    let failed = |reason: String| match path.as_os_str().is_empty() {
        true => reason,
        false => format!("{}: {reason}", path.display()),
    };
    let text = match path.as_os_str().is_empty() {
        true => String::new(),
        false => std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?,
    };
    Signers::read(&text, signing.required).map_err(failed)
}

/// The token of the admin API, read as is said, and that of those who may only look.
pub(super) fn tokens(
    data_dir: &Path,
    admin: &Admin,
    read: fn(&Path) -> io::Result<Token>,
) -> Result<Tokens, StartError> {
    let own = token_path(data_dir, admin);
    let token = read(&own).map_err(|error| StartError::Token { path: own, error })?;
    let path = admin.read_token_file.clone();
    let reader = (!path.as_os_str().is_empty()).then(|| Token::load(&path)).transpose();
    let reader = reader.map_err(|error| StartError::Token { path, error })?;
    match reader.as_ref().is_some_and(|reader| reader.is(token.secret().as_bytes())) {
        true => Err(StartError::SameToken),
        false => Ok(Tokens::new(token, reader)),
    }
}

/// Where the token is that may do everything.
pub(super) fn token_path(data_dir: &Path, admin: &Admin) -> PathBuf {
    match admin.token_file.as_os_str().is_empty() {
        true => data_dir.join("admin.token"),
        false => admin.token_file.clone(),
    }
}
