//! Dispositions (2.7.6): what one side says of deliveries in either direction.

use super::action::{Action, Forgotten, Settled};
use super::condition::AmqpError;
use super::ledger::is_before;
use super::live::Live;
use super::performative::DispositionFrame;
use super::session::DISPOSITION_BYTES;
use super::state::State;
use super::trouble::{Found, Trouble};
use smallvec::SmallVec;
use std::sync::Arc;

impl Live {
    /// A disposition came.
    #[inline]
    pub fn on_disposition(
        &mut self,
        at: u16,
        frame: &DispositionFrame<'_>,
        out: &mut Vec<u8>,
    ) -> Found<Option<Action<'static>>> {
        if is_before(frame.last, frame.first) {
            return Err(Trouble::session(AmqpError::InvalidField, "last comes before first"));
        }
        let state = match frame.state {
            Some(raw) => Some(State::read(raw).map_err(Trouble::Session)?),
            None => None,
        };
        if frame.by_receiver { self.hear_outcome(at, frame, state) } else { self.hear_settled(at, frame, out) }
    }

    /// The client got something.
    #[inline]
    fn hear_outcome(
        &mut self,
        at: u16,
        frame: &DispositionFrame<'_>,
        state: Option<State>,
    ) -> Found<Option<Action<'static>>> {
        let Some(session) = self.sessions.at(at) else { return Ok(None) };
        if !session.was_sent(frame.last) {
            return Err(Trouble::session(AmqpError::InvalidField, "no delivery of this delivery-id was sent"));
        }
        // Of what goes on nothing is to be done (3.4.1).
        if !frame.settled && !matches!(state, Some(State::Ended(_) | State::Transactional { .. })) {
            return Ok(None);
        }
        let state = state.map(Arc::new);
        let mut outcomes: SmallVec<[Settled; 2]> = SmallVec::new();
        let before = session.sent.len();
        session.sent.visit(frame.first, frame.last, |delivery, sent| {
            let (link, token) = (sent.link, sent.token);
            outcomes.push(Settled { link, delivery, token, settled: frame.settled, state: state.clone() });
            !frame.settled
        });
        let most = self.limits.unsettled_max as usize;
        self.has_room_again |= before >= most && session.sent.len() < most;
        if frame.settled {
            outcomes.iter().for_each(|one| self.is_settled(one.link));
        }
        Ok((!outcomes.is_empty()).then_some(Action::Outcomes(outcomes)))
    }

    /// The client sent something, and forgets it now.
    fn hear_settled(
        &mut self,
        at: u16,
        frame: &DispositionFrame<'_>,
        out: &mut Vec<u8>,
    ) -> Found<Option<Action<'static>>> {
        let frame_max = self.frame_max();
        let Some(session) = self.sessions.at(at) else { return Ok(None) };
        if session.last_arrived.is_none_or(|last| is_before(last, frame.last)) {
            return Err(Trouble::session(AmqpError::InvalidField, "no delivery of this delivery-id has come"));
        }
        if !frame.settled {
            return Ok(None);
        }
        let mut forgotten: SmallVec<[Forgotten; 2]> = SmallVec::new();
        let links = &mut self.links;
        session.arrived.visit(frame.first, frame.last, |delivery, arrived| {
            forgotten.push(Forgotten { link: arrived.link, delivery, tag: arrived.tag.clone() });
            if let Some(end) = links.get(arrived.link).and_then(|link| link.incoming()) {
                end.settled(arrived);
            }
            false
        });
        let is_within = |delivery| !is_before(delivery, frame.first) && !is_before(frame.last, delivery);
        self.settle_partials(at, is_within);
        let Some(session) = self.sessions.at(at).filter(|_| !forgotten.is_empty()) else { return Ok(None) };
        // The broker forgets, too, and says so: the client need not listen.
        session.say_held(out);
        let state = frame.state.filter(|raw| raw.len() + DISPOSITION_BYTES <= frame_max);
        session.write_disposition(true, frame.first, frame.last, true, state, out);
        for gone in &forgotten {
            self.mark_link(gone.link);
            self.is_settled(gone.link);
        }
        Ok(Some(Action::Forgotten(forgotten)))
    }
}
