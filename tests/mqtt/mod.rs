//! MQTT on the wire, statement by statement. Ids in square brackets are those of the OASIS specifications; where 3.1.1
//! and 5.0 number one statement differently, the one of 5.0 comes first.

mod alias;
mod bounds;
mod connect;
mod expiry;
mod identifiers;
mod keep_alive;
mod malformed;
mod options;
mod order;
mod properties;
mod qos;
mod redirect;
mod resend;
mod retained;
mod sequences;
mod session;
mod shared;
mod statements;
mod subscribe;
mod sys;
mod take_over;
mod will;
mod window;
