//! Delivery-tags of what a client is sent (2.6.12): which entry of which mailbox. They say so over restarts, and also to a
//! link that goes on at another node under its old name.

use crate::amqp::Tag;

/// The tag of an entry: its number, and behind it that of its mailbox without leading zeros.
pub(super) fn of(mailbox: u64, number: u64) -> Tag {
    let mut tag = Tag::from_slice(&number.to_be_bytes());
    tag.extend_from_slice(&mailbox.to_be_bytes()[mailbox.leading_zeros() as usize / 8..]);
    tag
}

/// The number of the entry that a tag names; none: it is not of this mailbox.
pub(super) fn number(mailbox: u64, tag: &[u8]) -> Option<u64> {
    let number = u64::from_be_bytes(*tag.first_chunk()?);
    (of(mailbox, number)[..] == *tag).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_an_entry_of_one_mailbox_only() {
        for mailbox in [0, 1, 255, 256, u64::MAX] {
            for entry in [0, 1, u64::MAX] {
                let tag = of(mailbox, entry);
                assert!(tag.len() <= 16 && number(mailbox, &tag) == Some(entry));
                assert_eq!(number(mailbox ^ 1, &tag), None);
            }
        }
        assert_eq!(number(0, b"short"), None);
        assert_eq!(number(1, &7_u64.to_be_bytes()), None);
    }
}
