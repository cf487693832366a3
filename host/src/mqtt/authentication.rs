//! The order of AUTH packets (MQTT 5.0, 4.12): which may come when. What is in them is for whoever authenticates.

use super::packet::auth::{self, Auth};
use super::packet::kind;
use super::violation::Violation;
use crate::dialogue::{Authenticate, Event};
use std::sync::Arc;

/// The methods that can be agreed on in CONNECT. Whether the broker has users that can use them is found out later.
const METHODS: [&str; 2] = ["SCRAM-SHA-256", "SCRAM-SHA-512"];

/// What CONNECT has agreed on.
#[derive(Debug)]
pub(super) struct Authentication {
    method: Arc<str>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Before CONNACK.
    Connecting,
    /// The client is in.
    In,
    /// It is in and proves again who it is.
    Again,
}

impl Authentication {
    /// CONNECT names a method.
    pub fn begin(method: &str) -> Result<Self, Violation> {
        if METHODS.contains(&method) {
            return Ok(Self { method: method.into(), stage: Stage::Connecting });
        }
        Err(Violation::AuthenticationMethod)
    }

    /// The method.
    pub fn method(&self) -> Arc<str> {
        self.method.clone()
    }

    /// Whether the client still has to prove who it is.
    pub fn is_connecting(&self) -> bool {
        self.stage == Stage::Connecting
    }

    /// Whether a packet of this kind may come now (MQTT-3.1.2-30).
    pub fn check(&self, packet: u8) -> Result<(), Violation> {
        let waits = self.is_connecting() && !matches!(packet, kind::AUTH | kind::DISCONNECT);
        if waits { Err(Violation::Unauthenticated) } else { Ok(()) }
    }

    /// Reads an AUTH packet.
    pub fn read(&mut self, body: &[u8], user_max: usize) -> Result<Authenticate, Violation> {
        let Auth { reason, method, data } = auth::read(body, user_max)?;
        // The method must be there, and the one of CONNECT (MQTT 5.0, 3.15.2.2.2, MQTT-4.12.0-5, -4.12.1-1).
        if method != Some(&*self.method) {
            return Err(Violation::NoAuthentication);
        }
        let data = data.map(Into::into);
        match (reason, self.stage) {
            (0x18, Stage::Connecting | Stage::Again) => Ok(Authenticate { data, again: None }),
            (0x19, Stage::In) => {
                self.stage = Stage::Again;
                Ok(Authenticate { data, again: Some((&*self.method).into()) })
            }
            (0x00, _) => Err(Violation::ReasonCode),
            _ => Err(Violation::NoAuthentication),
        }
    }

    /// Hears what the client is told.
    pub fn answered(&mut self, event: &Event) {
        if matches!(event, Event::Attached(_) | Event::Authenticated(_)) {
            self.stage = Stage::In;
        }
    }
}
