//! `pliant check`: is the configuration right, can the files it names be used, and do the modules it names work?

use super::progress::Progress;
use super::trial::Trial;
use super::{ConfigArgs, Failure, Outcome, output};
use crate::config::{Config, ConfigError, Origins, Problem};
use crate::server;
use crate::wasm::DeployError;
use clap::Args;

#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print every setting with its value as one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &CheckArgs) -> Outcome {
    let (config, origins) = args.config.sources().load_with_origins().map_err(|error| Failure::config(&error))?;
    let mut wrong = server::unreadable(&config, &origins);
    wrong.extend(modules(&config, &origins)?);
    if !wrong.is_empty() {
        return Err(Failure::Failed(ConfigError(wrong).to_string()));
    }
    for doubt in server::doubtful(&config) {
        eprintln!("pliant: warning: {doubt}");
    }
    let effective = crate::config::effective(&config);
    if args.json {
        return output::json(&effective.into_iter().collect::<serde_json::Map<_, _>>());
    }
    output::line(&format!(
        "the configuration is right; settings: {}, listeners: {}, modules: {}",
        effective.len(),
        config.listeners.iter().filter(|listener| listener.enabled).count(),
        config.modules.iter().filter(|module| module.enabled && !module.only_grants()).count()
    ))
}

/// What is wrong with the modules that are to run.
fn modules(config: &Config, origins: &Origins) -> Result<Vec<Problem>, Failure> {
    let _progress = Progress::start("checking modules");
    let trial = Trial::new(config.wasm)?;
    let mut wrong = Vec::new();
    for module in config.modules.iter().filter(|module| module.enabled && !module.only_grants()) {
        let name = &module.name;
        let mut say = |key: &str, message: String| {
            wrong.push(Problem { origin: origins.near(&format!("module.{name}.{key}")), message });
        };
        let component = match server::component(module, config.wasm.component_bytes_max) {
            Ok(component) => component,
            Err(error) => {
                say("path", error.to_string());
                continue;
            }
        };
        if let Err(error) = trial.run(name, &component, module.config.to_string()) {
            let key = match error {
                DeployError::Configure(_) | DeployError::RefusedConfig(_) | DeployError::ConfigTooBig { .. } => {
                    "config"
                }
                _ => "path",
            };
            say(key, format!("module {name}: {error}"));
        }
    }
    Ok(wrong)
}
