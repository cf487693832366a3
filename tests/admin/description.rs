//! What the API says of itself, held against what it does.

use crate::harness::*;
use serde_json::{Value as Json, json};

struct Description(Json);

impl Description {
    /// The answer of this status to a request, which has to be described, and to be what is described.
    fn holds(&self, method: &str, path: &str, answer: &Answer) {
        let operation = &self.0["paths"][path][method];
        let described = &operation["responses"][answer.status.to_string()];
        assert!(described.is_object(), "{method} {path} may not answer {}: {}", answer.status, answer.text());
        let described = self.resolved(described);
        if answer.status == 204 {
            return assert!(answer.body.is_empty() && described["content"].is_null(), "{method} {path}");
        }
        let kinds = described["content"].as_object().expect("media types");
        let kind = kinds.keys().find(|kind| answer.head.contains(&format!("content-type: {kind}")));
        let kind = kind.unwrap_or_else(|| panic!("{method} {path}: {kinds:?}\n{}", answer.head));
        if kind.ends_with("json")
            && let Err(why) = self.fits(&kinds[kind]["schema"], &answer.json(), "")
        {
            panic!("{method} {path}: {why}\n{}", answer.text());
        }
    }

    fn resolved<'a>(&'a self, schema: &'a Json) -> &'a Json {
        match schema["$ref"].as_str() {
            Some(place) => self.0.pointer(place.trim_start_matches('#')).unwrap_or_else(|| panic!("no {place}")),
            None => schema,
        }
    }

    /// Stricter than the schema: what it does not name must not be there.
    fn fits(&self, schema: &Json, value: &Json, at: &str) -> Result<(), String> {
        let schema = self.resolved(schema);
        if let Some(kinds) = schema["oneOf"].as_array() {
            let fitting = kinds.iter().filter(|kind| self.fits(kind, value, at).is_ok()).count();
            return if fitting == 1 { Ok(()) } else { Err(format!("{at}: {value} is {fitting} of {schema}")) };
        }
        if let Some(words) = schema["enum"].as_array() {
            return if words.contains(value) { Ok(()) } else { Err(format!("{at}: {value} is none of {schema}")) };
        }
        let named: Vec<&str> = match &schema["type"] {
            Json::String(one) => vec![one],
            Json::Array(some) => some.iter().filter_map(Json::as_str).collect(),
            _ => return Ok(()),
        };
        let kind = match value {
            Json::Null => "null",
            Json::Bool(_) => "boolean",
            Json::Number(number) if number.is_f64() => "number",
            Json::Number(_) => "integer",
            Json::String(_) => "string",
            Json::Array(_) => "array",
            Json::Object(_) => "object",
        };
        if !named.contains(&kind) {
            return Err(format!("{at}: {value} is no {named:?}"));
        }
        for item in value.as_array().filter(|_| !schema["items"].is_null()).into_iter().flatten() {
            self.fits(&schema["items"], item, &format!("{at}[]"))?;
        }
        let (Some(value), Some(properties)) = (value.as_object(), schema["properties"].as_object()) else {
            return Ok(());
        };
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            value.get(name).ok_or_else(|| format!("{at}: {name} is missing"))?;
        }
        for (name, value) in value {
            let schema = properties.get(name).ok_or_else(|| format!("{at}: {name} is not described"))?;
            self.fits(schema, value, &format!("{at}.{name}"))?;
        }
        Ok(())
    }

    /// Schema of a parameter of a query.
    fn parameter(&self, method: &str, path: &str, name: &str) -> &Json {
        let parameters = self.0["paths"][path][method]["parameters"].as_array().expect("parameters");
        let found = parameters.iter().find(|parameter| parameter["name"] == name && parameter["in"] == "query");
        &found.unwrap_or_else(|| panic!("{method} {path} ?{name}="))["schema"]
    }
}

fn description(admin: &Admin) -> Description {
    Description(admin.get("/api/v1/openapi.json").expect(200).json())
}

#[test]
fn answers_are_what_the_description_says() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let described = description(&admin);
    let mut client = connect(V5).at(broker.address()).id("c").open();
    client.subscribe("$share/g/shared/#", 1);
    client.subscribe("plain/+", 1);
    client.publish(&Publish::new("kept", "x", 1).retained());
    client.publish(&Publish::new("bytes", vec![255, 0], 1).retained());
    let component = guests::component("echoes-version");
    let config = "config=%7B%22version%22%3A%221%22%7D";
    for path in [format!("/api/v1/modules/m?{config}"), format!("/api/v1/modules/m?{config}&canary=10")] {
        described.holds("put", "/api/v1/modules/{name}", &admin.deploy(&path, &component).expect(200));
    }
    let modules = "/api/v1/modules";
    let (none, empty) = (Json::Null, json!({}));
    for (method, described_as, path, body, status) in [
        ("get", "/healthz", "", &none, 200),
        ("get", "/metrics", "", &none, 200),
        ("get", modules, "", &none, 200),
        ("get", modules, "?limit=many", &none, 400),
        ("get", modules, "?limit=0", &none, 200),
        ("get", "/api/v1/modules/{name}", "/api/v1/modules/m", &none, 200),
        ("get", "/api/v1/modules/{name}", "/api/v1/modules/none", &none, 404),
        ("put", "/api/v1/modules/{name}", "/api/v1/modules/m", &json!("no component"), 422),
        ("put", "/api/v1/modules/{name}", "/api/v1/modules/m?canary=x", &empty, 400),
        ("get", "/api/v1/modules/{name}/versions", "/api/v1/modules/m/versions", &none, 200),
        ("get", "/api/v1/modules/{name}/config", "/api/v1/modules/m/config", &none, 200),
        ("put", "/api/v1/modules/{name}/config", "/api/v1/modules/m/config", &json!({ "version": "2" }), 200),
        ("put", "/api/v1/modules/{name}/config", "/api/v1/modules/m/config", &empty, 422),
        ("post", "/api/v1/modules/{name}/rollback", "/api/v1/modules/m/rollback", &json!({ "to": 1 }), 200),
        ("post", "/api/v1/modules/{name}/rollback", "/api/v1/modules/m/rollback", &json!({ "to": 99 }), 404),
        ("post", "/api/v1/modules/{name}/rollback", "/api/v1/modules/m/rollback?from=7", &none, 409),
        ("post", "/api/v1/modules/{name}/canary", "/api/v1/modules/m/canary?percent=7", &none, 422),
        ("post", "/api/v1/modules/{name}/confirm", "/api/v1/modules/m/confirm", &none, 422),
        ("post", "/api/v1/modules/{name}/disable", "/api/v1/modules/m/disable", &none, 200),
        ("post", "/api/v1/modules/{name}/enable", "/api/v1/modules/m/enable", &none, 200),
        ("get", "/api/v1/modules/{name}/logs", "/api/v1/modules/m/logs", &none, 200),
        ("post", "/api/v1/explain", "", &json!({ "topic": "plain/x", "retain": true }), 200),
        ("post", "/api/v1/explain", "", &json!({ "event": "timer" }), 200),
        ("post", "/api/v1/explain", "", &json!({ "topic": "a/#" }), 422),
        ("post", "/api/v1/record", "/api/v1/record?count=1&seconds=1", &none, 200),
        ("post", "/api/v1/record", "/api/v1/record?count=0", &none, 400),
        ("post", "/api/v1/publish", "", &json!({ "topic": "kept2", "payload": "x", "retain": true }), 200),
        ("post", "/api/v1/publish", "", &json!({ "topic": "a/#" }), 422),
        ("get", "/api/v1/bridges", "?limit=2", &none, 200),
        ("get", "/api/v1/clients", "", &none, 200),
        ("get", "/api/v1/clients/{id}", "/api/v1/clients/c", &none, 200),
        ("get", "/api/v1/clients/{id}", "/api/v1/clients/none", &none, 404),
        ("get", "/api/v1/queues", "", &none, 200),
        ("get", "/api/v1/subscriptions", "", &none, 200),
        ("get", "/api/v1/retained", "", &none, 200),
        ("get", "/api/v1/retained/{topic}", "/api/v1/retained/bytes", &none, 200),
        ("delete", "/api/v1/retained/{topic}", "/api/v1/retained/bytes", &none, 204),
        ("delete", "/api/v1/retained/{topic}", "/api/v1/retained/bytes", &none, 404),
        ("get", "/api/v1/drain", "", &none, 404),
        ("put", "/api/v1/drain", "", &json!({ "server": "other.example" }), 204),
        ("get", "/api/v1/drain", "", &none, 200),
        ("delete", "/api/v1/drain", "", &none, 204),
        ("delete", "/api/v1/clients/{id}", "/api/v1/clients/c", &none, 204),
        ("post", "/api/v1/reload", "", &none, 200),
        ("delete", "/api/v1/modules/{name}", "/api/v1/modules/m", &none, 200),
    ] {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("{described_as}{path}") };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = admin.send(&method.to_uppercase(), &path, &[], body.as_bytes()).expect(status);
        described.holds(method, described_as, &answer);
        if method != "get" && status == 200 && !body.is_empty() {
            let schema =
                &described.0["paths"][described_as][method]["requestBody"]["content"]["application/json"]["schema"];
            let sent = described.fits(schema, &serde_json::from_str(&body).unwrap(), "");
            assert_eq!(sent, Ok(()), "{method} {path}");
        }
    }
    let stranger = Admin { token: "wrong".to_owned(), ..admin };
    described.holds("get", modules, &stranger.get(modules).expect(401));
}

#[test]
fn parameters_are_described_with_what_they_may_be() {
    let Some(admin) = admin() else { return };
    let described = description(&admin);
    let module = "/api/v1/modules/{name}";
    for (method, path, name, expected) in [
        ("put", module, "canary", json!({ "type": "integer", "minimum": 1, "maximum": 100 })),
        ("put", module, "order", json!({ "type": "integer", "minimum": -1_000_000, "maximum": 1_000_000 })),
        ("put", module, "signature", json!({ "type": "string" })),
        ("put", module, "on_failure", json!({ "enum": ["refuse", "bypass", "discard"] })),
        ("get", "/api/v1/clients", "limit", json!({ "type": "integer", "minimum": 0 })),
        ("get", "/api/v1/modules/{name}/versions", "after", json!({ "type": "integer", "minimum": 0 })),
        ("post", "/api/v1/modules/{name}/rollback", "to", json!({ "type": "integer", "minimum": 0 })),
        ("post", "/api/v1/record", "seconds", json!({ "type": "integer", "minimum": 1, "maximum": 60 })),
        ("delete", "/api/v1/clients/{id}", "permanent", json!({ "type": "boolean", "default": false })),
    ] {
        assert_eq!(*described.parameter(method, path, name), expected, "{method} {path} ?{name}=");
    }
    let body = |path: &str, method: &str| described.0["paths"][path][method]["requestBody"].clone();
    assert_eq!(body("/api/v1/modules/{name}/rollback", "post")["required"], false);
    let drain = &body("/api/v1/drain", "put")["content"]["application/json"]["schema"];
    assert_eq!(described.resolved(drain)["properties"]["clients_per_second"]["type"], "integer");
    // A page is at most as long as `admin.page_max` says, whoever asks for more.
    for limit in [0, 99_999] {
        admin.get(&format!("/api/v1/modules?limit={limit}")).expect(200);
    }
}
