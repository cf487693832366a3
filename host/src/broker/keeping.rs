//! What is new and has to be kept, on a disk that is full or fails. On a full one the store writes out of its reserve, which is
//! there for those who empty queues: whoever comes back to a session gets in, and what would make more of it is refused.

use super::Broker;
use super::deliver::Full;
use crate::client::Client;
use crate::dialogue::{Attach, WillRequest};
use crate::message::{Refusal, RefusalKind};

/// Bytes of a will that is little enough to be taken on a full disk: those who come back to empty their queues bring theirs.
const LITTLE_WILL_BYTES: usize = 1_024;

impl Broker {
    /// Looks whether there is room on the disk for something new.
    ///
    /// # Errors
    /// The disk is full.
    pub(super) fn may_keep_more(&self) -> Result<(), Refusal> {
        if self.store.is_out_of_space() { Err(Full::Space.refusal()) } else { Ok(()) }
    }

    /// Looks whether something that is kept may have this name, which stands in memory for as long.
    ///
    /// # Errors
    /// It is too long.
    pub(super) fn may_keep_name(&self, name: &str) -> Result<(), Refusal> {
        let most = self.limits.kept_name_bytes_max;
        if name.len() <= most {
            return Ok(());
        }
        let reason =
            format!("what outlives its connection has a name of up to {most} bytes (broker.kept_name_bytes_max)");
        Err(Refusal::new(RefusalKind::NameInvalid, reason))
    }

    /// The same of the address of a queue, or of a filter or another address that it keeps.
    ///
    /// # Errors
    /// It is too long.
    pub(super) fn may_keep_address(&self, name: &str) -> Result<(), Refusal> {
        let most = self.limits.kept_name_bytes_max;
        if name.len() <= most {
            return Ok(());
        }
        let reason = format!(
            "addresses of queues and what is bound to them have up to {most} bytes (broker.kept_name_bytes_max)"
        );
        Err(Refusal::new(RefusalKind::TopicInvalid, reason))
    }

    /// Looks whether there is room on the disk for something of a few bytes that is over soon, such as the handle of a publication.
    ///
    /// # Errors
    /// The disk is full, and so much of that was taken already that what is left of the reserve is for those who empty queues.
    pub(super) fn may_keep_little(&self) -> Result<(), Refusal> {
        if self.store.has_room_for_little() { Ok(()) } else { self.may_keep_more() }
    }

    /// The same for a will, and whether there is room in memory.
    ///
    /// # Errors
    /// The disk is full, or all wills take as much memory as they may.
    pub(super) fn may_keep_will(&self, will: &WillRequest) -> Result<(), Refusal> {
        if self.wills.kept_bytes() + weight(will) > self.limits.memory_bytes_max / 2 {
            return Err(Refusal::new(RefusalKind::QuotaExceeded, "wills take as much memory as they may"));
        }
        match weight(will) <= LITTLE_WILL_BYTES {
            true => self.may_keep_little(),
            false => self.may_keep_more(),
        }
    }

    /// Looks whether what a client that comes wants to be kept can be. Whether its answer has to wait for the disk: not on one
    /// that fails, for somebody who comes back to what is there already, and wants no more than that.
    ///
    /// # Errors
    /// The disk is full, or fails.
    pub(super) fn may_come(&self, client: &Client, attach: &Attach, expiry_seconds: u32) -> Result<bool, Refusal> {
        if expiry_seconds == 0 && attach.will.is_none() {
            return Ok(true);
        }
        let old = self.directory.get(&client.id).filter(|old| old.is_kept());
        if !self.store.is_healthy() {
            let is_there = old.is_some_and(|old| old.lock().expiry_seconds >= expiry_seconds);
            if is_there && !attach.clean && attach.will.is_none() {
                return Ok(false);
            }
            // Without this its client would never hear an answer.
            let reason = "the disk fails: nothing is taken that would have to be kept";
            return Err(Refusal::new(RefusalKind::Unavailable, reason));
        }
        if expiry_seconds > 0 && old.is_none() {
            self.may_keep_name(&client.id)?;
            self.may_keep_more()?;
        }
        attach.will.as_ref().map_or(Ok(()), |will| self.may_keep_will(will))?;
        Ok(true)
    }
}

/// Bytes of all that a will is made of.
pub(super) fn weight(will: &WillRequest) -> usize {
    will.name.len() + will.payload.len() + will.properties.as_ref().map_or(0, |properties| properties.size())
}
