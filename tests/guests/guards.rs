//! Lets in whose password is its name backwards, and everybody write under `open/`; no opinion on those without a name,
//! and a trap on the topic `trap`, and for readers of `open/unread`.

use pliant_guest::prelude::*;

struct Guards;

impl Module for Guards {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self, Refusal> {
        Ok(Self)
    }
}

impl Access for Guards {
    fn authenticate(&self, credentials: &Credentials) -> Option<Result<String, Refusal>> {
        let name = credentials.username.clone()?;
        let backwards: String = name.chars().rev().collect();
        if credentials.password.as_deref() == Some(backwards.as_bytes()) {
            return Some(Ok(name));
        }
        Some(Err(Refusal { kind: RefusalKind::NotAuthorized, reason: "wrong password".into() }))
    }

    fn authorize(&self, _: &Client, action: Action, topic: &str) -> Option<bool> {
        assert_ne!(topic, "trap");
        assert!(topic != "open/unread" || !matches!(action, Action::Receive), "told to trap");
        match action {
            Action::Publish => Some(topic.starts_with("open/")),
            _ => None,
        }
    }
}

pliant_guest::export!(Guards with access);
