//! Filters of a source (3.5.8): which messages of a node a receiving link wants. Compiled once; a test takes time that is
//! linear in the message, whatever the filter.
//!
//! | Filter | Descriptor | Passes |
//! |---|---|---|
//! | selector | `apache.org:selector-filter:string` | messages for which a condition in the language of JMS is true |
//! | no-local | `apache.org:no-local-filter:list` | what another connection sent; for the hall to do |
//! | direct binding | `apache.org:legacy-amqp-direct-binding:string` | messages of this subject |
//! | topic binding | `apache.org:legacy-amqp-topic-binding:string` | messages of which the subject fits, `*` one word, `#` any |
//! | properties | `amqp:properties-filter` | messages of which the properties are these |
//! | application properties | `amqp:application-properties-filter` | messages of which the application properties are these |
//!
//! What is not known here is not in force, which the answer to an attach shows (3.5.3).

mod binding;
mod expected;
mod like;
mod selector;
mod subject;

#[cfg(test)]
mod tests;

use super::condition::{AmqpError, Error, error};
use super::limits::Limits;
use super::sections::{Header, Sections};
use crate::dialogue::Predicate;
use crate::message::{Message, Weight};
use binding::Binding;
use expected::Expected;
use fe2o3_amqp_types::messaging::FilterSet;
use selector::Selector;
use serde_amqp::Value;
use serde_amqp::described::Described;
use serde_amqp::descriptor::Descriptor;
use serde_amqp::primitives::Symbol;
use std::sync::Arc;
use subject::Subject;

/// Filters that were understood.
#[derive(Debug, Default)]
pub struct Filters {
    /// Those that are in force, as they were asked for: no-local included.
    pub in_force: FilterSet,
    /// What this connection sends is not wanted.
    pub no_local: bool,
    tests: Vec<Test>,
    /// Of their words.
    bytes: usize,
}

const NO_LOCAL: &str = "apache.org:no-local-filter:list";

/// A word takes so many times its bytes when it is compiled, roughly.
const BYTES_A_BYTE: usize = 20;

#[derive(Debug)]
enum Test {
    Selector(Box<Selector>),
    Binding(Binding),
    Expected(Expected),
}

impl Filters {
    /// Compiles the filters of a source.
    ///
    /// # Errors
    /// `amqp:invalid-field`: a filter of a known kind makes no sense. What to refuse the link with.
    pub fn compile(set: &FilterSet, limits: &Limits) -> Result<Self, Box<Error>> {
        let mut filters = Self::default();
        for (name, filter) in set.iter() {
            let Value::Described(described) = filter else { continue };
            let Some(kind) = Kind::of(&described.descriptor) else { continue };
            let wrong =
                |why: &str| Box::new(error(AmqpError::InvalidField, format!("filter {}: {why}", name.as_str())));
            match kind {
                Kind::NoLocal => filters.no_local = true,
                Kind::Selector => {
                    let selector =
                        Selector::parse(text(&described.value).ok_or_else(|| wrong("not a string"))?, limits);
                    filters.tests.push(Test::Selector(Box::new(selector.map_err(|why| wrong(&why.to_string()))?)));
                }
                Kind::Direct | Kind::Topic => {
                    let pattern = text(&described.value).ok_or_else(|| wrong("not a string"))?;
                    let binding = Binding::new(pattern, kind == Kind::Topic, limits);
                    filters.tests.push(Test::Binding(binding.map_err(wrong)?));
                }
                Kind::Properties | Kind::ApplicationProperties => {
                    let expected = Expected::new(&described.value, kind == Kind::Properties);
                    filters.tests.push(Test::Expected(expected.map_err(wrong)?));
                }
            }
            filters.bytes += text(&described.value).map_or_else(|| size(&described.value), str::len);
            if filters.bytes > limits.selector_bytes_max {
                let most = limits.selector_bytes_max;
                return Err(wrong(&format!("all filters of a source may have {most} bytes together")));
            }
            filters.in_force.insert(name.clone(), filter.clone());
        }
        Ok(filters)
    }

    /// What a condition was asked for with.
    pub fn asked_for(predicate: &Predicate) -> Option<FilterSet> {
        serde_amqp::from_slice(&predicate.words).ok()
    }

    /// A condition that was kept in the words of [`Filters::predicate`].
    ///
    /// # Errors
    /// Why it makes none any more.
    pub fn kept(words: &[u8], limits: &Arc<Limits>) -> Result<Predicate, String> {
        let set: FilterSet = serde_amqp::from_slice(words).map_err(|why| why.to_string())?;
        let filters = Self::compile(&set, limits).map_err(|why| why.description.unwrap_or_default())?;
        let predicate = filters.predicate(limits.clone()).ok_or("no filter of it is known")?;
        Ok(Predicate { words: words.into(), ..predicate })
    }

    /// The set that asks for nothing but what others send.
    pub fn only_no_local() -> FilterSet {
        let descriptor = Descriptor::Name(Symbol::from(NO_LOCAL));
        let filter = Value::Described(Box::new(Described { descriptor, value: Value::List(Vec::new()) }));
        FilterSet::from_iter([(Symbol::from("no-local"), filter)])
    }

    /// Whether every message passes.
    pub fn are_none(&self) -> bool {
        self.tests.is_empty()
    }

    /// Whether all filters let a message pass. `header` is given apart, since a broker keeps it apart.
    pub fn pass(&self, header: &Header, message: &Sections<'_>) -> bool {
        let subject = Subject::new(header, message);
        self.tests.iter().all(|test| match test {
            Test::Selector(selector) => selector.is_true(&subject),
            Test::Binding(binding) => binding.fits(&subject),
            Test::Expected(expected) => expected.fits(&subject),
        })
    }

    /// As a condition that the hall can ask of a message in its bare form; none: all pass.
    pub fn predicate(self, limits: Arc<Limits>) -> Option<Predicate> {
        if self.are_none() {
            return None;
        }
        let words = serde_amqp::to_vec(&self.in_force).unwrap_or_default().into();
        let weight = Weight::new(self.bytes.saturating_mul(BYTES_A_BYTE));
        let test = move |message: &Message, failures: u32| {
            // It counts for as long as somebody may ask.
            let _ = &weight;
            let Ok(sections) = Sections::scan(message.payload(), &limits) else { return false };
            // A message is kept without its header; what matters of it stands beside it.
            let header = match message.as_bare() {
                Some(bare) => Header {
                    durable: bare.durable,
                    priority: bare.priority,
                    delivery_count: failures,
                    ..Header::default()
                },
                None => Header { delivery_count: failures, ..sections.header() },
            };
            self.pass(&header, &sections)
        };
        Some(Predicate { words, test: Arc::new(test) })
    }
}

/// Kinds of filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Selector,
    NoLocal,
    Direct,
    Topic,
    Properties,
    ApplicationProperties,
}

impl Kind {
    fn of(descriptor: &Descriptor) -> Option<Self> {
        match descriptor {
            Descriptor::Code(0x0000_468C_0000_0004) => Some(Self::Selector),
            Descriptor::Code(0x0000_468C_0000_0003) => Some(Self::NoLocal),
            Descriptor::Code(0x0000_468C_0000_0000) => Some(Self::Direct),
            Descriptor::Code(0x0000_468C_0000_0001) => Some(Self::Topic),
            Descriptor::Code(0x173) => Some(Self::Properties),
            Descriptor::Code(0x174) => Some(Self::ApplicationProperties),
            Descriptor::Code(_) => None,
            Descriptor::Name(name) => match name.as_str() {
                "apache.org:selector-filter:string" => Some(Self::Selector),
                NO_LOCAL => Some(Self::NoLocal),
                "apache.org:legacy-amqp-direct-binding:string" => Some(Self::Direct),
                "apache.org:legacy-amqp-topic-binding:string" => Some(Self::Topic),
                "amqp:properties-filter" => Some(Self::Properties),
                "amqp:application-properties-filter" => Some(Self::ApplicationProperties),
                _ => None,
            },
        }
    }
}

/// Bytes of what is no text.
fn size(value: &Value) -> usize {
    serde_amqp::to_vec(value).map_or(usize::MAX / 2, |bytes| bytes.len())
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Symbol(symbol) => Some(symbol.as_str()),
        _ => None,
    }
}
