//! The routes of a bridge: a list of tables in the file, JSON elsewhere.

use crate::bridge::{Released, Route};
use serde_json::{Map, Value as Json, json};

/// Most routes of one bridge.
const ROUTES_MAX: usize = 1000;

const KEYS: [&str; 8] = ["direction", "filter", "qos", "local_prefix", "remote_prefix", "local", "remote", "released"];

/// Reads them.
pub(super) fn read(json: &Json) -> Result<Vec<Route>, String> {
    let wrong = "expected a list of tables, as in [{ direction = \"out\", filter = \"site/#\" }]";
    let routes = json.as_array().ok_or(wrong)?;
    if routes.len() > ROUTES_MAX {
        return Err(format!("more than {ROUTES_MAX} routes"));
    }
    let each = routes.iter().enumerate().map(|(at, route)| {
        let route = route.as_object().ok_or_else(|| wrong.to_owned()).and_then(one);
        route.map_err(|reason| format!("route {}: {reason}", at + 1))
    });
    each.collect()
}

fn one(written: &Map<String, Json>) -> Result<Route, String> {
    if let Some(key) = written.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("unknown key {key}; there are {}", KEYS.join(", ")));
    }
    let text = |key: &str| match written.get(key) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("{key}: expected text in quotes")),
    };
    let mut route = Route::default();
    let direction = text("direction")?.ok_or("it needs a direction: out, in or both")?;
    route.direction = direction.parse().map_err(|error| format!("direction: {error}"))?;
    for (key, to) in [
        ("filter", &mut route.filter),
        ("local_prefix", &mut route.local_prefix),
        ("remote_prefix", &mut route.remote_prefix),
        ("local", &mut route.local),
        ("remote", &mut route.remote),
    ] {
        *to = text(key)?.unwrap_or_default();
    }
    route.released = match text("released")?.as_deref() {
        None | Some("retry") => Released::Kept,
        Some("drop") => Released::Dropped,
        Some(_) => return Err("released: expected \"retry\" or \"drop\"".to_owned()),
    };
    if let Some(qos) = written.get("qos") {
        let level = qos.as_u64().filter(|level| *level <= 2);
        route.qos = level.ok_or("qos: expected 0, 1 or 2")? as u8;
    }
    Ok(route)
}

/// As [`read`] takes them.
pub(super) fn write(routes: &[Route]) -> Json {
    let one = |route: &Route| {
        json!({
            "direction": route.direction.to_string(),
            "filter": route.filter,
            "qos": route.qos,
            "local_prefix": route.local_prefix,
            "remote_prefix": route.remote_prefix,
            "local": route.local,
            "remote": route.remote,
            "released": if route.released == Released::Kept { "retry" } else { "drop" },
        })
    };
    routes.iter().map(one).collect()
}
