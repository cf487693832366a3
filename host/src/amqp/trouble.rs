//! What a broken rule ends: the connection, a session or a link.

use super::action::LinkId;
use super::condition::{Error, ErrorCondition, error};
use super::performative::Bad;

/// See the head of this file.
#[derive(Debug)]
pub enum Trouble {
    /// Close.
    Connection(Bad),
    /// End the session of the frame.
    Session(Bad),
    /// Detach this link, closing it.
    Link(LinkId, Bad),
}

/// What a frame leads to.
pub type Found<T> = Result<T, Trouble>;

impl Trouble {
    /// The connection ends.
    pub fn connection(condition: impl Into<ErrorCondition>, why: &str) -> Self {
        Self::Connection(boxed(condition, why))
    }

    /// The session ends.
    pub fn session(condition: impl Into<ErrorCondition>, why: &str) -> Self {
        Self::Session(boxed(condition, why))
    }

    /// The link ends.
    pub fn link(link: LinkId, condition: impl Into<ErrorCondition>, why: &str) -> Self {
        Self::Link(link, boxed(condition, why))
    }
}

fn boxed(condition: impl Into<ErrorCondition>, why: &str) -> Box<Error> {
    Box::new(error(condition, why))
}
