//! The links of a connection: what both directions have in common, and the table of them.

use super::action::{Direction, LinkId};
use super::incoming_link::IncomingLink;
use super::outgoing_link::OutgoingLink;

/// One link (2.6).
#[derive(Debug)]
pub struct Link {
    /// Its name towards the hall.
    pub id: LinkId,
    /// Place of its session.
    pub session: u16,
    /// The client's name for it.
    pub name: Box<str>,
    /// The broker's handle.
    pub handle_out: u32,
    /// The broker's attach was sent.
    pub is_told: bool,
    /// The client's detach came: whether it closes the link.
    pub peer_detached: Option<bool>,
    /// The broker's detach was sent.
    pub is_detached: bool,
    /// It was closed, or detached because of an error: nothing of it is live when it is down.
    pub is_over: bool,
    /// Both sides have detached, and so many of its deliveries are live all the same; 0: it is not that far.
    pub live: u32,
    /// What depends on the direction.
    pub end: LinkEnd,
}

/// What depends on the direction.
#[derive(Debug)]
pub enum LinkEnd {
    /// The client sends.
    Incoming(IncomingLink),
    /// The client receives.
    Outgoing(OutgoingLink),
}

impl Link {
    /// Which way.
    pub fn direction(&self) -> Direction {
        match self.end {
            LinkEnd::Incoming(_) => Direction::Incoming,
            LinkEnd::Outgoing(_) => Direction::Outgoing,
        }
    }

    /// Whether something may still be sent on it, or is heard from it.
    #[inline]
    pub fn is_up(&self) -> bool {
        !self.is_detached && self.peer_detached.is_none()
    }

    /// The incoming end.
    #[inline]
    pub fn incoming(&mut self) -> Option<&mut IncomingLink> {
        match &mut self.end {
            LinkEnd::Incoming(end) => Some(end),
            LinkEnd::Outgoing(_) => None,
        }
    }

    /// The outgoing end.
    #[inline]
    pub fn outgoing(&mut self) -> Option<&mut OutgoingLink> {
        match &mut self.end {
            LinkEnd::Outgoing(end) => Some(end),
            LinkEnd::Incoming(_) => None,
        }
    }
}

/// All links of a connection.
#[derive(Debug, Default)]
pub struct Links {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    link: Option<Box<Link>>,
}

impl Links {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Adds one.
    pub fn add(&mut self, make: impl FnOnce(LinkId) -> Link) -> LinkId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, link: None });
            // A table of links is bound far below.
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        let id = LinkId { index, generation: slot.generation };
        slot.link = Some(Box::new(make(id)));
        id
    }

    /// The link of this name, if it is still there.
    #[inline]
    pub fn get(&mut self, id: LinkId) -> Option<&mut Link> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        slot.link.as_deref_mut()
    }

    /// The link of this name, if it is still there.
    #[inline]
    pub fn look(&self, id: LinkId) -> Option<&Link> {
        let slot = self.slots.get(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        slot.link.as_deref()
    }

    /// The link at this place.
    #[inline]
    pub fn at(&mut self, index: u32) -> Option<&mut Link> {
        self.slots.get_mut(index as usize)?.link.as_deref_mut()
    }

    /// Takes one out.
    pub fn remove(&mut self, id: LinkId) -> Option<Box<Link>> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        let link = slot.link.take()?;
        self.free.push(id.index);
        Some(link)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Link> {
        self.slots.iter().filter_map(|slot| slot.link.as_deref())
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Link> {
        self.slots.iter_mut().filter_map(|slot| slot.link.as_deref_mut())
    }
}
