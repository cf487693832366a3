//! Rules: whom they are about, what they are about, and what several of them come to.

use alloc::collections::BTreeMap;
use pliant_guest::access::Action;
use pliant_guest::prelude::*;

use crate::pattern::Pattern;

/// A rule as the operator writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    allow: Option<Vec<Deed>>,
    deny: Option<Vec<Deed>>,
    topics: Vec<String>,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    clients: Vec<String>,
    #[serde(default)]
    anonymous: bool,
    listener: Option<String>,
    protocol: Option<String>,
}

/// What can be allowed or denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Deed {
    Publish,
    Subscribe,
    Receive,
}

/// A rule, checked.
#[derive(Debug)]
pub struct Rule {
    denies: bool,
    deeds: Vec<Deed>,
    topics: Vec<Pattern>,
    /// It names somebody.
    names: bool,
    /// Everybody who has a user name.
    any_user: bool,
    users: Vec<String>,
    clients: Vec<String>,
    anonymous: bool,
    listener: Option<String>,
    protocol: Option<Protocol>,
}

/// What the rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A rule denies it.
    Denied,
    /// A rule allows it, and none denies it.
    Allowed,
    /// No rule is about it.
    Nothing,
}

/// Checks all rules.
///
/// # Errors
/// Names the rule and its field.
pub fn check(list: Vec<RuleConfig>, groups: &BTreeMap<String, Vec<String>>) -> Result<Vec<Rule>, Refusal> {
    let mut rules = Vec::new();
    for (index, rule) in list.into_iter().enumerate() {
        let wrong = |field: &str, why: String| config::entry("rules", index, field, why);
        let (denies, deeds) = match (rule.allow, rule.deny) {
            (Some(deeds), None) => (false, deeds),
            (None, Some(deeds)) => (true, deeds),
            _ => return Err(wrong("", "give either `allow` or `deny`".into())),
        };
        if deeds.is_empty() {
            let field = if denies { "deny" } else { "allow" };
            return Err(wrong(field, "it names nothing; give `publish`, `subscribe` or `receive`".into()));
        }
        if rule.topics.is_empty() {
            return Err(wrong("topics", "it names no topic; `#` is all of them".into()));
        }
        let topics: Result<Vec<Pattern>, String> = rule.topics.iter().map(|text| Pattern::parse(text)).collect();
        let topics = topics.map_err(|why| wrong("topics", why))?;
        let names = rule.anonymous || [&rule.users, &rule.groups, &rule.clients].iter().any(|list| !list.is_empty());
        let mut users = rule.users;
        for group in &rule.groups {
            let members = groups.get(group).ok_or_else(|| wrong("groups", format!("there is no group `{group}`")))?;
            users.extend(members.iter().cloned());
        }
        let protocol = rule.protocol.map(|name| protocol(&name)).transpose().map_err(|why| wrong("protocol", why))?;
        rules.push(Rule {
            denies,
            deeds,
            topics,
            names,
            any_user: users.iter().any(|user| user == "*"),
            users,
            clients: rule.clients,
            anonymous: rule.anonymous,
            listener: rule.listener,
            protocol,
        });
    }
    Ok(rules)
}

/// What all rules together say. Denying wins.
pub fn judge(rules: &[Rule], client: &Client, action: Action, topic: &str) -> Verdict {
    let mut verdict = Verdict::Nothing;
    // Once for all rules: what one costs is not to grow with what is asked about.
    let asked: Vec<&str> = topic.split('/').collect();
    for rule in rules.iter().filter(|rule| rule.is_about(client, action)) {
        // What is to be kept away is kept away wherever it is.
        let strict = !rule.denies;
        if rule.topics.iter().any(|pattern| pattern.covers(&asked, client, strict)) {
            if rule.denies {
                return Verdict::Denied;
            }
            verdict = Verdict::Allowed;
        }
    }
    verdict
}

impl Rule {
    fn is_about(&self, client: &Client, action: Action) -> bool {
        let deed = |deed: Deed| self.deeds.contains(&deed);
        let meant = match action {
            Action::Publish => deed(Deed::Publish),
            Action::Subscribe => deed(Deed::Subscribe),
            // Whoever may not subscribe to it does not get it either.
            Action::Receive => deed(Deed::Receive) || deed(Deed::Subscribe),
        };
        let own = matches!(client.protocol, Protocol::Http | Protocol::Module);
        let protocol = self.protocol.map_or(!own, |protocol| protocol == client.protocol);
        let listener = self.listener.as_ref().is_none_or(|listener| *listener == client.listener);
        meant && protocol && listener && self.names_client(client)
    }

    fn names_client(&self, client: &Client) -> bool {
        let named = match &client.identity {
            Some(name) => self.any_user || self.users.contains(name),
            None => self.anonymous,
        };
        !self.names || named || self.clients.contains(&client.id)
    }
}

fn protocol(name: &str) -> Result<Protocol, String> {
    match name {
        "mqtt" => Ok(Protocol::Mqtt),
        "amqp" => Ok(Protocol::Amqp),
        "http" => Ok(Protocol::Http),
        "module" => Ok(Protocol::Module),
        _ => Err(format!("`{name}` is none of `mqtt`, `amqp`, `http`, `module`")),
    }
}
