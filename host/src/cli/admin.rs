//! The command line as a caller of the admin API of a running broker.

use super::Failure;
use super::progress::Progress;
use crate::admin::Token;
use clap::Args;
use serde_json::Value as Json;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::time::Duration;

/// Where the admin API is when nothing else is said.
const URL_DEFAULT: &str = "http://127.0.0.1:9880";

/// Longest wait for a connection, and for an answer to all but changes of modules: how long these take is bounded by the
/// broker, which compiles components one after the other.
const WAIT: Duration = Duration::from_secs(120);

/// A body that is larger is sent when the broker asks for it: by then it has not refused it for its head.
const PROMPT_BODY_BYTES_MAX: usize = 64 << 10;

/// What is changed below this may take long.
const MODULES: &str = "/api/v1/modules/";

/// Greatest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Which broker, and the proof that one may.
#[derive(Debug, Clone, Args)]
pub(crate) struct AdminArgs {
    /// Address of the admin API; otherwise what the broker wrote into its data directory, or http://127.0.0.1:9880
    #[arg(long, value_name = "URL", global = true)]
    admin: Option<String>,
    /// The broker's data directory, where its admin token is
    #[arg(long, value_name = "DIR", env = "PLIANT__DATA_DIR", default_value = "data", global = true)]
    data_dir: PathBuf,
    /// File with the admin token, where it is not in the data directory
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
}

/// A body with its media type.
pub(crate) struct Body<'a> {
    pub kind: &'a str,
    pub bytes: &'a [u8],
}

/// The API of one broker.
pub(crate) struct Api {
    url: String,
    token: Token,
    agent: ureq::Agent,
}

impl AdminArgs {
    /// Finds the broker and its token. Nothing is sent yet.
    pub(crate) fn connect(&self) -> Result<Api, Failure> {
        let path = self.token_file.clone().unwrap_or_else(|| self.data_dir.join("admin.token"));
        let token = Token::load(&path).map_err(|error| {
            Failure::Failed(format!(
                "cannot read the admin token {}: {error}; name the broker's --data-dir, or a --token-file",
                path.display()
            ))
        })?;
        let written = std::fs::read_to_string(self.data_dir.join("admin.url")).ok();
        let url = self.admin.clone().or(written).unwrap_or_else(|| URL_DEFAULT.to_owned());
        let url = url.trim().trim_end_matches('/').to_owned();
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Failure::Usage(format!("--admin {url}: say http://{url}")));
        }
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_connect(Some(WAIT)).proxy(None);
        Ok(Api { url, token, agent: config.build().into() })
    }
}

impl Api {
    /// `GET` of a JSON document.
    pub(crate) fn get(&self, path: &str) -> Result<Json, Failure> {
        self.call("GET", path, None)
    }

    /// One call; the answer's document, null where it has none.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<Body<'_>>) -> Result<Json, Failure> {
        let answer = self.answer(method, path, body)?;
        Ok(serde_json::from_slice(&answer).unwrap_or(Json::Null))
    }

    /// `GET` of a text, as it is.
    pub(crate) fn text(&self, path: &str) -> Result<String, Failure> {
        Ok(String::from_utf8_lossy(&self.answer("GET", path, None)?).into_owned())
    }

    fn answer(&self, method: &str, path: &str, body: Option<Body<'_>>) -> Result<Vec<u8>, Failure> {
        let progress = Progress::start("waiting for the broker");
        let (status, answer) = self.send(method, path, body, |response| read(response.into_reader()))?;
        drop(progress);
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let document: Json = serde_json::from_slice(&answer).unwrap_or(Json::Null);
        let detail = document["detail"].as_str().unwrap_or("no reason was given");
        Err(Failure::Failed(match status {
            401 => format!(
                "the broker at {} does not take the token: {detail}; one that was replaced is read again on SIGHUP, or at a start",
                self.url
            ),
            _ => detail.to_owned(),
        }))
    }

    /// `GET` of server-sent events: calls `each` with type and data of each, until the broker ends the stream.
    pub(crate) fn events(&self, path: &str, each: impl FnMut(&str, &str) -> super::Outcome) -> super::Outcome {
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
        let agent: ureq::Agent = config.build().into();
        let request = agent
            .get(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {}", self.token.secret()))
            .header("accept", "text/event-stream");
        let response = request.call().map_err(|error| self.unreachable(&error))?;
        if response.status() != 200 {
            return self.get(path).map(|_| ());
        }
        let lines = std::io::BufRead::lines(std::io::BufReader::new(response.into_body().into_reader()));
        let ended = |error| Failure::Failed(format!("the broker ended the stream: {error}"));
        each_event(lines.map(|line| line.map_err(ended)), each)
    }

    fn send<T>(
        &self,
        method: &str,
        path: &str,
        body: Option<Body<'_>>,
        read: impl FnOnce(ureq::Body) -> Result<T, Failure>,
    ) -> Result<(u16, T), Failure> {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {}", self.token.secret()));
        let invalid = |error: ureq::http::Error| Failure::Usage(format!("--admin {}: {error}", self.url));
        let wait = (method == "GET" || !path.starts_with(MODULES)).then_some(WAIT);
        let sent = match body {
            Some(body) => {
                let mut request = request.header("content-type", body.kind);
                if body.bytes.len() > PROMPT_BODY_BYTES_MAX {
                    request = request.header("expect", "100-continue");
                }
                let request = request.body(body.bytes).map_err(invalid)?;
                self.agent.run(self.agent.configure_request(request).timeout_global(wait).build())
            }
            None => {
                let request = request.body(()).map_err(invalid)?;
                self.agent.run(self.agent.configure_request(request).timeout_global(wait).build())
            }
        };
        let response = sent.map_err(|error| self.without_answer(method, path, &error))?;
        let status = response.status().as_u16();
        Ok((status, read(response.into_body())?))
    }

    /// Where the request may have arrived, what has come of it is not known.
    fn without_answer(&self, method: &str, path: &str, error: &ureq::Error) -> Failure {
        if !may_have_arrived(error) {
            return self.unreachable(error);
        }
        let module = path.strip_prefix(MODULES).and_then(|rest| rest.split(['/', '?']).next());
        let unknown = match (method, module) {
            ("GET", _) => String::new(),
            (_, Some(module)) => {
                format!(
                    "; it is not known whether that was done, or is still being done: see pliant module show {module}"
                )
            }
            (_, None) => "; it is not known whether that was done".to_owned(),
        };
        Failure::Failed(format!("the broker's admin API at {} did not answer: {error}{unknown}", self.url))
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        Failure::Failed(format!(
            "cannot reach the broker's admin API at {}: {error}; if the broker runs, name its --data-dir, or where the API is with \
             --admin",
            self.url
        ))
    }
}

/// Reads events line by line. A type is said before the data, where it is not the usual one.
fn each_event(
    lines: impl Iterator<Item = Result<String, Failure>>,
    mut each: impl FnMut(&str, &str) -> super::Outcome,
) -> super::Outcome {
    let mut kind = String::new();
    for line in lines {
        let line = line?;
        match line.split_once(':') {
            Some(("event", named)) => kind = named.trim_start().to_owned(),
            Some(("data", data)) => each(&kind, data.trim_start())?,
            None if line.is_empty() => kind.clear(),
            _ => {}
        }
    }
    Ok(())
}

fn may_have_arrived(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::TimedOut
        ),
        ureq::Error::Timeout(at) => !matches!(at, ureq::Timeout::Resolve | ureq::Timeout::Connect),
        ureq::Error::Protocol(_) => true,
        _ => false,
    }
}

fn read(from: impl Read) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    from.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).map_err(Failure::failed)?;
    Ok(bytes)
}

/// A segment of a path, or a value of a query, with everything escaped that could mean something else there.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_with_their_types() {
        let text = ":\n\nid: 1\ndata: {}\n\nevent: missed\ndata: {\"lines\":2}\n\ndata:x\n\n";
        let mut read = Vec::new();
        let kept = |kind: &str, data: &str| {
            read.push(format!("{kind}|{data}"));
            Ok(())
        };
        each_event(text.lines().map(|line| Ok(line.to_owned())), kept).unwrap();
        assert_eq!(read, ["|{}", "missed|{\"lines\":2}", "|x"]);
    }

    #[test]
    fn names_are_escaped() {
        for (name, expected) in [("topic-rules", "topic-rules"), ("a/b?c=%", "a%2Fb%3Fc%3D%25"), ("ü", "%C3%BC")] {
            assert_eq!(escape(name), expected);
        }
    }
}
