//! One version of a module: compiled, with its configuration, and what it said about itself.

use super::bindings::exports::pliant::broker::{event_interest, lifecycle};
use super::breaker::Breaker;
use super::component::Compiled;
use super::engine::Engine;
use super::error::DeployError;
use super::hooks::EventKinds;
use super::imports::log::{LogLevel, plain};
use super::instance::{Instance, Said};
use super::limits::{Limits, NAME_BYTES_MAX};
use super::meter::Hook;
use super::nursery::Spares;
use super::pace::Pace;
use super::services::Services;
use super::tally::Tally;
use crate::topic::Filter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A version that was configured once and can be asked.
pub(super) struct Version {
    /// Unique in this process: what instances are kept by.
    pub(super) id: u64,
    pub(super) number: u64,
    pub(super) digest: Arc<str>,
    pub(super) compiled: Arc<Compiled>,
    pub(super) services: Arc<Services>,
    pub(super) config: Arc<str>,
    pub(super) manifest: Manifest,
    pub(super) breaker: Breaker,
    /// Of what publishers wait for: routing.
    pub(super) pace: Pace,
    pub(super) spares: Spares,
    tally: Arc<Tally>,
    /// When a failure was last told in the broker's log, in milliseconds, and how many were not since.
    told: AtomicU64,
    untold: AtomicU64,
}

/// Milliseconds between two lines about failures of one version in the broker's log. The module's own list gets all.
const TELL_EVERY_MILLISECONDS: u64 = 1_000;

/// What a version said about itself, checked.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    pub(super) description: String,
    pub(super) version: String,
    pub(super) routing: Interest,
    pub(super) unflagged_retain: Option<Interest>,
    pub(super) retain_by_topic: bool,
    pub(super) delivers_as_is: bool,
    pub(super) delivery: Interest,
    pub(super) tick_milliseconds: Option<u32>,
    pub(super) events: EventInterest,
}

/// What the `events` hook wants to be told.
#[derive(Debug)]
pub(super) struct EventInterest {
    pub(super) kinds: EventKinds,
    /// Topics of lost messages.
    pub(super) lost: Interest,
}

impl EventInterest {
    fn new(limits: &Limits, interest: event_interest::Interest) -> Result<Self, String> {
        let bits = |wanted: bool, kinds: EventKinds| if wanted { kinds.0 } else { 0 };
        let kinds = bits(interest.clients, EventKinds::CLIENTS)
            | bits(interest.subscriptions, EventKinds::SUBSCRIPTIONS)
            | bits(interest.lost.is_some(), EventKinds::LOST);
        let filters = interest.lost.unwrap_or_default();
        let lost = Interest::new(limits, lifecycle::Interest { filters })?;
        Ok(Self { kinds: EventKinds(kinds), lost })
    }
}

impl Default for EventInterest {
    fn default() -> Self {
        Self { kinds: EventKinds::ALL, lost: Interest::default() }
    }
}

/// The topics that a hook wants to see.
#[derive(Debug, Default)]
pub(super) struct Interest(Vec<Filter>);

impl Interest {
    pub(super) fn covers(&self, topic: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|filter| filter.matches(topic))
    }

    /// One of them.
    pub(super) fn some_topic(&self) -> String {
        let level = |level: &str| if matches!(level, "+" | "#") { "x".to_owned() } else { level.to_owned() };
        let filter = self.0.first().map_or("x", |filter| filter.as_str());
        filter.split('/').map(level).collect::<Vec<_>>().join("/")
    }

    fn new(limits: &Limits, interest: lifecycle::Interest) -> Result<Self, String> {
        if interest.filters.len() > limits.interest_filters_max {
            return Err(format!(
                "one interest names {} filters; {} are allowed",
                interest.filters.len(),
                limits.interest_filters_max
            ));
        }
        let check = |filter: &String| {
            Filter::new(filter, &limits.topics).map_err(|error| format!("the filter {filter:?}: {error}"))
        };
        interest.filters.iter().map(check).collect::<Result<_, _>>().map(Self)
    }
}

impl Manifest {
    fn new(limits: &Limits, said: Said) -> Result<Self, String> {
        let Said { manifest, events } = said;
        let description = plain(&manifest.description, limits.log_line_bytes_max).into_owned();
        let version = plain(&manifest.version, NAME_BYTES_MAX).into_owned();
        Ok(Self {
            description,
            version,
            routing: Interest::new(limits, manifest.routing)?,
            unflagged_retain: manifest.unflagged_retain.map(|it| Interest::new(limits, it)).transpose()?,
            retain_by_topic: manifest.retain_by_topic,
            delivers_as_is: manifest.delivers_as_is,
            delivery: Interest::new(limits, manifest.delivery)?,
            tick_milliseconds: manifest.tick_milliseconds,
            events: match events {
                Some(interest) => EventInterest::new(limits, interest)?,
                None => EventInterest::default(),
            },
        })
    }
}

impl Version {
    /// Rehearses: makes an instance under the real limits and configures it. Of what that keeps nothing lasts.
    pub(super) fn new(
        engine: &Engine,
        limits: &Limits,
        number: u64,
        digest: Arc<str>,
        compiled: Arc<Compiled>,
        services: Arc<Services>,
        config: Arc<str>,
    ) -> Result<Self, DeployError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (_, manifest) = Instance::try_out(engine, limits, &compiled, &services, &config)
            .map_err(|fault| DeployError::Configure(fault.to_string()))?;
        let said = manifest.map_err(DeployError::RefusedConfig)?;
        let manifest = Manifest::new(limits, said).map_err(DeployError::Manifest)?;
        let tally = services.tallies.begin(number);
        Ok(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            number,
            digest,
            compiled,
            services,
            config,
            manifest,
            breaker: Breaker::default(),
            pace: Pace::default(),
            spares: Spares::default(),
            tally,
            told: AtomicU64::new(0),
            untold: AtomicU64::new(0),
        })
    }

    /// Whether it is asked who may do what.
    pub(super) fn decides_over_access(&self) -> bool {
        self.compiled.hooks.contains(&"access")
    }

    /// What counts its calls, since it was made ready.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How often it had an answer in these hooks, likewise.
    pub(super) fn answered(&self, hooks: &[Hook]) -> u64 {
        self.tally.total(|meter| meter.answered(hooks))
    }

    /// Tells of a failure: always in the module's own list, in the broker's log at most once a second.
    #[cold]
    pub(super) fn tell_failure(&self, what: &str, why: &dyn std::fmt::Display) {
        let services = &self.services;
        let now = (services.clock)();
        let line = format!("version {}: {what}: {why}", self.number);
        services.log.keep(now, LogLevel::Error, &line);
        let told = self.told.load(Ordering::Relaxed);
        if told != 0 && now.0.saturating_sub(told) < TELL_EVERY_MILLISECONDS {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.told.store(now.0.max(1), Ordering::Relaxed);
        let untold = self.untold.swap(0, Ordering::Relaxed);
        let (module, version) = (&*services.module, self.number);
        tracing::warn!(module, version, hook = what, %why, untold, "a module failed");
    }
}
