//! Every way to behave badly that its configuration may name; `good` topics are let pass.

use core::sync::atomic::{AtomicBool, Ordering};
use pliant_guest::prelude::*;

/// It has answered once.
static STARTED: AtomicBool = AtomicBool::new(false);

fn toil() {
    for n in 0..100_000_000u64 {
        core::hint::black_box(n);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hostile {
    mode: String,
    /// The topics that it wants to see; none: all.
    #[serde(default)]
    wants: Option<String>,
    #[serde(default)]
    topic: String,
}

const MEBIBYTE: usize = 1 << 20;

fn endless() -> ! {
    let mut n = 0u64;
    loop {
        n = core::hint::black_box(n.wrapping_add(1));
    }
}

// Without an end on purpose: what stops it is the bound on the stack.
#[expect(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    let here = core::hint::black_box([depth; 64]);
    recurse(depth + 1) + here[(depth % 64) as usize]
}

impl Module for Hostile {
    type Config = Self;

    fn new(config: Self) -> Result<Self, Refusal> {
        match config.mode.as_str() {
            "configure-loops" => endless(),
            "configure-recurses" => panic!("{}", recurse(0)),
            "configure-storms" => (0..1_000_000).for_each(|_| log::info("again")),
            "configure-toils" | "configure-toils-and-traps" | "starts-late" => toil(),
            "configure-eats" => core::mem::forget(core::hint::black_box(vec![1u8; 64 * MEBIBYTE])),
            "configure-exits" => std::process::exit(0),
            // Long enough for others to be configured meanwhile.
            "configure-waits" => {
                log::info("waits");
                for n in 0..300_000_000u64 {
                    core::hint::black_box(n);
                }
            }
            "configure-writes" => {
                let _ = state::set("left", b"behind", None);
                return Err("no".to_owned().into());
            }
            "configure-says-much" => return Err("x".repeat(MEBIBYTE).into()),
            _ => {}
        }
        Ok(config)
    }

    fn manifest(&self) -> Manifest {
        let mut manifest = Manifest::default();
        if let Some(filter) = &self.wants {
            manifest.routing = Interest::filters([filter.as_str()]);
        }
        match self.mode.as_str() {
            "manifest-many" => manifest.routing = Interest::filters((0..1_000).map(|n| format!("f/{n}"))),
            "manifest-bad" => manifest.routing = Interest::filters(["a/#/b"]),
            "manifest-long" => manifest.description = "d".repeat(MEBIBYTE),
            "ticks-always" | "tick-loops" => manifest.tick_milliseconds = Some(0),
            _ => {}
        }
        manifest
    }
}

impl Hostile {
    fn storm(&self) {
        let name = |n: u32| format!("name_{n}");
        for n in 0..u32::MAX {
            match self.mode.as_str() {
                "log-storm" => log::info("again and again"),
                "long-lines" => log::info("l".repeat(MEBIBYTE / 4)),
                "state-storm" => drop(state::set("key", &n.to_le_bytes(), None)),
                "state-fill" => drop(state::set(&name(n), &[7; 60_000], None)),
                "counter-storm" => drop(state::add("count", 1)),
                "metric-storm" => metrics::count(&name(n), 1),
                "clock-storm" => drop(clock::now_milliseconds()),
                "retained-storm" => drop(retained::get("a")),
                "print-storm" => println!("again"),
                _ => return,
            }
        }
    }

    fn wish(&self) -> Message {
        Message::new(self.topic.as_str(), "wished for")
    }
}

impl Routing for Hostile {
    fn on_publish(&self, _: &Client, envelope: Envelope, payload: &Payload) -> Decision {
        if envelope.topic.starts_with("good") {
            return Decision::keep();
        }
        self.storm();
        let text = |text: String| Decision::readdress(envelope.clone().property("p", text));
        match self.mode.as_str() {
            "loops" => endless(),
            "starts-late" if envelope.topic.ends_with("loops") => endless(),
            "starts-late" => {
                if !STARTED.swap(true, Ordering::Relaxed) {
                    log::info("started");
                    let _ = state::add("starts", 1);
                    toil();
                }
                Decision::keep()
            }
            "recurses" => text(recurse(0).to_string()),
            "eats" => text(vec![1u8; 64 * MEBIBYTE].len().to_string()),
            "traps" | "configure-toils-and-traps" => panic!("as always"),
            // One in a hundred: what an instance draws is its own.
            "traps-sometimes" => {
                let turn = state::add("turn", 1).unwrap_or(0);
                assert!(turn % 100 != 0, "as it does now and then");
                Decision::keep()
            }
            "leaks" => {
                (0..1_000).for_each(|_| core::mem::forget(wasip2::http::types::Fields::new()));
                Decision::keep()
            }
            "leaks-bytes" => {
                let fields = wasip2::http::types::Fields::new();
                while fields.append("x", &[b'x'; 1_000]).is_ok() {}
                let more: Vec<_> = (0..40).map(|_| fields.clone()).collect();
                text(more.len().to_string())
            }
            // For the bench.
            "state-gets" => {
                (0..100).for_each(|_| drop(state::get("key")));
                Decision::keep()
            }
            "state-sets" => {
                for n in 0..100u8 {
                    let _ = state::set("key", &[n; 16], None);
                }
                Decision::keep()
            }
            "hoards" => {
                core::mem::forget(core::hint::black_box(vec![1u8; 64 << 10]));
                Decision::keep()
            }
            "exits" => std::process::exit(0),
            "dawdles" => {
                let until = clock::now_milliseconds() + 3;
                while clock::now_milliseconds() < until {
                    for n in 0..10_000 {
                        core::hint::black_box(n);
                    }
                }
                Decision::keep()
            }
            "sleeps" => {
                std::thread::sleep(core::time::Duration::from_secs(10));
                Decision::keep()
            }
            "spawns" => {
                let thread = std::thread::spawn(|| 7);
                text(format!("{:?}", thread.join().is_ok()))
            }
            "opens" => text(format!("{:?}", std::fs::read("/etc/passwd").map(|bytes| bytes.len()).map_err(|_| "no"))),
            "connects" => {
                text(format!("{:?}", std::net::TcpStream::connect("127.0.0.1:1883").map_err(|_| "no").is_ok()))
            }
            "environment" => text(std::env::vars().count().to_string()),
            "reads-past" => text(format!("{}", payload.read(u64::MAX, u32::MAX).len())),
            "reads-much" => {
                (0..u32::MAX).for_each(|_| drop(core::hint::black_box(payload.read(0, u32::MAX))));
                Decision::keep()
            }
            "bad-text" => text("a\0b".into()),
            "long-text" => text("t".repeat(70_000)),
            "wild" => Decision::readdress(Envelope { topic: "a/#".into(), ..envelope }),
            "empty" => Decision::readdress(Envelope { topic: String::new(), ..envelope }),
            "long-topic" => Decision::readdress(Envelope { topic: "t".repeat(70_000), ..envelope }),
            "answers-to-wild" => Decision::readdress(Envelope { response_topic: Some("+".into()), ..envelope }),
            "large" => Decision::replace(Message::new("a", vec![7u8; 4 * MEBIBYTE])),
            "many-wishes" => (0..1_000_000).fold(Decision::keep(), |decision, _| decision.also(self.wish())),
            "some-wishes" => (0..65).fold(Decision::keep(), |decision, _| decision.also(self.wish())),
            "wishes" => Decision::keep().also(self.wish()),
            "reserved" => Decision::readdress(Envelope { topic: "$SYS/broker/version".into(), ..envelope }),
            _ => Decision::keep(),
        }
    }
}

impl Delivery for Hostile {
    fn on_deliver(&self, _: &Client, envelope: Envelope, _: &Payload) -> Outcome {
        match self.mode.as_str() {
            "delivery-loops" if !envelope.topic.starts_with("good") => endless(),
            _ => Outcome::Pass,
        }
    }
}

impl Events for Hostile {
    fn on_events(&self, _: Vec<Event>) -> Vec<Message> {
        match self.mode.as_str() {
            "events-loop" => endless(),
            "events-flood" => (0..64).map(|_| self.wish()).collect(),
            _ => Vec::new(),
        }
    }
}

impl Timers for Hostile {
    fn on_tick(&self, _: u64) -> Vec<Message> {
        match self.mode.as_str() {
            "tick-loops" => endless(),
            "ticks-always" => vec![self.wish()],
            _ => Vec::new(),
        }
    }
}

pliant_guest::export!(Hostile with routing, delivery, events, timers);
