//! The route table.

use super::api::Api;
use super::body::{Intake, checked_head};
use super::error::Problem;
use super::guard::{self, Guard};
use super::{
    bridges, clients, drain, health, logs, metrics, modules, openapi, patience, publish, queues, record, reload,
    retained,
};
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Extension, Router, middleware};
use std::sync::Arc;

/// A component that is too big by less than this factor is read, and refused with its size; more is cut off while it
/// comes in.
const COMPONENT_SLACK: usize = 4;

/// What a form has beside a component and its configuration, at most.
const FORM_BYTES: usize = 4096;

/// All endpoints.
pub(super) fn router(api: Api, guard: Guard) -> Router {
    let limits = api.limits().clone();
    let component_bytes = api.modules().limits().component_bytes_max;
    let config_bytes = api.modules().limits().config_bytes_max;
    // The greatest of both has room, too.
    let form_bytes = component_bytes.saturating_add(config_bytes).saturating_add(FORM_BYTES);
    let component_bytes_max = component_bytes.saturating_mul(COMPONENT_SLACK).max(form_bytes);
    let module = get(modules::show).delete(modules::remove);
    let intake =
        |bytes_max, bound: String, at_once| Intake::new(bytes_max, &bound, at_once, api.broker().metrics().clone());
    let bound = format!("a component has at most {component_bytes} bytes (wasm.component_bytes_max)");
    let uploads = intake(component_bytes_max, bound, limits.uploads_max);
    let upload = put(modules::deploy).layer((DefaultBodyLimit::max(component_bytes_max), Extension(uploads)));
    let module = module.merge(upload);
    let bound = format!("at most {} bytes (admin.body_bytes_max)", limits.body_bytes_max);
    let bodies = intake(limits.body_bytes_max, bound, limits.bodies_max);
    let guarded = Router::new()
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1/modules", get(modules::list))
        .route("/api/v1/modules/{name}", module)
        .route("/api/v1/modules/{name}/versions", get(modules::versions))
        .route("/api/v1/modules/{name}/config", put(modules::configure).get(modules::config))
        .route("/api/v1/modules/{name}/rollback", post(modules::rollback))
        .route("/api/v1/modules/{name}/confirm", post(modules::confirm))
        .route("/api/v1/modules/{name}/canary", post(modules::widen))
        .route("/api/v1/modules/{name}/enable", post(modules::enable))
        .route("/api/v1/modules/{name}/disable", post(modules::disable))
        .route("/api/v1/modules/{name}/logs", get(logs::logs))
        .route("/api/v1/bridges", get(bridges::list))
        .route("/api/v1/clients", get(clients::list))
        .route("/api/v1/clients/{*id}", get(clients::show).delete(clients::disconnect))
        .route("/api/v1/queues", get(queues::list))
        .route("/api/v1/drain", get(drain::show).put(drain::begin).delete(drain::end))
        .route("/api/v1/subscriptions", get(clients::subscriptions))
        .route("/api/v1/retained", get(retained::list))
        .route("/api/v1/retained/{*topic}", get(retained::show).delete(retained::remove))
        .route("/api/v1/publish", post(publish::publish))
        .route("/api/v1/explain", post(publish::explain))
        .route("/api/v1/record", post(record::record))
        .route("/api/v1/reload", post(reload::reload))
        .route("/api/v1/openapi.json", get(openapi::openapi))
        .fallback(|| async { Problem::not_found("there is no such endpoint; see /api/v1/openapi.json") })
        .method_not_allowed_fallback(other_method)
        .layer(DefaultBodyLimit::max(limits.body_bytes_max))
        .layer(Extension(bodies))
        .layer(middleware::from_fn_with_state(Arc::new(guard), guard::check));
    let open = Router::new().route("/healthz", get(health::alive)).route("/readyz", get(health::ready));
    let open = open.method_not_allowed_fallback(other_method);
    let head = middleware::from_fn_with_state(limits.head_bytes_max, checked_head);
    open.merge(guarded).layer(head).layer(middleware::from_fn(patience::told)).with_state(api)
}

async fn other_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this endpoint does not take that method")
}
