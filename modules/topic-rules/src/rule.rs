//! Rewriting rules: names to topics, filters to filters, and topics back to names.

use pliant_guest::prelude::*;

use crate::conditions::Conditions;
use crate::pattern::Pattern;

/// A rule as the operator writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    from: String,
    to: String,
    listener: Option<String>,
    protocol: Option<String>,
    user: Option<String>,
}

/// A rule, checked.
#[derive(Debug)]
pub struct Rule {
    /// Counted from 1, as operators do.
    number: usize,
    from: Pattern,
    to: Pattern,
    when: Conditions,
}

/// Checks all rules.
///
/// # Errors
/// Names the rule and its field.
pub fn check(list: Vec<RuleConfig>) -> Result<Vec<Rule>, Refusal> {
    let mut rules: Vec<Rule> = Vec::new();
    for (index, rule) in list.into_iter().enumerate() {
        let wrong = |field: &str, why: String| config::entry("rules", index, field, why);
        let from = Pattern::parse(&rule.from).map_err(|why| wrong("from", why))?;
        let to = Pattern::parse(&rule.to).map_err(|why| wrong("to", why))?;
        if let Some(name) = from.name_not_in(&to) {
            let why = format!("`{name}` of `from` is missing, so there would be no way back from topic to name");
            return Err(wrong("to", why));
        }
        if let Some(name) = to.name_not_in(&from) {
            return Err(wrong("to", format!("`{name}` does not stand in `from`")));
        }
        let when = Conditions::new(rule.listener, rule.protocol, rule.user).map_err(|why| wrong("protocol", why))?;
        if let Some(other) = rules.iter().find(|r| r.when.meet(&when) && r.to.filter().overlaps(to.filter())) {
            let why = format!("it may lead to the same topic as entry {}, which would have two names", other.number);
            return Err(wrong("to", why));
        }
        rules.push(Rule { number: index + 1, from, to, when });
    }
    Ok(rules)
}

/// The rules that are meant for a client.
fn meant<'r>(rules: &'r [Rule], scope: &'r Scope) -> impl Iterator<Item = &'r Rule> {
    rules.iter().filter(|rule| rule.when.hold(scope))
}

/// The topic of a name.
pub fn map_name(rules: &[Rule], scope: &Scope, name: &str) -> String {
    let levels: Vec<&str> = name.split('/').collect();
    meant(rules, scope)
        .find_map(|rule| rule.from.bind(&levels).map(|bound| rule.to.fill(&bound)))
        .unwrap_or_else(|| name.into())
}

/// The name of a topic, where a rule leads to it.
pub fn name_of(rules: &[Rule], scope: &Scope, topic: &str) -> Option<String> {
    let levels: Vec<&str> = topic.split('/').collect();
    meant(rules, scope)
        .filter_map(|rule| rule.to.bind(&levels).map(|bound| rule.from.fill(&bound)))
        // An earlier rule may take this name elsewhere.
        .find(|name| map_name(rules, scope, name) == topic)
}

/// The filter over topics for one over names.
///
/// # Errors
/// Where no single filter does it.
pub fn map_filter(rules: &[Rule], scope: &Scope, filter: &Filter) -> Result<String, Refusal> {
    let mut within: Option<&Rule> = None;
    let levels: Vec<&str> = filter.levels().collect();
    for rule in meant(rules, scope).filter(|rule| filter.overlaps(rule.from.filter())) {
        if let Some(bound) = rule.from.bind(&levels) {
            let other = within.or_else(|| of_bare_name(rules, scope, filter, rule));
            return match other {
                Some(other) => Err(two_ways(filter, other, &format!("rule {}", rule.number))),
                None => Ok(rule.to.fill(&bound)),
            };
        }
        if !(filter.covers(rule.from.filter()) && filter.covers(rule.to.filter())) {
            return Err(two_ways(filter, rule, "no rule or another one"));
        }
        within = Some(rule);
    }
    Ok(filter.as_str().into())
}

/// The rule, if any, for the bare name before the `#` of a filter that is not of `rule`.
fn of_bare_name<'r>(rules: &'r [Rule], scope: &'r Scope, filter: &Filter, rule: &Rule) -> Option<&'r Rule> {
    let bare = filter.as_str().strip_suffix("/#")?;
    let bare = Filter::parse(bare).ok()?;
    if rule.from.bind(&bare.levels().collect::<Vec<_>>()).is_some() {
        return None;
    }
    meant(rules, scope).find(|other| other.number != rule.number && other.from.filter().overlaps(&bare))
}

fn two_ways(filter: &Filter, rule: &Rule, other: &str) -> Refusal {
    Refusal::topic_invalid(format!(
        "`{}` matches names of rule {} (`{}`) and names of {other}; subscribe to them one by one",
        filter.as_str(),
        rule.number,
        rule.from.as_str(),
    ))
}

/// May this client's rules make a topic that begins with `$` out of this name?
pub fn may_begin_with_dollar(rules: &[Rule], scope: &Scope, name: &str) -> bool {
    let levels: Vec<&str> = name.split('/').collect();
    name.starts_with('$')
        || meant(rules, scope).any(|rule| rule.to.begins_with_dollar() && rule.from.bind(&levels).is_some())
}
