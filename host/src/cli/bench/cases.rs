//! What `pliant bench compare` plays: a name, and what `pliant bench` is told for it.

/// One comparison.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub name: &'static str,
    pub arguments: &'static str,
    /// Whether it goes by time and not by number.
    pub is_timed: bool,
}

const fn timed(name: &'static str, arguments: &'static str) -> Case {
    Case { name, arguments, is_timed: true }
}

const fn counted(name: &'static str, arguments: &'static str) -> Case {
    Case { name, arguments, is_timed: false }
}

/// All of them. A name has kind, QoS, number of publishers and payload; `w1` stands for one message under way at a time.
pub(super) const CASES: &[Case] = &[
    timed("p2p-q0-1x64", "p2p --publishers 1 --qos 0 --size 64 --window 64 --await-copies"),
    timed("p2p-q0-10x256", "p2p --publishers 10 --qos 0 --size 256 --window 64 --await-copies"),
    timed("p2p-q0-10x4096", "p2p --publishers 10 --qos 0 --size 4096 --window 64 --await-copies"),
    timed("p2p-q0-100x64", "p2p --publishers 100 --qos 0 --size 64 --window 16 --await-copies"),
    timed("p2p-q0-100x64-w1", "p2p --publishers 100 --qos 0 --size 64 --window 1 --await-copies"),
    timed("p2p-q1-10x256", "p2p --publishers 10 --qos 1 --size 256 --window 32 --await-copies"),
    timed("p2p-q1-100x256-w1", "p2p --publishers 100 --qos 1 --size 256 --window 1 --await-copies"),
    timed("p2p-q2-10x256", "p2p --publishers 10 --qos 2 --size 256 --window 16 --await-copies"),
    timed("fanin-q0-100", "fan-in --publishers 100 --qos 0 --size 64 --window 16 --await-copies"),
    timed("fanin-q1-100", "fan-in --publishers 100 --qos 1 --size 64 --window 2 --await-copies"),
    timed("fanout-q0-1000", "fan-out --subscribers 1000 --qos 0 --size 64 --window 4 --await-copies"),
    timed("fanout-q1-1000", "fan-out --subscribers 1000 --qos 1 --size 64 --window 4 --await-copies"),
    timed(
        "routing-1k",
        "routing --filters 1000 --topics 250 --publishers 4 --qos 0 --size 64 --window 32 --await-copies",
    ),
    timed(
        "routing-10k",
        "routing --filters 10000 --topics 2500 --publishers 4 --qos 0 --size 64 --window 32 --await-copies",
    ),
    timed(
        "routing-100k",
        "routing --filters 100000 --topics 25000 --publishers 4 --qos 0 --size 64 --window 32 --await-copies",
    ),
    timed("shared-q0-8", "shared --publishers 8 --subscribers 8 --qos 0 --size 64 --window 32 --await-copies"),
    timed("shared-q1-8", "shared --publishers 8 --subscribers 8 --qos 1 --size 64 --window 16 --await-copies"),
    timed("modules-q1-10x256", "modules --publishers 10 --qos 1 --size 256 --window 32 --await-copies"),
    timed("durable-q1-10x256", "durable --publishers 10 --qos 1 --size 256 --window 32 --await-copies"),
    timed("latency-q0-5k", "p2p --publishers 10 --qos 0 --size 256 --rate 500"),
    timed("latency-q1-2k", "p2p --publishers 10 --qos 1 --size 256 --rate 200"),
    counted("retained-set-100k", "retained --messages 100000 --subscribers 0 --size 64 --window 64"),
    counted("retained-100k", "retained --messages 100000 --subscribe-qos 0 --size 64 --window 64"),
    counted("offline-20k", "offline --messages 20000 --size 256 --window 64"),
    counted("connects-1k", "connections --publishers 1000"),
    counted("storm-2k", "storm --publishers 2000"),
];
