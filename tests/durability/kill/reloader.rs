//! Deploys one version of a module after the other: after a restart the last one is active that was answered, or one
//! that was sent after it.

use super::{Actor, Site};
use crate::harness::guests;
use serde_json::json;

const MODULE: &str = "/api/v1/modules/stamp";

/// See the head of this file.
#[derive(Default)]
pub struct Reloader {
    /// Versions sent; the first one is 1.
    pub sent: u32,
    /// The last one that was answered.
    answered: u32,
    faults: Vec<String>,
}

impl Reloader {
    /// Every fourth version is only another configuration; the others come with their component.
    fn deploy(&mut self, site: &Site) -> Option<()> {
        self.sent += 1;
        let config = json!({ "version": self.sent.to_string() }).to_string();
        let answer = if self.answered > 0 && self.sent % 4 == 3 {
            let path = format!("{MODULE}/config");
            site.admin.try_send("PUT", &path, &["Content-Type: application/json"], config.as_bytes())?
        } else {
            let query: String = config.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let component = guests::component("echoes-version");
            let path = format!("{MODULE}?config={query}");
            site.admin.try_send("PUT", &path, &["Content-Type: application/wasm"], &component)?
        };
        match answer.status {
            200 => self.answered = self.sent,
            _ => self.faults.push(format!("deploying {}: {answer:?}", self.sent)),
        }
        Some(())
    }

    /// What is active after a restart.
    fn look(&mut self, site: &Site) -> Option<()> {
        let answer = site.admin.try_send("GET", MODULE, &[], b"")?;
        if answer.status == 404 && self.answered == 0 {
            return Some(());
        }
        let module = answer.json();
        let version: u32 = module["config"]["version"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
        if module["state"] != "active" || version < self.answered || version > self.sent {
            self.faults
                .push(format!("{} of {} versions were answered, and there is {module}", self.answered, self.sent));
        }
        Some(())
    }
}

impl Actor for Reloader {
    fn act(&mut self, site: &Site) {
        let mut here = self.look(site);
        while here.is_some() && !site.is_ending() {
            here = self.deploy(site);
            std::thread::sleep(std::time::Duration::from_millis(30));
        }
    }

    fn faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }
}
