//! What operators are shown of modules.

use super::chain::OnFailure;
use super::meter::HookFigures;
use std::sync::Arc;

/// What a module does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ModuleState {
    /// It is asked.
    Active,
    /// It is switched off.
    Off,
    /// It failed again and again, and there is no older version to go back to, or it decides over access: what fails is given
    /// the failure policy without asking.
    Quarantined,
    /// It should be asked and cannot; see [`ModuleInfo::problem`].
    Broken,
}

/// One module.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ModuleInfo {
    /// Under which it was deployed.
    pub name: Arc<str>,
    /// The version that is asked; 0: the bundled or configured one. None: switched off.
    pub version: Option<u64>,
    /// Of the version's component.
    pub digest: Arc<str>,
    /// Modules of a hook are asked by ascending order, then by name.
    pub order: i32,
    /// What becomes of messages on which it fails.
    pub on_failure: OnFailure,
    /// The interfaces it exports, such as `routing`.
    pub hooks: Vec<&'static str>,
    /// What it does.
    pub state: ModuleState,
    /// What is wrong: why it is broken, which version went into quarantine and why, or what ended a canary that nobody ended.
    pub problem: Option<String>,
    /// A newer version that some of the clients follow.
    pub canary: Option<CanaryInfo>,
    /// Versions that failed too often since they were last put to work.
    pub quarantined: Vec<u64>,
    /// It came with the broker or its configuration: it can be switched off, not removed.
    pub bundled: bool,
    /// Calls of the active version in this process.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// The same by function, with times.
    pub figures: Vec<HookFigures>,
    /// Instances of the active version that were made beforehand, as making one takes long, and that nobody asks yet.
    pub spares: usize,
    /// In the module's words.
    pub description: String,
    /// As its author counts.
    pub module_version: String,
    /// Bytes of state that it keeps.
    pub state_bytes: usize,
    /// A JSON document.
    pub config: Arc<str>,
    /// Hosts outside that the operator lets it speak to.
    pub http_hosts: Vec<String>,
    /// Stands for what operators have made of it: another one after each change.
    #[serde(skip)]
    pub tag: String,
}

/// One version of a module.
#[derive(Debug, Clone, serde::Serialize)]
pub struct VersionInfo {
    /// 0: the bundled or configured one.
    pub version: u64,
    /// Of its component.
    pub digest: Arc<str>,
    /// Its configuration, a JSON document.
    pub config: Arc<str>,
    /// As [`ModuleInfo::order`], while it is asked.
    pub order: i32,
    /// As [`ModuleInfo::on_failure`], likewise.
    pub on_failure: OnFailure,
    /// When it was installed, in milliseconds since 1970; none for version 0.
    pub installed_milliseconds: Option<u64>,
    /// It is asked.
    pub active: bool,
    /// It is on trial: so many of a hundred clients follow it.
    pub canary_percent: Option<u8>,
    /// It failed too often since it was last put to work; how.
    pub quarantined: Option<String>,
    /// Its calls in this process, whether it is asked now or was before.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// The same by function, with times.
    pub figures: Vec<HookFigures>,
}

/// A version on trial.
#[derive(Debug, Clone, serde::Serialize)]
pub struct CanaryInfo {
    /// Its number.
    pub version: u64,
    /// Of a hundred clients, how many follow it.
    pub percent: u8,
    /// For those, modules of a hook are asked by ascending order; confirming makes it the module's.
    pub order: i32,
    /// For those, what becomes of messages on which it fails; confirming makes it the module's.
    pub on_failure: OnFailure,
    /// Its calls in this process.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// The same by function, with times.
    pub figures: Vec<HookFigures>,
}

/// What a change came to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Deployed {
    /// The module.
    pub name: Arc<str>,
    /// The version that is asked now; none: switched off.
    pub version: Option<u64>,
    /// Of its component.
    pub digest: Arc<str>,
    /// Messages that arrive from now on see this generation or a later one.
    pub generation: u64,
    /// The version that is on trial beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<u64>,
    /// The version that was on trial, if the change has ended that and nobody follows it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_ended: Option<u64>,
    /// The module was switched off, and the change has switched it on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub switched_on: bool,
    /// It was taken back to what the broker's configuration says of it, and that is that it is off.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub off_as_configured: bool,
    /// It was so already, and nothing was stored.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unchanged: bool,
    /// Hooks that the version before serves, and what was deployed does not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks_gone: Vec<&'static str>,
    /// On the way back these versions were passed over: they are in quarantine, or what is asked now was active after them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<u64>,
    /// [`ModuleInfo::tag`] after the change; none: the module is gone.
    #[serde(skip)]
    pub tag: Option<String>,
}

impl Deployed {
    /// What a change came to that did nothing else.
    pub(super) fn new(name: Arc<str>, version: Option<u64>, digest: Arc<str>, generation: u64) -> Self {
        Self {
            name,
            version,
            digest,
            generation,
            canary: None,
            canary_ended: None,
            switched_on: false,
            off_as_configured: false,
            unchanged: false,
            hooks_gone: Vec::new(),
            skipped: Vec::new(),
            tag: None,
        }
    }
}
