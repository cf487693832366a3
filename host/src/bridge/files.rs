//! Files that a bridge names, read to see whether it could be used.

use super::dial::login;
use super::settings::Settings;
use super::target::Target;
use super::trust;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

impl Settings {
    /// What is wrong with them, and with the variable that holds its password: the key of each, and why.
    pub fn unreadable(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let password = if self.password_env.is_empty() { "password_file" } else { "password_env" };
        found.extend(login(self).err().map(|why| (password, why)));
        if Target::read(&self.url).is_ok_and(|target| target.is_tls) {
            found.extend(self.unusable_for_tls());
        }
        found
    }

    fn unusable_for_tls(&self) -> Vec<(&'static str, String)> {
        let ca_file = (!self.ca_file.as_os_str().is_empty()).then_some(self.ca_file.as_path());
        let mut found = Vec::new();
        found.extend(trust::verifier(ca_file).err().map(|why| ("tls.ca_file", why)));
        if !self.certificate.as_os_str().is_empty() {
            found.extend(trust::certificates(&self.certificate).err().map(|why| ("tls.certificate", why)));
            let key = PrivateKeyDer::from_pem_file(&self.key);
            found.extend(key.err().map(|error| ("tls.key", trust::unusable(&self.key, &error))));
        }
        if found.is_empty() {
            // Each of them is right, so it is how they go together.
            found.extend(trust::config(self).err().map(|why| ("tls.key", why)));
        }
        found
    }
}
