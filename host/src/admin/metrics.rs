//! `GET /metrics`: what the broker and its modules count.

use super::api::Api;
use super::bridges;
use super::exposition::{CONTENT_TYPE, Exposition};
use crate::wasm::{Figure, HookFigures, ModuleState};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

/// Everything that is counted.
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let mut text = Exposition::default();
    api.broker().metrics().each(|name, kind, help, value| {
        text.figure(name, kind, help);
        text.sample(name, &[], value);
    });
    store(&api, &mut text);
    modules(&api, &mut text);
    bridges::figures(&api, &mut text);
    text.figure("info", "gauge", "Always 1; the label says which version runs.");
    text.sample("info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text.finish()).into_response()
}

fn store(api: &Api, text: &mut Exposition) {
    let store = api.broker().store();
    text.figure("store_healthy", "gauge", "1 while the disk does its duty.");
    text.sample("store_healthy", &[], u8::from(store.is_healthy()));
    text.figure("store_full", "gauge", "1 while the disk is full: what would have to be kept is refused.");
    text.sample("store_full", &[], u8::from(store.is_out_of_space()));
    text.figure("store_backlog_changes", "gauge", "Changes waiting for the disk.");
    text.sample("store_backlog_changes", &[], store.backlog());
}

fn modules(api: &Api, text: &mut Exposition) {
    let modules = api.modules().list();
    text.figure("modules_generation", "gauge", "Changes of the modules since the start.");
    text.sample("modules_generation", &[], api.modules().generation());
    text.figure("module_active", "gauge", "1 for a module that is asked, 0 for one that is switched off or broken.");
    for module in &modules {
        text.sample("module_active", &[("module", &module.name)], u8::from(module.state == ModuleState::Active));
    }
    text.figure(
        "module_quarantined",
        "gauge",
        "1 while the version of a module that is asked is in quarantine because it failed too often.",
    );
    for module in &modules {
        let is_quarantined = module.state == ModuleState::Quarantined;
        text.sample("module_quarantined", &[("module", &module.name)], u8::from(is_quarantined));
    }
    calls(api, text);
    text.figure("module_state_bytes", "gauge", "Bytes of state that a module keeps.");
    for module in &modules {
        text.sample("module_state_bytes", &[("module", &module.name)], module.state_bytes);
    }
    text.figure("module_over_quota_total", "counter", "Times that a service gave a module less than it wanted.");
    for (module, service, count) in api.modules().refusals() {
        text.sample("module_over_quota_total", &[("module", &module), ("service", service)], count);
    }
    let help = "Messages that a module wanted published and that came to nothing: hops (past wasm.hops_max), budget \
                (past broker.wishes_per_message_max), topic (past topic.bytes_max or topic.levels_max), reserved (the broker's \
                own topics), denied (by an access module), full \
                (no room where it goes), refused (by another module).";
    text.figure("module_wishes_refused_total", "counter", help);
    for (module, reason, count) in api.modules().unmet_wishes() {
        text.sample("module_wishes_refused_total", &[("module", &module), ("reason", reason)], count);
    }
    own_figures(api, text);
}

/// Calls of every version that is kept: one that is put aside as it fails is the one that somebody wants to look at.
fn calls(api: &Api, text: &mut Exposition) {
    let asked = api.modules().version_figures().into_iter();
    let asked: Vec<_> = asked.map(|(module, version, figures)| (module, version.to_string(), figures)).collect();
    let each = |text: &mut Exposition, name: &str, value: &dyn Fn(&HookFigures) -> u64| {
        for (module, version, figures) in &asked {
            for figures in figures {
                text.sample(name, &[("module", module), ("version", version), ("hook", figures.hook)], value(figures));
            }
        }
    };
    text.figure("module_calls_total", "counter", "Calls of a module's function by a version of it.");
    each(text, "module_calls_total", &|figures| figures.calls);
    text.figure("module_failures_total", "counter", "Calls that failed: traps, time-outs, memory, wrong answers.");
    each(text, "module_failures_total", &|figures| figures.failures);
    text.figure("module_call_seconds", "summary", "Time that calls of a module's function took.");
    for (module, version, figures) in &asked {
        for figures in figures {
            let of = [("module", &**module), ("version", version), ("hook", figures.hook)];
            for (quantile, microseconds) in [("0.5", figures.p50_microseconds), ("0.99", figures.p99_microseconds)] {
                let labels = [&of[..], &[("quantile", quantile)]].concat();
                text.sample("module_call_seconds", &labels, microseconds / 1e6);
            }
            text.sample("module_call_seconds_sum", &of, figures.seconds_total);
            text.sample("module_call_seconds_count", &of, figures.calls);
        }
    }
}

/// What modules count themselves.
fn own_figures(api: &Api, text: &mut Exposition) {
    let figures = api.modules().figures();
    text.figure("module_own_total", "counter", "A counter of the module's own.");
    for (module, name, figure) in &figures {
        if let Figure::Count(value) = figure {
            text.sample("module_own_total", &[("module", module), ("name", name)], value);
        }
    }
    text.figure("module_own", "gauge", "A gauge of the module's own.");
    for (module, name, figure) in &figures {
        if let Figure::Gauge(value) = figure {
            text.sample("module_own", &[("module", module), ("name", name)], number(*value));
        }
    }
}

/// As Prometheus writes those that are no numbers, and without hundreds of digits.
fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value if value.abs() < 1e15 => value.to_string(),
        value if value.is_nan() => "NaN".to_owned(),
        value => format!("{value:e}"),
    }
}
