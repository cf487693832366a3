//! The admin API: HTTP on a thread of its own, so that health answers whatever the broker does.
//!
//! | Endpoint | File |
//! |---|---|
//! | `GET /healthz`, `/readyz` (open; all others need the token) | `health` |
//! | `GET /metrics` | `metrics`, `exposition` |
//! | `GET /api/v1/modules` | `modules` |
//! | `GET`, `PUT`, `DELETE /api/v1/modules/{name}`; `GET …/versions` | `modules`, `form`, `precondition` |
//! | `PUT …/config`; `POST …/rollback?to=N`, `…/confirm`, `…/canary?percent=N`, `…/enable`, `…/disable` | `modules` |
//! | `GET /api/v1/modules/{name}/logs` | `logs`, `follow` |
//! | `GET /api/v1/bridges` | `bridges` |
//! | `GET /api/v1/clients`; `GET`, `DELETE /api/v1/clients/{id}`; `GET /api/v1/subscriptions` | `clients` |
//! | `GET`, `PUT`, `DELETE /api/v1/drain` | `drain` |
//! | `GET /api/v1/retained`; `GET`, `DELETE /api/v1/retained/{topic}` | `retained` |
//! | `POST /api/v1/publish`, `/api/v1/explain` | `publish` |
//! | `POST /api/v1/record` | `record` |
//! | `POST /api/v1/reload`; `GET /api/v1/openapi.json` | `reload`, `openapi` |
//!
//! What runs guests or waits for the compiler or the disk runs on a blocking thread, never on the one that serves.

mod api;
mod body;
mod bridges;
mod clients;
mod drain;
mod error;
mod exposition;
mod follow;
mod form;
mod guard;
mod handle;
mod health;
mod logs;
mod message;
mod metrics;
mod modules;
mod openapi;
mod patience;
mod precondition;
mod publish;
mod queues;
mod record;
mod reload;
mod retained;
mod routes;
mod serve;
mod token;

pub use api::Api;
pub use reload::{Reload, Reloaded};
pub use serve::{Server, bind};
pub use token::{Token, Tokens};

/// Bounds of the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Greatest head of a request, its address and its header lines without the marks between them, in bytes. Default
    /// 16,384.
    pub head_bytes_max: usize,
    /// Greatest body of a request that is no component, in bytes. Default 1 MiB.
    pub body_bytes_max: usize,
    /// Most entries on one page of a list. Default 1,000.
    pub page_max: usize,
    /// Calls that may run or wait at the same time on blocking threads. Default 32.
    pub calls_max: usize,
    /// Logs of modules that may be followed at the same time. Default 16.
    pub log_streams_max: usize,
    /// Connections at the same time; more wait. Default 128.
    pub connections_max: usize,
    /// Components that may be on their way here at the same time; one more is told to come back (503). Default 8.
    pub uploads_max: usize,
    /// The same for other bodies. Default 64.
    pub bodies_max: usize,
    /// Wrong tokens that are looked at in a minute; whoever comes with another one then is told to wait. Default 600.
    pub wrong_tokens_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: 16_384,
            body_bytes_max: 1 << 20,
            page_max: 1000,
            calls_max: 32,
            log_streams_max: 16,
            connections_max: 128,
            uploads_max: 8,
            bodies_max: 64,
            wrong_tokens_per_minute: 600,
        }
    }
}
