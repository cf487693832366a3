//! A bridge's place in the hall: a session of its own, and a thread's way to work for it.

use super::LISTENER;
use super::thread::Clock;
use crate::broker::{Answer, Attachment, Broker, Link, OF_BRIDGES, Outlet, Worker};
use crate::client::{Client, Departure, Protocol, Scope};
use crate::dialogue::{
    Attach, Closed, Detach, Event, Request, RetainHandling, Subscribe, SubscribeFilter, SubscribeOptions, Unsubscribe,
};
use crate::message::{Guarantee, Time};
use crate::store::Sequence;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::Notify;

/// What the bridges of one thread share.
#[derive(Clone)]
pub struct Hall {
    pub broker: Arc<Broker>,
    pub worker: Rc<RefCell<Worker>>,
    pub clock: Clock,
}

impl Hall {
    pub fn new(broker: Arc<Broker>, clock: Clock) -> Self {
        Self { worker: Rc::new(RefCell::new(broker.worker())), broker, clock }
    }

    pub fn now(&self) -> Time {
        (self.clock)()
    }

    /// Ends a batch.
    pub fn flush(&self) {
        self.worker.borrow_mut().flush(&self.broker, self.now());
    }
}

/// Rings when there is something to look at.
#[derive(Default)]
pub struct Bell {
    pub notify: Notify,
    closed: Mutex<Option<Closed>>,
    /// What of the disk it will ring for.
    awaited: Mutex<Vec<Sequence>>,
}

impl Bell {
    /// Whether so much is on disk; if not, it rings when it is. However often that is asked, it stands once in the list of those
    /// who wait.
    pub fn is_on_disk(self: &Arc<Self>, broker: &Broker, after: Sequence) -> bool {
        if broker.is_committed(after) {
            return true;
        }
        let mut awaited = self.awaited.lock();
        awaited.retain(|after| !broker.is_committed(*after));
        if !awaited.contains(&after) {
            awaited.push(after);
            drop(awaited);
            broker.await_answer(after, self.clone());
        }
        broker.is_committed(after)
    }

    /// Why the hall wants the bridge to let go, once.
    pub fn closed(&self) -> Option<Closed> {
        self.closed.lock().take()
    }
}

impl Outlet for Bell {
    fn flush(&self, _: Time) {
        self.notify.notify_one();
    }

    fn wake(&self) {
        self.notify.notify_one();
    }

    fn close(&self, why: Closed) {
        *self.closed.lock() = Some(why);
        self.notify.notify_one();
    }
}

/// Why the hall ended a session's connection.
pub fn told(why: &Closed) -> String {
    match why {
        Closed::TakenOver => "somebody else has taken the place of this bridge's session".to_owned(),
        Closed::ByOperator => "an operator ended its session's connection here".to_owned(),
        Closed::Deleted => "its session here was ended".to_owned(),
        Closed::Elsewhere(_) => "this broker sends its clients elsewhere".to_owned(),
        Closed::ShuttingDown => "this broker shuts down".to_owned(),
        Closed::HandleMisused => "the other broker acknowledged what it was not sent, or too early".to_owned(),
        Closed::QuotaExceeded => "a queue here is full".to_owned(),
        Closed::MessageTooLarge => "a message is longer than the other broker takes".to_owned(),
        Closed::NotAuthorized(reason) => format!("it may not be here any more: {reason}"),
    }
}

/// What a bridge listens to in the hall.
#[derive(Debug, Clone)]
pub struct Listening {
    pub filter: String,
    pub guarantee: Guarantee,
    pub number: u32,
}

/// Under which name a bridge, or one of its routes, is a client of the hall.
pub fn client(name: &str, protocol: Protocol, peer: &str) -> Client {
    let id: Arc<str> = format!("{OF_BRIDGES}{name}").into();
    let scope = Scope { listener: LISTENER.into(), protocol, identity: Some(id.clone()) }.into();
    Client { id, container: None, scope, peer: peer.into() }
}

/// A session of the hall that a bridge holds. It lets go when it is dropped, and the session stays.
pub struct Seat {
    pub hall: Hall,
    pub bell: Arc<Bell>,
    link: Link,
}

impl Seat {
    /// Takes the session, made if it is not there.
    ///
    /// # Errors
    /// Why the hall does not let the bridge in.
    pub fn take(hall: &Hall, client: &Client, window: u16) -> Result<Self, String> {
        let bell = Arc::new(Bell::default());
        let link = Link::new(bell.clone(), client.scope.clone());
        let mut seat = Self { hall: hall.clone(), bell, link };
        let attach = Attach {
            client: client.clone(),
            clean: false,
            expiry_seconds: u32::MAX,
            window: window.max(1),
            per_subscription: true,
            knows_options: true,
            will: None,
            credentials: None,
            exchange: None,
            proof: None,
        };
        match seat.ask(Request::Attach(Box::new(attach))) {
            Answer::Say(_, Event::Attached(_)) => Ok(seat),
            Answer::Say(_, Event::Refused(refusal)) => Err(refusal.reason),
            Answer::Say(_, Event::Closed(why)) => Err(told(&why)),
            _ => Err("the hall does not let the bridge in".to_owned()),
        }
    }

    /// Listens to exactly this.
    ///
    /// # Errors
    /// What the hall refuses.
    pub fn listen(&mut self, client: &Client, wanted: &[Listening]) -> Result<(), String> {
        let found =
            self.hall.broker.session(&mut self.hall.worker.borrow_mut(), client).map_err(|refusal| refusal.reason)?;
        let stale: Vec<(Box<str>, Option<Box<str>>)> = (found.into_iter().flat_map(|session| session.filters))
            .filter(|(name, _)| !wanted.iter().any(|wanted| wanted.filter == *name))
            .map(|(name, _)| (name.into(), None))
            .collect();
        if !stale.is_empty() {
            self.ask(Request::Unsubscribe(Unsubscribe { handle: 1, filters: stale }));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let filters = wanted.iter().map(|wanted| SubscribeFilter {
            name: wanted.filter.as_str().into(),
            share: None,
            options: SubscribeOptions {
                guarantee: wanted.guarantee,
                no_local: true,
                retain_as_published: true,
                retain_handling: RetainHandling::IfNew,
                identifier: Some(wanted.number),
            },
        });
        let answer = self.ask(Request::Subscribe(Subscribe { handle: 1, filters: filters.collect() }));
        let Answer::Say(_, Event::Subscribed { granted, .. }) = answer else {
            return Err("the hall does not answer a subscription".to_owned());
        };
        match granted.into_iter().zip(wanted).find_map(|(granted, wanted)| Some((granted.err()?, wanted))) {
            Some((refusal, wanted)) => Err(format!("{}: {}", wanted.filter, refusal.reason)),
            None => Ok(()),
        }
    }

    pub fn ask(&mut self, request: Request<'_>) -> Answer {
        let now = self.hall.now();
        self.hall.broker.handle(&mut self.hall.worker.borrow_mut(), &mut self.link, now, request)
    }

    /// Tries a publication again that waited for room.
    pub fn resume(&mut self) -> Answer {
        let now = self.hall.now();
        self.hall.broker.resume(&mut self.hall.worker.borrow_mut(), &mut self.link, now)
    }

    /// Has guests asked about what waits, where that has to be done on the client's own thread.
    pub fn refill(&mut self) {
        let now = self.hall.now();
        self.hall.broker.refill(&mut self.hall.worker.borrow_mut(), &self.link, now);
    }

    /// Its hold on the session.
    pub fn attachment(&self) -> Option<&Attachment> {
        self.link.attachment()
    }

    /// Whether so much is on disk; if not, the bell rings when it is.
    pub fn is_on_disk(&self, after: Sequence) -> bool {
        self.bell.is_on_disk(&self.hall.broker, after)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let detach = Detach { departure: Departure::Clean, expiry_seconds: None };
        let now = self.hall.now();
        self.hall.broker.detach(&mut self.hall.worker.borrow_mut(), &mut self.link, now, detach);
        self.hall.flush();
    }
}

/// Ends sessions of clients under the ids of bridges, from before such ids were theirs alone: nobody can come back to them.
pub fn oust(hall: &Hall, names: &[Arc<str>]) {
    for name in names {
        let Some(info) = hall.broker.client(name).filter(|info| &*info.listener != LISTENER) else { continue };
        let (messages, listener) = (info.queued, &*info.listener);
        tracing::warn!(session = %info.id, messages, listener, "a client has the id of a bridge; its session ends");
        hall.broker.end_session(&mut hall.worker.borrow_mut(), hall.now(), name);
    }
    hall.flush();
}

/// Ends the sessions of bridges that are configured no more, with all that waits in them.
pub fn end_others(hall: &Hall, names: &[Arc<str>]) {
    let prefix = OF_BRIDGES;
    let mut after = Some(prefix.to_owned());
    loop {
        let page = hall.broker.clients(after.as_deref(), 256);
        let ours = |id: &str| id.starts_with(prefix);
        let old = page.iter().filter(|info| ours(&info.id) && &*info.listener == LISTENER);
        for info in old.filter(|info| !names.contains(&info.id)) {
            let name = info.id.strip_prefix(prefix).unwrap_or_default();
            let client = client(name, info.protocol, "");
            tracing::warn!(session = %info.id, messages = info.queued, "no bridge is configured for this session any more; it ends");
            match Seat::take(hall, &client, 1) {
                Ok(mut seat) => {
                    let detach = Detach { departure: Departure::Clean, expiry_seconds: Some(0) };
                    seat.ask(Request::Detach(detach));
                }
                Err(reason) => tracing::warn!(session = %info.id, reason, "it cannot be ended now"),
            }
        }
        match page.last() {
            Some(last) if page.len() == 256 && ours(&last.id) => after = Some(last.id.to_string()),
            _ => return,
        }
    }
}
