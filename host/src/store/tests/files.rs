//! The data directory: who may read it, and what is refused.

use super::super::open::Opener;
use super::super::{row, tables};
use super::*;
use std::path::Path;
use std::sync::mpsc;

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

    // A copy that failed, and no new store.
    std::fs::create_dir(parent.path().join("empty")).unwrap();
    std::fs::write(parent.path().join("empty/pliant.redb"), "").unwrap();
    assert!(matches!(open("empty"), OpenError::Unusable { .. }));
    assert!(matches!(check(&parent.path().join("empty"), &limits()), Err(OpenError::Unusable { .. })));

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
    assert!(matches!(open("new"), OpenError::TooNew { found, .. } if found == tables::FORMAT + 1));
}

#[test]
fn a_first_start_that_was_cut_short_is_no_obstacle() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("pliant.redb.new"), [0; 5_000]).unwrap();
    let metrics = Arc::<Metrics>::default();
    assert!(Store::open(directory.path(), &limits(), Durability::Commit, metrics, Time(0)).is_ok());
    assert!(!directory.path().join("pliant.redb.new").exists());
}

/// Two replicas on one volume: who comes second neither cuts the file that the first one makes nor takes its place.
#[test]
fn one_of_those_who_start_at_once_makes_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let unfinished = directory.path().join("pliant.redb.new");
    let first = std::fs::File::create(&unfinished).unwrap();
    first.try_lock().unwrap();
    first.set_len(5_000).unwrap();
    let open = || Store::open(directory.path(), &limits(), Durability::Commit, Arc::default(), Time(0));
    assert!(matches!(open().err(), Some(OpenError::Locked(_))));
    assert_eq!(first.metadata().unwrap().len(), 5_000);
    drop(first);
    assert!(open().is_ok());
    assert!(!unfinished.exists());
}

/// Versions 1 and 2 had fewer tables.
#[test]
fn a_store_of_an_earlier_version_is_brought_forward() {
    for version in [1, 2] {
        let directory = tempfile::tempdir().unwrap();
        let metrics = Arc::<Metrics>::default;
        let open = || Store::open(directory.path(), &limits(), Durability::Commit, metrics(), Time(0)).unwrap();
        open().0.submit([mailbox(1), Change::Retained(message("t", "x"), Time(1))]);
        make_version(redb::Database::open(directory.path().join("pliant.redb")).unwrap(), version);
        let (store, loaded) = open();
        assert_eq!((loaded.mailboxes.len(), loaded.retained.len(), loaded.damaged), (1, 1, 0), "{version}");
        store.submit([mailbox(2), condition(2, "a")]);
        drop(store);
        let loaded = open().1;
        assert_eq!(loaded.mailboxes.len(), 2, "{version}");
        assert_eq!(loaded.mailboxes[1].condition.as_deref(), Some(&b"a"[..]), "{version}");
    }
}

/// Whatever is done to the file while the broker runs: by hand, by a job that tidies up, or to make room.
#[test]
fn what_is_written_to_a_file_that_nobody_finds_again_is_not_acknowledged() {
    type Deed = fn(&Path, &Path);
    let deeds: [(&str, Deed); 3] = [
        ("removed", |file, _| std::fs::remove_file(file).unwrap()),
        ("moved", |file, other| std::fs::rename(file, other).unwrap()),
        ("replaced", |file, other| {
            std::fs::copy(file, other).unwrap();
            std::fs::rename(other, file).unwrap();
        }),
    ];
    for (name, deed) in deeds {
        for idle in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let (file, other) = (directory.path().join("pliant.redb"), directory.path().join("other"));
            let metrics = Arc::<Metrics>::default();
            let (store, _) = Store::open(directory.path(), &limits(), Durability::Commit, metrics, Time(0)).unwrap();
            let first = store.submit([mailbox(1)]);
            assert!(store.flush_blocking(PATIENCE));
            let (told, failure) = mpsc::channel();
            store.on_commit(Box::new(move |sequence| told.send(sequence).unwrap()));
            deed(&file, &other);
            let found = file.metadata().map(|data| data.len()).ok();
            if !idle {
                store.submit([mailbox(2)]);
            }
            // The first one may be told only now that it is on disk.
            while store.is_healthy() {
                assert_eq!(failure.recv_timeout(PATIENCE), Ok(first), "{name}");
            }
            store.submit([mailbox(3)]);
            assert_eq!(store.committed(), first, "{name}");
            assert!(!store.close(), "{name}: not everything is on disk");
            assert_eq!(file.metadata().map(|data| data.len()).ok(), found, "{name}: no new store is made");
        }
    }
}

#[test]
fn a_store_that_is_removed_as_it_is_closed_says_that_not_everything_is_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(directory.path(), &limits(), Durability::Commit, Arc::default(), Time(0)).unwrap();
    store.submit([mailbox(1)]);
    assert!(store.flush_blocking(PATIENCE));
    std::fs::remove_file(directory.path().join("pliant.redb")).unwrap();
    assert!(!store.close());
}

#[test]
fn a_file_that_is_moved_back_is_the_store_again_and_has_everything() {
    let directory = tempfile::tempdir().unwrap();
    let (file, other) = (directory.path().join("pliant.redb"), directory.path().join("other"));
    let open = || Store::open(directory.path(), &limits(), Durability::Commit, Arc::default(), Time(0)).unwrap();
    let (store, _) = open();
    let (told, commits) = mpsc::channel();
    store.on_commit(Box::new(move |sequence| told.send(sequence).unwrap()));
    std::fs::rename(&file, &other).unwrap();
    let first = store.submit([mailbox(1)]);
    assert_eq!(commits.recv_timeout(PATIENCE), Ok(0), "listeners hear of the failure");
    std::fs::rename(&other, &file).unwrap();
    assert_eq!(commits.recv_timeout(PATIENCE), Ok(first));
    assert!(store.is_healthy() && store.close());
    assert_eq!(open().1.mailboxes.len(), 1);
}

/// The report of a panic that is caught, and told as damage in one line, stood between the lines of a log in JSON.
#[test]
fn who_looks_into_a_damaged_store_is_known_while_it_does() {
    let disk = Disk::default();
    let backend = disk.clone();
    let opener = Opener::backend(move || Ok(backend.clone()), limits().cache_bytes);
    let mut looked = false;
    let opened = opener.open_and::<()>(|_| {
        looked = looks_into_a_store();
        panic!("redb on a page that makes no sense");
    });
    assert!(matches!(opened, Err(OpenError::Damaged { .. })));
    assert!(looked && !looks_into_a_store());
}
