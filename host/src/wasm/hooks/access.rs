//! `access`: who may come in, and what they may do. Whatever goes wrong here is a no.

use super::super::bindings::exports::pliant::broker::access as wit;
use super::super::chain::Chain;
use super::super::fault;
use super::super::limits::IDENTITY_BYTES_MAX;
use super::super::meter::Hook;
use super::super::pool::{Ask, Guests};
use super::super::translate;
use crate::client::Client;
use crate::message::Refusal;

/// What a client says to prove who it is.
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'a> {
    /// The client, its identity not known yet.
    pub client: &'a Client,
    /// As it said.
    pub username: Option<&'a str>,
    /// As it said.
    pub password: Option<&'a [u8]>,
    /// Subject of its verified TLS certificate.
    pub certificate_subject: Option<&'a str>,
}

/// What a client wants to do with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send to it.
    Publish,
    /// Ask for what is sent to it.
    Subscribe,
    /// Get one message.
    Receive,
}

impl Chain {
    /// Whether any module decides over access.
    pub fn wants_access(&self) -> bool {
        self.closed.access || !self.access.is_empty()
    }

    /// Whether a module that decides over access does not run: until it does, nobody may do anything.
    pub fn is_access_closed(&self) -> bool {
        self.closed.access
    }

    /// Whether [`Chain::authenticate`] may wait for servers outside, and so has to be called by a thread that may.
    pub fn waits_to_authenticate(&self) -> bool {
        self.access.iter().any(|link| link.goes_out)
    }

    /// Who this is: the first module with an opinion decides. None: no module has one. A failure refuses, whatever the
    /// failure policy of the binding.
    pub fn authenticate(&self, guests: &mut Guests, who: Credentials<'_>) -> Result<Option<String>, Refusal> {
        if self.closed.access {
            return Err(fault::refusal());
        }
        for link in &self.access {
            let ask = Ask { chain: self, link, hook: Hook::Authenticate, message: None, about: &who.client.id };
            let answer = guests.ask(
                &ask,
                |_, exports, store| match &exports.access {
                    Some(guest) => {
                        let credentials = wit::Credentials {
                            client: translate::client(who.client),
                            username: who.username,
                            password: who.password,
                            certificate_subject: who.certificate_subject,
                        };
                        guest.call_authenticate(store, credentials)
                    }
                    None => Ok(None),
                },
                |_, answer| match answer {
                    Some(Ok(identity)) if identity.is_empty() => Err("an empty identity".to_owned()),
                    Some(Ok(identity)) if identity.len() > IDENTITY_BYTES_MAX => {
                        Err(format!("an identity of {} bytes", identity.len()))
                    }
                    Some(Ok(identity)) => Ok(Some(Ok(identity))),
                    Some(Err(refusal)) => Ok(Some(Err(translate::refusal(refusal)))),
                    None => Ok(None),
                },
                |answer| match answer {
                    Some(Ok(identity)) => format!("{identity:?}"),
                    Some(Err(refusal)) => format!("refuse: {}", refusal.reason),
                    None => "no opinion".to_owned(),
                },
            );
            match answer {
                Some(None) => {}
                Some(Some(answer)) => return answer.map(Some),
                None => return Err(fault::refusal()),
            }
        }
        Ok(None)
    }

    /// May it? The first module with an opinion decides. None: no module has one. A failure is a no. As for names,
    /// answers during which [`Guests::failures`] changed must not be remembered.
    pub fn authorize(&self, guests: &mut Guests, client: &Client, action: Action, topic: &str) -> Option<bool> {
        if self.closed.access {
            return Some(false);
        }
        let action = match action {
            Action::Publish => wit::Action::Publish,
            Action::Subscribe => wit::Action::Subscribe,
            Action::Receive => wit::Action::Receive,
        };
        for link in &self.access {
            let ask = Ask { chain: self, link, hook: Hook::Authorize, message: None, about: topic };
            let answer = guests.ask(
                &ask,
                |_, exports, store| match &exports.access {
                    Some(guest) => guest.call_authorize(store, translate::client(client), action, topic),
                    None => Ok(None),
                },
                |_, answer| Ok(answer),
                |answer| match answer {
                    Some(true) => "yes".to_owned(),
                    Some(false) => "no".to_owned(),
                    None => "no opinion".to_owned(),
                },
            );
            match answer {
                Some(None) => {}
                Some(opinion) => return opinion,
                None => return Some(false),
            }
        }
        None
    }
}
