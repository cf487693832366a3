//! What comes back after a restart.

use super::*;
use crate::client::Departure;
use crate::dialogue::RetainHandling;

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
                condition(1, "a"),
                Change::Will(1, will(None)),
                Change::MailboxGone(1),
                Change::WillGone(1),
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
            "the last condition of each",
            vec![
                mailbox(1),
                mailbox(2),
                condition(1, "a"),
                condition(1, "b"),
                condition(2, "a"),
                Change::ConditionGone(2),
                Change::ConditionGone(2),
            ],
            "mailbox 1 of c\n  condition b\n  seen []\nmailbox 2 of c\n  seen []\n",
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
    assert!(loaded_mailbox.record.per_subscription && !loaded_mailbox.record.knows_options);
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
