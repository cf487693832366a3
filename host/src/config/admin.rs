//! What is wrong with the admin API's settings taken together.

use super::meant::{Admin, Bind};

impl Admin {
    /// Each with its key; `is_written` tells which keys were.
    pub(super) fn problems(&self, is_written: impl Fn(&str) -> bool) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if matches!(self.bind, Bind::Path(_)) {
            found.push(("admin.bind", "the admin API is served at an address and a port".to_owned()));
        }
        if !self.bind.is_loopback() {
            let message = "the admin API has no TLS yet and is served on loopback addresses only";
            found.push(("admin.bind", message.to_owned()));
        }
        // Other names of one file, and other files with one token, are found when they are read.
        if !self.read_token_file.as_os_str().is_empty() && self.read_token_file == self.token_file {
            let message = "admin.read_token_file: it is the file of the token that may do everything; name another one";
            found.push(("admin.read_token_file", message.to_owned()));
        }
        let (uploads, bodies, connections) =
            (self.limits.uploads_max, self.limits.bodies_max, self.limits.connections_max);
        // Slow bodies would take all of them, and nobody could look any more.
        if uploads.saturating_add(bodies) >= connections {
            let message = format!(
                "admin.connections_max: {connections} connections leave none beside {uploads} components \
                 (admin.uploads_max) and {bodies} other bodies (admin.bodies_max) that may be on their way: raise it above {}, \
                 or lower these two",
                uploads.saturating_add(bodies)
            );
            let keys = ["admin.connections_max", "admin.uploads_max", "admin.bodies_max"];
            found.push((keys.into_iter().find(|key| is_written(key)).unwrap_or(keys[0]), message));
        }
        found
    }
}
