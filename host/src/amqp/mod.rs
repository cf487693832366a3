//! AMQP 1.0 as a machine without clock or socket: bytes and `now` go in; actions, bytes and the next deadline come out.
//! It is the side of a broker: the peer connects, opens, begins and attaches.
//!
//! [`Connection`] stands whole behind one lock, since every frame in either direction touches what both directions share
//! (windows, credit, unsettled deliveries). It takes one frame a call, so that whoever reads may stop after each of them
//! (a full queue pushes back), and it may be asked for deliveries from any thread.
//!
//! The order of a batch: [`Connection::receive`] until nothing whole is left, each [`Action`] to the hall; answers as they
//! come; [`Connection::flush`] once, which says what could be said together (dispositions, credit, windows).

mod action;
mod attach;
mod codec;
mod condition;
mod connection;
mod disposition;
mod encoding;
mod filter;
mod flow;
mod frame;
mod incoming_link;
mod ledger;
mod limits;
mod linger;
mod link;
mod live;
mod outgoing_link;
mod performative;
mod published;
mod sasl;
pub mod sections;
mod session;
mod state;
mod transaction;
mod trouble;

#[cfg(test)]
mod tests;

pub use action::{
    Action, Attach, AttachReply, Authenticate, DeliveryId, Detach, Direction, Flow, Forgotten, LinkId, NODE_PROPERTY,
    Opening, Outgoing, ReceiverSettles, SaslOutcome, SenderSettles, Settled, Sink, Step, TOPIC_ANNOTATION,
    TOPICS_PROPERTY, Transfer, Undelivered, Unsettled,
};
pub use condition::{
    AmqpError, ConnectionError, Error, ErrorCondition, Fault, Fields, LinkError, SessionError, TransactionError, error,
    name,
};
pub use connection::{Connection, Profile};
pub use encoding::{Wording, annotated, notes};
pub use fe2o3_amqp_types::messaging::{
    DistributionMode, FilterSet, Source, Target, TerminusDurability, TerminusExpiryPolicy,
};
pub use filter::Filters;
pub use limits::Limits;
pub use published::{Published, is_release, release};
pub use serde_amqp::primitives::{Array, OrderedMap, Symbol};
pub use serde_amqp::{Value, described::Described, descriptor::Descriptor};
pub use state::{Modified, Outcome, State, Tag, TxnId};
