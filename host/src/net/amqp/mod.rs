//! AMQP 1.0 between the socket, the machine of `amqp` and the hall.
//!
//! The machine stands behind the lock of the outlet ([`wire`]), so that whoever fills a mailbox can send from where it
//! stands. What belongs to the connection's task alone is in [`side`]: which link is what to the hall, and which answers
//! wait for the disk.
//!
//! | File | Job |
//! |---|---|
//! | `wire` | the machine under the outlet's lock, and deliveries out of mailboxes |
//! | `door` | the way from a mailbox to a link |
//! | `side` | frames in, one after the other; the end of the connection |
//! | `attach` | links come and go |
//! | `address` | what an address and its terminus mean |
//! | `publish` | messages from the client |
//! | `outcome` | what the client says about messages to it |
//! | `parted` | links that are detached and may come back |
//! | `sasl` | who the client is |
//! | `services` | wills by messages, and which address is a service's |
//! | `sessions` | sessions by messages |
//! | `management` | queues and bindings by messages |
//! | `transactions` | what waits for a discharge |
//! | `words` | refusals and errors |

mod address;
mod attach;
mod door;
mod management;
mod outcome;
mod parted;
mod publish;
mod sasl;
mod services;
mod sessions;
mod side;
mod tag;
mod transactions;
mod wire;
mod words;

pub use side::{Over, Side};
pub use wire::Wire;
