//! What was acknowledged is there again after a restart, in order or by `kill -9`.

mod kill;
mod restart;
mod scenarios;
