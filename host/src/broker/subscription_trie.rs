//! Filters to subscribers: which of them match a topic, in time that does not grow with their number.
//!
//! Levels are interned as numbers, and all edges lie in one hash table keyed by (node, level): a walk touches one table
//! entry a level and branch, allocates nothing, and a filter costs some tens of bytes beside its subscribers. Nodes with
//! `+` below them keep that child, nodes with `#` below them keep its subscribers, so neither needs a look-up.

use hashbrown::HashMap;
use smallvec::SmallVec;

type Node = u32;
type Level = u32;

const ROOT: Node = 0;
const NONE: u32 = u32::MAX;

/// A set of (filter, key, value), where a key stands at most once under a filter.
pub struct SubscriptionTrie<S> {
    levels: HashMap<Box<str>, LevelUse>,
    free_levels: Vec<Level>,
    next_level: Level,
    edges: HashMap<(Node, Level), Node>,
    nodes: Vec<Branch<S>>,
    free_nodes: Vec<Node>,
    len: usize,
}

struct LevelUse {
    level: Level,
    edges: u32,
}

struct Branch<S> {
    /// Subscribers whose filter ends here, by ascending key.
    here: Vec<(u64, S)>,
    /// Subscribers whose filter goes on with `#` and ends.
    below: Vec<(u64, S)>,
    plus: Node,
    /// Edges to children other than `plus`.
    children: u32,
}

impl<S> Branch<S> {
    fn new() -> Self {
        Self { here: Vec::new(), below: Vec::new(), plus: NONE, children: 0 }
    }

    fn is_unused(&self) -> bool {
        self.here.is_empty() && self.below.is_empty() && self.plus == NONE && self.children == 0
    }
}

impl<S> Default for SubscriptionTrie<S> {
    fn default() -> Self {
        Self {
            levels: HashMap::new(),
            free_levels: Vec::new(),
            next_level: 0,
            edges: HashMap::new(),
            nodes: vec![Branch::new()],
            free_nodes: Vec::new(),
            len: 0,
        }
    }
}

impl<S> SubscriptionTrie<S> {
    /// How many (filter, key) there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a subscriber to a valid filter; returns the one that it replaces.
    pub fn insert(&mut self, filter: &str, key: u64, value: S) -> Option<S> {
        let (path, below) = split(filter);
        let mut node = ROOT;
        for level in path.into_iter().flat_map(|path| path.split('/')) {
            node = self.child_or_new(node, level);
        }
        let branch = &mut self.nodes[node as usize];
        let list = if below { &mut branch.below } else { &mut branch.here };
        match list.binary_search_by_key(&key, |entry| entry.0) {
            Ok(at) => Some(std::mem::replace(&mut list[at].1, value)),
            Err(at) => {
                // Most filters have one subscriber: the default growth would make room for four.
                if list.is_empty() {
                    list.reserve_exact(1);
                }
                list.insert(at, (key, value));
                self.len += 1;
                None
            }
        }
    }

    /// Takes a subscriber out, if it is there.
    pub fn remove(&mut self, filter: &str, key: u64) -> Option<S> {
        let (path, below) = split(filter);
        let mut steps: SmallVec<[(Node, &str); 16]> = SmallVec::new();
        let mut node = ROOT;
        for level in path.into_iter().flat_map(|path| path.split('/')) {
            steps.push((node, level));
            node = self.child(node, level)?;
        }
        let branch = &mut self.nodes[node as usize];
        let list = if below { &mut branch.below } else { &mut branch.here };
        let at = list.binary_search_by_key(&key, |entry| entry.0).ok()?;
        let (_, value) = list.remove(at);
        if list.is_empty() {
            *list = Vec::new();
        }
        self.len -= 1;
        while let Some((parent, level)) = steps.pop() {
            if !self.nodes[node as usize].is_unused() {
                break;
            }
            self.cut(parent, level, node);
            node = parent;
        }
        Some(value)
    }

    /// Calls `visit` for each subscriber with a filter that matches (MQTT 5.0, 4.7). Visits each node at most once, so
    /// that it is bounded by the number of filters whatever their shape.
    pub fn matches<'t>(&'t self, topic: &str, mut visit: impl FnMut(&'t S)) {
        let mut path: SmallVec<[Level; 16]> = SmallVec::new();
        path.extend(topic.split('/').map(|level| self.levels.get(level).map_or(NONE, |found| found.level)));
        let hidden = topic.starts_with('$');
        let mut pending: SmallVec<[(Node, u32); 16]> = SmallVec::new();
        let (mut node, mut depth) = (ROOT, 0usize);
        loop {
            let branch = &self.nodes[node as usize];
            let wild = !(hidden && node == ROOT);
            if wild {
                branch.below.iter().for_each(|(_, value)| visit(value));
            }
            let mut next = NONE;
            if let Some(&level) = path.get(depth) {
                if level != NONE && branch.children > 0 {
                    next = self.edges.get(&(node, level)).copied().unwrap_or(NONE);
                }
                if wild && branch.plus != NONE {
                    if next != NONE {
                        pending.push((next, depth as u32 + 1));
                    }
                    next = branch.plus;
                }
            } else {
                branch.here.iter().for_each(|(_, value)| visit(value));
            }
            if next != NONE {
                (node, depth) = (next, depth + 1);
            } else if let Some((back, at)) = pending.pop() {
                (node, depth) = (back, at as usize);
            } else {
                return;
            }
        }
    }

    fn child(&self, node: Node, level: &str) -> Option<Node> {
        if level == "+" {
            let plus = self.nodes[node as usize].plus;
            return (plus != NONE).then_some(plus);
        }
        let level = self.levels.get(level)?.level;
        self.edges.get(&(node, level)).copied()
    }

    fn child_or_new(&mut self, node: Node, level: &str) -> Node {
        if let Some(child) = self.child(node, level) {
            return child;
        }
        let child = self.free_nodes.pop().unwrap_or_else(|| {
            self.nodes.push(Branch::new());
            u32::try_from(self.nodes.len() - 1).expect("fewer nodes than bytes of memory")
        });
        if level == "+" {
            self.nodes[node as usize].plus = child;
        } else {
            let level = self.intern(level);
            self.edges.insert((node, level), child);
            self.nodes[node as usize].children += 1;
        }
        child
    }

    fn intern(&mut self, level: &str) -> Level {
        if let Some(found) = self.levels.get_mut(level) {
            found.edges += 1;
            return found.level;
        }
        let number = self.free_levels.pop().unwrap_or_else(|| {
            self.next_level += 1;
            self.next_level - 1
        });
        self.levels.insert(level.into(), LevelUse { level: number, edges: 1 });
        number
    }

    /// Removes an unused child.
    fn cut(&mut self, parent: Node, level: &str, child: Node) {
        self.free_nodes.push(child);
        if level == "+" {
            self.nodes[parent as usize].plus = NONE;
            return;
        }
        self.nodes[parent as usize].children -= 1;
        if let Some(found) = self.levels.get_mut(level) {
            self.edges.remove(&(parent, found.level));
            found.edges -= 1;
            if found.edges == 0 {
                self.free_levels.push(found.level);
                self.levels.remove(level);
            }
        }
    }
}

/// The path to the node, and whether the filter goes on with `#` from there.
fn split(filter: &str) -> (Option<&str>, bool) {
    if filter == "#" {
        return (None, true);
    }
    match filter.strip_suffix("/#") {
        Some(path) => (Some(path), true),
        None => (Some(filter), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{Filter, Limits};
    use proptest::prelude::*;

    fn found(trie: &SubscriptionTrie<u64>, topic: &str) -> Vec<u64> {
        let mut found = Vec::new();
        trie.matches(topic, |value| found.push(*value));
        found.sort_unstable();
        found
    }

    #[test]
    fn replacing_and_removing_leaves_nothing_behind() {
        let mut trie = SubscriptionTrie::default();
        assert_eq!(trie.insert("a/+/#", 1, 10), None);
        assert_eq!(trie.insert("a/+/#", 1, 11), Some(10));
        assert_eq!(trie.insert("a/b", 2, 20), None);
        assert_eq!(found(&trie, "a/b"), [11, 20]);
        assert_eq!(trie.remove("a/+", 1), None);
        assert_eq!(trie.remove("a/+/#", 1), Some(11));
        assert_eq!(trie.remove("a/b", 2), Some(20));
        assert!(trie.is_empty() && trie.edges.is_empty() && trie.levels.is_empty());
        assert_eq!(trie.free_nodes.len() + 1, trie.nodes.len());
    }

    #[test]
    fn system_topics_hide_from_leading_wildcards() {
        let mut trie = SubscriptionTrie::default();
        for (key, filter) in ["#", "+/x", "$SYS/#", "$SYS/+"].into_iter().enumerate() {
            trie.insert(filter, key as u64, key as u64);
        }
        assert_eq!(found(&trie, "$SYS/x"), [2, 3]);
    }

    proptest! {
        #[test]
        fn agrees_with_matching_one_by_one(
            filters in prop::collection::vec("([ab+]/){0,3}([ab+#]|)", 0..20),
            removed in prop::collection::vec(any::<bool>(), 20),
            topic in "([ab$]/){0,3}[ab]?",
        ) {
            let limits = Limits::default();
            prop_assume!(!topic.is_empty());
            let mut trie = SubscriptionTrie::default();
            let mut expected = Vec::new();
            let valid: Vec<_> = filters.iter().enumerate().filter_map(|(i, f)| Some((i as u64, Filter::new(f, &limits).ok()?))).collect();
            for (key, filter) in &valid {
                trie.insert(filter.as_str(), *key, *key);
            }
            for (key, filter) in &valid {
                if removed[*key as usize] {
                    prop_assert_eq!(trie.remove(filter.as_str(), *key), Some(*key));
                } else if filter.matches(&topic) {
                    expected.push(*key);
                }
            }
            prop_assert_eq!(found(&trie, &topic), expected);
        }
    }
}
