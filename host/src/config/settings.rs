//! Every setting: its key, its unit, whether it can change while the broker runs, and how it is read and shown.
//!
//! One line a setting. Defaults stand in the types that the settings fill, prose in `example.toml`.

use super::auth::Order;
use super::bridges;
use super::meant::{Config, List, Listener, Module};
use super::written::{Value, array};
use crate::bridge;
use crate::dialogue::Elsewhere;
use crate::wasm::ORDER_MAX;
use serde_json::Value as Json;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// One key of a `T`.
pub(super) struct Setting<T> {
    /// The key, relative to `T`.
    pub key: &'static str,
    /// Takes hold on a reload; otherwise at the next start.
    pub live: bool,
    /// Checks and stores a value.
    pub set: fn(&mut T, &Value) -> Result<(), String>,
    /// The value now.
    pub get: fn(&T) -> Json,
}

/// A whole number with its least and greatest value and its unit.
macro_rules! number {
    ($key:literal, $($field:ident).+, $range:expr, $unit:literal $(, $live:ident)?) => {
        Setting {
            key: $key,
            live: settings_live!($($live)?),
            set: |to, value| {
                to.$($field).+ = number(value, $range, $unit)?;
                Ok(())
            },
            get: |from| Json::from(from.$($field).+),
        }
    };
}

/// A time, written as a whole number of milliseconds.
macro_rules! milliseconds {
    ($key:literal, $($field:ident).+, $range:expr $(, $live:ident)?) => {
        Setting {
            key: $key,
            live: settings_live!($($live)?),
            set: |to, value| {
                to.$($field).+ = Duration::from_millis(number(value, $range, "milliseconds")?);
                Ok(())
            },
            get: |from| Json::from(u64::try_from(from.$($field).+.as_millis()).unwrap_or(u64::MAX)),
        }
    };
}

/// Anything that is written as text.
macro_rules! text {
    ($key:literal, $($field:ident).+ $(, $live:ident)?) => {
        Setting {
            key: $key,
            live: settings_live!($($live)?),
            set: |to, value| {
                to.$($field).+ = text(value)?;
                Ok(())
            },
            get: |from| Json::from(from.$($field).+.to_string()),
        }
    };
}

/// A path.
macro_rules! path {
    ($key:literal, $($field:ident).+ $(, $live:ident)?) => {
        Setting {
            key: $key,
            live: settings_live!($($live)?),
            set: |to, value| {
                to.$($field).+ = text::<String>(value)?.into();
                Ok(())
            },
            get: |from| Json::from(from.$($field).+.display().to_string()),
        }
    };
}

/// `true` or `false`.
macro_rules! flag {
    ($key:literal, $($field:ident).+ $(, $live:ident)?) => {
        Setting {
            key: $key,
            live: settings_live!($($live)?),
            set: |to, value| {
                to.$($field).+ = flag(value)?;
                Ok(())
            },
            get: |from| Json::from(from.$($field).+),
        }
    };
}

/// A list of texts, and what each of them is to be.
macro_rules! list {
    ($key:literal, $($field:ident).+, $each:literal $(, $live:ident)?) => {
        Setting {
            key: $key,
            live: settings_live!($($live)?),
            set: |to, value| {
                to.$($field).+ = list(value, $each)?;
                Ok(())
            },
            get: |from| from.$($field).+.0.iter().map(|entry| Json::from(entry.to_string())).collect(),
        }
    };
}

macro_rules! settings_live {
    () => {
        false
    };
    (live) => {
        true
    };
}

/// Settings that exist once.
pub(super) const GLOBAL: &[Setting<Config>] = &[
    path!("data_dir", data_dir),
    number!("workers", workers, 0..=1024, "threads"),
    text!("admin.bind", admin.bind),
    path!("admin.token_file", admin.token_file, live),
    path!("admin.read_token_file", admin.read_token_file, live),
    Setting {
        key: "auth.order",
        live: true,
        set: |to, value| {
            to.auth.order = Order::read(texts(value)?.iter().map(String::as_str))?;
            Ok(())
        },
        get: |from| Json::from(from.auth.order.words()),
    },
    path!("auth.password_file", auth.password_file, live),
    path!("auth.jwt.keys_file", auth.jwt.keys_file, live),
    text!("auth.jwt.issuer", auth.jwt.issuer, live),
    text!("auth.jwt.audience", auth.jwt.audience, live),
    text!("auth.jwt.name_claim", auth.jwt.name_claim, live),
    text!("auth.certificate_name", auth.certificate_name, live),
    text!("auth.default_user", auth.default_user, live),
    number!("auth.hashing_threads", auth.limits.hashing_threads, 1..=256, "threads"),
    number!("auth.hashing_queue_max", auth.limits.hashing_queue_max, 2..=1_000_000, "passwords"),
    number!(
        "auth.failure_delay_milliseconds_max",
        auth.limits.failure_delay_milliseconds_max,
        0..=60_000,
        "milliseconds"
    ),
    number!("auth.failing_addresses_max", auth.limits.failing_addresses_max, 1..=10_000_000, "addresses"),
    number!(
        "auth.connections_per_identity_max",
        auth.limits.connections_per_identity_max,
        1..=100_000_000,
        "connections"
    ),
    number!("admin.head_bytes_max", admin.limits.head_bytes_max, 1024..=262_144, "bytes"),
    number!("admin.body_bytes_max", admin.limits.body_bytes_max, 1024..=1 << 30, "bytes"),
    number!("admin.page_max", admin.limits.page_max, 1..=100_000, "entries"),
    number!("admin.calls_max", admin.limits.calls_max, 1..=10_000, "calls"),
    number!("admin.log_streams_max", admin.limits.log_streams_max, 1..=10_000, "streams"),
    number!("admin.connections_max", admin.limits.connections_max, 1..=100_000, "connections"),
    number!("admin.uploads_max", admin.limits.uploads_max, 1..=100_000, "components"),
    number!("admin.bodies_max", admin.limits.bodies_max, 1..=100_000, "bodies"),
    number!("admin.wrong_tokens_per_minute", admin.limits.wrong_tokens_per_minute, 1..=1_000_000, "tokens"),
    text!("store.durability", durability),
    number!("store.cache_bytes", store.cache_bytes, 1 << 20..=1 << 40, "bytes"),
    number!("store.batch_changes_max", store.batch_changes_max, 1..=1_000_000, "changes"),
    number!("store.batch_bytes_max", store.batch_bytes_max, 4096..=1 << 30, "bytes"),
    number!("store.backlog_changes_max", store.backlog_changes_max, 1..=100_000_000, "changes"),
    number!("store.backlog_bytes_max", store.backlog_bytes_max, 4096..=1 << 40, "bytes"),
    milliseconds!("store.relaxed_interval_milliseconds", store.relaxed_interval, 1..=60_000),
    milliseconds!("store.retry_interval_milliseconds", store.retry_interval, 1..=3_600_000),
    number!("store.reserve_bytes", store.reserve_bytes, 0..=1 << 40, "bytes"),
    flag!("store.quick_repair", store.quick_repair),
    number!("net.connections_max", net.connections_max, 1..=100_000_000, "connections"),
    number!("net.connections_per_address_max", net.connections_per_address_max, 1..=100_000_000, "connections"),
    number!("net.accepts_per_second_max", net.accepts_per_second_max, 1..=1_000_000, "connections"),
    number!("net.errand_threads", net.errand_threads, 1..=1_024, "threads"),
    number!("net.errands_waiting_max", net.errands_waiting_max, 2..=1_000_000, "clients"),
    number!("net.unauthenticated_max", net.unauthenticated_max, 1..=100_000_000, "connections"),
    number!("net.unauthenticated_bytes_max", net.unauthenticated_bytes_max, 512..=1 << 30, "bytes"),
    number!("net.unauthenticated_reserve_bytes", net.unauthenticated_reserve_bytes, 0..=1 << 40, "bytes"),
    number!("net.write_seconds_max", net.write_seconds_max, 1..=86_400, "seconds"),
    number!("net.turn_milliseconds_max", net.turn_milliseconds_max, 1..=60_000, "milliseconds"),
    number!("net.turn_work_milliseconds_max", net.turn_work_milliseconds_max, 1..=60_000, "milliseconds"),
    number!("net.batch_bytes", net.batch_bytes, 1024..=1 << 30, "bytes"),
    number!("net.answers_waiting_max", net.answers_waiting_max, 1..=10_000_000, "answers"),
    number!("net.opening_seconds_max", net.opening_seconds_max, 1..=3600, "seconds"),
    number!("net.unauthenticated_seconds_max", net.unauthenticated_seconds_max, 1..=3600, "seconds"),
    number!("net.quic_window_bytes", net.quic_window_bytes, 16_384..=1 << 30, "bytes"),
    number!("net.quic_idle_seconds_max", net.quic_idle_seconds_max, 5..=86_400, "seconds"),
    number!("net.quic_probe_seconds", net.quic_probe_seconds, 0..=86_400, "seconds"),
    number!("net.quic_unproven_max", net.quic_unproven_max, 0..=100_000_000, "handshakes"),
    number!("net.websocket_message_bytes_max", net.websocket_message_bytes_max, 1024..=1 << 40, "bytes"),
    Setting {
        key: "redirect.server",
        live: false,
        set: |to, value| {
            let server: String = text(value)?;
            Elsewhere::check(&server)?;
            to.redirect.server = server;
            Ok(())
        },
        get: |from| Json::from(from.redirect.server.as_str()),
    },
    flag!("redirect.permanent", redirect.permanent),
    number!("sys.interval_seconds", sys.interval_seconds, 0..=86_400, "seconds"),
    number!("mqtt.packet_bytes_max", mqtt.packet_bytes_max, 1024..=268_435_460, "bytes"),
    number!("mqtt.connect_bytes_max", mqtt.connect_bytes_max, 128..=268_435_460, "bytes"),
    number!("mqtt.receive_maximum", mqtt.receive_maximum, 1..=65_535, "messages"),
    number!("mqtt.receive_maximum_untold", mqtt.receive_maximum_untold, 1..=65_535, "messages"),
    number!("mqtt.deliveries_in_flight_max", mqtt.deliveries_in_flight_max, 1..=65_535, "messages"),
    number!("mqtt.topic_alias_maximum", mqtt.topic_alias_maximum, 0..=65_535, "aliases"),
    number!("mqtt.topic_alias_bytes_max", mqtt.topic_alias_bytes_max, 0..=1 << 30, "bytes"),
    number!("mqtt.topic_alias_out_maximum", mqtt.topic_alias_out_maximum, 0..=65_535, "aliases"),
    number!("mqtt.keep_alive_seconds_max", mqtt.keep_alive_seconds_max, 0..=65_535, "seconds"),
    number!("mqtt.connect_seconds_max", mqtt.connect_seconds_max, 1..=3600, "seconds"),
    number!("mqtt.session_expiry_seconds_max", mqtt.session_expiry_seconds_max, 0..=4_294_967_295, "seconds"),
    number!("mqtt.client_id_bytes_max", mqtt.client_id_bytes_max, 23..=65_535, "bytes"),
    number!("mqtt.client_id_characters_max_3_1", mqtt.client_id_characters_max_3_1, 23..=65_535, "characters"),
    number!("mqtt.user_properties_max", mqtt.user_properties_max, 0..=1_000_000, "properties"),
    number!("mqtt.filters_per_packet_max", mqtt.filters_per_packet_max, 1..=1_000_000, "filters"),
    flag!("mqtt.acknowledge_unauthorized", mqtt.acknowledge_unauthorized),
    flag!("mqtt.acknowledge_refused", mqtt.acknowledge_refused),
    flag!("mqtt.tell_unknown_identifiers", mqtt.tell_unknown_identifiers),
    flag!("mqtt.copy_per_subscription", mqtt.copy_per_subscription),
    text!("mqtt.response_information", mqtt.response_information),
    number!("amqp.frame_bytes_max", amqp.frame_bytes_max, 512..=1 << 30, "bytes"),
    number!("amqp.opening_frame_bytes_max", amqp.opening_frame_bytes_max, 512..=1 << 20, "bytes"),
    number!("amqp.open_seconds_max", amqp.open_seconds_max, 1..=3600, "seconds"),
    number!("amqp.channel_max", amqp.channel_max, 0..=65_535, "the highest channel"),
    number!("amqp.handle_max", amqp.handle_max, 0..=1_000_000, "the highest handle"),
    number!("amqp.links_max", amqp.links_max, 1..=1_000_000, "links"),
    number!("amqp.idle_milliseconds_max", amqp.idle_milliseconds_max, 0..=86_400_000, "milliseconds"),
    number!("amqp.idle_milliseconds_min", amqp.idle_milliseconds_min, 1..=3_600_000, "milliseconds"),
    number!("amqp.sasl_steps_max", amqp.sasl_steps_max, 1..=1000, "steps"),
    number!("amqp.session_window", amqp.session_window, 1..=1 << 30, "frames"),
    number!("amqp.unsettled_max", amqp.unsettled_max, 1..=1 << 30, "deliveries"),
    number!("amqp.link_credit", amqp.link_credit, 1..=1 << 30, "deliveries"),
    number!("amqp.message_bytes_max", amqp.message_bytes_max, 512..=1 << 32, "bytes"),
    number!("amqp.partial_bytes_max", amqp.partial_bytes_max, 512..=1 << 40, "bytes"),
    number!("amqp.partial_seconds_max", amqp.partial_seconds_max, 1..=86_400, "seconds"),
    number!("amqp.name_bytes_max", amqp.name_bytes_max, 16..=65_535, "bytes"),
    number!("amqp.unsettled_entries_max", amqp.unsettled_entries_max, 0..=1_000_000, "entries"),
    number!("amqp.depth_max", amqp.depth_max, 4..=1000, "levels"),
    number!("amqp.elements_max", amqp.elements_max, 64..=10_000_000, "values"),
    number!("amqp.sections_max", amqp.sections_max, 8..=1_000_000, "sections"),
    number!("amqp.will_mode", amqp.will_mode, 1..=2, "the mode"),
    number!("amqp.transactions_max", amqp.transactions_max, 0..=1_000_000, "transactions"),
    number!("amqp.transaction_entries_max", amqp.transaction_entries_max, 1..=1 << 30, "entries"),
    number!("amqp.transaction_bytes_max", amqp.transaction_bytes_max, 512..=1 << 40, "bytes"),
    number!("amqp.idle_frames_per_second_max", amqp.idle_frames_per_second_max, 1..=1_000_000, "frames"),
    number!("broker.queue_messages_max", broker.queue_messages_max, 1..=1_000_000_000, "messages"),
    number!("broker.queue_bytes_max", broker.queue_bytes_max, 1024..=1 << 50, "bytes"),
    number!(
        "broker.subscriptions_per_client_max",
        broker.subscriptions_per_client_max,
        1..=1_000_000_000,
        "subscriptions"
    ),
    number!(
        "broker.subscription_bytes_per_client_max",
        broker.subscription_bytes_per_client_max,
        1024..=1 << 40,
        "bytes"
    ),
    number!("broker.subscription_bytes_max", broker.subscription_bytes_max, 1024..=1 << 50, "bytes"),
    number!("broker.kept_name_bytes_max", broker.kept_name_bytes_max, 64..=65_535, "bytes"),
    number!("broker.subscriptions_max", broker.subscriptions_max, 1..=1_000_000_000, "subscriptions"),
    number!("broker.retained_max", broker.retained_max, 0..=1_000_000_000, "messages"),
    number!("broker.retained_per_client_max", broker.retained_per_client_max, 0..=1_000_000_000, "messages"),
    number!("broker.retained_bytes_max", broker.retained_bytes_max, 0..=1 << 50, "bytes"),
    number!("broker.mailboxes_max", broker.mailboxes_max, 1..=1_000_000_000, "mailboxes"),
    number!("broker.expiry_seconds_max", broker.expiry_seconds_max, 0..=4_294_967_295, "seconds"),
    number!("broker.unreleased_max", broker.unreleased_max, 1..=65_535, "messages"),
    number!("broker.tags_expiry_seconds", broker.tags_expiry_seconds, 60..=4_294_967_295, "seconds"),
    number!(
        "broker.publisher_wait_milliseconds_max",
        broker.publisher_wait_milliseconds_max,
        0..=3_600_000,
        "milliseconds"
    ),
    number!("broker.permits_remembered_max", broker.permits_remembered_max, 1..=1_000_000, "topics"),
    number!("broker.memory_bytes_max", broker.memory_bytes_max, 1 << 20..=1 << 50, "bytes"),
    number!("broker.routes_remembered_max", broker.routes_remembered_max, 1..=1_000_000_000, "topics"),
    number!("broker.routes_remembered_bytes_max", broker.routes_remembered_bytes_max, 1 << 16..=1 << 40, "bytes"),
    number!("broker.wishes_per_message_max", broker.wishes_per_message_max, 0..=100_000, "messages"),
    number!("broker.events_waiting_max", broker.events_waiting_max, 0..=100_000_000, "events"),
    number!("broker.queue_failures_max", broker.queue_failures_max, 0..=1_000_000, "attempts"),
    number!("broker.notes_bytes_max", broker.notes_bytes_max, 0..=1 << 30, "bytes"),
    number!("broker.queues_max", broker.queues_max, 1..=1_000_000_000, "queues"),
    number!("broker.bindings_max", broker.bindings_max, 0..=1_000_000, "filters"),
    text!("broker.dead_letters", broker.dead_letters),
    path!("signing.keys_file", signing.keys_file, live),
    flag!("signing.required", signing.required, live),
    number!("wasm.call_milliseconds_max", wasm.call_milliseconds_max, 1..=60_000, "milliseconds"),
    number!("wasm.configure_milliseconds_max", wasm.configure_milliseconds_max, 1..=600_000, "milliseconds"),
    number!("wasm.memory_bytes_max", wasm.memory_bytes_max, 65_536..=1 << 32, "bytes"),
    number!("wasm.component_bytes_max", wasm.component_bytes_max, 1024..=1 << 30, "bytes"),
    number!("wasm.compile_memory_bytes_max", wasm.compile_memory_bytes_max, 1 << 26..=1 << 40, "bytes"),
    number!("wasm.compile_seconds_max", wasm.compile_seconds_max, 1..=3_600, "seconds"),
    number!("wasm.config_bytes_max", wasm.config_bytes_max, 2..=1 << 28, "bytes"),
    number!("wasm.stack_bytes_max", wasm.stack_bytes_max, 65_536..=1 << 20, "bytes"),
    number!("wasm.table_elements_max", wasm.table_elements_max, 1..=10_000_000, "elements"),
    number!("wasm.hostcall_bytes_max", wasm.hostcall_bytes_max, 65_536..=1 << 30, "bytes"),
    number!("wasm.host_calls_max", wasm.host_calls_max, 1..=1_000_000_000, "calls"),
    number!("wasm.handles_max", wasm.handles_max, 1..=1_000_000, "handles"),
    number!("wasm.instances_max", wasm.instances_max, 1..=100_000, "instances"),
    number!("wasm.failures_max", wasm.failures_max, 0..=1_000_000, "failures"),
    number!("wasm.failures_window_milliseconds", wasm.failures_window_milliseconds, 1..=3_600_000, "milliseconds"),
    number!("wasm.modules_max", wasm.modules_max, 1..=10_000, "modules"),
    number!("wasm.versions_kept", wasm.versions_kept, 2..=1000, "versions"),
    number!("wasm.interest_filters_max", wasm.interest_filters_max, 1..=100_000, "filters"),
    number!("wasm.wishes_max", wasm.wishes_max, 0..=100_000, "messages"),
    number!("wasm.wish_bytes_max", wasm.wish_bytes_max, 0..=1 << 30, "bytes"),
    number!("wasm.hops_max", wasm.hops_max, 0..=255, "hops"),
    number!("wasm.tick_milliseconds_min", wasm.tick_milliseconds_min, 1..=3_600_000, "milliseconds"),
    number!("wasm.examples_max", wasm.examples_max, 0..=100_000, "examples"),
    number!("wasm.log_lines_kept", wasm.log_lines_kept, 0..=1_000_000, "lines"),
    number!("wasm.log_line_bytes_max", wasm.log_line_bytes_max, 16..=1 << 20, "bytes"),
    number!("wasm.log_lines_per_second_max", wasm.log_lines_per_second_max, 0..=1_000_000_000, "lines"),
    number!("wasm.state_bytes_max", wasm.state_bytes_max, 0..=1 << 40, "bytes"),
    number!("wasm.state_keys_max", wasm.state_keys_max, 0..=100_000_000, "keys"),
    number!("wasm.state_bytes_per_second_max", wasm.state_bytes_per_second_max, 0..=1 << 40, "bytes"),
    number!("wasm.retained_reads_max", wasm.retained_reads_max, 0..=1_000_000_000, "messages"),
    number!("wasm.retained_bytes_max", wasm.retained_bytes_max, 0..=1 << 32, "bytes"),
    number!("wasm.figures_max", wasm.figures_max, 0..=10_000, "figures"),
    number!("wasm.http_milliseconds_max", wasm.http_milliseconds_max, 1..=60_000, "milliseconds"),
    number!("wasm.http_requests_max", wasm.http_requests_max, 0..=1_000, "requests"),
    number!("wasm.http_requests_per_second_max", wasm.http_requests_per_second_max, 0..=1_000_000, "requests"),
    number!("wasm.http_request_bytes_max", wasm.http_request_bytes_max, 256..=1 << 24, "bytes"),
    number!("wasm.http_reply_bytes_max", wasm.http_reply_bytes_max, 0..=1 << 26, "bytes"),
    path!("wasm.http_ca_file", http_ca_file),
    number!("wasm.machine_code_bytes_max", wasm.machine_code_bytes_max, 0..=1 << 40, "bytes"),
    path!("wasm.machine_code_dir", machine_code_dir),
    number!("topic.levels_max", topic.levels_max, 1..=65_535, "levels"),
    number!("topic.bytes_max", topic.bytes_max, 1..=65_535, "bytes"),
];

/// Settings of one listener.
pub(super) const LISTENER: &[Setting<Listener>] = &[
    flag!("enabled", enabled),
    text!("protocol", protocol),
    text!("transport", transport),
    text!("bind", bind),
    path!("tls.certificate", tls.certificate),
    path!("tls.key", tls.key),
    path!("tls.client_ca", tls.client_ca),
    path!("tls.client_crl", tls.client_crl),
    text!("tls.client_certificate", tls.client_certificate),
    text!("path", path),
    list!("origins", origins, "the origin of a page, as https://host or https://host:8443, or *"),
    list!("proxy_protocol", proxy_protocol, "a network, as 10.0.0.0/8"),
    Setting {
        key: "allow_anonymous",
        live: true,
        set: |to, value| {
            let word = match value {
                Value::Typed(Json::Bool(flag)) => Value::Text(flag.to_string()),
                other => other.clone(),
            };
            to.allow_anonymous = text(&word)?;
            Ok(())
        },
        get: |from| match from.allow_anonymous.to_string().as_str() {
            word @ ("true" | "false") => Json::from(word == "true"),
            word => Json::from(word),
        },
    },
];

/// Settings of one module.
pub(super) const MODULE: &[Setting<Module>] = &[
    flag!("enabled", enabled, live),
    path!("path", path),
    number!("order", order, -i64::from(ORDER_MAX)..=i64::from(ORDER_MAX), "place in the chain", live),
    text!("on_failure", on_failure, live),
    Setting {
        key: "config",
        live: true,
        set: |to, value| {
            to.config = document(value)?;
            Ok(())
        },
        get: |from| from.config.clone(),
    },
    list!("http_hosts", http_hosts, "host or host:port, without a scheme, a path or wildcards", live),
];

/// Settings of one bridge.
pub(super) const BRIDGE: &[Setting<bridge::Settings>] = &[
    flag!("enabled", enabled),
    text!("url", url),
    Setting {
        key: "version",
        live: false,
        set: |to, value| {
            to.version = Some(text(value)?);
            Ok(())
        },
        get: |from| from.mqtt_version().to_string().into(),
    },
    text!("client_id", client_id),
    text!("user", user),
    path!("password_file", password_file),
    text!("password_env", password_env),
    path!("tls.ca_file", ca_file),
    path!("tls.certificate", certificate),
    path!("tls.key", key),
    number!("keep_alive_seconds", keep_alive_seconds, 1..=65_535, "seconds"),
    number!("retry_milliseconds_min", retry_milliseconds_min, 1..=86_400_000, "milliseconds"),
    number!("retry_milliseconds_max", retry_milliseconds_max, 1..=86_400_000, "milliseconds"),
    number!("connect_seconds_max", connect_seconds_max, 1..=3600, "seconds"),
    number!("window", window, 1..=65_535, "messages"),
    number!("message_bytes_max", message_bytes_max, 1024..=268_435_455, "bytes"),
    number!("hops_max", hops_max, 1..=256, "brokers"),
    Setting {
        key: "routes",
        live: false,
        set: |to, value| {
            let json = match value {
                Value::Typed(json) => json.clone(),
                Value::Text(text) => array(text).map(Json::Array).ok_or("expected a list of tables in brackets")?,
            };
            to.routes = bridges::read(&json)?;
            Ok(())
        },
        get: |from| bridges::write(&from.routes),
    },
];

/// A key whose value differs between two configurations.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// The key as it would be written after `--set`.
    pub key: String,
    /// Takes hold without a restart.
    pub live: bool,
}

/// Every key with its value, in the order of the tables above; entries of lists by name.
pub fn effective(config: &Config) -> Vec<(String, Json)> {
    keys(config).into_iter().map(|(key, _, value)| (key, value)).collect()
}

/// The keys in which `new` differs from `old`.
pub fn differences(old: &Config, new: &Config) -> Vec<Change> {
    let (old, new) = (keys(old), keys(new));
    let mut changes = Vec::new();
    for (key, live, value) in &new {
        if !old.iter().any(|(k, _, v)| k == key && v == value) {
            // A listener or module that was not there before is no change of a value, and needs a start.
            let known = old.iter().any(|(k, _, _)| k == key);
            changes.push(Change { key: key.clone(), live: *live && known });
        }
    }
    let gone = old.iter().filter(|(key, _, _)| !new.iter().any(|(k, _, _)| k == key));
    changes.extend(gone.map(|(key, _, _)| Change { key: key.clone(), live: false }));
    changes
}

fn keys(config: &Config) -> Vec<(String, bool, Json)> {
    let mut keys: Vec<_> = GLOBAL.iter().map(|s| (s.key.to_owned(), s.live, (s.get)(config))).collect();
    for listener in &config.listeners {
        let name = &listener.name;
        keys.extend(LISTENER.iter().map(|s| (format!("listener.{name}.{}", s.key), s.live, (s.get)(listener))));
    }
    for module in &config.modules {
        let name = &module.name;
        keys.extend(MODULE.iter().map(|s| (format!("module.{name}.{}", s.key), s.live, (s.get)(module))));
    }
    for bridge in &config.bridges {
        let name = &bridge.name;
        keys.extend(BRIDGE.iter().map(|s| (format!("bridge.{name}.{}", s.key), s.live, (s.get)(bridge))));
    }
    keys
}

fn number<N: TryFrom<i64>>(value: &Value, range: RangeInclusive<i64>, unit: &str) -> Result<N, String> {
    let number = match value {
        Value::Typed(json) => json.as_i64(),
        Value::Text(text) => text.replace('_', "").parse().ok(),
    };
    number
        .filter(|number| range.contains(number))
        .and_then(|number| N::try_from(number).ok())
        .ok_or_else(|| format!("expected a whole number from {} to {} ({unit})", range.start(), range.end()))
}

fn flag(value: &Value) -> Result<bool, String> {
    match value {
        Value::Typed(Json::Bool(flag)) => Some(*flag),
        Value::Text(text) => text.parse().ok(),
        Value::Typed(_) => None,
    }
    .ok_or_else(|| "expected true or false".to_owned())
}

fn text<T: FromStr<Err: Display>>(value: &Value) -> Result<T, String> {
    match value {
        Value::Typed(Json::String(text)) | Value::Text(text) => text.parse().map_err(|error: T::Err| error.to_string()),
        Value::Typed(_) => Err("expected text in quotes".to_owned()),
    }
}

fn list<T: FromStr>(value: &Value, each: &str) -> Result<List<T>, String> {
    let entries = texts(value)?;
    let read = |entry: String| entry.parse().map_err(|_| format!("expected {each}, got {entry}"));
    entries.into_iter().map(read).collect::<Result<_, _>>().map(List)
}

/// The entries of a list: in brackets, or in one text with commas between them.
fn texts(value: &Value) -> Result<Vec<String>, String> {
    let wrong = || "expected a list of texts in quotes".to_owned();
    let entries = match value {
        Value::Typed(Json::Array(entries)) => entries.clone(),
        Value::Typed(_) => return Err(wrong()),
        Value::Text(text) => match array(text) {
            Some(entries) => entries,
            None => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                return Ok(parts.map(str::to_owned).collect());
            }
        },
    };
    entries.iter().map(|entry| entry.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}

fn document(value: &Value) -> Result<Json, String> {
    let document = match value {
        Value::Typed(json) => json.clone(),
        Value::Text(text) => {
            serde_json::from_str(text).map_err(|error| format!("expected a JSON document: {error}"))?
        }
    };
    if document.is_object() { Ok(document) } else { Err("expected a table".to_owned()) }
}
