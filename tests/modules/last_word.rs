//! A module that is switched by hand, by the configuration and by the next start's: whoever spoke last is right.

use super::rig::Rig;
use super::versions::{binding, mapped, start_with};
use crate::harness::guests::component;
use host::store::{Configured, Store};
use host::wasm::{Binding, Kept, OnFailure::Refuse};

/// Somebody switches the module, the configuration that is read again does, or that of the next start.
#[derive(Debug, Clone, Copy)]
enum Word {
    Hand(bool),
    Reload(bool),
    Start(bool),
}

/// A broker's modules that are started again and again.
struct Started {
    directory: tempfile::TempDir,
    running: Option<(Rig, Store)>,
}

impl Started {
    fn new(configured: Vec<Binding>) -> Self {
        let mut started = Self { directory: tempfile::tempdir().unwrap(), running: None };
        started.again(configured, |_| ());
        started
    }

    fn again(&mut self, configured: Vec<Binding>, rewrite: fn(&mut Kept)) {
        if let Some((rig, store)) = self.running.take() {
            drop(rig);
            assert!(store.close());
        }
        self.running = Some(start_with(self.directory.path(), configured, rewrite).unwrap());
    }

    fn rig(&mut self) -> &mut Rig {
        &mut self.running.as_mut().expect("it runs").0
    }

    /// Whether it is asked after that.
    fn hear(&mut self, word: Word) -> bool {
        let bound = |enabled| Binding { enabled, ..binding("file/") };
        match word {
            Word::Hand(on) => drop(self.rig().modules.set_enabled("renames", on).unwrap()),
            Word::Reload(on) => drop(self.rig().modules.rebind(bound(on), true).unwrap()),
            Word::Start(on) => self.again(vec![bound(on)], |_| ()),
        }
        mapped(self.rig()).is_some()
    }
}

/// A start with the same configuration says nothing; one with another is the last word, as a reload of it is.
#[test]
fn what_was_said_last_of_a_module_holds_over_restarts() {
    use Word::{Hand, Reload, Start};
    let rows: [(bool, &[(Word, bool)]); 7] = [
        (true, &[(Hand(false), false), (Hand(true), true), (Reload(false), false), (Start(false), false)]),
        (true, &[(Hand(false), false), (Hand(true), true), (Start(false), false), (Start(true), true)]),
        (
            true,
            &[
                (Hand(false), false),
                (Start(true), false),
                (Start(true), false),
                (Start(false), false),
                (Start(true), true),
            ],
        ),
        (
            true,
            &[
                (Hand(false), false),
                (Reload(false), false),
                (Start(false), false),
                (Reload(true), true),
                (Start(true), true),
            ],
        ),
        (
            true,
            &[
                (Hand(false), false),
                (Reload(false), false),
                (Reload(true), true),
                (Hand(false), false),
                (Start(true), false),
            ],
        ),
        (false, &[(Hand(true), true), (Start(false), true), (Start(true), true), (Start(false), false)]),
        (false, &[(Reload(true), true), (Start(true), true), (Start(false), false), (Start(true), true)]),
    ];
    for (begun, words) in rows {
        let mut started = Started::new(vec![Binding { enabled: begun, ..binding("file/") }]);
        for (at, (word, on)) in words.iter().enumerate() {
            assert_eq!(started.hear(*word), *on, "{begun}, {:?}", &words[..=at]);
        }
    }
}

/// Where nobody knows what the configuration said at that time, what was said by hand is the last word.
#[test]
fn what_was_switched_by_hand_under_an_older_broker_stays_so_until_the_configuration_changes() {
    for on in [true, false] {
        let bound = |enabled| vec![Binding { enabled, ..binding("file/") }];
        let mut started = Started::new(bound(!on));
        assert_eq!(started.hear(Word::Hand(on)), on);
        let older: fn(&mut Kept) = |kept| {
            kept.modules.iter_mut().for_each(|record| record.configured = Configured::Unknown);
        };
        started.again(bound(!on), older);
        assert_eq!(mapped(started.rig()).is_some(), on);
        assert_eq!(started.hear(Word::Start(!on)), on);
        assert_eq!(started.hear(Word::Start(on)), on);
        assert_eq!(started.hear(Word::Start(!on)), !on);
    }
}

#[test]
fn a_module_that_the_configuration_did_not_name_for_a_while_is_as_it_says_then() {
    let own = || vec![Binding { component: Some(component("renames").into()), name: "own".into(), ..binding("own/") }];
    let mut started = Started::new(own());
    started.rig().modules.set_enabled("own", false).unwrap();
    for (configured, expected) in [(own(), None), (Vec::new(), None), (own(), Some("own/x"))] {
        started.again(configured, |_| ());
        assert_eq!(mapped(started.rig()).as_deref(), expected);
    }
    // Version 0 is gone with its file; what was deployed beside it is still there to go back to.
    started.rig().modules.configure("own", r#"{"prefix": "api/"}"#).unwrap();
    started.rig().deploy("own", "renames", 5, Refuse, r#"{"prefix": "deployed/"}"#);
    started.rig().modules.rollback("own", Some(0)).unwrap();
    started.again(Vec::new(), |_| ());
    assert_eq!(mapped(started.rig()), None);
    started.rig().modules.rollback("own", Some(2)).unwrap();
    assert_eq!(mapped(started.rig()).as_deref(), Some("deployed/x"));
}

#[test]
fn a_deployed_version_goes_on_though_the_configuration_is_changed_while_the_broker_is_away() {
    let mut started = Started::new(vec![binding("file/")]);
    started.rig().modules.configure("renames", r#"{"prefix": "api/"}"#).unwrap();
    for enabled in [false, true, false] {
        started.again(vec![Binding { enabled, ..binding("file/") }], |_| ());
        assert_eq!(mapped(started.rig()).as_deref(), Some("api/x"));
    }
}
