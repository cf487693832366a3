//! Endpoints about clients and what they subscribed.

use super::api::Api;
use super::body::{Ask, Name, NoQuery, PageQuery, json, page};
use super::drain::elsewhere;
use super::error::Problem;
use super::handle::{handle, key_after, named, tell};
use crate::broker::{ClientInfo, SubscriptionInfo};
use crate::client::Protocol;
use crate::dialogue::RetainHandling;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value as Json, json};

/// Who is connected or expected back, by client id.
pub(super) async fn list(State(api): State<Api>, Ask(query): Ask<PageQuery>) -> Response {
    let limit = query.limit(api.limits().page_max);
    let after = query.after_name(ids_after(&api));
    let clients = api.broker().clients(after.as_deref(), limit + 1);
    page(clients.iter().map(shown).collect(), limit, |client| client["id"].as_str().unwrap_or_default().to_owned())
}

/// One client.
pub(super) async fn show(State(api): State<Api>, Name(id): Name, _: Ask<NoQuery>) -> Result<Response, Problem> {
    let client = named(&id, ids_after(&api)).and_then(|id| api.broker().client(&id));
    Ok(json(&shown(&client.ok_or_else(|| Problem::not_found("there is no such client"))?)))
}

/// Ids in their order.
fn ids_after(api: &Api) -> impl Fn(&str, usize) -> Vec<String> {
    |after, most| api.broker().clients(Some(after), most).iter().map(|client| client.id.to_string()).collect()
}

/// `?server=` and `?permanent=` of a client that is to go elsewhere, `?session=` of one that nothing is to be kept for.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DisconnectQuery {
    server: Option<String>,
    #[serde(default)]
    permanent: bool,
    #[serde(default)]
    session: bool,
}

/// Ends a client's connection, and tells it where to go if that is said. What belongs to it stays for as long as it asked
/// for, unless its session is to end as well: that is on disk when it answers.
pub(super) async fn disconnect(
    State(api): State<Api>,
    Name(id): Name,
    Ask(query): Ask<DisconnectQuery>,
) -> Result<StatusCode, Problem> {
    let id = named(&id, ids_after(&api)).unwrap_or(id);
    if query.session {
        if query.server.is_some() {
            return Err(Problem::bad_request(
                "a client whose session ends is sent nowhere: leave out either session or server",
            ));
        }
        let ended = api.with_worker(move |broker, worker, now| broker.end_session(worker, now, &id)).await?;
        api.committed(ended.ok_or_else(|| Problem::not_found("no client of that id has a session"))?).await?;
        return Ok(StatusCode::NO_CONTENT);
    }
    let ended = match query.server {
        Some(server) => api.broker().send_elsewhere(&id, elsewhere(&server, query.permanent)?),
        None => api.broker().disconnect(&id),
    };
    match ended {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("no client of that id is connected")),
    }
}

/// Between a client's id and the key of one of its subscriptions, where a page begins behind that. In no filter.
const THEN: char = '\u{2}';

/// What is subscribed, by client id and filter.
pub(super) async fn subscriptions(State(api): State<Api>, Ask(query): Ask<PageQuery>) -> Response {
    let limit = query.limit(api.limits().page_max);
    let after = query.after().map(|given| match given.rsplit_once(THEN) {
        None => (key_after(given, ids_after(&api)).into(), None),
        Some((client, key)) => {
            let client = key_after(client, ids_after(&api));
            let keys_after = |after: &str, most| api.broker().subscription_keys(&client, after, most);
            let key = key_after(key, keys_after).into();
            (client.into(), Some(key))
        }
    });
    let (found, next) = api.broker().subscriptions(after, limit);
    let next = next.map(|(client, key)| match key {
        None => handle(&client).into_owned(),
        Some(key) => format!("{}{THEN}{}", handle(&client), handle(&key)),
    });
    json(&json!({ "items": found.iter().map(subscription).collect::<Vec<_>>(), "next": next }))
}

fn shown(client: &ClientInfo) -> Json {
    let mut shown = json!({
        "id": *client.id,
        "identity": client.identity.as_deref(),
        "protocol": protocol(client.protocol),
        "listener": *client.listener,
        "peer": *client.peer,
        "connected": client.attached,
        "subscriptions": client.subscriptions,
        "queued": client.queued,
        "in_flight": client.in_flight,
        "expiry_seconds": (client.expiry_seconds != u32::MAX).then_some(client.expiry_seconds),
    });
    if let Some(entry) = shown.as_object_mut() {
        tell(&client.id, entry);
    }
    shown
}

fn subscription(found: &SubscriptionInfo) -> Json {
    let subscription = &found.subscription;
    let options = &subscription.options;
    json!({
        "client": *found.client,
        "filter": subscription.filter.as_str(),
        "name": subscription.name,
        "share": subscription.share,
        "qos": options.guarantee.level(),
        "no_local": options.no_local,
        "retain_as_published": options.retain_as_published,
        "retain_handling": match options.retain_handling {
            RetainHandling::Always => "always",
            RetainHandling::IfNew => "if-new",
            RetainHandling::Never => "never",
        },
        "identifier": options.identifier,
    })
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Mqtt => "mqtt",
        Protocol::Amqp => "amqp",
        Protocol::Http => "http",
        Protocol::Module => "module",
    }
}
