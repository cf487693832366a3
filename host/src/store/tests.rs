//! The store as others see it: what comes back after a restart, when the disk has it, and what happens when it fails.

use super::simulated_disk::Disk;
use super::*;
use crate::client::{Client, Departure, Protocol, Scope};
use crate::dialogue::{RetainHandling, SubscribeOptions, Subscription};
use crate::message::{Envelope, Guarantee, Message, Properties, Will};
use crate::topic::{self, Filter, Topic};
use proptest::prelude::*;
use std::fmt::Write;
use std::sync::mpsc;

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
    let scope = Scope { listener: "mqtt".into(), protocol: Protocol::Mqtt, identity: Some("alice".into()) };
    Arc::new(Client { id: id.into(), scope, peer: "127.0.0.1:1".into() })
}

fn mailbox(id: MailboxId) -> Change {
    let record = MailboxRecord {
        client: client("c"),
        expiry_seconds: u32::MAX,
        detached: Some(Time(5)),
        per_subscription: true,
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
    })
}

fn version(name: &str, version: u64, digest: &str) -> Change {
    Change::ModuleVersion(Box::new(ModuleVersion {
        name: name.into(),
        version,
        digest: digest.into(),
        component: digest.as_bytes().into(),
        config: "{}".into(),
        installed: Time(9),
    }))
}

fn module(name: &str, active: Option<u64>) -> Change {
    Change::Module(Box::new(ModuleRecord { name: name.into(), active, order: -5, on_failure: "bypass".into() }))
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

/// What it is about, changes, and what is there after a restart.
type ChangeRow = (&'static str, Vec<Change>, &'static str);

fn mailbox_rows() -> Vec<ChangeRow> {
    let logged = |id, payload| Change::Logged(id, message("t", payload));
    vec![
        ("nothing", vec![], ""),
        ("mailbox", vec![mailbox(1)], "mailbox 1 of c\n  seen []\n"),
        (
            "mailbox gone with all that is its",
            vec![
                mailbox(1),
                mailbox(2),
                Change::Filter(1, subscription("a", None)),
                Change::Filter(2, subscription("a", None)),
                logged(1, "x"),
                queued(1, 1, 1),
                queued(2, 1, 1),
                Change::QueuedHandle(1, 1, 9),
                Change::QueuedReceived(1, 1),
                Change::Seen(1, 4),
                Change::Seen(2, 4),
                Change::Will(1, will(None)),
                Change::MailboxGone(1),
            ],
            "mailbox 2 of c\n  filter a share None\n  1 t=x handle None received false\n  seen [4]\n",
        ),
        (
            "filters by filter and share",
            vec![
                mailbox(1),
                Change::Filter(1, subscription("a/+", None)),
                Change::Filter(1, subscription("a/+", Some("g"))),
                Change::Filter(1, subscription("b", None)),
                Change::Filter(1, subscription("b", None)),
                Change::FilterGone(1, "a/+".into(), Some("g".into())),
                Change::FilterGone(1, "b".into(), Some("g".into())),
            ],
            "mailbox 1 of c\n  filter a/+ share None\n  filter b share None\n  seen []\n",
        ),
        (
            "queue in order, with what became of each entry",
            vec![
                mailbox(1),
                logged(7, "x"),
                logged(8, "y"),
                queued(1, 255, 7),
                queued(1, 256, 8),
                queued(1, 257, 7),
                Change::QueuedHandle(1, 256, 9),
                Change::QueuedReceived(1, 257),
            ],
            "mailbox 1 of c\n  255 t=x handle None received false\n  256 t=y handle Some(9) received false\n  \
             257 t=x handle None received true\n  seen []\n",
        ),
        (
            "settled entries are gone",
            vec![
                mailbox(1),
                logged(7, "x"),
                queued(1, 1, 7),
                queued(1, 2, 7),
                Change::QueuedReceived(1, 1),
                Change::QueuedHandle(1, 1, 2),
                Change::QueuedGone(1, 1),
            ],
            "mailbox 1 of c\n  2 t=x handle None received false\n  seen []\n",
        ),
        (
            "seen and released",
            vec![
                mailbox(1),
                Change::Seen(1, 1),
                Change::Seen(1, 65_535),
                Change::Seen(1, 2),
                Change::SeenGone(1, 1),
                Change::SeenGone(1, 2),
                Change::Seen(1, 2),
            ],
            "mailbox 1 of c\n  seen [2, 65535]\n",
        ),
    ]
}

fn other_rows() -> Vec<ChangeRow> {
    vec![
        (
            "retained, the last value",
            vec![
                Change::Retained(message("a", "1"), Time(1)),
                Change::Retained(message("a", "2"), Time(2)),
                Change::Retained(message("b", "3"), Time(3)),
                Change::RetainedGone("b".into()),
                Change::RetainedGone("c".into()),
            ],
            "retained a=2 at 2\n",
        ),
        (
            "wills, also without a mailbox",
            vec![
                Change::Will(3, will(None)),
                Change::Will(3, will(Some((Time(70), Departure::KeepAliveExpired)))),
                Change::Will(4, will(None)),
                Change::WillGone(4),
            ],
            "will 3 of w w=gone due Some((Time(70), KeepAliveExpired))\n",
        ),
        (
            "modules with their versions",
            vec![
                version("m", 1, "sha256:a"),
                version("m", 2, "sha256:b"),
                version("n", 1, "sha256:a"),
                module("m", Some(2)),
                module("n", None),
                Change::ModuleVersionGone("m".into(), 1),
            ],
            "version m 2 sha256:b sha256:b\nversion n 1 sha256:a sha256:a\nmodule m Some(2) -5 bypass\n\
             module n None -5 bypass\n",
        ),
        (
            "module gone with its versions and its state",
            vec![
                version("m", 1, "sha256:a"),
                version("mm", 1, "sha256:b"),
                module("m", Some(1)),
                state("k", "v", None),
                Change::State("mm".into(), "k".into(), Box::from(*b"w"), None),
                Change::ModuleGone("m".into()),
            ],
            "version mm 1 sha256:b sha256:b\nstate mm k=w until None\n",
        ),
        (
            "state of modules",
            vec![
                state("k", "1", None),
                state("k", "2", Some(Time(5_000))),
                state("expired", "1", Some(Time(1_000))),
                state("gone", "1", None),
                Change::StateGone("m".into(), "gone".into()),
            ],
            "state m k=2 until Some(Time(5000))\n",
        ),
    ]
}

#[test]
fn every_change_is_there_after_a_restart() {
    for (name, changes, expected) in mailbox_rows().into_iter().chain(other_rows()) {
        let together = Disk::default();
        assert_eq!(picture(&reload(&together, changes.clone())), expected, "{name}, together");
        let one_by_one = Disk::default();
        let (store, _) = open(&one_by_one);
        for change in changes {
            store.submit([change]);
            assert!(store.flush_blocking(PATIENCE));
        }
        assert!(store.close());
        let loaded = open(&one_by_one).1;
        assert_eq!(picture(&loaded), expected, "{name}, one by one");
        assert_eq!(loaded.damaged, 0, "{name}");
    }
}

#[test]
fn every_field_is_there_after_a_restart() {
    let options = SubscribeOptions {
        guarantee: Guarantee::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::Never,
        identifier: Some(268_435_455),
    };
    let mut subscribed = *subscription("a/#", Some("g"));
    subscribed.name = Some("my/a/#".into());
    subscribed.options = options;
    let mut queued = entry(3, 8);
    queued.guarantee = Guarantee::ExactlyOnce;
    queued.retain = true;
    queued.name = Some("mine".into());
    queued.identifiers = [1, 2, 300].into_iter().collect();
    let disk = Disk::default();
    let loaded = reload(
        &disk,
        [
            mailbox(1),
            Change::Filter(1, Box::new(subscribed.clone())),
            Change::Logged(8, rich_message()),
            Change::Queued(1, queued.clone()),
            Change::Retained(rich_message(), Time(12)),
        ],
    );
    let loaded_mailbox = &loaded.mailboxes[0];
    assert_eq!(loaded_mailbox.record.client.scope, client("c").scope);
    assert_eq!(&*loaded_mailbox.record.client.peer, "", "the peer is not kept");
    assert_eq!(loaded_mailbox.record.expiry_seconds, u32::MAX);
    assert_eq!(loaded_mailbox.record.detached, Some(Time(5)));
    assert!(loaded_mailbox.record.per_subscription);
    assert_eq!(loaded_mailbox.record.sent_to, 6);
    assert_eq!(loaded_mailbox.filters, [subscribed]);
    assert_eq!(format!("{:?}", loaded_mailbox.queue[0].entry), format!("{queued:?}"));
    for message in [&loaded_mailbox.queue[0].message, &loaded.retained[0].0] {
        assert_eq!(message.envelope(), rich_message().envelope());
        assert_eq!((message.publisher(), message.payload()), (77, &[0, 1, 2][..]));
    }
    assert_eq!(loaded_mailbox.queue[0].message.log_id(), 8);
    assert!(loaded.next_mailbox_id > 77, "the publisher's mailbox is not given again either");
}

#[test]
fn all_departures_are_kept() {
    for departure in [
        Departure::Clean,
        Departure::ConnectionLost,
        Departure::KeepAliveExpired,
        Departure::ProtocolViolation,
        Departure::OnRequest,
        Departure::TakenOver,
        Departure::ClosedByBroker,
        Departure::BrokerDown,
    ] {
        let loaded = reload(&Disk::default(), [Change::Will(1, will(Some((Time(1), departure))))]);
        let record = &loaded.wills[0].1;
        assert_eq!((record.due, record.registered), (Some((Time(1), departure)), Time(3)));
        assert_eq!(record.will.delay_seconds, 30);
    }
}

#[test]
fn entries_of_one_log_row_share_the_message_and_its_uses() {
    let changes = [
        mailbox(1),
        mailbox(2),
        Change::Logged(5, message("t", "x")),
        Change::Logged(6, message("t", "nobody")),
        queued(1, 1, 5),
        queued(2, 1, 5),
    ];
    let disk = Disk::default();
    let loaded = reload(&disk, changes);
    let message = &loaded.mailboxes[0].queue[0].message;
    assert!(!message.drop_log_use());
    assert!(loaded.mailboxes[1].queue[0].message.drop_log_use(), "two uses, counted on the same message");
    assert_eq!(loaded.damaged, 0);
    let (store, _) = open(&disk);
    assert!(store.close());
    assert_eq!(disk.flip(b"nobody"), 0, "the row that nobody needs was removed");
}

#[test]
fn what_comes_too_late_for_its_mailbox_is_no_damage() {
    let disk = Disk::default();
    let loaded = reload(
        &disk,
        [
            mailbox(1),
            Change::MailboxGone(1),
            Change::Logged(5, message("t", "too late")),
            queued(1, 1, 5),
            Change::Filter(1, subscription("t", None)),
            Change::Seen(1, 3),
        ],
    );
    assert_eq!((picture(&loaded), loaded.damaged), (String::new(), 0));
    let (store, _) = open(&disk);
    store.submit([mailbox(1)]);
    assert!(store.close());
    assert_eq!(picture(&open(&disk).1), "mailbox 1 of c\n  seen []\n", "the rows were removed");
}

#[test]
fn what_lives_and_dies_in_one_batch_costs_no_sync() {
    let disk = Disk::default();
    let (store, _) = open(&disk);
    store.submit([mailbox(1)]);
    assert!(store.flush_blocking(PATIENCE));
    let (syncs, operations) = (disk.syncs(), disk.operations());
    let sequence = store.submit([
        Change::Logged(1, message("t", "x")),
        queued(1, 1, 1),
        Change::QueuedHandle(1, 1, 7),
        Change::QueuedReceived(1, 1),
        Change::QueuedGone(1, 1),
        Change::LoggedGone(1),
        Change::Seen(1, 9),
        Change::SeenGone(1, 9),
        Change::RetainedGone("none".into()),
    ]);
    assert!(store.flush_blocking(PATIENCE));
    assert_eq!(store.committed(), sequence);
    assert_eq!(store.backlog(), 0);
    assert_eq!((disk.syncs(), disk.operations()), (syncs, operations));
}

#[test]
fn nothing_is_acknowledged_before_its_sync() {
    let disk = Disk::default();
    let (store, _) = open(&disk);
    let (told, commits) = mpsc::channel();
    store.on_commit(Box::new(move |sequence| told.send(sequence).unwrap()));
    disk.hold_syncs();
    assert_eq!(store.submit([]), 0, "nothing needs no commit");
    let first = store.submit([mailbox(1)]);
    disk.wait_for_held_sync();
    let second = store.submit([mailbox(2)]);
    let third = store.submit([mailbox(3)]);
    assert!(first < second && second < third);
    assert_eq!((store.committed(), store.backlog()), (0, 3));
    assert!(commits.try_recv().is_err());
    disk.release_syncs();
    assert_eq!(commits.recv_timeout(PATIENCE), Ok(first));
    assert_eq!(commits.recv_timeout(PATIENCE), Ok(third), "the two that waited share a commit");
    assert_eq!((store.committed(), store.backlog()), (third, 0));
}

#[test]
fn a_full_backlog_is_told_and_goes_away() {
    let disk = Disk::default();
    let copy = disk.clone();
    let limits = Limits { backlog_changes_max: 3, ..limits() };
    let metrics = Arc::<Metrics>::default();
    let (store, _) =
        Store::with_backend(move || Ok(copy.clone()), &limits, Durability::Commit, metrics, Time(0)).unwrap();
    disk.hold_syncs();
    for id in 1..=3 {
        assert!(!store.is_full());
        store.submit([mailbox(id)]);
    }
    assert!(store.is_full());
    disk.release_syncs();
    assert!(store.flush_blocking(PATIENCE));
    assert!(!store.is_full());
}

#[test]
fn batches_are_bounded_and_never_split_a_submission() {
    let disk = Disk::default();
    let copy = disk.clone();
    let limits = Limits { batch_changes_max: 4, ..limits() };
    let metrics = Arc::<Metrics>::default();
    let (store, _) =
        Store::with_backend(move || Ok(copy.clone()), &limits, Durability::Commit, metrics.clone(), Time(0)).unwrap();
    let (told, commits) = mpsc::channel();
    store.on_commit(Box::new(move |sequence| told.send(sequence).unwrap()));
    disk.hold_syncs();
    store.submit([mailbox(1)]);
    disk.wait_for_held_sync();
    for size in [3, 1, 2, 9, 1] {
        store.submit((0..size).map(|place| mailbox(10 + place)));
    }
    disk.release_syncs();
    assert!(store.flush_blocking(PATIENCE));
    assert!(store.close());
    assert_eq!(commits.iter().collect::<Vec<_>>(), [1, 3, 4, 5, 6]);
    assert_eq!(metrics.store_changes_total.get(), 17);
    assert_eq!(metrics.store_commits_total.get(), 5);
}

#[test]
fn relaxed_acknowledges_at_once_and_still_syncs() {
    let disk = Disk::default();
    let copy = disk.clone();
    let limits = Limits { relaxed_interval: Duration::from_secs(3600), ..limits() };
    let metrics = Arc::<Metrics>::default();
    let (store, _) =
        Store::with_backend(move || Ok(copy.clone()), &limits, Durability::Relaxed, metrics, Time(0)).unwrap();
    let syncs = disk.syncs();
    let sequence = store.submit([mailbox(1)]);
    assert_eq!(store.committed(), sequence);
    assert_eq!(disk.syncs(), syncs);
    assert!(store.flush_blocking(PATIENCE), "a flush does not wait for the interval");
    assert!(disk.syncs() > syncs);
    store.submit([mailbox(2)]);
    assert!(store.close());
    assert_eq!(open(&disk).1.mailboxes.len(), 2);
}

#[test]
fn ids_are_never_given_twice() {
    let disk = Disk::default();
    let (store, loaded) = open(&disk);
    assert_eq!((loaded.next_mailbox_id, loaded.next_log_id), (1, 1));
    store.submit([mailbox(40), Change::Logged(50, message("t", "x")), queued(40, 1, 50)]);
    assert!(store.flush_blocking(PATIENCE));
    store.submit([Change::MailboxGone(40), Change::LoggedGone(50)]);
    assert!(store.close());
    drop(store);
    let (store, loaded) = open(&disk);
    assert!(loaded.mailboxes.is_empty());
    assert!(loaded.next_mailbox_id > 40 && loaded.next_log_id > 50);
    let (mailbox_id, log_id) = (loaded.next_mailbox_id, loaded.next_log_id);
    store.submit([mailbox(mailbox_id), Change::Logged(log_id, message("t", "x"))]);
    assert!(store.flush_blocking(PATIENCE));
    store.submit([Change::MailboxGone(mailbox_id), Change::LoggedGone(log_id)]);
    assert!(store.close());
    let loaded = open(&disk).1;
    assert!(loaded.next_mailbox_id > mailbox_id && loaded.next_log_id > log_id);
}

#[test]
fn expired_retained_messages_and_values_are_not_loaded() {
    let disk = Disk::default();
    let mut envelope = message("a", "").envelope().clone();
    envelope.expires = Some(Time(2_000));
    let expiring = Message::new(envelope, 0, b"x");
    let loaded = reload(&disk, [Change::Retained(expiring, Time(1)), state("k", "v", Some(Time(2_000)))]);
    assert_eq!((loaded.retained.len(), loaded.state.len()), (1, 1));
    for _ in 0..2 {
        let (store, loaded) = open_at(&disk, Time(2_000));
        assert_eq!((loaded.retained.len(), loaded.state.len(), loaded.damaged), (0, 0, 0));
        assert!(store.close());
    }
    assert_eq!(open(&disk).1.retained.len(), 0, "they were removed");
}

#[test]
fn a_flipped_bit_is_found_and_costs_only_its_row() {
    let rows: [(&str, &[u8], usize, &str); 4] = [
        ("payload in the log", b"secret", 2, "mailbox 1 of c\n  2 t=other handle None received false\n  seen [4]\n"),
        ("retained payload", b"keepsake", 1, ""),
        ("will", b"gone", 1, ""),
        ("component", b"sha256:a", 1, ""),
    ];
    let disk = Disk::default();
    let (store, _) = open(&disk);
    store.submit([
        mailbox(1),
        Change::Logged(1, message("t", "secret")),
        Change::Logged(2, message("t", "other")),
        queued(1, 1, 1),
        queued(1, 2, 2),
        Change::Seen(1, 4),
        Change::Retained(message("r", "keepsake"), Time(1)),
        Change::Will(1, will(None)),
        version("m", 1, "sha256:a"),
        state("k", "v", None),
    ]);
    assert!(store.close());
    let whole = picture(&open(&disk).1);
    for (name, pattern, least, expected) in rows {
        let broken = disk.copy();
        assert!(broken.flip(pattern) > 0, "{name}");
        let (store, loaded) = open(&broken);
        assert!(loaded.damaged >= least, "{name}: {}", loaded.damaged);
        let seen = picture(&loaded);
        assert_ne!(seen, whole, "{name}");
        assert!(seen.contains(expected), "{name}: {seen}");
        assert!(seen.contains("state m k=v"), "{name}: {seen}");
        assert!(seen.lines().all(|line| whole.contains(line)), "{name}: nothing wrong is handed on: {seen}");
        assert!(store.close());
        assert_eq!(open(&broken).1.damaged, 0, "{name}: reported once, then set aside");
        assert_eq!(picture(&open(&broken).1), seen, "{name}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found_or_harmless() {
    let disk = Disk::default();
    let (store, _) = open(&disk);
    for unit in trace() {
        store.submit(unit);
    }
    for number in 0..200 {
        let payload = number.to_string().repeat(20);
        store.submit([Change::Retained(message(&format!("r/{number}"), &payload), Time(1))]);
    }
    assert!(store.close());
    let whole = picture(&open(&disk).1);
    let lines: std::collections::HashSet<_> = whole.lines().collect();
    let mut random = 1_u64;
    for _ in 0..1_000 {
        // Knuth's constants: one fixed sequence of places, so that a failure repeats.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bit = usize::try_from(random >> 20).unwrap() % (disk.length() * 8);
        let broken = disk.copy();
        broken.flip_bit(bit);
        let make = move || Ok(broken.clone());
        let opened = Store::with_backend(make, &limits(), Durability::Commit, Arc::default(), Time(1_000));
        let Ok((_store, loaded)) = opened else { continue };
        let seen = picture(&loaded);
        assert!(seen.lines().all(|line| lines.contains(line)), "bit {bit}: something wrong is handed on: {seen}");
        assert!(seen == whole || loaded.damaged > 0, "bit {bit}: a loss is not reported");
    }
}

#[test]
fn a_failing_disk_stops_acknowledgements_until_it_is_healed() {
    let disk = Disk::default();
    let (store, _) = open(&disk);
    let (told, commits) = mpsc::channel();
    store.on_commit(Box::new(move |sequence| told.send(sequence).unwrap()));
    let first = store.submit([mailbox(1)]);
    assert_eq!(commits.recv_timeout(PATIENCE), Ok(first));
    disk.fail_after(0);
    let second = store.submit([mailbox(2)]);
    assert_eq!(commits.recv_timeout(PATIENCE), Ok(first), "listeners hear of the failure");
    assert!(!store.is_healthy());
    assert!(!store.flush_blocking(PATIENCE));
    let third = store.submit([mailbox(3)]);
    assert_eq!((store.committed(), store.backlog()), (first, 2));
    disk.heal();
    assert_eq!(commits.recv_timeout(PATIENCE), Ok(second));
    assert_eq!(commits.recv_timeout(PATIENCE), Ok(third));
    assert!(store.is_healthy());
    assert!(store.close());
    assert_eq!(open(&disk).1.mailboxes.len(), 3);
}

#[test]
fn a_store_that_fails_can_be_closed() {
    let disk = Disk::default();
    let (store, _) = open(&disk);
    disk.fail_after(0);
    store.submit([mailbox(1)]);
    assert!(!store.close());
    disk.heal();
    assert_eq!(open(&disk).1.mailboxes.len(), 0);
}

/// A small life of a mailbox: everything that happens to durable messages.
fn trace() -> Vec<Vec<Change>> {
    let mut units = vec![vec![mailbox(1), Change::Filter(1, subscription("t", None))]];
    for id in 1..=6 {
        let payload = format!("payload {id}");
        units.push(vec![Change::Logged(id, message("t", &payload)), queued(1, id, id), Change::Seen(1, id as u16)]);
        units.push(vec![Change::Retained(message("t", &payload), Time(id)), Change::SeenGone(1, id as u16)]);
        if id % 2 == 0 {
            units.push(vec![Change::QueuedGone(1, id), Change::LoggedGone(id)]);
        }
    }
    units
}

#[test]
fn an_error_at_any_operation_loses_nothing() {
    let expected = {
        let disk = Disk::default();
        let (store, _) = open(&disk);
        for unit in trace() {
            store.submit(unit);
            assert!(store.flush_blocking(PATIENCE));
        }
        let operations = disk.operations();
        assert!(store.close());
        (picture(&open(&disk).1), operations)
    };
    for operation in 0.. {
        let disk = Disk::default();
        let (store, _) = open(&disk);
        disk.fail_after(operation);
        for unit in trace() {
            let sequence = store.submit(unit);
            if !store.flush_blocking(PATIENCE) {
                assert!(store.committed() < sequence, "operation {operation}");
                disk.heal();
                while !store.flush_blocking(PATIENCE) {
                    std::thread::yield_now();
                }
            }
            assert!(store.committed() >= sequence);
        }
        let failures = disk.failures();
        disk.heal();
        assert!(store.close());
        assert_eq!(picture(&open(&disk).1), expected.0, "operation {operation}");
        if failures == 0 {
            assert!(operation <= expected.1);
            break;
        }
    }
}

#[test]
fn the_directory_is_made_for_its_owner_and_locked() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("data");
    let metrics = Arc::<Metrics>::default;
    let open = || Store::open(&directory, &limits(), Durability::Commit, metrics(), Time(0));
    assert!(matches!(check(&directory, &limits()), Err(OpenError::Missing(_))));
    let (store, _) = open().unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&directory.join("pliant.redb"))), (0o700, 0o600));
    }
    let locked = open().err().unwrap();
    assert!(matches!(locked, OpenError::Locked(_)), "{locked}");
    assert!(locked.to_string().contains("pliant.redb is in use by another process"));
    store.submit([mailbox(1)]);
    drop(store);
    assert_eq!(open().unwrap().1.mailboxes.len(), 1);
    let checked = check(&directory, &limits()).unwrap();
    assert!(checked.intact);
    assert_eq!((checked.loaded.mailboxes.len(), checked.loaded.damaged), (1, 0));
    let (before, after) = compact(&directory, &limits()).unwrap();
    assert!(after <= before && after > 0);
    assert_eq!(open().unwrap().1.mailboxes.len(), 1);
}

#[test]
fn what_is_not_a_store_is_refused_in_one_line() {
    let parent = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        let metrics = Arc::<Metrics>::default();
        Store::open(&parent.path().join(name), &limits(), Durability::Commit, metrics, Time(0)).err().unwrap()
    };
    std::fs::write(parent.path().join("file"), "").unwrap();
    assert!(matches!(open("file"), OpenError::Unusable { .. }));

    std::fs::create_dir(parent.path().join("text")).unwrap();
    std::fs::write(parent.path().join("text/pliant.redb"), "not a database").unwrap();
    assert!(matches!(open("text"), OpenError::Damaged { .. }));

    std::fs::create_dir(parent.path().join("foreign")).unwrap();
    let foreign = redb::Database::create(parent.path().join("foreign/pliant.redb")).unwrap();
    let transaction = foreign.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<u64, u64>::new("theirs")).unwrap();
    transaction.commit().unwrap();
    drop(foreign);
    assert!(matches!(open("foreign"), OpenError::Damaged { .. }));

    std::fs::create_dir(parent.path().join("new")).unwrap();
    let newer = redb::Database::create(parent.path().join("new/pliant.redb")).unwrap();
    let transaction = newer.begin_write().unwrap();
    let mut row = Vec::new();
    row::seal(tables::Table::Meta, tables::FORMAT_KEY, &(tables::FORMAT + 1), &mut row);
    let meta = tables::Table::Meta.definition();
    transaction.open_table(meta).unwrap().insert(tables::FORMAT_KEY, row.as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(newer);
    assert!(matches!(open("new"), OpenError::TooNew { found: 2, .. }));
}

#[test]
fn a_first_start_that_was_cut_short_is_no_obstacle() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("pliant.redb.new"), [0; 5_000]).unwrap();
    let metrics = Arc::<Metrics>::default();
    assert!(Store::open(directory.path(), &limits(), Durability::Commit, metrics, Time(0)).is_ok());
    assert!(!directory.path().join("pliant.redb.new").exists());
}

/// Changes that keep to the rules: log ids, mailboxes and numbers of entries are given once.
fn lives(steps: &[(u8, u8)]) -> Vec<Change> {
    let mut changes = vec![mailbox(1), mailbox(2)];
    let mut live = Vec::new();
    let mut next = 1;
    for (what, which) in steps {
        let mailbox = u64::from(which % 2) + 1;
        let topic = format!("t/{}", which % 3);
        let picked = (!live.is_empty()).then(|| usize::from(*which) % live.len());
        match (what % 8, picked) {
            (0 | 1, _) => {
                changes.push(Change::Logged(next, message("t", &next.to_string())));
                changes.push(queued(mailbox, next, next));
                live.push((mailbox, next));
                next += 1;
            }
            (2, Some(place)) => {
                let (mailbox, number) = live.swap_remove(place);
                changes.push(Change::QueuedGone(mailbox, number));
                changes.push(Change::LoggedGone(number));
            }
            (3, Some(place)) => changes.push(Change::QueuedReceived(live[place].0, live[place].1)),
            (4, Some(place)) => changes.push(Change::QueuedHandle(live[place].0, live[place].1, u16::from(*which))),
            (5, _) => changes.push(Change::Retained(message(&topic, &which.to_string()), Time(1))),
            (6, _) => changes.push(Change::RetainedGone(topic.into())),
            (_, _) if which % 4 < 2 => changes.push(Change::Seen(mailbox, u16::from(*which / 64))),
            (_, _) => changes.push(Change::SeenGone(mailbox, u16::from(*which / 64))),
        }
    }
    changes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn how_changes_are_grouped_makes_no_difference(
        steps in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..60),
        group in 1_usize..20,
    ) {
        let changes = lives(&steps);
        let grouped = |size: usize| {
            let disk = Disk::default();
            let (store, _) = open(&disk);
            for group in changes.chunks(size) {
                store.submit(group.iter().cloned());
                assert!(store.flush_blocking(PATIENCE));
            }
            assert!(store.close());
            picture(&open(&disk).1)
        };
        let one_by_one = grouped(1);
        prop_assert_eq!(&grouped(group), &one_by_one);
        prop_assert_eq!(&grouped(usize::MAX), &one_by_one);
    }

    #[test]
    fn no_row_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        use super::encoding::Decoder;
        use super::row::{Row, VersionRow, StateRow, Counters};
        let from = || Decoder::new(&bytes);
        let _ = Message::decode(&mut from());
        let _ = MailboxRecord::decode(&mut from());
        let _ = Subscription::decode(&mut from());
        let _ = QueueEntry::decode(&mut from());
        let _ = WillRecord::decode(&mut from());
        let _ = ModuleRecord::decode(&mut from());
        let _ = <(Message, Time)>::decode(&mut from());
        let _ = VersionRow::decode(&mut from());
        let _ = StateRow::decode(&mut from());
        let _ = Counters::decode(&mut from());
    }
}
