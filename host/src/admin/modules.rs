//! Endpoints about modules. Every change blocks for the disk, and some for the compiler, so it runs on a blocking thread; changes
//! come one after the other, without waiting for what is compiled for another one, and an error leaves everything as it was.

use super::api::Api;
use super::body::{Ask, JsonText, Name, NoBody, NoQuery, PageQuery, Perhaps, json_text, page};
use super::error::Problem;
use super::form::Brought;
use super::precondition::{Given, tagged};
use crate::wasm::{DeployError, DeployOptions, Deployed, Expected, ModuleInfo, Modules, OnFailure, Rollback};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value as Json;

/// What a deployment may ask for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeployQuery {
    digest: Option<String>,
    order: Option<i32>,
    on_failure: Option<OnFailure>,
    config: Option<String>,
    canary: Option<u8>,
    signature: Option<String>,
    #[serde(default)]
    if_changed: bool,
}

/// How a configuration is to be taken.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigQuery {
    #[serde(default)]
    if_changed: bool,
}

/// Where to go back to; in the query or in the body.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackQuery {
    to: Option<u64>,
    from: Option<u64>,
    canary: Option<bool>,
}

impl RollbackQuery {
    /// With what the body says.
    fn and(self, body: Self) -> Result<Rollback, Problem> {
        fn one<T: PartialEq>(query: Option<T>, body: Option<T>) -> Result<Option<T>, Problem> {
            match (query, body) {
                (Some(one), Some(other)) if one != other => {
                    Err(Problem::bad_request("query and body say different things"))
                }
                (one, other) => Ok(one.or(other)),
            }
        }
        let (to, from) = (one(self.to, body.to)?, one(self.from, body.from)?);
        let canary = one(self.canary, body.canary)?.unwrap_or_default();
        match to {
            Some(_) if canary => {
                Err(Problem::bad_request("a canary is ended, or another version put to work: not both"))
            }
            to => Ok(Rollback { to, from, canary }),
        }
    }
}

/// For how many of a hundred clients a canary is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CanaryQuery {
    percent: u8,
}

impl From<DeployError> for Problem {
    fn from(error: DeployError) -> Self {
        let status = match &error {
            error if error.is_not_found() => StatusCode::NOT_FOUND,
            error if error.is_unexpected() => StatusCode::PRECONDITION_FAILED,
            DeployError::NotFrom { .. } | DeployError::OnTrial { .. } => StatusCode::CONFLICT,
            error if error.is_temporary() => StatusCode::SERVICE_UNAVAILABLE,
            error if error.is_too_large() => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::new(status, error.to_string())
    }
}

/// All modules, by name.
pub(super) async fn list(State(api): State<Api>, Ask(query): Ask<PageQuery>) -> Response {
    let limit = query.limit(api.limits().page_max);
    let modules = api.modules().list().into_iter();
    let modules = modules.filter(|module| query.after().is_none_or(|after| *module.name > *after));
    page(modules.take(limit + 1).map(|module| shown(&module)).collect(), limit, |module| text(&module["name"]))
}

/// One module.
pub(super) async fn show(
    State(api): State<Api>,
    Name(name): Name,
    _: Ask<NoQuery>,
    given: Given,
) -> Result<Response, Problem> {
    let module = api.modules().show(&name)?;
    let instead = given.instead_of(&module)?;
    Ok(instead.unwrap_or_else(|| tagged(&shown(&module), Some(&module.tag))))
}

/// Its versions, oldest first.
pub(super) async fn versions(
    State(api): State<Api>,
    Name(name): Name,
    Ask(query): Ask<PageQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit(api.limits().page_max);
    let after = query.after().map(|after| after.parse().map_err(|_| Problem::bad_request("after is a version")));
    let after: Option<u64> = after.transpose()?;
    let versions = api.modules().versions(&name)?.into_iter();
    let versions = versions.filter(|version| after.is_none_or(|after| version.version > after)).take(limit + 1);
    let documents = versions.map(|version| with_config(serde_json::to_value(&version), &version.config)).collect();
    Ok(page(documents, limit, |version| text(&version["version"])))
}

/// A component is put to work.
pub(super) async fn deploy(
    State(api): State<Api>,
    Name(name): Name,
    Ask(query): Ask<DeployQuery>,
    Given(expected): Given,
    Brought { component, config: brought }: Brought,
) -> Result<Response, Problem> {
    let DeployQuery { digest, order, on_failure, config, canary, signature, if_changed } = query;
    let config = match (config, brought) {
        (Some(_), Some(_)) => return Err(Problem::bad_request("the configuration is in the query or in the form")),
        (Some(config), None) => Some(json_text(config.into()).map_err(|problem| problem.about("config"))?),
        (None, brought) => brought,
    };
    if if_changed && canary.is_some() {
        return Err(Problem::bad_request(
            "a canary is a version of its own each time: if_changed is for a deployment without one",
        ));
    }
    let options = DeployOptions { digest, signature, order, on_failure, config, canary, if_changed };
    let deploy = move |api: &Api| api.modules().expecting(expected).deploy(&name, &component, options);
    Ok(done(&api.blocking_in_turn(deploy).await??))
}

/// The configuration of the active version, byte for byte as it was given.
pub(super) async fn config(State(api): State<Api>, Name(name): Name, _: Ask<NoQuery>) -> Result<Response, Problem> {
    let config = api.modules().show(&name)?.config;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], config.to_string()).into_response())
}

/// Another configuration, as a version of its own.
pub(super) async fn configure(
    State(api): State<Api>,
    Name(name): Name,
    Ask(query): Ask<ConfigQuery>,
    Given(expected): Given,
    JsonText(config): JsonText,
) -> Result<Response, Problem> {
    change(&api, expected, move |modules| match query.if_changed {
        true => modules.configure_if_changed(&name, &config),
        false => modules.configure(&name, &config),
    })
    .await
}

/// Back to an earlier version.
pub(super) async fn rollback(
    State(api): State<Api>,
    Name(name): Name,
    Ask(query): Ask<RollbackQuery>,
    Given(expected): Given,
    Perhaps(body): Perhaps<RollbackQuery>,
) -> Result<Response, Problem> {
    let back = query.and(body)?;
    change(&api, expected, move |modules| modules.rollback(&name, back)).await
}

/// Ends a canary: every client follows it.
pub(super) async fn confirm(
    State(api): State<Api>,
    Name(name): Name,
    _: Ask<NoQuery>,
    Given(expected): Given,
    _: Perhaps<NoBody>,
) -> Result<Response, Problem> {
    change(&api, expected, move |modules| modules.confirm(&name)).await
}

/// More or fewer clients follow a canary.
pub(super) async fn widen(
    State(api): State<Api>,
    Name(name): Name,
    Ask(query): Ask<CanaryQuery>,
    Given(expected): Given,
) -> Result<Response, Problem> {
    change(&api, expected, move |modules| modules.widen(&name, query.percent)).await
}

/// On again.
pub(super) async fn enable(
    State(api): State<Api>,
    Name(name): Name,
    _: Ask<NoQuery>,
    Given(expected): Given,
    _: Perhaps<NoBody>,
) -> Result<Response, Problem> {
    change(&api, expected, move |modules| modules.set_enabled(&name, true)).await
}

/// Off, with its versions kept.
pub(super) async fn disable(
    State(api): State<Api>,
    Name(name): Name,
    _: Ask<NoQuery>,
    Given(expected): Given,
    _: Perhaps<NoBody>,
) -> Result<Response, Problem> {
    change(&api, expected, move |modules| modules.set_enabled(&name, false)).await
}

/// Out, with its versions and its state; one that came with the broker or its configuration is switched off.
pub(super) async fn remove(
    State(api): State<Api>,
    Name(name): Name,
    _: Ask<NoQuery>,
    Given(expected): Given,
) -> Result<Response, Problem> {
    change(&api, expected, move |modules| match modules.show(&name)?.bundled {
        true => modules.set_enabled(&name, false),
        false => modules.remove(&name),
    })
    .await
}

async fn change(
    api: &Api,
    expected: Expected,
    change: impl FnOnce(&Modules) -> Result<Deployed, DeployError> + Send + 'static,
) -> Result<Response, Problem> {
    Ok(done(&api.blocking(move |api| change(&api.modules().expecting(expected))).await??))
}

/// What a change came to.
fn done(deployed: &Deployed) -> Response {
    tagged(deployed, deployed.tag.as_deref())
}

/// A module as the API shows it: its configuration as a document, not as text.
fn shown(module: &ModuleInfo) -> Json {
    with_config(serde_json::to_value(module), &module.config)
}

fn with_config(document: serde_json::Result<Json>, config: &str) -> Json {
    let mut document = document.unwrap_or_default();
    document["config"] = parsed(config);
    document
}

fn parsed(config: &str) -> Json {
    serde_json::from_str(config).unwrap_or_else(|_| config.into())
}

fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
