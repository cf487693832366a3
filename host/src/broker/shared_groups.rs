//! Subscriptions that several clients share: each message goes to one of them (MQTT 5.0, 4.8.2).

use super::mailbox::Mailbox;
use crate::dialogue::SubscribeOptions;
use crate::message::{Guarantee, Message};
use crate::store::MailboxId;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;

/// One share name on one filter.
pub struct Group {
    /// Names the group among the subscribers of its filter.
    pub key: u64,
    /// The share name.
    pub name: Box<str>,
    /// The broker's filter.
    pub filter: crate::topic::Filter,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    all: Vec<Member>,
    /// Whose turn it was last.
    turn: usize,
}

/// One of those who share.
#[derive(Clone)]
pub struct Member {
    /// Where its copies go.
    pub mailbox: Arc<Mailbox>,
    /// How it wants them.
    pub options: SubscribeOptions,
}

impl Member {
    /// Whether its copy has the retain flag of a message that its publisher wants retained.
    pub fn keeps_flag(&self, message: &Message) -> bool {
        message.envelope().retain && self.options.retain_as_published && self.mailbox.knows_options()
    }
}

impl Group {
    /// A group without members.
    pub fn new(key: u64, name: Box<str>, filter: crate::topic::Filter) -> Self {
        Self { key, name, filter, members: Mutex::default() }
    }

    /// Adds a member or changes its options; true if it is new.
    pub fn join(&self, mailbox: &Arc<Mailbox>, options: SubscribeOptions) -> bool {
        let members = &mut self.members.lock().all;
        if let Some(member) = members.iter_mut().find(|member| member.mailbox.id == mailbox.id) {
            member.options = options;
            return false;
        }
        members.push(Member { mailbox: mailbox.clone(), options });
        true
    }

    /// Takes a member out; tells whether it was the last one.
    pub fn leave(&self, mailbox: u64) -> bool {
        let members = &mut self.members.lock().all;
        members.retain(|member| member.mailbox.id != mailbox);
        members.is_empty()
    }

    /// Whose turn it is: in turn among those who are there and keep up, else among those who are there and
    /// have room, else among those who will be back; none: nobody has room.
    pub fn pick(&self, guarantee: Guarantee, limits: &super::Limits, denied: &[MailboxId]) -> Option<Member> {
        let mut guard = self.members.lock();
        let Members { all: members, turn } = &mut *guard;
        *turn = if *turn + 1 < members.len() { *turn + 1 } else { 0 };
        let first = *turn;
        let may = |member: &&Member| denied.is_empty() || !denied.contains(&member.mailbox.id);
        let in_turn = || members[first..].iter().chain(&members[..first]).filter(may);
        let there = |member: &&Member| member.mailbox.is_attached();
        let room = |member: &&Member| !member.mailbox.is_full(limits);
        in_turn()
            .find(|member| there(member) && member.mailbox.keeps_up())
            .or_else(|| in_turn().find(|member| there(member) && room(member)))
            .or_else(|| {
                let keeps = guarantee != Guarantee::AtMostOnce;
                in_turn().find(|member| keeps && member.mailbox.is_durable() && room(member))
            })
            .cloned()
    }

    /// Who takes over what another member has left behind: one with room, else the one with the shortest queue, since it was
    /// promised to its publisher. None: nobody would keep it.
    pub fn heir(&self, guarantee: Guarantee, limits: &super::Limits, denied: &[MailboxId]) -> Option<Member> {
        self.pick(guarantee, limits, denied).or_else(|| {
            let members = &self.members.lock().all;
            let may = |member: &&Member| member.mailbox.takes() && !denied.contains(&member.mailbox.id);
            members.iter().filter(may).min_by_key(|member| member.mailbox.depth()).cloned()
        })
    }

    /// Whether somebody would take a message above at-most-once.
    pub fn has_room(&self, limits: &super::Limits, denied: &[MailboxId]) -> bool {
        let may = |member: &&Member| !denied.contains(&member.mailbox.id);
        self.members
            .lock()
            .all
            .iter()
            .filter(may)
            .any(|member| member.mailbox.takes() && !member.mailbox.is_full(limits))
    }

    /// Who has to make room before the next message can be taken; none: nobody would take it.
    pub fn any(&self, denied: &[MailboxId]) -> Option<Arc<Mailbox>> {
        let members = &self.members.lock().all;
        let may = |member: &&Member| member.mailbox.takes() && !denied.contains(&member.mailbox.id);
        let there = members.iter().filter(may).find(|member| member.mailbox.is_attached());
        there.or(members.iter().find(may)).map(|member| member.mailbox.clone())
    }

    /// All members' mailboxes.
    pub fn mailboxes(&self) -> Vec<Arc<Mailbox>> {
        self.members.lock().all.iter().map(|member| member.mailbox.clone()).collect()
    }

    /// Whether somebody shares whose session is kept.
    pub fn is_kept(&self) -> bool {
        self.members.lock().all.iter().any(|member| member.mailbox.is_durable())
    }

    /// How many share.
    pub fn len(&self) -> usize {
        self.members.lock().all.len()
    }

    /// Whether nobody shares.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$share/{}/{}", self.name, self.filter)
    }
}
