//! Flow frames (2.7.4): how much the client takes, of a session and of a link.

use super::action::{Action, Flow, LinkId};
use super::condition::{Fields, SessionError};
use super::link::LinkEnd;
use super::live::Live;
use super::outgoing_link::AT_ONCE;
use super::performative::{FlowFrame, invalid, plain};
use super::trouble::{Found, Trouble};
use crate::message::Time;

impl Live {
    /// A flow frame came.
    pub fn on_flow(
        &mut self,
        now: Time,
        at: u16,
        frame: &FlowFrame<'_>,
        out: &mut Vec<u8>,
    ) -> Found<Option<Action<'static>>> {
        let frame_max = self.frame_max();
        let Some(session) = self.sessions.at(at) else { return Ok(None) };
        let before = session.outgoing_room();
        let was_full = before == 0 || session.pending.is_some();
        session.hear_window(frame);
        let has_moved = session.outgoing_room() != before;
        // Many flows at once are no reason to write more than fits.
        let goes_on = out.len() < AT_ONCE;
        if goes_on && let Some(link) = session.send_pending(frame_max, out) {
            self.is_whole(at, link, out);
        }
        self.note_long(at);
        let Some(session) = self.sessions.at(at) else { return Ok(None) };
        let has_opened = was_full && session.outgoing_room() > 0 && session.pending.is_none();
        let Some(handle) = frame.handle else {
            if frame.echo {
                session.write_flow(FlowFrame::default(), out);
            }
            if has_opened {
                let flow = Flow { link: None, opens: true, asks: false, credit: 0, drain: false, properties: None };
                return Ok(Some(Action::Flow(flow)));
            }
            if !has_moved {
                self.count_idle(now).map_err(Trouble::Connection)?;
            }
            return Ok(None);
        };
        let flow = self.on_link_flow(now, at, handle, frame, has_opened, out)?;
        Ok(flow.map(Action::Flow))
    }

    fn on_link_flow(
        &mut self,
        now: Time,
        at: u16,
        handle: u32,
        frame: &FlowFrame<'_>,
        opens: bool,
        out: &mut Vec<u8>,
    ) -> Found<Option<Flow>> {
        let only_session =
            || opens.then_some(Flow { link: None, opens, asks: false, credit: 0, drain: false, properties: None });
        let unknown = || Trouble::session(SessionError::UnattachedHandle, "no link is attached under this handle");
        let Some(session) = self.sessions.at(at) else { return Ok(None) };
        let link = session.link_at(handle).ok_or_else(unknown)?;
        let Some(link) = self.links.at(link) else { return Ok(None) };
        if !link.is_up() {
            return Ok(only_session());
        }
        let (id, own_handle, is_told) = (link.id, link.handle_out, link.is_told);
        match &mut link.end {
            LinkEnd::Outgoing(end) => {
                let before = (end.credit, end.drain);
                end.hear_credit(frame);
                // Without credit there is nothing that could be delivered first.
                let is_drained = end.drain && end.credit == 0;
                let waits = end.drain && session.outgoing_room() > 0;
                let asks = is_drained || (frame.echo && !waits);
                let properties = match frame.properties {
                    Some(raw) => Some(Box::new(fields(raw)?)),
                    None => None,
                };
                let flow = Flow { link: Some(id), opens, asks, credit: end.credit, drain: end.drain, properties };
                if before == (flow.credit, flow.drain) && flow.properties.is_none() {
                    self.count_idle(now).map_err(Trouble::Connection)?;
                }
                Ok(Some(flow))
            }
            LinkEnd::Incoming(end) => {
                // The sender may have moved on without sending (2.6.7).
                if let Some(count) = frame.delivery_count {
                    let skipped = count.wrapping_sub(end.delivery_count);
                    if (1..=end.credit).contains(&skipped) {
                        end.credit -= skipped;
                        end.delivery_count = count;
                    }
                }
                if frame.echo && is_told {
                    session.write_flow(end.flow(own_handle), out);
                }
                self.mark_link(id);
                self.count_idle(now).map_err(Trouble::Connection)?;
                Ok(only_session())
            }
        }
    }

    /// See [`Connection::answer_flow`](super::Connection::answer_flow).
    pub fn answer_flow(&mut self, id: LinkId, available: u32, out: &mut Vec<u8>) {
        let Some(link) = self.links.get(id).filter(|link| link.is_up()) else { return };
        let (at, handle, is_told) = (link.session, link.handle_out, link.is_told);
        let Some(end) = link.outgoing() else { return };
        let Some(session) = self.sessions.at(at) else { return };
        end.available = available;
        if !is_told {
            end.is_asked = true;
            return;
        }
        let is_drained = end.drain && end.credit == 0;
        end.drain &= !is_drained;
        session.write_flow(end.flow(handle, is_drained || end.drain), out);
    }
}

/// Fields that were checked with the frame around them.
fn fields(raw: &[u8]) -> Found<Fields> {
    serde_amqp::from_slice(&plain(raw))
        .map_err(|_| Trouble::Session(invalid("properties are not a map with symbols for keys")))
}
