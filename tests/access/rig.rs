//! A broker with users, and with the access list where a row gives it rules.

use crate::harness::{Admin, Broker, Client, Connect, Version, connect, data_dir};
use host::config::Config;
use host::identity::{Anonymous, PasswordFile, User};
use serde_json::{Value as Json, json};
use std::net::SocketAddr;
use std::path::Path;
use tempfile::TempDir;

/// The password of everybody.
pub const PASSWORD: &str = "correct horse";

/// A broker that lets nobody in without a password.
pub struct Rig {
    broker: Broker,
    folder: TempDir,
}

/// Writes a file of users who all have the same password.
pub fn write_users(path: &Path, users: &[&str], with_scram: bool) {
    let mut file = PasswordFile::default();
    for user in users {
        file.add(user, User::new(PASSWORD.as_bytes(), with_scram).expect("a good password")).expect("a good name");
    }
    file.write(path).expect("a file that can be written");
}

/// Rules for the access list.
pub fn rules(rules: Json) -> Json {
    json!({ "rules": rules })
}

impl Rig {
    /// Users ann, bob and cleo; the access list has these rules, or is off.
    pub fn start(rules: Option<Json>) -> Option<Self> {
        Self::start_with(rules, |_| {})
    }

    /// The same with other settings.
    pub fn start_with(rules: Option<Json>, adjust: impl Fn(&mut Config) + Send + Sync + 'static) -> Option<Self> {
        let folder = data_dir();
        let users = folder.path().join("users");
        write_users(&users, &["ann", "bob", "cleo"], false);
        let broker = Broker::start_with(move |config| {
            config.auth.password_file.clone_from(&users);
            // A busy machine is no reason to refuse.
            config.wasm.call_milliseconds_max = 1000;
            for listener in &mut config.listeners {
                listener.allow_anonymous.0 = Anonymous::Never;
            }
            if let Some(rules) = &rules {
                let list =
                    config.modules.iter_mut().find(|module| module.name == "access-list").expect("it is bundled");
                (list.enabled, list.config) = (true, rules.clone());
            }
            adjust(config);
        })?;
        Some(Self { broker, folder })
    }

    pub fn address(&self) -> SocketAddr {
        self.broker.address()
    }

    /// Where the listener of this name is.
    pub fn at(&self, listener: &str) -> SocketAddr {
        self.broker.at(listener)
    }

    pub fn admin(&self) -> Admin {
        self.broker.admin()
    }

    /// Stops and starts the broker.
    pub fn restart(self) -> Self {
        Self { broker: self.broker.restart(), folder: self.folder }
    }

    /// Other rules, from now on.
    pub fn put(&self, rules: Json) {
        self.admin().put("/api/v1/modules/access-list/config", &rules).expect(200);
    }

    /// A client of this user, by an id of the same name, not yet connected.
    pub fn as_user(&self, version: Version, user: &str) -> Connect {
        connect(version).at(self.address()).id(user).user(user).password(PASSWORD.as_bytes())
    }

    /// The same, connected.
    pub fn open(&self, version: Version, user: &str) -> Client {
        self.as_user(version, user).open()
    }
}
