//! Sequences of packets of three clients that nobody wrote down: drawn from a seed, played against the broker, and held
//! against a model of what each session must have got.
//!
//! `PLIANT_SEQUENCE_SECONDS=60` goes on with new seeds for so long. A failing row names its seed.

use crate::harness::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const STEPS: usize = 60;

/// Numbers that follow from a seed (splitmix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// How many copies of one message a session must get above QoS 0, how many it may get at QoS 0, and how many it got.
#[derive(Debug, Default)]
struct Copies {
    owed: usize,
    allowed: usize,
    got: usize,
    got_at_0: usize,
}

/// One client and what its session must hold.
struct Player {
    version: Version,
    id: String,
    client: Option<Client>,
    filters: BTreeMap<String, u8>,
    messages: BTreeMap<usize, Copies>,
    /// Delivered and not acknowledged: identifier and message.
    under_way: BTreeSet<(u16, usize)>,
    /// The last message of each publisher, topic and QoS.
    last: BTreeMap<(String, String, u8), usize>,
}

struct Game {
    draw: Draw,
    own: String,
    players: Vec<Player>,
    published: usize,
}

impl Player {
    fn new(version: Version) -> Self {
        let id = unique(&format!("{version:?}"));
        let (filters, messages, last) = Default::default();
        Self { version, id, client: None, filters, messages, under_way: BTreeSet::new(), last }
    }

    fn connect(&mut self) {
        self.client = Some(connect(self.version).id(&self.id).kept().open());
    }

    /// Begins with nothing.
    fn wipe(&mut self) {
        let clean = match self.version {
            V5 => connect(V5).id(&self.id).session_expiry(u32::MAX).open(),
            version => {
                connect(version).id(&self.id).open().disconnect();
                connect(version).id(&self.id).kept().open()
            }
        };
        assert!(!clean.connack.present);
        self.client = Some(clean);
        self.filters.clear();
        self.messages.clear();
        self.under_way.clear();
    }

    /// A message was published that was taken.
    fn expect(&mut self, number: usize, topic: &str, qos: u8) {
        let matching =
            self.filters.iter().filter(|(filter, _)| matches(filter, topic)).map(|(_, granted)| qos.min(*granted));
        let mut copies: Vec<u8> = matching.collect();
        if self.version < V5 && !copies.is_empty() {
            copies = vec![copies.into_iter().max().expect("there is one")];
        }
        let message = self.messages.entry(number).or_default();
        message.owed += copies.iter().filter(|qos| **qos > 0).count();
        message.allowed += copies.iter().filter(|qos| **qos == 0).count();
    }

    /// Takes what has come, acknowledging what `acknowledge` says.
    fn read(&mut self, mut acknowledge: impl FnMut() -> bool) -> usize {
        let Some(client) = &mut self.client else { return 0 };
        let came = client.messages();
        for message in &came {
            let (publisher, number) = message.text().split_once(' ').expect("who and which");
            let number: usize = number.parse().expect("a number");
            let again = message.qos > 0 && !self.under_way.insert((message.id, number));
            assert!(!again || message.duplicate, "message {number} came again without DUP");
            if !again {
                let copies = self.messages.entry(number).or_default();
                *(if message.qos == 0 { &mut copies.got_at_0 } else { &mut copies.got }) += 1;
                let last = self.last.entry((publisher.to_owned(), message.topic.clone(), message.qos)).or_default();
                assert!(*last <= number, "message {number} came after {last}");
                *last = number;
            }
            if message.qos > 0 && acknowledge() {
                if message.qos == 1 {
                    client.ack(0x40, message.id);
                } else {
                    client.ack(0x50, message.id);
                    client.acked(0x62, message.id);
                    client.ack(0x70, message.id);
                }
                self.under_way.remove(&(message.id, number));
            }
        }
        came.len()
    }
}

impl Game {
    fn new(seed: u64) -> Self {
        let mut draw = Draw(seed);
        let players = (0..3).map(|_| Player::new(ALL[draw.below(3)])).collect();
        Self { draw, own: unique("sequence"), players, published: 0 }
    }

    fn step(&mut self) {
        let at = self.draw.below(self.players.len());
        let what = self.draw.below(20);
        if self.players[at].client.is_none() {
            return self.players[at].connect();
        }
        match what {
            0..=3 => self.subscribe(at),
            4 => self.unsubscribe(at),
            5..=11 => self.publish(at),
            12 => self.publish_across_a_reconnect(at),
            13 => self.players[at].client.take().into_iter().for_each(Client::disconnect),
            14 => self.players[at].client.take().into_iter().for_each(Client::cut),
            // The earlier connection is still there.
            15 => self.players[at].connect(),
            16 if self.draw.below(4) == 0 => self.players[at].wipe(),
            _ => {
                let mut draw = Draw(self.draw.below(usize::MAX) as u64);
                self.players[at].read(|| draw.below(10) < 7);
            }
        }
    }

    fn subscribe(&mut self, at: usize) {
        let filter = format!("{}/{}", self.own, ["#", "+", "a", "a/b", "+/b"][self.draw.below(5)]);
        let qos = self.draw.below(3) as u8;
        let player = &mut self.players[at];
        player.client.as_mut().expect("it is connected").subscribe(&filter, qos);
        player.filters.insert(filter, qos);
    }

    fn unsubscribe(&mut self, at: usize) {
        let player = &mut self.players[at];
        let Some(filter) = player.filters.keys().nth(self.draw.below(5)).cloned() else { return };
        player.client.as_mut().expect("it is connected").unsubscribe(&[&filter]);
        player.filters.remove(&filter);
    }

    fn message(&mut self, at: usize) -> Publish {
        self.published += 1;
        let topic = format!("{}/{}", self.own, ["a", "a/b", "c"][self.draw.below(3)]);
        Publish::new(&topic, format!("{at} {}", self.published), self.draw.below(3) as u8)
    }

    fn publish(&mut self, at: usize) {
        let message = self.message(at);
        let code = self.players[at].client.as_mut().expect("it is connected").publish(&message);
        assert!(code < 0x80, "refused with {code:#04x}");
        self.expect(&message);
    }

    /// QoS 2 with a connection that breaks before the release: still one message.
    fn publish_across_a_reconnect(&mut self, at: usize) {
        let message = Publish { qos: 2, ..self.message(at) };
        let player = &mut self.players[at];
        let mut client = player.client.take().expect("it is connected");
        let id = client.send_publish(&message);
        client.acked(0x50, id);
        client.cut();
        player.connect();
        let client = player.client.as_mut().expect("just connected");
        client.send_publish(&Publish { id, ..message.clone() }.duplicate());
        client.acked(0x50, id);
        client.release(id);
        self.expect(&message);
    }

    fn expect(&mut self, message: &Publish) {
        for player in &mut self.players {
            player.expect(self.published, &message.topic, message.qos);
        }
    }

    /// All come back, read what there is, and must have got what they were owed.
    fn end(mut self) {
        for player in &mut self.players {
            player.client.take().into_iter().for_each(Client::cut);
            player.connect();
            while player.read(|| true) > 0 {}
            for (number, copies) in &player.messages {
                let Copies { owed, allowed, got, got_at_0 } = copies;
                assert!(got == owed && got_at_0 <= allowed, "{}: message {number}: {copies:?}", player.id);
            }
        }
        // Nothing stays behind on a broker that others use too.
        for player in self.players {
            drop(player.client);
            connect(player.version).id(&player.id).open().disconnect();
        }
    }
}

fn matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some(level), Some(name)) if level == "+" || level == name => {}
            _ => return false,
        }
    }
}

fn play(seed: u64) {
    let mut game = Game::new(seed);
    for _ in 0..STEPS {
        game.step();
    }
    game.end();
}

#[test]
fn every_session_gets_what_it_is_owed() {
    let told = |seed: u64| {
        let played = std::panic::catch_unwind(|| play(seed));
        assert!(played.is_ok(), "the sequence of seed {seed} went wrong");
    };
    (0..40).for_each(told);
    let seconds = std::env::var("PLIANT_SEQUENCE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut seed = u64::from(std::process::id()) << 32;
    while Instant::now() < end {
        seed += 1;
        told(seed);
    }
}
