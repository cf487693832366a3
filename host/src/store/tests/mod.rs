//! The store as others see it. This page: what the rows are made of.

mod commits;
pub(crate) mod dice;
mod errors;
mod failures;
mod files;
mod paging;
mod power;
pub(crate) mod reserve;
mod restart;
pub(crate) mod simulated_disk;

use super::*;
use crate::client::{Client, Departure, Protocol, Scope};
use crate::dialogue::{SubscribeOptions, Subscription};
use crate::message::{Envelope, Guarantee, Message, Properties, Will};
use crate::topic::{self, Filter, Topic};
use simulated_disk::Disk;
use std::fmt::Write;

const PATIENCE: Duration = Duration::from_secs(60);

fn limits() -> Limits {
    Limits { cache_bytes: 1 << 20, retry_interval: Duration::from_millis(1), ..Limits::default() }
}

fn open_at(disk: &Disk, now: Time) -> (Store, Loaded) {
    let disk = disk.clone();
    let metrics = Arc::<Metrics>::default();
    Store::with_backend(move || Ok(disk.clone()), &limits(), Durability::Commit, metrics, now).unwrap()
}

fn open(disk: &Disk) -> (Store, Loaded) {
    open_at(disk, Time(1_000))
}

/// Makes of a store what an earlier version of this program would have: fewer tables.
fn make_version(store: redb::Database, version: u32) {
    let mut transaction = store.begin_write().unwrap();
    transaction.set_two_phase_commit(true);
    let since = if version == 1 { tables::Table::Failures } else { tables::Table::Conditions };
    for table in tables::Table::ALL.into_iter().skip(since as usize) {
        transaction.delete_table(table.definition()).unwrap();
    }
    let mut row = Vec::new();
    row::seal(tables::Table::Meta, tables::FORMAT_KEY, &version, &mut row);
    let meta = tables::Table::Meta.definition();
    transaction.open_table(meta).unwrap().insert(tables::FORMAT_KEY, row.as_slice()).unwrap();
    transaction.commit().unwrap();
}

/// What a restart finds after these changes.
fn reload(disk: &Disk, changes: impl IntoIterator<Item = Change>) -> Loaded {
    let (store, _) = open(disk);
    store.submit(changes);
    assert!(store.close());
    open(disk).1
}

fn message(topic: &str, payload: &str) -> Message {
    let topic = Topic::new(topic, &topic::Limits::default()).unwrap();
    let envelope =
        Envelope { topic, guarantee: Guarantee::AtLeastOnce, retain: false, expires: None, properties: None, hops: 0 };
    Message::new(envelope, 0, payload.as_bytes())
}

fn rich_message() -> Message {
    let properties = Properties {
        content_type: Some("text/plain".into()),
        payload_is_text: Some(false),
        response_topic: Some("answers".into()),
        correlation_data: Some(Box::from([0, 255])),
        user: vec![("a".into(), "1".into()), ("a".into(), "".into())],
    };
    let envelope = Envelope {
        topic: Topic::new("ß/温度", &topic::Limits::default()).unwrap(),
        guarantee: Guarantee::ExactlyOnce,
        retain: true,
        expires: Some(Time(u64::MAX)),
        properties: Some(Box::new(properties)),
        hops: 3,
    };
    Message::new(envelope, 77, &[0, 1, 2])
}

fn client(id: &str) -> Arc<Client> {
    let scope = Scope { listener: "mqtt".into(), protocol: Protocol::Mqtt, identity: Some("alice".into()) }.into();
    Arc::new(Client { id: id.into(), container: None, scope, peer: "127.0.0.1:1".into() })
}

fn mailbox(id: MailboxId) -> Change {
    let record = MailboxRecord {
        client: client("c"),
        expiry_seconds: u32::MAX,
        detached: Some(Time(5)),
        per_subscription: true,
        knows_options: false,
        sent_to: 6,
    };
    Change::Mailbox(id, Box::new(record))
}

fn entry(number: u64, log_id: u64) -> QueueEntry {
    QueueEntry {
        number,
        log_id,
        guarantee: Guarantee::AtLeastOnce,
        retain: false,
        name: None,
        identifiers: [].into_iter().collect(),
    }
}

fn queued(mailbox: MailboxId, number: u64, log_id: u64) -> Change {
    Change::Queued(mailbox, entry(number, log_id))
}

fn subscription(filter: &str, share: Option<&str>) -> Box<Subscription> {
    Box::new(Subscription {
        filter: Filter::new(filter, &topic::Limits::default()).unwrap(),
        name: None,
        share: share.map(Box::from),
        options: SubscribeOptions { guarantee: Guarantee::AtLeastOnce, ..SubscribeOptions::default() },
        binder: None,
    })
}

fn condition(mailbox: MailboxId, words: &str) -> Change {
    Change::Condition(mailbox, words.as_bytes().into())
}

fn version(name: &str, version: u64, digest: &str) -> Change {
    Change::ModuleVersion(Box::new(ModuleVersion {
        name: name.into(),
        version,
        digest: digest.into(),
        component: digest.as_bytes().into(),
        config: "{}".into(),
        installed: Time(9),
        signature: (version > 1).then(|| "signed".into()),
        standing: (version != 2).then(|| (-7, "bypass".into())),
    }))
}

fn module(name: &str, active: Option<u64>) -> Change {
    Change::Module(Box::new(ModuleRecord {
        name: name.into(),
        active,
        resting: None,
        order: -5,
        on_failure: "bypass".into(),
        configured: Configured::On,
        former: Some(vec![0, 300]),
        canary: Some((4, 50)),
        quarantined: vec![Quarantined { version: 300, made_of: u64::MAX, why: "five times".into() }],
    }))
}

fn will(due: Option<(Time, Departure)>) -> Box<WillRecord> {
    Box::new(WillRecord {
        owner: client("w"),
        will: Will { message: message("w", "gone"), delay_seconds: 30 },
        registered: Time(3),
        due,
    })
}

fn state(key: &str, value: &str, expires: Option<Time>) -> Change {
    Change::State("m".into(), key.into(), value.as_bytes().into(), expires)
}

/// All that was loaded, for people and for comparison.
fn picture(loaded: &Loaded) -> String {
    let payload = |message: &Message| String::from_utf8_lossy(message.payload()).into_owned();
    let mut out = String::new();
    for mailbox in &loaded.mailboxes {
        writeln!(out, "mailbox {} of {}", mailbox.id, mailbox.record.client.id).unwrap();
        for filter in &mailbox.filters {
            writeln!(out, "  filter {} share {:?}", filter.filter, filter.share).unwrap();
        }
        if let Some(words) = &mailbox.condition {
            writeln!(out, "  condition {}", String::from_utf8_lossy(words)).unwrap();
        }
        for entry in &mailbox.queue {
            let (topic, payload) = (entry.message.topic(), payload(&entry.message));
            let (number, handle, received) = (entry.entry.number, entry.handle, entry.received);
            assert_eq!(entry.message.log_id(), entry.entry.log_id);
            writeln!(out, "  {number} {topic}={payload} handle {handle:?} received {received}").unwrap();
        }
        writeln!(out, "  seen {:?}", mailbox.seen).unwrap();
    }
    for (message, at) in &loaded.retained {
        writeln!(out, "retained {}={} at {}", message.topic(), payload(message), at.0).unwrap();
    }
    for (id, will) in &loaded.wills {
        writeln!(
            out,
            "will {id} of {} {}={} due {:?}",
            will.owner.id,
            will.will.message.topic(),
            payload(&will.will.message),
            will.due
        )
        .unwrap();
    }
    for version in &loaded.module_versions {
        let component = String::from_utf8_lossy(&version.component);
        writeln!(out, "version {} {} {} {component}", version.name, version.version, version.digest).unwrap();
    }
    for module in &loaded.modules {
        writeln!(out, "module {} {:?} {} {}", module.name, module.active, module.order, module.on_failure).unwrap();
    }
    for state in &loaded.state {
        let value = String::from_utf8_lossy(&state.value);
        writeln!(out, "state {} {}={value} until {:?}", state.module, state.key, state.expires).unwrap();
    }
    out
}
