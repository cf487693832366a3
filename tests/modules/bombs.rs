//! Components made to exhaust the compiler, and bytes that are none: refused, within bounds, while others are served.

use super::rig::{Rig, limits};
use crate::harness::binary;
use crate::harness::guests::component;
use host::wasm::{DeployOptions, Limits, OnFailure};
use std::time::{Duration, Instant};

/// A number as WebAssembly writes it (LEB128).
fn leb(mut n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = (n & 0x7f) as u8;
        n >>= 7;
        if n == 0 {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

fn section(id: u8, body: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(body.len()), body].concat()
}

fn list(count: usize, items: &[u8]) -> Vec<u8> {
    [&leb(count)[..], items].concat()
}

/// A component around a core module with these sections.
fn around(sections: &[Vec<u8>]) -> Vec<u8> {
    let module = [b"\0asm\x01\0\0\0".to_vec(), sections.concat()].concat();
    [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module)].concat()
}

/// A component with `count` functions of no parameters and these locals (i32) and body.
pub(crate) fn functions(count: usize, locals: usize, body: &[u8]) -> Vec<u8> {
    let body = [&[1][..], &leb(locals), &[0x7f], body, &[0x0b]].concat();
    let code = [leb(body.len()), body].concat().repeat(count);
    around(&[
        section(1, &[1, 0x60, 0, 0]),
        section(3, &list(count, &vec![0; count])),
        section(4, &[1, 0x70, 0, 1]),
        section(5, &[1, 0, 1]),
        section(10, &list(count, &code)),
    ])
}

/// Calls through a table: three bytes each, and much code.
const CALL: [u8; 5] = [0x41, 0, 0x11, 0, 0];

fn nested(levels: usize) -> Vec<u8> {
    let mut inner = b"\0asm\x0d\0\x01\0".to_vec();
    for _ in 0..levels {
        inner = [b"\0asm\x0d\0\x01\0".to_vec(), section(4, &inner)].concat();
    }
    inner
}

/// A tuple of two of the type before, again and again: each step is twice as large.
fn doubling(steps: usize) -> Vec<u8> {
    let mut types = vec![0x7f];
    for step in 0..steps {
        let before = leb(step);
        types.extend([&[0x6f, 2][..], &before, &before].concat());
    }
    [b"\0asm\x0d\0\x01\0".to_vec(), section(7, &list(steps + 1, &types))].concat()
}

fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    // Each value stays live until all are added up, so registers run out.
    let live = [[0x20, 0].repeat(400_000), [0x6a].repeat(399_999), vec![0x1a]].concat();
    let table: Vec<u8> = [vec![0x20, 0, 0x0e], leb(1_000_000), vec![0; 1_000_001]].concat();
    let branches = [vec![0x02, 0x40], table.clone(), vec![0x0b]].concat();
    let juggling: Vec<u8> = (0..400_000usize)
        .flat_map(|n| [vec![0x20], leb(n * 7919 % 40_000), vec![0x21], leb(n * 104_729 % 40_000)].concat())
        .collect();
    let ifs = [0x20, 0, 0x04, 0x40, 0x41, 1, 0x21, 0].repeat(200_000);
    vec![
        ("a function of calls through a table", functions(1, 1, &CALL.repeat(1_500_000))),
        ("a thousand such functions", functions(1_000, 1, &CALL.repeat(1_500))),
        ("half a million functions", functions(500_000, 1, b"")),
        ("deep blocks", functions(1, 1, &[[0x02, 0x40].repeat(300_000), [0x0b].repeat(300_000)].concat())),
        ("deep ifs", functions(1, 1, &[ifs, [0x0b].repeat(200_000)].concat())),
        ("deep loops", functions(1, 1, &[[0x03, 0x40].repeat(300_000), [0x0b].repeat(300_000)].concat())),
        ("a large branch table", functions(1, 1, &branches)),
        ("many live values", functions(1, 1, &live)),
        ("forty thousand locals", functions(1, 40_000, &juggling)),
        ("growing memory", functions(1, 1, &[0x41, 0, 0x40, 0, 0x1a].repeat(1_500_000))),
        ("components within components", nested(5_000)),
        ("a type that doubles", doubling(60)),
    ]
}

/// A module room that tries components in a child, with little patience.
fn careful(seconds: u64) -> Rig {
    let rig = Rig::with(Limits { compile_seconds_max: seconds, ..limits() });
    rig.modules.set_compiler(binary().to_owned());
    rig
}

#[test]
fn compile_bombs_are_refused_and_cost_the_broker_nothing() {
    let mut rig = careful(4);
    rig.deploy("m", "echoes-version", 1, OnFailure::Refuse, r#"{"version": "one"}"#);
    for (name, bomb) in bombs() {
        assert!(bomb.len() < rig.modules.limits().component_bytes_max, "{name} has {} bytes", bomb.len());
        let begun = Instant::now();
        let refused = rig.modules.deploy("bomb", &bomb, DeployOptions::default()).expect_err(name);
        println!("{name}: {} bytes, {:?}: {:.100}", bomb.len(), begun.elapsed(), refused.to_string());
        assert!(!refused.is_temporary(), "{name}: {refused}");
        assert!(begun.elapsed() < Duration::from_secs(60), "{name}");
        assert_eq!(rig.routed("t"), "pass t");
    }
    assert_eq!(rig.modules.list().len(), 2);
}

/// What the child says is what the broker says without one.
#[test]
fn a_child_tells_what_is_wrong_in_the_same_words() {
    let (with, without) = (careful(60), Rig::new());
    let echo = component("echoes-version");
    for bytes in [echo[..echo.len() / 2].to_vec(), component("lies-about-its-world"), b"\0asm\x0d\0\x01\0".to_vec()] {
        let said = |rig: &Rig| rig.modules.deploy("m", &bytes, DeployOptions::default()).unwrap_err().to_string();
        assert_eq!(said(&with), said(&without));
    }
    let options = DeployOptions { config: Some(r#"{"version": "1"}"#.into()), ..DeployOptions::default() };
    assert_eq!(with.modules.deploy("m", &echo, options).unwrap().version, Some(1));
}

/// Before a child is started: whatever the bytes are, they are refused or not, without a panic. A million of them where
/// `PLIANT_TEST_LONG` is set.
#[test]
fn random_and_truncated_bytes_are_refused_without_a_panic() {
    let rig = Rig::new();
    let long = std::env::var_os("PLIANT_TEST_LONG").is_some();
    let echo = component("echoes-version");
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as usize
    };
    for n in 0..if long { 1_000_000 } else { 1_000 } {
        let bytes: Vec<u8> = match n % 4 {
            0 => (0..random() % 200).map(|_| random() as u8).collect(),
            1 => [b"\0asm\x0d\0\x01\0".to_vec(), (0..random() % 60).map(|_| random() as u8).collect()].concat(),
            2 => echo[..random() % echo.len()].to_vec(),
            _ => {
                let mut bytes = echo.clone();
                let at = random() % bytes.len();
                bytes[at] ^= 1 << (random() % 8);
                bytes.truncate(at + 1 + random() % 64);
                bytes
            }
        };
        host::wasm::check_bytes(rig.modules.limits(), &bytes).map(drop).unwrap_or_default();
    }
}
