//! The section `auth`: how clients prove who they are, in the words of the identity room.

use super::meant::Listener;
use crate::identity::{self, Anonymous, Limits, Method, NameSource, Settings, TokenSettings};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// How clients prove who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Ways to a name, in the order in which they are tried. Default certificate, password, jwt, module.
    pub order: Order,
    /// The file of users; empty: none. Read again on a reload.
    pub password_file: PathBuf,
    /// Tokens.
    pub jwt: Jwt,
    /// Which part of a certificate is the name. Default `cn`.
    pub certificate_name: CertificateName,
    /// The name of clients that may come in without one; empty: they stay without.
    pub default_user: String,
    /// Bounds of the room.
    pub limits: Limits,
}

/// What makes a token one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwt {
    /// A JSON Web Key Set; empty: no token is taken. Read again on a reload.
    pub keys_file: PathBuf,
    /// The issuer that a token must name; empty: any.
    pub issuer: String,
    /// The audience that a token must name; empty: any.
    pub audience: String,
    /// The claim that is the client's name. Default `sub`.
    pub name_claim: String,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            order: Order(Settings::default().order),
            password_file: PathBuf::new(),
            jwt: Jwt {
                keys_file: PathBuf::new(),
                issuer: String::new(),
                audience: String::new(),
                name_claim: "sub".to_owned(),
            },
            certificate_name: CertificateName(NameSource::CommonName),
            default_user: String::new(),
            limits: Limits::default(),
        }
    }
}

impl Auth {
    /// As the identity room wants it.
    pub fn settings(&self, listeners: &[Listener]) -> Settings {
        let given = |path: &Path| (!path.as_os_str().is_empty()).then(|| path.to_path_buf());
        let Jwt { keys_file, issuer, audience, name_claim } = self.jwt.clone();
        let anonymous = listeners.iter().map(|listener| (listener.name.as_str().into(), listener.allow_anonymous.0));
        Settings {
            order: self.order.0.clone(),
            password_file: given(&self.password_file),
            tokens: given(&keys_file).map(|keys_file| TokenSettings { keys_file, issuer, audience, name_claim }),
            certificate_name: self.certificate_name.0,
            default_user: (!self.default_user.is_empty()).then(|| self.default_user.as_str().into()),
            anonymous: anonymous.collect(),
        }
    }

    /// Whether somebody can prove anything.
    pub fn knows_somebody(&self) -> bool {
        let tries = |method| self.order.0.contains(&method);
        (tries(Method::Password) && !self.password_file.as_os_str().is_empty())
            || (tries(Method::Jwt) && !self.jwt.keys_file.as_os_str().is_empty())
    }

    /// What is wrong with it, and under which key.
    pub fn problem(&self) -> Option<(&'static str, String)> {
        if !self.default_user.is_empty()
            && let Err(why) = identity::check_name(&self.default_user)
        {
            return Some(("auth.default_user", why.to_owned()));
        }
        if self.jwt.name_claim.is_empty() {
            return Some(("auth.jwt.name_claim", "the claim that is the client's name is missing".to_owned()));
        }
        None
    }
}

/// Ways to a name, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order(pub Vec<Method>);

const METHODS: [(&str, Method); 4] = [
    ("certificate", Method::Certificate),
    ("password", Method::Password),
    ("jwt", Method::Jwt),
    ("module", Method::Module),
];

impl Order {
    /// Its words.
    pub fn words(&self) -> Vec<&'static str> {
        let word = |method: &Method| METHODS.iter().find(|(_, known)| known == method).map(|(word, _)| *word);
        self.0.iter().filter_map(word).collect()
    }

    /// From words.
    ///
    /// # Errors
    /// A word that is none, or stands twice.
    pub fn read<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut order = Vec::new();
        for word in words {
            let known = METHODS.iter().find(|(known, _)| *known == word.trim());
            let method = known.map(|(_, method)| *method).filter(|method| !order.contains(method));
            let wrong = || "expected certificate, password, jwt and module, each at most once".to_owned();
            order.push(method.ok_or_else(wrong)?);
        }
        Ok(Self(order))
    }
}

/// Which part of a certificate is the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateName(pub NameSource);

const SOURCES: [(&str, NameSource); 5] = [
    ("cn", NameSource::CommonName),
    ("dns", NameSource::Dns),
    ("email", NameSource::Email),
    ("uri", NameSource::Uri),
    ("subject", NameSource::Subject),
];

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = SOURCES.iter().find(|(_, source)| *source == self.0);
        f.write_str(found.map_or("", |(word, _)| word))
    }
}

impl FromStr for CertificateName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = SOURCES.iter().find(|(word, _)| *word == text);
        found.map(|(_, source)| Self(*source)).ok_or("expected one of cn, dns, email, uri, subject")
    }
}

/// Whether clients may come in that do not say who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AllowAnonymous(pub Anonymous);

impl fmt::Display for AllowAnonymous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Anonymous::Loopback => "loopback",
            Anonymous::Always => "true",
            Anonymous::Never => "false",
        })
    }
}

impl FromStr for AllowAnonymous {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(match text {
            "loopback" => Anonymous::Loopback,
            "true" => Anonymous::Always,
            "false" => Anonymous::Never,
            _ => return Err("expected true, false or \"loopback\""),
        }))
    }
}
