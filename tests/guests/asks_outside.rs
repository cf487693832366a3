//! Asks a server outside: who may come in (200 and a name, or why not), what to publish each tick, and what it may not ask
//! while a message is routed.

use pliant_guest::http::{self, HttpError};
use pliant_guest::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asks {
    /// Where the server is, up to the path.
    url: String,
    #[serde(default)]
    tick_milliseconds: Option<u32>,
    /// Requests of one `authenticate`.
    #[serde(default = "one")]
    times: u32,
}

fn one() -> u32 {
    1
}

impl Module for Asks {
    type Config = Self;

    fn new(config: Self) -> Result<Self, Refusal> {
        Ok(config)
    }

    fn manifest(&self) -> Manifest {
        Manifest { tick_milliseconds: self.tick_milliseconds, ..Manifest::default() }
    }
}

impl Access for Asks {
    fn authenticate(&self, credentials: &Credentials) -> Option<Result<String, Refusal>> {
        let user = credentials.username.clone()?;
        let refused = |reason: String| Some(Err(Refusal { kind: RefusalKind::NotAuthorized, reason }));
        let body = credentials.password.clone().unwrap_or_default();
        for _ in 1..self.times {
            let _ = http::get(&format!("{}/before", self.url));
        }
        match http::post(&format!("{}/login?user={user}", self.url), "text/plain", body) {
            Ok(answer) if answer.status == 200 => Some(Ok(answer.text().unwrap_or_default().to_owned())),
            Ok(answer) => refused(format!("the server said {}", answer.status)),
            Err(error) => {
                log::warn(format!("no answer: {error:?}"));
                match user.as_str() {
                    "trap" => panic!("as it does"),
                    "loop" => loop {
                        core::hint::black_box(());
                    },
                    _ => refused(error.to_string()),
                }
            }
        }
    }

    fn authorize(&self, _: &Client, _: Action, topic: &str) -> Option<bool> {
        // Would be a yes if it got an answer.
        topic.starts_with("asks/").then(|| http::get(&self.url).is_ok())
    }
}

impl Routing for Asks {
    fn on_publish(&self, _: &Client, envelope: Envelope, _: &Payload) -> Decision {
        if !envelope.topic.starts_with("route/") {
            return Decision::keep();
        }
        let said = match http::get(&self.url) {
            Ok(answer) => answer.status.to_string(),
            Err(HttpError::Denied) => "denied".to_owned(),
            Err(error) => error.to_string(),
        };
        Decision::readdress(envelope.property("said", said))
    }
}

impl Timers for Asks {
    fn on_tick(&self, _: u64) -> Vec<Message> {
        let said = match http::get(&format!("{}/tick", self.url)) {
            Ok(answer) => String::from_utf8_lossy(&answer.body).into_owned(),
            Err(error) => format!("error: {error}"),
        };
        vec![Message::new("outside/tick", said)]
    }
}

pliant_guest::export!(Asks with access, routing, timers);
