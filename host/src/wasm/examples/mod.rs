//! Examples of what a module decides: message in, decision out, clock and state given. Run offline, and at each deployment
//! of a component that carries them.
//!
//! | File | Job |
//! |---|---|
//! | `document` | how examples are written |
//! | `amqp` | how a message of AMQP is written in one |
//! | `section` | the part of a component that they stand in |
//! | `runner` | runs examples, each on a module of its own |
//! | `call` | one call of one function |
//! | `decision` | what came of it, as a document |
//! | `compare` | what differs from what was expected |

mod amqp;
mod call;
mod compare;
mod decision;
mod document;
mod runner;
mod section;

pub use amqp::{ExampleBody, ExampleSections, ExampleValue};
pub use compare::differences;
pub use document::{Example, ExampleAnswer, ExampleClient, ExampleMessage, Examples};
pub use runner::ExampleRun;
pub use section::{attach, find};
