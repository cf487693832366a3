//! Routes that a thread remembers: a table of sets of a few places each, so that names that many clients use at the same time
//! do not push one another out, and a name costs one look at a cache line and one at its route.

use super::changes::Changes;
use super::route::{Found, Route};
use crate::client::Scope;
use hashbrown::DefaultHashBuilder;
use std::cell::Cell;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

/// Places of a set: their hashes lie in one or two cache lines.
const WAYS: usize = 4;

/// Places of the first table.
const PLACES_MIN: usize = 64;

/// By what factor a table grows.
const GROWTH: usize = 4;

/// Since when something holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Of the modules.
    pub generation: u64,
    /// Of the subscriptions.
    pub version: u64,
}

/// A name as clients of a scope say it.
pub(super) struct Key<'a> {
    hash: u64,
    scope: &'a Arc<Scope>,
    name: &'a str,
}

/// The table of one thread.
pub(super) struct Routes {
    hasher: DefaultHashBuilder,
    places: Vec<Place>,
    places_max: usize,
    /// What the routes take, roughly.
    bytes: usize,
    bytes_max: usize,
    /// Goes round: what has to make room is looked for from here.
    hand: usize,
    /// Where something was found last. Most clients publish to one name, or to one many times in a row.
    last: Cell<usize>,
}

#[derive(Default)]
struct Place {
    hash: u64,
    kept: Option<Box<Kept>>,
}

struct Kept {
    scope: Arc<Scope>,
    name: Box<str>,
    at: Moment,
    found: Found,
    bytes: usize,
}

impl Kept {
    fn new(key: &Key, at: Moment, found: Found) -> Self {
        let way = found.as_ref().map_or(0, |route| route.size());
        let bytes = size_of::<Self>() + key.name.len() + way;
        Self { scope: key.scope.clone(), name: key.name.into(), at, found, bytes }
    }

    /// Whether it is still true. That a name is refused has to do with modules only.
    fn holds(&self, at: Moment, changes: &Changes) -> bool {
        let same = |route: &Arc<Route>| changes.holds(&route.stamp);
        self.at == at || self.at.generation == at.generation && self.found.as_ref().map_or(true, same)
    }
}

impl Place {
    #[inline]
    fn kept(&self, key: &Key) -> Option<&Kept> {
        let kept = self.kept.as_deref().filter(|_| self.hash == key.hash)?;
        let same = *kept.name == *key.name && (Arc::ptr_eq(&kept.scope, key.scope) || kept.scope == *key.scope);
        same.then_some(kept)
    }

    /// The same without a hash, for clients of the very scope that what is kept was found for.
    #[inline]
    fn kept_for(&self, scope: &Arc<Scope>, name: &str) -> Option<&Kept> {
        self.kept.as_deref().filter(|kept| Arc::ptr_eq(&kept.scope, scope) && *kept.name == *name)
    }
}

impl Routes {
    /// A table that grows to at most so many routes, rounded up to a power of two, and so many bytes, or one route.
    pub fn new(routes_max: usize, bytes_max: usize) -> Self {
        let places_max = routes_max.max(PLACES_MIN).next_power_of_two();
        let (hasher, places, last) = (DefaultHashBuilder::default(), Vec::new(), Cell::new(0));
        Self { hasher, places, places_max, bytes: 0, bytes_max, hand: 0, last }
    }

    /// The hash is one of the scope, too: many users may publish under one name.
    #[inline]
    pub fn key<'a>(&self, scope: &'a Arc<Scope>, name: &'a str) -> Key<'a> {
        Key { hash: self.hasher.hash_one((name, &**scope)), scope, name }
    }

    /// What was found last, if it was for this, and still holds.
    #[inline]
    pub fn again(&self, scope: &Arc<Scope>, name: &str, at: Moment) -> Option<&Found> {
        let kept = self.places.get(self.last.get())?.kept_for(scope, name)?;
        (kept.at == at).then_some(&kept.found)
    }

    /// What was found, if that still holds.
    #[inline]
    pub fn get(&self, key: &Key, at: Moment) -> Option<&Found> {
        let set = self.set(key.hash);
        let start = set.start;
        let (way, kept) =
            self.places.get(set)?.iter().enumerate().find_map(|(way, place)| Some((way, place.kept(key)?)))?;
        self.last.set(start + way);
        (kept.at == at).then_some(&kept.found)
    }

    /// What was found, if nothing has changed that concerns it: it holds from now on.
    pub fn renew(&mut self, key: &Key, at: Moment, changes: &Changes) -> Option<Found> {
        let set = self.set(key.hash);
        let kept = self.places.get_mut(set)?.iter_mut().find(|place| place.kept(key).is_some())?.kept.as_mut()?;
        kept.holds(at, changes).then(|| {
            kept.at = at;
            kept.found.clone()
        })
    }

    /// What was found under the same modules, whatever was subscribed to then.
    pub fn before(&self, key: &Key, generation: u64) -> Option<Found> {
        let kept = self.kept(key)?;
        (kept.at.generation == generation).then(|| kept.found.clone())
    }

    #[inline]
    fn kept(&self, key: &Key) -> Option<&Kept> {
        self.places.get(self.set(key.hash))?.iter().find_map(|place| place.kept(key))
    }

    #[inline]
    fn set(&self, hash: u64) -> Range<usize> {
        let start = (hash as usize).wrapping_mul(WAYS) & self.places.len().wrapping_sub(1);
        start..start.saturating_add(WAYS)
    }

    /// Remembers it in place of what was found before, of nothing, or of what holds no more. Where the set is full of what
    /// holds the table grows; at its bound another goes.
    pub fn put(&mut self, key: &Key, at: Moment, found: Found, changes: &Changes) {
        if self.places.is_empty() {
            self.resize(PLACES_MIN);
        }
        let place = loop {
            if let Some(place) = self.free(key, at, changes) {
                break place;
            }
            if self.places.len() >= self.places_max {
                self.hand = self.hand.wrapping_add(1);
                break self.set(key.hash).start + self.hand % WAYS;
            }
            self.resize((self.places.len() * GROWTH).min(self.places_max));
        };
        self.clear(place);
        let kept = Kept::new(key, at, found);
        self.make_room(kept.bytes);
        self.bytes += kept.bytes;
        self.places[place] = Place { hash: key.hash, kept: Some(Box::new(kept)) };
    }

    fn clear(&mut self, place: usize) {
        if let Some(kept) = self.places[place].kept.take() {
            self.bytes -= kept.bytes;
        }
    }

    fn make_room(&mut self, bytes: usize) {
        while self.bytes > 0 && self.bytes + bytes > self.bytes_max {
            self.hand = self.hand.wrapping_add(1);
            self.clear(self.hand % self.places.len());
        }
    }

    fn free(&self, key: &Key, at: Moment, changes: &Changes) -> Option<usize> {
        let set = self.set(key.hash);
        let places = &self.places[set.clone()];
        let same = || places.iter().position(|place| place.kept(key).is_some());
        let idle = || places.iter().position(|place| place.kept.as_ref().is_none_or(|kept| !kept.holds(at, changes)));
        Some(set.start + same().or_else(idle)?)
    }

    fn resize(&mut self, size: usize) {
        let old = std::mem::replace(&mut self.places, (0..size).map(|_| Place::default()).collect());
        for place in old.into_iter().filter(|place| place.kept.is_some()) {
            let set = self.set(place.hash);
            // What shares a set shared one before.
            match self.places[set].iter_mut().find(|place| place.kept.is_none()) {
                Some(free) => *free = place,
                None => self.bytes -= place.kept.map_or(0, |kept| kept.bytes),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Protocol;
    use crate::topic::{Limits, Topic};

    const AT: Moment = Moment { generation: 1, version: 1 };

    fn scope() -> Arc<Scope> {
        Arc::new(Scope { listener: "mqtt".into(), protocol: Protocol::Mqtt, identity: None })
    }

    fn found(name: &str) -> Found {
        Ok(Arc::new(Route::nowhere(Topic::new(name, &Limits::default()).unwrap())))
    }

    fn fill(routes: &mut Routes, scope: &Arc<Scope>, names: Range<usize>, at: Moment) {
        fill_beside(routes, scope, names, at, &Changes::default());
    }

    fn fill_beside(routes: &mut Routes, scope: &Arc<Scope>, names: Range<usize>, at: Moment, changes: &Changes) {
        for name in names.map(|n| format!("t/{n}")) {
            let key = routes.key(scope, &name);
            routes.put(&key, at, found(&name), changes);
        }
    }

    fn there(routes: &Routes, scope: &Arc<Scope>, names: Range<usize>, at: Moment) -> usize {
        let is_there = |name: &String| {
            let found = routes.get(&routes.key(scope, name), at);
            found.inspect(|found| assert_eq!(found.as_ref().unwrap().topic.as_str(), name)).is_some()
        };
        names.map(|n| format!("t/{n}")).filter(is_there).count()
    }

    #[test]
    fn names_in_use_do_not_push_one_another_out() {
        let (mut routes, scope) = (Routes::new(1 << 17, 1 << 30), scope());
        fill(&mut routes, &scope, 0..1_000, AT);
        assert_eq!(there(&routes, &scope, 0..1_000, AT), 1_000);
    }

    #[test]
    fn there_are_no_more_than_it_is_made_for() {
        let (mut routes, scope) = (Routes::new(1_000, 1 << 30), scope());
        fill(&mut routes, &scope, 0..100_000, AT);
        let kept = there(&routes, &scope, 0..100_000, AT);
        assert!((1_000..=1_024).contains(&kept), "{kept}");
    }

    #[test]
    fn they_take_no_more_memory_than_they_may() {
        let (mut routes, scope) = (Routes::new(1 << 17, 100_000), scope());
        for n in 0..1_000 {
            let name = format!("{n}/{}", "long".repeat(1_000));
            let key = routes.key(&scope, &name);
            routes.put(&key, AT, found("a"), &Changes::default());
            assert!(routes.get(&routes.key(&scope, &name), AT).is_some() && routes.bytes <= 100_000);
        }
        assert!(routes.bytes > 90_000, "{}", routes.bytes);
        // One that is too large by itself is the only one.
        let name = "long".repeat(30_000);
        let key = routes.key(&scope, &name);
        routes.put(&key, AT, found("a"), &Changes::default());
        assert_eq!(routes.places.iter().filter(|place| place.kept.is_some()).count(), 1);
        fill(&mut routes, &scope, 0..10, AT);
        assert_eq!(there(&routes, &scope, 0..10, AT), 10);
    }

    #[test]
    fn what_holds_no_more_is_not_found_and_makes_room() {
        let (mut routes, scope) = (Routes::new(64, 1 << 30), scope());
        fill(&mut routes, &scope, 0..1_000, AT);
        let (later, changes) = (Moment { version: 2, ..AT }, Changes::default());
        changes.announce_all();
        assert_eq!(there(&routes, &scope, 0..1_000, later), 0);
        // No more than share a set: however they are spread, there is a place for each.
        fill_beside(&mut routes, &scope, 1_000..1_000 + WAYS, later, &changes);
        assert_eq!(there(&routes, &scope, 1_000..1_000 + WAYS, later), WAYS);
    }

    #[test]
    fn what_a_change_does_not_concern_holds_on_and_makes_no_room() {
        let (mut routes, scope, changes) = (Routes::new(64, 1 << 30), scope(), Changes::default());
        fill(&mut routes, &scope, 0..64, AT);
        let before: Vec<_> =
            (0..64).map(|n| format!("t/{n}")).filter(|n| routes.get(&routes.key(&scope, n), AT).is_some()).collect();
        let later = Moment { version: 2, ..AT };
        for name in &before {
            assert!(routes.get(&routes.key(&scope, name), later).is_none());
            let key = routes.key(&scope, name);
            assert!(routes.renew(&key, later, &changes).is_some());
            assert!(routes.get(&routes.key(&scope, name), later).is_some());
        }
        let key = routes.key(&scope, &before[0]);
        assert!(routes.renew(&key, Moment { generation: 2, ..later }, &changes).is_none());
        changes.announce_all();
        assert!(routes.renew(&key, Moment { version: 3, ..later }, &changes).is_none());
    }

    #[test]
    fn what_modules_said_of_a_name_is_known_until_they_change() {
        let (mut routes, scope) = (Routes::new(64, 1 << 30), scope());
        fill(&mut routes, &scope, 0..1, AT);
        let key = routes.key(&scope, "t/0");
        assert!(routes.before(&key, AT.generation).is_some() && routes.before(&key, AT.generation + 1).is_none());
        assert!(routes.before(&routes.key(&scope, "t/1"), AT.generation).is_none());
    }

    #[test]
    fn users_of_one_name_do_not_push_one_another_out() {
        let (mut routes, anonymous) = (Routes::new(1 << 17, 1 << 30), scope());
        let named = |user: u32| Arc::new(Scope { identity: Some(user.to_string().into()), ..Scope::clone(&anonymous) });
        let scopes: Vec<_> = (0..100).map(named).collect();
        for scope in scopes.iter().chain(&scopes) {
            fill(&mut routes, scope, 0..1, AT);
        }
        assert!(scopes.iter().all(|scope| there(&routes, scope, 0..1, AT) == 1));
        assert!(routes.places.len() <= 4_096, "{}", routes.places.len());
        assert_eq!(there(&routes, &anonymous, 0..1, AT), 0, "each has its own");
        let [one, other] = [scope(), scope()];
        fill(&mut routes, &one, 0..1, AT);
        assert_eq!(there(&routes, &other, 0..1, AT), 1, "scopes that say the same are one");
    }
}
