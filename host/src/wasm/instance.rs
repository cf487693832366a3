//! One store and one instance under limits: what the host remembers beside it, and how it is called.

use super::bindings::exports::pliant::broker as hooks;
use super::component::Compiled;
use super::deadline::Deadline;
use super::engine::Engine;
use super::fault::Fault;
use super::imports::http::desk::Desk;
use super::imports::log::plain;
use super::imports::state::State;
use super::limits::Limits;
use super::outside::{Share, Wait};
use super::priority;
use super::services::Services;
use super::version::Version;
use crate::message::Message;
use std::collections::VecDeque;
use std::sync::Arc;
use wasmtime::component::HasData;
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

/// Stands for the payload of the message that the instance is being asked about; there is never more than one, and the
/// guest holds it no longer than the call lasts. The bytes stay in the [`Cell`].
pub struct Payload;

/// Calls before which an instance is not replaced, whatever memory it has taken: to make one is not to cost more than them.
const WORN_CALLS_MIN: u32 = 64;

/// Lines that are told of a guest that traps while it is configured: its last ones.
const LAST_WORDS_MAX: usize = 8;

/// What the host keeps beside an instance: all that an import can reach.
pub(super) struct Cell {
    /// Of the module, shared by all its instances.
    pub(super) services: Arc<Services>,
    /// The message whose payload the guest may read now.
    pub(super) message: Option<Message>,
    /// Handles to host objects that the guest holds.
    pub(super) handles: u32,
    /// What it holds of `wasi:http`.
    pub(super) desk: Desk,
    /// What it may still ask of servers outside during this call.
    pub(super) share: Share,
    /// It is asked what it would decide: what it changes and counts is not kept.
    pub(super) rehearses: bool,
    /// It is tried whether it can be configured: what it keeps it keeps there.
    pub(super) tried_on: Option<Box<State>>,
    /// The version that it is an instance of; 0: that is only tried.
    pub(super) version: u64,
    /// It is asked so that it has been asked once: what it says is about nothing.
    pub(super) warms_up: bool,
    /// What the guest wrote to standard output and standard error since the last end of line.
    pub(super) lines: [Vec<u8>; 2],
    /// Its last lines while it is configured, and nobody can look at its log yet; none: it is.
    last_words: Option<VecDeque<Box<str>>>,
    /// Calls of imports that the guest may still make during this call.
    host_calls_left: u32,
    /// Retained messages that it may still look up, and bytes of them.
    retained_left: (u32, usize),
    /// Of the present call.
    deadline: Deadline,
    /// State of the sequence behind `wasi:random`.
    pub(super) random: u64,
    bounds: Bounds,
}

impl Cell {
    /// The guest waited inside the host: its deadline begins anew.
    pub(super) fn rested(&mut self) {
        self.deadline.begin_anew(self.services.limits.call_milliseconds_max);
    }

    /// It has written a line.
    pub(super) fn hear(&mut self, line: &str) {
        let Some(words) = self.last_words.as_mut().filter(|_| !line.trim().is_empty()) else { return };
        if words.len() == LAST_WORDS_MAX {
            words.pop_front();
        }
        words.push_back(line.trim().into());
    }

    /// Why it trapped, and what it said before.
    fn with_last_words(&self, why: String) -> String {
        let Some(words) = &self.last_words else { return why };
        let open = self
            .lines
            .iter()
            .map(|line| plain(&String::from_utf8_lossy(line), self.services.limits.log_line_bytes_max).into_owned());
        let words = words.iter().map(|line| (**line).to_owned()).chain(open).filter(|line| !line.trim().is_empty());
        let said = words.collect::<Vec<_>>().join("; ");
        if said.is_empty() { why } else { format!("{why}; it said: {said}") }
    }

    /// Takes one call of an import off what the guest may make during one call.
    pub(super) fn spend(&mut self) -> wasmtime::Result<()> {
        match self.host_calls_left.checked_sub(1) {
            Some(left) => {
                self.host_calls_left = left;
                Ok(())
            }
            None => Err(self.exceeded("calls of the broker")),
        }
    }

    /// Takes look-ups of retained messages, and bytes of them, off what the guest may have during one call.
    pub(super) fn spend_retained(&mut self, reads: u32, bytes: usize) -> wasmtime::Result<()> {
        let (reads_left, bytes_left) = self.retained_left;
        let Some(after) = reads_left.checked_sub(reads).zip(bytes_left.checked_sub(bytes)) else {
            self.services.refusals.retained.add(1);
            return Err(self.exceeded("of the retained messages"));
        };
        self.retained_left = after;
        Ok(())
    }

    /// The end of a call that wanted more of this than it may have.
    pub(super) fn exceeded(&mut self, what: &'static str) -> wasmtime::Error {
        self.bounds.exceeded = Some(what);
        wasmtime::Error::msg("more than a module may have at once")
    }
}

/// How a guest is called.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Terms {
    /// Whether it may wait for servers outside.
    pub(super) wait: Wait,
    /// It is asked what it would decide.
    pub(super) rehearses: bool,
    /// It is asked so that it has been asked once, and has the time of `configure`.
    pub(super) warms_up: bool,
}

/// Tells the bindings that imports work on the whole [`Cell`].
pub(super) struct CellOf;

impl HasData for CellOf {
    type Data<'a> = &'a mut Cell;
}

/// Counts the memory and the tables of one instance.
struct Bounds {
    memory_left: usize,
    table_elements_max: usize,
    exceeded: Option<&'static str>,
}

impl ResourceLimiter for Bounds {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        if more > self.memory_left {
            self.exceeded = Some("memory");
            wasmtime::bail!("more memory than a module may have");
        }
        self.memory_left -= more;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.table_elements_max {
            self.exceeded = Some("table entries");
            wasmtime::bail!("more table entries than a module may have");
        }
        Ok(true)
    }
}

/// The hooks that an instance offers, each resolved once.
pub(super) struct Exports {
    pub(super) lifecycle: hooks::lifecycle::Guest,
    pub(super) topic_mapping: Option<hooks::topic_mapping::Guest>,
    pub(super) routing: Option<hooks::routing::Guest>,
    pub(super) retain_policy: Option<hooks::retain_policy::Guest>,
    pub(super) will_handling: Option<hooks::will_handling::Guest>,
    pub(super) access: Option<hooks::access::Guest>,
    pub(super) delivery: Option<hooks::delivery::Guest>,
    pub(super) events: Option<hooks::events::Guest>,
    pub(super) event_interest: Option<hooks::event_interest::Guest>,
    pub(super) translation: Option<hooks::translation::Guest>,
    pub(super) timers: Option<hooks::timers::Guest>,
}

/// What a module says about itself when it is configured.
pub(super) struct Said {
    pub(super) manifest: hooks::lifecycle::Manifest,
    /// None: it does not say, and is told everything.
    pub(super) events: Option<hooks::event_interest::Interest>,
}

/// An instance and what it said of itself; the inner error is the module's own refusal of its configuration.
pub(super) type Made = (Instance, Result<Said, String>);

/// A guest that is ready to be asked. After any fault it must not be asked again.
pub(super) struct Instance {
    store: Store<Cell>,
    exports: Exports,
    /// Bytes of memory that it could still take when it was configured.
    free: usize,
    calls: u32,
}

impl Instance {
    /// Makes an instance of a version.
    pub(super) fn of(engine: &Engine, limits: &Limits, version: &Version) -> Result<Made, Fault> {
        let Version { compiled, services, config, .. } = version;
        Self::new(engine, limits, compiled, services, config, version.id)
    }

    /// Makes an instance to see whether it can be made: what it keeps and counts goes with it.
    pub(super) fn try_out(
        engine: &Engine,
        limits: &Limits,
        compiled: &Compiled,
        services: &Arc<Services>,
        config: &str,
    ) -> Result<Made, Fault> {
        Self::new(engine, limits, compiled, services, config, 0)
    }

    /// Makes an instance and gives it its configuration.
    fn new(
        engine: &Engine,
        limits: &Limits,
        compiled: &Compiled,
        services: &Arc<Services>,
        config: &str,
        version: u64,
    ) -> Result<Made, Fault> {
        let is_tried = version == 0;
        let cell = Cell {
            services: services.clone(),
            message: None,
            handles: 0,
            desk: Desk::default(),
            share: Share::default(),
            rehearses: is_tried,
            tried_on: is_tried.then(|| Box::new(services.state.copy())),
            version,
            warms_up: false,
            lines: [Vec::new(), Vec::new()],
            last_words: Some(VecDeque::new()),
            host_calls_left: limits.host_calls_max,
            retained_left: (limits.retained_reads_max, limits.retained_bytes_max),
            deadline: Deadline::after(limits.configure_milliseconds_max),
            random: services.seed(),
            bounds: Bounds {
                memory_left: limits.memory_bytes_max,
                table_elements_max: limits.table_elements_max,
                exceeded: None,
            },
        };
        let mut store = Store::new(&engine.wasmtime, cell);
        store.limiter(|cell| &mut cell.bounds);
        store.set_hostcall_fuel(limits.hostcall_bytes_max);
        let waker = engine.ticker.waker();
        store.epoch_deadline_callback(move |mut store| {
            let cell = store.data_mut();
            if cell.deadline.is_over(&waker) {
                return Ok(UpdateDeadline::Interrupt);
            }
            priority::offer();
            Ok(UpdateDeadline::Continue(1))
        });
        store.set_epoch_deadline(1);
        engine.ticker.touch();
        let made = compiled.instantiate(&mut store);
        let exports = made.map_err(|error| fault(&error, &store, true))?;
        let answer = exports.lifecycle.call_configure(&mut store, config);
        let answer = answer.map_err(|error| fault(&error, &store, false))?;
        let said = match answer {
            Ok(manifest) => {
                let events = exports.event_interest.as_ref().map(|guest| guest.call_wanted(&mut store)).transpose();
                Ok(Said { manifest, events: events.map_err(|error| fault(&error, &store, false))? })
            }
            Err(refusal) => Err(refusal.reason),
        };
        store.data_mut().deadline.end();
        store.data_mut().last_words = None;
        let free = store.data().bounds.memory_left;
        Ok((Self { store, exports, free, calls: 0 }, said))
    }

    /// It has taken more than half of the memory that it could take, call by call. Interpreters collect what is not used any
    /// more later than at the bound of their memory, at which a call fails: a fresh one takes its place before.
    pub(super) fn is_worn(&self) -> bool {
        self.store.data().bounds.memory_left < self.free / 2 && self.calls >= WORN_CALLS_MIN
    }

    /// Asks. `message` is whose payload the guest may read meanwhile.
    #[inline]
    pub(super) fn call<R>(
        &mut self,
        engine: &Engine,
        message: Option<&Message>,
        terms: Terms,
        call: impl FnOnce(&Exports, &mut Store<Cell>) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        self.calls = self.calls.saturating_add(1);
        self.store.set_epoch_deadline(1);
        engine.ticker.touch();
        let cell = self.store.data_mut();
        let limits = &cell.services.limits;
        let allowed = if terms.warms_up { limits.configure_milliseconds_max } else { limits.call_milliseconds_max };
        cell.deadline = Deadline::after(allowed);
        cell.host_calls_left = limits.host_calls_max;
        cell.retained_left = (limits.retained_reads_max, limits.retained_bytes_max);
        cell.share = Share::of_a_call(&cell.services.limits, terms.wait);
        (cell.rehearses, cell.warms_up) = (terms.rehearses, terms.warms_up);
        if let Some(message) = message {
            cell.message = Some(message.clone());
        }
        let answer = call(&self.exports, &mut self.store);
        let cell = self.store.data_mut();
        cell.deadline.end();
        if message.is_some() {
            cell.message = None;
        }
        answer.map_err(|error| fault(&error, &self.store, false))
    }
}

/// What went wrong, in our words.
#[cold]
fn fault(error: &wasmtime::Error, store: &Store<Cell>, making: bool) -> Fault {
    if let Some(what) = store.data().bounds.exceeded {
        return Fault::Resources(what);
    }
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::Interrupt) => Fault::Deadline,
        Some(wasmtime::Trap::StackOverflow) => Fault::Resources("stack"),
        Some(trap) => Fault::Trap(store.data().with_last_words(trap.to_string())),
        None if making => Fault::NotMade(format!("{error:#}")),
        None => Fault::Trap(store.data().with_last_words(error.root_cause().to_string())),
    }
}
