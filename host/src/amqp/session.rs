//! One session (2.5): its windows, its handles, and what is not settled in it.

use super::action::LinkId;
use super::frame::{self, Kind};
use super::ledger::Ledger;
use super::outgoing_link::Pending;
use super::performative::{DispositionFrame, FlowFrame};
use super::state::{ACCEPTED, State, Tag};

/// What is said of how many transfers the broker may send: as many as the client takes.
const OUTGOING_WINDOW: u32 = i32::MAX as u32;

/// A disposition frame has so many bytes, or fewer, beside its state.
pub const DISPOSITION_BYTES: usize = 64;

/// A delivery from the client.
#[derive(Debug)]
pub struct Arrived {
    /// On which link.
    pub link: LinkId,
    /// Of links whose receiver settles second; else empty.
    pub tag: Tag,
    /// Its outcome within a transaction was told: it waits for that, and not for the broker.
    pub is_posted: bool,
}

/// A delivery to the client.
#[derive(Debug)]
pub struct Sent {
    /// On which link.
    pub link: LinkId,
    /// The hall's name for it.
    pub token: u64,
}

/// Accepted deliveries that are told together.
#[derive(Debug, Clone, Copy)]
struct Held {
    first: u32,
    last: u32,
    settled: bool,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Session {
    /// The client's channel.
    pub channel_in: u16,
    /// The broker's channel.
    pub channel_out: u16,
    /// The broker has said End: nothing is read but the client's.
    pub is_ending: bool,
    /// Waits in the list of those that have something to say at the end of the batch.
    pub is_marked: bool,
    window: u32,
    next_incoming_id: u32,
    incoming_window: u32,
    next_outgoing_id: u32,
    remote_window: u32,
    remote_handle_max: u32,
    handles_in: Vec<Option<u32>>,
    handles_out: Vec<bool>,
    /// Deliveries from the client.
    pub arrived: Ledger<Arrived>,
    /// Delivery-id of the last one that began.
    pub last_arrived: Option<u32>,
    /// Deliveries to the client.
    pub sent: Ledger<Sent>,
    next_delivery_id: u32,
    held: Option<Held>,
    /// A delivery of which the window did not take all.
    pub pending: Option<Pending>,
}

impl Session {
    /// A session that the client has just begun: with its next-outgoing-id, its incoming-window and its handle-max.
    pub fn new(channels: (u16, u16), window: u32, next_id: u32, remote_window: u32, remote_handle_max: u32) -> Self {
        Self {
            channel_in: channels.0,
            channel_out: channels.1,
            is_ending: false,
            is_marked: false,
            window,
            next_incoming_id: next_id,
            incoming_window: window,
            next_outgoing_id: 0,
            remote_window,
            remote_handle_max,
            handles_in: Vec::new(),
            handles_out: Vec::new(),
            arrived: Ledger::default(),
            last_arrived: None,
            sent: Ledger::default(),
            next_delivery_id: 0,
            held: None,
            pending: None,
        }
    }

    /// Counts a transfer frame from the client; false: there was no room for it.
    #[inline]
    pub fn take_incoming(&mut self) -> bool {
        let Some(left) = self.incoming_window.checked_sub(1) else { return false };
        self.incoming_window = left;
        self.next_incoming_id = self.next_incoming_id.wrapping_add(1);
        true
    }

    /// Whether the client should hear of its window.
    #[inline]
    pub fn is_window_low(&self) -> bool {
        self.incoming_window <= self.window / 2
    }

    /// Transfer frames that the client takes now.
    #[inline]
    pub fn outgoing_room(&self) -> u32 {
        self.remote_window
    }

    /// Counts a transfer frame to the client.
    #[inline]
    pub fn take_outgoing(&mut self) {
        self.next_outgoing_id = self.next_outgoing_id.wrapping_add(1);
        self.remote_window = self.remote_window.saturating_sub(1);
    }

    /// Hears how far the client is (2.5.6). What it says of transfers that were never sent counts for nothing.
    pub fn hear_window(&mut self, frame: &FlowFrame<'_>) {
        // Where it says that its next transfer stands is where that stands: it is told so again, and nothing here hangs on it.
        self.next_incoming_id = frame.next_outgoing_id;
        let in_flight = self.next_outgoing_id.wrapping_sub(frame.next_incoming_id.unwrap_or(0));
        let in_flight = if (in_flight as i32) < 0 { 0 } else { in_flight };
        self.remote_window = frame.incoming_window.saturating_sub(in_flight);
    }

    /// The delivery-id of the next delivery to the client.
    #[inline]
    pub fn next_delivery(&mut self) -> u32 {
        let id = self.next_delivery_id;
        self.next_delivery_id = id.wrapping_add(1);
        id
    }

    /// Whether a delivery of this id was ever sent to the client.
    pub fn was_sent(&self, id: u32) -> bool {
        super::ledger::is_before(id, self.next_delivery_id)
    }

    /// Which link the client's handle names.
    #[inline]
    pub fn link_at(&self, handle: u32) -> Option<u32> {
        *self.handles_in.get(handle as usize)?
    }

    /// Gives the client's handle, which is not above handle-max, a link.
    pub fn set_link(&mut self, handle: u32, link: u32) {
        let at = handle as usize;
        if self.handles_in.len() <= at {
            self.handles_in.resize(at + 1, None);
        }
        self.handles_in[at] = Some(link);
    }

    /// The client's handle is free again, if it still names this link.
    pub fn clear_link(&mut self, handle: u32, link: u32) {
        if let Some(slot) = self.handles_in.get_mut(handle as usize).filter(|slot| **slot == Some(link)) {
            *slot = None;
        }
    }

    /// A handle of the broker's; none: the client takes no more.
    pub fn take_handle(&mut self) -> Option<u32> {
        let free = self.handles_out.iter().position(|taken| !taken).unwrap_or(self.handles_out.len());
        let handle = u32::try_from(free).ok().filter(|handle| *handle <= self.remote_handle_max)?;
        match self.handles_out.get_mut(free) {
            Some(slot) => *slot = true,
            None => self.handles_out.push(true),
        }
        Some(handle)
    }

    /// The broker's handle is free again.
    pub fn release_handle(&mut self, handle: u32) {
        if let Some(slot) = self.handles_out.get_mut(handle as usize) {
            *slot = false;
        }
    }

    /// Says what has become of a delivery from the client, or holds it back to be said with the next.
    #[inline]
    pub fn answer(&mut self, id: u32, state: &State, settled: bool, frame_max: usize, out: &mut Vec<u8>) {
        if *state != State::ACCEPTED {
            self.say_held(out);
            let encoded = state.fitting(frame_max - DISPOSITION_BYTES);
            return self.write_disposition(true, id, id, settled, Some(&encoded), out);
        }
        match &mut self.held {
            Some(held) if held.last.wrapping_add(1) == id && held.settled == settled => held.last = id,
            _ => {
                self.say_held(out);
                self.held = Some(Held { first: id, last: id, settled });
            }
        }
    }

    /// Says what was held back.
    #[inline]
    pub fn say_held(&mut self, out: &mut Vec<u8>) {
        if let Some(Held { first, last, settled }) = self.held.take() {
            self.write_disposition(true, first, last, settled, Some(ACCEPTED), out);
        }
    }

    /// Writes a disposition.
    pub fn write_disposition(
        &self,
        by_receiver: bool,
        first: u32,
        last: u32,
        settled: bool,
        state: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) {
        let disposition = DispositionFrame { by_receiver, first, last, settled, state };
        frame::write(Kind::Amqp, self.channel_out, out, |out| disposition.write(out));
    }

    /// Writes a flow: of a link, or of the session alone. The client's window is whole again with it.
    pub fn write_flow(&mut self, link: FlowFrame<'_>, out: &mut Vec<u8>) {
        self.incoming_window = self.window;
        let flow = FlowFrame {
            next_incoming_id: Some(self.next_incoming_id),
            incoming_window: self.window,
            next_outgoing_id: self.next_outgoing_id,
            outgoing_window: OUTGOING_WINDOW,
            ..link
        };
        frame::write(Kind::Amqp, self.channel_out, out, |out| flow.write(out));
    }
}
