//! What the configuration says of a module and what is done instead, as somebody has done something by hand.

use super::modules::policy;
use crate::config::Module;
use crate::wasm::Modules;

/// Settings of a module that give way to what is done by hand.
const GIVE_WAY: [&str; 4] = ["enabled", "config", "order", "on_failure"];

/// The settings of a module that do not hold, with why and what puts them to work. `is_meant` tells of which settings that is to
/// be told: those that somebody has written. `has_changed` tells those that were written just now.
pub(super) fn settings(
    modules: &Modules,
    module: &Module,
    is_meant: impl Fn(&str) -> bool,
    has_changed: impl Fn(&str) -> bool,
) -> Vec<(&'static str, String)> {
    let (Ok(info), Ok(at_work)) = (modules.show(&module.name), modules.at_work(&module.name)) else {
        return Vec::new();
    };
    let is_config =
        |text: &str| serde_json::from_str(text).is_ok_and(|config: serde_json::Value| config == module.config);
    let differs = |setting: &str| match setting {
        "config" => !is_config(&info.config),
        "order" => info.order != module.order,
        "on_failure" => info.on_failure != policy(module.on_failure),
        _ => false,
    };
    let waits = |setting: &str| match (info.version, module.enabled) {
        (None, false) | (Some(0), true) => false,
        (None, true) => true,
        (Some(0), false) => setting == "enabled",
        (Some(_), false) => setting == "enabled" || has_changed(setting),
        (Some(_), true) => differs(setting),
    };
    let Some(why) = why(module, info.version, at_work) else { return Vec::new() };
    let told = GIVE_WAY.into_iter().filter(|setting| (is_meant(setting) || has_changed(setting)) && waits(setting));
    told.map(|setting| (setting, why.clone())).collect()
}

/// Why a module does not do what the configuration says; none: it does.
fn why(module: &Module, version: Option<u64>, at_work: Option<u64>) -> Option<String> {
    let name = &module.name;
    let deployed = at_work.filter(|number| *number != 0);
    match (version, module.enabled, deployed) {
        (None, false, _) | (Some(0), true, _) => None,
        (Some(0), false, _) => {
            Some(format!("waits as it was switched on by hand; pliant module disable {name} switches it off"))
        }
        (Some(version), true, _) => Some(format!(
            "waits behind version {version}, which was deployed and goes on; pliant module rollback {name} --to 0 puts to work what \
             the configuration says"
        )),
        (Some(version), false, _) => Some(format!(
            "waits behind version {version}, which was deployed and goes on; pliant module disable {name} switches it off"
        )),
        (None, true, None) => {
            Some(format!("waits as it was switched off by hand; pliant module enable {name} switches it on"))
        }
        (None, true, Some(version)) => Some(format!(
            "waits as it was switched off by hand, and behind version {version}, which was deployed; pliant module enable {name} \
             switches that on, pliant module rollback {name} --to 0 puts to work what the configuration says"
        )),
    }
}
