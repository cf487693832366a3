//! The way of a topic: its name in the broker's words, the modules that want to see it, and who gets it. Worked out once
//! and remembered by each thread while neither modules nor subscriptions change ([`super::routes`]).

use super::Broker;
use super::changes::Stamp;
use super::mailbox::Mailbox;
use super::queues::{self, is_address_of_queue};
use super::routes::{Key, Moment};
use super::shared_groups::Group;
use super::worker::Worker;
use crate::client::Scope;
use crate::dialogue::{Identifiers, SubscribeOptions};
use crate::message::{Guarantee, Message, Refusal, RefusalKind};
use crate::store::MailboxId;
use crate::topic::Topic;
use crate::wasm::{Chain, Guests, RetainAsk, Retention};
use std::sync::{Arc, OnceLock};

/// What stands under a filter in the trie.
pub enum Subscriber {
    /// One client.
    Single(Arc<Mailbox>, SubscribeOptions),
    /// Several that share.
    Group(Arc<Group>),
}

/// Who gets a copy.
pub enum Target {
    /// One client, with what follows from its filters.
    Single(Single),
    /// One of a group, with the names that members have for the topic where those differ, and the members that may not get
    /// its messages.
    Group(Arc<Group>, Vec<(MailboxId, Arc<str>)>, Box<[MailboxId]>),
}

impl Target {
    /// Whether it is a queue, or several of them.
    fn is_queue(&self) -> bool {
        let is_one = |mailbox: &Mailbox| mailbox.is_consumed() && queues::is_queue(&mailbox.lock().client);
        match self {
            Self::Single(single) => is_one(&single.mailbox),
            Self::Group(group, ..) => group.mailboxes().iter().any(|mailbox| is_one(mailbox)),
        }
    }

    /// Whether a copy above at-most-once may have to be kept.
    pub fn is_durable(&self) -> bool {
        match self {
            Self::Single(single) => single.terms.guarantee != Guarantee::AtMostOnce && single.mailbox.is_durable(),
            Self::Group(group, ..) => group.is_kept(),
        }
    }
}

/// A client that gets a copy.
pub struct Single {
    /// Where to.
    pub mailbox: Arc<Mailbox>,
    /// What its subscriptions say.
    pub terms: Terms,
    /// Not what it published itself.
    pub no_local: bool,
    /// The topic in the client's words, if that differs.
    pub name: Option<Arc<str>>,
    /// Of a message that it published itself: what those of the subscriptions say that want such messages, if not all do.
    pub own: Option<Box<Terms>>,
}

/// What subscriptions say together.
#[derive(Clone)]
pub struct Terms {
    /// The most that is wanted.
    pub guarantee: Guarantee,
    /// With the publisher's retain flag.
    pub retain_as_published: bool,
    /// Subscriptions that matched.
    pub identifiers: Identifiers,
}

impl Terms {
    fn add(&mut self, other: &Self) {
        self.guarantee = self.guarantee.max(other.guarantee);
        self.retain_as_published |= other.retain_as_published;
        self.identifiers.extend(other.identifiers.iter().copied());
    }
}

impl Single {
    /// It published the message itself, and does not want that (MQTT 5.0, 3.8.3.1).
    pub(super) fn leaves_out(&self, message: &Message) -> bool {
        self.no_local && self.is_own(message)
    }

    fn is_own(&self, message: &Message) -> bool {
        message.publisher() == self.mailbox.origin()
    }

    /// What holds of a message.
    #[inline]
    pub(super) fn terms_for(&self, message: &Message) -> &Terms {
        self.own.as_deref().filter(|_| self.is_own(message)).unwrap_or(&self.terms)
    }

    /// One copy for what both say.
    fn add(&mut self, other: &Self) {
        if self.no_local != other.no_local || self.own.is_some() {
            let wants =
                |single: &Self| (!single.no_local).then(|| single.own.as_deref().unwrap_or(&single.terms).clone());
            let own = match (wants(self), wants(other)) {
                (Some(mut own), Some(other)) => {
                    own.add(&other);
                    Some(own)
                }
                (own, other) => own.or(other),
            };
            self.own = own.map(Box::new);
        }
        self.terms.add(&other.terms);
        self.no_local &= other.no_local;
    }
}

/// See the head of this file.
pub struct Route {
    /// The topic in the broker's words.
    pub topic: Topic,
    /// Its name is the address of a queue, which is made if it is not there.
    pub is_queue: bool,
    /// A routing module wants to see its messages.
    pub wants_routing: bool,
    /// Under this generation of delivery modules its copies may leave without a question; 0: modules are to be asked.
    pub cleared: u64,
    /// Whether the retain policy is asked about flagged messages.
    pub flagged: RetainAsk,
    /// Whether it is asked about the others.
    pub unflagged: RetainAsk,
    /// Who gets a copy.
    pub targets: Box<[Target]>,
    /// Filters that were looked at to find them.
    pub looked_at: usize,
    /// When who gets a copy was looked for.
    pub(super) stamp: Stamp,
    /// What the retain policy said of a flagged and of an unflagged message, where it may be remembered.
    pub(super) retention: [OnceLock<Result<Retention, Refusal>>; 2],
}

/// A route or why there is none, both worth remembering.
pub type Found = Result<Arc<Route>, Refusal>;

impl Broker {
    /// The way of a name, as clients of `scope` say it.
    pub(super) fn route(&self, worker: &mut Worker, scope: &Arc<Scope>, name: &str) -> Found {
        self.remembered(worker, scope, name, |broker, worker, chain, before| {
            let topic = match before {
                Some(Ok(route)) => route.topic.clone(),
                Some(Err(refusal)) => return Err(refusal),
                None => broker.mapped(chain, &mut worker.guests, scope, name)?,
            };
            let way = broker.find_way(chain, &mut worker.guests, topic);
            Ok(Route { is_queue: way.is_queue || is_address_of_queue(name), ..way })
        })
    }

    /// The way of a topic in the broker's own words.
    pub(super) fn route_of(&self, worker: &mut Worker, topic: &Topic) -> Arc<Route> {
        let own = self.own_scope.clone();
        let found = self.remembered(worker, &own, topic.as_str(), |broker, worker, chain, _| {
            Ok(broker.find_way(chain, &mut worker.guests, topic.clone()))
        });
        found.unwrap_or_else(|_| Arc::new(Route::nowhere(topic.clone())))
    }

    /// The same, of what clients of `scope` may know by another name: by that it may be the address of a queue.
    pub(super) fn route_of_own(&self, worker: &mut Worker, scope: &Scope, topic: &Topic) -> Arc<Route> {
        let route = self.route_of(worker, topic);
        let chain = worker.chain.clone();
        let is_queue = |worker: &mut Worker| {
            let name = chain.deliver_name(&mut worker.guests, scope, topic.as_str());
            name.is_some_and(|name| is_address_of_queue(&name))
        };
        if route.is_queue || !chain.renames_deliveries() || !is_queue(worker) {
            return route;
        }
        let way = self.find_way(&chain, &mut worker.guests, topic.clone());
        Arc::new(Route { is_queue: true, ..way })
    }

    #[inline]
    fn remembered(
        &self,
        worker: &mut Worker,
        scope: &Arc<Scope>,
        name: &str,
        work_out: impl FnOnce(&Self, &mut Worker, &Arc<Chain>, Option<Found>) -> Result<Route, Refusal>,
    ) -> Found {
        let at = Moment { generation: worker.chain.generation(), version: self.changes.count() };
        if let Some(found) = worker.routes.again(scope, name, at) {
            return found.clone();
        }
        let key = worker.routes.key(scope, name);
        match worker.routes.get(&key, at) {
            Some(found) => found.clone(),
            None => self.remember(worker, &key, at, work_out),
        }
    }

    /// What changed may be subscriptions to other topics only: then all is still true. If it is the subscriptions to this one,
    /// what the modules said of the name still is.
    #[inline(never)]
    fn remember(
        &self,
        worker: &mut Worker,
        key: &Key,
        at: Moment,
        work_out: impl FnOnce(&Self, &mut Worker, &Arc<Chain>, Option<Found>) -> Result<Route, Refusal>,
    ) -> Found {
        if let Some(found) = worker.routes.renew(key, at, &self.changes) {
            return found;
        }
        let chain = worker.chain.clone();
        let failures = worker.guests.failures();
        let before = worker.routes.before(key, at.generation);
        let retention = before.as_ref().and_then(|found| found.as_ref().ok()).map(|route| route.retention.clone());
        let found = work_out(self, worker, &chain, before)
            .map(|way| Arc::new(Route { retention: retention.unwrap_or_default(), ..way }));
        worker.work += found.as_ref().map_or(1, |route| route.looked_at as u64);
        // What follows from a module's failure holds for this message only.
        if worker.guests.failures() == failures {
            worker.routes.put(key, at, found.clone(), &self.changes);
        }
        found
    }

    /// The broker's topic for a name that a client publishes to.
    pub(super) fn mapped(
        &self,
        chain: &Chain,
        guests: &mut Guests,
        scope: &Scope,
        name: &str,
    ) -> Result<Topic, Refusal> {
        let invalid = |error: crate::topic::NameError| Refusal::new(RefusalKind::TopicInvalid, error.to_string());
        // What the client said is checked before a guest sees it, and what the guest said after.
        let topic = Topic::new(name, &self.limits.topic).map_err(invalid)?;
        let topic = match chain.publish_topic(guests, scope, name)? {
            Some(mapped) => Topic::new(&mapped, &self.limits.topic).map_err(invalid)?,
            None => topic,
        };
        if topic.is_reserved() {
            return Err(Refusal::new(RefusalKind::NotAuthorized, "only the broker itself publishes there"));
        }
        Ok(topic)
    }

    /// Works out the way of a topic.
    pub(super) fn find_way(&self, chain: &Chain, guests: &mut Guests, topic: Topic) -> Route {
        let stamp = self.changes.stamp(topic.as_str());
        let mut singles: Vec<Single> = Vec::new();
        let mut targets: Vec<Target> = Vec::new();
        let looked_at = self.trie.read().matches(topic.as_str(), |subscriber| match subscriber {
            Subscriber::Single(mailbox, options) => singles.push(single(mailbox, options)),
            Subscriber::Group(group) => targets.push(Target::Group(group.clone(), Vec::new(), Box::default())),
        });
        merge(&mut singles);
        // Names are asked for after the trie is free again: guests run under no lock.
        let mut known: Vec<(Arc<Scope>, Option<Arc<str>>)> = Vec::new();
        let mut name_for = |mailbox: &Arc<Mailbox>| -> Option<Arc<str>> {
            if !chain.renames_deliveries() {
                return None;
            }
            let scope = mailbox.lock().client.scope.clone();
            if let Some((_, name)) = known.iter().find(|(other, _)| *other == scope) {
                return name.clone();
            }
            let name: Option<Arc<str>> = chain.deliver_name(guests, &scope, topic.as_str()).map(Into::into);
            // Subscribers mostly share a few scopes; where each has its own, looking them up is no gain.
            if known.len() < 16 {
                known.push((scope, name.clone()));
            }
            name
        };
        for single in &mut singles {
            single.name = name_for(&single.mailbox);
        }
        for target in &mut targets {
            if let Target::Group(group, names, _) = target {
                let members = group.mailboxes();
                names.extend(members.iter().filter_map(|mailbox| Some((mailbox.id, name_for(mailbox)?))));
            }
        }
        targets.extend(singles.into_iter().map(Target::Single));
        let is_open = self.leave_out_denied(chain, guests, &topic, &mut targets);
        // What a receiver of a queue calls it is known when it gets it.
        let is_open = is_open || chain.renames_deliveries() && targets.iter().any(Target::is_queue);
        Route {
            is_queue: is_address_of_queue(topic.as_str()),
            wants_routing: chain.wants_routing(topic.as_str()),
            cleared: if is_open { 0 } else { chain.clears_delivery(topic.as_str()) },
            flagged: chain.wants_retain(topic.as_str(), true),
            unflagged: chain.wants_retain(topic.as_str(), false),
            topic,
            targets: targets.into_boxed_slice(),
            looked_at,
            stamp,
            retention: Default::default(),
        }
    }
}

impl Route {
    /// Bytes that it takes, roughly.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + self.topic.as_str().len() + self.targets.len() * size_of::<Target>()
    }

    /// Whether a client gets a copy for itself.
    pub(super) fn leads_to(&self, mailbox: &Arc<Mailbox>) -> bool {
        let is_it = |target: &Target| matches!(target, Target::Single(single) if Arc::ptr_eq(&single.mailbox, mailbox));
        self.targets.iter().any(is_it)
    }

    pub(super) fn nowhere(topic: Topic) -> Self {
        let never = RetainAsk::Never;
        let targets = Box::default();
        let retention = Default::default();
        Self {
            topic,
            is_queue: false,
            wants_routing: false,
            cleared: 0,
            flagged: never,
            unflagged: never,
            targets,
            looked_at: 0,
            stamp: Stamp::default(),
            retention,
        }
    }
}

fn single(mailbox: &Arc<Mailbox>, options: &SubscribeOptions) -> Single {
    let knows_options = mailbox.knows_options();
    Single {
        mailbox: mailbox.clone(),
        terms: Terms {
            guarantee: options.guarantee,
            retain_as_published: options.retain_as_published && knows_options,
            identifiers: options.identifier.into_iter().collect(),
        },
        no_local: options.no_local && knows_options,
        name: None,
        own: None,
    }
}

/// Makes one copy of those that go to the same client, unless it wants one for each subscription (MQTT 5.0, 3.3.4). The
/// copy has the highest guarantee and all identifiers.
fn merge(singles: &mut Vec<Single>) {
    let separate = |single: &Single| single.mailbox.per_subscription();
    // Stable, so that copies for the same client stand side by side in the order of the walk.
    singles.sort_by_key(|single| single.mailbox.id);
    singles.dedup_by(|next, first| {
        let same = next.mailbox.id == first.mailbox.id && !separate(first);
        if same {
            first.add(next);
        }
        same
    });
}
