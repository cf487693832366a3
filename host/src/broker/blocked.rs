//! Publishers that wait for room in a mailbox, each once however often it has tried.

use super::Outlet;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Fewer are not looked through for such as have gone.
const FEW: usize = 64;

/// See the head of this file.
#[derive(Default)]
pub struct Blocked {
    /// By their place in memory, which is nobody else's as long as they are here.
    waiting: BTreeMap<usize, Arc<dyn Outlet>>,
    /// So many were left when it was looked through.
    left: usize,
    /// Somebody has waited all the time that one waits, and there has been no room since.
    in_vain: bool,
}

impl Blocked {
    /// One more.
    pub fn add(&mut self, outlet: &Arc<dyn Outlet>) {
        let place = Arc::as_ptr(outlet).cast::<()>() as usize;
        self.waiting.entry(place).or_insert_with(|| outlet.clone());
        if self.waiting.len() > FEW.max(2 * self.left) {
            self.waiting.retain(|_, outlet| Arc::strong_count(outlet) > 1);
            self.left = self.waiting.len();
        }
    }

    /// Somebody has waited in vain: until there is room nobody begins to, for a connection that waits is not read, and would
    /// wait anew for each message that it had sent before.
    pub fn give_up(&mut self) {
        self.in_vain = true;
    }

    /// See [`Self::give_up`].
    pub fn is_in_vain(&self) -> bool {
        self.in_vain
    }

    /// There is room: all of them, to be woken.
    pub fn into_outlets(self) -> impl Iterator<Item = Arc<dyn Outlet>> + use<> {
        self.waiting.into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Probe;
    use super::*;

    #[test]
    fn each_waits_once_and_who_has_gone_does_not() {
        let mut blocked = Blocked::default();
        let stays: Arc<dyn Outlet> = Arc::new(Probe::default());
        for _ in 0..1_000 {
            blocked.add(&stays);
            let goes: Arc<dyn Outlet> = Arc::new(Probe::default());
            blocked.add(&goes);
        }
        assert!(blocked.waiting.len() <= FEW + 1, "{}", blocked.waiting.len());
        assert!(blocked.into_outlets().any(|outlet| Arc::ptr_eq(&outlet, &stays)));
    }
}
