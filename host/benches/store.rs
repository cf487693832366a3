//! How much a commit carries: messages of 256 bytes that are logged and queued, and messages that are settled, synced
//! in batches of 1, 100 and 1000, on a file in the temporary directory.
//!
//! `live` writes the settling of a message into the batch after the one that queued it, so that nothing cancels out and
//! each message costs two insertions and two removals on disk. `settled` has all four changes of a message in one
//! batch, as it is for a subscriber that answers quickly; what is measured there is how fast they cancel out.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use host::client::{Client, Protocol, Scope};
use host::message::{Envelope, Guarantee, Message, Time};
use host::store::{Change, Durability, Limits, MailboxRecord, QueueEntry, Store};
use host::topic::{self, Topic};
use redb::{Database, TableDefinition, WriteTransaction};
use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

fn message() -> Message {
    let topic = Topic::new("site/1/line/4/sensor/17/temperature", &topic::Limits::default()).expect("a topic");
    let envelope =
        Envelope { topic, guarantee: Guarantee::AtLeastOnce, retain: false, expires: None, properties: None, hops: 0 };
    Message::new(envelope, 0, &[7; 256])
}

fn mailbox() -> Change {
    let scope = Scope { listener: "mqtt".into(), protocol: Protocol::Mqtt, identity: None }.into();
    let client = Arc::new(Client { id: "bench".into(), container: None, scope, peer: "".into() });
    let record = MailboxRecord {
        client,
        expiry_seconds: 3600,
        detached: None,
        per_subscription: false,
        knows_options: true,
        sent_to: 0,
    };
    Change::Mailbox(1, Box::new(record))
}

fn queued(id: u64, message: &Message) -> [Change; 2] {
    let entry = QueueEntry {
        number: id,
        log_id: id,
        guarantee: Guarantee::AtLeastOnce,
        retain: false,
        name: None,
        identifiers: [].into_iter().collect(),
    };
    [Change::Logged(id, message.clone()), Change::Queued(1, entry)]
}

fn settled(id: u64) -> [Change; 2] {
    [Change::QueuedGone(1, id), Change::LoggedGone(id)]
}

fn commit(criterion: &mut Criterion) {
    let message = message();
    let mut group = criterion.benchmark_group("store commit");
    for quick_repair in [false, true] {
        for batch in [1_u64, 100, 1000] {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let limits = Limits { quick_repair, ..Limits::default() };
            let (store, _) =
                Store::open(directory.path(), &limits, Durability::Commit, Arc::default(), Time(0)).expect("a store");
            store.submit([mailbox()]);
            let name = if quick_repair { "live, quick repair" } else { "live" };
            let mut next = 1;
            group.throughput(Throughput::Elements(batch));
            group.bench_function(BenchmarkId::new(name, batch), |bencher| {
                bencher.iter(|| {
                    let ids = next..next + batch;
                    next += batch;
                    store.submit(ids.flat_map(|id| {
                        let before = id.saturating_sub(batch);
                        queued(id, &message).into_iter().chain(settled(before))
                    }));
                    assert!(store.flush_blocking(PATIENCE), "the disk failed");
                });
            });
        }
    }
    for batch in [1_u64, 100, 1000] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (store, _) = Store::open(directory.path(), &Limits::default(), Durability::Commit, Arc::default(), Time(0))
            .expect("a store");
        group.throughput(Throughput::Elements(batch));
        group.bench_function(BenchmarkId::new("settled", batch), |bencher| {
            bencher.iter(|| {
                for id in 1..=batch {
                    store.submit(queued(id, &message));
                    store.submit(settled(id));
                }
                assert!(store.flush_blocking(PATIENCE), "the disk failed");
            });
        });
    }
    group.finish();
}

/// What a publisher's thread pays for handing over a message; the writer gathers meanwhile.
fn submit(criterion: &mut Criterion) {
    let limits = Limits { relaxed_interval: Duration::from_millis(50), ..Limits::default() };
    let (store, _) = Store::in_memory(&limits, Durability::Relaxed, Arc::default());
    let message = message();
    let mut id = 0;
    criterion.bench_function("store submit", |bencher| {
        bencher.iter(|| {
            id += 1;
            store.submit(queued(id, &message));
            black_box(store.submit(settled(id)))
        });
    });
}

/// Ten publishers, each with up to a hundred messages under way that wait for the disk: what a durable queue that nobody
/// drains takes in, and what one takes in whose receiver settles at once.
fn durable(criterion: &mut Criterion) {
    const PUBLISHERS: u64 = 10;
    const UNDER_WAY: u64 = 100;
    let message = message();
    let mut group = criterion.benchmark_group("store durable, 10 publishers");
    group.throughput(Throughput::Elements(1));
    for settles in [false, true] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (store, _) = Store::open(directory.path(), &Limits::default(), Durability::Commit, Arc::default(), Time(0))
            .expect("a store");
        store.submit([mailbox()]);
        let next = AtomicU64::new(1);
        group.bench_function(if settles { "settled" } else { "kept" }, |bencher| {
            bencher.iter_custom(|messages| {
                let begin = Instant::now();
                std::thread::scope(|scope| {
                    for _ in 0..PUBLISHERS {
                        scope.spawn(|| {
                            let mut waiting = VecDeque::new();
                            for _ in 0..messages.div_ceil(PUBLISHERS) {
                                let id = next.fetch_add(1, Ordering::Relaxed);
                                waiting.push_back(store.submit(queued(id, &message)));
                                if settles {
                                    store.submit(settled(id));
                                }
                                while waiting.len() as u64 >= UNDER_WAY {
                                    let committed = store.committed();
                                    while waiting.front().is_some_and(|after| *after <= committed) {
                                        waiting.pop_front();
                                    }
                                    std::thread::yield_now();
                                }
                            }
                        });
                    }
                });
                assert!(store.flush_blocking(PATIENCE), "the disk failed");
                begin.elapsed()
            });
        });
    }
    group.finish();
}

/// What the decision for one file rests on: a batch with a row of metadata, as one transaction of one file or as one
/// transaction of each of two.
fn files(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("files");
    for batch in [1_u64, 100, 1000] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let open = |name: &str| Database::create(directory.path().join(name)).expect("a database");
        let (one, messages, metadata) = (open("one"), open("messages"), open("metadata"));
        group.throughput(Throughput::Elements(batch));
        let mut next = 0;
        group.bench_function(BenchmarkId::new("one", batch), |bencher| {
            bencher.iter(|| {
                let transaction = begin(&one);
                log(&transaction, next, batch);
                meta(&transaction, next);
                transaction.commit().expect("a commit");
                next += batch;
            });
        });
        let mut next = 0;
        group.bench_function(BenchmarkId::new("two", batch), |bencher| {
            bencher.iter(|| {
                let transaction = begin(&messages);
                log(&transaction, next, batch);
                transaction.commit().expect("a commit");
                let transaction = begin(&metadata);
                meta(&transaction, next);
                transaction.commit().expect("a commit");
                next += batch;
            });
        });
    }
    group.finish();
}

/// As the store's writer begins one.
fn begin(database: &Database) -> WriteTransaction {
    let mut transaction = database.begin_write().expect("a transaction");
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    transaction
}

fn log(transaction: &WriteTransaction, first: u64, batch: u64) {
    const LOG: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("log");
    let mut table = transaction.open_table(LOG).expect("a table");
    for id in first..first + batch {
        table.insert(id, &[7u8; 256][..]).expect("an insertion");
        if let Some(old) = id.checked_sub(5000) {
            table.remove(old).expect("a removal");
        }
    }
}

fn meta(transaction: &WriteTransaction, id: u64) {
    const META: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("meta");
    let mut table = transaction.open_table(META).expect("a table");
    table.insert(id % 1000, &[7u8; 100][..]).expect("an insertion");
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(3));
    targets = commit, submit, durable, files
}
criterion_main!(benches);
