//! The admin API, endpoint by endpoint.

mod access;
mod clients;
mod description;
mod logs;
mod modules;
mod publish;
mod retained;
mod service;
