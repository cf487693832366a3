//! Every table with its key, and the version of the whole format.
//!
//! Keys and rows are plain bytes to the database. Numbers in keys are big-endian, so that the database's order is
//! theirs and new rows are appended at the right edge. What a row says is in [`super::row`].

use super::change::MailboxId;
use super::encoding::Damage;
use redb::TableDefinition;

/// Version of tables, keys and rows. A store of a later version is refused; one of an earlier version is brought
/// forward when it is opened (see `open`). 2: the tables from [`Table::Failures`] on, and messages kept bare. 3:
/// [`Table::Conditions`].
pub(super) const FORMAT: u32 = 3;

/// How redb sees every table.
pub(super) type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// The tables. Their numbers are part of each row's checksum and of the keys of [`Table::Damaged`]: never change one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Table {
    /// [`FORMAT_KEY`], [`COUNTERS_KEY`] or [`STARTS_KEY`].
    Meta = 0,
    /// Mailbox.
    Mailboxes = 1,
    /// Mailbox, share, filter.
    Filters = 2,
    /// Log id: a message.
    Log = 3,
    /// Mailbox, number: an entry of its queue.
    Queue = 4,
    /// Mailbox, number: the handle of that entry, if it does not follow from the number.
    Handles = 5,
    /// Mailbox, number: the receiver has that entry.
    Received = 6,
    /// Mailbox, handle: a publication that was taken and not yet released.
    Seen = 7,
    /// Topic.
    Retained = 8,
    /// Mailbox of the owner.
    Wills = 9,
    /// Digest: the bytes of a component.
    Components = 10,
    /// Module, version.
    Versions = 11,
    /// Module.
    Modules = 12,
    /// Module, key.
    State = 13,
    /// Table and key of a row that was not what was once written: its bytes, set aside.
    Damaged = 14,
    /// Mailbox, number: failed attempts to have that entry dealt with, and what receivers wrote on it.
    Failures = 15,
    /// Mailbox that is a queue.
    Queues = 16,
    /// Link, tag: a publication that was taken and whose publisher does not know it yet.
    Tags = 17,
    /// Mailbox: the words of the condition on what comes in.
    Conditions = 18,
}

impl Table {
    /// All of them, each at the place of its number.
    pub const ALL: [Self; 19] = [
        Self::Meta,
        Self::Mailboxes,
        Self::Filters,
        Self::Log,
        Self::Queue,
        Self::Handles,
        Self::Received,
        Self::Seen,
        Self::Retained,
        Self::Wills,
        Self::Components,
        Self::Versions,
        Self::Modules,
        Self::State,
        Self::Damaged,
        Self::Failures,
        Self::Queues,
        Self::Tags,
        Self::Conditions,
    ];

    /// Its name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Mailboxes => "mailboxes",
            Self::Filters => "filters",
            Self::Log => "log",
            Self::Queue => "queue",
            Self::Handles => "handles",
            Self::Received => "received",
            Self::Seen => "seen",
            Self::Retained => "retained",
            Self::Wills => "wills",
            Self::Components => "components",
            Self::Versions => "versions",
            Self::Modules => "modules",
            Self::State => "state",
            Self::Damaged => "damaged",
            Self::Failures => "failures",
            Self::Queues => "queues",
            Self::Tags => "tags",
            Self::Conditions => "conditions",
        }
    }

    /// For redb.
    pub fn definition(self) -> Definition {
        TableDefinition::new(self.name())
    }
}

/// Row of [`Table::Meta`] that holds [`FORMAT`].
pub(super) const FORMAT_KEY: &[u8] = b"format";
/// Row of [`Table::Meta`] that holds the ids which must not be given again.
pub(super) const COUNTERS_KEY: &[u8] = b"counters";
/// Row of [`Table::Meta`] that holds how often the store was opened to be used.
pub(super) const STARTS_KEY: &[u8] = b"starts";

/// A key under construction; one buffer serves many.
#[derive(Debug, Default)]
pub(super) struct Key(Vec<u8>);

impl Key {
    /// Begins with a number of eight bytes: a mailbox or a log id.
    pub fn number(&mut self, value: u64) -> &mut Self {
        self.0.clear();
        self.then_number(value)
    }

    /// Begins with a name behind its length: a module.
    pub fn name(&mut self, value: &str) -> &mut Self {
        self.0.clear();
        self.then_name(value)
    }

    /// Is this text: a topic or a digest.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.0.clear();
        self.then_text(value)
    }

    /// A subscription of a mailbox.
    pub fn filter(&mut self, mailbox: MailboxId, share: Option<&str>, filter: &str) -> &mut Self {
        self.number(mailbox);
        match share {
            None => self.0.push(0),
            Some(share) => {
                self.0.push(1);
                self.then_name(share);
            }
        }
        self.then_text(filter)
    }

    /// Goes on with a number of eight bytes.
    pub fn then_number(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Goes on with a handle.
    pub fn then_handle(&mut self, value: u16) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Ends with a text.
    pub fn then_text(&mut self, value: &str) -> &mut Self {
        self.then_bytes(value.as_bytes())
    }

    /// Ends with bytes.
    pub fn then_bytes(&mut self, value: &[u8]) -> &mut Self {
        self.0.extend_from_slice(value);
        self
    }

    fn then_name(&mut self, value: &str) -> &mut Self {
        self.then_number(value.len() as u64).then_text(value)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The number that a key begins with.
pub(super) fn leading_number(key: &[u8]) -> Result<u64, Damage> {
    let head = key.first_chunk().ok_or(Damage("the key is too short"))?;
    Ok(u64::from_be_bytes(*head))
}

/// The two numbers that a key consists of.
pub(super) fn two_numbers(key: &[u8]) -> Result<(u64, u64), Damage> {
    Ok((leading_number(key)?, leading_number(&key[8..])?))
}

/// The mailbox and the handle that a key consists of.
pub(super) fn number_and_handle(key: &[u8]) -> Result<(u64, u16), Damage> {
    let handle = key.get(8..10).and_then(|bytes| bytes.first_chunk()).ok_or(Damage("the key is too short"))?;
    Ok((leading_number(key)?, u16::from_be_bytes(*handle)))
}

/// The name that a key begins with, and what follows it.
pub(super) fn name_and_rest(key: &[u8]) -> Result<(&str, &[u8]), Damage> {
    let length = usize::try_from(leading_number(key)?).map_err(|_| Damage("the key is too short"))?;
    let (name, rest) = key[8..].split_at_checked(length).ok_or(Damage("the key is too short"))?;
    let name = std::str::from_utf8(name).map_err(|_| Damage("a name in a key is not UTF-8"))?;
    Ok((name, rest))
}

/// The first key behind all that begin with `prefix`; none: there is none.
pub(super) fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_stand_at_the_place_of_their_number() {
        for (place, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(place, table as usize);
        }
    }

    #[test]
    fn a_prefix_ends_where_the_next_begins() {
        for (prefix, expected) in
            [(&[0, 0, 1][..], Some(vec![0, 0, 2])), (&[0, 0xff], Some(vec![1])), (&[0xff, 0xff], None), (&[], None)]
        {
            assert_eq!(behind(prefix), expected);
        }
    }

    #[test]
    fn filters_with_and_without_share_are_different_keys() {
        let mut key = Key::default();
        let keys: Vec<_> = [(1, None, "ab"), (1, Some("a"), "b"), (1, Some("ab"), ""), (2, None, "ab")]
            .into_iter()
            .map(|(mailbox, share, filter)| key.filter(mailbox, share, filter).bytes().to_vec())
            .collect();
        for (i, one) in keys.iter().enumerate() {
            assert!(!keys[..i].contains(one));
            assert_eq!(leading_number(one), Ok(if i == 3 { 2 } else { 1 }));
        }
    }
}
