//! Modules: WebAssembly components that decide over messages. They are installed, changed and removed while messages
//! flow; each runs within bounds, and a failing one costs its message what its binding says, and nothing more.
//!
//! | File | Job |
//! |---|---|
//! | `limits` | every bound |
//! | `modules`, `deploy`, `recall`, `rollback` | install, configure, go back, remove |
//! | `expected` | what somebody takes a module to be who changes it |
//! | `open`, `rebind` | what holds at start, and after a reload |
//! | `registry` | name to versions; builds the next chain |
//! | `chain`, `hooks/` | an immutable plan: which versions see which messages, in which order; what each is asked |
//! | `canary` | a new version for some of the clients |
//! | `breaker`, `quarantine` | a version that fails again and again is not asked any more |
//! | `pool` | warm instances of one worker thread |
//! | `nursery` | instances made beforehand, where making one takes long |
//! | `version` | one version: compiled, configured, counted |
//! | `compiler` | a child process that tries a component first |
//! | `machine_code` | what was compiled, kept from start to start |
//! | `component` | bytes to compiled, exports checked, linked beforehand |
//! | `instance` | one store and one instance under limits |
//! | `engine`, `ticker`, `deadline`, `priority` | how guests are compiled and stopped |
//! | `examples/` | what a module decides, tried without a broker and at each deployment |
//! | `signature` | who may have signed a component |
//! | `services`, `imports/` | what a module may call |
//! | `quota` | how much of it a second, and what went past that |
//! | `outside` | which servers it may speak to, and by whom |
//! | `translate` | the broker's words to the contract's and back |
//! | `bindings` | the contract in Rust; the only `bindgen!` |
//! | `meter`, `tally`, `report`, `fault`, `error` | what is counted, shown, and can go wrong |

mod bindings;
mod breaker;
mod canary;
mod chain;
mod closed;
mod compiler;
mod component;
mod deadline;
mod deploy;
mod engine;
mod error;
mod examples;
mod expected;
mod fault;
mod hooks;
mod imports;
mod instance;
mod limits;
mod machine_code;
mod meter;
mod modules;
mod nursery;
mod open;
mod outside;
mod pace;
mod pool;
mod priority;
mod quarantine;
mod quota;
mod rebind;
mod recall;
mod registry;
mod report;
mod rollback;
mod services;
mod signature;
mod tally;
mod ticker;
mod translate;
mod version;

pub use chain::{Chain, OnFailure};
pub use compiler::{SUBCOMMAND as COMPILE_SUBCOMMAND, try_to_compile};
pub use component::{CONTRACT, check_head as check_bytes};
pub use deploy::{DeployOptions, ORDER_MAX};
pub use error::{DeployError, OpenError};
pub use examples::{
    Example, ExampleAnswer, ExampleBody, ExampleClient, ExampleMessage, ExampleRun, ExampleSections, ExampleValue,
    Examples, attach as attach_examples, differences, find as find_examples,
};
pub use expected::{Expected, Tags};
pub use hooks::{
    Action, Credentials, EventKinds, Happening, Leaves, Loss, Outcome, Pulses, Replay, RetainAsk, Retention, Unmet,
    Verdict, Wish,
};
pub use imports::log::{LogLevel, LogLine};
pub use imports::metrics::Figure;
pub use limits::Limits;
pub use machine_code::MachineCode;
pub use meter::HookFigures;
pub use modules::{Modules, NAME_RULE, is_name};
pub use open::{Binding, Kept};
pub use outside::{Errand, Failure as ErrandFailure, Fields, HostGrant, Messenger, Reply};
pub use pool::{Decision, Guests, Spent};
pub use priority::{Back, stand_back};
pub use report::{CanaryInfo, Deployed, ModuleInfo, ModuleState, VersionInfo};
pub use rollback::Rollback;
pub use services::{Clock, LogOwner, RetainedLookup};
pub use signature::{Signers, key_pair, sign};
