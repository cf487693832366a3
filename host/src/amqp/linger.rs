//! Links that both sides have detached without closing them: "the deliveries are still live" (2.7.6), so that either side may
//! still say what becomes of them.
//!
//! Such a link stays in the table, under no handle, until that was said of all of them, until it is attached again, or until
//! its session ends. As many as that may be: a quarter of the links, and no more deliveries of a session than half of what it
//! may have unsettled, so that what nobody speaks of any more holds up nothing.

use super::action::LinkId;
use super::link::LinkEnd;
use super::live::Live;

impl Live {
    /// Deliveries of a link that will be live when both sides have detached it: what the hall calls them, if the client received
    /// them.
    pub fn outstanding(&self, id: LinkId) -> Vec<u64> {
        let Some(link) = self.links.look(id).filter(|link| !link.is_over) else { return Vec::new() };
        let Some(session) = self.sessions.look(link.session) else { return Vec::new() };
        let most = self.limits.unsettled_max as usize / 2;
        if self.lingering >= self.limits.links_max / 4 {
            return Vec::new();
        }
        match &link.end {
            LinkEnd::Incoming(_) if session.arrived.len() <= most => {
                session.arrived.iter().filter(|(_, arrived)| arrived.link == id).map(|(at, _)| at.into()).collect()
            }
            LinkEnd::Outgoing(_) if session.sent.len() <= most => {
                session.sent.iter().filter(|(_, sent)| sent.link == id).map(|(_, sent)| sent.token).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Both sides have detached: whether something of the link is live.
    pub fn linger(&mut self, id: LinkId) -> bool {
        let live = u32::try_from(self.outstanding(id).len()).unwrap_or(u32::MAX);
        let Some(link) = self.links.get(id).filter(|_| live > 0) else { return false };
        link.live = live;
        let (at, handle) = (link.session, link.handle_out);
        if let Some(session) = self.sessions.at(at) {
            session.release_handle(handle);
        }
        self.lingering += 1;
        true
    }

    /// A delivery is settled, maybe one of a link that is there only for such.
    #[inline]
    pub fn is_settled(&mut self, id: LinkId) {
        if self.lingering > 0 {
            self.one_less(id);
        }
    }

    #[cold]
    fn one_less(&mut self, id: LinkId) {
        let Some(link) = self.links.get(id).filter(|link| link.live > 0) else { return };
        link.live -= 1;
        if link.live == 0 {
            self.links.remove(id);
            self.lingering -= 1;
        }
    }
}
