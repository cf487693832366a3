//! A new version for some of the clients.

use super::rig::{Rig, client, message, property};
use OnFailure::Refuse;
use host::client::Client;
use host::wasm::{DeployError, OnFailure, Outcome};

fn version(rig: &mut Rig, id: &str) -> String {
    let client = Client { id: id.into(), ..client() };
    let plan = rig.chain();
    let verdict = plan.side_of(id).route(&mut rig.guests, &client, message("t", b""));
    property(&verdict, "version").expect("a version")
}

/// The version that is asked last for this client's message.
fn last(rig: &mut Rig, id: &str) -> String {
    let client = Client { id: id.into(), ..client() };
    let plan = rig.chain();
    let verdict = plan.side_of(id).route(&mut rig.guests, &client, message("t", b""));
    let Outcome::Pass(message) = verdict.outcome else { panic!("it is refused") };
    let properties = message.envelope().properties.as_ref().expect("properties");
    properties.user.last().map(|(_, version)| version.to_string()).expect("a version")
}

fn rig(percent: u8) -> Rig {
    let rig = Rig::new();
    rig.deploy("m", "echoes-version", 1, Refuse, r#"{"version": "old"}"#);
    rig.canary("m", "echoes-version", percent, r#"{"version": "new"}"#);
    rig
}

/// Keyed by client: one of them never sees both.
#[test]
fn so_many_of_a_hundred_clients_follow_it_and_stay_with_it() {
    for percent in [1, 5, 50, 99, 100] {
        let mut rig = rig(percent);
        let mut new = 0;
        for n in 0..1_000 {
            let id = format!("client-{n}");
            let seen = version(&mut rig, &id);
            assert_eq!(version(&mut rig, &id), seen);
            new += u32::from(seen == "new");
        }
        let expected = u32::from(percent) * 10;
        assert!(new.abs_diff(expected) <= 50, "{new} of 1000 at {percent} %");
        assert!(percent < 100 || new == 1_000);
        let info = rig.modules.show("m").unwrap();
        assert_eq!(info.version, Some(1));
        let canary = info.canary.expect("it is on trial");
        assert_eq!((canary.version, canary.percent, canary.calls), (2, percent, u64::from(new) * 2));
        assert_eq!(rig.modules.versions("m").unwrap()[1].canary_percent, Some(percent));
    }
}

#[test]
fn confirmed_it_is_for_everybody_and_taken_back_for_nobody() {
    for (confirm, expected) in [(true, "new"), (false, "old")] {
        let mut rig = rig(50);
        let ended = if confirm { rig.modules.confirm("m") } else { rig.modules.rollback("m", None) }.unwrap();
        assert_eq!((ended.version, ended.canary), (Some(if confirm { 2 } else { 1 }), None));
        for n in 0..100 {
            assert_eq!(version(&mut rig, &format!("client-{n}")), expected);
        }
        assert!(rig.modules.show("m").unwrap().canary.is_none());
        assert_eq!(rig.modules.confirm("m"), Err(DeployError::NoCanary("m".into())));
    }
    // One step further back than a canary that was confirmed is what ran beside it.
    let mut rig = rig(50);
    rig.modules.confirm("m").unwrap();
    assert_eq!(rig.modules.rollback("m", None).unwrap().version, Some(1));
    assert_eq!(version(&mut rig, "c"), "old");
}

/// What is said of order and failures for a version on trial holds for those who follow it, and for all once it is confirmed.
#[test]
fn order_and_policy_of_a_canary_are_those_of_its_clients_until_it_is_confirmed() {
    type End = (&'static str, fn(&Rig) -> Result<host::wasm::Deployed, DeployError>, (i32, OnFailure));
    let ends: [End; 3] = [
        ("confirm", |rig| rig.modules.confirm("m"), (30, OnFailure::Bypass)),
        ("rollback to it", |rig| rig.modules.rollback("m", Some(2)), (30, OnFailure::Bypass)),
        ("rollback", |rig| rig.modules.rollback("m", None), (10, Refuse)),
    ];
    for (what, end, expected) in ends {
        let mut rig = Rig::new();
        rig.deploy("m", "echoes-version", 10, Refuse, r#"{"version": "old"}"#);
        rig.deploy("n", "echoes-version", 20, Refuse, r#"{"version": "between"}"#);
        let echo = crate::harness::guests::component("echoes-version");
        let options = host::wasm::DeployOptions {
            canary: Some(50),
            order: Some(30),
            on_failure: Some(OnFailure::Bypass),
            config: Some(r#"{"version": "new"}"#.into()),
            ..Default::default()
        };
        rig.modules.deploy("m", &echo, options).unwrap();
        let info = rig.modules.show("m").unwrap();
        assert_eq!((info.order, info.on_failure), (10, Refuse));
        let canary = info.canary.expect("it is on trial");
        assert_eq!((canary.order, canary.on_failure), (30, OnFailure::Bypass));
        // The module that is asked last has the last word.
        let seen: std::collections::BTreeSet<String> = (0..50).map(|n| last(&mut rig, &format!("c{n}"))).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["between", "new"]);
        end(&rig).unwrap();
        let info = rig.modules.show("m").unwrap();
        assert_eq!((info.order, info.on_failure), expected, "{what}");
    }
}

#[test]
fn a_canary_needs_something_beside_it_and_is_the_only_one() {
    let rig = rig(50);
    let echo = crate::harness::guests::component("echoes-version");
    let options = |percent| host::wasm::DeployOptions {
        canary: Some(percent),
        config: Some(r#"{"version": "x"}"#.into()),
        ..Default::default()
    };
    let alone = rig.modules.deploy("other", &echo, options(5));
    assert_eq!(alone, Err(DeployError::CanaryAlone("other".into())));
    assert!(rig.modules.show("other").is_err());
    for percent in [0, 101] {
        assert_eq!(rig.modules.deploy("m", &echo, options(percent)), Err(DeployError::CanaryPercent(percent)));
    }
    rig.deploy("other", "echoes-version", 2, Refuse, r#"{"version": "x"}"#);
    assert_eq!(rig.modules.deploy("other", &echo, options(5)), Err(DeployError::CanaryElsewhere("m".into())));
    // Other modules change meanwhile, and a newer canary takes the place of the first.
    rig.modules.configure("other", r#"{"version": "y"}"#).unwrap();
    assert_eq!(rig.modules.deploy("m", &echo, options(7)).unwrap().canary, Some(3));
    // A version for everybody ends it.
    rig.deploy("m", "echoes-version", 1, Refuse, r#"{"version": "all"}"#);
    assert!(rig.modules.show("m").unwrap().canary.is_none() && !rig.chain().is_split());
}

/// Whoever changes its module is told that a canary is over; who puts it to work, or leaves it on trial, is not.
#[test]
fn what_ends_a_canary_says_so() {
    type Change = fn(&Rig) -> Result<host::wasm::Deployed, DeployError>;
    let deploy: Change = |rig| Ok(rig.deploy("m", "echoes-version", 1, Refuse, r#"{"version": "all"}"#));
    let rows: [(&str, Change, Option<u64>); 9] = [
        ("config", |rig| rig.modules.configure("m", r#"{"version": "x"}"#), Some(2)),
        ("deploy", deploy, Some(2)),
        ("another canary", |rig| Ok(rig.canary("m", "echoes-version", 7, r#"{"version": "x"}"#)), Some(2)),
        ("disable", |rig| rig.modules.set_enabled("m", false), Some(2)),
        ("enable, as it is", |rig| rig.modules.set_enabled("m", true), None),
        ("remove", |rig| rig.modules.remove("m"), Some(2)),
        ("rollback", |rig| rig.modules.rollback("m", None), Some(2)),
        ("rollback to it", |rig| rig.modules.rollback("m", Some(2)), None),
        ("confirm", |rig| rig.modules.confirm("m"), None),
    ];
    for (what, change, ended) in rows {
        let rig = rig(50);
        assert_eq!(change(&rig).unwrap().canary_ended, ended, "{what}");
    }
    let rig = rig(50);
    let other = rig.deploy("other", "echoes-version", 1, Refuse, r#"{"version": "all"}"#);
    let on = rig.modules.set_enabled("m", true).unwrap();
    assert_eq!((other.canary_ended, on.canary, rig.modules.confirm("m").unwrap().version), (None, Some(2), Some(2)));
}

/// As another upload would be: with a salt of its own, and the active version's configuration.
#[test]
fn a_canary_that_is_widened_keeps_its_version_and_its_clients() {
    let mut rig = rig(20);
    let followers = |rig: &mut Rig| -> Vec<String> {
        (0..300).map(|n| format!("client-{n}")).filter(|id| version(rig, id) == "new").collect()
    };
    let few = followers(&mut rig);
    let wide = rig.modules.widen("m", 60).unwrap();
    assert_eq!((wide.version, wide.canary, wide.canary_ended), (Some(1), Some(2), None));
    let many = followers(&mut rig);
    assert!(many.len() > few.len() && few.iter().all(|id| many.contains(id)));
    rig.modules.widen("m", 20).unwrap();
    assert_eq!(followers(&mut rig), few);
    assert_eq!(rig.modules.widen("m", 0), Err(DeployError::CanaryPercent(0)));
    rig.modules.confirm("m").unwrap();
    assert_eq!(rig.modules.widen("m", 20), Err(DeployError::NoCanary("m".into())));
}
