//! An immutable plan: which versions see which messages, in which order. One message sees one plan from its first
//! call to its last; what is asked of the modules stands in `hooks/`, one file a hook.

use super::canary::Side;
use super::closed::Closed;
use super::registry::Standing;
use super::version::Version;
use std::sync::Arc;

/// What becomes of a message whose module failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It is refused to whoever sent it.
    #[default]
    Refuse,
    /// It goes on as if the module were not there.
    Bypass,
    /// It is accepted and dropped. Where nothing can be dropped (a name, a filter) this is refusing.
    Discard,
}

impl OnFailure {
    /// `refuse`, `bypass` or `discard`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Bypass => "bypass",
            Self::Discard => "discard",
        }
    }

    /// From what [`OnFailure::as_str`] gave.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Refuse, Self::Bypass, Self::Discard].into_iter().find(|policy| policy.as_str() == name)
    }
}

/// One module in the plan.
pub(super) struct Link {
    pub(super) version: Arc<Version>,
    pub(super) order: i32,
    pub(super) on_failure: OnFailure,
    /// It may speak to servers outside, and asks to: hooks in which it may wait are called on threads that may.
    pub(super) goes_out: bool,
}

impl Link {
    pub(super) fn new(version: Arc<Version>, Standing { order, on_failure }: Standing) -> Self {
        let goes_out = version.compiled.wants_http && !version.services.outside.granted().is_empty();
        Self { version, order, on_failure, goes_out }
    }
}

/// The plan of one generation.
pub struct Chain {
    generation: u64,
    /// Of the plan that this is one side of.
    plan: u64,
    /// What some of the clients follow instead.
    pub(super) side: Option<Side>,
    /// Versions of both sides, by what names them in this process.
    versions: Vec<u64>,
    pub(super) mapping: Vec<Arc<Link>>,
    pub(super) routing: Vec<Arc<Link>>,
    pub(super) retain: Vec<Arc<Link>>,
    pub(super) wills: Vec<Arc<Link>>,
    pub(super) access: Vec<Arc<Link>>,
    pub(super) delivery: Vec<Arc<Link>>,
    /// This side or the other has modules that want to see copies, or name them.
    any_delivery: bool,
    /// This is one of two sides.
    split: bool,
    pub(super) events: Vec<Arc<Link>>,
    pub(super) timers: Vec<Arc<Link>>,
    /// Exactly one module translates: the first.
    pub(super) translation: Option<Arc<Link>>,
    /// Hooks of modules that are installed and cannot be asked.
    pub(super) closed: Closed,
}

impl Chain {
    /// No modules: everything stays as it is.
    pub fn empty() -> Arc<Self> {
        Arc::new(Self::new(0, Vec::new(), &[], Closed::default()))
    }

    /// `links` in any order; they are asked by ascending order, then by name. `others` are the versions of the other side.
    pub(super) fn new(generation: u64, mut links: Vec<Arc<Link>>, others: &[u64], closed: Closed) -> Self {
        links.sort_by(|a, b| (a.order, &a.version.services.module).cmp(&(b.order, &b.version.services.module)));
        let with = |hook: &str| {
            links.iter().filter(|link| link.version.compiled.hooks.contains(&hook)).cloned().collect::<Vec<_>>()
        };
        let concerns_copies = |link: &Arc<Link>| {
            let (hooks, names) = (&link.version.compiled.hooks, !link.version.manifest.delivers_as_is);
            hooks.contains(&"delivery") || names && hooks.contains(&"topic-mapping")
        };
        Self {
            generation,
            mapping: with("topic-mapping"),
            routing: with("routing"),
            retain: with("retain-policy"),
            wills: with("will-handling"),
            access: with("access"),
            delivery: with("delivery"),
            events: with("events"),
            timers: with("timers"),
            translation: with("translation").into_iter().next(),
            any_delivery: closed.delivery || links.iter().any(concerns_copies),
            split: false,
            closed,
            plan: generation,
            side: None,
            versions: links.iter().map(|link| link.version.id).chain(others.iter().copied()).collect(),
        }
    }

    /// The plan in which some clients follow another chain.
    pub(super) fn with_side(mut self, mut side: Chain, percent: u8, salt: u64) -> Self {
        side.plan = self.generation;
        (self.split, side.split) = (true, true);
        self.any_delivery |= side.any_delivery;
        side.any_delivery = self.any_delivery;
        self.side = Some(Side { salt, percent, chain: Arc::new(side) });
        self
    }

    /// Ascends with every change of the modules. 0: no module was ever installed.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// As [`Chain::generation`], the same for both sides of a canary.
    pub(super) fn plan_generation(&self) -> u64 {
        self.plan
    }

    pub(super) fn is_one_of_two(&self) -> bool {
        self.split
    }

    pub(super) fn has_delivery(&self) -> bool {
        self.any_delivery
    }

    pub(super) fn has(&self, version: u64) -> bool {
        self.versions.contains(&version)
    }
}
