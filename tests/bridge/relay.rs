//! A way between a bridge and its other broker that a row can cut, and that stays where it is when the broker moves.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Forwards connections to wherever the row says.
pub struct Relay {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// None: connections are closed as they come.
    to: Option<SocketAddr>,
    open: Vec<TcpStream>,
}

impl Relay {
    /// A relay to this address.
    pub fn to(address: SocketAddr) -> Self {
        let relay = Self::closed();
        relay.open(address);
        relay
    }

    /// One that lets nothing through yet: the address of a broker that has gone may be another row's by now.
    pub fn closed() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let own = listener.local_addr().expect("it is bound");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        // Ends with the process; a row is too short for more.
        std::thread::spawn(move || {
            for inner in listener.incoming().flatten() {
                let mut state = shared.lock().unwrap();
                let Some(outer) = state.to.and_then(|to| TcpStream::connect(to).ok()) else { continue };
                for (from, to) in [(&inner, &outer), (&outer, &inner)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || carry(from, to));
                }
                state.open.extend([inner, outer]);
            }
        });
        Self { address: own, state }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts what is open, and lets nothing through until [`Relay::open`].
    pub fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.to = None;
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Lets connections through, to this address.
    pub fn open(&self, to: SocketAddr) {
        self.state.lock().unwrap().to = Some(to);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        if to.write_all(&chunk[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
