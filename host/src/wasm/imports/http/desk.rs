//! What an instance holds of `wasi:http`: requests it writes, answers it reads, each under the number of its handle.

use super::super::super::outside::{Errand, Failure, Fields, Reply};
use hashbrown::HashMap;

/// Header fields of one message.
const FIELDS_MAX: usize = 128;

/// Numbers of standard output and standard error come before those of the desk.
const FIRST: u32 = 16;

/// All of it.
#[derive(Default)]
pub(in super::super::super) struct Desk {
    things: HashMap<u32, Thing>,
    next: u32,
}

/// What a handle stands for.
pub(super) enum Thing {
    Fields {
        fields: Fields,
        /// They belong to a request or an answer.
        fixed: bool,
    },
    Request(Box<Request>),
    /// Time-outs in nanoseconds: connect, first byte, between bytes.
    Options([Option<u64>; 3]),
    /// The body of a request, with the number of its [`Thing::Bytes`], and a stream into it.
    OutgoingBody(u32),
    Sink(u32),
    /// Bytes of a body that is being written.
    Bytes(Vec<u8>),
    Future(Future),
    Response {
        status: u16,
        fields: Fields,
        body: Option<Vec<u8>>,
    },
    IncomingBody(Option<Vec<u8>>),
    /// What is not read yet of an answer's body, and where that begins.
    Source(Vec<u8>, usize),
    /// Waits for the future of this number.
    Waits(u32),
    Trailers,
}

/// A request that is being written.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub method: Box<str>,
    pub https: bool,
    /// The scheme was never said, and is `https`.
    pub scheme_said: bool,
    pub authority: Option<Box<str>>,
    pub path: Option<Box<str>>,
    pub fields: Fields,
    /// Number of its [`Thing::Bytes`].
    pub body: Option<u32>,
}

/// An answer that is on its way.
pub(super) enum Future {
    /// The request goes when somebody waits for the answer: by then its body is written. With the number of that.
    Unsent(Box<Errand>, Option<u32>),
    Here(Box<Result<Reply, Failure>>),
    Taken,
}

impl Desk {
    pub(super) fn put(&mut self, thing: Thing) -> u32 {
        loop {
            self.next = self.next.wrapping_add(1).max(FIRST);
            if let hashbrown::hash_map::Entry::Vacant(place) = self.things.entry(self.next) {
                place.insert(thing);
                return self.next;
            }
        }
    }

    pub(super) fn get(&mut self, number: u32) -> Option<&mut Thing> {
        self.things.get_mut(&number)
    }

    pub(super) fn take(&mut self, number: u32) -> Option<Thing> {
        self.things.remove(&number)
    }

    /// Forgets a thing whose handle is gone. A body outlives its handles as long as its request is not sent.
    pub(in super::super) fn forget(&mut self, number: u32) {
        let bytes = match self.things.remove(&number) {
            Some(Thing::Request(request)) => request.body,
            Some(Thing::Future(Future::Unsent(_, body))) => body,
            _ => None,
        };
        if let Some(bytes) = bytes {
            self.things.remove(&bytes);
        }
    }

    /// Bytes of all things.
    pub(super) fn bytes(&self) -> usize {
        self.things.values().map(Thing::bytes).sum()
    }

    /// Adds a field, if there is room for it.
    pub(super) fn add_field(fields: &mut Fields, name: &str, value: &[u8], bytes_max: usize) -> bool {
        let fits = fields.len() < FIELDS_MAX && length(fields) + name.len() + value.len() <= bytes_max;
        if fits {
            fields.push((name.into(), value.into()));
        }
        fits
    }
}

fn length(fields: &Fields) -> usize {
    fields.iter().map(|(name, value)| name.len() + value.len()).sum()
}

impl Thing {
    fn bytes(&self) -> usize {
        match self {
            Self::Fields { fields, .. } => length(fields),
            Self::Request(request) => length(&request.fields),
            Self::Bytes(bytes) | Self::Source(bytes, _) => bytes.len(),
            Self::Future(Future::Here(reply)) => reply.as_ref().as_ref().map_or(0, |reply| reply.body.len()),
            Self::Future(Future::Unsent(errand, _)) => length(&errand.fields),
            Self::Response { fields, body, .. } => length(fields) + body.as_ref().map_or(0, Vec::len),
            Self::IncomingBody(body) => body.as_ref().map_or(0, Vec::len),
            _ => 0,
        }
    }
}
