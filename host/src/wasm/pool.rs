//! Warm instances of one worker thread. A trapped one is never put back.

use super::breaker::What;
use super::chain::{Chain, Link};
use super::fault::Fault;
use super::instance::{Cell, Exports, Instance, Terms};
use super::meter::{Hook, Meter};
use super::modules::{Inner, Modules};
use super::nursery::Serving;
use super::outside::Wait;
use super::version::Version;
use crate::message::Message;
use std::sync::Arc;
use std::time::Instant;
use wasmtime::Store;

/// One answer of one module, for people.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Decision {
    /// Interface and function, such as `routing.on-publish`.
    pub hook: &'static str,
    /// The module's name.
    pub module: Arc<str>,
    /// Which version answered.
    pub version: u64,
    /// Of the chain.
    pub generation: u64,
    /// What it said, or how it failed.
    pub answer: String,
    /// How long the call took.
    pub microseconds: f64,
}

/// Time of one thread that calls took, failed ones included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Nanoseconds of all calls.
    pub nanoseconds: u64,
    /// Of those that took a millisecond or more.
    pub slow_nanoseconds: u64,
}

/// A call is slow from here on, nanoseconds.
const SLOW: u64 = 1_000_000;

/// The instances of one worker thread: taken without a lock, one of each version.
pub struct Guests {
    inner: Arc<Inner>,
    slots: Vec<Slot>,
    /// The newest chain that was used here.
    seen: u64,
    /// An older chain was used after that and may have left instances behind.
    strays: bool,
    failures: u64,
    spent: Spent,
    /// When the last call ended.
    ended: Option<Instant>,
    /// The same, where the next call begins just then: the clock need not be asked again.
    begins: Option<Instant>,
    /// Counts the thread among those that serve clients.
    serving: Option<Serving>,
    /// The thread may wait for servers outside, and so may the hooks for which somebody waits that long.
    patient: bool,
    /// Modules are asked what they would decide: what they change is not kept, and nothing is counted or held against them.
    rehearses: bool,
    supply: Supply,
    /// Where it is some, every call leaves a line here.
    pub trace: Option<Vec<Decision>>,
}

/// Where instances come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Supply {
    /// Made beforehand, and warmed up, where that takes long.
    Ready,
    /// Made on the spot.
    Fresh,
    /// There is one, which is warmed up.
    None,
}

impl Supply {
    fn instance(self, inner: &Arc<Inner>, version: &Arc<Version>) -> Result<Instance, Fault> {
        match self {
            Self::Ready => inner.instance(version),
            Self::Fresh => inner.make(version),
            Self::None => Err(Fault::NotMade("it has failed before".to_owned())),
        }
    }
}

struct Slot {
    version: Arc<Version>,
    meter: Arc<Meter>,
    /// None after a fault, until the next call.
    instance: Option<Instance>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.version.tally().retire_meter(&self.meter);
    }
}

/// One call: whom, what for, and the message whose payload may be read meanwhile.
pub(super) struct Ask<'a> {
    pub(super) chain: &'a Chain,
    pub(super) link: &'a Link,
    pub(super) hook: Hook,
    pub(super) message: Option<&'a Message>,
    /// Topic, name or client that the call is about.
    pub(super) about: &'a str,
}

impl Ask<'_> {
    /// What the call is about.
    fn what(&self) -> What {
        (self.hook, xxhash_rust::xxh3::xxh3_64(self.about.as_bytes()))
    }

    fn decision(&self, answer: String, nanoseconds: u64) -> Decision {
        let version = &self.link.version;
        Decision {
            hook: self.hook.name(),
            module: version.services.module.clone(),
            version: version.number,
            generation: self.chain.generation(),
            answer,
            microseconds: nanoseconds as f64 / 1_000.0,
        }
    }

    /// Costs one look at a flag where nobody traces modules.
    fn span(&self) -> tracing::Span {
        let version = &self.link.version;
        tracing::trace_span!(
            target: "module",
            "call",
            module = &*version.services.module,
            version = version.number,
            hook = self.hook.name(),
            about = self.about
        )
    }
}

impl Guests {
    /// No instances yet: each is made when it is first needed.
    pub fn new(modules: &Modules) -> Self {
        let inner = modules.inner();
        Self { serving: Some(inner.nursery.serve()), ..Self::of(inner.clone()) }
    }

    pub(super) fn of(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            slots: Vec::new(),
            seen: 0,
            strays: false,
            failures: 0,
            spent: Spent::default(),
            ended: None,
            begins: None,
            serving: None,
            patient: false,
            rehearses: false,
            supply: Supply::Ready,
            trace: None,
        }
    }

    /// The same with instances that nobody has asked anything.
    pub(super) fn fresh(mut self) -> Self {
        self.supply = Supply::Fresh;
        self
    }

    /// With one instance, which is to be asked so that it has been asked once: what it decides, changes and says is nobody's.
    pub(super) fn warming_up(inner: Arc<Inner>, version: &Arc<Version>, instance: Instance) -> Self {
        let slot = Slot { version: version.clone(), meter: Arc::default(), instance: Some(instance) };
        Self { slots: vec![slot], rehearses: true, supply: Supply::None, ..Self::of(inner) }
    }

    /// That instance, unless it has failed.
    pub(super) fn into_instance(mut self) -> Option<Instance> {
        self.slots.pop().and_then(|mut slot| slot.instance.take())
    }

    /// The same on a thread that may wait for servers outside.
    pub fn patient(mut self) -> Self {
        self.patient = true;
        self.serving = None;
        self
    }

    /// From now on modules are only asked what they would decide, or are asked in earnest again.
    pub fn rehearse(&mut self, rehearses: bool) {
        self.rehearses = rehearses;
    }

    /// Whether modules are only asked what they would decide.
    pub(super) fn rehearses(&self) -> bool {
        self.rehearses
    }

    /// Whether this thread may wait for servers outside.
    pub fn is_patient(&self) -> bool {
        self.patient
    }

    /// How many calls failed here so far. An answer during which this number changed must not be remembered, whatever
    /// the failure policy made of it.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// What calls took here so far.
    #[inline]
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// The next call comes right after the last one, which was about the same message.
    #[inline]
    pub(super) fn goes_on(&mut self) {
        self.begins = self.ended;
    }

    /// Live instances here.
    pub fn instances(&self) -> usize {
        self.slots.iter().filter(|slot| slot.instance.is_some()).count()
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Calls a guest, judges its answer, counts and traces. None: it failed, its instance is gone, and the failure
    /// policy of its binding is to be applied.
    #[inline]
    pub(super) fn ask<R, A>(
        &mut self,
        ask: &Ask<'_>,
        call: impl FnOnce(&Inner, &Exports, &mut Store<Cell>) -> wasmtime::Result<R>,
        judge: impl FnOnce(&Inner, R) -> Result<A, String>,
        show: impl FnOnce(&A) -> String,
    ) -> Option<A> {
        let begins = self.begins.take();
        self.meet(ask.chain);
        let index = self.slot(&ask.link.version);
        let wait = match ask.hook.may_wait() {
            true if self.patient => Wait::Yes,
            true => Wait::NotThisCall,
            false => Wait::NotThisHook,
        };
        let terms = Terms { wait, rehearses: self.rehearses, warms_up: self.supply == Supply::None };
        // Borrowed, not cloned: a count that all workers share would travel between their processors at each call.
        let inner = &*self.inner;
        let slot = &mut self.slots[index];
        let version = &slot.version;
        if version.breaker.is_open() && inner.keeps_away(version, ask.what()) {
            self.failures += 1;
            if let Some(trace) = &mut self.trace {
                trace.push(ask.decision("not asked: it is in quarantine".to_owned(), 0));
            }
            return None;
        }
        let span = ask.span();
        let entered = span.enter();
        let begun = begins.unwrap_or_else(Instant::now);
        let made = match slot.instance {
            Some(_) => Ok(()),
            None => self.supply.instance(&self.inner, version).map(|made| slot.instance = Some(made)),
        };
        let answer = match (&mut slot.instance, made) {
            (Some(instance), Ok(())) => {
                instance.call(&inner.engine, ask.message, terms, |exports, store| call(inner, exports, store))
            }
            (_, Err(fault)) => Err(fault),
            (None, Ok(())) => Err(Fault::NotMade("there is none".to_owned())),
        };
        let answer = answer.and_then(|answer| judge(inner, answer).map_err(Fault::Answer));
        let ended = Instant::now();
        self.ended = Some(ended);
        let nanoseconds = u64::try_from(ended.duration_since(begun).as_nanos()).unwrap_or(u64::MAX);
        drop(entered);
        self.spent.nanoseconds = self.spent.nanoseconds.wrapping_add(nanoseconds);
        let is_slow = nanoseconds >= SLOW;
        if ask.hook == Hook::Route {
            version.pace.note(ask.about, is_slow);
        }
        if is_slow {
            self.spent.slow_nanoseconds = self.spent.slow_nanoseconds.wrapping_add(nanoseconds);
        }
        if !self.rehearses {
            slot.meter.record(ask.hook, nanoseconds, answer.is_err());
        }
        if let Some(trace) = &mut self.trace {
            let said = answer.as_ref().map_or_else(|fault| format!("failed: {fault}"), show);
            trace.push(ask.decision(said, nanoseconds));
        }
        match answer {
            Ok(answer) => {
                slot.instance.take_if(|instance| instance.is_worn());
                Some(answer)
            }
            Err(fault) => {
                slot.instance = None;
                self.failures += 1;
                if self.rehearses {
                    return None;
                }
                let version = version.clone();
                version.tell_failure(ask.hook.name(), &fault);
                // A system without room for an instance is not the version's fault.
                if !matches!(fault, Fault::NotMade(_)) {
                    Inner::blame(&self.inner, &version, ask.what(), &fault);
                }
                None
            }
        }
    }

    /// Drops what a newer chain does not need any more; a message that began on an older one still finds, or gets, its
    /// instances.
    fn meet(&mut self, chain: &Chain) {
        let generation = chain.generation();
        if generation == self.seen && !self.strays {
            return;
        }
        if generation < self.seen {
            self.strays = true;
            return;
        }
        self.seen = generation;
        self.strays = false;
        self.slots.retain(|slot| chain.has(slot.version.id));
    }

    /// Few enough that looking through them beats a table.
    fn slot(&mut self, version: &Arc<Version>) -> usize {
        if let Some(found) = self.slots.iter().position(|slot| slot.version.id == version.id) {
            return found;
        }
        self.slots.push(Slot { version: version.clone(), meter: version.tally().new_meter(), instance: None });
        self.slots.len() - 1
    }
}
