//! The will-handling hook: decides over the message a client leaves for when it is gone.

use alloc::vec::Vec;

pub use crate::worlds::will_keeper::exports::pliant::broker::will_handling::Will;

use crate::lifecycle::Module;
use crate::types::{Client, Departure, Message, Refusal};

/// Decides over the message a client leaves to be published when it is gone.
pub trait WillHandling: Module {
    /// A client leaves a will. The answer is what is kept: the will, another one, or none. As it
    /// is, unless the module says otherwise.
    ///
    /// # Errors
    /// Refuses the connection, or the AMQP message.
    fn on_register(&self, owner: &Client, will: Will) -> Result<Option<Will>, Refusal> {
        let _: &Client = owner;
        Ok(Some(will))
    }

    /// The will is due: the client is gone and the delay is over. What is returned is published;
    /// an empty list publishes nothing. The will's message, unless the module says otherwise.
    fn on_departure(&self, owner: &Client, will: Will, how: Departure) -> Vec<Message> {
        let _: (&Client, Departure) = (owner, how);
        alloc::vec![will.message]
    }
}

impl Will {
    /// A will to be published at once.
    pub fn new(message: Message) -> Self {
        Will { message, delay_seconds: 0 }
    }
}

#[cfg(target_family = "wasm")]
mod export {
    use super::{Client, Departure, Message, Refusal, Vec, Will, WillHandling};
    use crate::worlds::will_keeper::exports::pliant::broker::will_handling::Guest;

    impl<M: WillHandling> Guest for crate::Exported<M> {
        fn on_register(owner: Client, will: Will) -> Result<Option<Will>, Refusal> {
            crate::instance::with(|module: &M| module.on_register(&owner, will))
        }

        fn on_departure(owner: Client, will: Will, how: Departure) -> Vec<Message> {
            crate::instance::with(|module: &M| module.on_departure(&owner, will, how))
        }
    }
}
