//! `GET /api/v1/openapi.json`: the API describes itself.

mod endpoints;
mod schemas;

use super::body::{Ask, NoQuery, json};
use axum::response::Response;
use endpoints::{Answer, Body, ENDPOINTS, Endpoint, Kind, PRECONDITIONS, Parameter};
use serde_json::{Map, Value as Json, json as document};

/// What every endpoint but those about health may answer where all is not well.
const GUARDED: [u16; 5] = [400, 401, 403, 429, 431];

/// The same for those about health.
const OPEN: [u16; 2] = [400, 431];

/// The description.
pub(super) async fn openapi(_: Ask<NoQuery>) -> Response {
    json(&description())
}

fn description() -> Json {
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let methods = paths.entry(endpoint.path).or_insert_with(|| Json::Object(Map::new()));
        methods[endpoint.method] = operation(endpoint);
    }
    document!({
        "openapi": "3.1.0",
        "info": { "title": "Pliant", "version": env!("CARGO_PKG_VERSION") },
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas::all(),
            "responses": { "Problem": {
                "description": "Why not",
                "content": { "application/problem+json": { "schema": schemas::of("Problem") } },
            } },
        },
        "security": [{ "token": [] }],
        "paths": paths,
    })
}

fn operation(endpoint: &Endpoint) -> Json {
    let path = endpoint.path;
    let in_path = path.split(['{', '}']).skip(1).step_by(2);
    let in_path =
        in_path.map(|name| document!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let in_head = PRECONDITIONS.iter().filter(|_| has_preconditions(endpoint)).map(in_head);
    let parameters: Vec<Json> = in_path.chain(endpoint.query.iter().map(in_query)).chain(in_head).collect();
    let mut operation = document!({
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": responses(endpoint),
    });
    if let Some(body) = &endpoint.body {
        let json = |name| document!({ "application/json": { "schema": schemas::of(name) } });
        let (content, required) = match body {
            Body::Component => (
                document!({
                    "application/wasm": { "schema": {} },
                    "multipart/form-data": { "schema": schemas::of("ComponentForm") },
                }),
                true,
            ),
            Body::Of(name) => (json(name), true),
            Body::Perhaps(name) => (json(name), false),
        };
        operation["requestBody"] = document!({ "required": required, "content": content });
    }
    if is_open(endpoint) {
        operation["security"] = document!([]);
    }
    operation
}

fn is_open(endpoint: &Endpoint) -> bool {
    matches!(endpoint.path, "/healthz" | "/readyz")
}

fn has_preconditions(endpoint: &Endpoint) -> bool {
    endpoint.problems.contains(&412)
}

fn in_head((name, says): &(&str, &str)) -> Json {
    document!({ "name": name, "in": "header", "description": says, "schema": { "type": "string" } })
}

fn in_query(parameter: &Parameter) -> Json {
    let schema = match parameter.kind {
        Kind::Text => document!({ "type": "string" }),
        Kind::Flag => document!({ "type": "boolean", "default": false }),
        Kind::Whole(least, None) => document!({ "type": "integer", "minimum": least }),
        Kind::Whole(least, Some(most)) => document!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::OneOf(words) => document!({ "enum": words }),
    };
    document!({ "name": parameter.name, "in": "query", "description": parameter.says, "schema": schema })
}

fn responses(endpoint: &Endpoint) -> Json {
    let of =
        |schema: Json| document!({ "description": "Done", "content": { "application/json": { "schema": schema } } });
    let done = match endpoint.answer {
        Answer::Of(name) => of(schemas::of(name)),
        Answer::Page(name) => of(schemas::page(name)),
        Answer::Any => of(document!({})),
        Answer::Text => {
            document!({ "description": "Done", "content": { "text/plain": { "schema": { "type": "string" } } } })
        }
        Answer::Nothing => document!({ "description": "Done" }),
    };
    let status = if matches!(endpoint.answer, Answer::Nothing) { "204" } else { "200" };
    let problem = document!({ "$ref": "#/components/responses/Problem" });
    let common: &[u16] = if is_open(endpoint) { &OPEN } else { &GUARDED };
    let of_bodies = if endpoint.body.is_some() { &[413, 503][..] } else { &[] };
    let problems = common.iter().chain(endpoint.problems).chain(of_bodies);
    let mut responses: Map<String, Json> = problems.map(|status| (status.to_string(), problem.clone())).collect();
    responses.insert(status.to_owned(), done);
    if has_preconditions(endpoint) && endpoint.method == "get" {
        let says = "Nobody has changed it since; its figures may be others";
        responses.insert("304".to_owned(), document!({ "description": says }));
    }
    responses.insert("default".to_owned(), problem);
    responses.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_described_once() {
        let paths = description()["paths"].clone();
        let described: usize =
            paths.as_object().unwrap().values().map(|methods| methods.as_object().unwrap().len()).sum();
        assert_eq!(described, ENDPOINTS.len());
        let parameters = &paths["/api/v1/clients/{id}"]["delete"]["parameters"];
        assert_eq!(parameters[0]["name"], "id");
    }

    #[test]
    fn every_route_is_described() {
        let routes = include_str!("routes.rs");
        let routed = routes.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")?.split('"').next());
        for path in routed {
            let path = path.replace("{*", "{");
            assert!(ENDPOINTS.iter().any(|described| described.path == path), "{path} is not described");
        }
    }

    /// RFC 9110, 13.1
    #[test]
    fn headers_that_decide_whether_something_is_done_are_described() {
        let paths = description()["paths"].clone();
        let named = |path: &str, method: &str| {
            let parameters = paths[path][method]["parameters"].as_array().unwrap().iter();
            parameters.filter(|parameter| parameter["in"] == "header").map(|it| it["name"].clone()).collect::<Vec<_>>()
        };
        for (path, method) in
            [("", "get"), ("", "put"), ("", "delete"), ("/config", "put"), ("/rollback", "post"), ("/canary", "post")]
        {
            assert_eq!(
                named(&format!("/api/v1/modules/{{name}}{path}"), method),
                ["If-Match", "If-None-Match"],
                "{path}"
            );
        }
        assert!(named("/api/v1/modules/{name}/config", "get").is_empty());
        assert!(named("/api/v1/publish", "post").is_empty());
        assert!(paths["/api/v1/modules/{name}"]["get"]["responses"]["304"].is_object());
    }

    #[test]
    fn every_schema_that_is_named_is_there() {
        let description = description();
        let text = description.to_string();
        for name in text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(description["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}
