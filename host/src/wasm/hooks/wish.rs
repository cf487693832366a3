//! What a module wants published, and in whose name.

use super::super::chain::Link;
use super::super::pool::Guests;
use crate::message::Message;
use std::sync::Arc;

/// A message that a module wants published.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Which module; it is the publisher.
    pub module: Arc<str>,
    /// What, one hop older than what caused it.
    pub message: Message,
}

impl Wish {
    pub(super) fn of(link: &Link, messages: Vec<Message>) -> impl Iterator<Item = Self> {
        let module = link.version.services.module.clone();
        messages.into_iter().map(move |message| Self { module: module.clone(), message })
    }

    /// Leaves out and counts those past the hop limit, so that loops end.
    pub(super) fn within_hops(guests: &Guests, wishes: &mut Vec<Self>) {
        if wishes.is_empty() {
            return;
        }
        let inner = guests.inner();
        let before = wishes.len();
        wishes.retain(|wish| wish.message.envelope().hops <= inner.limits.hops_max);
        inner.metrics.module_wishes_refused_total.add((before - wishes.len()) as u64);
    }
}
