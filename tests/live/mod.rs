//! Modules on a running broker, with clients on sockets: replaced under load, failing beside others, explained.

mod beside;
mod canary;
mod containment;
mod deployment;
mod hostile;
mod hunts;
mod kept_back;
mod matrix;
mod names;
mod outside;
mod reload;
mod server;
mod spans;
mod wishes;
