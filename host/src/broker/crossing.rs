//! The other form of a message, where it crosses from one protocol to another. Made once a message, by the module that
//! translates, and remembered on it; a message that stays within its protocol never comes here.

use super::Broker;
use super::mailbox::{Mailbox, Queued};
use super::worker::Worker;
use crate::message::{FormMissing, Message, Refusal, RefusalKind};
use std::sync::Arc;

/// Entries of a queue that are looked at in one go: those behind are asked for when these are out.
const PAGE: usize = 256;

impl Broker {
    /// The message as modules see it.
    pub(super) fn shown(&self, worker: &mut Worker, message: &Message) -> Result<Message, Refusal> {
        self.cross(worker, message, false);
        message.in_form(false).cloned().map_err(|_| {
            Refusal::new(RefusalKind::NotSupported, "no module translates this message, and others have to see it")
        })
    }

    /// Makes the form of a message that a mailbox wants, and tells whether the mailbox wants the message.
    pub(super) fn prepare(&self, worker: &mut Worker, message: &Message, mailbox: &Mailbox) -> bool {
        self.cross(worker, message, mailbox.is_consumed());
        self.fits(mailbox, message)
    }

    /// Whether a mailbox's condition holds for a message whose forms are made.
    pub(super) fn fits(&self, mailbox: &Mailbox, message: &Message) -> bool {
        match mailbox.predicate().get() {
            None => true,
            Some(predicate) => message.in_form(true).is_ok_and(|message| (predicate.test)(message)),
        }
    }

    /// Makes the forms of what waits first in a mailbox.
    pub(super) fn make_forms(&self, worker: &mut Worker, mailbox: &Arc<Mailbox>) {
        let bare = mailbox.is_consumed();
        let missing: Vec<Message> = {
            let state = mailbox.lock();
            let waiting = state.replayed.iter().chain(&state.queue).chain(&state.express);
            let missing = |message: &&Message| matches!(message.in_form(bare), Err(FormMissing::NotYet));
            waiting.take(PAGE).map(Queued::content).filter(missing).cloned().collect()
        };
        for message in missing {
            self.cross(worker, &message, bare);
        }
    }

    /// Makes the other form of a message, if that is the one that is wanted.
    fn cross(&self, worker: &mut Worker, message: &Message, bare: bool) {
        if !matches!(message.in_form(bare), Err(FormMissing::NotYet)) {
            return;
        }
        let _ = worker;
        message.set_crossed(None);
    }
}
