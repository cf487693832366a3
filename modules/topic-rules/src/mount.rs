//! Mount points: a prefix that a client's topics have within the broker.

use pliant_guest::prelude::*;
use pliant_guest::template::Template;

use crate::conditions::Conditions;

/// A mount point as the operator writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountConfig {
    prefix: String,
    listener: Option<String>,
    protocol: Option<String>,
    user: Option<String>,
}

/// A mount point, checked.
#[derive(Debug)]
pub struct Mount {
    prefix: Template,
    when: Conditions,
}

/// Checks the list, and adds the one for everybody at its end.
pub fn check(list: Vec<MountConfig>, everybody: Option<String>) -> Result<Vec<Mount>, Refusal> {
    let mut mounts = Vec::new();
    for (index, mount) in list.into_iter().enumerate() {
        let prefix = prefix(&mount.prefix).map_err(|why| config::entry("mounts", index, "prefix", why))?;
        let when = Conditions::new(mount.listener, mount.protocol, mount.user)
            .map_err(|why| config::entry("mounts", index, "protocol", why))?;
        mounts.push(Mount { prefix, when });
    }
    if let Some(text) = everybody {
        let prefix = prefix(&text).map_err(|why| config::field("mount", why))?;
        mounts.push(Mount { prefix, when: Conditions::none() });
    }
    Ok(mounts)
}

fn prefix(text: &str) -> Result<Template, String> {
    if !text.ends_with('/') || text.starts_with('/') {
        return Err(format!("`{text}` must end with `/` and not begin with it, like `tenant/{{user}}/`"));
    }
    if text.contains(['+', '#', '\0']) {
        return Err(format!("`{text}` must not hold `+`, `#` or U+0000"));
    }
    Template::parse(text, &["user", "listener", "protocol"])
}

/// The mount point of a client.
pub fn of<'m>(mounts: &'m [Mount], scope: &Scope) -> Option<&'m Mount> {
    mounts.iter().find(|mount| mount.when.hold(scope))
}

impl Mount {
    /// The prefix for this client.
    ///
    /// # Errors
    /// Where the client has no user name, or one that would reach into other mount points.
    pub fn prefix(&self, scope: &Scope) -> Result<String, Refusal> {
        let prefix = self.prefix.fill(|place| match place {
            "user" => match &scope.identity {
                None => Err(Refusal::not_authorized("topics here belong to a user, and this client has no user name")),
                Some(user) => one_level("user name", user),
            },
            "listener" => one_level("listener name", &scope.listener),
            _ => Ok(scope.protocol.name().into()),
        })?;
        if prefix.starts_with('$') {
            return Err(Refusal::not_authorized("a mount point that begins with `$` is the broker's own"));
        }
        Ok(prefix)
    }

    /// What is left of a topic without the prefix; none if it lies outside.
    pub fn strip<'t>(&self, scope: &Scope, topic: &'t str) -> Option<&'t str> {
        topic.strip_prefix(self.prefix(scope).ok()?.as_str()).filter(|inner| !inner.is_empty())
    }
}

/// A name that is to stand within a level of a topic: no separator and no wildcard.
fn one_level(what: &str, name: &str) -> Result<String, Refusal> {
    if name.is_empty() || name.contains(['/', '+', '#', '\0']) {
        return Err(Refusal::not_authorized(format!("the {what} `{name}` cannot stand in a topic")));
    }
    Ok(name.into())
}
