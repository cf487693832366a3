//! A client says who it is: what it brings goes to the identity room and, where the order says so, to modules; the hall hears
//! of it only when it has a name, or may come in without one.

use super::connection::{Connection, MAKE_WAY_PATIENCE};
use super::ending::End;
use super::errands::{Asked, Brought};
use super::machine::Say;
use crate::broker::{Answer, Outlet as _, Proof, Worker};
use crate::client::Client;
use crate::dialogue::{Attach, Authenticate, Closed, Event, Request};
use crate::identity::{Circumstances, Claim, Identified, Inquiry, Login, Progress, Question};
use crate::message::{RefusalKind, Time};
use crate::mqtt::Violation;
use std::sync::Arc;
use tokio::time::Instant;

/// Said to whom is thrown out by a change of users or keys, or by the time.
pub(super) const WITHDRAWN: &str = "what you came in with was withdrawn or has run out";
/// Said to whom tries to become somebody else.
const SOMEBODY_ELSE: &str = "a client proves again who it is; it cannot become another user";

/// What a connection knows of its client's identity.
#[derive(Default)]
pub(super) struct Admission {
    pending: Option<Box<Pending>>,
    /// What is asked of the hall once the connection whose place is taken has worked off what its client had sent.
    arriving: Option<Box<Attach>>,
    /// Held as long as the client is in.
    login: Option<Login>,
}

struct Pending {
    inquiry: Inquiry,
    /// What is to be asked of the hall in the end; none: the client is in and proves again who it is.
    attach: Option<Box<Attach>>,
    client: Arc<Client>,
    circumstances: Circumstances,
    /// A hashing thread has it, or one that asks modules.
    waits: bool,
    /// Modules are asked by another thread.
    asked: Option<Asked>,
}

impl Admission {
    /// Whether nothing more is to be read before a hashing thread, or the connection whose place is taken, is done.
    pub fn waits(&self) -> bool {
        self.waits_for_way() || self.pending.as_ref().is_some_and(|pending| pending.waits)
    }

    /// The connection is over, though it may take a while to go: it counts as its client's no longer.
    pub fn give_up(&mut self) {
        *self = Self::default();
    }

    /// Whether it is the latter.
    pub fn waits_for_way(&self) -> bool {
        self.arriving.is_some()
    }
}

impl Connection {
    /// A client wants to come in.
    pub(super) fn arrive(&mut self, worker: &mut Worker, now: Time, mut attach: Box<Attach>) -> Result<(), End> {
        self.find_words();
        let claim = match (attach.exchange.as_mut(), attach.credentials.take()) {
            (Some(exchange), _) => {
                Claim::Mechanism { name: exchange.mechanism.clone(), initial: exchange.initial.take() }
            }
            (None, Some(brought)) => Claim::Password { user: brought.user_name, password: brought.password },
            (None, None) => Claim::Nothing,
        };
        let client = Arc::new(attach.client.clone());
        let circumstances = self.circumstances(&client);
        let inquiry = Inquiry::new(&self.context.identity, circumstances.clone(), claim);
        let pending = Pending { inquiry, attach: Some(attach), client, circumstances, waits: false, asked: None };
        self.admission.pending = Some(Box::new(pending));
        self.inquire(worker, now)
    }

    fn circumstances(&self, client: &Client) -> Circumstances {
        Circumstances {
            listener: client.scope.listener.clone(),
            peer: client.peer.clone(),
            certificate: self.newcomer.certificate().cloned(),
        }
    }

    /// A client takes the next step of its exchange, or begins another one.
    pub(super) fn step(&mut self, worker: &mut Worker, now: Time, step: Authenticate) -> Result<(), End> {
        let Authenticate { data, again } = step;
        match (again, &mut self.admission.pending) {
            (None, Some(pending)) => pending.inquiry.respond(data.as_deref().unwrap_or_default()),
            (Some(mechanism), None) => {
                let Some(client) = self.link.client().cloned() else {
                    return Err(End::Violation(Violation::NoAuthentication));
                };
                let circumstances = self.circumstances(&client);
                let claim = Claim::Mechanism { name: mechanism, initial: data };
                let inquiry = Inquiry::new(&self.context.identity, circumstances.clone(), claim);
                let pending = Pending { inquiry, attach: None, client, circumstances, waits: false, asked: None };
                self.admission.pending = Some(Box::new(pending));
            }
            _ => return Err(End::Violation(Violation::NoAuthentication)),
        }
        self.inquire(worker, now)
    }

    /// Goes on with an inquiry, if there is one.
    pub(super) fn inquire(&mut self, worker: &mut Worker, now: Time) -> Result<(), End> {
        if let Some(attach) = self.admission.arriving.take() {
            self.retry = None;
            self.enter(worker, now, attach);
            return Ok(());
        }
        let Some(mut pending) = self.admission.pending.take() else { return Ok(()) };
        let outlet = &self.outlet;
        let waker = || -> Box<dyn FnOnce() + Send> {
            let outlet = outlet.clone();
            Box::new(move || outlet.wake())
        };
        loop {
            match pending.inquiry.advance(now, &waker) {
                Progress::AskModules => {
                    let Question { user, password, certificate_subject } = pending.inquiry.question();
                    let proof = Proof { user, password, certificate_subject };
                    let said = match &pending.asked {
                        Some(asked) => asked.answer(),
                        None => self.context.broker.authenticate(worker, &pending.client, proof),
                    };
                    let Some(said) = said else {
                        if pending.asked.is_none() {
                            let brought = Brought::of(proof);
                            let errands = &self.context.errands;
                            pending.asked = Some(errands.ask(pending.client.clone(), brought, waker()));
                        }
                        pending.waits = true;
                        self.admission.pending = Some(pending);
                        return Ok(());
                    };
                    pending.asked = None;
                    pending.inquiry.modules_said(said);
                }
                Progress::Waiting => {
                    pending.waits = true;
                    self.admission.pending = Some(pending);
                    return Ok(());
                }
                Progress::Challenge(data) => {
                    pending.waits = false;
                    self.admission.pending = Some(pending);
                    self.answers.push_back((0, Say::Event(Event::Challenge(data))));
                    return Ok(());
                }
                Progress::Denied(refusal) => {
                    let Some(attach) = pending.attach else {
                        return Err(End::Closed(Closed::NotAuthorized(refusal.reason.into())));
                    };
                    tracing::debug!(
                        client = %attach.client.id.escape_debug(),
                        peer = &*pending.circumstances.peer,
                        reason = refusal.reason,
                        "a client was turned away"
                    );
                    if attach.exchange.is_some() && refusal.kind == RefusalKind::NotSupported {
                        return Err(End::Violation(Violation::AuthenticationMethod));
                    }
                    self.answers.push_back((0, Say::Event(Event::Refused(refusal))));
                    return Ok(());
                }
                Progress::Admitted(identified) => return self.admit(worker, now, *pending, *identified),
            }
        }
    }

    fn admit(&mut self, worker: &mut Worker, now: Time, pending: Pending, identified: Identified) -> Result<(), End> {
        // Not while a former login of this connection counts.
        self.admission.login = None;
        let outlet = self.outlet.clone();
        let close = Box::new(move |_| outlet.close(Closed::NotAuthorized(WITHDRAWN.into())));
        let Some(mut attach) = pending.attach else {
            let login = self.context.identity.admit(&identified, false, close);
            let is_the_same = identified.name() == pending.client.scope.identity;
            let refused = |why: &str| End::Closed(Closed::NotAuthorized(why.into()));
            let login = login.map_err(|refusal| refused(&refusal.reason))?;
            self.admission.login = Some(is_the_same.then_some(login).ok_or_else(|| refused(SOMEBODY_ELSE))?);
            self.answers.push_back((0, Say::Event(Event::Authenticated(identified.data))));
            return Ok(());
        };
        Arc::make_mut(&mut attach.client.scope).identity = identified.name();
        // A client that has lost its network comes back before anybody knows that (MQTT-3.1.4-3).
        let occupant = self.context.broker.occupant(&attach.client);
        match self.context.identity.admit(&identified, occupant.is_some(), close) {
            Ok(login) => self.admission.login = Some(login),
            Err(refusal) => {
                self.answers.push_back((0, Say::Event(Event::Refused(refusal))));
                return Ok(());
            }
        }
        attach.proof = identified.data;
        // Nobody is thrown out, and nothing begun anew, for a client that would not hear of it.
        let expiry_seconds = self.context.broker.granted_expiry(attach.expiry_seconds);
        if !self.outlet.lock().writer.may_accept(&attach, expiry_seconds) {
            return Err(End::Violation(Violation::WelcomeTooLarge));
        }
        match occupant {
            None => self.enter(worker, now, attach),
            Some(occupant) => {
                self.admission.arriving = Some(attach);
                self.retry = Some(Instant::now() + MAKE_WAY_PATIENCE);
                let outlet = self.outlet.clone();
                occupant.make_way(Box::new(move || outlet.wake()));
            }
        }
        Ok(())
    }

    fn enter(&mut self, worker: &mut Worker, now: Time, attach: Box<Attach>) {
        let broker = self.context.broker.clone();
        if let Answer::Say(after, event) = broker.handle(worker, &mut self.link, now, Request::Attach(attach)) {
            self.answers.push_back((after, Say::Event(event)));
        }
    }
}
