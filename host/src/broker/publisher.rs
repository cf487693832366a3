//! By which number a client is known as the publisher of messages: made of its id, so that No Local holds for whatever it has
//! published, in this session, in an earlier one, or before a restart (MQTT 5.0, 3.8.3.1).

use crate::message::NAMED;
use sha2::{Digest, Sha256};

/// The number of a client id. Two ids have the same one in 1 of 2^63 cases; nobody can choose an id to have another's.
pub(super) fn number(id: &str) -> u64 {
    let digest = Sha256::digest(id.as_bytes());
    let first = digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
    first | NAMED
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages on disk carry it.
    #[test]
    fn a_client_has_the_same_number_for_ever() {
        assert_eq!(number("abc"), 0xba78_16bf_8f01_cfea);
        assert_ne!(number("abd"), number("abc"));
    }
}
