//! Tries what a program may try outside a broker: files, environment, sockets, sleep, standard output. What it found
//! goes out as user properties.

use pliant_guest::prelude::*;
use std::time::{Duration, Instant, SystemTime};

struct LooksAround;

impl Module for LooksAround {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self, Refusal> {
        println!("configured");
        Ok(Self)
    }
}

impl Routing for LooksAround {
    fn on_publish(&self, _: &Client, envelope: Envelope, payload: &Payload) -> Decision {
        if envelope.topic == "exit" {
            std::process::exit(0);
        }
        print!("half a ");
        println!("line of {} bytes", payload.size());
        eprintln!("something is wrong");
        let begun = Instant::now();
        std::thread::sleep(Duration::from_secs(60));
        let slept = begun.elapsed() >= Duration::from_secs(60);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let random = std::collections::HashMap::from([(1, 2)]);
        let says = envelope
            .property("arguments", std::env::args().count().to_string())
            .property("environment", std::env::vars().count().to_string())
            .property("file", std::fs::read("/etc/passwd").is_ok().to_string())
            .property("folder", std::fs::read_dir("/").is_ok().to_string())
            .property("socket", std::net::TcpStream::connect("127.0.0.1:1").is_ok().to_string())
            .property("slept", slept.to_string())
            .property("time", since.to_string())
            .property("map", random.len().to_string());
        Decision::readdress(says)
    }
}

pliant_guest::export!(LooksAround with routing);
