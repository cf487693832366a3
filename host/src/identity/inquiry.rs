//! One client's way to a name. Whoever serves the client drives it: [`Inquiry::advance`] until it comes to an end.
//!
//! The configured ways are tried in their order; the first that knows the client decides. A proof that is wrong ends the
//! inquiry, one that is unknown is handed to the next way. Nobody who brought a proof comes in as a stranger where proofs are
//! checked, and nobody at all with a certificate that has expired.

use super::failures::network;
use super::keyring::{Grounds, Keyring, Voucher};
use super::scram::Scram;
use super::scram_keys::Hash;
use super::settings::{Method, NAME_BYTES_MAX, TOKEN_BYTES_MAX};
use super::{Certificate, Identity, certificate, sasl, token};
use crate::message::{Refusal, RefusalKind, Time};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use parking_lot::Mutex;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Where a client comes from.
#[derive(Debug, Clone)]
pub struct Circumstances {
    /// The configured name of the listener.
    pub listener: Arc<str>,
    /// `address:port` of the peer, or `unix` and what follows.
    pub peer: Arc<str>,
    /// The certificate that was verified in the TLS handshake.
    pub certificate: Option<Arc<Certificate>>,
}

/// What a client brings. Never shown.
pub enum Claim {
    /// Nothing.
    Nothing,
    /// A name, a password, or both. The password may be a token.
    Password {
        /// The name.
        user: Option<Box<str>>,
        /// Any bytes.
        password: Option<Box<[u8]>>,
    },
    /// The first step of an exchange.
    Mechanism {
        /// Its name in SASL's registry.
        name: Box<str>,
        /// What the client sent along.
        initial: Option<Box<[u8]>>,
    },
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Password { .. } => "Password",
            Self::Mechanism { .. } => "Mechanism",
        })
    }
}

/// Who it is.
#[derive(Debug, Clone)]
pub struct Identified {
    /// When the proof runs out; none: never.
    pub expires: Option<Time>,
    /// What the client is to be told at the end of an exchange.
    pub data: Option<Box<[u8]>>,
    pub(super) grounds: Grounds,
}

impl Identified {
    /// The name; none: a stranger who may come in.
    pub fn name(&self) -> Option<Arc<str>> {
        self.grounds.name.clone()
    }
}

/// How far an inquiry has got.
#[derive(Debug)]
pub enum Progress {
    /// Send this to the client, hand its answer to [`Inquiry::respond`], and go on.
    Challenge(Box<[u8]>),
    /// Ask the modules about [`Inquiry::question`], hand what they say to [`Inquiry::modules_said`], and go on.
    AskModules,
    /// Go on when the waker was called.
    Waiting,
    /// It may come in.
    Admitted(Box<Identified>),
    /// It may not.
    Denied(Refusal),
}

/// What modules are asked about.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// As the client said.
    pub user: Option<&'a str>,
    /// As the client said.
    pub password: Option<&'a [u8]>,
    /// Subject of its certificate.
    pub certificate_subject: Option<&'a str>,
}

/// See the head of this file.
pub struct Inquiry {
    identity: Identity,
    keyring: Arc<Keyring>,
    circumstances: Circumstances,
    certificate: Option<certificate::Read>,
    user: Option<Box<str>>,
    password: Option<Box<[u8]>>,
    state: State,
    /// A wrong proof that is counted already: how long its refusal is to take.
    noted: Option<Duration>,
    /// It was refused, and the refusal took as long as it has to.
    has_waited: bool,
}

/// What a hashing thread found: none as long as it has not.
type Found = Arc<Mutex<Option<Hashed>>>;

enum Hashed {
    Right(Arc<str>, [u8; 32]),
    Wrong,
    Unknown,
}

enum State {
    /// The next way to try.
    Way(usize),
    /// A password is being hashed; the way after that.
    Hashing(Found, usize),
    /// Modules are asked; the way after that.
    Asking(usize),
    /// They know who it is.
    Named(Arc<str>),
    /// A mechanism has begun and wants the client's first message.
    Empty(Mechanism),
    /// The client's answer is here.
    Answered(Mechanism, Box<[u8]>),
    /// Waits for the client's last message.
    Scram(Box<Scram>),
    ScramAnswered(Box<Scram>, Box<[u8]>),
    /// An exchange has proved a name; modules are asked about it.
    Confirming(Box<Identified>),
    Confirmed(Box<Identified>),
    /// A token was refused and counted, and the client knows; waits for its answer.
    Told,
    Denied(Refusal),
    /// As `Denied`, counted already.
    Late(Refusal),
    Over,
}

#[derive(Clone, Copy)]
enum Mechanism {
    Plain,
    External,
    Bearer,
    Anonymous,
    Scram(Hash),
}

/// Makes something that a hashing thread can call.
pub type WakerMaker<'a> = &'a dyn Fn() -> Box<dyn FnOnce() + Send>;

impl Inquiry {
    /// Begins.
    pub fn new(identity: &Identity, circumstances: Circumstances, claim: Claim) -> Self {
        let keyring = identity.0.keyring.load_full();
        let source = keyring.certificate_name();
        let certificate = circumstances.certificate.as_ref().and_then(|certificate| certificate.read(source));
        let identity = identity.clone();
        let state = State::Way(0);
        let (user, password, noted, has_waited) = (None, None, None, false);
        let mut inquiry =
            Self { identity, keyring, circumstances, certificate, user, password, state, noted, has_waited };
        match claim {
            Claim::Nothing => {}
            Claim::Password { user, password } => (inquiry.user, inquiry.password) = (user, password),
            Claim::Mechanism { name, initial } => inquiry.state = inquiry.mechanism(&name, initial),
        }
        inquiry
    }

    fn mechanism(&self, name: &str, initial: Option<Box<[u8]>>) -> State {
        let offered = sasl::offered(&self.keyring, &self.circumstances).contains(&name);
        let mechanism = match name {
            _ if !offered => None,
            "PLAIN" => Some(Mechanism::Plain),
            "EXTERNAL" => Some(Mechanism::External),
            "OAUTHBEARER" => Some(Mechanism::Bearer),
            "ANONYMOUS" => Some(Mechanism::Anonymous),
            _ => Hash::of_mechanism(name).map(Mechanism::Scram),
        };
        match (mechanism, initial) {
            (None, _) => State::Denied(Refusal::new(RefusalKind::NotSupported, "the mechanism is not offered")),
            // As if it had said nothing: a trace of the client, if any, changes nothing.
            (Some(Mechanism::Anonymous), _) => State::Answered(Mechanism::Anonymous, Box::default()),
            (Some(mechanism), Some(initial)) => State::Answered(mechanism, initial),
            (Some(mechanism), None) => State::Empty(mechanism),
        }
    }

    /// What the client answered to a challenge.
    pub fn respond(&mut self, data: &[u8]) {
        let too_long = data.len() > TOKEN_BYTES_MAX;
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Empty(mechanism) if !too_long => State::Answered(mechanism, data.into()),
            State::Scram(scram) if !too_long => State::ScramAnswered(scram, data.into()),
            State::Told => State::Late(denied()),
            _ => State::Denied(denied()),
        };
    }

    /// What modules are to be asked.
    pub fn question(&self) -> Question<'_> {
        Question {
            user: self.user.as_deref(),
            password: self.password.as_deref(),
            certificate_subject: self.certificate.as_ref().map(|read| &*read.subject),
        }
    }

    /// What the modules said: a name, no opinion, or a refusal.
    pub fn modules_said(&mut self, said: Result<Option<String>, Refusal>) {
        let is_name = |name: &String| super::check_name(name).is_ok();
        self.state = match (std::mem::replace(&mut self.state, State::Over), said) {
            (State::Asking(_) | State::Confirming(_), Err(refusal)) => State::Denied(refusal),
            (State::Asking(next), Ok(None)) => State::Way(next),
            (State::Asking(_), Ok(Some(name))) if is_name(&name) => State::Named(name.into()),
            (State::Confirming(who), Ok(None)) => State::Confirmed(who),
            (State::Confirming(mut who), Ok(Some(name))) if is_name(&name) => {
                (who.grounds.name, who.grounds.voucher) = (Some(name.into()), Voucher::Module);
                State::Confirmed(who)
            }
            (State::Asking(_) | State::Confirming(_), Ok(Some(_))) => State::Denied(denied()),
            (state, _) => state,
        };
    }

    /// Goes on as far as it can. `waker` is asked for one only where the inquiry has to wait.
    pub fn advance(&mut self, now: Time, waker: WakerMaker<'_>) -> Progress {
        let has_expired = self.certificate.as_ref().is_some_and(|read| read.expires <= now);
        if has_expired && !matches!(self.state, State::Denied(_) | State::Late(_) | State::Told | State::Over) {
            // A session that is resumed brings the certificate of its first handshake, and TLS does not look at it again.
            let why = "the client certificate has expired";
            self.state = State::Denied(Refusal::new(RefusalKind::BadCredentials, why));
        }
        match self.go_on(now, waker) {
            Progress::Denied(refusal) => self.refuse(refusal, now, waker),
            progress => progress,
        }
    }

    /// A refusal takes the longer the more of them an address was given lately.
    fn refuse(&mut self, refusal: Refusal, now: Time, waker: WakerMaker<'_>) -> Progress {
        let peer = self.circumstances.peer.parse::<SocketAddr>().ok();
        let is_wrong = refusal.kind == RefusalKind::BadCredentials;
        if let Some(peer) = peer.filter(|_| is_wrong && !self.has_waited) {
            let inner = &self.identity.0;
            let delay = self.noted.take().unwrap_or_else(|| inner.failures.note(peer.ip(), now));
            if !delay.is_zero() {
                inner.metrics.authentications_delayed_total.add(1);
                let milliseconds = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                inner.failures.later(Time(now.0.saturating_add(milliseconds)), waker());
                self.has_waited = true;
                self.state = State::Late(refusal);
                return Progress::Waiting;
            }
        }
        Progress::Denied(refusal)
    }

    fn go_on(&mut self, now: Time, waker: WakerMaker<'_>) -> Progress {
        loop {
            let progress = match std::mem::replace(&mut self.state, State::Over) {
                State::Named(name) => Some(self.admitted(Some(name), None, Voucher::Module)),
                State::Way(at) => self.way(at, now, waker),
                State::Hashing(found, next) => self.hashed(found, next),
                State::Asking(next) => {
                    self.state = State::Asking(next);
                    Some(Progress::AskModules)
                }
                State::Empty(mechanism) => {
                    self.state = State::Empty(mechanism);
                    Some(Progress::Challenge(Box::default()))
                }
                State::Answered(mechanism, data) => self.answered(mechanism, &data, now),
                State::Scram(_) => Some(self.deny()),
                State::ScramAnswered(scram, data) => Some(match scram.end(&data) {
                    Some(proved) => {
                        let voucher = Voucher::User(proved.name.clone(), Box::new(proved.mark));
                        let (name, data) = (Some(proved.name), Some(proved.last));
                        let who = self.identified(name, None, voucher);
                        self.proved(Method::Password, Identified { data, ..who })
                    }
                    None => self.deny(),
                }),
                State::Confirming(who) => {
                    self.state = State::Confirming(who);
                    Some(Progress::AskModules)
                }
                State::Confirmed(who) => Some(self.let_in(*who)),
                State::Told => Some(Progress::Denied(denied())),
                State::Late(refusal) => Some(Progress::Denied(refusal)),
                State::Denied(refusal) => {
                    self.identity.0.metrics.authentications_failed_total.add(1);
                    Some(Progress::Denied(refusal))
                }
                State::Over => Some(Progress::Denied(denied())),
            };
            if let Some(progress) = progress {
                return progress;
            }
        }
    }

    /// Tries one way; none: look at the state again.
    fn way(&mut self, at: usize, now: Time, waker: WakerMaker<'_>) -> Option<Progress> {
        let Some(method) = self.keyring.settings.order.get(at).copied() else { return Some(self.at_the_end()) };
        self.state = State::Way(at + 1);
        match method {
            Method::Certificate => {
                let read = self.certificate.as_ref()?;
                let (name, expires) = (read.name.clone()?, read.expires);
                let source = self.keyring.certificate_name();
                Some(self.admitted(Some(name), Some(expires), Voucher::Certificate(source)))
            }
            Method::Password => self.password(at + 1, waker),
            Method::Jwt => {
                let token = self.password.as_deref().filter(|password| token::is_token(password))?;
                let found = self.keyring.tokens.as_ref()?.verify(now, token);
                Some(self.token(found))
            }
            Method::Module => {
                self.state = State::Asking(at + 1);
                None
            }
        }
    }

    fn password(&mut self, next: usize, waker: WakerMaker<'_>) -> Option<Progress> {
        let (Some(name), Some(password)) = (&self.user, &self.password) else { return None };
        if self.keyring.users.is_none() || (self.keyring.checks_tokens() && token::is_token(password)) {
            return None;
        }
        if name.len() > NAME_BYTES_MAX {
            return Some(self.deny());
        }
        let (known, user) = self.keyring.user(name);
        if let Some(name) = &known
            && self.keyring.was_proved(name, password)
        {
            return Some(self.admitted(known.clone(), None, Voucher::User(name.clone(), Box::new(user.mark))));
        }
        let found = Found::default();
        let (result, keyring, password, wake) = (found.clone(), self.keyring.clone(), password.clone(), waker());
        let job = move || {
            let right = user.verify(&password);
            *result.lock() = Some(match known {
                Some(name) if right => {
                    keyring.note_proof(&name, &password);
                    Hashed::Right(name, user.mark)
                }
                Some(_) => Hashed::Wrong,
                None => Hashed::Unknown,
            });
            wake();
        };
        let from = self.circumstances.peer.parse::<SocketAddr>().ok().map(|peer| network(peer.ip()));
        if !self.identity.0.hashing.submit(from, Box::new(job)) {
            self.state = State::Denied(Refusal::new(RefusalKind::Unavailable, "the server is busy; try again later"));
            return None;
        }
        self.state = State::Hashing(found, next);
        Some(Progress::Waiting)
    }

    fn hashed(&mut self, found: Found, next: usize) -> Option<Progress> {
        let hashed = found.lock().take();
        match hashed {
            None => {
                self.state = State::Hashing(found, next);
                Some(Progress::Waiting)
            }
            Some(Hashed::Right(name, mark)) => {
                Some(self.admitted(Some(name.clone()), None, Voucher::User(name, Box::new(mark))))
            }
            Some(Hashed::Wrong) => Some(self.deny()),
            Some(Hashed::Unknown) => {
                self.state = State::Way(next);
                None
            }
        }
    }

    /// An exchange has led to a name. Where modules come before its way they are asked about that name, as soon as it is proved:
    /// a password they are not told, for the broker has not seen one.
    fn proved(&mut self, method: Method, who: Identified) -> Progress {
        if !self.keyring.asks_modules_before(method) {
            return self.let_in(who);
        }
        self.user = who.grounds.name.as_deref().map(Into::into);
        self.state = State::Confirming(Box::new(who));
        Progress::AskModules
    }

    fn token(&mut self, found: Result<token::Token, &'static str>) -> Progress {
        match found {
            Ok(token) => {
                self.admitted(Some(token.name), Some(token.expires), Voucher::Token(Box::new(token.mark), token.said))
            }
            Err(why) => {
                tracing::debug!(why, peer = &*self.circumstances.peer, "a token was refused");
                self.deny()
            }
        }
    }

    /// The client's message of a mechanism is here.
    fn answered(&mut self, mechanism: Mechanism, data: &[u8], now: Time) -> Option<Progress> {
        match mechanism {
            Mechanism::Plain => {
                let Some((name, password)) = sasl::plain(data) else { return Some(self.deny()) };
                (self.user, self.password) = (Some(name.into()), Some(password.into()));
                self.state = State::Way(0);
                None
            }
            Mechanism::External => {
                let Some(read) = &self.certificate else { return Some(self.deny()) };
                let Some(name) = read.name.clone() else { return Some(self.nameless()) };
                let expires = (data.is_empty() || data == name.as_bytes()).then_some(read.expires);
                let Some(expires) = expires else { return Some(self.deny()) };
                let voucher = Voucher::Certificate(self.keyring.certificate_name());
                let who = self.identified(Some(name), Some(expires), voucher);
                Some(self.proved(Method::Certificate, who))
            }
            Mechanism::Bearer => Some(self.bearer(data, now)),
            Mechanism::Anonymous => {
                self.state = State::Way(0);
                None
            }
            Mechanism::Scram(hash) => {
                let nonce = BASE64_STANDARD.encode(rand::random::<[u8; 18]>());
                let Some((scram, answer)) = Scram::begin(&self.keyring, hash, data, &nonce) else {
                    return Some(self.deny());
                };
                self.state = State::Scram(Box::new(scram));
                Some(Progress::Challenge(answer))
            }
        }
    }

    /// A token that is refused is told so in a challenge, so that the client can get another one; the outcome follows its answer
    /// (RFC 7628, 3.2.2 and 3.2.3).
    fn bearer(&mut self, data: &[u8], now: Time) -> Progress {
        let (status, why) = match (sasl::bearer(data), &self.keyring.tokens) {
            (Some(bearer), Some(tokens)) => match tokens.verify(now, bearer.token) {
                // Nobody acts for somebody else.
                Ok(token) if bearer.authority.as_ref().is_none_or(|authority| **authority == *token.name) => {
                    let (name, expires) = (Some(token.name), Some(token.expires));
                    let voucher = Voucher::Token(Box::new(token.mark), token.said);
                    let who = self.identified(name, expires, voucher);
                    return self.proved(Method::Jwt, who);
                }
                Ok(_) => ("invalid_request", "the token is of another user than the one to act for"),
                Err(why) => ("invalid_token", why),
            },
            _ => ("invalid_request", "there is no token"),
        };
        tracing::debug!(why, peer = &*self.circumstances.peer, "a token was refused");
        let inner = &self.identity.0;
        inner.metrics.authentications_failed_total.add(1);
        // Now, for it may go without an answer.
        let peer = self.circumstances.peer.parse::<SocketAddr>().ok();
        self.noted = peer.map(|peer| inner.failures.note(peer.ip(), now));
        self.state = State::Told;
        Progress::Challenge(format!(r#"{{"status":"{status}"}}"#).into_bytes().into())
    }

    /// No way has led to a name.
    fn at_the_end(&mut self) -> Progress {
        let brought = self.user.is_some() || self.password.is_some();
        let checked = self.keyring.checks_passwords() || self.keyring.checks_tokens();
        if brought && checked { self.deny() } else { self.stranger() }
    }

    fn stranger(&mut self) -> Progress {
        if self.keyring.admits_anonymous(&self.circumstances.listener, &self.circumstances.peer) {
            let name = self.keyring.settings.default_user.clone();
            let Circumstances { listener, peer, .. } = &self.circumstances;
            let voucher = Voucher::Stranger(listener.clone(), peer.clone());
            return self.admitted(name, None, voucher);
        }
        if self.keyring.tries(Method::Certificate) && self.certificate.as_ref().is_some_and(|read| read.name.is_none())
        {
            return self.nameless();
        }
        self.identity.0.metrics.authentications_failed_total.add(1);
        Progress::Denied(Refusal::new(RefusalKind::NotAuthorized, "nobody comes in here without a name"))
    }

    /// The client has a certificate that does not say who it is.
    fn nameless(&mut self) -> Progress {
        self.state = State::Over;
        self.password = None;
        self.identity.0.metrics.authentications_failed_total.add(1);
        let source = self.keyring.certificate_name().in_words();
        let unusable = self.certificate.as_ref().and_then(|read| read.unusable);
        let because = unusable.map(|why| format!(": {why}")).unwrap_or_default();
        let why = format!("the client certificate has no usable {source} (auth.certificate_name){because}");
        Progress::Denied(Refusal::new(RefusalKind::NotAuthorized, why))
    }

    fn admitted(&mut self, name: Option<Arc<str>>, expires: Option<Time>, voucher: Voucher) -> Progress {
        let who = self.identified(name, expires, voucher);
        self.let_in(who)
    }

    fn identified(&self, name: Option<Arc<str>>, expires: Option<Time>, voucher: Voucher) -> Identified {
        let certificate = self.circumstances.certificate.clone();
        Identified { expires, data: None, grounds: Grounds { name, voucher, certificate } }
    }

    fn let_in(&mut self, who: Identified) -> Progress {
        self.state = State::Over;
        self.password = None;
        if who.grounds.name.is_some() {
            self.identity.0.metrics.authentications_total.add(1);
        }
        Progress::Admitted(Box::new(who))
    }

    fn deny(&mut self) -> Progress {
        self.state = State::Over;
        self.password = None;
        self.identity.0.metrics.authentications_failed_total.add(1);
        Progress::Denied(denied())
    }
}

/// The same words for every wrong proof.
pub(super) fn denied() -> Refusal {
    Refusal::new(RefusalKind::BadCredentials, "the user name or password is wrong")
}
