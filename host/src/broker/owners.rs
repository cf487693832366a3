//! Whose a mailbox is: it goes over to a client of the same identity, and only where its names mean the same to that one. Modules
//! may map names by the listener and the protocol: what waits in it, or comes by its filters, would lead out of a mount point.

use super::Broker;
use super::mailbox::Mailbox;
use super::worker::Worker;
use crate::client::{Client, Scope};
use crate::message::{Refusal, RefusalKind};

/// Most filters of a mailbox that are compared: with more it stays where it is.
const FILTERS_COMPARED: usize = 1024;

/// What a name of everything leads to says of mount points.
const EVERYTHING: &str = "#";

impl Broker {
    /// Looks whether a client may take a mailbox, or a place at it.
    ///
    /// # Errors
    /// It is somebody else's.
    pub(super) fn may_take(&self, worker: &mut Worker, mailbox: &Mailbox, client: &Client) -> Result<(), Refusal> {
        let state = mailbox.lock();
        let owner = state.client.scope.clone();
        if owner.identity != client.scope.identity {
            return Err(Refusal::new(RefusalKind::NotAuthorized, "the name belongs to somebody else"));
        }
        if owner == client.scope || !worker.chain.wants_mapping() {
            return Ok(());
        }
        let names: Vec<Box<str>> = state.subscriptions.values().map(|one| one.said().into()).collect();
        drop(state);
        let differs = || {
            let why =
                "the name belongs to a client of another listener or protocol, to which names mean something else";
            Refusal::new(RefusalKind::NotAuthorized, why)
        };
        if names.len() > FILTERS_COMPARED {
            return Err(differs());
        }
        for name in names.iter().map(|name| &**name).chain([EVERYTHING]) {
            if !self.means_the_same(worker, [&owner, &client.scope], name)? {
                return Err(differs());
            }
        }
        Ok(())
    }

    /// Whether a filter is the same one to clients of two scopes.
    ///
    /// # Errors
    /// A module failed.
    fn means_the_same(&self, worker: &mut Worker, scopes: [&Scope; 2], name: &str) -> Result<bool, Refusal> {
        let chain = worker.chain.clone();
        let [one, other] = scopes.map(|scope| chain.subscribe_filter(&mut worker.guests, scope, name));
        match (one, other) {
            (Err(failed), _) | (_, Err(failed)) if failed.kind == RefusalKind::Unavailable => Err(failed),
            (Ok(one), Ok(other)) => Ok(one == other),
            (one, other) => Ok(one.is_err() && other.is_err()),
        }
    }
}
