//! Runs examples: each on a module of its own, with a clock that stands, a state that nobody else sees and no disk.

use super::super::chain::{Chain, Link};
use super::super::closed::Closed;
use super::super::component::Compiled;
use super::super::error::DeployError;
use super::super::hooks::UnmetWishes;
use super::super::imports::log::Log;
use super::super::imports::metrics::Figures;
use super::super::imports::state::State;
use super::super::modules::{Inner, Modules};
use super::super::outside::{Errand, Failure, Fields, Messenger, MessengerSlot, Outside, Reply};
use super::super::pool::Guests;
use super::super::quota::Refusals;
use super::super::registry::Standing;
use super::super::services::{RetainedSlot, Services};
use super::super::tally::Tallies;
use super::super::version::Version;
use super::call::Call;
use super::differences;
use super::document::{Example, ExampleMessage, Examples};
use crate::message::Time;
use cpu_time::ThreadTime;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long the examples that a component carries may take, all together.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of one example.
#[derive(Debug, Clone, PartialEq)]
pub struct ExampleRun {
    /// Its name, or its place in the file.
    pub name: String,
    /// What the module decided; `{"failed": reason}` if the call failed. Beside it what it keeps and logged, if anything.
    pub decision: Json,
    /// Where that is not what was expected; empty: nowhere.
    pub differences: Vec<String>,
    /// How long the call took.
    pub microseconds: f64,
    /// The component has the hook that it is about.
    pub has_hook: bool,
}

impl Modules {
    /// Runs examples on a component that is not installed. `config` is for examples without a configuration of their own
    /// in a document without one.
    ///
    /// # Errors
    /// The component does not run, or an example cannot be read.
    pub fn run_examples(
        &self,
        bytes: &[u8],
        examples: &Examples,
        config: &str,
    ) -> Result<Vec<ExampleRun>, DeployError> {
        let inner = self.inner();
        let compiled = inner.compile(bytes)?;
        inner.rehearse_examples(&compiled, examples, config, None)
    }
}

impl Inner {
    /// As [`Modules::run_examples`], on a component that is compiled.
    pub(in super::super) fn rehearse_examples(
        self: &Arc<Self>,
        compiled: &Arc<Compiled>,
        examples: &Examples,
        config: &str,
        patience: Option<Duration>,
    ) -> Result<Vec<ExampleRun>, DeployError> {
        let begun = Instant::now();
        let most = self.limits.examples_max;
        if examples.examples.len() > most {
            let found = examples.examples.len();
            return Err(DeployError::Examples(format!("{found} examples; {most} are allowed")));
        }
        let given = examples.config.as_ref().map(Json::to_string);
        let run = |(at, example): (usize, &Example)| {
            let name = if example.name.is_empty() { format!("example {}", at + 1) } else { example.name.clone() };
            let own = example.config.as_ref().map(Json::to_string);
            let config = own.or_else(|| given.clone()).unwrap_or_else(|| config.to_owned());
            let wrong = |why: String| DeployError::Examples(format!("{name}: {why}"));
            if patience.is_some_and(|patience| begun.elapsed() > patience) {
                return Err(wrong("they take too long".to_owned()));
            }
            let (mut decision, mut microseconds) = self.run(compiled, example, &config, false).map_err(wrong)?;
            if decision.get("failed").is_some() {
                // An interpreter's first call may take longer than a call has; no message meets it before it has answered one.
                (decision, microseconds) = self.run(compiled, example, &config, true).map_err(wrong)?;
            }
            let differences = match unfit(example, compiled) {
                Some(why) => vec![why],
                None => differences(&example.expect, &decision),
            };
            Ok(ExampleRun { name, decision, differences, microseconds, has_hook: has_hook(example, compiled) })
        };
        examples.examples.iter().enumerate().map(run).collect()
    }

    /// What a component that is deployed says of itself has to be true.
    pub(in super::super) fn rehearse_own(
        self: &Arc<Self>,
        compiled: &Arc<Compiled>,
        bytes: &[u8],
    ) -> Result<(), DeployError> {
        let Some(examples) = super::find(bytes).map_err(DeployError::Examples)? else { return Ok(()) };
        let runs = self.rehearse_examples(compiled, &examples, "{}", Some(PATIENCE))?;
        match runs.iter().find(|run| !run.differences.is_empty()) {
            Some(run) => {
                let failed = run.decision["failed"].as_str().map(|why| format!(" (the call failed: {why})"));
                let failed = failed.unwrap_or_default();
                Err(DeployError::Examples(format!("{}: {}{failed}", run.name, run.differences.join("; "))))
            }
            None => Ok(()),
        }
    }

    /// Asks the one instance of `guests` about the examples that its component carries; or, where none of them gets to it, about
    /// something made up. Ends at the first failure, and when it has had the time of `configure`.
    pub(in super::super) fn warm_up(self: &Arc<Self>, guests: &mut Guests, version: &Arc<Version>) {
        let link = Link::new(version.clone(), Standing::default());
        let chain = Chain::new(1, vec![Arc::new(link)], &[], Closed::default());
        let (begun, patience) = (ThreadTime::now(), Duration::from_millis(self.limits.configure_milliseconds_max));
        let own = version.compiled.warm_ups.iter().map(|example| (example.clone(), false));
        let hooks = ["routing", "delivery", "topic-mapping.publish-topic", "access.authorize", "translation.to-amqp"];
        let made_up = hooks.into_iter().map(|hook| (made_up(version, hook), true));
        for (example, is_made_up) in own.chain(made_up) {
            let was_asked = guests.spent().nanoseconds > 0;
            if guests.failures() > 0 || begun.elapsed() > patience || (is_made_up && was_asked) {
                return;
            }
            let now = (self.clock)();
            let Ok(client) = example.client.client() else { continue };
            // Nobody needs the answer.
            let _ = Call { chain: &chain, guests, example: &example, client, now }.make(now, &self.limits.topics);
        }
    }

    fn run(
        self: &Arc<Self>,
        compiled: &Arc<Compiled>,
        example: &Example,
        config: &str,
        is_warm: bool,
    ) -> Result<(Json, f64), String> {
        let now = (self.clock)();
        let services = self.scratch(example, now)?;
        let (clock, log, compiled) = (services.clone(), services.clone(), compiled.clone());
        let version = Version::new(&self.engine, &self.limits, 1, "".into(), compiled, services, config.into());
        let version = Arc::new(version.map_err(|error| error.to_string())?);
        let link = Link::new(version.clone(), Standing::default());
        let chain = Chain::new(1, vec![Arc::new(link)], &[], Closed::default());
        let guests = Guests::of(self.clone()).patient();
        let mut guests = if is_warm {
            self.stock(&version);
            guests
        } else {
            guests.fresh()
        };
        guests.trace = Some(Vec::new());
        let mut call = Call { chain: &chain, guests: &mut guests, example, client: example.client.client()?, now };
        let mut decision = call.make((clock.clock)(), &self.limits.topics)?;
        let traced = guests.trace.take().unwrap_or_default();
        // Of nothing the sum is -0.0.
        let microseconds = traced.iter().map(|call| call.microseconds).sum::<f64>() + 0.0;
        if guests.failures() > 0 {
            let failed = traced.iter().rev().find_map(|call| call.answer.strip_prefix("failed: "));
            decision = json!({ "failed": failed.unwrap_or("no instance") });
        }
        let kept = log.state.texts();
        if !kept.is_empty() {
            decision["state"] = json!(kept);
        }
        let lines: Vec<String> = log.log.list().into_iter().map(|line| line.line.into()).collect();
        if !lines.is_empty() {
            decision["log"] = json!(lines);
        }
        Ok((decision, microseconds))
    }

    /// Services that end with the example.
    fn scratch(&self, example: &Example, now: Time) -> Result<Arc<Services>, String> {
        let at = Time(example.clock);
        let state = example.state.iter().map(|(key, value)| (key.as_str().into(), value.as_bytes().into(), None));
        let mut kept = BTreeMap::new();
        for message in &example.retained {
            let message = message.message(now, &self.limits.topics)?;
            kept.insert(message.topic().to_string(), message);
        }
        let retained = RetainedSlot::new(OnceLock::new());
        // Set once, just made.
        let _ = retained.set(Arc::new(move |topic: &str| kept.get(topic).cloned()));
        Ok(Arc::new(Services {
            module: "example".into(),
            limits: self.limits,
            clock: Arc::new(move || at),
            log: Log::new(&self.limits),
            state: State::passing("example".into(), state.collect()),
            figures: Figures::default(),
            retained,
            outside: self.stage(example)?,
            refusals: Refusals::default(),
            unmet_wishes: UnmetWishes::default(),
            tallies: Tallies::default(),
        }))
    }

    /// Servers outside that know what the example says of them.
    fn stage(&self, example: &Example) -> Result<Outside, String> {
        let mut hosts = Vec::new();
        for answer in &example.http {
            let rest = answer.url.split_once("://").map_or("", |(_, rest)| rest);
            let authority = rest.split(['/', '?']).next().unwrap_or_default();
            hosts.push(authority.parse().map_err(|_| format!("http: {} is no URL", answer.url))?);
        }
        let answers = example.http.clone();
        let messenger: Messenger = Arc::new(move |errand: Errand| {
            let known = answers.iter().find(|answer| answer.url == errand.url).ok_or(Failure::NoHost)?;
            Ok(Reply { status: known.status, fields: Fields::new(), body: known.body.clone().into_bytes() })
        });
        let slot = MessengerSlot::default();
        // Set once, just made.
        let _ = slot.set(messenger);
        Ok(Outside::new(hosts, slot, Arc::default(), self.engine.ticker.waker()))
    }
}

/// About a topic that the module wants to see.
fn made_up(version: &Version, hook: &str) -> Example {
    let interest = if hook == "delivery" { &version.manifest.delivery } else { &version.manifest.routing };
    let topic = interest.some_topic();
    let message = ExampleMessage { topic: topic.clone(), ..ExampleMessage::default() };
    Example { hook: hook.to_owned(), message: Some(message), topic, ..Example::default() }
}

fn interface(example: &Example) -> &str {
    example.hook.split('.').next().unwrap_or_default()
}

fn has_hook(example: &Example, compiled: &Compiled) -> bool {
    compiled.hooks.contains(&interface(example))
}

/// Why an example says nothing of the component.
fn unfit(example: &Example, compiled: &Compiled) -> Option<String> {
    if !has_hook(example, compiled) {
        return Some(format!("the component does not export {}", interface(example)));
    }
    let nothing = "expect is missing: what the decision has to contain, or {} if all is well that does not fail";
    example.expect.is_null().then(|| nothing.to_owned())
}
