//! The access hook: decides who may come in, and what they may do.

pub use crate::worlds::gatekeeper::exports::pliant::broker::access::{Action, Credentials};

use alloc::string::String;

use crate::lifecycle::Module;
use crate::types::{Client, Refusal};

/// Decides who may come in, and what they may do. A module that fails here refuses.
pub trait Access: Module {
    /// Who this is, or why it may not come in; none: no opinion, ask the next. A client that has proved its name in an exchange
    /// that shows no password (SCRAM, EXTERNAL, OAUTHBEARER) comes with that name and none, where modules are asked first.
    fn authenticate(&self, credentials: &Credentials) -> Option<Result<String, Refusal>>;

    /// May it? None: no opinion, ask the next. The host remembers the answer until the module, its
    /// configuration or the client's connection changes.
    fn authorize(&self, client: &Client, action: Action, topic: &str) -> Option<bool>;
}

#[cfg(target_family = "wasm")]
mod export {
    use super::{Access, Action, Client, Credentials, Refusal, String};
    use crate::worlds::gatekeeper::exports::pliant::broker::access::Guest;

    impl<M: Access> Guest for crate::Exported<M> {
        fn authenticate(credentials: Credentials) -> Option<Result<String, Refusal>> {
            crate::instance::with(|module: &M| module.authenticate(&credentials))
        }

        fn authorize(client: Client, action: Action, topic: String) -> Option<bool> {
            crate::instance::with(|module: &M| module.authorize(&client, action, &topic))
        }
    }
}
