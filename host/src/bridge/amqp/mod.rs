//! A bridge over AMQP 1.0, with fe2o3-amqp as the client: a session with one link for each route, so that a route that is
//! refused, or stuck, costs no other. At-least-once in both directions: a message leaves the hall when the other broker has
//! accepted it, and is accepted there when it is on disk here. To the library messages are bytes: see `packing`.

mod connection;
mod cut;
mod form;
mod holding;
mod inward;
mod outward;
mod packed;
mod packing;
mod route;
mod said;
mod words;

pub use connection::run;
pub use holding::{Holding, session_id};
pub use words::{beginning, disposing, opening, received, receiving, sending, sent};
