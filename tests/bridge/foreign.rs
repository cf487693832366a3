//! Another AMQP broker, byte by byte: it says what a row tells it to.

use crate::amqp::peer::Peer;
use crate::amqp::raw;
use crate::amqp::value::Value;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Greatest frame that it takes, in bytes: long messages come in parts.
const FRAME_BYTES_MAX: u32 = 65_536;
/// How long a row waits for a bridge to come.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Foreign {
    address: SocketAddr,
    came: Receiver<TcpStream>,
}

impl Foreign {
    /// It listens.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let (to, came) = channel();
        // Ends with the process; a row is too short for more.
        std::thread::spawn(move || listener.incoming().flatten().try_for_each(|stream| to.send(stream)));
        Self { address, came }
    }

    pub fn url(&self) -> String {
        format!("amqp://{}", self.address)
    }

    /// The next connection of a bridge, with a session.
    pub fn takes(&self) -> Peer {
        let stream = self.came.recv_timeout(PATIENCE).expect("a bridge comes");
        stream.set_nodelay(true).expect("no delay");
        let mut peer = Peer::on(Box::new(stream));
        peer.await_header();
        let anonymous = [&[0xE0, 12, 1, 0xA3, 9][..], b"ANONYMOUS"].concat();
        peer.send(&[raw::SASL, &raw::sasl_frame(&raw::performative(0x40, &[&anonymous]))].concat());
        peer.expect(0x41);
        peer.send(&raw::sasl_frame(&raw::performative(0x44, &[&raw::ubyte(0)])));
        peer.await_header();
        let open: [&[u8]; 3] = [&raw::string("foreign"), raw::NULL, &raw::uint(FRAME_BYTES_MAX)];
        peer.send(&[raw::AMQP, &raw::frame(0, &raw::performative(0x10, &open))].concat());
        peer.expect(0x10);
        peer.expect(0x11);
        let begin: [&[u8]; 4] = [&[0x60, 0, 0], &raw::uint(0), &raw::uint(2048), &raw::uint(2048)];
        peer.send(&raw::frame(0, &raw::performative(0x11, &begin)));
        peer
    }

    /// As [`Self::takes`], for a bridge with one route in, which has given credit.
    pub fn sends(&self) -> Peer {
        let mut peer = self.takes();
        let name = attached(&mut peer);
        peer.send(&raw::attach_sender(&name, 0, (0, 0)));
        peer.find(0x13);
        peer
    }

    /// As [`Self::takes`], for a bridge with one route out, which gets credit.
    pub fn receives(&self) -> Peer {
        let mut peer = self.receives_later();
        credit(&mut peer);
        peer
    }

    /// As [`Self::receives`], without credit.
    pub fn receives_later(&self) -> Peer {
        let mut peer = self.takes();
        let name = attached(&mut peer);
        // Settled or not, as the bridge likes.
        peer.send(&raw::attach_receiver(&name, 0, (2, 0)));
        peer
    }
}

/// For a hundred messages.
pub fn credit(peer: &mut Peer) {
    peer.send(&raw::flow(0, 2048, Some((0, 0, 100, false, false))));
}

/// The name of the link that the bridge attaches.
pub fn attached(peer: &mut Peer) -> String {
    Value::read(&peer.find(0x12)).0.field(0).text().to_owned()
}

/// The next message, all parts of it, accepted.
pub fn take(peer: &mut Peer) -> Vec<u8> {
    let (id, message) = next(peer);
    peer.send(&raw::disposition(true, id, id, true, raw::ACCEPTED));
    message
}

/// The next message, all parts of it, and its delivery-id.
pub fn next(peer: &mut Peer) -> (u32, Vec<u8>) {
    let mut message = Vec::new();
    let mut id = None;
    loop {
        let body = peer.find(0x14);
        let (transfer, part) = Value::read(&body);
        if let Value::Number(number) = transfer.field(1) {
            id = Some(*number as u32);
        }
        message.extend_from_slice(part);
        if *transfer.field(5) != Value::Bool(true) {
            break;
        }
    }
    (id.expect("a delivery-id"), message)
}

/// Sends a message in parts of so many bytes.
pub fn give(peer: &mut Peer, id: u32, message: &[u8], part_bytes: usize) {
    let mut parts = message.chunks(part_bytes).peekable();
    let tag = id.to_be_bytes();
    let mut is_first = true;
    while let Some(part) = parts.next() {
        let (id, tag) = if is_first { (Some(id), Some(&tag[..])) } else { (None, None) };
        is_first = false;
        peer.send(&raw::transfer(0, id, tag, false, parts.peek().is_some(), part));
    }
}

/// What is said of the deliveries 0 to `count`: the number of the outcome, and all of its words.
pub fn outcomes(peer: &mut Peer, count: usize) -> Vec<(i128, String)> {
    let mut found = vec![None; count];
    while found.contains(&None) {
        let (said, _) = Value::read(&peer.find(0x15));
        let first = said.field(1).number() as usize;
        let last = if let Value::Number(last) = said.field(2) { *last as usize } else { first };
        if let Value::Described(code, state) = said.field(4) {
            found[first..=last].fill(Some((*code, format!("{state:?}"))));
        }
    }
    found.into_iter().flatten().collect()
}
