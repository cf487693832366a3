//! A start that somebody may want to end before it is over.

use super::error::StartError;
use crate::store::Store;
use parking_lot::Mutex;

/// A start that is under way, shared with whoever may have to end it.
#[derive(Default)]
pub struct Attempt(Mutex<State>);

enum State {
    /// Nobody was let in yet. The store, once it is open.
    Building(Option<Store>),
    /// Clients are, or will be at once.
    Open,
    GivenUp,
}

impl Default for State {
    fn default() -> Self {
        Self::Building(None)
    }
}

impl Attempt {
    /// The store is open.
    ///
    /// # Errors
    /// The start was given up meanwhile; so is [`Self::open_doors`].
    pub(super) fn has_store(&self, store: &Store) -> Result<(), StartError> {
        match &mut *self.0.lock() {
            State::Building(known) => {
                *known = Some(store.clone());
                Ok(())
            }
            State::Open => Ok(()),
            State::GivenUp => Err(StartError::GivenUp),
        }
    }

    /// Clients may be let in from now on.
    pub(super) fn open_doors(&self) -> Result<(), StartError> {
        let mut state = self.0.lock();
        if matches!(*state, State::GivenUp) {
            return Err(StartError::GivenUp);
        }
        *state = State::Open;
        Ok(())
    }

    /// Ends the start, whatever it is about: the store is closed if it is open, no door is opened any more, and the process
    /// may end. False: the doors are open, and the broker is one to be stopped in order.
    pub fn give_up(&self) -> bool {
        let mut state = self.0.lock();
        match &*state {
            State::Open => return false,
            State::GivenUp => {}
            State::Building(store) => {
                // Nobody has been promised anything yet.
                let _ = store.as_ref().map(Store::close);
                *state = State::GivenUp;
            }
        }
        true
    }
}
