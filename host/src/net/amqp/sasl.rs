//! Who the client is: SASL frames on one side, the identity room on the other.

use super::super::authentication::WITHDRAWN;
use super::super::errands::{Asked, Brought};
use super::side::{Over, Side};
use super::words;
use crate::amqp::{AmqpError, Authenticate, Opening, SaslOutcome, error};
use crate::broker::{Outlet as _, Proof};
use crate::client::{Client, Departure, Protocol, Scope};
use crate::dialogue::Closed;
use crate::identity::{Claim, Identified, Inquiry, Login, Progress, Question};
use crate::message::{Refusal, RefusalKind, Time};
use std::sync::Arc;

/// Longest challenge, in bytes: it has to fit into a frame of 512 with its header.
const CHALLENGE_BYTES_MAX: usize = 480;

/// The capability of a connection that wants no other of its container beside it (JMS: a client id is used once at a time).
const SOLE: &str = "sole-connection-for-container";

/// What a connection knows of its client's identity.
#[derive(Default)]
pub(super) struct Admission {
    pending: Option<Box<Inquiry>>,
    /// A hashing thread has it, or one that asks modules.
    waits: bool,
    /// Modules are asked by another thread.
    asked: Option<Asked>,
    /// What the client said without SASL: it is let in when it is known that strangers may come in.
    opening: Option<Box<Opening>>,
    /// Held as long as the client is in.
    login: Option<Login>,
    /// It is known who it is, or that it may come in as a stranger.
    pub done: bool,
    /// Who.
    pub name: Option<Arc<str>>,
}

impl Admission {
    /// Whether nothing more is to be read before a hashing thread is done.
    pub fn waits(&self) -> bool {
        self.waits
    }
}

/// Wrong credentials are told from what may be different in a while.
fn outcome(refusal: &Refusal) -> SaslOutcome {
    if may_pass(refusal) { SaslOutcome::Temporary } else { SaslOutcome::Auth }
}

fn may_pass(refusal: &Refusal) -> bool {
    matches!(refusal.kind, RefusalKind::Unavailable | RefusalKind::QuotaExceeded)
}

/// How far an inquiry has got, where it has come to a stop.
enum Stop {
    Later,
    Challenge(Box<[u8]>),
    In(Option<Box<[u8]>>),
    Out(Refusal),
}

impl Side {
    /// The client proves who it is.
    pub(super) fn authenticate(&mut self, now: Time, asked: Authenticate) -> Result<(), Over> {
        let claim = Claim::Mechanism { name: asked.mechanism, initial: asked.response.map(Into::into) };
        self.admission.pending =
            Some(Box::new(Inquiry::new(&self.context.identity, self.circumstances.clone(), claim)));
        self.inquire(now)
    }

    /// It takes the next step of its exchange.
    pub(super) fn respond(&mut self, now: Time, response: &[u8]) -> Result<(), Over> {
        if let Some(inquiry) = &mut self.admission.pending {
            inquiry.respond(response);
        }
        self.inquire(now)
    }

    /// Goes on with an exchange, if there is one.
    pub(super) fn inquire(&mut self, now: Time) -> Result<(), Over> {
        if self.admission.opening.is_some() {
            return self.inquire_of_stranger(now);
        }
        let stop = self.advance(now);
        let (outcome, data) = match stop {
            None | Some(Stop::Later) => return Ok(()),
            // No frame of this layer is longer than 512 bytes (5.3.1), whatever the client put into its nonce.
            Some(Stop::Challenge(challenge)) if challenge.len() > CHALLENGE_BYTES_MAX => {
                self.admission.pending = None;
                (SaslOutcome::Auth, None)
            }
            Some(Stop::Challenge(challenge)) => {
                self.wire(|wire| wire.machine.sasl_challenge(&challenge, &mut wire.front));
                return Ok(());
            }
            Some(Stop::In(data)) => (SaslOutcome::Ok, data),
            Some(Stop::Out(refusal)) => (outcome(&refusal), None),
        };
        self.wire(|wire| wire.machine.sasl_outcome(outcome, data.as_deref(), &mut wire.front));
        if outcome == SaslOutcome::Ok { Ok(()) } else { Err(Over(Departure::ProtocolViolation)) }
    }

    fn advance(&mut self, now: Time) -> Option<Stop> {
        let mut inquiry = self.admission.pending.take()?;
        self.admission.waits = false;
        let outlet = &self.outlet;
        let waker = || -> Box<dyn FnOnce() + Send> {
            let outlet = outlet.clone();
            Box::new(move || outlet.wake())
        };
        loop {
            match inquiry.advance(now, &waker) {
                Progress::AskModules => {
                    let Question { user, password, certificate_subject } = inquiry.question();
                    let proof = Proof { user, password, certificate_subject };
                    let scope =
                        Scope { listener: self.listener.clone(), protocol: Protocol::Amqp, identity: None }.into();
                    let client = Client { id: "".into(), container: None, scope, peer: self.peer.clone() };
                    let context = self.context.clone();
                    let said = match &self.admission.asked {
                        Some(asked) => asked.answer(),
                        None => context.broker.authenticate(&mut context.worker.borrow_mut(), &client, proof),
                    };
                    let Some(said) = said else {
                        if self.admission.asked.is_none() {
                            let brought = Brought::of(proof);
                            self.admission.asked = Some(context.errands.ask(Arc::new(client), brought, waker()));
                        }
                        self.admission.waits = true;
                        self.admission.pending = Some(inquiry);
                        return Some(Stop::Later);
                    };
                    self.admission.asked = None;
                    inquiry.modules_said(said);
                }
                Progress::Waiting => {
                    self.admission.waits = true;
                    self.admission.pending = Some(inquiry);
                    return Some(Stop::Later);
                }
                Progress::Challenge(data) => {
                    self.admission.pending = Some(inquiry);
                    return Some(Stop::Challenge(data));
                }
                Progress::Denied(refusal) => {
                    tracing::debug!(peer = &*self.peer, reason = refusal.reason, "a client was turned away");
                    return Some(Stop::Out(refusal));
                }
                Progress::Admitted(identified) => return Some(self.admit(*identified)),
            }
        }
    }

    fn admit(&mut self, identified: Identified) -> Stop {
        let outlet = self.outlet.clone();
        let close = Box::new(move |_| outlet.close(Closed::NotAuthorized(WITHDRAWN.into())));
        match self.context.identity.admit(&identified, false, close) {
            Ok(login) => self.admission.login = Some(login),
            Err(refusal) => return Stop::Out(refusal),
        }
        self.admission.name = identified.name();
        self.admission.done = true;
        Stop::In(identified.data)
    }

    /// The connection is over, though it may take a while to go: it counts as its client's no longer.
    pub fn give_up_place(&mut self) {
        self.admission.login = None;
    }

    /// Lets the client in. One that did not prove anything may come in where strangers may.
    pub(super) fn open(&mut self, now: Time, opening: Box<Opening>) -> Result<(), Over> {
        if self.admission.done {
            return self.let_in(now, &opening);
        }
        let inquiry = Inquiry::new(&self.context.identity, self.circumstances.clone(), Claim::Nothing);
        self.admission.pending = Some(Box::new(inquiry));
        self.admission.opening = Some(opening);
        self.inquire_of_stranger(now)
    }

    fn inquire_of_stranger(&mut self, now: Time) -> Result<(), Over> {
        let why = match self.advance(now) {
            Some(Stop::Later) => return Ok(()),
            Some(Stop::In(_)) => {
                let Some(opening) = self.admission.opening.take() else { return Ok(()) };
                return self.let_in(now, &opening);
            }
            Some(Stop::Out(refusal)) if may_pass(&refusal) => words::refused(&refusal),
            _ => error(AmqpError::UnauthorizedAccess, "clients have to say who they are here"),
        };
        self.wire(|wire| wire.machine.close(Some(why), &mut wire.front));
        Err(Over(Departure::ProtocolViolation))
    }

    fn let_in(&mut self, now: Time, opening: &Opening) -> Result<(), Over> {
        if let Some(elsewhere) = self.context.broker.elsewhere() {
            self.farewell(&Closed::Elsewhere(elsewhere));
            return Err(Over(Departure::ClosedByBroker));
        }
        let identity = self.admission.name.clone();
        let scope = Scope { listener: self.listener.clone(), protocol: Protocol::Amqp, identity }.into();
        // Some libraries send an empty name unless they are told one: it is nobody's, and one is made up for it.
        let id = match &*opening.container_id {
            "" => format!("pliant-{:032x}", rand::random::<u128>()).into(),
            named => named.into(),
        };
        let client = Arc::new(Client { id, container: None, scope, peer: self.peer.clone() });
        let sole = opening.desired_capabilities.iter().any(|wanted| wanted.0 == SOLE);
        if !self.come_in(client, sole) {
            self.wire(|wire| wire.machine.close(Some(words::container_taken()), &mut wire.front));
            return Err(Over(Departure::ClosedByBroker));
        }
        self.wire(|wire| {
            if sole {
                wire.machine.also_offer(SOLE);
            }
            wire.machine.open(now, &mut wire.front);
        });
        Ok(())
    }
}
