//! The room as a whole: bytes in, requests and bytes out.

mod answers;
mod connecting;
mod deliveries;
mod differential;
mod harness;
mod limits_of_time_and_memory;
mod packets;
mod random;
